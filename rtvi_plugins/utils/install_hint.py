"""The command that installs a missing distribution of this project. All hints use this module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ("NEEDED", "PLUGINS", "install_hint", "install_hint_of_plugin")

_CORE: Final = "rtvi-plugins"

#: The distributions of this project that another one needs, besides the core. They are on no registry either.
NEEDED: Final[Mapping[str, str]] = {
    "rtvi-plugins-anthropic": "rtvi-plugins-vendor",
    "rtvi-plugins-cartesia": "rtvi-plugins-vendor",
    "rtvi-plugins-deepgram": "rtvi-plugins-vendor",
    "rtvi-plugins-elevenlabs": "rtvi-plugins-vendor",
    "rtvi-plugins-eval": "rtvi-plugins-server",
    "rtvi-plugins-google": "rtvi-plugins-vendor",
    "rtvi-plugins-openai": "rtvi-plugins-vendor",
    "rtvi-plugins-webrtc": "rtvi-plugins-server",
}

#: The distribution of each plugin of this project, by the name of its entry point.
PLUGINS: Final[Mapping[str, str]] = {
    "echo": "rtvi-plugins-echo",
    "eval": "rtvi-plugins-eval",
    "llm.anthropic": "rtvi-plugins-anthropic",
    "llm.echo": "rtvi-plugins-echo",
    "llm.fireworks": "rtvi-plugins-openai",
    "llm.google": "rtvi-plugins-google",
    "llm.groq": "rtvi-plugins-openai",
    "llm.llamacpp": "rtvi-plugins-openai",
    "llm.lmstudio": "rtvi-plugins-openai",
    "llm.ollama": "rtvi-plugins-openai",
    "llm.openai": "rtvi-plugins-openai",
    "llm.openrouter": "rtvi-plugins-openai",
    "llm.rules": "rtvi-plugins-rules",
    "llm.together": "rtvi-plugins-openai",
    "llm.vllm": "rtvi-plugins-openai",
    "llm.xai": "rtvi-plugins-openai",
    "stt.cartesia": "rtvi-plugins-cartesia",
    "stt.deepgram": "rtvi-plugins-deepgram",
    "stt.echo": "rtvi-plugins-echo",
    "stt.openai": "rtvi-plugins-openai",
    "stt.pocketsphinx": "rtvi-plugins-pocketsphinx",
    "stt.whisper": "rtvi-plugins-whisper",
    "tts.cartesia": "rtvi-plugins-cartesia",
    "tts.deepgram": "rtvi-plugins-deepgram",
    "tts.echo": "rtvi-plugins-echo",
    "tts.elevenlabs": "rtvi-plugins-elevenlabs",
    "tts.espeak": "rtvi-plugins-espeak",
    "tts.openai": "rtvi-plugins-openai",
    "tts.piper": "rtvi-plugins-piper",
    "vad.echo": "rtvi-plugins-echo",
    "speech.echo": "rtvi-plugins-echo",
    "vad.silero": "rtvi-plugins-silero",
    "webrtc": "rtvi-plugins-webrtc",
}


def install_hint(distribution: str) -> str:
    """Return the command that installs a distribution, such as `"rtvi-plugins-server"`, or an extra of the core."""
    # Nothing is published yet. On a registry, the name does not exist or belongs to another project.
    name, _, extra = distribution.partition("[")
    needed = f"{_folder(NEEDED[name])} " if name in NEEDED else ""
    what = f'"{_folder(name)}[{extra}"' if extra else _folder(name)
    return f"in the checkout of {_CORE}, run: pip install {needed}{what}"


def install_hint_of_plugin(name: str) -> str | None:
    """Return the command that installs a plugin of this project, such as `"llm.openai"`. None for any other plugin."""
    return install_hint(PLUGINS[name]) if name in PLUGINS else None


def _folder(name: str) -> str:
    return "." if name == _CORE else f"./plugins/{name}"
