"""Installed packages that are broken in one way each, with the rule that finds it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from attrs import evolve, field, frozen

__all__ = ("GOOD_PACKAGE", "PACKAGE_MUTANTS", "Package")

MODULE: Final = '''
"""A provider of a test."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated

import anyio.lowlevel

from rtvi_plugins import LLM, STT, Doc, ProviderError, options, service
from rtvi_plugins.kinds import LLMPiece, LLMRequest, Text


class Mutant:
    """Answers."""

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        if request.answer_schema is not None:
            raise ProviderError("mutant", "bad-request")
        await wait()
        yield Text("Hello.")


wait = anyio.lowlevel.checkpoint


@service("llm", "mutant")
@asynccontextmanager
async def mutant(place: str = "") -> AsyncGenerator[LLM]:
    """A provider of a test."""
    yield Mutant()


@options(mutant)
def configure(llm: LLM, /, tone: Annotated[str, Doc("The tone.")] = "kind") -> None:
    """Set nothing."""
'''

_METADATA: Final = """\
Metadata-Version: 2.4
Name: rtvi-plugins-mutant
Version: 1.2
License-Expression: MIT
Requires-Python: >=3.11
Requires-Dist: rtvi_plugins >= 0.1
Description-Content-Type: text/markdown

# Mutant

The option is `tone`, and the operator's `place`.
"""

_ENTRY_POINTS: Final = """\
[rtvi_plugins]
llm.mutant = rtvi_plugins_mutant.llm

[rtvi_plugins.api]
1 = rtvi_plugins_mutant
"""


@frozen
class Package:
    """A distribution as an installer leaves it."""

    module: str = MODULE
    metadata: str = _METADATA
    entry_points: str = _ENTRY_POINTS
    files: Mapping[str, str] = field(factory=lambda: {"py.typed": ""})

    def install(self, folder: Path) -> None:
        """Write it into a folder of `sys.path`."""
        package, info = folder / "rtvi_plugins_mutant", folder / "rtvi_plugins_mutant-1.2.dist-info"
        package.mkdir()
        info.mkdir()
        for name, text in {"__init__.py": "", "llm.py": self.module, **self.files}.items():
            (package / name).write_text(text, "utf-8")
        (info / "METADATA").write_text(self.metadata, "utf-8")
        (info / "entry_points.txt").write_text(self.entry_points, "utf-8")


GOOD_PACKAGE: Final = Package()


def _metadata(old: str, new: str) -> Package:
    return evolve(GOOD_PACKAGE, metadata=_METADATA.replace(old, new))


def _entry_points(old: str, new: str) -> Package:
    return evolve(GOOD_PACKAGE, entry_points=_ENTRY_POINTS.replace(old, new))


def _module(old: str, new: str) -> Package:
    return evolve(GOOD_PACKAGE, module=MODULE.replace(old, new))


_AT_IMPORT: Final = "wait = anyio.lowlevel.checkpoint\n"

#: What is wrong, the rule, and a part of what the report says.
PACKAGE_MUTANTS: Final[Mapping[str, tuple[str, str, Package]]] = {
    "one whose entry point has another name": (
        "P101",
        "declares no such service",
        _entry_points("llm.mutant =", "llm.other ="),
    ),
    "one whose entry point names no module": (
        "P101",
        "No module named 'rtvi_plugins_mutant.tts'",
        _entry_points("mutant.llm", "mutant.tts"),
    ),
    "one whose import fails": ("P109", "ZeroDivisionError", _module(_AT_IMPORT, f"{_AT_IMPORT}\n1 / 0\n")),
    "one that lacks another package": (
        "P109",
        "No module named 'acme_sdk'",
        _module(_AT_IMPORT, f"{_AT_IMPORT}\nimport acme_sdk\n"),
    ),
    "one with a service that has no entry point": (
        "P101",
        "declares stt.mutant, and no entry point names it",
        _module(
            "@options(mutant)",
            '@service("stt", "mutant")\n@asynccontextmanager\nasync def other() -> AsyncGenerator[STT]:\n    yield\n\n'
            "@options(mutant)",
        ),
    ),
    "one without a version of the API": ("P102", "names no version", _entry_points("1 = rtvi_plugins_mutant", "")),
    "one for another version of the API": ("P102", "version 7", _entry_points("1 = rtvi", "7 = rtvi")),
    "one that connects at import": (
        "P103",
        "it tries to reach api.acme.example",
        _module(
            _AT_IMPORT,
            f"{_AT_IMPORT}\nimport socket\ntry:\n    socket.create_connection(('api.acme.example', 443))\n"
            "except OSError:\n    pass\n",
        ),
    ),
    "one that looks up an address at import": (
        "P103",
        "it tries to reach api.acme.example",
        _module(
            _AT_IMPORT,
            f"{_AT_IMPORT}\nimport socket\ntry:\n    socket.gethostbyname('api.acme.example')\n"
            "except OSError:\n    pass\n",
        ),
    ),
    "one that works on asyncio alone": (
        "P211",
        "on trio: it raises RuntimeError",
        _module(_AT_IMPORT, "import asyncio\n\n\nasync def wait() -> None:\n    await asyncio.sleep(0.01)\n"),
    ),
    "one for any Python": ("P212", "it has no requires-python", _metadata("Requires-Python: >=3.11\n", "")),
    "one for any core": ("P212", "without a lower bound", _metadata("rtvi_plugins >= 0.1", "rtvi_plugins")),
    "one that does not require the core": (
        "P212",
        "does not require rtvi-plugins",
        _metadata("rtvi_plugins >= 0.1", "rtvi-plugins-vendor>=0.1"),
    ),
    "one without a licence": ("P213", "it has no licence", _metadata("License-Expression: MIT\n", "")),
    "one without a readme": (
        "P213",
        "it has no readme",
        evolve(
            GOOD_PACKAGE,
            metadata=_METADATA.partition("\n\n")[0] + "\n",
            module=MODULE.partition("@options")[0].replace('place: str = ""', ""),
        ),
    ),
    "one with a slow import": (
        "P214",
        "times as long as that of the core",
        _module(
            _AT_IMPORT,
            f"{_AT_IMPORT}\nimport time\nend = time.process_time() + 1.5\nwhile time.process_time() < end: pass\n",
        ),
    ),
    "one that is not typed": ("P301", "has no py.typed", evolve(GOOD_PACKAGE, files={})),
    "one whose readme lacks an option": ("P302", "it does not name tone", _metadata("`tone`", "`tones`")),
    "one whose readme lacks a service option": ("P302", "it does not name place", _metadata("`place`", "`places`")),
}
