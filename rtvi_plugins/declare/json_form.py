"""Turn Python values into JSON values: results of actions, defaults, events."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any

import attrs

from ..utils.json_values import check_json

if TYPE_CHECKING:
    from cattrs import Converter

__all__ = ("to_checked_json", "to_json")


def to_json(value: Any) -> Any:
    """Return a value in its JSON form: attrs objects as objects, enum members as their values."""
    return _converter().unstructure(value)


def to_checked_json(value: Any) -> Any:
    """Return a value in its JSON form. `TypeError` with the path of the first part that JSON cannot carry."""
    try:
        form = to_json(value)
    except RecursionError:
        raise TypeError("JSON cannot carry this: $: it nests too deep, or contains itself.") from None
    check_json(form)
    return form


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
