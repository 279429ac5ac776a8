"""Read the fake of OpenAI with OpenAI's SDK: `check_openai.py BASE_URL`, with a request of ours on the input."""
# pyright: basic, reportMissingImports=false
# mypy: ignore-errors

from __future__ import annotations

import json
import sys

from bodies import misfits
from openai import APIStatusError, OpenAI
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming


def main(base_url: str, times: int = 1) -> None:
    """Print what the SDK reads, as often as asked."""
    client = OpenAI(api_key="key-of-a-test", base_url=base_url, max_retries=0)
    sent = json.load(sys.stdin)
    found = misfits(CompletionCreateParamsStreaming, sent)
    print(json.dumps([{"misfits": found, **read(client, sent)} for _ in range(times)]))  # noqa: T201


def read(client: OpenAI, sent: dict[str, object]) -> dict[str, object]:
    """Return the text, the function calls and the usage, or the error."""
    text, calls, usage = "", [], None
    try:
        for chunk in client.chat.completions.create(**sent):
            for choice in chunk.choices:
                text += choice.delta.content or ""
                calls += [each.to_dict() for each in choice.delta.tool_calls or []]
            usage = chunk.usage and chunk.usage.to_dict()
    except APIStatusError as error:
        return {"error": [type(error).__name__, error.status_code]}
    return {"text": text, "calls": calls, "usage": usage}


main(sys.argv[1], *map(int, sys.argv[2:]))
