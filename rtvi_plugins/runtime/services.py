"""Open the services of a session, each in a task of its own, and check that each has the methods of its kind.

A bot holds a `Handle`, which forwards to the service that is in use.

The module has more than 300 lines because a service is checked where it is opened.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from types import FunctionType, UnionType
from typing import Any, Final, Union, cast, get_args, get_origin, get_type_hints
from weakref import WeakKeyDictionary, WeakSet

import anyio
from anyio.abc import TaskGroup
from typing_extensions import get_protocol_members

from ..declare.specs import LifespanValue, SecretSpec
from ..errors import MissingKey, ProviderError, RequestError, StartFailed, report
from ..kinds import ChecksKey, ListeningSTT
from ..protocol.operator_fields import Keys, key_variable
from ..registry.registry import Provider
from ..session import Secret
from ..utils.blocked_threads import suspended_at
from ..utils.error_texts import unwrap_group, where
from ..utils.plugin_calls import asyncio_task, reraise_control_flow
from .client_errors import as_request_error, with_texts
from .key_checks import KeyChecks
from .lifespans import OpenContext, OpenLifespans

__all__ = ("Handle", "OpenService", "Opener", "live_service", "misfit")

# ---- checking ------------------------------------------------------------------------------------------------------

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


# ---- how it gives what it has --------------------------------------------------------------------------------------


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


# ---- opening -------------------------------------------------------------------------------------------------------

log = logging.getLogger("rtvi_plugins")


class Opener:
    """Opens the services of one session, with the session's keys and service options."""

    def __init__(
        self,
        tasks: TaskGroup,
        keys: Keys,
        options: Mapping[str, Mapping[str, Any]],
        lifespans: OpenLifespans,
        seconds: float,
        hide: Callable[[str], str] = str,
        checks: KeyChecks | None = None,
    ) -> None:
        self._tasks = tasks
        self._keys = keys
        self._options = options
        self._lifespans = lifespans
        self._seconds = seconds
        self._hide = hide
        self._checks = checks
        self._opened: list[OpenService] = []

    @property
    def unclosed(self) -> list[OpenService]:
        """Return the services that were cancelled because they took too long, and still run."""
        return [each for each in self._opened if each.abandoned]

    async def open(self, service: str, provider: Provider) -> OpenService:
        """Open a service. Raise `MissingKey`, `StartFailed`, or what the provider raised as a `RequestError`."""
        if provider.spec.asyncio_only and asyncio_task() is None:
            raise StartFailed(
                f"The provider {provider.label!r} runs on asyncio only, and this server runs on trio. "
                "Run it on asyncio, as `rtvi run` does."
            )
        manager = self.manager(service, provider)
        opened = OpenService(service, provider, manager)
        self._opened = [*(each for each in self._opened if not each.ended), opened]
        self._tasks.start_soon(opened.keep)
        try:
            with anyio.fail_after(self._seconds):
                await opened.settled.wait()
        except TimeoutError:
            place = suspended_at(manager) or where(provider.spec.function)
            opened.abandon()
            text = f"The service {service!r} ({provider.label}) did not open within {self._seconds:g} s."
            log.error("%s It waits in %s.", text, place)
            raise StartFailed(text, retryable=True) from None
        except BaseException:
            opened.abandon()
            raise
        if opened.error is not None:
            raise self._failure(service, provider, opened.error)
        if (problem := _misfit_of(opened.live, provider.spec.protocol)) is not None:
            found, kind = type(opened.live).__name__, provider.spec.protocol.__name__
            await opened.close()
            yields = f"{where(provider.spec.function)} yields {found}, which is no {kind}"
            log.error("The service %r (%s): %s: %s.", service, provider.label, yields, problem)
            raise StartFailed(f"The service {service!r} ({provider.label}) is not what its kind asks for.")
        if self._checks is not None:
            refused = await self._checks.check_again(provider.spec, self.keys_of(provider), opened.live)
            if refused is not None:
                await opened.close()
                raise StartFailed(f"The service {service!r} ({provider.label}) could not be opened. {refused}")
        return opened

    def manager(self, service: str, provider: Provider) -> AbstractAsyncContextManager[Any]:
        """Return the context manager of a service. Raise `MissingKey`, or what the provider raised."""
        given = [self._injected(provider, each) for each in provider.spec.given]
        try:
            made: AbstractAsyncContextManager[Any] = provider.spec.function(
                *given, **self._options.get(f"{service}.{provider.label}", {})
            )
            return made
        except BaseException as error:
            reraise_control_flow(error)
            raise self._failure(service, provider, unwrap_group(error)) from None

    def keys_of(self, provider: Provider) -> list[Secret | None]:
        """Return the keys of a provider in the order of its parameters."""
        return [self._keys(provider.spec.provider, each.name) for each in provider.spec.secrets]

    def fingerprint(self, service: str, provider: Provider) -> tuple[int, bool]:
        """Return a hash of a provider's keys and service options, and whether the process itself has these keys."""
        options = self._options.get(f"{service}.{provider.label}", {})
        keys = [each and each.reveal() for each in self.keys_of(provider)]
        found = (self._lifespans.find_key(provider.spec.provider, each.name) for each in provider.spec.secrets)
        return hash((*keys, repr(sorted(options.items())))), keys == [each and each.reveal() for each in found]

    def _failure(self, service: str, provider: Provider, error: BaseException) -> RequestError:
        """Return the error for the client, without values that only the operator wrote."""
        failure = _failure(service, provider, error)
        hidden = with_texts(failure, self._hide)
        if hidden is not failure:
            log.error("%s", failure.message, extra={"code": failure.code})
        return hidden

    def _injected(self, provider: Provider, parameter: SecretSpec | LifespanValue) -> Any:
        """Return a key, or the value of a lifespan."""
        if isinstance(parameter, LifespanValue):
            return self._lifespans.value(provider.spec.function, parameter)
        found = self._keys(provider.spec.provider, parameter.name)
        if found is None and not parameter.optional:
            variable = key_variable(provider.spec.provider, parameter.name)
            page = f" Keys are made at {provider.spec.key_page}." if provider.spec.key_page else ""
            raise MissingKey(
                f"The provider {provider.label!r} needs the key {parameter.name!r}, and the operator has given none: "
                f"set {variable}, or send it in a trusted start.{page}"
            )
        return found


