"""Turn Python values into JSON values: results of actions, defaults, events."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import attrs

from ..utils.json_values import TOO_OFTEN, check_json, repeats_too_often

if TYPE_CHECKING:
    from cattrs import Converter

__all__ = ("RepeatedTooOften", "to_checked_json", "to_json")


class RepeatedTooOften(TypeError):
    """A value that holds the same objects so often that its JSON form would be too large."""

    def __init__(self) -> None:
        super().__init__(TOO_OFTEN)


def to_json(value: Any) -> Any:
    """Return a value in its JSON form: attrs objects as objects, enum members as their values.

    An object that is in several places becomes several objects. Raise `RepeatedTooOften` for very many.
    """
    if repeats_too_often(value, _parts_of_value, sys.maxsize):
        raise RepeatedTooOften
    return _converter().unstructure(value)


def to_checked_json(value: Any) -> Any:
    """Return a value in its JSON form. Raise `TypeError` with the path of the first part that JSON cannot carry."""
    try:
        form = to_json(value)
    except RecursionError:
        raise TypeError("JSON cannot carry this: $: it nests too deep, or contains itself.") from None
    except RepeatedTooOften as error:
        raise TypeError(f"JSON cannot carry this: $: {error}.") from None
    check_json(form)
    return form


def _parts_of_value(value: Any) -> Iterable[Any] | None:
    if isinstance(value, dict):
        return cast("dict[Any, Any]", value).values()
    if isinstance(value, list | tuple | set | frozenset):
        return cast("Iterable[Any]", value)
    if isinstance(value, Mapping):
        return cast("Mapping[Any, Any]", value).values()
    fields: Any = (
        getattr(value.__class__, "__attrs_attrs__", None)
        or getattr(value.__class__, "__dataclass_fields__", {}).values()
    )
    return [getattr(value, field.name, None) for field in fields] or None


@cache
def _converter() -> Converter:
    # Imported here: it takes a fifth of the framework's import time, and few processes need it.
    from cattrs import Converter
    from cattrs.gen import make_dict_unstructure_fn

    made = Converter()

    # cattrs leaves the members of a StrEnum as they are.
    made.register_unstructure_hook(str, lambda text: text.value if isinstance(text, Enum) else text)

    @made.register_unstructure_hook_factory(attrs.has)
    def dumper(cls: type[Any]) -> Callable[[Any], Any]:  # pyright: ignore[reportUnusedFunction]
        # A field has the name of its `__init__` argument: `_key` is `key`.
        return make_dict_unstructure_fn(cls, made, _cattrs_use_alias=True)

    return made
