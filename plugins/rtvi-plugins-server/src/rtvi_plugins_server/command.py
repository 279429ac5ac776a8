"""The command `rtvi run`: serve one bot."""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rtvi_plugins.cli import OK, Failure, UsageError, load, log_to_stderr, secret_in, set_service_options, show_traces

from ._options import is_loopback, parser, read_options
from ._workers.control import Place, prefix_of

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from rtvi_plugins.hosting import Host
    from rtvi_plugins.session import Secret

    from ._reload import Report
    from ._uvicorn.server import Server

__all__ = ("parser", "run")

#: The secret of the operator, and the one that it replaces, which is valid until all proxies send the new one.
SECRET_VARIABLES: Final = ("RTVI_OPERATOR_SECRET", "RTVI_OPERATOR_SECRET_PREVIOUS")
#: Code that blocks the event loop for longer than this is logged.
_BLOCKED_SECONDS: Final = 0.5
#: How many connections may wait to be accepted.
_BACKLOG: Final = 128

_DEV = "Development mode: every client is granted everything but service options, on this machine only."
_NO_SECRET = (
    f"No client can start this bot: it is not public, and {SECRET_VARIABLES[0]} is not set. Set it, and send it "
    "from your own server; or write public=True in @bot, or try the bot with --dev."
)
_NO_PROXY = (
    "--public-url without --proxy: all clients seem to have the proxy's address, so nothing is limited per client "
    "address. Name the proxy's address with --proxy, as in --proxy 127.0.0.1."
)


def run(argv: Sequence[str]) -> int:
    """Run the command until a signal ends it, and return 0. Raise otherwise."""
    chosen = read_options(argv)
    try:
        return _run_as_chosen(chosen, argv)
    except KeyboardInterrupt:  # while the bot's modules are imported
        return OK


def _run_as_chosen(chosen: argparse.Namespace, argv: Sequence[str]) -> int:
    log_to_stderr(chosen.log_level or "info", chosen.log_format)
    if chosen.dev and chosen.log_level is None:  # the author reads this log
        show_traces()
    # At "info" it logs every URL with its token, and at "debug" every frame. Its warnings repeat our own.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    if (place := Place.take(os.environ)) is not None:
        return _run(chosen, os.environ, place=place)
    if chosen.on is not None:
        return _run_on_engine(chosen)
    if chosen.workers > 1:
        return _run_workers(chosen, argv)
    if not chosen.dev or not chosen.reload or find_spec("watchfiles") is None:
        return _run(chosen, os.environ)
    from ._reload import Report, roots_of, supervise

    if (report := Report.take(os.environ)) is not None or not (roots := roots_of(chosen.bot)):
        return _run(chosen, os.environ, report)
    return supervise(_child_command(argv), roots)


def _child_command(argv: Sequence[str]) -> list[str]:
    """Return the command of a child that runs `rtvi run` with these words."""
    # As this process was started: `python -m` would put the working folder in front.
    isolated = [] if sys.path[:1] in ([""], [str(Path.cwd())]) else ["-P"]
    traceback = ["--traceback"] if "--traceback" in sys.argv else []
    return [sys.executable, *isolated, "-m", "rtvi_plugins", *traceback, "run", *argv]


def _run_on_engine(chosen: argparse.Namespace) -> int:
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
        port = str(listener.getsockname()[1])
        return Front(_child_command([*argv, "--port", port]), chosen.workers, listener, _print).run()


def _run(
    chosen: argparse.Namespace, environ: Mapping[str, str], report: Report | None = None, place: Place | None = None
) -> int:
    """Serve in this process, which is a worker if it has a `place`, and watched by another if it has a `report`."""
    host = _host(chosen, environ, place)
    if report is not None:
        report.loaded(chosen.bot)
    has_secret = bool(_operator_secrets(environ))
    if place is None or place.key == 0:
        for hint in _hints(chosen, host, has_secret):
            _tell_operator(chosen.log_format, hint)
    _serve(chosen, host, _how_to_start(host, has_secret), report, place)
    if host.busy_threads:  # Python would wait for a thread that was abandoned at its action's deadline
        logging.getLogger("rtvi_plugins.server").warning("%d actions were still running", host.busy_threads)
        with suppress(OSError):
            sys.stdout.flush()
        with suppress(OSError):
            sys.stderr.flush()
        os._exit(OK)
    return OK


