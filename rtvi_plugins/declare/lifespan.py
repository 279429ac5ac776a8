"""The decorator `lifespan`, and what functions take before a `/` from lifespans and keys."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from enum import Enum
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

from ..errors import DeclarationError
from ..kinds import kind_of
from ..session import Secret
from ..utils.error_texts import authors_line
from .annotations import read_hints
from .signature import check_function, is_plain_function, is_session, read_signature
from .specs import AnyFunction, LifespanSpec, LifespanValue, SecretSpec, mark, specs_of

__all__ = ("check_context_manager", "lifespan", "lifespan_value", "secret_of", "yielded")

Opens = TypeVar("Opens", bound="Callable[..., AbstractAsyncContextManager[Any]]")

_YIELDING = (AsyncGenerator, AsyncIterator, AsyncIterable, AbstractAsyncContextManager)


def lifespan(function: Opens, /) -> Opens:
    """Declare what is opened once, before the first session, and closed after the last: an async context manager.

    The bot, its actions, and the services and actions of the same plugin receive the value that it yields: they take a
    parameter before the `/` that is annotated with the same class. One that yields nothing is opened for every bot that
    uses its module. Parameters before its `/` are keys, each a `Secret`: `database(url: Secret, /)` reads
    `DATABASE_URL`. It has no others.
    """
    if not is_plain_function(function):
        raise DeclarationError(None, f"@lifespan decorates {function!r}. Write @lifespan, without parentheses.")
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
    elif not inspect.isasyncgenfunction(inner) and inspect.iscoroutinefunction(function):
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
    own = isinstance(cls, type) and cls.__module__ not in ("builtins", "typing", "collections.abc")
    if own and not is_session(cls) and cls is not Secret and kind_of(cls) is None and not issubclass(cls, Enum):
        return None
    return getattr(annotation, "__name__", str(annotation))
