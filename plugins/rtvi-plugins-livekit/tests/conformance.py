"""How `rtvi check livekit-deepgram`, or another provider, calls it: with a fake of its vendor."""

from __future__ import annotations

from vendors import cartesia, deepgram, openai_chat, openai_speech

from rtvi_plugins.testing import ProviderCheck

__all__ = ("PROVIDERS",)

#: LiveKit keeps the answer of the vendor to itself.
RETRY_AFTER = {"P230": "LiveKit does not report the header retry-after of plugins with a client of their own"}
IGNORES = {"P227": "LiveKit ignores the message, so it looks as if the user had said no words"}

PROVIDERS = {
    "llm.livekit-openai": ProviderCheck(vendor=openai_chat, waive=RETRY_AFTER),
    "stt.livekit-deepgram": ProviderCheck(vendor=deepgram, waive=IGNORES),
    "tts.livekit-cartesia": ProviderCheck(vendor=cartesia),
    "tts.livekit-openai": ProviderCheck(vendor=openai_speech, waive=RETRY_AFTER),
}
