"""The command that installs a missing distribution of this project. All hints use this module."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from .names import nearest

__all__ = (
    "LIVEKIT",
    "NEEDED",
    "PLUGINS",
    "available",
    "hint_of_missing",
    "install_command",
    "install_command_of_plugin",
    "install_hint",
    "install_hint_of_plugin",
    "livekit_name",
)

_CORE: Final = "rtvi-plugins"

#: The distributions of this project that another one needs, besides the core. They are on no registry either.
NEEDED: Final[Mapping[str, str]] = {
    "rtvi-plugins-anthropic": "rtvi-plugins-vendor",
    "rtvi-plugins-assemblyai": "rtvi-plugins-vendor",
    "rtvi-plugins-cartesia": "rtvi-plugins-vendor",
    "rtvi-plugins-deepgram": "rtvi-plugins-vendor",
    "rtvi-plugins-elevenlabs": "rtvi-plugins-vendor",
    "rtvi-plugins-eval": "rtvi-plugins-server",
    "rtvi-plugins-google": "rtvi-plugins-vendor",
    "rtvi-plugins-monitor": "rtvi-plugins-server",
    "rtvi-plugins-openai": "rtvi-plugins-vendor",
    "rtvi-plugins-ray": "rtvi-plugins-server",
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
    "monitor": "rtvi-plugins-monitor",
    "opentelemetry": "rtvi-plugins-opentelemetry",
    "speech.echo": "rtvi-plugins-echo",
    "speech.google": "rtvi-plugins-google",
    "speech.openai": "rtvi-plugins-openai",
    "stt.assemblyai": "rtvi-plugins-assemblyai",
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
    "vad.silero": "rtvi-plugins-silero",
    "webrtc": "rtvi-plugins-webrtc",
}

#: The kinds of the plugins in LiveKit's repository (1.8.9), which `rtvi-plugins-livekit` bridges.
LIVEKIT: Final[Mapping[str, str]] = {
    "anthropic": "llm",
    "assemblyai": "stt",
    "asyncai": "tts",
    "aws": "llm stt tts",
    "azure": "stt tts",
    "baseten": "llm stt tts",
    "bland": "tts",
    "cambai": "tts",
    "cartesia": "stt tts",
    "cerebras": "llm",
    "clova": "stt",
    "deepgram": "stt tts",
    "elevenlabs": "stt tts",
    "fal": "stt",
    "fireworksai": "stt",
    "fishaudio": "tts",
    "gladia": "stt",
    "gnani": "stt tts",
    "google": "llm stt tts",
    "gradium": "llm stt tts",
    "groq": "llm stt tts",
    "hume": "tts",
    "inworld": "stt tts",
    "lmnt": "tts",
    "minimax": "tts",
    "mistralai": "llm stt tts",
    "murf": "tts",
    "neuphonic": "tts",
    "nvidia": "stt tts",
    "openai": "llm stt tts",
    "perplexity": "llm",
    "resemble": "tts",
    "respeecher": "tts",
    "rime": "tts",
    "rtzr": "stt",
    "sarvam": "llm stt tts",
    "simplismart": "stt tts",
    "slng": "stt tts",
    "smallestai": "stt tts",
    "soniox": "stt tts",
    "speechify": "tts",
    "speechmatics": "stt tts",
    "spitch": "stt tts",
    "telnyx": "stt tts",
    "upliftai": "tts",
    "xai": "stt tts",
}
_BRIDGE: Final = "rtvi-plugins-livekit"


def available() -> dict[str, str]:
    """Return the distribution of each plugin that can be installed, by the name of its entry point.

    These are the plugins of this project and, for its bridge, those of LiveKit.
    """
    bridged = {
        f"{kind}.{livekit_name(plugin)}": f"livekit-plugins-{plugin}"
        for plugin, kinds in LIVEKIT.items()
        for kind in kinds.split()
    }
    return {**PLUGINS, **bridged}


def livekit_name(plugin: str) -> str:
    """Return the name of the provider that the bridge makes of a LiveKit plugin, such as `"gladia"`."""
    return f"livekit-{plugin}"


def install_command(distribution: str) -> str:
    """Return the command that installs a distribution, such as `"rtvi-plugins-server"`, or an extra of the core.

    It is run in the checkout.
    """
    # Nothing is published yet. On a registry, the name does not exist or belongs to another project.
    name, _, extra = distribution.partition("[")
    needed = f"{_folder(NEEDED[name])} " if name in NEEDED else ""
    what = f'"{_folder(name)}[{extra}"' if extra else _folder(name)
    return f"pip install {needed}{what}"


def install_command_of_plugin(name: str) -> str | None:
    """Return the command that installs a plugin, such as `"llm.openai"`. None for one that is not `available`."""
    if name in PLUGINS:
        return install_command(PLUGINS[name])
    bridged = available().get(name)
    return f"{install_command(_BRIDGE)} {bridged}" if bridged is not None else None


def install_hint(distribution: str) -> str:
    """Return how to install a distribution, or an extra of the core: the command, and where to run it."""
    return _hint(install_command(distribution))


def install_hint_of_plugin(name: str) -> str | None:
    """Return how to install a plugin, such as `"llm.openai"`. None for one that is not `available`."""
    command = install_command_of_plugin(name)
    return None if command is None else _hint(command)


def hint_of_missing(name: str, providers: Iterable[str], plugin: str) -> str:
    """Return what to do about a provider that is not installed: its command, or a name that was perhaps meant.

    `name` is as written by the user, `plugin` is like `"llm.openai"`. `providers` are the installed ones of its kind.
    """
    own = install_hint_of_plugin(plugin)
    if own is not None:
        return own[0].upper() + own[1:]
    names = list(providers)
    bridged = livekit_name(name)
    near = bridged if bridged in names else nearest(name.rpartition(":")[2], names)
    if near is not None:
        return f"Did you mean {near!r}?"
    if (command := install_hint_of_plugin(f"{plugin.partition('.')[0]}.{bridged}")) is not None:
        return f"LiveKit has one: write {bridged!r}, and {command}"
    listed = f"Installed: {', '.join(dict.fromkeys(names))}. " if names else ""
    distribution, colon, _ = name.rpartition(":")
    return f"{listed}Is there a package {distribution if colon else f'rtvi-plugins-{name}'}?"


def _hint(command: str) -> str:
    return f"in the checkout of {_CORE}, run: {command}"


def _folder(name: str) -> str:
    return "." if name == _CORE else f"./plugins/{name}"
