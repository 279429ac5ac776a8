"""The command `rtvi run`: serve one bot from this machine."""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from rtvi_plugins.hosting import Host, Limits

__all__ = ("run",)

SECRET_VARIABLE: Final = "RTVI_OPERATOR_SECRET"
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})

_DONE, _FAILED, _USAGE = 0, 1, 2

_DEV = (
    "Development mode: every client may set every option and call every action of this bot, without a secret. "
    "It listens on this machine only."
)
_NO_SECRET = (
    f"No client can start this bot: it is not public, and {SECRET_VARIABLE} is not set. Set it and have a proxy send "
    "it, or write public=True in @bot, or try the bot out with --dev."
)
_DEV_IS_LOCAL = "--dev grants clients everything, so it listens on this machine only; leave out --dev or {option}."


def run(argv: Sequence[str]) -> int:
    """Run the command. Returns 0 when it was ended, 1 when it cannot listen, 2 for a mistake of the caller's."""
    try:
        chosen = _parser().parse_args(argv)
        _check(chosen)
    except SystemExit as done:  # argparse has said why
        return done.code if isinstance(done.code, int) else _USAGE
    except ValueError as error:
        return _say(str(error), _USAGE)
    logging.basicConfig(level=chosen.log_level.upper(), format="%(levelname)s %(name)s: %(message)s")
    # At "info" it writes every URL, tokens too, and at "debug" every frame.
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    return _run(chosen, os.environ)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rtvi run", description="Serve a bot over HTTP and WebSocket.")
    parser.add_argument("bot", metavar="BOT", help="bot.py, bot.py:name or package.module:name")
    parser.add_argument("--dev", action="store_true", help="grant clients everything, on this machine only")
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
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="info")
    return parser


def _check(chosen: argparse.Namespace) -> None:
    if chosen.dev and chosen.host not in LOOPBACK:
        raise ValueError(_DEV_IS_LOCAL.format(option=f"--host {chosen.host}"))
    if chosen.dev and chosen.public_url:
        raise ValueError(_DEV_IS_LOCAL.format(option="--public-url"))
    if not 0 <= chosen.port <= 65_535:
        raise ValueError(f"--port {chosen.port} is no port; write 0 to 65535.")
    if not chosen.drain_seconds >= 0:
        raise ValueError(f"--drain-seconds {chosen.drain_seconds} is no time; write 0 or more.")
    if chosen.public_url and urlsplit(str(chosen.public_url)).scheme not in ("http", "https"):
        raise ValueError(f"--public-url {chosen.public_url} is no address; write it as in https://bots.example.")


def _run(chosen: argparse.Namespace, environ: Mapping[str, str]) -> int:
    # Here, for `rtvi run --help` to be quick.
    from rtvi_plugins.errors import AuthorError
    from rtvi_plugins.limits import Limits

    try:
        limits = Limits.parse(chosen.limit)
    except ValueError as error:
        return _say(str(error), _USAGE)
    try:
        host = _host(chosen, limits, environ)
    except AuthorError as error:
        return _say(str(error), _USAGE)
    except Exception as error:
        logging.getLogger("rtvi_plugins.server").debug("the bot raised while it was imported", exc_info=error)
        return _say(f"{chosen.bot} cannot be imported: {_place(error)}", _USAGE)
    if chosen.dev:
        _say(_DEV)
    elif not host.public and not environ.get(SECRET_VARIABLE):
        _say(_NO_SECRET)
    return _serve(chosen, host)


def _host(chosen: argparse.Namespace, limits: Limits, environ: Mapping[str, str]) -> Host:
    from rtvi_plugins.hosting import Host
    from rtvi_plugins.loading import load_bot
    from rtvi_plugins.session import Secret

    secret = environ.get(SECRET_VARIABLE)
    return Host(
        load_bot(chosen.bot),
        operator_secret=Secret(secret) if secret else None,
        limits=limits,
        dev=chosen.dev,
        environ=environ,
    )


def _place(error: Exception) -> str:
    """What an author's module raised, and on which line."""
    told = f"{type(error).__name__}: {error}"
    frames = traceback.extract_tb(error.__traceback__)
    return told if isinstance(error, SyntaxError) else f"{told} ({frames[-1].filename}, line {frames[-1].lineno})"


def _serve(chosen: argparse.Namespace, host: Host) -> int:
    from ._serving import serve
    from .app import create_app

    try:
        app = create_app(
            host,
            origins=chosen.origin,
            # A name that somebody else owns may be pointed at this machine, but not at one that all can reach anyway.
            allowed_hosts=() if chosen.host in LOOPBACK else None,
            public_url=chosen.public_url,
        )
    except ValueError as error:
        return _say(f"{error}.", _USAGE)
    try:
        listener = _listen(chosen.host, chosen.port)
    except OSError as error:
        return _say(_unavailable(chosen.host, chosen.port, error), _FAILED)
    with listener:
        serve(app, host, listener, drain_seconds=chosen.drain_seconds, ready=lambda: _announce(chosen, host, listener))
    return _leave(host)


def _leave(host: Host) -> int:
    """The end, which no action may hold up: Python would wait for a thread that was abandoned at its deadline."""
    if host.busy_threads:
        logging.getLogger("rtvi_plugins.server").warning("%d actions were still running", host.busy_threads)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_DONE)
    return _DONE


def _listen(host: str, port: int) -> socket.socket:
    return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=2048)


def _unavailable(host: str, port: int, error: OSError) -> str:
    import errno

    if error.errno == errno.EADDRINUSE:
        return f"Port {port} of {host} is taken by another program; end that one, or choose another with --port."
    if error.errno == errno.EACCES:
        return f"This user may not listen on port {port}; choose one from 1024 with --port."
    return f"This machine cannot listen on {host}, port {port}: {error.strerror or 'the address is not known'}."


def _announce(chosen: argparse.Namespace, host: Host, listener: socket.socket) -> None:
    shown = f"[{chosen.host}]" if ":" in chosen.host else chosen.host
    address = f"http://{shown}:{listener.getsockname()[1]}"
    sys.stdout.write(f"RTVI bot {host.registry.bot.name} on {address} (POST /connect or /start, then WebSocket /ws)\n")
    sys.stdout.flush()


def _say(sentence: str, code: int = _DONE) -> int:
    sys.stderr.write(f"{sentence}\n")
    return code
