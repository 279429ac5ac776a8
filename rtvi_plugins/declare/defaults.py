"""Find what could be changed in a default, which all calls share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import attrs

__all__ = ("mutable_part",)

_MUTABLE: tuple[type, ...] = (list, dict, set, bytearray)


def mutable_part(default: Any) -> str | None:
    """Name the class of the first mutable object in a default, itself included; None if there is none."""
    return _mutable_part(default, {})


def _mutable_part(default: Any, seen: dict[int, Any]) -> str | None:
    """Look at each object once, however often the default holds it."""
    if id(default) in seen:
        return None
    seen[id(default)] = default  # the object itself, so that its identity is not given to another one
    if isinstance(default, _MUTABLE):
        return default.__class__.__name__
    if isinstance(default, tuple | frozenset):
        inner = cast("Iterable[Any]", default)
    elif attrs.has(default.__class__):
        if not _is_frozen(default):
            return f"{default.__class__.__name__}, which is not frozen"
        inner = [getattr(default, each.name) for each in attrs.fields(default.__class__)]
    else:
        return None
    return next((found for each in inner if (found := _mutable_part(each, seen)) is not None), None)


def _is_frozen(value: Any) -> bool:
    for each in attrs.fields(value.__class__):
        try:
            setattr(value, each.name, getattr(value, each.name))
        except (attrs.exceptions.FrozenInstanceError, attrs.exceptions.FrozenAttributeError):
            continue
        except Exception:  # a setter of the class that rejects the value for another reason
            return False
        return False
    return True
