"""The command `rtvi call`: call one action of a bot that is being served."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from rtvi_plugins.cli import OK, Failure, UsageError, read_arguments, read_config, read_seconds, read_services
from rtvi_plugins.session import Secret

if TYPE_CHECKING:
    from rtvi_plugins.client import Client

__all__ = ("call",)


def call(argv: Sequence[str]) -> int:
    """Run the command. Returns 0 when the action was done; else it raises."""
    import anyio  # here, for `rtvi call --help` to be quick

    chosen = _parser().parse_intermixed_args(argv)
    if not chosen.url.lower().startswith(("http://", "https://")):
        raise UsageError(f"{chosen.url!r} is no address; write http://{chosen.url.rpartition('://')[2]}.")
    if not all(chosen.action.partition(":")):
        raise UsageError(f"{chosen.action!r} names no action; write service:action, as in tts:say.")
    start = {
        "services": read_services(chosen.services),
        "config": read_config(chosen.config),
        "secret": _secret(chosen.secret_env, os.environ),
        "timeout": chosen.timeout,
    }
    read_arguments(chosen.arguments)  # a mistake of typing is told before anything is started
    return anyio.run(_call, chosen.url, chosen.action, chosen.arguments, start)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rtvi call",
        description="Start a session with a bot that is being served, call one of its actions, and print the result as "
        "JSON. A value is taken as JSON if it is JSON and not meant for a string, else as text.",
    )
    parser.add_argument("url", metavar="URL", help="the server's base URL, as http://127.0.0.1:7860")
    parser.add_argument("action", metavar="SERVICE:ACTION", help="as tts:say; a bot's own are bot:…")
    parser.add_argument("arguments", metavar="NAME=VALUE", nargs="*", default=[], help="the action's arguments")
    for option, form in (("--services", "SERVICE=PROVIDER"), ("--config", "SERVICE.OPTION=VALUE")):
        parser.add_argument(option, metavar=form, action="append", default=[], help="for the start; may be repeated")
    parser.add_argument(
        "--timeout", metavar="SECONDS", type=read_seconds, default=10.0, help="for each answer (%(default)g)"
    )
    parser.add_argument(
        "--secret-env",
        metavar="NAME",
        help="the environment variable that holds the operator's secret, as RTVI_OPERATOR_SECRET",
    )
    return parser


def _secret(name: str | None, environ: Mapping[str, str]) -> Secret | None:
    if name is None:
        return None
    if not environ.get(name):
        raise UsageError(f"The environment variable {name} is not set.")
    return Secret(environ[name])


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
    """How an action is described; empty for one that is not offered, which the server will say better."""
    nothing: Mapping[str, Any] = {}
    return next((each for each in actions if f"{each['service']}:{each['action']}" == name), nothing)


async def _follow(client: Client, job: str) -> Any:
    """Wait for the result of an action that goes on in the background."""
    async for event in client.events():
        data: Any = event.data
        told = cast("Mapping[str, Any]", data) if isinstance(data, dict) else dict[str, Any]()
        if event.type != "server-message" or told.get("job") != job:
            continue
        match told.get("status"):
            case "progress":
                sys.stderr.write(f"{_json(told.get('data'))}\n")
            case "done":
                return told.get("result")
            case _:
                raise Failure(told.get("error") or "The action was cancelled.")
    raise Failure("The session ended before the action had.")


def _print(value: Any) -> None:
    sys.stdout.write(f"{_json(value)}\n")


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    # Characters that steer a terminal, or that cannot be written, are escaped as JSON does it.
    return text if text.isprintable() else json.dumps(value)
