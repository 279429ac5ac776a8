"""The program of the helper process: speak what is requested. It uses only the standard library."""

from __future__ import annotations

import json

from rtvi_plugins.helper_worker import READY, Frame, Refused, Replies, Requests, serve, take_stdout
from rtvi_plugins_espeak._library import Espeak, Rejected
from rtvi_plugins_espeak._protocol import Kind, pack_word

__all__ = ("main",)

#: The default voice, loaded before the first request.
_DEFAULT_VOICE = "gmw/en-US"


def main(library: str, data: str) -> None:
    """Speak with the library and its data at these paths, until stdin ends."""
    replies, requests = take_stdout(), Requests()
    espeak = Espeak(library, data)

    def speak(request: Frame) -> None:
        try:
            _speak(espeak, request, requests, replies)
        except (KeyError, TypeError, ValueError, Rejected):
            raise Refused from None

    ready = {"rate": espeak.rate, "voices": espeak.voices(), "variants": espeak.variants()}
    replies.send(READY, 0, json.dumps(ready).encode())
    espeak.choose(_DEFAULT_VOICE)
    serve(requests, replies, speak)


def _speak(espeak: Espeak, request: Frame, requests: Requests, replies: Replies) -> None:
    parameters = json.loads(request.payload)

    def on_audio(data: bytes) -> bool:
        replies.send_soon(Kind.AUDIO, request.id, data)
        return requests.wants(request.id)

    def on_word(position: int, sample: int) -> None:
        replies.send_soon(Kind.WORD, request.id, pack_word(position, sample))

    espeak.choose(parameters["voice"])
    espeak.adjust(parameters)
    espeak.speak(parameters["text"], pause=parameters["pause"], on_audio=on_audio, on_word=on_word)
