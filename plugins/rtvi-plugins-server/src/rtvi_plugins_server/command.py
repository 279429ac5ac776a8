"""The command `rtvi run`: serve one bot from this machine."""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from rtvi_plugins.cli import OK, Failure, UsageError, load, log_to_stderr, show_traces

if TYPE_CHECKING:
    from rtvi_plugins.hosting import Host, Limits

__all__ = ("run",)

SECRET_VARIABLE: Final = "RTVI_OPERATOR_SECRET"
#: Code that blocks the event loop for longer than this is logged.
_BLOCKED_SECONDS: Final = 0.5
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})

# Connections that wait to be accepted; more wait at their client.
_BACKLOG: Final = 128

_DEV = "Development mode: every client is granted everything but service options, on this machine only."
_NO_SECRET = (
    f"No client can start this bot: it is not public, and {SECRET_VARIABLE} is not set. Set it and have a proxy send "
    "it, or write public=True in @bot, or try the bot out with --dev."
)
_DEV_IS_LOCAL = (
    "--dev grants everybody everything but service options, so it listens on this machine only; leave out --dev or "
    "{option}."
)


def run(argv: Sequence[str]) -> int:
    """Run the command. Returns 0 when it was ended, by a signal; else it raises."""
    chosen = _parser().parse_args(argv)
    _check(chosen)
    log_to_stderr(chosen.log_level or "info")
    if chosen.dev and chosen.log_level is None:  # whoever reads this log is the author
        show_traces()
    # At "info" it writes every URL, tokens too, and at "debug" every frame; it warns of what we log ourselves.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    return _run(chosen, os.environ)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rtvi run", description="Serve a bot over HTTP and WebSocket.")
    parser.add_argument("bot", metavar="BOT", help="bot.py, bot.py:name or package.module:name")
    parser.add_argument(
        "--dev", action="store_true", help="grant clients everything but service options, on this machine only"
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=7860, help="the port; 0 picks a free one (%(default)s)")
    parser.add_argument(
        "--origin",
        metavar="URL",
        action="append",
        default=[],
        help="a web page's origin that may use the bot, as in https://app.example; '*' for all; may be repeated",
    )
    parser.add_argument("--public-url", metavar="URL", help="the address that clients know, when behind a proxy")
    parser.add_argument(
        "--proxy",
        metavar="ADDRESS",
        action="append",
        default=[],
        help="the address or network of a proxy in front, whose X-Forwarded-For is believed; may be repeated",
    )
    parser.add_argument(
        "--connections",
        metavar="N",
        type=int,
        default=2_000,
        help="the most connections at once (%(default)s, and fewer where the process may not open as many)",
    )
    parser.add_argument(
        "--connections-per-address",
        metavar="N",
        type=int,
        default=100,
        help="the most connections at once of one address; those of proxies are not counted (%(default)s)",
    )
    parser.add_argument(
        "--drain-seconds",
        metavar="N",
        type=float,
        default=10.0,
        help="how long sessions may go on after the first signal to end (%(default)s)",
    )
    parser.add_argument(
        "--limit",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="a bound of sessions, as in idle_seconds=60; the reference of Limits names them; may be repeated",
    )
    parser.add_argument(
        "--plugin",
        metavar="NAME",
        action="append",
        default=[],
        help="an installed plugin to use besides those that the bot names, as in webrtc; may be repeated",
    )
    parser.add_argument("--record", metavar="FOLDER", help="write what is said in each session to this folder")
    parser.add_argument(
        "--log-level",
        choices=("debug", "info", "warning", "error"),
        help="(info, and with --dev the traces of what the bot and its providers raise)",
    )
    return parser


