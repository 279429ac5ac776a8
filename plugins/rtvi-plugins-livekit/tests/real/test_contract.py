"""The conformance kit on bridged providers, against fakes of their vendors."""

from __future__ import annotations

import gc
from types import ModuleType

import pytest
from vendors import cartesia, deepgram, openai_chat, openai_speech

from rtvi_plugins.testing import check_providers
from rtvi_plugins_livekit.listing import providers

pytestmark = pytest.mark.anyio


def bridged(name: str) -> ModuleType:
    """Declare a provider as the framework does."""
    (found,) = (each for each in providers() if each.name == name)
    module = found.make_module("bridged")
    # On a busy machine, collecting garbage among the objects of LiveKit's modules takes longer than the kit allows.
    gc.collect()
    gc.freeze()
    return module


#: LiveKit keeps the answer of the vendor to itself.
RETRY_AFTER = {"P230": "LiveKit does not report the header retry-after of plugins with a client of their own"}


async def test_a_chat_model_keeps_all_rules() -> None:
    """Also if its vendor fails, in every way."""
    await check_providers(bridged("llm.livekit-openai"), vendor=openai_chat, waive=RETRY_AFTER)


async def test_a_voice_over_http_keeps_all_rules() -> None:
    """Sentence by sentence."""
    await check_providers(bridged("tts.livekit-openai"), vendor=openai_speech, waive=RETRY_AFTER)


async def test_a_voice_over_a_websocket_keeps_all_rules() -> None:
    """With the times of its words."""
    await check_providers(bridged("tts.livekit-cartesia"), vendor=cartesia)


async def test_recognition_keeps_all_rules_but_one() -> None:
    """LiveKit's plugin ignores a message that it cannot read."""
    reason = "LiveKit ignores the message, so it looks as if the user had said no words"
    await check_providers(bridged("stt.livekit-deepgram"), vendor=deepgram, waive={"P227": reason})
