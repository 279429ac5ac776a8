"""Read a function's signature: parameters before its `/` are injected, parameters after it are sent.

Also reject mistakes that all decorators share, and that Python would accept or report unclearly.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Never, NoReturn, Union, cast, get_args, get_origin

import attrs
from attrs import frozen
from typing_extensions import Doc, deprecated

from ..errors import DeclarationError, Problem
from ..kinds import kind_of
from ..session import Secret, Session
from ..utils.error_texts import authors_line, replaced_by, where
from ..utils.json_values import json_problem
from ..utils.names import nearest
from .annotations import meaning_of, read, read_hints
from .arrays_and_objects import mutable_part
from .specs import REQUIRED, AnyFunction, Parameter, specs_of
from .to_json import RepeatedTooOften, to_json
from .types import Shape, UnsupportedType, Validator, Was, check, summary
from .validators import restriction

__all__ = (
    "Signature",
    "Was",
    "check_flag",
    "check_function",
    "check_narrowed",
    "is_plain_function",
    "is_session",
    "problems_text",
    "read_result",
    "read_signature",
    "reject_hidden_async",
    "reject_result",
    "reject_unknown",
)


@frozen
class Signature:
    """The parameters of a function before its `/` (`given`, with annotations) and after it (`sent`)."""

    given: Mapping[str, Any]
    sent: Mapping[str, Parameter]
    returns: Any
    doc: str


def read_signature(function: AnyFunction, *, given: str, example: str, defaults: bool = False) -> Signature:
    """Return the signature of a declared function.

    `given` and `example` are for the message when there is no `/`; without them, there need not be one. `defaults`
    demands a default of every parameter that is sent.
    """
    parameters = list(inspect.signature(function).parameters.values())
    hints = read_hints(function)
    before = [parameter for parameter in parameters if parameter.kind is parameter.POSITIONAL_ONLY]
    after = [parameter for parameter in parameters if parameter.kind is not parameter.POSITIONAL_ONLY]
    if not before and given:
        raise DeclarationError(function, f"before the '/' {given}, as in {example}.")
    sent = {each.name: _parameter_after_slash(function, each, hints, defaults) for each in after}
    _refuse_names_twice(function, sent)
    doc = summary(function.__doc__)
    _refuse_texts_without_json(
        function, "its", {"docstring": doc, "deprecation": getattr(function, "__deprecated__", None)}
    )
    return Signature(
        {each.name: _annotation_before_slash(function, each, hints) for each in before}, sent, hints.get("return"), doc
    )


def _annotation_before_slash(function: AnyFunction, parameter: inspect.Parameter, hints: Mapping[str, Any]) -> Any:
    if parameter.name not in hints:
        raise DeclarationError(function, f"annotate {parameter.name!r}.")
    if parameter.default is not parameter.empty:
        raise DeclarationError(
            function, f"{parameter.name!r} is before the '/' and is injected, so it takes no default. Remove it."
        )
    return hints[parameter.name]


def _parameter_after_slash(
    function: AnyFunction, parameter: inspect.Parameter, hints: Mapping[str, Any], defaults: bool
) -> Parameter:
    name = parameter.name
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        stars = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**"
        raise DeclarationError(function, f"{stars}{name} cannot be described to a client. Name each argument.")
    if name not in hints:
        raise DeclarationError(function, f"annotate {name!r}.")
    if _is_injected(hints[name]):
        raise DeclarationError(function, f"{name!r} is given by the framework. Put a '/' after it: ({name}: …, /, …).")
    try:
        shape = read(hints[name])
    except UnsupportedType as error:
        raise DeclarationError(function, f"{name!r} {error}.") from None
    metadata = _annotated_metadata(hints[name])
    declared = Parameter(
        name=name,
        shape=shape,
        default=_default_of_parameter(function, parameter, shape, defaults),
        doc=next((str(each.documentation) for each in metadata if isinstance(each, Doc)), ""),
        was=tuple(each.name for each in metadata if isinstance(each, Was)),
        deprecated=next((each.message for each in metadata if isinstance(each, deprecated)), None),
    )
    texts = {"documentation": declared.doc, "former names": declared.was, "deprecation": declared.deprecated}
    _refuse_texts_without_json(function, f"{name!r}: its", {"type": shape.schema, **texts})
    return declared


def _is_injected(annotation: Any) -> bool:
    """Return whether a parameter is the session, a key or a service, or may be None instead."""
    members = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return any(is_session(each) or each is Secret or kind_of(each) is not None for each in members)


def _refuse_texts_without_json(function: AnyFunction, whose: str, texts: Mapping[str, Any]) -> None:
    """Reject text that JSON cannot carry: it would be in descriptions."""
    for what, value in texts.items():
        if (bad := json_problem(value)) is not None:
            raise DeclarationError(function, f"{whose} {what} cannot be sent as JSON: {bad[1]}.")


def _annotated_metadata(annotation: Any) -> tuple[Any, ...]:
    # `Annotated[X, …] | None` keeps what it says in the member; Optional must not lose a name or a doc.
    annotation = meaning_of(annotation)
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        return (*metadata, *_annotated_metadata(inner))
    return tuple(
        each
        for member in get_args(annotation)
        if get_origin(meaning_of(member)) is Annotated
        for each in _annotated_metadata(member)
    )


def _default_of_parameter(function: AnyFunction, parameter: inspect.Parameter, shape: Any, defaults: bool) -> Any:
    if parameter.default is parameter.empty:
        if defaults:
            raise DeclarationError(function, f"give {parameter.name!r} a default.")
        return REQUIRED
    written: Any = parameter.default
    if (mutable := mutable_part(written)) is not None:
        has = "is" if mutable.partition(",")[0] == written.__class__.__name__ else "holds"
        raise DeclarationError(
            function,
            f"the default of {parameter.name!r} {has} a {mutable}, which all calls would share. "
            "Use (), None or a frozen attrs object.",
        )
    try:
        value = to_json(written)
        problem = problems_text(check(shape, value)[1], value)
    except RepeatedTooOften as error:
        value, problem = None, str(error)
    if problem:
        hint = " If it may be None, write | None after its type." if written is None else ""
        raise DeclarationError(function, f"the default of {parameter.name!r} does not fit its type: {problem}.{hint}")
    return value


def problems_text(problems_of_value: Iterable[Problem], value: Any) -> str:
    """Return the problems of a value that an author wrote as one text; empty if it is valid and JSON can carry it."""
    problems = [(each.path, each.message) for each in problems_of_value]
    if not problems and (bad := json_problem(value)) is not None:
        problems = [bad]
    return "; ".join(f"{path}: {message}" for path, message in problems).removeprefix("$: ")


def _refuse_names_twice(function: AnyFunction, sent: Mapping[str, Parameter]) -> None:
    names = [name for parameter in sent.values() for name in (parameter.name, *parameter.was)]
    if twice := {name for name in names if names.count(name) > 1}:
        raise DeclarationError(function, f"uses the name {min(twice)!r} twice, counting former names.")


def read_result(function: AnyFunction, signature: Signature) -> Shape:
    """Return the shape of an action's result. The annotation is required, because clients can read it."""
    if "return" not in read_hints(function):
        raise DeclarationError(function, "annotate what it returns, as in -> bool or -> None.")
    try:
        shape = read(signature.returns)
    except UnsupportedType as error:
        raise DeclarationError(function, f"its result {error}.") from None
    metadata = _annotated_metadata(signature.returns)
    if any(isinstance(each, Was) for each in metadata):
        raise DeclarationError(function, "its result has Was(…). Only an argument or an option has former names.")
    doc = next((str(each.documentation) for each in metadata if isinstance(each, Doc)), None)
    described = shape.schema if doc is None else {**shape.schema, "description": doc}
    _refuse_texts_without_json(function, "its", {"result's description": described})
    return attrs.evolve(shape, schema=described)


