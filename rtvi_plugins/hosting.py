"""Hold the sessions of one bot, for a server of any kind.

A server passes the body of a start request to `Host.start`, and sends the token that it returns to the client. When the
client connects with the token, `Host.claim` returns a `Connection`: texts and audio in both directions. This module
uses neither HTTP nor WebSockets.

The module has more than 300 lines because it is one class, with what servers of all kinds call.
"""

from __future__ import annotations

import hmac
import logging
import os
import secrets
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial
from math import inf
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, cast

import anyio
from anyio.abc import TaskGroup, TaskStatus
from attrs import evolve, field, frozen

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
    StartFailed,
    Unauthorized,
    report,
)
from .limits import Limits
from .loading import compose
from .protocol.codec import decode_json, encode_json
from .protocol.offer import Offers
from .protocol.operator_fields import read_service_options
from .protocol.rate_limit import AddressRates
from .protocol.start_request import StartRequest, read_start, with_config
from .registry.grants import Grants
from .registry.hooks import Hooks
from .registry.installed_plugins import Installed
from .registry.modules import top
from .registry.registry import Provider, Registry
from .resuming import SessionStore
from .runtime.action_threads import Threads
from .runtime.connection import Connection, ConnectionStream
from .runtime.host_arguments import check_watch, log_cut_deadlines, operator_secrets, saving
from .runtime.keys import ProcessKeys, can_check, missing_keys
from .runtime.lifespans import OpenLifespans
from .runtime.live_services import Opener
from .runtime.resumes import Resumes
from .runtime.saved_sessions import SavedSession, SavedSessions, reading
from .runtime.session_core import Shared
from .runtime.session_life import LiveSession
from .runtime.slow_imports import Postponed
from .runtime.system_clock import Clock, ManualClock, SystemClock
from .runtime.unclaimed_sessions import UnclaimedSessions
from .runtime.watchdog import Lateness, watching
from .security import LogThrottle
from .session import Secret
from .stores import entered
from .utils.error_texts import where
from .utils.json_values import is_nested_deeper, is_object
from .utils.plugin_calls import reraise_control_flow
from .utils.waiting import cancellation_classes
from .voice.recording import check_folder

__all__ = ("Clock", "Connection", "ConnectionStream", "Host", "Limits", "ManualClock", "Started", "SystemClock")

_log = logging.getLogger("rtvi_plugins")


@frozen
class Started:
    """A session whose services are open. It waits for the client that sends `token`."""

    token: str = field(repr=False)
    session_id: str


