"""A folder with many distributions that look installed: plugins with a module each, and others."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

_METADATA = (
    "Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nSummary: Made up.\n" + "Classifier: Topic :: Text\n" * 20
)
_PLUGIN = '''"""A provider that is never opened."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from rtvi_plugins import LLM, service


@service("llm", "{provider}")
@asynccontextmanager
async def provider() -> AsyncGenerator[LLM]:
    """Answers nothing."""
    raise NotImplementedError
    yield
'''


@contextmanager
def folder_of(plugins: int, others: int, source: str = _PLUGIN, group: str = "rtvi_plugins") -> Generator[str]:
    """Make a folder with this many of each kind, for the path. Plugins may have another module and another group."""
    with TemporaryDirectory(prefix="rtvi-bench-") as folder:
        for number in range(plugins):
            _add_plugin(Path(folder), f"made{number:03}", source, group)
        for number in range(others):
            # One in three of what is usually installed brings a command.
            script = f"[console_scripts]\nother{number:03} = other{number:03}:main\n" if number % 3 == 0 else ""
            _add(Path(folder), f"other{number:03}", script)
        yield folder


def _add_plugin(folder: Path, provider: str, source: str, group: str) -> None:
    module = f"rtvi_plugins_{provider}"
    (folder / f"{module}.py").write_text(source.format(provider=provider), encoding="utf-8")
    _add(folder, module, f"[{group}]\nllm.{provider} = {module}\n\n[{group}.api]\n1 = {module}\n")


def _add(folder: Path, name: str, entry_points: str) -> None:
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(_METADATA.format(name=name), encoding="utf-8")
    (info / "RECORD").write_text(f"{name}.py,,\n", encoding="utf-8")
    if entry_points:
        (info / "entry_points.txt").write_text(entry_points, encoding="utf-8")
