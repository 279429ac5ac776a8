"""The command `rtvi run`: serve one bot."""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from rtvi_plugins.cli import OK, Failure, UsageError, load, log_to_stderr, set_service_options, show_traces

from ._again import run_again
from ._options import LOOPBACK, parser, read_options
from ._workers.control import Place, prefix_of

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from rtvi_plugins.hosting import Host, Limits
    from rtvi_plugins.resuming import SessionStore

    from ._reload import Report
    from ._uvicorn.server import Server

__all__ = ("parser", "run")

SECRET_VARIABLE: Final = "RTVI_OPERATOR_SECRET"
#: The secret that this one replaces. It is valid too, until all proxies send the new one.
PREVIOUS_SECRET_VARIABLE: Final = "RTVI_OPERATOR_SECRET_PREVIOUS"
#: Code that blocks the event loop for longer than this is logged.
_BLOCKED_SECONDS: Final = 0.5
#: How many connections may wait to be accepted.
_BACKLOG: Final = 128

#: Stands for the address in an announcement.
_ADDRESS: Final = "\0"

_DEV = "Development mode: every client is granted everything but service options, on this machine only."
_NO_SECRET = (
    f"No client can start this bot: it is not public, and {SECRET_VARIABLE} is not set. Set it and have a proxy send "
    "it, or write public=True in @bot, or try the bot with --dev."
)
_NO_PROXY = (
    "--public-url without --proxy: all clients seem to have the proxy's address, so nothing is limited per client "
    "address. Name the proxy's address with --proxy, as in --proxy 127.0.0.1."
)


def run(argv: Sequence[str]) -> int:
    """Run the command until a signal ends it, and return 0. Raise otherwise."""
    chosen = read_options(argv)
    log_to_stderr(chosen.log_level or "info", chosen.log_format)
    if chosen.dev and chosen.log_level is None:  # the author reads this log
        show_traces()
    # At "info" it logs every URL with its token, and at "debug" every frame. Its warnings repeat our own.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    if (place := Place.take(os.environ)) is not None:
        return _run(chosen, os.environ, None, place)
    if chosen.on is not None:
        return _run_on(chosen)
    if chosen.workers > 1:
        return _run_workers(chosen, argv)
    if not chosen.dev or not chosen.reload or find_spec("watchfiles") is None:
        return _run(chosen, os.environ, None)
    from ._reload import reporting, supervise

    report = reporting(os.environ)
    return supervise(argv, chosen.bot) if report is None else _run(chosen, os.environ, report)


def _run_on(chosen: argparse.Namespace) -> int:
    """Serve on an engine that a plugin brings, such as a cluster."""
    engines = {each.name: each for each in entry_points(group="rtvi_plugins.engines")}
    if chosen.on not in engines:
        known = ", ".join(sorted(engines)) or "none"
        raise UsageError(f"No engine {chosen.on!r} is installed. Installed: {known}. Ray is in rtvi-plugins-ray.")
    run: Callable[[argparse.Namespace], int] = engines[chosen.on].load()
    return run(chosen)


def _run_workers(chosen: argparse.Namespace, argv: Sequence[str]) -> int:
    from ._workers.front import Front

    with _listen(chosen.host, chosen.port) as listener:
        address = _address(chosen, listener)
        return Front(
            run_again(argv), chosen.workers, listener, lambda text: _print(text.replace(_ADDRESS, address))
        ).run()


def _run(
    chosen: argparse.Namespace, environ: Mapping[str, str], report: Report | None, place: Place | None = None
) -> int:
    host = _host(chosen, _limits(chosen.limit), environ, place)
    if report is not None:
        report.loaded(chosen.bot)
    has_secret = bool(environ.get(SECRET_VARIABLE) or environ.get(PREVIOUS_SECRET_VARIABLE))
    if place is None or place.key == 0:
        for hint in _hints(chosen, host, has_secret):
            _tell(chosen.log_format, hint)
    return _serve(chosen, host, _how_to_start(host, has_secret), report, place)


def _tell(form: str, sentence: str) -> None:
    """Tell the operator something on standard error, also if less is logged."""
    if form == "json":
        logging.getLogger("rtvi_plugins.server").warning("%s", sentence)
    else:
        sys.stderr.write(f"{sentence}\n")


def _hints(chosen: argparse.Namespace, host: Host, has_secret: bool) -> list[str]:
    """Return hints for the operator before the server starts."""
    hints = [_DEV] if chosen.dev else [] if host.public or has_secret else [_NO_SECRET]
    return [*hints, _NO_PROXY] if chosen.public_url and not chosen.proxy else hints


def _how_to_start(host: Host, has_secret: bool) -> str:
    """Return how to start a session; empty if it is impossible. A browser has no secret."""
    if host.public:
        return " (open it in a browser to talk; clients start with POST /start or /connect)"
    return " (start a session with POST /start or /connect and the operator's secret)" if has_secret else ""


