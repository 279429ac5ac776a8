"""Read the fake of Google with its SDK, which is given a request of ours: `check_google.py ORIGIN [TIMES]`."""
# pyright: basic, reportMissingImports=false
# mypy: ignore-errors

from __future__ import annotations

import json
import sys
from typing import Any

from google.genai import Client
from google.genai.errors import APIError
from google.genai.types import Content, GenerateContentConfig, HttpOptions


def main(origin: str, times: int = 1) -> None:
    """Print what the SDK reads, as often as asked."""
    client = Client(api_key="key-of-a-test", http_options=HttpOptions(base_url=origin))
    sent = json.load(sys.stdin)
    print(json.dumps([read(client, sent) for _ in range(times)]))  # noqa: T201


def read(client: Client, sent: dict[str, Any]) -> dict[str, object]:
    """Return the parts, the last reason to finish and the usage, or the error. A field that is unknown raises."""
    sent = dict(sent)
    contents = [Content.model_validate(each) for each in sent.pop("contents")]
    config = {**sent.pop("generationConfig", {}), **sent}
    parts, reason, usage = [], None, None
    try:
        for chunk in client.models.generate_content_stream(
            model="gemini-3.8-flash", contents=contents, config=GenerateContentConfig.model_validate(config)
        ):
            for candidate in chunk.candidates or []:
                parts += [each.model_dump(mode="json", exclude_none=True) for each in candidate.content.parts or []]
                reason = candidate.finish_reason
            usage = chunk.usage_metadata and chunk.usage_metadata.model_dump(mode="json", exclude_none=True)
    except APIError as error:
        return {"error": [type(error).__name__, error.code, error.status]}
    return {"parts": parts, "reason": reason, "usage": usage}


main(sys.argv[1], *map(int, sys.argv[2:]))
