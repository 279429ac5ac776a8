"""Lifespans: the decorator, what functions take before a `/` from lifespans and keys, and which lifespan each is given.

A parameter is given the lifespan that yields its class. `rtvi_plugins.runtime.lifespans` opens them.
"""

from __future__ import annotations

import inspect
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from enum import Enum
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

from attrs import field, frozen

from ..errors import DeclarationError
from ..kinds import kind_of
from ..session import Secret
from ..utils.error_texts import authors_line, where
from ..utils.names import nearest
from .annotations import read_hints
from .signature import check_function, is_plain_function, is_session, read_signature
from .specs import (
    ActionSpec,
    AnyFunction,
    BotSpec,
    LifespanSpec,
    LifespanValue,
    OptionsSpec,
    ProviderSpec,
    SecretSpec,
    Spec,
    mark,
    specs_of,
)

__all__ = (
    "Lifespans",
    "check_context_manager",
    "choose_lifespans",
    "lifespan",
    "lifespan_value",
    "secret_of",
    "yielded",
)

Opens = TypeVar("Opens", bound="Callable[..., AbstractAsyncContextManager[Any]]")

_YIELDING = (AsyncGenerator, AsyncIterator, AsyncIterable, AbstractAsyncContextManager)


#: What `@lifespan()` is passed.
_NOTHING: Any = None


def lifespan(function: Opens = _NOTHING, /) -> Opens:
    """Declare what is opened once, before the first session, and closed after the last: an async context manager.

    The bot, its actions, and the services and actions of the same plugin receive the value that it yields: they take a
    parameter before the `/` that is annotated with the same class. One that yields nothing is opened for every bot that
    uses its module. Parameters before its `/` are keys, each a `Secret`: `database(url: Secret, /)` reads
    `DATABASE_URL`. It has no others.
    """
    if not is_plain_function(function):
        message = f"@lifespan ({authors_line()}) decorates {function!r}. Write @lifespan, without parentheses."
        raise DeclarationError(None, message)
    if specs_of(function):
        message = f"@lifespan ({authors_line()}) names {function.__name__}(). Write @lifespan alone. It has no target: "
        raise DeclarationError(None, f"{message}a parameter before a '/' receives the value by its class.")
    check_function("lifespan", function)
    check_context_manager("lifespan", function)
    signature = read_signature(function, given="", example="")
    if signature.sent:
        name = next(iter(signature.sent))
        message = f"takes {name!r} after the '/', but nobody sends anything to a lifespan. Remove it."
        raise DeclarationError(function, message)
    given = {name: secret_of(name, annotation) for name, annotation in signature.given.items()}
    for name, secret in given.items():
        if secret is None:
            raise DeclarationError(
                function, f"takes {name!r} before the '/'. A lifespan takes only keys: annotate it with Secret."
            )
    secrets = tuple(each for each in given.values() if each is not None)
    annotation = yielded(function)
    if annotation is None:
        message = "does not say what it yields. Annotate it, as in -> AsyncGenerator[Menu], or -> AsyncGenerator[None]."
        raise DeclarationError(function, message)
    if annotation is not NoneType and (problem := _why_no_lifespan(annotation)) is not None:
        raise DeclarationError(
            function, f"yields {problem}, which no parameter can name. Yield an object of a class of your own."
        )
    return mark(function, LifespanSpec(function.__name__, function, annotation, secrets))


def secret_of(name: str, annotation: Any) -> SecretSpec | None:
    """Return the spec of the key that a parameter takes, or None if it takes no key."""
    if annotation is Secret:
        return SecretSpec(name, optional=False)
    optional = get_origin(annotation) in (Union, UnionType) and set(get_args(annotation)) == {Secret, NoneType}
    return SecretSpec(name, optional=True) if optional else None


def check_context_manager(decorator: str, function: AnyFunction) -> None:
    inner = inspect.unwrap(function)
    if inspect.isasyncgenfunction(function):
        message = f"is an async generator. Put @asynccontextmanager between @{decorator} and the function."
    elif not inspect.isasyncgenfunction(inner) and (
        inspect.iscoroutinefunction(function)
        or (
            inspect.iscoroutinefunction(inner)
            and function.__code__.co_filename == asynccontextmanager.__code__.co_filename
        )
    ):
        what = "service" if decorator == "service" else "value"
        message = f"is a coroutine function. Yield the {what} from it, under @asynccontextmanager."
    elif inspect.isgeneratorfunction(inner):
        message = "is a generator. Write async def under @asynccontextmanager."
    else:
        return
    raise DeclarationError(function, message)


def yielded(function: AnyFunction) -> Any:
    """Return the annotation of what a context manager yields; None if it has none."""
    returns = read_hints(function).get("return")
    args = get_args(returns)
    if get_origin(returns) not in _YIELDING or not args:
        return None
    return NoneType if args[0] is None else args[0]


