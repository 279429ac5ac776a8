"""An open service: the instances of a LiveKit class for the options of the moment, and what its failures mean."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from contextvars import Context, copy_context
from importlib import import_module
from typing import Any, ClassVar, ParamSpec, TypeVar

import anyio
from attrs import define, field

from rtvi_plugins.errors import ProviderCategory, ProviderError, RequestError
from rtvi_plugins.kinds import Word

from .traffic import Traffic, open_session

__all__ = ("Bridged", "follow", "running", "shielded", "timed_word")

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger("rtvi_plugins")

#: How long the end of a stream or an instance may take, in seconds. Both say goodbye to the vendor, and an interruption
#: waits for both.
_CLOSE_SECONDS = 0.4

_BY_STATUS: Mapping[int, ProviderCategory] = {
    401: "auth",
    402: "quota",
    403: "auth",
    408: "timeout",
    429: "rate",
    504: "timeout",
}


@define(eq=False)
class _Instance:
    """An object of the vendor's class."""

    made: Any
    users: int = 0
    is_retired: bool = False


@define(eq=False)
class Bridged:
    """A service that runs a LiveKit class. A change of options makes a new instance for the next operation."""

    #: Whether a stream that is left early needs its connection closed, or else the vendor continues.
    LEAVES_BY_CLOSING: ClassVar[bool] = True

    provider: str
    cls: Any
    fixed: Mapping[str, Any] = field(repr=False)
    #: How long to wait for the vendor, in seconds.
    timeout: float
    session: Any = None
    traffic: Traffic = field(factory=Traffic)
    _values: Mapping[str, Any] = field(factory=dict[str, Any])
    _current: _Instance | None = None
    _instances: list[_Instance] = field(factory=list[_Instance])
    _context: Context = field(factory=copy_context)

    def configure(self, values: Mapping[str, Any]) -> None:
        """Use these options from the next operation on. Raise `RequestError` if the class refuses them.

        The object is made at once: that takes up to half a second for the first one of a process, and a conversation
        should not wait for it.
        """
        self._values = values
        self._retire()
        try:
            self._instance()
        except ProviderError:
            text = f"The provider {self.provider!r} does not accept these options together. The log says more."
            raise RequestError(text) from None

    def _retire(self) -> None:
        if self._current is not None:
            self._current.is_retired = True
            self._current = None

    @asynccontextmanager
    async def use(self) -> AsyncGenerator[Any]:
        """Yield an instance for one operation. Every failure in the block is a `ProviderError`."""
        await self._close_unused()
        instance = self._instance()
        instance.users += 1
        try:
            yield instance.made
        except BaseException as error:
            instance.is_retired = instance.is_retired or self.LEAVES_BY_CLOSING
            if instance is self._current and instance.is_retired:
                self._current = None
            if isinstance(error, Exception):
                raise self._meant(error) from None
            raise
        finally:
            instance.users -= 1
            if instance.is_retired:
                await self._close_unused()

    def call(self, function: Callable[P, T], *args: P.args, **keywords: P.kwargs) -> T:
        """Call a function of LiveKit. The tasks that it starts find the HTTP session of the service."""
        return self._context.run(function, *args, **keywords)

    def enter(self, session: Any) -> None:
        """Give the service its HTTP session. A plugin takes it as an argument, or looks for that of its job."""
        self.session = session
        http_context: Any = import_module("livekit.agents.utils.http_context")
        if (variable := getattr(http_context, "_ContextVar", None)) is not None:
            self._context.run(variable.set, lambda: session)

    def _instance(self) -> _Instance:
        if self._current is None:
            try:
                arguments = {**self.fixed, **self._values, **self.own_arguments(self._parameters())}
                made = self.call(lambda: self.cls(**arguments))
            except Exception as error:
                # LiveKit's sentence says which option is wrong. It may quote its value, so only the log has it.
                kind = type(error).__name__
                log.error("%s refuses its options: %s. The log of `rtvi run --dev` says why.", self.provider, kind)
                log.debug("%s refuses its options", self.provider, exc_info=True)
                raise ProviderError(self.provider, "bad-request") from None
            self._current = _Instance(made)
            self._instances.append(self._current)
        return self._current

    def _parameters(self) -> Mapping[str, inspect.Parameter]:
        return inspect.signature(self.cls.__init__).parameters

    def own_arguments(self, parameters: Mapping[str, inspect.Parameter], /) -> dict[str, Any]:
        """Return the arguments of the constructor that are objects of the bridge."""
        return {"http_session": self.session} if "http_session" in parameters else {}

    def connection(self) -> Any:
        """Return LiveKit's options of a connection. It does not repeat: the framework decides about failures."""
        types: Any = import_module("livekit.agents.types")
        return types.APIConnectOptions(max_retry=0, timeout=self.timeout)

    async def within(self, stream: AsyncIterator[T]) -> AsyncGenerator[T]:
        """Yield what a stream yields. Raise `ProviderError` if the next item takes too long."""
        while True:
            try:
                async with asyncio.timeout(self.timeout):
                    item = await anext(stream)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise ProviderError(self.provider, "timeout") from None
            yield item

    async def _close_unused(self) -> None:
        unused = [each for each in self._instances if each.is_retired and not each.users]
        self._instances = [each for each in self._instances if each not in unused]
        for each in unused:
            await shielded(each.made.aclose)
            # A class that takes a client makes its own here, and some do not close it.
            client = getattr(each.made, "_client", None) if "client" in self._parameters() else None
            if inspect.iscoroutinefunction(close := getattr(client, "close", None)):
                await shielded(close)

    async def aclose(self) -> None:
        """Close all instances."""
        for each in self._instances:
            each.is_retired, each.users = True, 0
        await self._close_unused()

    def _meant(self, error: Exception) -> Exception:
        """Return the `ProviderError` that an exception means. Others stay what they are."""
        if isinstance(error, ProviderError):
            return error
        agents: Any = import_module("livekit.agents")
        for each in _chain(error):
            status = getattr(each, "status_code", getattr(each, "status", None))
            if isinstance(status, int) and status >= 400:
                category = _category(status, getattr(each, "body", None))
                wait = self.traffic.retry_after if category == "rate" else None
                return ProviderError(self.provider, category, retry_after=wait)
            if isinstance(each, agents.APITimeoutError | TimeoutError):
                return ProviderError(self.provider, "timeout")
        # LiveKit turns all failures of a vendor into its own classes. Anything else is a bug, or a malformed answer.
        return ProviderError(self.provider, "unavailable")


