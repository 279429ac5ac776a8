"""What a decorator may stand on, and what it may be given: mistakes that Python would accept, or report unclearly."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard, cast

from ..errors import DeclarationError
from ..utils.diagnostics import authors_line, nearest, where
from ..utils.json_values import is_array
from .specs import AnyFunction, Grant, specs_of

__all__ = (
    "check_bot_arguments",
    "check_function",
    "deadline_problem",
    "is_plain_function",
    "refuse_unknown",
)


def is_plain_function(value: Any) -> bool:
    """Whether a value is a function, as it stands under a decorator without parentheses."""
    return inspect.isfunction(value) or inspect.isclass(value) or isinstance(value, staticmethod | classmethod)


def check_function(decorator: str, function: Any) -> None:
    """Refuse what is no function of a module: it would never be found, or stand for another."""
    inner: Any = inspect.unwrap(function) if callable(function) else function
    if not inspect.isfunction(function) or not inspect.isfunction(inner):
        what = f"the class {function.__name__}" if inspect.isclass(function) else f"a {type(function).__name__}"
        raise DeclarationError(
            None, f"@{decorator} ({authors_line()}) stands on {what}. Write a function of the module."
        )
    owner = inner.__qualname__.rpartition("<locals>.")[2].rpartition(".")[0]
    if owner:
        raise DeclarationError(function, f"is inside of the class {owner}. Write it as a function of the module.")
    _refuse_shadowed(function, inner)


def _refuse_shadowed(function: AnyFunction, inner: Any) -> None:
    """Refuse a function that takes the name, and so the place, of one declared above it in the same file."""
    if inner.__qualname__ != inner.__name__:
        return
    before: Any = inspect.unwrap(found) if callable(found := inner.__globals__.get(inner.__name__)) else None
    ours, theirs = inner.__code__, getattr(before, "__code__", None)
    if theirs is None or not specs_of(found) or theirs.co_filename != ours.co_filename:
        return
    if theirs.co_firstlineno != ours.co_firstlineno:  # the same line is the same function, imported again
        raise DeclarationError(function, f"has the name of {where(before)}, which would be lost. Rename one of them.")


def refuse_unknown(function: AnyFunction, decorator: str, unknown: Iterable[str], known: Iterable[str]) -> None:
    """Refuse arguments that a decorator does not have."""
    names = list(known)
    for each in unknown:
        near = nearest(each, names)
        hint = f"did you mean {near}=?" if near else f"it has {', '.join(f'{name}=' for name in names) or 'none'}."
        raise DeclarationError(function, f"@{decorator} has no argument {each}=; {hint}")


def deadline_problem(deadline: Any, long: bool) -> str | None:
    """What is wrong with an action's deadline."""
    if deadline is None:
        return None
    if isinstance(deadline, bool) or not isinstance(deadline, int | float) or not 0 < deadline < math.inf:
        return f"deadline= is a number of seconds above 0, as in 2.5, not {deadline!r}."
    if long:
        return "is long=True, so it is answered at once and has no deadline. Leave out deadline=."
    return None


# ---- bots ----------------------------------------------------------------------------------------------------------


def check_bot_arguments(
    function: AnyFunction, services: Any, config: Any, public: Any, lists: Mapping[str, Any]
) -> None:
    """Refuse arguments of `@bot` of other types than it takes."""
    if not isinstance(services, Mapping | None):
        raise DeclarationError(function, "services= is a mapping, as in services={'llm': ['rules', 'openai']}.")
    named = cast("Mapping[Any, Any]", services or {})
    for name, providers in named.items():
        _check_providers(function, name, providers)
    if not _is_config(config):
        raise DeclarationError(function, "config= is a mapping of mappings, as in config={'llm': {'model': 'small'}}.")
    if not isinstance(public, bool):
        raise DeclarationError(function, f"public= is True or False, not {public!r}.")
    for name, value in lists.items():
        _check_list(function, name, value)


def _is_config(config: Any) -> bool:
    return config is None or (_is_named(config) and all(_is_named(values) for values in config.values()))


def _is_named(value: Any) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(value, Mapping) and all(isinstance(each, str) for each in cast("Mapping[Any, Any]", value))


def _check_providers(function: AnyFunction, service: Any, providers: Any) -> None:
    named = [providers] if isinstance(providers, str) else providers
    if not isinstance(service, str) or not is_array(named):
        raise DeclarationError(function, f"services= names {providers!r} for {service!r}: write a provider, or a list.")
    if not named:
        raise DeclarationError(function, f"services= names no provider for {service!r}.")
    if service == "bot":
        raise DeclarationError(function, "services= uses the name 'bot', which is the bot's own. Choose another.")
    for each in named:
        if not isinstance(each, str) or not each:
            raise DeclarationError(function, f"services= names {each!r} for {service!r}, which is no provider's name.")
        if named.count(each) > 1:
            raise DeclarationError(function, f"services= names {each!r} for {service!r} twice. Leave one out.")


def _check_list(function: AnyFunction, argument: str, value: Any) -> None:
    if isinstance(value, str | Grant):
        raise DeclarationError(function, f"{argument}= is a list: write {argument}=[{value!r}].")
    if not is_array(value):
        raise DeclarationError(function, f"{argument}= is a list of names, not a {type(value).__name__}.")
    names: list[str] = []
    for each in value:
        if not isinstance(each, str | Grant) or (argument == "plugins" and isinstance(each, Grant)):
            kinds = "a name" if argument == "plugins" else "a name or a Grant"
            raise DeclarationError(function, f"{argument}= has {each!r}, which is not {kinds}.")
        names.append(each if isinstance(each, str) else each.name)
    for each in names:
        if names.count(each) > 1:
            raise DeclarationError(function, f"{argument}= has {each!r} twice. Leave one out.")
