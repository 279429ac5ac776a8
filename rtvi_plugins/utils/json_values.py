"""JSON values: check and copy them, name their types, and find those whose text would be far larger than they are."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from typing import Any, Final, NoReturn, TypeAlias, TypeGuard, TypeVar

from .error_texts import shorten

__all__ = (
    "MAX_PROBLEMS",
    "TOO_OFTEN",
    "Parts",
    "check_json",
    "describe_json",
    "expected",
    "frozen_json",
    "is_array",
    "is_nested_deeper",
    "is_object",
    "json_problem",
    "json_type_name",
    "member_path",
    "plain_json",
    "repeats_too_often",
    "replace_surrogates",
    "until_max_problems",
)

#: Returns the values in an array or object; None for any other value.
Parts: TypeAlias = Callable[[Any], "Iterable[Any] | None"]

#: The most values that may be repetitions of others.
_MAX_REPEATED: Final = 100_000

#: Why such a value is rejected.
TOO_OFTEN: Final = f"it holds the same arrays or objects so often that more than {_MAX_REPEATED:,} values are repeated"

_SCALARS: Final = frozenset((str, int, float, bool, type(None)))


class _Count:
    """Counts the values that a text would hold, and how many of them are repetitions. Looks at each object once."""

    __slots__ = ("_parts", "_sizes", "repeated", "written")

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        #: How many values each object holds, by its identity; and the object, so that it keeps its identity.
        self._sizes: dict[int, tuple[int, object]] = {}
        self.written = self.repeated = 0

    def add(self, value: object, levels: int) -> None:
        self.written += 1
        if (known := self._sizes.get(id(value))) is not None:
            self.written += known[0]
            self.repeated += known[0]
            return
        if not levels or (inner := self._parts(value)) is None:
            return
        before = self.written
        self._sizes[id(value)] = 0, value  # for an object that contains itself
        for each in inner:
            if each.__class__ in _SCALARS:
                self.written += 1
            else:
                self.add(each, levels - 1)
        self._sizes[id(value)] = self.written - before, value


def repeats_too_often(value: object, parts: Parts, levels: int) -> bool:
    """Return whether a value repeats its arrays and objects too often to be written, down to this many `levels`."""
    if value.__class__ in _SCALARS:
        return False
    count = _Count(parts)
    count.add(value, levels)
    return count.repeated > _MAX_REPEATED


T = TypeVar("T")

#: The most problems that are looked for in one message: looking for more would cost more than sending them did.
MAX_PROBLEMS = 25

#: The deepest value that is sent. The codec can write 254 levels, and a message adds some of its own.
_DEEPEST = 200

_TOO_DEEP = f"it nests deeper than {_DEEPEST} levels, or contains itself"


#: A name that a JSON path may hold after a dot.
_PLAIN_NAME = re.compile(r"[\w-]+", re.ASCII)

_SURROGATE = re.compile("[\ud800-\udfff]")


def member_path(path: str, name: object) -> str:
    """Return the JSON path of a member. A name that is not a word is quoted; a long name is shortened."""
    shown = shorten(str(name))
    return f"{path}.{shown}" if _PLAIN_NAME.fullmatch(shown) else f"{path}[{json.dumps(shown, ensure_ascii=False)}]"


def until_max_problems(items: Iterable[T], problems: Sized) -> Iterator[T]:
    """Yield the items until there are `MAX_PROBLEMS` problems. More problems do not help."""
    for item in items:
        if len(problems) >= MAX_PROBLEMS:
            return
        yield item


def json_problem(value: object, path: str = "$") -> tuple[str, str] | None:
    """Return the path of the first value that JSON cannot carry, and the reason. Return None if there is none.

    The limits are those of the codec: integers of 64 bits, finite floats, strings without lone surrogates, objects with
    strings as names, and no cycles. The codec cannot write subclasses of `float` and `tuple`, or a subclass of `str` as
    a name.
    """
    if repeats_too_often(value, _parts, _DEEPEST):  # first, because the search below looks at every repetition
        return path, TOO_OFTEN
    bad = _uncarriable(value, _DEEPEST)
    if bad is None:
        return None
    below, why = bad
    return (shorten(path + below) if why == _TOO_DEEP else path + below), why


def _parts(value: object) -> Iterable[object] | None:
    return value.values() if is_object(value) else value if is_array(value) else None


def check_json(value: object, path: str = "$") -> None:
    """Raise `TypeError` with the path of the first value that JSON cannot carry."""
    if (bad := json_problem(value, path)) is not None:
        raise TypeError(f"JSON cannot carry this: {bad[0]}: {bad[1]}.")


def replace_surrogates(text: str) -> str:
    """Return a text that JSON can carry. Lone surrogates are replaced."""
    return text.encode("utf-8", "replace").decode()


def _uncarriable(value: object, levels: int) -> tuple[str, str] | None:
    """Return the path below this value, and the reason. The path is built on the way back: most values have none."""
    if not levels and (is_object(value) or is_array(value)):
        return "", _TOO_DEEP
    if is_object(value):
        for name, each in value.items():
            if (why := _bad_name(name)) is not None:
                return "", why
            if (bad := _uncarriable(each, levels - 1)) is not None:
                return member_path("", name) + bad[0], bad[1]
        return None
    if is_array(value) and (isinstance(value, list) or value.__class__ is tuple):
        for index, each in enumerate(value):
            if (bad := _uncarriable(each, levels - 1)) is not None:
                return f"[{index}]{bad[0]}", bad[1]
        return None
    why = _why_not(value)
    return ("", why) if why is not None else None


def _bad_name(name: object) -> str | None:
    if isinstance(name, str):
        return _why_not(name) if name.__class__ is str else f"the name {_shown(name)} is not a plain str"
    return f"the name {_shown(name)} is not a string"


def _shown(value: object) -> str:
    try:
        return shorten(repr(value))
    except Exception:  # Python writes no number of more than 4,300 digits
        return f"of the type {value.__class__.__name__}"


def _why_not(value: object) -> str | None:
    match value:
        case None | bool():
            return None
        case int():
            return None if -(2**63) <= value < 2**64 else f"the number {_shown(value)} has more than 64 bits"
        case float() if value.__class__ is float:
            return None if math.isfinite(value) else f"JSON has no {value!r}"
        case str():
            half = None if value.isascii() else _SURROGATE.search(value)
            return None if half is None else f"the text holds {half[0]!r}, half of a surrogate pair"
        case _:
            return f"JSON has no Python {value.__class__.__name__}"


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Return whether a value is a JSON object."""
    return isinstance(value, dict)


