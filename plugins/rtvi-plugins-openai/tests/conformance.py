"""How `rtvi check rtvi-plugins-openai` calls the providers: with a fake of their vendor."""

from __future__ import annotations

from openai_vendor import chat_vendor, transcription_vendor
from realtime_vendor import reading_vendor, realtime_vendor

from rtvi_plugins.testing import ProviderCheck

__all__ = ("PROVIDERS",)

#: All that have OpenAI's API.
NAMES = "fireworks groq llamacpp lmstudio ollama openai openrouter together vllm xai".split()

PROVIDERS = {
    **{f"llm.{each}": ProviderCheck(vendor=chat_vendor) for each in NAMES},
    "speech.openai": ProviderCheck(vendor=realtime_vendor),
    "stt.openai": ProviderCheck(vendor=transcription_vendor),
    "tts.openai": ProviderCheck(vendor=reading_vendor),
}
