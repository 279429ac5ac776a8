"""Write the parts of the reference that are read from the code: `python docs/generate.py`.

A part stands in its page between `<!-- generated: name -->` and `<!-- end -->`. A test fails where one is out of date.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import attrs

from rtvi_plugins import hookspecs, limits
from rtvi_plugins.errors import CATALOGUE

__all__ = ("PARTS", "generated", "main")

DOCS = Path(__file__).parent
_PART = re.compile(r"(<!-- generated: (?P<name>\w+) -->\n)(?P<text>.*?)(<!-- end -->)", re.DOTALL)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [tuple(head), *map(tuple, rows)]
    lines.insert(1, ("---",) * len(lines[0]))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _doc(thing: object) -> str:
    return " ".join((inspect.getdoc(thing) or "").split())


def errors() -> str:
    """A row for each code."""
    rows = (
        (f"`{code}`", str(error.status), "yes" if error.retryable else "", f"`{error.__name__}`", _doc(error))
        for code, error in CATALOGUE.items()
    )
    return _table(("code", "HTTP status", "retryable", "exception", "when"), rows)


def limits_table() -> str:
    """A row for each limit, with the comment that stands above it."""
    defaults = {each.name: each.default for each in attrs.fields(limits.Limits)}
    return _table(("limit", "default", ""), ((f"`{name}`", f"{defaults[name]:_g}".replace("_", " "), text) for name, text in _comments()))


def _comments() -> Iterator[tuple[str, str]]:
    """The names of the limits with what is said of them; a comment counts for all that follow it."""
    comment: list[str] = []
    fresh = False
    for line in inspect.getsource(limits.Limits).splitlines():
        if found := re.fullmatch(r" +#: (.+)", line):
            comment = [*comment, found[1]] if fresh else [found[1]]
            fresh = True
        elif found := re.match(r" +(\w+): \w+ =", line):
            yield found[1], " ".join(comment) if fresh else "The same."
            fresh = False


def hooks() -> str:
    """A section for each hook."""
    return "\n".join(f"{_hook(name)}" for name in hookspecs.HOOKS)


def _hook(name: str) -> str:
    function = getattr(hookspecs, name)
    return f"## `{name}`\n\n```text\n{name}{inspect.signature(function)}\n```\n\n{_doc(function)}\n"


#: What can be generated, by name.
PARTS: Mapping[str, Callable[[], str]] = {"errors": errors, "limits": limits_table, "hooks": hooks}


def generated(page: str) -> str:
    """A page's text with its generated parts as they should be."""
    return _PART.sub(lambda part: f"{part[1]}\n{PARTS[part['name']]()}\n{part[4]}", page)


def main() -> None:
    """Bring every page up to date."""
    for path in sorted(DOCS.glob("reference/*.md")):
        path.write_text(generated(path.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
