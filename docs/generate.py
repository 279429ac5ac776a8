"""Generate tables of the documentation from the code: `python docs/generate.py`.

A table stands in its page between `<!-- generated: name -->` and `<!-- end -->`. A test fails if one is out of date.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
from attrs import frozen

from rtvi_plugins import hookspecs, limits
from rtvi_plugins.cli.description_text import facts
from rtvi_plugins.cli.schema import plugin_api
from rtvi_plugins.errors import CATALOGUE
from rtvi_plugins.protocol.operator_fields import key_variable
from rtvi_plugins.registry.installed_plugins import EntryPoint, Installed
from rtvi_plugins.testing import RULES
from rtvi_plugins.utils.install_hint import install_command
from rtvi_plugins.voice.turn_state import TRANSITIONS, Event

__all__ = ("PARTS", "generated", "main")

DOCS = Path(__file__).parent
PLUGINS = DOCS.parent / "plugins"
_PART = re.compile(r"(<!-- generated: (?P<name>\w+) -->\n)(?P<text>.*?)(<!-- end -->)", re.DOTALL)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [tuple(head), *map(tuple, rows)]
    lines.insert(1, ("---",) * len(lines[0]))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _doc(thing: object) -> str:
    return " ".join((inspect.getdoc(thing) or "").split())


def errors() -> str:
    """Return the table of error codes."""
    rows = (
        (f"`{code}`", str(error.status), "yes" if error.retryable else "", f"`{error.__name__}`", _doc(error))
        for code, error in CATALOGUE.items()
    )
    return _table(("code", "HTTP status", "retryable", "exception", "when"), rows)


def limits_table() -> str:
    """Return the table of limits: a row for each `#:` comment in `Limits`, with the limits below it."""
    defaults = {each.name: _spaced(each.default) for each in attrs.fields(limits.Limits)}
    rows = (
        (", ".join(f"`{name}`" for name in names), "; ".join(defaults[name] for name in names), text)
        for text, names in _commented(inspect.getsource(limits.Limits).splitlines())
    )
    return _table(("limit", "default", ""), rows)


def _spaced(number: float) -> str:
    """Format a number with its digits in groups of three."""
    return f"{int(number) if float(number).is_integer() else number:,}"


def _commented(lines: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield each `#:` comment with the names that follow it."""
    text, names = "", list[str]()
    for line in lines:
        if found := re.fullmatch(r" +#: (.+)", line):
            if names:
                yield text, names
                text, names = "", []
            text = f"{text} {found[1]}".strip()
        elif found := re.match(r" +(\w+): \w+ =", line):
            names.append(found[1])
    yield text, names


def hooks() -> str:
    """Return a section for each hook."""
    return "\n".join(f"{_hook(name)}" for name in hookspecs.HOOKS)


def _hook(name: str) -> str:
    function = getattr(hookspecs, name)
    signature = str(inspect.signature(function)).replace("'", "")
    return f"## `{name}`\n\n```text\n{name}{signature}\n```\n\n{_doc(function)}\n"


def turn_states() -> str:
    """Return the table of the states of the spoken turn, with their transitions."""
    rows = (
        (
            f"`{state}`",
            state.value,
            "<br>".join(f"`{event.name}` → `{after.name}`" for event, after in transitions.items()),
        )
        for state, transitions in TRANSITIONS.items()
    )
    return _table(("state", "meaning", "event → next state"), rows)


def turn_events() -> str:
    """Return the table of the events of the spoken turn."""
    return _table(("event", "when"), ((f"`{event.name}`", event.value) for event in Event))


def rules() -> str:
    """Return the table of the rules for providers."""
    rows = (
        (f"`{each.id}`", each.level, " ".join((each.of, *each.kinds)), each.what, each.why, each.fix)
        for each in RULES.values()
    )
    return _table(("rule", "level", "of", "what", "why", "how to fix it"), rows)


# ---- the options of vendors ------------------------------------------------------------------------------------------


def vendors() -> str:
    """Return a section for each distribution that calls a vendor: those built on `rtvi-plugins-vendor`."""
    return "\n".join(text for folder in sorted(PLUGINS.iterdir()) for text in _vendor(folder))


def _vendor(folder: Path) -> Iterator[str]:
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    if any(each.startswith("rtvi-plugins-vendor") for each in project["dependencies"]):
        yield f"## {folder.name}\n"
        readme = f"[Its README](../../plugins/{folder.name})"
        yield f"{project['description']} {readme} says how to use it, and how it was tested.\n"
        # From the folder itself, which need not be installed.
        sys.path.insert(0, str(folder / "src"))
        points = project["entry-points"]["rtvi_plugins"].items()
        installed = Installed(
            tuple(EntryPoint(name, module, folder.name, project["version"]) for name, module in points)
        )
        api = {each.name: plugin_api(installed, each) for each in installed.entries}
        sys.path.pop(0)
        for name, plugin in api.items():
            yield from _provider(name, plugin, api)


