"""The command `rtvi top`: the live sessions of a running bot."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from math import inf
from typing import Any, Final, cast

from rtvi_plugins.cli import OK, CommandParser, Failure, UsageError, check_url, examples, read_seconds, read_secret

__all__ = ("parser", "top")

#: Clears the screen of a terminal, and puts the cursor into its corner.
_CLEAR: Final = "\x1b[2J\x1b[H"
_COLUMNS: Final = ("session", "age", "client", "turns", "cut", "running", "voice to voice", "errors", "providers")


def top(argv: Sequence[str]) -> int:
    """Run the command until it is interrupted, or once if its output is not a terminal. Raise if there is no answer."""
    chosen = parser().parse_args(argv)
    check_url(chosen.url)
    if chosen.every == inf:
        raise UsageError("--every inf shows one view; write --once for that, or a number of seconds.")
    secret = read_secret(chosen.secret_env)
    headers = {} if secret is None else {"x-rtvi-operator-secret": secret.reveal()}
    while True:
        view = "\n".join(_lines(_fetch(f"{chosen.url.rstrip('/')}/sessions", headers)))
        if chosen.once or not sys.stdout.isatty():
            sys.stdout.write(f"{view}\n")
            return OK
        sys.stdout.write(f"{_CLEAR}{view}\n")
        sys.stdout.flush()
        try:
            time.sleep(chosen.every)
        except KeyboardInterrupt:
            return OK


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = CommandParser(
        prog="rtvi top",
        description="Show the live sessions of a bot that runs with --plugin monitor.",
        epilog=examples(
            "rtvi top http://127.0.0.1:7860",
            "rtvi top https://bots.example --secret-env RTVI_OPERATOR_SECRET --once",
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("url", metavar="URL", help="the server's base URL, as in http://127.0.0.1:7860")
    parser.add_argument(
        "--once", action="store_true", help="print the sessions once, as always if the output is not a terminal"
    )
    parser.add_argument(
        "--every", metavar="SECONDS", type=read_seconds, default=2.0, help="the time between two views (%(default)g)"
    )
    parser.add_argument(
        "--secret-env",
        metavar="NAME",
        help="the environment variable with the operator's secret, as in RTVI_OPERATOR_SECRET",
    )
    return parser


def _fetch(url: str, headers: Mapping[str, str]) -> Mapping[str, Any]:
    import httpx2  # imported here so that `rtvi top --help` is quick

    try:
        response = httpx2.get(url, headers=dict(headers), timeout=10.0)
    except httpx2.HTTPError as error:
        text = f"No server can be reached at {url}: {type(error).__name__}."
        raise Failure(f"{text} Check the address, and whether the server runs.") from None
    if response.status_code == HTTPStatus.NOT_FOUND:
        raise Failure("This server has no view of its sessions. Run it with: rtvi run BOT --plugin monitor")
    try:
        body = cast("Mapping[str, Any]", response.json())
    except ValueError:
        raise Failure(f"{url} is not a server of rtvi_plugins: its answer is not JSON.") from None
    if response.status_code != HTTPStatus.OK:
        is_missing = response.status_code == HTTPStatus.UNAUTHORIZED and not headers
        hint = " Name it with --secret-env." if is_missing else ""
        raise Failure(f"{body.get('info', response.status_code)}{hint}")
    return body


def _lines(body: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a view: a summary, and a table."""
    sessions = body["sessions"]
    draining = ", shutting down" if body["draining"] else ""
    workers = f" in {_count(body['workers'], 'worker')}" if "workers" in body else ""
    yield f"{_count(len(sessions), 'session')}{workers}, load {body['load']:.2f}{draining}"
    if silent := body.get("silent_workers"):
        yield f"Not shown: worker {', '.join(map(str, silent))} does not answer."
    rows = [_COLUMNS, *(_row(each) for each in sessions)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _row(session: Mapping[str, Any]) -> Sequence[str]:
    delay = session["latest_seconds"].get("bot")
    return (
        session["id"],
        _age(session["seconds"]),
        _printable(session["client"] or "-"),
        str(session["turns"]),
        str(session["interrupted"]),
        str(session["running_actions"]),
        "-" if delay is None else f"{delay * 1000:.0f} ms",
        " ".join(f"{code} {count}" for code, count in session["errors"].items()) or "-",
        " ".join(f"{service}={provider}" for service, provider in session["providers"].items()) or "-",
    )


def _printable(text: str) -> str:
    """Return a text of a client without characters that would control the terminal."""
    return "".join(each if each.isprintable() else "?" for each in text)


def _age(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02}"
