"""A service that is open: its `Handle`, and whether it follows the Protocol of its kind.

A bot holds a `Handle`, which forwards to the service that is in use. A service has the methods of its kind, with
parameters, results and streams that fit.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from types import FunctionType, UnionType
from typing import Any, Final, Union, cast, get_args, get_origin, get_type_hints
from weakref import WeakKeyDictionary, WeakSet

from attrs import define, field
from typing_extensions import get_protocol_members

from ..errors import ProviderError
from ..kinds import ChecksKey, ListeningSTT
from ..registry.registry import Provider
from ..utils.plugin_calls import reraise_control_flow
from .lifespans import OpenContext

__all__ = ("Handle", "OpenService", "live_service", "misfit", "misfit_of_service")


@define(eq=False, repr=False, init=False)
class OpenService(OpenContext):
    """A service that is open."""

    service: str = field(init=False)
    provider: Provider = field(init=False)

    def __init__(self, service: str, provider: Provider, manager: AbstractAsyncContextManager[Any]) -> None:
        super().__init__(f"the service {service!r} ({provider.label})", manager)
        self.service, self.provider = service, provider

    @classmethod
    def down(cls, service: str, provider: Provider) -> OpenService:
        """Return a placeholder for a service that could not be opened, until it can."""
        placeholder = cls(service, provider, nullcontext())
        placeholder.error = placeholder.failure()
        return placeholder

    @property
    def is_up(self) -> bool:
        """Return whether it was opened and has not died."""
        return self.error is None and not self.ended

    @property
    def was_opened(self) -> bool:
        """Return whether it was opened. A placeholder was not."""
        return self.settled.is_set()

    def failure(self) -> ProviderError:
        """Return the error for those who use a service that has died or was not opened."""
        return ProviderError(self.provider.label, "unavailable")

    def alive(self) -> Any:
        """Return the live service. Raise `ProviderError` if it has died."""
        if self.error is not None:
            raise self.failure()
        return self.live


class Handle:
    """A service as a bot receives it. A switch of the provider does not change the handle.

    Within a turn it forwards to the service that was in use when the turn began.
    """

    __slots__ = ("_find",)

    def __init__(self, find: Callable[[], OpenService]) -> None:
        self._find = find

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the class of the service in use, so that `isinstance` finds the optional protocols of its provider."""
        return cast("type[object]", type(self._find().live))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._find().alive(), name)


def live_service(handle: object) -> Any:
    """Return the live object behind a handle: what the provider has yielded."""
    return handle._find().alive() if type(handle) is Handle else handle  # pyright: ignore[reportPrivateUsage]


#: What a service need not have, with the members by which it is recognised: `isinstance` would find them each time.
_OPTIONAL: Final[Mapping[type, frozenset[str]]] = {
    each: frozenset(get_protocol_members(each)) for each in (ListeningSTT, ChecksKey)
}


def misfit_of_service(live: object, protocol: type) -> str | None:
    """Return why a service does not follow the Protocol of its kind, or one that it need not have."""
    problem = misfit(live, protocol)
    for optional, members in _OPTIONAL.items():
        if problem is None and all(hasattr(live, name) for name in members):
            problem = misfit(live, optional)
    return problem


_STREAMS = (AsyncIterator, AsyncGenerator, AsyncIterable)

#: The classes whose objects follow a Protocol, by the Protocol: a check takes longer than the rest of a start.
_FITTING: WeakKeyDictionary[type, WeakSet[type]] = WeakKeyDictionary()


def misfit(live: object, protocol: type) -> str | None:
    """Return why an object does not follow its Protocol, for its author, or None.

    It needs each method of the Protocol, with compatible parameters. The method must return, await or stream as the
    Protocol's does. The type of the streamed items is compared if it is annotated.
    """
    members = get_protocol_members(protocol)
    try:
        if type(live) in _FITTING.get(protocol, ()) and members.isdisjoint(getattr(live, "__dict__", ())):
            return None
        if missing := [name for name in sorted(members) if not hasattr(live, name)]:
            return f"it has no {', '.join(f'{name}()' for name in missing)}"
        problem = next(_problems(live, protocol), None)
    except BaseException as error:  # a live object may answer `hasattr` with anything
        reraise_control_flow(error)
        return f"looking at it raises {type(error).__name__}"
    if problem is None and all(_is_method(type(live), name) for name in members):
        _FITTING.setdefault(protocol, WeakSet()).add(type(live))
    return problem