def _tell_operator(form: str, sentence: str) -> None:
    """Write to standard error, also if less is logged."""
    if form == "json":
        logging.getLogger("rtvi_plugins.server").warning("%s", sentence)
    else:
        with suppress(OSError):  # as `_print`
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


def _operator_secrets(environ: Mapping[str, str]) -> list[Secret]:
    return [secret for each in SECRET_VARIABLES if (secret := secret_in(environ, each)) is not None]


def _host(chosen: argparse.Namespace, environ: Mapping[str, str], place: Place | None) -> Host:
    from rtvi_plugins.hosting import Host  # imported here, so that `rtvi run --help` is quick
    from rtvi_plugins.limits import Limits

    store = None
    if chosen.resume is not None:
        from rtvi_plugins.stores import open_store

        store = open_store(chosen.resume, full=chosen.resume_sync)
    host = Host(
        load(chosen.bot, chosen.env),
        operator_secret=_operator_secrets(environ),
        limits=Limits.parse(chosen.limit),
        dev=chosen.dev,
        environ=environ,
        plugins=chosen.plugin,
        record=chosen.record,
        watch=_BLOCKED_SECONDS,
        postpone=True,
        store=store,
        address=(chosen.public_url or _url(chosen.host, chosen.port)) + (prefix_of(place.key) if place else ""),
        resume_seconds=chosen.resume_seconds,
        keep_days=chosen.keep_days,
    )
    host.logs_missing_keys = place is None or place.key == 0
    set_service_options(host, chosen.service_option)
    return host


def _serve(
    chosen: argparse.Namespace, host: Host, how_to_start: str, report: Report | None, place: Place | None
) -> None:
    from ._addresses import trusted_proxies
    from ._uvicorn.connections import ConnectionLimits
    from ._uvicorn.server import make_server
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
            allowed_hosts=() if is_loopback(chosen.host) else None,
            public_url=chosen.public_url,
            proxies=chosen.proxy,
        )
    except ValueError as error:
        raise UsageError(f"{error}.") from None
    make = partial(
        make_server,
        host=host,
        drain_seconds=chosen.drain_seconds,
        limits=limits,
        tell=partial(_tell_operator, chosen.log_format),
    )

    def announcement(port: int) -> str:
        return f"RTVI bot {host.registry.bot.name} on {_url(chosen.host, port)}{how_to_start}"

    if place is not None:
        _serve_as_worker(chosen, host, app, place, make, announcement(chosen.port))
        return
    with _listen(chosen.host, chosen.port) as listener:
        port = listener.getsockname()[1]

        def ready() -> None:
            if report is not None:
                report.serving(port)
                report.end_with_parent(server.end)
            _print(announcement(port))
            host.start_soon(_check_keys, host)  # clients need not wait for it

        server = make(app, ready=ready)
        server.run([listener])


def _serve_as_worker(
    chosen: argparse.Namespace,
    host: Host,
    app: Starlette,
    place: Place,
    make: Callable[..., Server],
    announcement: str,
) -> None:
    """Serve the connections that the front hands over. The front prints the announcement."""
    from ._workers.worker import HandedOver, WorkerApp

    def ready() -> None:
        if place.key == 0:
            host.start_soon(_check_keys, host)

    worker_app = WorkerApp(app, place.key, chosen.public_url)
    server = make(worker_app, ready=ready)
    server.acceptor = partial(HandedOver, place, host, announcement, worker_app, server.end)
    server.run([])


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
    reason = (error.strerror or "the address is not known").partition(" (while attempting")[0]
    return (
        f"This machine cannot listen on {host}, port {port}: {reason}. Give --host an address of this machine, "
        "without scheme and port, as in --host 127.0.0.1, and the port with --port."
    )


def _url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _print(line: str) -> None:
    """Write to standard output. If its disk is full or its reader has gone, the server serves all the same."""
    try:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python writes the rest at the exit


async def _check_keys(host: Host) -> None:
    for sentence in await host.check_keys():
        logging.getLogger("rtvi_plugins.server").error("%s", sentence)
