"""Find fields of a start request that are nearly one of the framework, such as `api_key`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import Problem
from ..utils.json_values import member_path
from .operator_fields import OPERATOR_FIELDS, safe_path

__all__ = ("misspelt_fields",)

#: All fields of a start request that the framework reads.
_FIELDS = ("services", "config", *OPERATOR_FIELDS, "resume")


def _one_letter_less(name: str) -> set[str]:
    """Return a name in lower case without separators, and this without each of its letters."""
    plain = re.sub(r"[_\-. ]", "", name.casefold())
    return {plain, *(plain[:at] + plain[at + 1 :] for at in range(len(plain)))}


#: The forms of all fields. A name that has one of them in common differs by a letter, two exchanged ones or the case.
_SIMILAR = {form: name for name in _FIELDS for form in _one_letter_less(name)}

_LONGEST_MISSPELT = max(map(len, _FIELDS)) + 2


def misspelt_fields(body: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield a problem for each field that is nearly one of the framework, such as `api_key`.

    Any other field is the application's own. There, a misspelt one has no effect, and the bot can read a key in it.
    """
    for name in body:
        if name in _FIELDS or len(name) > _LONGEST_MISSPELT:
            continue
        meant = next((_SIMILAR[form] for form in _one_letter_less(name) if form in _SIMILAR), None)
        if meant is not None:
            text = f"did you mean {meant!r}? Give a field of your application another name."
            yield Problem(safe_path(member_path("$", name)), text, meant)