def is_session(annotation: Any) -> bool:
    """Return whether an annotation is `Session`, or `Session[…]` with the class of its state."""
    return annotation is Session or get_origin(annotation) is Session


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


def reject_hidden_async(function: AnyFunction) -> None:
    """Reject a coroutine function in a plain wrapper: the framework would not await what the wrapper returns."""
    inner: Any = inspect.unwrap(function)
    if inspect.iscoroutinefunction(inner) and not inspect.iscoroutinefunction(function):
        raise DeclarationError(
            function, "is async, but a decorator below hides it. Write async def for its wrapper, and await in it."
        )


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


def check_narrowed(
    function: AnyFunction, sent: Mapping[str, Parameter], narrowed: Any, what: str = "arguments"
) -> Mapping[str, Validator]:
    """Return `narrowed=` of options or an action. Reject validators that do not fit what they narrow."""
    if not isinstance(narrowed, Mapping | None):
        raise DeclarationError(function, "narrowed= is a mapping of validators, as in narrowed={'text': max_len(200)}.")
    validators = dict(cast("Mapping[str, Validator]", narrowed or {}))
    for name, validator in validators.items():
        if name not in sent:
            raise DeclarationError(function, f"narrowed= names {name!r}, which is not one of its {what}: {list(sent)}.")
        try:
            restriction(sent[name].shape, validator)
        except UnsupportedType as error:
            raise DeclarationError(function, f"narrowed= of {name!r} {error}.") from None
    return validators
