"""Read the fake of Anthropic with its SDK: `check_anthropic.py ORIGIN`, with a request of ours on the input."""
# pyright: basic, reportMissingImports=false
# mypy: ignore-errors

from __future__ import annotations

import json
import sys

from anthropic import Anthropic, APIStatusError
from anthropic.types.message_create_params import MessageCreateParamsStreaming
from bodies import misfits


def main(origin: str, times: int = 1) -> None:
    """Print what the SDK reads, as often as asked."""
    client = Anthropic(api_key="key-of-a-test", base_url=origin, max_retries=0)
    sent = json.load(sys.stdin)
    found = misfits(MessageCreateParamsStreaming, sent)
    del sent["stream"]
    print(json.dumps([{"misfits": found, **read(client, sent)} for _ in range(times)]))  # noqa: T201


def read(client: Anthropic, sent: dict[str, object]) -> dict[str, object]:
    """Return the whole answer, or the error."""
    try:
        with client.messages.stream(**sent) as stream:
            return {"message": stream.get_final_message().to_dict()}
    except APIStatusError as error:
        return {"error": [type(error).__name__, error.status_code]}


main(sys.argv[1], *map(int, sys.argv[2:]))
