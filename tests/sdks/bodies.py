"""Compare a request with the type that an SDK has for it. Scripts in the environment of the SDKs import it."""
# pyright: basic, reportMissingImports=false
# mypy: ignore-errors

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from typing_extensions import NoExtraItems, is_typeddict


def misfits(type: Any, value: object, at: str = "$") -> list[str]:
    """Return where a JSON value does not fit a type: fields that are unknown or missing, and values of other types."""
    origin, members = get_origin(type), get_args(type)
    if is_typeddict(type):
        return _misfits_of_fields(type, value, at) if isinstance(value, dict) else [f"{at} is not an object"]
    if origin in (Union, UnionType):
        return min((misfits(each, value, at) for each in members), key=len)
    if origin is Literal:
        return [] if value in members else [f"{at} is {value!r}, not {members}"]
    if origin is not None and issubclass(origin, Mapping):
        return [] if isinstance(value, dict) else [f"{at} is not an object"]
    if origin is not None and members:  # a list, or what iterates like one
        if not isinstance(value, list):
            return [f"{at} is not an array"]
        return [each for n, item in enumerate(value) for each in misfits(members[0], item, f"{at}[{n}]")]
    types = {float: (int, float), None: (NoneType,), object: (object,), Any: (object,)}.get(type, (type,))
    return [] if isinstance(value, types) else [f"{at} is {value!r}, not {type}"]


def _misfits_of_fields(type: Any, value: dict[str, Any], at: str) -> list[str]:
    hints = get_type_hints(type)
    found = [f"{at} lacks {name}" for name in type.__required_keys__ if name not in value]
    if getattr(type, "__extra_items__", NoExtraItems) is NoExtraItems:
        found += [f"{at}.{name} is unknown" for name in value if name not in hints]
    return found + [
        each for name in value if name in hints for each in misfits(hints[name], value[name], f"{at}.{name}")
    ]
