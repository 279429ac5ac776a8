"""What a bot grants to its clients or to its LLM, as its author writes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from attrs.validators import and_

from ..errors import DeclarationError
from ..utils.error_texts import authors_line
from .types import Validator

__all__ = ("Grant",)


class Grant:
    """A permission for clients to set, call or choose something, by name, optionally narrowed.

    `Grant("llm.temperature", le(1.0))` lets a client set an option within bounds that are tighter than its own;
    `Grant("llm.model", writable=False)` lets it read one; `Grant("tts:say", arguments={"text": max_len(200)})`
    narrows an action's arguments. Validators of attrs set these limits.
    """

    __slots__ = ("arguments", "name", "validator", "writable")

    def __init__(
        self,
        name: str,
        /,
        *validators: Validator,
        arguments: Mapping[str, Validator] | None = None,
        writable: bool = True,
    ) -> None:
        problem = _grant_problem(name, validators, arguments, writable)
        if problem is not None:
            raise DeclarationError(None, f"Grant({name!r}, …) ({authors_line()}) {problem}")
        self.name = name
        self.validator: Validator | None = and_(*validators) if validators else None
        self.arguments: Mapping[str, Validator] = dict(arguments or {})
        self.writable = writable

    def __repr__(self) -> str:
        return (
            f"Grant({self.name!r}, validator={self.validator!r}, arguments={self.arguments}, writable={self.writable})"
        )


def _grant_problem(name: Any, validators: Sequence[Any], arguments: Any, writable: Any) -> str | None:
    if not isinstance(name, str):
        return "needs a name, as in Grant('llm.model')."
    if not all(callable(each) for each in validators):
        return "takes validators of attrs, as in Grant('llm.temperature', le(1.0))."
    narrowed: Any = {} if arguments is None else arguments
    if not isinstance(narrowed, Mapping) or not all(
        isinstance(each, str) and callable(validator) for each, validator in cast("Mapping[Any, Any]", narrowed).items()
    ):
        return "takes arguments= as a mapping of validators, as in arguments={'text': max_len(200)}."
    if not isinstance(writable, bool):
        return "takes writable= as True or False."
    return None
