"""The command `rtvi call`: call one action of a running bot."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from rtvi_plugins.cli import (
    OK,
    CommandParser,
    Failure,
    UsageError,
    check_url,
    examples,
    read_arguments,
    read_config,
    read_seconds,
    read_secret,
    read_services,
)

if TYPE_CHECKING:
    from rtvi_plugins.client import Client

__all__ = ("call", "parser")


def call(argv: Sequence[str]) -> int:
    """Run the command. Return 0 if the action succeeded; raise otherwise."""
    import anyio  # imported here so that `rtvi call --help` is quick

    chosen = parser().parse_intermixed_args(argv)
    check_url(chosen.url)
    if not all(chosen.action.partition(":")):
        raise UsageError(f"{chosen.action!r} names no action; write service:action, as in tts:say.")
    start = {
        "services": read_services(chosen.services),
        "config": read_config(chosen.config),
        "secret": read_secret(chosen.secret_env),
        "timeout": chosen.timeout,
    }
    read_arguments(chosen.arguments)  # report mistakes before a session starts
    return anyio.run(_call, chosen.url, chosen.action, chosen.arguments, start)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = CommandParser(
        prog="rtvi call",
        description="Start a session with a running bot, call one of its actions, and print the result as JSON. A "
        "value is read as JSON if it is valid JSON and the argument is not a string; otherwise as text.",
        epilog=examples(
            "rtvi call http://127.0.0.1:7860 bot:book_room nights=2 name=Ada",
            "rtvi call http://127.0.0.1:7860 llm:get_context --services llm=openai",
            "rtvi call https://bots.example bot:report --secret-env RTVI_OPERATOR_SECRET --timeout 60",
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("url", metavar="URL", help="the server's base URL, as in http://127.0.0.1:7860")
    parser.add_argument(
        "action", metavar="SERVICE:ACTION", help="the action, as in tts:say; a bot's own actions are bot:…"
    )
    parser.add_argument("arguments", metavar="NAME=VALUE", nargs="*", default=[], help="the action's arguments")
    for option, form, what in (
        ("--services", "SERVICE=PROVIDER", "use another provider that the bot names"),
        ("--config", "SERVICE.OPTION=VALUE", "set an option"),
    ):
        parser.add_argument(option, metavar=form, action="append", default=[], help=f"{what}; may be repeated")
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=read_seconds,
        default=10.0,
        help="how long to wait for each answer (%(default)g)",
    )
    parser.add_argument(
        "--secret-env",
        metavar="NAME",
        help="the environment variable with the operator's secret, as in RTVI_OPERATOR_SECRET",
    )
    return parser


async def _call(url: str, action: str, words: Sequence[str], start: Mapping[str, Any]) -> int:
    from ._connect import connect

    async with connect(url, **start) as client:
        described = _find(await client.describe_actions(), action)
        types = {each["name"]: each["type"] for each in described.get("arguments", ())}
        result = await client.action(action, read_arguments(words, types))
        if described.get("long"):
            result = await _follow(client, result["job"])
        _print(result)
        return OK


def _find(actions: Iterable[Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    """Return the description of an action; empty if it is not offered, which the server reports better."""
    nothing: Mapping[str, Any] = {}
    return next((each for each in actions if f"{each['service']}:{each['action']}" == name), nothing)


async def _follow(client: Client, job: str) -> Any:
    """Wait for the result of a background job."""
    async for event in client.events():
        data: Any = event.data
        message = cast("Mapping[str, Any]", data) if isinstance(data, dict) else dict[str, Any]()
        if event.type != "server-message" or message.get("job") != job:
            continue
        match message.get("status"):
            case "progress":
                sys.stderr.write(f"{_json(message.get('data'))}\n")
            case "done":
                return message.get("result")
            case _:
                raise Failure(message.get("error") or "The action was cancelled.")
    raise Failure("The session ended before the action.")


def _print(value: Any) -> None:
    sys.stdout.write(f"{_json(value)}\n")


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    # Control characters, and those that cannot be written, are escaped as in JSON.
    return text if text.isprintable() else json.dumps(value)