def lifespan_value(name: str, annotation: Any) -> LifespanValue | None:
    """Return the value of a lifespan that a parameter before a `/` takes; None if no lifespan yields such a thing."""
    return LifespanValue(name, annotation) if _why_no_lifespan(annotation) is None else None


def _why_no_lifespan(annotation: Any) -> str | None:
    """Return the name of an annotation that identifies no lifespan: anything but a class of its own."""
    cls = get_origin(annotation) or annotation
    own = isinstance(cls, type) and cls.__module__ not in ("builtins", "types", "typing", "collections.abc")
    if own and not is_session(cls) and cls is not Secret and kind_of(cls) is None and not issubclass(cls, Enum):
        return None
    return getattr(annotation, "__name__", str(annotation))


@frozen
class Lifespans:
    """The lifespans of one bot, in the order to open them, and the one of each parameter, by function and name."""

    specs: tuple[LifespanSpec, ...] = ()
    of_parameter: Mapping[tuple[AnyFunction, str], LifespanSpec] = field(factory=dict[Any, LifespanSpec])


def choose_lifespans(
    used: Iterable[Spec], declared: Sequence[Spec], families: Sequence[Collection[str]] = ()
) -> Lifespans:
    """Return the lifespans for the declarations that a bot uses, out of all that its modules declare.

    A lifespan of the same module comes before one of the same family of modules, and that before others. Raise
    `DeclarationError` for a parameter with no lifespan or two, and for a value that nothing takes.
    """
    lifespans = [spec for spec in declared if isinstance(spec, LifespanSpec)]
    _reject_unused_lifespans(lifespans, declared)
    of_parameter: dict[tuple[AnyFunction, str], LifespanSpec] = {}
    for spec in used:
        for value in _lifespan_values(spec):
            of_parameter[spec.function, value.name] = _lifespan_of(spec.function, value, lifespans, families)
    needed = [
        lifespan for lifespan in lifespans if lifespan.annotation is NoneType or lifespan in of_parameter.values()
    ]
    return Lifespans(tuple(needed), of_parameter)


def _lifespan_values(spec: Spec) -> Iterable[LifespanValue]:
    if isinstance(spec, ActionSpec | BotSpec | OptionsSpec | ProviderSpec):
        yield from (each for each in spec.given if isinstance(each, LifespanValue))


def _reject_unused_lifespans(lifespans: Iterable[LifespanSpec], declared: Iterable[Spec]) -> None:
    taken = [value.annotation for spec in declared for value in _lifespan_values(spec)]
    for lifespan in lifespans:
        if lifespan.annotation is not NoneType and lifespan.annotation not in taken:
            name = _class_name(lifespan.annotation)
            message = (
                f"yields {name}, which nothing takes. Take it before a '/', as in (session: Session, {lifespan.name}: "
            )
            raise DeclarationError(
                lifespan.function, f"{message}{name}, /), or yield nothing, as in -> AsyncGenerator[None]."
            )


def _lifespan_of(
    function: AnyFunction, value: LifespanValue, lifespans: Sequence[LifespanSpec], families: Sequence[Collection[str]]
) -> LifespanSpec:
    fitting = [lifespan for lifespan in lifespans if lifespan.annotation == value.annotation]
    if not fitting:
        raise DeclarationError(function, _missing_lifespan(value, lifespans))
    distances = [_module_distance(function.__module__, each.function.__module__, families) for each in fitting]
    near = [each for each, distance in zip(fitting, distances, strict=True) if distance == min(distances)]
    if len(near) > 1:
        places = " and ".join(where(each.function) for each in near)
        message = (
            f"takes {value.name!r}, and two lifespans yield {_class_name(value.annotation)}: {places}. Remove one, or "
        )
        raise DeclarationError(function, f"{message}give it a class of its own.")
    return near[0]


def _module_distance(one: str, other: str, families: Iterable[Collection[str]]) -> int:
    if one == other:
        return 0
    return 1 if any(one in family and other in family for family in families) else 2


def _missing_lifespan(value: LifespanValue, lifespans: Iterable[LifespanSpec]) -> str:
    name, known = _class_name(value.annotation), {_class_name(lifespan.annotation): lifespan for lifespan in lifespans}
    problem = f"takes '{value.name}: {name}' before the '/', but no @lifespan of the bot or its plugins yields {name}."
    near = known[nearest(name, known) or next(iter(known))] if known else None
    if near is not None:
        problem += f" {where(near.function)} yields {_class_name(near.annotation)}."
    how = f"Write one with -> AsyncGenerator[{name}]. The live service is the first parameter, and what a client sends "
    return f"{problem} {how}is after the '/'."


def _class_name(annotation: Any) -> str:
    return str(getattr(annotation, "__name__", annotation))
