"""`rtvi new`: make the folder of a plugin or a bot, with tests, from the files in `templates`."""

from __future__ import annotations

import re
import shutil
import sys
import tokenize
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from importlib.util import find_spec
from io import StringIO
from keyword import iskeyword, issoftkeyword
from pathlib import Path
from typing import Final

from attrs import frozen

from ..kinds import BUILTIN_KINDS
from ..utils.install_hint import install_hint
from .failures import OK, UsageError

__all__ = ("run",)

_TEMPLATES: Final = Path(__file__).parent / "templates"

#: The ending of the files in the templates, so that no tool takes them for code of ours.
_ENDING: Final = ".template"

#: What a provider of a kind brings. There is a template of each.
_SUMMARIES: Final[Mapping[str, str]] = {"llm": "chat models", "tts": "voices", "stt": "speech recognition"}

#: What the bot of a plugin grants to clients, if the plugin has this kind.
_GRANTS: Final[Mapping[str, tuple[str, ...]]] = {
    "llm": ("llm.model", "llm:list_models"),
    "tts": ("tts.voice",),
    "stt": ("stt.language",),
}

#: What the bot of a plugin uses beside it. It works without a key.
_BESIDES: Final[Mapping[str, str]] = {"llm": "rules", "vad": "silero"}

#: What tests/conformance.py imports, besides the fakes.
_CHECK: Final = "from rtvi_plugins.testing import ProviderCheck"

#: What the workflow of a plugin runs. `rtvi check` needs jsonschema.
_DEV: Final = ("jsonschema>=4.20", "mypy>=1.18", "pyright>=1.1.400", "pytest>=8.3", "ruff>=0.12", "trio>=0.26")
_ONLY_FOR_PROVIDERS: Final = "jsonschema"

#: Names of services that the framework has.
_TAKEN: Final = ("bot", *BUILTIN_KINDS)

#: A name is part of file names, class names and a variable of the environment. Longer ones would break long lines.
_NAME: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_LONGEST: Final = 20

_FORMS: Final = """\
Write one of these:
  rtvi new provider llm acme    (or tts, or stt, or several: llm tts stt)
  rtvi new actions acme
  rtvi new bot pizzeria"""


def run(chosen: Namespace) -> int:
    """Make the folder, and print the next steps."""
    match chosen.words:
        case ["provider", first, *more, name] if _are_kinds(first, *more):
            new = _NewFolder.plugin(name, first, *more)
        case ["actions", name]:
            if name in _TAKEN:
                raise UsageError(f"{name!r} names a service of the framework. Choose another name.")
            new = _NewFolder.plugin(name)
        case ["bot", name]:
            if name in _names_in_templates("bot"):
                raise UsageError(f"The files of a new bot use the name {name!r} already. Choose another.")
            new = _NewFolder(name, folder=name, module=name, templates=("every", "bot"), needs=("rtvi-plugins-rules",))
        case _:
            raise UsageError(_FORMS)
    new.check()
    new.write(_author(chosen.author) or f"The {new.folder} authors")
    sys.stdout.write(new.next_steps())
    return OK


def _author(author: str | None) -> str | None:
    if author is not None and (not author.strip() or not author.isprintable() or set(author) & set('"\\')):
        raise UsageError("The author is empty, or has a quote, a backslash or a line break. Write --author 'Ada King'.")
    return author and author.strip()


def _are_kinds(*words: str) -> bool:
    return len({*words} & _SUMMARIES.keys()) == len(words)


