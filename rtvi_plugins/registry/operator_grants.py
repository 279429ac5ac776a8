"""Read the grants of an operator from JSON. They come with a start request and narrow the bot's grants."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs.validators import and_, ge, gt, in_, le, lt, matches_re, max_len, min_len

from ..declare.shapes import Validator
from ..declare.specs import Grant
from ..errors import InvalidStart, Problem
from ..utils.diagnostics import nearest
from ..utils.json_values import is_array, is_object, json_type_name, member_path, until_max_problems

__all__ = ("read_grants",)

#: Each bound, with what an operator may give it.
_BOUNDS: Mapping[str, tuple[tuple[type, ...], Callable[[Any], Validator]]] = {
    "ge": ((int, float), ge),
    "gt": ((int, float), gt),
    "le": ((int, float), le),
    "lt": ((int, float), lt),
    "in": ((list,), in_),
    "min_len": ((int,), min_len),
    "max_len": ((int,), max_len),
    "matches": ((str,), matches_re),
}


def read_grants(sent: object, path: str = "$.grants") -> list[Grant]:
    """Read grants from JSON: names, or objects `{name, writable?, arguments?}` with bounds `ge gt le lt in …`."""
    problems: list[Problem] = []
    if not is_array(sent):
        raise InvalidStart([Problem(path, f"expected an array, got {json_type_name(sent)}")])
    each_of = until_max_problems(enumerate(sent), problems)
    read = [_read_grant(each, f"{path}[{index}]", problems) for index, each in each_of]
    if problems:
        raise InvalidStart(problems)
    return read


def _read_grant(sent: Any, path: str, problems: list[Problem]) -> Grant:
    if isinstance(sent, str):
        return Grant(sent)
    if not is_object(sent) or not isinstance(name := sent.get("name"), str):
        problems.append(Problem(path, f"expected a name, or an object with a name, got {json_type_name(sent)}"))
        return Grant("")
    fields = {key: value for key, value in sent.items() if key != "name"}
    arguments, writable = fields.pop("arguments", {}), fields.pop("writable", True)
    if not is_object(arguments) or not isinstance(writable, bool):
        problems.append(Problem(path, "expected arguments to be an object and writable true or false"))
        return Grant(name)
    narrowed = {
        argument: and_(*_bounds(bounds, member_path(f"{path}.arguments", argument), problems))
        for argument, bounds in until_max_problems(arguments.items(), problems)
    }
    return Grant(name, *_bounds(fields, path, problems), arguments=narrowed, writable=writable)


def _bounds(sent: Any, path: str, problems: list[Problem]) -> list[Validator]:
    if not is_object(sent):
        problems.append(Problem(path, f"expected an object of bounds, got {json_type_name(sent)}"))
        return []
    made: list[Validator] = []
    for name, bound in until_max_problems(sent.items(), problems):
        if name not in _BOUNDS:
            # Not its name: in the operator's part of a start anything may be a key.
            problems.append(Problem(path, f"unknown bound; known: {', '.join(_BOUNDS)}.", nearest(name, _BOUNDS)))
            continue
        classes, make = _BOUNDS[name]
        try:
            if bound.__class__ not in classes:
                raise TypeError
            made.append(make(bound))
        except Exception:
            problems.append(Problem(f"{path}.{name}", f"is no bound for {name!r}"))
    return made