def _is_method(owner: type, name: str) -> bool:
    """Return whether all objects of a class have the same method, unless one has another in its `__dict__`."""
    return isinstance(inspect.getattr_static(owner, name, None), FunctionType)


def _problems(live: object, protocol: type) -> Iterator[str]:
    for name in sorted(get_protocol_members(protocol)):
        declared, found = inspect.getattr_static(protocol, name, None), getattr(live, name)
        if not isinstance(declared, FunctionType):
            continue  # an attribute, which may be anything
        if not callable(found):
            yield f"its {name} is no method"
            continue
        problem = _kind_problem(name, declared, found) or _call_problem(name, declared, found)
        if (problem := problem or _pieces_problem(name, declared, found)) is not None:
            yield problem


# ---- its methods --------------------------------------------------------------------------------------


def _kind_of(function: Callable[..., Any]) -> str:
    if inspect.isasyncgenfunction(function):
        return "stream"
    if inspect.iscoroutinefunction(function):
        return "coroutine"
    return "generator" if inspect.isgeneratorfunction(function) else "plain"


_ARE = {"stream": "an async generator", "coroutine": "a coroutine function", "generator": "a generator"}

_INSTEAD = {
    "stream": "Write async def with yield, or def and return an async iterator",
    "coroutine": "Write async def with return",
    "plain": "It is called without await: write def with return",
}


def _kind_problem(name: str, declared: Callable[..., Any], found: Callable[..., Any]) -> str | None:
    asked = "stream" if _streamed(declared) is not None else _kind_of(declared)
    given = _kind_of(found)
    # A plain function may return a coroutine, or a stream, that it got elsewhere.
    if given == asked or given == "plain" or asked not in _INSTEAD:
        return None
    return f"its {name}() is {_ARE[given]}. {_INSTEAD[asked]}"


def _call_problem(name: str, declared: Callable[..., Any], found: Callable[..., Any]) -> str | None:
    _, *parameters = inspect.signature(declared).parameters.values()
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):  # it is not written in Python
        return None
    plain = [each for each in parameters if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
    for called in ([each for each in plain if each.default is each.empty], plain):
        try:
            signature.bind(
                *(None for each in called if each.kind is not each.KEYWORD_ONLY),
                **{each.name: None for each in called if each.kind is each.KEYWORD_ONLY},
            )
        except TypeError:
            names = ", ".join(f"{each.name}=…" if each.kind is each.KEYWORD_ONLY else each.name for each in called)
            takes = ", ".join(signature.parameters) or "nothing"
            return f"its {name}() takes {takes}, but it is called as {name}({names})"
    return None


# ---- what it streams -----------------------------------------------------------------------------------------------


def _pieces_problem(name: str, declared: Callable[..., Any], found: Callable[..., Any]) -> str | None:
    asked, given = _streamed(declared), _streamed(found)
    if asked is None or given is None:
        return None
    wrong = [each for each in given if not issubclass(each, asked)]
    if not wrong:
        return None
    return f"its {name}() yields {wrong[0].__name__}. Yield {' or '.join(each.__name__ for each in asked)}"


def _streamed(function: Callable[..., Any]) -> tuple[type, ...] | None:
    """Return the annotated classes of the pieces that a function streams; None without an annotation."""
    inner = inspect.unwrap(getattr(function, "__func__", function))
    try:
        annotation = get_type_hints(inner).get("return")
    except Exception:  # a name that is there for type checkers alone
        return None
    if get_origin(annotation) not in _STREAMS or not get_args(annotation):
        return None
    piece = get_args(annotation)[0]
    members = get_args(piece) if get_origin(piece) in (Union, UnionType) else (piece,)
    classes = [get_origin(each) or each for each in members]
    if not all(isinstance(each, type) and each not in (Any, object) for each in classes):
        return None
    return tuple(cast("list[type]", classes))
