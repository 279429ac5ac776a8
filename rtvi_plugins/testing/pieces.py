"""Judge the pieces of a stream: their classes, and the types of their fields."""

from __future__ import annotations

from collections.abc import Sequence
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

__all__ = ("problem_of_pieces",)


def problem_of_pieces(pieces: Sequence[object], classes: tuple[type, ...]) -> str | None:
    """Return what is wrong with the first piece that is of another class, or whose field has another type."""
    fields = {cls: _fields(cls) for cls in classes}
    for each in pieces:
        if not isinstance(each, classes):
            return f"{_name(each)}. Yield {' or '.join(cls.__name__ for cls in classes)}"
        for name, allowed in fields.get(type(each), {}).items():
            value = getattr(each, name)
            if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
                asked = " or ".join("None" if cls is type(None) else cls.__name__ for cls in allowed)
                return f"{type(each).__name__} with {name} = {_name(value)}. Its {name} is {asked}"
    return None


def _name(value: object) -> str:
    """Return the class of a value, and not the value, which may hold anything."""
    return "None" if value is None else type(value).__name__


def _fields(cls: type) -> dict[str, tuple[type, ...]]:
    """Return the classes that the fields of a piece may have."""
    return {name: _classes(hint) for name, hint in get_type_hints(cls).items()}


def _classes(hint: Any) -> tuple[type, ...]:
    if get_origin(hint) in (Union, UnionType):
        return tuple(cls for each in get_args(hint) for cls in _classes(each))
    cls = get_origin(hint) or hint
    return (float, int) if cls is float else (cls,)
