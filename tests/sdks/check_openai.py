"""Read the fake of OpenAI with OpenAI's SDK: `check_openai.py BASE_URL`, with a request of ours on the input."""
# pyright: basic, reportMissingImports=false
# mypy: ignore-errors

from __future__ import annotations

import json
import sys

from bodies import misfits
from openai import APIStatusError, OpenAI
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming


def main(base_url: str) -> None:
    """Print what the SDK reads."""
    client = OpenAI(api_key="key-of-a-test", base_url=base_url, max_retries=0)
    sent = json.load(sys.stdin)
    read = {"misfits": misfits(CompletionCreateParamsStreaming, sent), "text": "", "calls": []}
    try:
        for chunk in client.chat.completions.create(**sent):
            for choice in chunk.choices:
                read["text"] += choice.delta.content or ""
                read["calls"] += [each.to_dict() for each in choice.delta.tool_calls or []]
            read["usage"] = chunk.usage and chunk.usage.to_dict()
    except APIStatusError as error:
        read["error"] = [type(error).__name__, error.status_code, error.code]
    print(json.dumps(read))  # noqa: T201


main(sys.argv[1])
