"""Read the fake of ElevenLabs with its SDK: `check_elevenlabs.py BASE_URL VOICE`, with messages on the input."""
# pyright: basic, reportMissingImports=false
# mypy: ignore-errors

from __future__ import annotations

import json
import sys
from typing import Any

from elevenlabs import ElevenLabs, VoiceSettings
from elevenlabs.types.audio_output_multi import AudioOutputMulti
from elevenlabs.types.close_context import CloseContext
from elevenlabs.types.final_output_multi import FinalOutputMulti
from elevenlabs.types.flush_context import FlushContext
from elevenlabs.types.initialise_context import InitialiseContext
from elevenlabs.types.send_text_multi import SendTextMulti


def fits(model: Any, message: dict[str, Any]) -> bool:
    """Return whether a message has the fields of a model, and no others."""
    names = {field.alias or name for name, field in model.model_fields.items()}
    return not message.keys() - names and bool(model.model_validate(message))


def type_of(message: dict[str, Any], *, sent: bool) -> str:
    """Return the name of the SDK's type for a message."""
    if not sent:
        model = FinalOutputMulti if "isFinal" in message else AudioOutputMulti
    elif "close_context" in message:
        model = CloseContext
    elif "flush" in message:
        model = FlushContext
    else:
        model = InitialiseContext if "voice_settings" in message else SendTextMulti
    return model.__name__ if fits(model, message) else "none"


def main(base_url: str, voice: str) -> None:
    """Print what the SDK reads."""
    client = ElevenLabs(api_key="key-of-a-test", base_url=base_url)
    client.text_to_speech._ws_base_url = base_url.replace("http", "ws", 1)  # it would use TLS
    given = json.load(sys.stdin)
    audio = client.text_to_speech.convert_realtime(
        voice,
        text=iter(["Good morning. ", "Bye! "]),
        model_id="eleven_flash_v2_5",
        output_format="pcm_24000",
        voice_settings=VoiceSettings(stability=0.5, speed=0.9),
    )
    read = {
        "bytes": sum(map(len, audio)),
        "sent": [type_of(each, sent=True) for each in given["sent"]],
        "received": [type_of(each, sent=False) for each in given["received"]],
    }
    print(json.dumps(read))  # noqa: T201


main(*sys.argv[1:])
