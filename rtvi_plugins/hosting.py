"""Hold the sessions of one bot: the door for servers of any kind.

A server reads a start request, passes its body to `Host.start`, hands the token to the client, and when the client
comes with it, `Host.claim` gives it a `Connection`: texts in, texts out. Nothing here knows HTTP or WebSockets.
"""

from __future__ import annotations

import hmac
import os
import secrets
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, cast

import anyio
import anyio.lowlevel
from anyio.abc import ObjectStream, TaskGroup, TaskStatus
from attrs import define, field, frozen

from .declare.specs import AnyFunction
from .errors import (
    Draining,
    InternalError,
    InvalidStart,
    PluginError,
    Problem,
    RateLimited,
    RequestError,
    ServerFull,
    Unauthorized,
    UnknownSession,
    report,
)
from .limits import Limits
from .loading import compose
from .protocol.offer import Offers
from .protocol.operator_fields import key_variable
from .protocol.rate import AddressRates
from .protocol.start import read_start
from .registry.grants import Grants
from .registry.installed import Installed
from .registry.registry import Registry
from .runtime.clock import Clock, ManualClock, SystemClock, Timer
from .runtime.connection import Connection
from .runtime.live import LiveSession
from .runtime.shared import Shared
from .runtime.threads import Threads
from .runtime.watchdog import watching
from .session import Secret
from .utils.cancellation import cancellation_classes
from .utils.control_flow import reraise_control_flow
from .utils.diagnostics import where
from .utils.json_values import is_nested_deeper
from .utils.secrets import secrets_in_environment
from .voice.recording import check_folder

__all__ = ("Clock", "Connection", "ConnectionStream", "Host", "Limits", "ManualClock", "Started", "SystemClock")


@frozen
class Started:
    """A session whose services are open, waiting for the client that brings `token`."""

    token: str = field(repr=False)
    session_id: str


@define(eq=False)
class _Unclaimed:
    session: LiveSession
    timer: Timer
    address: str | None
    #: Kept so that no log shows the token while it opens the session.
    hidden: Secret


