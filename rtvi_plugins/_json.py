"""Tell JSON values apart, and name them in JSON's words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any, TypeGuard, TypeVar

__all__ = (
    "MOST_PROBLEMS",
    "below",
    "clip",
    "expected",
    "found",
    "is_array",
    "is_deeper",
    "is_object",
    "kind",
    "until_enough",
)

T = TypeVar("T")

#: The most problems that are looked for in one message: looking for more would cost more than sending them did.
MOST_PROBLEMS = 25


def clip(text: str, limit: int = 80) -> str:
    """`text`, shortened so that a huge value does not come back in an error."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def below(path: str, name: str) -> str:
    """The JSON path of a member; a huge name, which a client may send, is shortened."""
    return f"{path}.{name}" if len(name) <= 80 else f"{path}.{clip(name)}"


def until_enough(items: Iterable[T], problems: Sized) -> Iterator[T]:
    """Yield the items until there are `MOST_PROBLEMS` problems: more of them help nobody."""
    for item in items:
        if len(problems) >= MOST_PROBLEMS:
            return
        yield item


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether a value is a JSON object. Those that were decoded have names that are strings."""
    return isinstance(value, dict)


def is_array(value: object) -> TypeGuard[Sequence[Any]]:
    """Whether a value is a JSON array, or a tuple in an author's defaults."""
    return isinstance(value, list | tuple)


def expected(word: str, value: Any) -> str:
    """`expected a string, got the number 5`: what was found, in JSON's words."""
    return f"expected {word}, got {found(value)}"


def found(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"the number {clip(repr(value))}"
        case str():
            return f"the string {clip(repr(value))}"
        case list() | tuple():
            return "an array"
        case dict():
            return "an object"
        case _:
            return f"a Python {value.__class__.__name__}"


def kind(value: Any) -> str:
    """What a value is, without the value: `a string`."""
    if isinstance(value, bool):
        return "true or false"
    return "a number" if isinstance(value, int | float) else "a string" if isinstance(value, str) else found(value)


def is_deeper(value: object, depth: int) -> bool:
    """Whether objects and arrays nest deeper than this, looking no deeper than that."""
    level: list[Any] = [value] if isinstance(value, _NESTING) else []
    for _ in range(depth + 1):
        if not level:
            return False
        inner: list[Any] = []
        for each in level:
            inner.extend(each.values() if is_object(each) else each)
        level = [each for each in inner if isinstance(each, _NESTING)]
    return True


_NESTING = (dict, list, tuple)
