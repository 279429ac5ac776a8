"""Talk to the fake of the Live API with Google's SDK: `check_google_live.py ORIGIN`, with our messages on the input."""
# pyright: basic, reportMissingImports=false
# mypy: ignore-errors

from __future__ import annotations

import asyncio
import json
import sys
from base64 import b64decode

from google.genai import Client, live
from google.genai.types import Blob, Content, FunctionResponse, HttpOptions, LiveConnectConfig

connect = live.ws_connect


def connect_without_tls(uri: str, **how: object) -> object:
    """Connect to loopback. The SDK insists on TLS; nothing else of it is changed."""
    how.pop("ssl", None)
    return connect(uri.replace("wss://", "ws://", 1), **how)


live.ws_connect = connect_without_tls


async def main(origin: str) -> None:
    """Send the same conversation, and print the messages that arrive."""
    (first, *others), read = json.load(sys.stdin), []
    setup = first["setup"]
    client = Client(api_key="key-of-a-test", http_options=HttpOptions(base_url=origin))
    config = {**setup.pop("generationConfig"), **setup}
    model = config.pop("model").removeprefix("models/")
    async with client.aio.live.connect(model=model, config=LiveConnectConfig.model_validate(config)) as session:
        for message in others:
            match message:
                case {"clientContent": {"turns": turns, "turnComplete": complete}}:
                    contents = [Content.model_validate(each) for each in turns]
                    await session.send_client_content(turns=contents, turn_complete=complete)
                case {"realtimeInput": {"audio": audio}}:
                    blob = Blob(data=b64decode(audio["data"]), mime_type=audio["mimeType"])
                    await session.send_realtime_input(audio=blob)
                case {"realtimeInput": {"audioStreamEnd": True}}:
                    await session.send_realtime_input(audio_stream_end=True)
                case {"realtimeInput": {"text": text}}:
                    await session.send_realtime_input(text=text)
                    read.append((await anext(session.receive())).model_dump(mode="json", exclude_none=True))
                case {"toolResponse": {"functionResponses": responses}}:
                    given = [FunctionResponse.model_validate(each) for each in responses]
                    await session.send_tool_response(function_responses=given)
        # up to the end of the answer
        read += [message.model_dump(mode="json", exclude_none=True) async for message in session.receive()]
    print(json.dumps(read))  # noqa: T201


asyncio.run(main(sys.argv[1]))