def _limits(written: Sequence[str]) -> Limits:
    from rtvi_plugins.limits import Limits  # imported here, as below, so that `rtvi run --help` is quick

    try:
        return Limits.parse(written)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _host(chosen: argparse.Namespace, limits: Limits, environ: Mapping[str, str], place: Place | None) -> Host:
    from rtvi_plugins.hosting import Host
    from rtvi_plugins.session import Secret

    valid = (environ.get(each) for each in (SECRET_VARIABLE, PREVIOUS_SECRET_VARIABLE))
    host = Host(
        load(chosen.bot, chosen.env),
        operator_secret=[Secret(each) for each in valid if each],
        limits=limits,
        dev=chosen.dev,
        environ=environ,
        plugins=chosen.plugin,
        record=chosen.record or None,
        watch=_BLOCKED_SECONDS,
        postpone=True,
        store=_store(chosen),
        address=(chosen.public_url or f"http://{chosen.host}:{chosen.port}") + (prefix_of(place.key) if place else ""),
        resume_seconds=chosen.resume_seconds,
        keep_days=chosen.keep_days,
    )
    set_service_options(host, chosen.service_option)
    return host


def _store(chosen: argparse.Namespace) -> SessionStore | None:
    """Return the store for sessions, if they are saved."""
    if chosen.resume is None:
        return None
    from rtvi_plugins.stores import open_store

    return open_store(chosen.resume, full=chosen.resume_sync)


def _serve(
    chosen: argparse.Namespace, host: Host, how_to_start: str, report: Report | None, place: Place | None
) -> int:
    from ._addresses import trusted_proxies
    from ._uvicorn.connections import ConnectionLimits
    from ._uvicorn.server import serve
    from .app import create_app

    try:
        limits = ConnectionLimits(
            connections=chosen.connections,
            connections_per_address=chosen.connections_per_address,
            proxies=trusted_proxies(chosen.proxy, chosen.public_url),
        )
        app = create_app(
            host,
            origins=chosen.origin,
            # An attacker's domain may point at this machine's loopback. A public address anybody can reach anyway.
            allowed_hosts=() if chosen.host in LOOPBACK else None,
            public_url=chosen.public_url,
            proxies=chosen.proxy,
        )
    except ValueError as error:
        raise UsageError(f"{error}.") from None
    announcement = f"RTVI bot {host.registry.bot.name} on {_ADDRESS}{how_to_start}"
    tell = partial(_tell, chosen.log_format)
    serving = partial(serve, host=host, drain_seconds=chosen.drain_seconds, limits=limits, tell=tell)
    if place is not None:
        _serve_as_worker(serving, app, host, chosen.public_url, place, announcement)
        return _exit(host)
    with _listen(chosen.host, chosen.port) as listener:
        ready = partial(_announce, chosen, host, listener, announcement, report)
        serving(app, listener=listener, ready=ready, begun=_end_with_parent if report is not None else None)
    return _exit(host)


def _serve_as_worker(
    serving: Callable[..., None], app: Starlette, host: Host, public_url: str | None, place: Place, announcement: str
) -> None:
    from ._workers.worker import HandedOver, WorkerApp

    of_worker = WorkerApp(app, place.key, public_url)

    def begun(server: Server) -> None:
        server.acceptor = partial(HandedOver, place, host, announcement, of_worker, server.end)

    ready = partial(host.start_soon, _check_keys, host) if place.key == 0 else _do_nothing
    serving(of_worker, listener=None, ready=ready, begun=begun)


def _do_nothing() -> None:
    """Announce nothing: the front does."""


def _end_with_parent(server: Server) -> None:
    from ._reload import end_with_parent

    end_with_parent(server.end)


def _exit(host: Host) -> int:
    """Return, or exit at once: Python would wait for a thread that was abandoned at its action's deadline."""
    if host.busy_threads:
        logging.getLogger("rtvi_plugins.server").warning("%d actions were still running", host.busy_threads)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(OK)
    return OK


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise Failure(_cannot_listen(host, port, error)) from error


def _cannot_listen(host: str, port: int, error: OSError) -> str:
    import errno

    if error.errno == errno.EADDRINUSE:
        return f"Port {port} of {host} is used by another program; end that program, or choose a port with --port."
    if error.errno == errno.EACCES:
        return f"This user may not listen on port {port}; choose a port from 1024 on with --port."
    return f"This machine cannot listen on {host}, port {port}: {error.strerror or 'the address is not known'}."


def _announce(
    chosen: argparse.Namespace, host: Host, listener: socket.socket, announcement: str, report: Report | None
) -> None:
    if report is not None:
        report.serving(listener.getsockname()[1])
    _print(announcement.replace(_ADDRESS, _address(chosen, listener)))
    host.start_soon(_check_keys, host)  # clients need not wait for it


def _address(chosen: argparse.Namespace, listener: socket.socket) -> str:
    shown = f"[{chosen.host}]" if ":" in chosen.host else chosen.host
    return f"http://{shown}:{listener.getsockname()[1]}"


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def _check_keys(host: Host) -> None:
    for sentence in await host.check_keys():
        logging.getLogger("rtvi_plugins.server").error("%s", sentence)
