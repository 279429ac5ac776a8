"""Read the fake of Deepgram with its SDK: `check_deepgram.py BASE_URL WHAT`, with a request on the input."""
# pyright: basic, reportMissingImports=false
# mypy: ignore-errors

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from deepgram import AsyncDeepgramClient, DeepgramClientEnvironment
from deepgram.speak.v1.types import SpeakV1Text
from deepgram.speak.v2.types import SpeakV2Speak


def checked(message: Any) -> dict[str, Any]:
    """Return a message, held against the SDK's model. The SDK itself accepts every value."""
    type(message).model_validate(message.model_dump(by_alias=True))
    return message.model_dump(by_alias=True, exclude_none=True)


async def listen(client: AsyncDeepgramClient, given: dict[str, Any]) -> list[Any]:
    """Recognise audio, in the messages that are given: the number of bytes, or a command."""
    async with client.listen.v1.connect(**given["params"]) as socket:
        for message in given["messages"]:
            match message:
                case {"type": "Finalize"}:
                    await socket.send_finalize()
                case {"type": "CloseStream"}:
                    await socket.send_close_stream()
                case {"type": "KeepAlive"}:
                    await socket.send_keep_alive()
                case _:
                    await socket.send_media(b"\xff\x1f" * (message // 2))
        return [checked(message) async for message in socket]


async def listen_in_turns(client: AsyncDeepgramClient, given: dict[str, Any]) -> list[Any]:
    """Recognise audio with the turn-based API."""
    async with client.listen.v2.connect(**given["params"]) as socket:
        for message in given["messages"]:
            match message:
                case {"type": "ForceEndTurn"}:
                    await socket.send_force_end_turn()
                case {"type": "CloseStream"}:
                    await socket.send_close_stream()
                case _:
                    await socket.send_media(b"\xff\x1f" * (message // 2))
        return [checked(message) async for message in socket]


async def speak(client: AsyncDeepgramClient, given: dict[str, Any]) -> list[Any]:
    """Speak a text."""
    async with client.speak.v1.connect(**given["params"]) as socket:
        read = []
        for message in given["messages"]:
            match message:
                case {"type": "Speak", "text": text}:
                    await socket.send_text(SpeakV1Text(text=text))
                case {"type": "Flush"}:
                    await socket.send_flush()
                case _:
                    await socket.send_clear()
        while not read or read[-1] == "audio" or read[-1]["type"] != "Cleared":
            message = await socket.recv()
            read.append("audio" if isinstance(message, bytes) else checked(message))
        await socket.send_close()
        return read


async def speak_in_turns(client: AsyncDeepgramClient, given: dict[str, Any]) -> list[Any]:
    """Speak a text with the turn-based API."""
    async with client.speak.v2.connect(**given["params"]) as socket:
        read = []
        for message in given["messages"]:
            match message:
                case {"type": "Speak", "text": text}:
                    await socket.send_speak(SpeakV2Speak(text=text))
                case _:
                    await socket.send_flush()
        while not read or read[-1] == "audio" or read[-1]["type"] != "SpeechMetadata":
            message = await socket.recv()
            read.append("audio" if isinstance(message, bytes) else checked(message))
        await socket.send_close()
        return read


async def main(base_url: str, what: str) -> None:
    """Print what the SDK reads."""
    sockets = base_url.replace("http", "ws", 1)
    environment = DeepgramClientEnvironment(base=base_url, production=sockets, agent=sockets, agent_rest=base_url)
    client = AsyncDeepgramClient(api_key="key-of-a-test", environment=environment)
    given = json.load(sys.stdin)
    functions = {"listen": listen, "listen-in-turns": listen_in_turns, "speak": speak, "speak-in-turns": speak_in_turns}
    print(json.dumps(await functions[what](client, given)))  # noqa: T201


asyncio.run(main(*sys.argv[1:]))
