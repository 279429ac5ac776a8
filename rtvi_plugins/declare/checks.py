"""Reject mistakes that all decorators share, and that Python would accept or report unclearly."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from types import NoneType
from typing import Any, Never, NoReturn

from ..errors import DeclarationError
from ..utils.diagnostics import authors_line, nearest, replaced_by, where
from .specs import AnyFunction, specs_of

__all__ = ("check_flag", "check_function", "is_plain_function", "reject_result", "reject_unknown")


def is_plain_function(value: Any) -> bool:
    """Return whether a value is what a decorator without parentheses gets: a function or a class."""
    return inspect.isfunction(value) or inspect.isclass(value) or isinstance(value, staticmethod | classmethod)


def check_function(decorator: str, function: Any) -> None:
    """Reject everything but functions of a module: declarations are only collected from these."""
    inner: Any = inspect.unwrap(function) if callable(function) else function
    if not inspect.isfunction(function) or not inspect.isfunction(inner):
        what = f"the class {function.__name__}" if inspect.isclass(function) else f"a {type(function).__name__}"
        raise DeclarationError(
            None, f"@{decorator} ({authors_line()}) decorates {what}. Decorate a function of the module."
        )
    owner = inner.__qualname__.rpartition("<locals>.")[2].rpartition(".")[0]
    if owner:
        raise DeclarationError(function, f"is inside the class {owner}. Write it as a function of the module.")
    replaced = replaced_by(function)
    if replaced is not None and specs_of(replaced):
        raise DeclarationError(function, f"has the name of {where(replaced)}, which is lost. Rename one of them.")


def reject_unknown(function: AnyFunction, decorator: str, unknown: Iterable[str], known: Iterable[str]) -> None:
    """Reject unknown arguments of a decorator."""
    names = list(known)
    for each in unknown:
        near = nearest(each, names)
        hint = f"did you mean {near}=?" if near else f"it has {', '.join(f'{name}=' for name in names) or 'none'}."
        raise DeclarationError(function, f"@{decorator} has no argument {each}=; {hint}")


def check_flag(function: AnyFunction, name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise DeclarationError(function, f"{name}= is True or False, not {value!r}.")


def reject_result(function: AnyFunction, what: str, returns: Any) -> None:
    if returns not in (None, NoneType, Any, Never, NoReturn):
        raise DeclarationError(function, f"is annotated with a result, but {what} returns nothing. Write -> None.")