class Host:
    """The sessions of one bot in one process. Enter it before anything is started.

    The bot is composed when the host is made, so that everything it names is imported and checked at once
    (`AuthorError` if it cannot be). `modules` declare providers that need no installation; `plugins` names installed
    modules of hooks and actions besides those that the bot names, such as a transport. Keys are looked up in the
    trusted start, in `environ` as `ACME_API_KEY`, and through the hook `find_key`, in that order. `record` is a folder
    for the transcript and the audio of every session; nothing is recorded without it. `watch` is how long the event
    loop may be blocked, in seconds, before the log says by what, and by whose code; nothing is watched without it.
    """

    def __init__(
        self,
        bot: AnyFunction,
        *,
        modules: Sequence[ModuleType] = (),
        plugins: Sequence[str] = (),
        operator_secret: Secret | None = None,
        limits: Limits | None = None,
        dev: bool = False,
        environ: Mapping[str, str] | None = None,
        installed: Installed | None = None,
        clock: SystemClock | ManualClock | None = None,
        record: str | os.PathLike[str] | None = None,
        watch: float | None = None,
    ) -> None:
        installed = installed or Installed()
        registry, self._hooks = compose(bot, installed, tuple(modules), tuple(plugins))
        self.bot = bot
        self.limits = limits or Limits()
        self.draining = False
        self.dev = dev
        self._environ = os.environ if environ is None else environ
        self._operator_secret = operator_secret
        # Kept, so that the log shows none of them, also when no session uses it.
        self._known_secrets = secrets_in_environment(self._environ, _key_variables(registry))
        self._clock = clock or SystemClock()
        offers = Offers(registry, Grants.of(registry, everything=dev))
        functions = Offers(registry, Grants.of(registry, registry.bot.functions))
        folder = None if record is None else Path(record)
        if folder is not None:
            check_folder(folder)
        threads = Threads(self.limits.threads)
        self._shared = Shared(offers, functions, self._hooks, self.limits, self._clock, threads, folder)
        self._unclaimed: dict[str, _Unclaimed] = {}
        self._sessions: dict[str, LiveSession] = {}
        self._opening = 0
        #: The sessions that wait for their client, or for their services, by the address that has started them.
        self._waiting: Counter[str] = Counter()
        self._rates = AddressRates(self.limits)
        self._tasks: TaskGroup | None = None
        self._stack = AsyncExitStack()
        self._watch = watch
        self._owners = {each.module.partition(".")[0]: each.distribution for each in installed.entries}
        self._owners[bot.__module__.partition(".")[0]] = f"the bot {registry.bot.name}"

    async def __aenter__(self) -> Host:
        await self._stack.enter_async_context(self._clock.running())
        if self._watch is not None:
            await self._stack.enter_async_context(watching(self._watch, self._owners))
        self._tasks = await self._stack.enter_async_context(anyio.create_task_group())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Close every session, and wait until all their services are closed."""
        self.end_sessions()
        if isinstance(error, Exception):
            # What the body raised comes out as it is; a task group that is told of it would wrap it in a group.
            return await self._stack.__aexit__(None, None, None)
        return await self._stack.__aexit__(kind, error, trace)

    @property
    def registry(self) -> Registry:
        """What the bot offers."""
        return self._shared.offers.registry

    @property
    def open_sessions(self) -> int:
        """Sessions that are open, claimed or not."""
        return len(self._sessions)

    @property
    def unclosed(self) -> list[str]:
        """The names of services that do not close: they were given their time, were cancelled, and have not ended."""
        return [name for session in self._sessions.values() for name in session.unclosed]

    @property
    def busy_threads(self) -> int:
        """Threads in which an action runs, also one that was abandoned at its deadline."""
        return self._shared.threads.running

    @property
    def public(self) -> bool:
        """Whether anybody may start a session."""
        return self.registry.bot.public or self.dev

    @property
    def routes(self) -> list[Any]:
        """Routes that the bot's plugins ask a server to add. `PluginError` for one that returns something else."""
        routes: list[Any] = []
        for place, found in self._hooks.results("server_routes", host=self):
            if not isinstance(found, list | tuple):
                raise PluginError(
                    f"{place} returns a {type(found).__name__}. Return a list of routes, as in [Route(…)]."
                )
            for each in cast("Sequence[Any]", found):
                if not hasattr(each, "matches"):
                    raise PluginError(f"{place} returns a {type(each).__name__} in its list, which is no route.")
                routes.append(each)
        return routes

    def drain(self) -> None:
        """Start nothing new from now on; the sessions that are open go on."""
        self.draining = True

    def end_sessions(self) -> None:
        """Close every session now, and start no other. Each request that is pending is answered."""
        self.draining = True
        for session in list(self._sessions.values()):
            session.session.close("the server is shutting down", now=True)

    def start_soon(self, function: Callable[..., Coroutine[Any, Any, object]], *args: object) -> None:
        """Have a task of a transport run in the host, which waits for it when it closes, after ending every session.

        What it raises is reported, and nothing else: one client's trouble is not that of all.
        """
        assert self._tasks is not None, "enter the host first"
        self._tasks.start_soon(self._run, function, args)

    async def _run(self, function: Callable[..., Coroutine[Any, Any, object]], args: tuple[object, ...]) -> None:
        try:
            await function(*args)
        except BaseException as error:
            reraise_control_flow(error, anyio.get_cancelled_exc_class())
            report(where(function), error)

    # ---- starting --------------------------------------------------------------------------------------------------

    def charge(self, size: int, *, secret: str | None = None, address: str | None = None) -> None:
        """Count a start request whose body is `size` bytes long; call it before the body is parsed.

        `secret` and `address` are those of `start`. Raises `Unauthorized`, or `RateLimited` when the address sends more
        than `Limits.rate` allows. The operator's starts are not counted.
        """
        trusted = self._authorise(secret)
        if not trusted and address is not None and not self._rates.take(address, size, self._clock.now()):
            raise RateLimited("The requests of this address come too fast, or are too large; send again later.")

    async def start(self, body: object = None, *, secret: str | None = None, address: str | None = None) -> Started:
        """Open a session for a start request's body, and wait until its services are open.

        `secret` is what the operator's header carried. `address` is the client's, in any spelling that is the same for
        all its requests: of the sessions that wait for their client, one address may have started only some. The
        operator's starts are not counted. Raises `RequestError`, whose `status` is the HTTP status.
        """
        trusted = self._authorise(secret)
        address = None if trusted else address
        self._admit(address)
        if is_nested_deeper(body, self.limits.nesting):
            raise InvalidStart([Problem("$", f"nests deeper than the {self.limits.nesting} levels that are accepted.")])
        request = read_start(body, self._shared.offers, self._find_key, trusted=trusted)
        session = LiveSession(secrets.token_urlsafe(12), self._shared, request)
        assert self._tasks is not None, "enter the host before starting sessions"
        self._opening += 1
        self._sessions[session.id] = session
        self._wait(address)
        try:
            failed: RequestError | None = await self._tasks.start(self._hold, session, address)
            if failed is not None:
                raise failed
        except BaseException:
            self._no_longer_waits(address)
            raise
        finally:
            self._opening -= 1
        token = secrets.token_urlsafe(24)
        timer = self._clock.call_after(self.limits.unclaimed_seconds, lambda: self._expire(token))
        self._unclaimed[token] = _Unclaimed(session, timer, address, Secret(token))
        return Started(token, session.id)

    async def _hold(
        self, session: LiveSession, address: str | None, *, task_status: TaskStatus[RequestError | None]
    ) -> None:
        """Run a session to its end. Whatever gets out of it, the other sessions go on."""
        try:
            await session.run(task_status=task_status)
        except BaseException as error:
            reraise_control_flow(error, *cancellation_classes())
            report("a session", error)
            with suppress(RuntimeError):  # it had started, so nobody waits to be told
                task_status.started(InternalError("The framework failed; please report this."))
        finally:
            del self._sessions[session.id]
            if session.flooded and address is not None:  # it would go on in the next session
                self._rates.empty(address, self._clock.now())

    def _find_key(self, provider: str, name: str) -> Secret | None:
        if value := self._environ.get(key_variable(provider, name)):
            return Secret(value)
        for place, stored in self._hooks.results("find_key", provider=provider, name=name):
            if isinstance(stored, str | Secret):
                return Secret(stored) if isinstance(stored, str) else stored
            report(place, PluginError(f"it returns a {type(stored).__name__} for a key. Return a str, or None."))
        return None

    def _authorise(self, secret: str | None) -> bool:
        if secret is None:
            if not self.public:
                raise Unauthorized("This bot is started with the operator's secret; the request carries none.")
            return False
        right = self._operator_secret
        if not right or not hmac.compare_digest(secret.encode(), right.reveal().encode()):
            raise Unauthorized("The operator's secret is wrong.")
        return True

    def _admit(self, address: str | None) -> None:
        if self.draining:
            raise Draining("The server is shutting down.")
        waiting = len(self._unclaimed) + self._opening
        if waiting >= self.limits.unclaimed or len(self._sessions) >= self.limits.sessions:
            raise ServerFull("The server holds as many sessions as it can; try again later.")
        most = self.limits.unclaimed_per_address
        if address is not None and self._waiting[address] >= most:
            raise ServerFull(f"{most} sessions that this address has started wait for their client; try again later.")

    def _wait(self, address: str | None) -> None:
        if address is not None:
            self._waiting[address] += 1

    def _no_longer_waits(self, address: str | None) -> None:
        if address is not None:
            self._waiting[address] -= 1
            if not self._waiting[address]:
                del self._waiting[address]

    def _expire(self, token: str) -> None:
        found = self._unclaimed.pop(token, None)
        if found is not None:
            self._no_longer_waits(found.address)
            found.session.session.close("nobody came", now=True)

    def claim(self, token: str | None) -> Connection:
        """The session that was started with a token, once. `UnknownSession` for any other token."""
        found = self._unclaimed.pop(token or "", None)
        if found is not None:
            self._no_longer_waits(found.address)
        if found is None or found.session.closed:
            raise UnknownSession("The session token is missing, unknown, used already or expired; start again.")
        found.timer.cancel()
        found.session.claimed()
        return Connection(found.session)


def _key_variables(registry: Registry) -> list[str]:
    """The environment variables of all keys that the bot's providers declare."""
    specs = [each.spec for service in registry.services.values() for each in service.providers.values()]
    return [key_variable(spec.provider, secret.name) for spec in specs for secret in spec.secrets]


class ConnectionStream(ObjectStream[str]):
    """A session's connection as a stream of texts, for a client in the same process."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._received: list[str] = []

    async def send(self, item: str) -> None:
        if self._connection.closed:
            raise anyio.BrokenResourceError
        self._connection.receive(item)
        await anyio.lowlevel.checkpoint()

    async def receive(self) -> str:
        while not self._received:
            batch = await self._connection.outgoing()
            if not batch:
                raise anyio.EndOfStream
            self._received = [each for each in reversed(batch) if isinstance(each, str)]
        return self._received.pop()

    async def send_eof(self) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        self._connection.disconnected()
