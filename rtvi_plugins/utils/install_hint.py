"""The command that installs a missing distribution of this project. All hints use this module."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from .names import nearest

__all__ = (
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

#: The distributions of this project that need another one, besides the core, by the other one. None is on a registry.
_NEEDED_BY: Final[Mapping[str, str]] = {
    "rtvi-plugins-server": "eval monitor ray webrtc",
    "rtvi-plugins-vendor": "anthropic assemblyai cartesia deepgram elevenlabs google openai",
}

#: The other distribution of this project that one needs.
NEEDED: Final[Mapping[str, str]] = {
    f"rtvi-plugins-{name}": needed for needed, names in _NEEDED_BY.items() for name in names.split()
}

#: The names of the entry points of each distribution of this project.
_BROUGHT_BY: Final[Mapping[str, str]] = {
    "rtvi-plugins-echo": "echo llm.echo speech.echo stt.echo tts.echo vad.echo",
    "rtvi-plugins-eval": "eval",
    "rtvi-plugins-anthropic": "llm.anthropic",
    "rtvi-plugins-openai": (
        "llm.fireworks llm.groq llm.llamacpp llm.lmstudio llm.ollama llm.openai llm.openrouter llm.together llm.vllm "
        "llm.xai speech.openai stt.openai tts.openai"
    ),
    "rtvi-plugins-google": "llm.google speech.google",
    "rtvi-plugins-rules": "llm.rules",
    "rtvi-plugins-monitor": "monitor",
    "rtvi-plugins-opentelemetry": "opentelemetry",
    "rtvi-plugins-assemblyai": "stt.assemblyai",
    "rtvi-plugins-cartesia": "stt.cartesia tts.cartesia",
    "rtvi-plugins-deepgram": "stt.deepgram tts.deepgram",
    "rtvi-plugins-pocketsphinx": "stt.pocketsphinx",
    "rtvi-plugins-whisper": "stt.whisper",
    "rtvi-plugins-elevenlabs": "tts.elevenlabs",
    "rtvi-plugins-espeak": "tts.espeak",
    "rtvi-plugins-piper": "tts.piper",
    "rtvi-plugins-silero": "vad.silero",
    "rtvi-plugins-webrtc": "webrtc",
}

#: The distribution of each plugin of this project, by the name of its entry point.
PLUGINS: Final[Mapping[str, str]] = {
    plugin: distribution for distribution, plugins in _BROUGHT_BY.items() for plugin in plugins.split()
}

#: The plugins in LiveKit's repository (1.8.9), which `rtvi-plugins-livekit` bridges, by their kinds.
_LIVEKIT: Final[Mapping[str, str]] = {
    "llm": "anthropic aws baseten cerebras google groq mistralai openai perplexity sarvam",
    "stt": (
        "assemblyai aws azure baseten cartesia clova deepgram elevenlabs fal fireworksai gladia gnani google gradium "
        "groq inworld meta microsoft_ai mistralai nabrah nvidia openai palabra rtzr sarvam simplismart slng smallestai "
        "soniox speechmatics spitch telnyx xai"
    ),
    "tts": (
        "assemblyai asyncai aws azure baseten bland cambai cartesia deepgram elevenlabs fishaudio gnani google gradium "
        "groq hume inworld lmnt microsoft_ai minimax mistralai murf neuphonic nvidia openai palabra resemble "
        "respeecher rime sarvam simplismart slng smallestai soniox speechify speechmatics spitch telnyx upliftai "
        "vakyam xai"
    ),
}
#: Those whose distribution has another name. "livekit-plugins-minimax" belongs to somebody else.
_LIVEKIT_DISTRIBUTIONS: Final[Mapping[str, str]] = {
    "microsoft_ai": "livekit-plugins-microsoft-ai",
    "minimax": "livekit-plugins-minimax-ai",
}
_BRIDGE: Final = "rtvi-plugins-livekit"


def available() -> dict[str, str]:
    """Return the distribution of each plugin that can be installed, by the name of its entry point.

    These are the plugins of this project and, for its bridge, those of LiveKit.
    """
    bridged = {
        f"{kind}.{livekit_name(plugin)}": _LIVEKIT_DISTRIBUTIONS.get(plugin, f"livekit-plugins-{plugin}")
        for kind, plugins in _LIVEKIT.items()
        for plugin in plugins.split()
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
    near = bridged if bridged in names else nearest(name.rpartition(":")[2].removeprefix(f"{_CORE}-"), names)
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
