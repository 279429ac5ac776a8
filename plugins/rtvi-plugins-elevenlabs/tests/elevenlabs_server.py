"""A fake of ElevenLabs: speaks a tone for each character, with its time.

The vendor's own SDK reads its messages in `tests/sdks`.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from attrs import define, field

from rtvi_plugins_vendor.provider_tests import tone
from rtvi_plugins_vendor.scripts import SocketVendor
from rtvi_plugins_vendor.testing import FakeSocket, FakeVendor, fake_vendor

__all__ = ("DIALOGUE", "ElevenLabs", "elevenlabs", "path_of", "tts_vendor")

#: How many ms a character lasts, and how many characters a message has. Words go on in the next message.
LASTS, CHARACTERS = 20, 4
VOICE = "JBFqnCBsd6RMkjVDRZzb"
#: The path of "Text to Dialogue".
DIALOGUE = "/v1/text-to-dialogue/multi-stream-input"
#: The parameters that it has.
DIALOGUE_PARAMS = {
    *("model_id", "output_format", "sync_alignment", "language_code", "seed", "enable_logging"),
    "apply_text_normalization",
}


def path_of(voice: str, *, multi: bool = True) -> str:
    """Return the path at which a voice speaks."""
    return f"/v1/text-to-speech/{voice}/{'multi-' * multi}stream-input"


@define(eq=False)
class ElevenLabs:
    """A server of one voice."""

    vendor: FakeVendor
    #: The texts of open contexts that wait for a flush.
    waiting: dict[str, str] = field(factory=dict[str, str])

    async def speak(self, socket: FakeSocket) -> None:
        """Answer at `multi-stream-input`."""
        at_once = socket.request.params.get("auto_mode") == "true"
        async for message in socket:
            context = message["context_id"]
            if message.get("close_context"):
                self.waiting.pop(context, None)
                await socket.send({"contextId": context, "isFinal": True})
                continue
            text = self.waiting.get(context, "") + message.get("text", "")
            ready = at_once or message.get("flush")
            self.waiting[context] = "" if ready else text
            for each in self._spoken(socket, text if ready else ""):
                await socket.send({**each, "contextId": context})

    async def speak_dialogue(self, socket: FakeSocket) -> None:
        """Answer at `DIALOGUE`. What it does not know ends the connection, and the text waits for a flush."""
        voices: dict[str, list[str]] = {}
        problem = "" if socket.request.params.keys() <= DIALOGUE_PARAMS else "invalid_parameter"
        async for message in socket:
            context = message.get("context_id", "")
            about = {"context_id": context}
            known = voices.setdefault(context, message.get("voices", []))
            inputs: list[dict[str, str]] = message.get("inputs", [])
            if problem or not context or not known or any(each["voice_id"] not in known for each in inputs):
                error = {"message": "No", "error": problem or "invalid_message", "code": 1008}
                await socket.send({**error, "param": "voices"})
                await socket.close(1008)
                return
            self.waiting[context] = self.waiting.get(context, "") + "".join(each["text"] for each in inputs)
            if message.get("flush") or message.get("close_context"):
                for each in self._spoken(socket, self.waiting.pop(context)):
                    times = dict(
                        zip(
                            ("chars", "char_start_times_ms", "char_durations_ms"),
                            each["alignment"].values(),
                            strict=True,
                        )
                    )
                    await socket.send({"audio": each["audio"], "alignment": times, **about})
                await socket.send({"is_final_audio_for_turn": True, **about})
            if message.get("close_context"):
                del voices[context]
                await socket.send({"is_final": True, **about})

    async def speak_one(self, socket: FakeSocket) -> None:
        """Answer at `stream-input`, which has one request for each connection."""
        async for message in socket:
            if message["text"] == "":
                await socket.send({"isFinal": True})
                await socket.close()
                return
            for each in self._spoken(socket, message["text"]):
                await socket.send(each)

    @staticmethod
    def _spoken(socket: FakeSocket, text: str) -> list[dict[str, Any]]:
        rate = int(socket.request.params["output_format"].removeprefix("pcm_"))
        messages: list[dict[str, Any]] = []
        for at in range(0, len(text) if text.strip() else 0, CHARACTERS):
            chars = [*text[at : at + CHARACTERS]]
            times = {
                "chars": chars,
                "charStartTimesMs": [n * LASTS for n in range(len(chars))],  # from the start of this message
                "charDurationsMs": [LASTS] * len(chars),
            }
            audio = b64encode(tone(len(chars) * LASTS / 1000, rate)).decode()
            messages.append({"audio": audio, "alignment": times, "normalizedAlignment": times})
        return messages


@asynccontextmanager
async def elevenlabs() -> AsyncGenerator[ElevenLabs]:
    """Run the fake on a free port of this machine."""
    async with fake_vendor() as vendor:
        fake = ElevenLabs(vendor)
        vendor.on(path_of(VOICE), fake.speak)
        vendor.on(path_of(VOICE, multi=False), fake.speak_one)
        vendor.on(DIALOGUE, fake.speak_dialogue)
        yield fake


@asynccontextmanager
async def tts_vendor() -> AsyncGenerator[SocketVendor]:
    """The fake for the conformance kit."""
    async with elevenlabs() as fake:
        yield SocketVendor(
            fake.vendor,
            path_of(VOICE),
            fake.speak,
            is_piece=lambda each: "audio" in each,
            is_goodbye=lambda each: bool(each.get("close_context")),
        )