class Host:
    """The sessions of one bot in one process. Enter it before you start sessions.

    Everything that the bot names is imported and checked at once (`AuthorError`). `modules` declare providers that are
    not installed. `plugins` names installed modules of hooks and actions, such as a transport, in addition to those
    that the bot names. Keys come from the trusted start, from `environ` (as `ACME_API_KEY`), or from the hook
    `find_key`, in this order. Each of several `operator_secret`s is valid, so that one can replace another. The first
    has at least 16 characters, except with `dev`. `record` is a folder for the transcript and the audio of every
    session; without it nothing is recorded. `watch` is a time in seconds: if the event loop is blocked for longer, the
    log names the blocking code. Without it nothing is watched.

    With a `store`, sessions are saved, and a client can resume its session within `resume_seconds` after its connection
    was lost. The host enters and leaves the store. `address` is where clients reach this process, for others that share
    the store. With `keep_days`, the store keeps for this time what happened in sessions that have ended: what was said,
    the actions and the changes of the config. `rtvi sessions` shows, exports and deletes it.

    With `postpone`, alternatives whose import is slow are imported in a thread after the host is entered. A start that
    names one waits for it.
    """

    def __init__(
        self,
        bot: AnyFunction,
        *,
        modules: Sequence[ModuleType] = (),
        plugins: Sequence[str] = (),
        operator_secret: Secret | Sequence[Secret] | None = None,
        limits: Limits | None = None,
        dev: bool = False,
        environ: Mapping[str, str] | None = None,
        installed: Installed | None = None,
        clock: SystemClock | ManualClock | None = None,
        record: str | os.PathLike[str] | None = None,
        watch: float | None = None,
        store: SessionStore | None = None,
        address: str = "",
        resume_seconds: float = 60.0,
        keep_days: float = 0.0,
        postpone: bool = False,
    ) -> None:
        installed = installed or Installed()
        compose_all = partial(compose, bot, installed, tuple(modules), tuple(plugins))
        registry, self._hooks = compose_all(postpone=postpone)
        self._postponed = Postponed(registry.bot.postponed, compose_all, self._use)
        self.bot = bot
        self.limits = limits or Limits()
        self.draining = False
        self.dev = dev
        self._operator_secrets = operator_secrets(operator_secret, dev=dev)
        #: Whether to log at the start which keys are missing, and which deadlines are too late. One of several
        #: processes with the same bot is enough.
        self.logs_missing_keys = True
        self._keys = ProcessKeys(os.environ if environ is None else environ, registry, self._hooks)
        self._clock = clock or SystemClock()
        offers = Offers(registry, Grants.of(registry, everything=dev))
        functions = Offers(registry, Grants.of(registry, registry.bot.functions))
        folder = None if record is None else Path(record)
        if folder is not None:
            check_folder(folder)
        threads = Threads(self.limits.threads)
        self._owners = {top(each.module): each.distribution for each in installed.entries}
        self._owners[top(bot.__module__)] = f"the bot {registry.bot.name}"
        lifespans = OpenLifespans(registry.lifespans, self.limits, self._keys.find, self._owner_of)
        saved_as = saving(store, address, resume_seconds, keep_days)
        self._shared = Shared(
            offers, functions, self._hooks, self.limits, self._clock, threads, lifespans, folder, *saved_as
        )
        self._unclaimed = UnclaimedSessions(self.limits, self._clock)
        self._sessions: dict[str, LiveSession] = {}
        saved = None if store is None else SavedSessions(store, address, self._clock)
        self._resumes = Resumes(self._sessions, saved, self._admit, self._restore)
        self._rates = AddressRates(self.limits)
        self._floods, self._refusals = LogThrottle(_log, self._clock.now), LogThrottle(_log, self._clock.now)
        self._tasks: TaskGroup | None = None
        self._stack = AsyncExitStack()
        self._watch = check_watch(watch)
        self._lateness = Lateness()
        self._service_options: Mapping[str, Mapping[str, Any]] = {}

    async def __aenter__(self) -> Host:
        """Open the lifespans. Raise `PluginError` if one does not open."""
        if self.logs_missing_keys:
            self._keys.log_missing(self.registry)
            granted, functions = self._shared.offers.grants, self._shared.functions.grants
            log_cut_deadlines(self.registry, self.limits, granted.by_name, functions.by_name)
        try:
            await self._stack.enter_async_context(self._clock.running())
            await self._stack.enter_async_context(self._shared.lifespans.running())
            if self.limits.late_seconds < inf:
                await self._stack.enter_async_context(self._lateness.measuring())
            if self._shared.store is not None:
                await self._stack.enter_async_context(entered(self._shared.store, to_write=True))
            if self._watch is not None:
                await self._stack.enter_async_context(watching(self._watch, self._owners))
            self._tasks = await self._stack.enter_async_context(anyio.create_task_group())
            self._postponed.begin(self._tasks)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Close all sessions, wait until their services are closed, and close the lifespans."""
        self._postponed.abandon()
        self.end_sessions()
        if isinstance(error, Exception):
            # An exception of the body is raised unchanged. A task group would put it into an exception group.
            return await self._stack.__aexit__(None, None, None)
        return await self._stack.__aexit__(kind, error, trace)

    @property
    def registry(self) -> Registry:
        """Return the registry: all declarations of the bot."""
        return self._shared.offers.registry

    @property
    def open_sessions(self) -> int:
        """Return the number of open sessions, claimed or not."""
        return len(self._sessions)

    @property
    def load(self) -> float:
        """Return how busy the process is. From 1 on, it starts no more sessions.

        It is the share of `Limits.sessions` or of `Limits.late_seconds`, whichever is greater.
        """
        return max(len(self._sessions) / self.limits.sessions, self._lateness.seconds / self.limits.late_seconds)

    @property
    def refusal(self) -> Draining | ServerFull | None:
        """Return the error with which the host refuses all starts at the moment; None if it accepts them."""
        if self.draining:
            return Draining("The server is shutting down.")
        if len(self._sessions) >= self.limits.sessions:
            return ServerFull("The server holds as many sessions as it can; try again later.")
        return ServerFull("The server is too busy; try again later.") if self.load >= 1 else None

    @property
    def unclosed(self) -> list[str]:
        """Return the names of services that were cancelled because they did not close in time, and still run."""
        return [name for session in self._sessions.values() for name in session.unclosed]

    @property
    def busy_threads(self) -> int:
        """Return the number of threads that run an action, also after its deadline."""
        return self._shared.threads.running

    @property
    def failing_providers(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the providers of a `Failover` that fail, by name such as "llm.openai".

        Each has the `category` of its failure, the number of `failures`, and `retry_seconds` until it is tried again.
        """
        return self._shared.health.report()

    @property
    def public(self) -> bool:
        """Return whether a client may start a session without the operator's secret."""
        return self.registry.bot.public or self.dev

    @property
    def routes(self) -> list[Any]:
        """Return the routes that the bot's plugins add to a server. Raise `PluginError` for anything else."""
        routes: list[Any] = []
        for place, found in self._hooks.results("server_routes", host=self):
            if not isinstance(found, list | tuple):
                raise PluginError(
                    f"{place} returns a {type(found).__name__}. Return a list of routes, as in [Route(…)]."
                )
            for each in cast("Sequence[Any]", found):
                if not hasattr(each, "matches"):
                    raise PluginError(f"{place} returns a {type(each).__name__} in its list, which is not a route.")
                routes.append(each)
        return routes

    def drain(self) -> None:
        """Start no more sessions. Open sessions continue."""
        self.draining = True

    def move_sessions(self) -> bool:
        """Start no more sessions, and end those that another process can continue, unless an action is running.

        Return whether all of them have ended. Call it again from time to time, and then `end_sessions`: then an action
        that is still running is answered with `outcome-unknown`.
        """
        self.draining = True
        store = self._shared.store
        if store is None or not store.durable:
            return True
        for session in list(self._sessions.values()):
            if not session.runs_effects:
                session.move()
        return not any(session.can_move for session in self._sessions.values())

    def end_sessions(self) -> None:
        """Close all sessions now, with the close code 1012, and start no more. Every pending request is answered.

        If the sessions are in a store that outlives this process, those whose client can resume them end here, and the
        client is sent nothing but the close code: the other process answers.
        """
        self.draining = True
        store = self._shared.store
        for session in list(self._sessions.values()):
            if not (store is not None and store.durable and session.move()):
                session.shut_down()

    def start_soon(self, function: Callable[..., Coroutine[Any, Any, object]], *args: object) -> None:
        """Run a task of a transport in the host. The host waits for it when it closes, after ending all sessions.

        An exception of the task is logged, and ends nothing else.
        """
        assert self._tasks is not None, "enter the host first"
        self._tasks.start_soon(self._run, function, args)

    async def _run(self, function: Callable[..., Coroutine[Any, Any, object]], args: tuple[object, ...]) -> None:
        try:
            await function(*args)
        except BaseException as error:
            reraise_control_flow(error, anyio.get_cancelled_exc_class())
            report(where(function), error)

    def set_service_options(self, options: Mapping[str, Mapping[str, Any]]) -> None:
        """Set the service options of all sessions that start from now on, by `service.provider` and name.

        Those in a trusted start replace them. Raise `InvalidStart` if one is unknown or invalid.
        """
        if self._postponed.are_named(options):
            self._postponed.load_now()
        problems: list[Problem] = []
        read = read_service_options(dict(options), self.registry, problems)
        if problems:
            raise InvalidStart(problems)
        self._service_options = read

    # ---- starting --------------------------------------------------------------------------------------------------

    def charge(self, size: int, *, secret: str | None = None, address: str | None = None) -> None:
        """Count a start request whose body has `size` bytes. Call it before you parse the body.

        `secret` and `address` are those of `start`. Raise `Unauthorized`, or `RateLimited` if the address sends more
        than `Limits.rate` allows. The operator's starts are not counted.
        """
        if not self._authorise_or_charge(secret, size, address):
            self.charge_address(size, address)

    def charge_address(self, size: int, address: str | None) -> None:
        """Count a request of a client that needs no secret, such as an offer of WebRTC, like a start.

        Raise `RateLimited` if the address sends more than `Limits.rate` allows. None is an unknown address, which is
        not counted.
        """
        if address is not None and not self._rates.take(address, size, self._clock.now()):
            self._refusals.warn("a request to start was refused: those of its address come too fast, or are too large")
            raise RateLimited("The requests of this address come too fast, or are too large; send again later.")

    def describe(self, body: object = None, *, secret: str | None = None) -> str:
        """Describe what the session of a start request would offer, without starting it or opening a service.

        `body` and `secret` are those of `start`. Return a JSON object with the data of the messages
        `actions-available`, `config-available` and `config`, by these names, and `providers`: for each service the
        providers that the start may choose, each with a list of the environment variables of the keys that it lacks.
        Raise a `RequestError`.
        """
        request = self._read(body, trusted=self._authorise(secret))
        offer = self._shared.offers.get(request.providers, request.grants)
        config = {"config": offer.readable_config(request.values)}
        fields = {
            "actions-available": offer.described_actions,
            "config-available": offer.described_config,
            "config": encode_json(config),
            "providers": encode_json(self._providers(request)),
        }
        return f"{{{','.join(f'{encode_json(name)}:{text}' for name, text in fields.items())}}}"

    def _providers(self, request: StartRequest) -> dict[str, dict[str, list[str]]]:
        """Return the providers that may be chosen, by service, each with the variables of its missing keys."""
        services = self.registry.services
        return {
            service: {label: missing_keys(services[service].providers[label].spec, request.keys) for label in labels}
            for service, labels in request.choice.items()
            if not services[service].is_own
        }

    def missing_keys(self) -> dict[str, dict[str, list[str]]]:
        """Return the environment variables of required keys that are not found, by service and provider.

        Start requests may still bring them.
        """
        return self._keys.missing(self.registry)

    async def check_keys(self) -> list[str]:
        """Ask the vendors whether they know the keys that this process has. Call it after you have entered the host.

        Return a sentence for each refused key, with the variable and the page where keys are made. Only services with
        `rtvi_plugins.kinds.ChecksKey` are asked, all at once. The key counts as valid if the vendor does not answer
        within 3 s. A session with a refused key asks again when it starts. Its start fails if the key is still refused.
        """
        sentences: dict[str, None] = {}

        async def check(service: str, provider: Provider) -> None:
            with suppress(RequestError):  # a service that cannot be opened: each start reports it
                manager = opener.manager(service, provider)
                refused = await self._shared.key_checks.check(provider.spec, opener.keys_of(provider), manager)
                if refused is not None:
                    sentences[refused] = None

        async with anyio.create_task_group() as tasks:
            options, lifespans = self._service_options, self._shared.lifespans
            opener = Opener(tasks, self._keys.find, options, lifespans, self.limits.open_seconds)
            for service in self.registry.services.values():
                for provider in service.providers.values():
                    spec = provider.spec
                    if can_check(spec) and any(opener.keys_of(provider)) and not missing_keys(spec, self._keys.find):
                        tasks.start_soon(check, service.name, provider)
        return sorted(sentences)

    def _read(self, body: object, *, trusted: bool) -> StartRequest:
        """Read the body of a start request. Raise a `RequestError` with every problem."""
        if is_nested_deeper(body, self.limits.nesting):
            raise InvalidStart([Problem("$", f"nests deeper than the {self.limits.nesting} levels that are accepted.")])
        of_all, offers = self._service_options, self._shared.offers
        request = read_start(body, offers, self._keys.find, trusted=trusted, service_options=of_all)
        if is_object(body) and body.get("config") is not None:
            # `bot-ready` has the config of a 0.x client, whose connect() waits for ever if it is too long to send.
            config = offers.get(request.providers, request.grants).readable_config(request.values)
            if len(encode_json(config)) > (longest := self.limits.outbox_size // 2):
                raise InvalidStart([Problem("$.config", f"makes the config longer than {longest} characters.")])
        return request

    async def start(self, body: object = None, *, secret: str | None = None, address: str | None = None) -> Started:
        """Start a session from the body of a start request, and wait until its services are open.

        `secret` is the value of the operator's header. `address` is the client's address, in any form that is the same
        for all its requests: one address may start only some of the sessions that wait for their client. The operator's
        starts are not counted. Raise a `RequestError`, whose `status` is the HTTP status.
        """
        begun, code = self._clock.now(), None
        try:
            return await self._start(body, secret, address)
        except RequestError as error:
            code = error.code
            raise
        finally:
            self._hooks.notify("start_finished", seconds=self._clock.now() - begun, error=code)

    async def _start(self, body: object, secret: str | None, address: str | None) -> Started:
        trusted = self._authorise(secret)
        if is_object(body) and body.get("resume") is not None:
            session, proof = await self._resumes.find(body["resume"])
            return Started(self._unclaimed.add(session, None, proof), session.id)
        address = None if trusted else address
        self._admit()
        self._unclaimed.check(address)
        await self._postponed.wait_for(body)
        request = self._read(body, trusted=trusted)
        # An id that begins with "-" would be an option on a command line.
        id = secrets.token_urlsafe(12).replace("-", "_")
        session = LiveSession(id, self._shared, request, _to_save(body, trusted=trusted))
        with self._unclaimed.opening(address):
            await self._open(session, address)
        return Started(self._unclaimed.add(session, address), session.id)

    async def _open(self, session: LiveSession, address: str | None) -> None:
        assert self._tasks is not None, "enter the host before starting sessions"
        self._sessions[session.id] = session
        failed: RequestError | None = await self._tasks.start(self._hold, session, address)
        if failed is not None:
            raise Draining("The server is shutting down.") if self.draining and session.closed else failed

    # ---- resuming --------------------------------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """Return the address of this process, as others that share the store know it."""
        return self._shared.address

    async def owner_of(self, body: object) -> str | None:
        """Return the address of the other process that has the session of a resume. `body` is that of `start`.

        Return None for any other body, for a session of this process, and if the owner is not known. The owner may have
        ended. If it still runs, a start there keeps what is under way in the session. A start here moves the session.
        """
        return await self._resumes.owner_of(body)

    async def _restore(self, saved: SavedSession) -> LiveSession:
        """Open the services of a saved session again, restore it, and claim it. Raise a `RequestError`."""
        with reading():
            start, config = decode_json(saved.state["start"]), decode_json(saved.state["config"])
            await self._postponed.wait_for([start, config])
            request = self._read_saved(saved.id, start)
            request = with_config(request, self.registry, config["providers"], config["values"])
            session = LiveSession(saved.id, self._shared, request, start, saved)
        await self._open(session, None)
        return session

    def _read_saved(self, id: str, start: Mapping[str, Any]) -> StartRequest:
        """Read the start request of a saved session again. Another release may not accept it any more."""
        try:
            return self._read(start["body"], trusted=start["trusted"])
        except RequestError as error:
            about = {"session": id, "code": error.code}
            _log.error("session %s cannot be resumed, its start request is refused: %s", id, error.message, extra=about)
            raise StartFailed("This server cannot read the saved session.", retryable=True) from None

    async def _hold(
        self, session: LiveSession, address: str | None, *, task_status: TaskStatus[RequestError | None]
    ) -> None:
        """Run a session to its end. An exception does not end other sessions."""
        try:
            await session.run(task_status=task_status)
        except BaseException as error:
            reraise_control_flow(error, *cancellation_classes())
            report("a session", error)
            with suppress(RuntimeError):  # it has started, so nobody waits for this
                task_status.started(InternalError("The framework failed; please report this."))
        finally:
            if self._sessions.get(session.id) is session:
                del self._sessions[session.id]
            if session.flooded:
                self._floods.warn("session %s has ended: its client sent far more than Limits.rate allows", session.id)
                if address is not None:  # or it would continue in its next session
                    self._rates.empty(address, self._clock.now())

    async def all_imported(self) -> None:
        """Wait until the postponed alternatives are imported, or could not be. `describe` lists them from then on."""
        await self._postponed.wait()

    def _use(self, registry: Registry, hooks: Hooks) -> None:
        """Use the registry with the alternatives that were imported after the start, in open sessions too."""
        shared = self._shared
        if registry.lifespans != self.registry.lifespans:
            raise PluginError(
                "They need a lifespan, but lifespans are opened before the import. "
                "Make one of them the first provider of its service."
            )
        self.registry.complete(registry)
        shared.offers.renew(Grants.of(registry, everything=self.dev))
        shared.functions.renew(Grants.of(registry, registry.bot.functions))
        self._hooks, self._shared = hooks, evolve(shared, hooks=hooks)
        self._keys.use(registry, hooks)
        if self._tasks is not None and self.logs_missing_keys:  # entering the host names all
            self._keys.log_missing(self.registry, self._postponed.providers)
        for session in self._sessions.values():
            session.offer_again()

    def _owner_of(self, module: str) -> str:
        return self._owners.get(top(module), f"the module {module}")

    def check_operator(self, secret: str | None, *, address: str | None = None) -> None:
        """Raise `Unauthorized` unless `secret` is the operator's. In development mode anybody is the operator.

        For routes that are the operator's alone. `secret` is the value of the operator's header. With the client's
        `address`, as in `start`, a request with a wrong secret counts against its rate: raise `RateLimited` if it sends
        too many.
        """
        if self.dev:
            return
        if secret is None or not self._authorise_or_charge(secret, 0, address):
            raise Unauthorized("This is for the operator; the request needs the operator's secret.")

    def _authorise_or_charge(self, secret: str | None, size: int, address: str | None) -> bool:
        """Authorise a request. A wrong secret is charged, or one address could try secrets without a limit."""
        try:
            return self._authorise(secret)
        except Unauthorized:
            self.charge_address(size, address)
            raise

    def _authorise(self, secret: str | None) -> bool:
        if secret is None:
            if not self.public:
                raise Unauthorized("This bot is not public; the request needs the operator's secret, and has none.")
            return False
        # Compare every secret, so that the time does not show which of them is nearly right.
        compared = [hmac.compare_digest(secret.encode(), each.reveal().encode()) for each in self._operator_secrets]
        if not any(compared):
            raise Unauthorized("The operator's secret is wrong.")
        return True

    def _admit(self) -> None:
        if (refusal := self.refusal) is not None:
            raise refusal

    def claim(self, token: str | None) -> Connection:
        """Return the connection to the session of a token, once. Raise `UnknownSession` for any other token."""
        return Connection(*self._unclaimed.claim(token))


def _to_save(body: object, *, trusted: bool) -> Mapping[str, Any]:
    """Return the parts of a start request from which a session is restored. API keys are never saved.

    The config is saved apart, because it changes.
    """
    sent = body if is_object(body) else {}
    left_out = ("api_keys", "services", "config")
    return {"body": {name: value for name, value in sent.items() if name not in left_out}, "trusted": trusted}