def _check(chosen: argparse.Namespace) -> None:
    if chosen.dev and chosen.host not in LOOPBACK:
        raise UsageError(_DEV_IS_LOCAL.format(option=f"--host {chosen.host}"))
    if chosen.dev and chosen.public_url:
        raise UsageError(_DEV_IS_LOCAL.format(option="--public-url"))
    if not 0 <= chosen.port <= 65_535:
        raise UsageError(f"--port {chosen.port} is no port; write 0 to 65535.")
    for option in ("connections", "connections_per_address"):
        if getattr(chosen, option) < 1:
            name = option.replace("_", "-")
            raise UsageError(f"--{name} {getattr(chosen, option)} is no bound; write 1 or more.")
    if not chosen.drain_seconds >= 0:
        raise UsageError(f"--drain-seconds {chosen.drain_seconds} is no time; write 0 or more.")
    if chosen.public_url and urlsplit(str(chosen.public_url)).scheme not in ("http", "https"):
        raise UsageError(f"--public-url {chosen.public_url} is no address; write it as in https://bots.example.")


def _run(chosen: argparse.Namespace, environ: Mapping[str, str]) -> int:
    host = _host(chosen, _limits(chosen.limit), environ)
    has_secret = bool(environ.get(SECRET_VARIABLE))
    if chosen.dev:
        sys.stderr.write(f"{_DEV}\n")
    elif not host.public and not has_secret:
        sys.stderr.write(f"{_NO_SECRET}\n")
    return _serve(chosen, host, _invitation(host, has_secret))


def _invitation(host: Host, has_secret: bool) -> str:
    """How to start the bot, for those who can. A browser has no secret."""
    if host.public:
        return " (open it in a browser to talk; clients start with POST /start or /connect)"
    return " (who has the secret starts a session with POST /start or /connect)" if has_secret else ""


def _limits(words: Sequence[str]) -> Limits:
    from rtvi_plugins.limits import Limits  # here, as below, for `rtvi run --help` to be quick

    try:
        return Limits.parse(words)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _host(chosen: argparse.Namespace, limits: Limits, environ: Mapping[str, str]) -> Host:
    from rtvi_plugins.hosting import Host
    from rtvi_plugins.session import Secret

    secret = environ.get(SECRET_VARIABLE)
    return Host(
        load(chosen.bot),
        operator_secret=Secret(secret) if secret else None,
        limits=limits,
        dev=chosen.dev,
        environ=environ,
        plugins=chosen.plugin,
        record=chosen.record or None,
        watch=_BLOCKED_SECONDS,
    )


def _serve(chosen: argparse.Namespace, host: Host, invitation: str) -> int:
    from ._door import Bounds, proxies_of
    from ._serving import serve
    from .app import create_app

    try:
        bounds = Bounds(
            connections=chosen.connections,
            connections_per_address=chosen.connections_per_address,
            proxies=proxies_of(chosen.proxy, chosen.public_url),
        )
        app = create_app(
            host,
            origins=chosen.origin,
            # A name that somebody else owns may be pointed at this machine, but not at one that all can reach anyway.
            allowed_hosts=() if chosen.host in LOOPBACK else None,
            public_url=chosen.public_url,
            proxies=chosen.proxy,
        )
    except ValueError as error:
        raise UsageError(f"{error}.") from None
    with _listen(chosen.host, chosen.port) as listener:
        ready = partial(_announce, chosen, host, listener, invitation)
        serve(app, host, listener, drain_seconds=chosen.drain_seconds, ready=ready, bounds=bounds)
    return _leave(host)


def _leave(host: Host) -> int:
    """The end, which no action may hold up: Python would wait for a thread that was abandoned at its deadline."""
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
        raise Failure(_unavailable(host, port, error)) from error


def _unavailable(host: str, port: int, error: OSError) -> str:
    import errno

    if error.errno == errno.EADDRINUSE:
        return f"Port {port} of {host} is taken by another program; end that one, or choose another with --port."
    if error.errno == errno.EACCES:
        return f"This user may not listen on port {port}; choose one from 1024 with --port."
    return f"This machine cannot listen on {host}, port {port}: {error.strerror or 'the address is not known'}."


def _announce(chosen: argparse.Namespace, host: Host, listener: socket.socket, invitation: str) -> None:
    shown = f"[{chosen.host}]" if ":" in chosen.host else chosen.host
    address = f"http://{shown}:{listener.getsockname()[1]}"
    sys.stdout.write(f"RTVI bot {host.registry.bot.name} on {address}{invitation}\n")
    sys.stdout.flush()