def _chain(error: BaseException) -> list[BaseException]:
    """Return an exception with its causes. A failure that LiveKit wraps has its status in one of these."""
    found: list[BaseException] = []
    each: BaseException | None = error
    while each is not None and each not in found:
        found.append(each)
        each = each.__cause__ or each.__context__
    return found


def _category(status: int, body: object) -> ProviderCategory:
    if "insufficient_quota" in str(body):
        return "quota"
    return _BY_STATUS.get(status, "bad-request" if status < 500 else "unavailable")


async def follow(
    stream: AsyncIterator[T], feeding: asyncio.Task[None], patience: Callable[[], float]
) -> AsyncGenerator[T]:
    """Yield what a stream yields while a task feeds it.

    Raise the exception of the task. After the task has ended, raise `TimeoutError` if the next item takes longer than
    `patience` returns, in seconds.
    """
    following: asyncio.Future[T | None] | None = None
    try:
        while True:
            following = following or asyncio.ensure_future(anext(stream, None))
            fed = feeding.done()
            if fed:
                feeding.result()
            waited: list[asyncio.Future[Any]] = [following] if fed else [following, feeding]
            timeout = patience() if fed else None
            done, _ = await asyncio.wait(waited, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                raise TimeoutError
            if following in done:
                item, following = following.result(), None
                if item is None:
                    return
                yield item
    finally:
        if following is not None:
            following.cancel()
            await asyncio.wait([following])


async def shielded(close: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Close something, also while the operation is cancelled. It may take `_CLOSE_SECONDS`."""
    with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
        try:
            await close()
        except Exception as error:
            log.debug("A LiveKit object could not be closed: %s", type(error).__name__)


@asynccontextmanager
async def running(live: Bridged) -> AsyncGenerator[None]:
    """Give a service its HTTP session, and close it at the end."""
    async with open_session(live.traffic) as session:
        live.enter(session)
        try:
            yield
        finally:
            await live.aclose()


def timed_word(text: str, start: float, end: float | None = None) -> Word:
    """Return a word of speech. A vendor may report times from before the start of the audio; they become 0."""
    return Word(text, max(0.0, start), None if end is None else max(0.0, end))