class OpenService(OpenContext):
    """A service that is open."""

    __slots__ = ("provider", "service")

    def __init__(self, service: str, provider: Provider, manager: AbstractAsyncContextManager[Any]) -> None:
        super().__init__(f"the service {service!r} ({provider.label})", manager)
        self.service = service
        self.provider = provider

    @classmethod
    def down(cls, service: str, provider: Provider) -> OpenService:
        """Return a placeholder for a service that could not be opened, until it can."""
        found = cls(service, provider, nullcontext())
        found.error = ProviderError(provider.label, "unavailable")
        return found

    @property
    def is_up(self) -> bool:
        """Return whether it was opened and has not died."""
        return self.error is None and not self.ended

    @property
    def was_opened(self) -> bool:
        """Return whether it was opened. A placeholder was not."""
        return self.settled.is_set()

    def alive(self) -> Any:
        """Return the live service. Raise `ProviderError` if it has died."""
        if self.error is not None:
            raise ProviderError(self.provider.label, "unavailable")
        return self.live


def _failure(service: str, provider: Provider, error: BaseException) -> RequestError:
    """Return the error of a service that did not open. It never has the text of an exception of any other class."""
    meant = as_request_error(error)
    if meant is not None and not isinstance(error, ProviderError):
        return meant
    report(f"the service {service!r} ({provider.label}), while opening,", error)
    reason, retryable = (f" {meant.message}", meant.retryable) if meant is not None else ("", False)
    return StartFailed(f"The service {service!r} ({provider.label}) could not be opened.{reason}", retryable=retryable)


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


#: What a service need not have, with the members by which it is recognised: `isinstance` would find them each time.
_OPTIONAL: Final[Mapping[type, frozenset[str]]] = {
    each: frozenset(get_protocol_members(each)) for each in (ListeningSTT, ChecksKey)
}


def _misfit_of(live: object, protocol: type) -> str | None:
    """Return why a service does not follow the Protocol of its kind, or one that it need not have."""
    problem = misfit(live, protocol)
    for optional, members in _OPTIONAL.items():
        if problem is None and all(hasattr(live, name) for name in members):
            problem = misfit(live, optional)
    return problem


def live_service(handle: object) -> Any:
    """Return the live object behind a handle: what the provider has yielded."""
    return handle._find().alive() if type(handle) is Handle else handle  # pyright: ignore[reportPrivateUsage]
