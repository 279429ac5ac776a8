"""Read the fakes of OpenAI's audio with its SDK: `check_openai_audio.py BASE_URL`, with the fields on the input."""
# pyright: basic, reportMissingImports=false
# mypy: ignore-errors

from __future__ import annotations

import json
import sys

from openai import OpenAI


def main(base_url: str) -> None:
    """Print what the SDK reads."""
    client = OpenAI(api_key="key-of-a-test", base_url=base_url, max_retries=0)
    sent = json.load(sys.stdin)
    if "input" in sent:
        with client.audio.speech.with_streaming_response.create(**sent) as response:
            print(json.dumps(b"".join(response.iter_bytes()).hex()))  # noqa: T201
        return
    file = ("audio.wav", bytes.fromhex(sent.pop("file")), "audio/wav")
    print(json.dumps([each.to_dict() for each in client.audio.transcriptions.create(**sent, file=file)]))  # noqa: T201


main(sys.argv[1])
