"""Talk to the fake of the Realtime API with OpenAI's SDK: `check_openai_realtime.py ORIGIN`, with events as input."""
# pyright: basic, reportMissingImports=false
# mypy: ignore-errors

from __future__ import annotations

import json
import sys

from bodies import misfits
from openai import OpenAI
from openai.types.realtime import RealtimeServerEvent
from openai.types.realtime.realtime_client_event_param import RealtimeClientEventParam
from pydantic import TypeAdapter


def main(origin: str) -> None:
    """Send the events, and print what does not fit the SDK's types, and the events that it reads."""
    given = json.load(sys.stdin)
    client = OpenAI(api_key="key-of-a-test", base_url=origin, websocket_base_url=origin.replace("http", "ws", 1))
    wrong, read, types = [], [], TypeAdapter(RealtimeServerEvent)
    with client.realtime.connect(model=given["model"]) as connection:
        for event in given["events"]:
            wrong += misfits(RealtimeClientEventParam, event)
            connection.send(event)
        for event in connection:
            types.validate_python(event.to_dict())  # the SDK itself accepts every value
            read.append(event.to_dict())
            if event.type == "response.done" and len([each for each in read if each["type"] == "response.done"]) == 2:
                break
    print(json.dumps({"misfits": wrong, "read": read}))  # noqa: T201


main(sys.argv[1])