@frozen
class _NewFolder:
    """A folder to be made: its name, the module in it, its templates, and distributions of ours that it needs.

    `kinds` are those of a plugin with providers, and `bot` are those of its bot.py.
    """

    name: str
    folder: str
    module: str
    templates: tuple[str, ...]
    needs: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    bot: tuple[str, ...] = ()

    @classmethod
    def plugin(cls, name: str, *kinds: str) -> _NewFolder:
        """Return a plugin with a provider of each kind. Without a kind, it has actions."""
        return cls(
            name,
            folder=f"rtvi-plugins-{name.replace('_', '-')}",
            module=f"rtvi_plugins_{name}",
            templates=("every", "plugin", *(("provider", *kinds) if kinds else ("actions",))),
            needs=("rtvi-plugins-vendor",) if kinds else (),
            kinds=kinds,
            bot=_kinds_of_bot(kinds),
        )

    def check(self) -> None:
        """Raise `UsageError` if the name cannot be used, or the folder exists."""
        if _NAME.fullmatch(self.name) is None or len(self.name) > _LONGEST:
            likely = re.sub(r"[^a-z0-9]+", "_", self.name.lower()).strip("_")[:_LONGEST].strip("_")
            hint = f" Write {likely}." if _NAME.fullmatch(likely) else ""
            raise UsageError(
                f"{self.name!r} is not a name of lower-case letters, digits and '_', that begins with a letter and has "
                f"at most {_LONGEST} characters.{hint}"
            )
        if iskeyword(self.module) or issoftkeyword(self.module) or find_spec(self.module) is not None:
            raise UsageError(f"Python has a module or a word {self.module!r} already. Choose another name.")
        if Path(self.folder).exists():
            raise UsageError(f"{self.folder} exists already, and is not changed. Choose another name, or remove it.")

    def write(self, author: str) -> None:
        """Write all files. If one fails, leave none."""
        folder = Path(self.folder)
        words = {**self._words(), "THE_AUTHOR": author, "THE_YEAR": str(date.today().year)}
        words |= self._parts(words)
        try:
            folder.mkdir()
        except OSError as error:
            raise UsageError(f"{folder} cannot be made: {error.strerror}.") from None
        try:
            for source, path in self._files():
                file = folder / _replace(str(path), words)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(_replace(source.read_text("utf-8"), words), "utf-8", newline="\n")
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _files(self) -> Iterator[tuple[Path, Path]]:
        """Yield each template, and the path of its file in the folder."""
        for each in self.templates:
            for source in sorted((_TEMPLATES / each).rglob(f"*{_ENDING}")):
                path = source.relative_to(_TEMPLATES / each)
                yield source, path.with_name(path.name.removesuffix(_ENDING))

    def _words(self) -> Mapping[str, str]:
        """Return what replaces the names in the templates."""
        hyphens = self.name.replace("_", "-")
        return {
            "rtvi-plugins-acme": f"rtvi-plugins-{hyphens}",
            "api.acme.example": f"api.{hyphens}.example",
            "acme.test": f"{hyphens}.test",
            "acme": self.name,
            "Acme": "".join(part.capitalize() for part in self.name.split("_")),
            "ACME": self.name.upper(),
        }

    def _parts(self, words: Mapping[str, str]) -> Mapping[str, str]:
        """Return what the templates of all plugins need of their kinds."""
        points = [f'"{kind}.{self.name}" = "{self.module}.{kind}"' for kind in self.kinds]
        needs = ("rtvi-plugins", *self.needs)
        dev = _DEV if self.kinds else [each for each in _DEV if not each.startswith(_ONLY_FOR_PROVIDERS)]
        readme = "\n".join((_TEMPLATES / kind / "README.part").read_text("utf-8") for kind in self.kinds)
        return {
            "THE_SUMMARY": _listed([_SUMMARIES[kind] for kind in self.kinds] or ["actions"]),
            "THE_ENTRY_POINTS": "\n".join(points or [f'{self.name} = "{self.module}"']),
            "THE_DEPENDENCIES": ", ".join(
                [*(['"attrs>=24.2"'] if self.kinds else []), *(f'"{each}>=0.1"' for each in needs)]
            ),
            "THE_DEV_DEPENDENCIES": ", ".join(f'"{each}"' for each in dev),
            "THE_PROVIDERS": _replace(readme, words),
            "THE_VENDORS": "\n".join(
                sorted((_CHECK, *(f"from {kind}_vendor import {kind}_vendor" for kind in self.kinds)))
            ),
            "THE_CHECKS": "\n".join(
                f'    "{kind}.{self.name}": ProviderCheck(vendor={kind}_vendor),' for kind in self.kinds
            ),
            "THE_CHECK_STEP": f"      - run: rtvi check {self.folder} --level gold --oldest\n" if self.kinds else "",
            "THE_KIND": next(iter(self.kinds), ""),
            **self._parts_of_bot(),
        }

    def _parts_of_bot(self) -> Mapping[str, str]:
        """Return what bot.py and tests/fake_server.py need."""
        providers = {kind: self.name if kind in self.kinds else _BESIDES[kind] for kind in self.bot}
        granted = [grant for kind in self.bot if kind in self.kinds for grant in _GRANTS[kind]]
        routes = [f"from {kind}_vendor import ROUTES as {kind.upper()}" for kind in self.kinds]
        return {
            "THE_BOT_IMPORTS": ", ".join([*sorted(map(str.upper, self.bot)), "Session", "bot", "converse"]),
            "THE_BOT_SERVICES": "\n".join(f'        "{kind}": "{name}",' for kind, name in providers.items()),
            "THE_BOT_GRANTS": ", ".join(f'"{grant}"' for grant in granted),
            "THE_BOT_PARAMETERS": ", ".join(f"{kind}: {kind.upper()}" for kind in self.bot),
            "THE_BOT_ARGUMENTS": ", ".join(f"{kind}={kind}" for kind in self.bot),
            "THE_SERVER_IMPORTS": "\n".join(sorted((*routes, "from rtvi_plugins_vendor.testing import fake_vendor"))),
            "THE_ROUTES": ", ".join(f"**{kind.upper()}" for kind in self.kinds),
            "THE_FAKE_OPTIONS": " \\\n  ".join(
                f"--service-option {kind}.base_url=http://127.0.0.1:8123" for kind in self.kinds
            ),
        }

    def next_steps(self) -> str:
        """Return what to do now."""
        hints = "".join(f"  {install_hint(each)}\n" for each in ("rtvi-plugins", *self.needs))
        tries = f"rtvi console {self.module}.py" if self.folder == self.name else "rtvi plugins --load"
        steps = (
            f"{self.folder} is made. Next, make an environment in it:\n"
            f"  cd {self.folder}\n"
            "  python3 -m venv .venv && . .venv/bin/activate\n"
            f"The framework is not published yet, so install it from its checkout:\n{hints}"
            "Then install what you have made, and run its tests (--group needs pip 25.1 or newer):\n"
            "  pip install --upgrade pip\n"
            "  pip install --editable . --group dev\n"
            "  python -m pytest\n"
            f"  {tries}\n"
        )
        if not self.bot:
            return steps
        more = [f"rtvi-plugins-{_BESIDES[kind]}" for kind in self.bot if kind not in self.kinds]
        hints = "".join(f"  {install_hint(each)}\n" for each in (*more, "rtvi-plugins-server"))
        return f"{steps}README.md says how to talk to bot.py, also without a key. Install what it needs:\n{hints}"


def _names_in_templates(*templates: str) -> set[str]:
    """Return the names in the code of templates. A bot of the same name would replace one of them."""
    files = [file for each in templates for file in (_TEMPLATES / each).rglob(f"*.py{_ENDING}")]
    tokens = (token for file in files for token in tokenize.generate_tokens(StringIO(file.read_text("utf-8")).readline))
    return {"tests", *(token.string for token in tokens if token.type == tokenize.NAME)} - {"acme"}


def _kinds_of_bot(kinds: Sequence[str]) -> tuple[str, ...]:
    """Return the services of the bot that tries a plugin. It needs a VAD if it hears the user."""
    used = {"llm", *kinds, *(["vad"] if "stt" in kinds else [])}
    return tuple(kind for kind in BUILTIN_KINDS if kind in used) if kinds else ()


def _listed(words: Sequence[str]) -> str:
    """Return "a", "a and b", or "a, b and c"."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if words[1:] else words[0]


def _replace(text: str, words: Mapping[str, str]) -> str:
    """Replace all words at once, so that nothing is replaced in what was put in."""
    return re.sub("|".join(map(re.escape, words)), lambda found: words[found[0]], text)