def _provider(name: str, plugin: Mapping[str, Any], others: Mapping[str, Any]) -> Iterator[str]:
    yield f"### `{name}`\n"
    yield f"{plugin['description']}\n"
    keys = [(each, "" if plugin["keys"][each]["required"] else " (optional)") for each in plugin["keys"]]
    variables = [f"`{key_variable(name.partition('.')[2], each)}`{note}" for each, note in keys]
    yield f"Keys: {', '.join(variables) or 'none'}.\n"
    same = next((each for each, other in others.items() if other["options"] == plugin["options"]), name)
    if same != name and plugin["options"]:
        yield f"Options: those of `{same}`.\n"
    else:
        yield from _parameters("option", plugin["options"])
    yield from _parameters("service option", plugin["service_options"])
    if plugin["actions"]:
        yield f"Actions: {', '.join(f'`{each}`' for each in plugin['actions'])}.\n"


def _parameters(what: str, parameters: Mapping[str, Any]) -> Iterator[str]:
    rows = [
        (f"`{name.rpartition('.')[2]}`", _cell(", ".join(facts(each))), _cell(each["description"]))
        for name, each in parameters.items()
    ]
    if rows:
        yield _table((what, "values", "meaning"), rows)


def _cell(text: str) -> str:
    """Return a text for a cell of a table, with patterns as code."""
    text = re.sub(r"matching (/.*/)(?=, |$)", r"matching `\1`", " ".join(text.split()))
    return text.replace("|", "\\|").replace("<", "&lt;")


@frozen
class Distribution:
    """A distribution in the folder `plugins`. `level` is what its tests ask of its providers, or ""."""

    name: str
    description: str
    providers: tuple[str, ...]
    level: str

    def row(self) -> Iterator[str]:
        """Yield the cells of its row: what it is, its providers and their level if it has some, how it is installed."""
        yield f"[`{self.name}`](../../plugins/{self.name})<br>{self.description}"
        if self.providers:
            yield ", ".join(f"`{each}`" for each in self.providers)
            yield self.level or "–"
        yield f"`{install_command(self.name)}`"


def distributions() -> list[Distribution]:
    """Return all of them, by name."""
    return [_distribution(each.parent) for each in sorted(PLUGINS.glob("*/pyproject.toml"))]


def _distribution(folder: Path) -> Distribution:
    project: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    points = project.get("entry-points", {})
    providers = [each for each in points.get("rtvi_plugins", {}) if "." in each]
    bridged = [f"{each}-…" for each in points.get("rtvi_plugins.bridges", {})]
    return Distribution(project["name"], project["description"], (*sorted(providers), *bridged), _level(folder))


def _level(folder: Path) -> str:
    """Return the level that `rule_tests` holds the providers to, and how many rules are waived."""
    levels: list[str] = []
    waived = 0
    for file in sorted(folder.glob("tests/*.py")):
        for call in (each for each in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(each, ast.Call)):
            name = call.func.id if isinstance(call.func, ast.Name) else ""
            given = {each.arg: each.value for each in call.keywords}
            if name == "rule_tests":
                level = given.get("level")
                levels.append(str(level.value) if isinstance(level, ast.Constant) else "gold")
            elif name == "ProviderCheck" and "waive" in given:
                waived += 1
    exceptions = f", {waived} waived" if waived else ""
    return f"{levels[0]}{exceptions}" if levels else ""


def providers() -> str:
    """Return the table of the distributions with providers."""
    rows = (each.row() for each in distributions() if each.providers)
    return _table(("distribution", "providers", "level", "install, in the checkout"), rows)


def other_plugins() -> str:
    """Return the table of the distributions without providers."""
    rows = (each.row() for each in distributions() if not each.providers)
    return _table(("distribution", "install, in the checkout"), rows)


#: The functions that generate a table, by its name.
PARTS: Mapping[str, Callable[[], str]] = {
    "errors": errors,
    "limits": limits_table,
    "other_plugins": other_plugins,
    "providers": providers,
    "hooks": hooks,
    "rules": rules,
    "vendors": vendors,
    "turn_states": turn_states,
    "turn_events": turn_events,
}


def generated(page: str) -> str:
    """Return the text of a page with its tables generated again."""
    return _PART.sub(lambda part: f"{part[1]}\n{PARTS[part['name']]()}\n{part[4]}", page)


def main() -> None:
    """Update all pages."""
    for path in sorted([*DOCS.glob("reference/*.md"), *DOCS.glob("explanation/*.md")]):
        path.write_text(generated(path.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
