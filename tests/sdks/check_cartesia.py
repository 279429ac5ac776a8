"""Read the fake of Cartesia with its SDK: `check_cartesia.py BASE_URL WHAT`, with a request on the input."""
# pyright: basic, reportMissingImports=false
# mypy: ignore-errors

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from bodies import misfits
from cartesia import AsyncCartesia
from cartesia.types.websocket_client_event_param import WebsocketClientEventParam


def checked(message: Any) -> dict[str, Any]:
    """Return a message, held against the SDK's model. The SDK itself accepts every value."""
    read = json.loads(message.to_json(warnings=False))
    # The SDK's type for the words of a transcript is another one than in Cartesia's reference.
    type(message).model_validate({**read, "words": None} if read["type"] == "transcript" else read)
    return read


async def speak(client: AsyncCartesia, messages: list[Any]) -> dict[str, Any]:
    """Send our messages, and read the answer to them."""
    read = []
    async with client.tts.websocket_connect() as connection:
        for message in messages:
            await connection.send(message)
        while not read or read[-1]["type"] not in ("done", "error"):
            read.append(checked(await connection.recv()))
    unknown = [each for message in messages for each in misfits(WebsocketClientEventParam, message)]
    return {"misfits": unknown, "read": read}


async def listen(client: AsyncCartesia, given: dict[str, Any]) -> list[Any]:
    """Recognise audio, in the messages that are given: the number of bytes, or a command."""
    async with client.stt.manual_finalize.websocket(**given["params"], max_retries=0) as connection:
        for message in given["messages"]:
            if isinstance(message, int):
                await connection.send_raw(b"\xff\x1f" * (message // 2))
            else:
                await connection.send(message)
        read = []
        while not read or read[-1]["type"] not in ("done", "error"):
            read.append(checked(await connection.recv()))
        return read


async def find_turns(client: AsyncCartesia, given: dict[str, Any]) -> list[Any]:
    """Recognise audio with the endpoint that finds turns."""
    params = {**given["params"], "sample_rate": int(given["params"]["sample_rate"])}
    async with client.stt.auto_finalize.websocket(**params, max_retries=0) as connection:
        for message in given["messages"]:
            if isinstance(message, int):
                await connection.send_raw(b"\xff\x1f" * (message // 2))
            else:
                await connection.send(message)
        read = []
        while not read or read[-1]["type"] not in ("turn.end", "error"):
            read.append(checked(await connection.recv()))
        return read


async def main(base_url: str, what: str) -> None:
    """Print what the SDK reads."""
    client = AsyncCartesia(
        api_key="key-of-a-test", base_url=base_url, websocket_base_url=base_url.replace("http", "ws", 1)
    )
    given = json.load(sys.stdin)
    functions = {"speak": speak, "listen": listen, "find-turns": find_turns}
    print(json.dumps(await functions[what](client, given)))  # noqa: T201


asyncio.run(main(*sys.argv[1:]))