def is_array(value: object) -> TypeGuard[Sequence[Any]]:
    """Return whether a value is a JSON array, or a tuple, as in an author's defaults."""
    return isinstance(value, list | tuple)


def expected(word: str, value: Any) -> str:
    """Return a message such as `expected a string, got the number 5`."""
    return f"expected {word}, got {describe_json(value)}"


def describe_json(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"the number {shorten(repr(value))}"
        case str():
            return f"the string {shorten(repr(value))}"
        case list() | tuple():
            return "an array"
        case dict():
            return "an object"
        case _:
            return f"a Python {value.__class__.__name__}"


def json_type_name(value: Any) -> str:
    """Name the JSON type of a value without the value itself: `a string`."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    return "a string" if isinstance(value, str) else describe_json(value)


def is_nested_deeper(value: object, depth: int) -> bool:
    """Return whether objects and arrays nest deeper than this."""
    level: list[Any] = [value] if is_object(value) or is_array(value) else []
    for _ in range(depth + 1):
        if not level:
            return False
        inner: list[Any] = []
        for each in level:
            inner.extend(each.values() if is_object(each) else each)
        # Each object once: one that contains itself twice would double the work at every level.
        level = list({id(each): each for each in inner if is_object(each) or is_array(each)}.values())
    return True


def _refuse(*_: object, **__: object) -> NoReturn:
    raise TypeError("The config is read-only. Change it with await session.configure('tts', voice='de').")


def _frozen(base: type[Any], changes: str) -> type[Any]:
    """Return a subclass, and not a view, so that its objects are JSON values wherever one is expected."""

    def reduce(self: Any) -> Any:
        return base, (base(self),)  # a copy is a plain list or dict, which can be changed

    return type(f"frozen_{base.__name__}", (base,), {"__reduce__": reduce, **dict.fromkeys(changes.split(), _refuse)})


_FrozenDict = _frozen(dict, "__setitem__ __delitem__ __ior__ clear pop popitem setdefault update")

_FrozenList = _frozen(
    list, "__setitem__ __delitem__ __iadd__ __imul__ append clear extend insert pop remove reverse sort"
)


def frozen_json(value: Any) -> Any:
    """Return a copy of a JSON value that raises `TypeError` when it, or something in it, is changed."""
    if is_object(value):
        return _FrozenDict({name: frozen_json(each) for name, each in value.items()})
    return _FrozenList(map(frozen_json, value)) if is_array(value) else value


def plain_json(value: Any) -> Any:
    """Return a copy of a JSON value that consists of dicts and lists of its own."""
    if is_object(value):
        return {name: plain_json(each) for name, each in value.items()}
    return [plain_json(each) for each in value] if is_array(value) else value
