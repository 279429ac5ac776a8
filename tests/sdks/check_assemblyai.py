"""Read the fake of AssemblyAI with its SDK: `check_assemblyai.py BASE_URL`, with a request on the input."""
# pyright: basic, reportMissingImports=false
# mypy: ignore-errors

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from assemblyai.streaming.v3 import (
    AsyncStreamingClient,
    StreamingClientOptions,
    StreamingEvents,
    StreamingParameters,
)


async def main(base_url: str) -> None:
    """Print what the SDK reads."""
    given = json.load(sys.stdin)
    host = base_url.replace("http", "ws", 1)
    client = AsyncStreamingClient(StreamingClientOptions(api_key="key-of-a-test", api_host=host))
    read: list[Any] = []

    async def take(client: Any, event: Any) -> None:
        read.append(event.model_dump(mode="json") if hasattr(event, "model_dump") else repr(event))

    for event in StreamingEvents.__members__.values():
        client.on(event, take)
    unknown = sorted(given["params"].keys() - StreamingParameters.model_fields.keys())
    lists = ("keyterms_prompt", "language_codes")
    params = {name: json.loads(value) if name in lists else value for name, value in given["params"].items()}
    await client.connect(StreamingParameters(**params))
    for message in given["messages"]:
        if isinstance(message, int):
            await client.stream(b"\xff\x1f" * (message // 2))
        elif message["type"] == "ForceEndpoint":
            await client.force_endpoint()
    await client.disconnect(terminate=True)
    print(json.dumps({"unknown": unknown, "read": read}))  # noqa: T201


asyncio.run(main(sys.argv[1]))
