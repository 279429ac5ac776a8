"""Declarations as data: how a function carries them, and which of them belong to a module."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any
from unittest.mock import Mock

import pytest
from attrs.validators import ge, le

from rtvi_plugins import Grant
from rtvi_plugins.declare.annotations import read
from rtvi_plugins.declare.specs import ActionSpec, Parameter, mark, specs_in, specs_of
from rtvi_plugins.declare.types import check
from rtvi_plugins.declare.validators import narrow
from rtvi_plugins.errors import DeclarationError


def action_spec(function: Any) -> ActionSpec:
    """A declaration of an action without arguments."""
    return ActionSpec(
        targets=("bot",),
        name=function.__name__,
        function=function,
        parameters={},
        result=read(None),
        given=(),
        is_async=False,
        long=False,
        deadline=None,
        finish=True,
        narrowed={},
        deprecated=None,
        doc="",
    )


def marked(name: str, module: str = "acme") -> Any:
    """A function of a module with a declaration."""

    def function() -> None: ...

    function.__name__, function.__module__ = name, module
    return mark(function, action_spec(function))


def test_a_mark_leaves_the_function_and_adds_to_those_before() -> None:
    """One function may be declared several times."""

    def function() -> None: ...

    first, second = action_spec(function), action_spec(function)
    assert mark(mark(function, first), second) is function
    assert specs_of(function) == (first, second)


def test_what_was_not_declared_carries_nothing() -> None:
    """It may be any object."""
    assert specs_of(test_what_was_not_declared_carries_nothing) == specs_of(None) == specs_of(3) == ()


def test_a_modules_declarations_are_those_of_its_own_functions() -> None:
    """They have the order of the source. Imported functions do not count, and an alias counts once."""
    module = ModuleType("acme")
    later, sooner, foreign = marked("later"), marked("sooner"), marked("foreign", "other")
    vars(module).update(sooner=sooner, foreign=foreign, later=later, alias=sooner, number=3)
    assert [each.name for each in specs_in(module) if isinstance(each, ActionSpec)] == ["sooner", "later"]


def test_a_parameter_without_a_default_is_required() -> None:
    """A default of null is a default."""
    assert Parameter("text", read(str)).required
    assert not Parameter("text", read(str | None), None).required


def test_a_grant_joins_its_validators() -> None:
    """Its `repr` shows what it grants."""
    grant = Grant("llm.temperature", ge(0), le(1), writable=False)
    assert grant.validator is not None
    shape = narrow(read(float), [grant.validator])
    assert [bool(check(shape, value)[1]) for value in (-1, 0.5, 2)] == [True, False, True]
    assert Grant("llm.model").validator is None
    assert "llm.temperature" in repr(grant)
    assert "writable=False" in repr(grant)


def _without_wraps(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        return function(*args)

    return call


@pytest.mark.parametrize("decorator", [_without_wraps, functools.partial])
def test_a_declaration_under_a_decorator_without_wraps_is_rejected(decorator: Callable[..., Any]) -> None:
    """The wrapper does not carry the declaration, so it would be ignored."""
    names: dict[str, Any] = {"__name__": "an_author_wrote"}
    exec("from rtvi_plugins import action\n@action('bot')\ndef say() -> None: ...", names)
    module = ModuleType("an_author_wrote")
    vars(module)["say"] = decorator(names["say"])
    with pytest.raises(DeclarationError, match=r"say\(\) .* is hidden by another decorator above it\."):
        specs_in(module)


def test_whatever_else_a_module_holds_hides_nothing() -> None:
    """Classes have the attributes of functions too, and some objects have every attribute."""
    module = ModuleType("acme")
    vars(module).update(FunctionType=FunctionType, partial=functools.partial, anything=Mock(), say=marked("say"))
    vars(module)["say"].__module__ = "acme"
    assert len(specs_in(module)) == 1


def test_a_grant_names_the_arguments_that_it_narrows() -> None:
    """The names are strings."""
    names: Any = {5: ge(1)}
    with pytest.raises(DeclarationError, match="takes arguments= as a mapping of validators"):
        Grant("tts:say", arguments=names)
