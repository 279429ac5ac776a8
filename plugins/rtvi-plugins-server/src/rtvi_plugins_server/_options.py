"""The options of `rtvi run`."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final

from rtvi_plugins.cli import CommandParser, UsageError, examples
from rtvi_plugins.limits import CENTURY_DAYS, YEAR_SECONDS, Limits

from ._origins import public_origin_of

__all__ = ("is_loopback", "parser", "read_options")

#: Where a store of sessions is, for a `--resume` without a value.
STORE_VARIABLE: Final = "RTVI_STORE"
#: How long a saved session waits for its client, in seconds.
_RESUME_SECONDS: Final = 60.0
#: A greater number of processes is a mistake.
_MOST_WORKERS: Final = 1_000

_DEV_IS_LOCAL = (
    "--dev grants every client everything but service options, so it listens on this machine only; leave out --dev or "
    "{option}."
)


def read_options(argv: Sequence[str]) -> argparse.Namespace:
    """Return the options of a command line. Raise `UsageError` for values that do not fit."""
    chosen = parser().parse_args(argv)
    _check(chosen)
    if chosen.resume_seconds is None:
        chosen.resume_seconds = _RESUME_SECONDS
    return chosen


def is_loopback(host: str) -> bool:
    """Return whether an address to listen on can be reached from this machine only."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = CommandParser(
        prog="rtvi run",
        description="Serve a bot over HTTP and WebSocket.",
        epilog=examples(
            "rtvi run bot.py --dev",
            "rtvi run bot.py --dev --plugin webrtc --port 7861",
            "rtvi run bot.py --host 0.0.0.0 --origin https://app.example",
            "rtvi run bot.py --service-option llm.openai.base_url=http://127.0.0.1:8000/v1",
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bot", metavar="BOT", help="bot.py, bot.py:name, package.module:name or bot.toml")
    parser.add_argument("--env", metavar="NAME", help="the environment of a bot file (the variable RTVI_ENV)")
    _add_addresses(parser)
    _add_limits(parser)
    _add_others(parser)
    return parser


def _add_addresses(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dev", action="store_true", help="grant clients everything but service options, on this machine only"
    )
    parser.add_argument(
        "--no-reload",
        dest="reload",
        action="store_false",
        help="do not restart when the bot's files change (--dev restarts the bot if watchfiles is installed)",
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (%(default)s)")
    parser.add_argument(
        "--port", type=int, default=7860, help="the port to listen on; 0 picks a free one (%(default)s)"
    )
    parser.add_argument(
        "--origin",
        metavar="URL",
        action="append",
        default=[],
        help="the origin of a web page that may use the bot: https://app.example; '*' allows all; may be repeated",
    )
    parser.add_argument("--public-url", metavar="URL", help="the URL that clients use, when a proxy is in front")
    parser.add_argument(
        "--proxy",
        metavar="ADDRESS",
        action="append",
        default=[],
        help="the address or network of a proxy in front, whose X-Forwarded-For is trusted; may be repeated",
    )


def _add_limits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--connections",
        metavar="N",
        type=int,
        default=2_000,
        help="the most connections at once (%(default)s); fewer if the process may open fewer files",
    )
    parser.add_argument(
        "--connections-per-address",
        metavar="N",
        type=int,
        default=100,
        help="the most connections at once from one address, except from a --proxy (%(default)s)",
    )
    parser.add_argument("--on", metavar="ENGINE", help="serve on the engine of a plugin, as in ray")
    parser.add_argument(
        "--workers", metavar="N", type=int, default=1, help="how many processes serve, on Linux and macOS (%(default)s)"
    )
    parser.add_argument(
        "--drain-seconds",
        metavar="N",
        type=float,
        default=10.0,
        help="how long sessions may continue after the first signal to end (%(default)s)",
    )
    parser.add_argument(
        "--limit",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="a limit of sessions, as in idle_seconds=60; see the reference of Limits; may be repeated",
    )


def _add_others(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--plugin",
        metavar="NAME",
        action="append",
        default=[],
        help="an installed plugin to use in addition to those that the bot names, as in webrtc; may be repeated",
    )
    parser.add_argument(
        "--service-option",
        metavar="SERVICE.OPTION=VALUE",
        action="append",
        default=[],
        help="a service option of all sessions, as in llm.base_url=http://127.0.0.1:8000/v1; may be repeated",
    )
    parser.add_argument(
        "--record", metavar="FOLDER", help="save the transcript and the audio of every session in this folder"
    )
    parser.add_argument(
        "--resume",
        metavar="FILE|URL",
        nargs="?",
        # A URL may contain a password, which other users of the machine could read among the arguments.
        const=os.environ.get(STORE_VARIABLE, "").strip() or "sessions.db",
        help="save sessions in this SQLite file or at this URL of a server, as in redis://10.0.0.5/0, so that clients "
        f"resume them after a lost connection or a restart (the variable {STORE_VARIABLE}, or sessions.db)",
    )
    parser.add_argument(
        "--resume-seconds",
        metavar="N",
        type=float,
        help=f"how long a saved session waits for its client ({_RESUME_SECONDS:g})",
    )
    parser.add_argument(
        "--resume-sync",
        action="store_true",
        help="write saved sessions to the disk at once, so that they survive a power failure",
    )
    parser.add_argument(
        "--keep-days",
        metavar="N",
        type=float,
        default=0.0,
        help="for how many days to keep transcripts and actions of saved sessions that have ended (%(default)g)",
    )
    parser.add_argument(
        "--log-level",
        choices=("debug", "info", "warning", "error"),
        help="(info; --dev also logs tracebacks of the bot and its providers)",
    )
    parser.add_argument(
        "--log-format",
        choices=("text", "json"),
        default="text",
        help="text for people, or one JSON object per line (%(default)s)",
    )


def _check(chosen: argparse.Namespace) -> None:
    for option in ("host", "public_url", "record", "resume"):
        if (given := getattr(chosen, option)) is not None and not given.strip():  # as from a variable that is not set
            raise UsageError(f"--{option.replace('_', '-')} is empty; write a value, or leave it out.")
    if chosen.host.startswith("["):
        raise UsageError(f"--host {chosen.host} has brackets; write {chosen.host.strip('[]')}.")
    if chosen.dev and not is_loopback(chosen.host):
        raise UsageError(_DEV_IS_LOCAL.format(option=f"--host {chosen.host}"))
    if chosen.dev and chosen.public_url:
        raise UsageError(_DEV_IS_LOCAL.format(option="--public-url"))
    if not 0 <= chosen.port <= 65_535:
        raise UsageError(f"--port {chosen.port} is not a port; write 0 to 65535.")
    if chosen.workers > 1 and sys.platform == "win32":
        raise UsageError(f"--workers {chosen.workers} needs a system that can hand over sockets; leave out --workers.")
    for option in ("connections", "connections_per_address", "workers"):
        if getattr(chosen, option) < 1:
            name = option.replace("_", "-")
            raise UsageError(f"--{name} {getattr(chosen, option)} is too small; write 1 or more.")
    if chosen.workers > _MOST_WORKERS:
        raise UsageError(f"--workers {chosen.workers} is too many; write {_MOST_WORKERS} or less.")
    _check_times(chosen)
    for option in ("resume_seconds", "resume_sync", "keep_days"):
        if chosen.resume is None and getattr(chosen, option):
            name = f"--{option.replace('_', '-')}"
            raise UsageError(f"{name} needs --resume, which saves the sessions; add it, or leave out {name}.")
    if chosen.resume_sync and "://" in str(chosen.resume):
        raise UsageError("--resume-sync is for files. A server of a database has settings of its own.")
    try:
        Limits.parse(chosen.limit)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if chosen.public_url:
        url: str = chosen.public_url
        try:
            public_origin_of(url if chosen.on is None else url.replace("{ip}", "node").replace("{port}", "1"))
        except ValueError as error:
            raise UsageError(f"--public-url: {error}.") from None


def _check_times(chosen: argparse.Namespace) -> None:
    if not 0 <= chosen.drain_seconds <= YEAR_SECONDS and chosen.drain_seconds != math.inf:
        raise UsageError(
            f"--drain-seconds {chosen.drain_seconds:g} is not a time; write 0 to {YEAR_SECONDS} (a year), or inf to "
            "wait for the last session."
        )
    if chosen.resume_seconds is not None and not 0 < chosen.resume_seconds <= YEAR_SECONDS:
        raise UsageError(
            f"--resume-seconds {chosen.resume_seconds:g} is not a time; write a number above 0, at most "
            f"{YEAR_SECONDS} (a year)."
        )
    if not 0 <= chosen.keep_days <= CENTURY_DAYS:
        raise UsageError(
            f"--keep-days {chosen.keep_days:g} is not a time; write a number of days, at most {CENTURY_DAYS}, or 0 to "
            "keep nothing."
        )
