"""Whether a default can be shared by all calls: nothing in it can be changed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import attrs

__all__ = ("changeable_part",)

_MUTABLE: tuple[type, ...] = (list, dict, set, bytearray)


def changeable_part(value: Any) -> str | None:
    """Name the class of what could be changed in a default, itself or anything inside; None if nothing can."""
    if isinstance(value, _MUTABLE):
        return value.__class__.__name__
    if isinstance(value, tuple | frozenset):
        inner = cast("Iterable[Any]", value)
    elif attrs.has(value.__class__):
        if not _is_frozen(value):
            return f"{value.__class__.__name__}, which is not frozen"
        inner = [getattr(value, each.name) for each in attrs.fields(value.__class__)]
    else:
        return None
    return next((found for each in inner if (found := changeable_part(each)) is not None), None)


def _is_frozen(value: Any) -> bool:
    for each in attrs.fields(value.__class__):
        try:
            setattr(value, each.name, getattr(value, each.name))
        except (attrs.exceptions.FrozenInstanceError, attrs.exceptions.FrozenAttributeError):
            continue
        except Exception:  # a setter of its own that objects to something else
            return False
        return False
    return True
