"""Read the fake of ElevenLabs with its SDK: `check_elevenlabs.py BASE_URL VOICE`, with messages on the input."""
# pyright: basic, reportMissingImports=false
# mypy: ignore-errors

from __future__ import annotations

import json
import sys
from typing import Any, get_args

from elevenlabs import ElevenLabs, VoiceSettings
from elevenlabs.types.audio_output_multi import AudioOutputMulti
from elevenlabs.types.close_context import CloseContext
from elevenlabs.types.final_output_multi import FinalOutputMulti
from elevenlabs.types.flush_context import FlushContext
from elevenlabs.types.initialise_context import InitialiseContext
from elevenlabs.types.send_text_multi import SendTextMulti
from elevenlabs.types.text_to_dialogue_websocket_audio_chunk_multi import TextToDialogueWebsocketAudioChunkMulti
from elevenlabs.types.text_to_dialogue_websocket_client_message_multi import TextToDialogueWebsocketClientMessageMulti
from elevenlabs.types.text_to_dialogue_websocket_final_audio_for_turn_multi import (
    TextToDialogueWebsocketFinalAudioForTurnMulti,
)
from elevenlabs.types.text_to_dialogue_websocket_final_multi import TextToDialogueWebsocketFinalMulti


def fits(model: Any, message: dict[str, Any]) -> bool:
    """Return whether a message has the fields of a model, and no others."""
    names = {field.alias or name: field for name, field in model.model_fields.items()}
    if message.keys() - names.keys():
        return False
    parts = [(names[name].annotation, value) for name, value in message.items()]
    return all(fits_type(type, value) for type, value in parts) and bool(model.model_validate(message))


def fits_type(type: Any, value: Any) -> bool:
    """Return whether the objects in a value have the fields of the models in a type, and no others."""
    if hasattr(type, "model_fields"):
        return fits(type, value)
    values = value if isinstance(value, list) else [value]
    return all(fits_type(each, part) for each in get_args(type) for part in values if isinstance(part, dict))


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


def dialogue_type_of(message: dict[str, Any], *, sent: bool) -> str:
    """Return the name of the SDK's type for a message of "Text to Dialogue"."""
    if sent:
        model = TextToDialogueWebsocketClientMessageMulti
    elif "is_final" in message:
        model = TextToDialogueWebsocketFinalMulti
    elif "is_final_audio_for_turn" in message:
        model = TextToDialogueWebsocketFinalAudioForTurnMulti
    else:
        model = TextToDialogueWebsocketAudioChunkMulti
    return model.__name__.removeprefix("TextToDialogueWebsocket") if fits(model, message) else "none"


def main(base_url: str, voice: str) -> None:
    """Print what the SDK reads."""
    given = json.load(sys.stdin)
    client = ElevenLabs(api_key="key-of-a-test", base_url=base_url)
    client.text_to_speech._ws_base_url = base_url.replace("http", "ws", 1)  # it would use TLS
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
        "dialogue_sent": [dialogue_type_of(each, sent=True) for each in given["dialogue_sent"]],
        "dialogue_received": [dialogue_type_of(each, sent=False) for each in given["dialogue_received"]],
    }
    print(json.dumps(read))  # noqa: T201


main(*sys.argv[1:])
