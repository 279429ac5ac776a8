"""The metrics of this process, in the form that Prometheus reads.

No label holds what a client sent: a label with free text would make a new series for each text. The names of services,
providers and actions, and the codes of errors, come from the bot and its plugins.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

__all__ = (
    "ACTIONS",
    "ACTION_SECONDS",
    "AUDIO_SECONDS",
    "CHARACTERS",
    "ENDED",
    "ERRORS",
    "FIRST_OUTPUT",
    "LOAD",
    "OPEN",
    "STARTS",
    "START_SECONDS",
    "TOKENS",
    "TURNS",
    "VOICE_TO_VOICE",
    "exposition",
)

_registry: Final = CollectorRegistry()

#: The upper bounds of the buckets, in seconds: around what a user notices in a conversation.
_LATENCIES: Final = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)

STARTS: Final = Counter(
    "rtvi_starts", "Starts of sessions, by the code of the refusal, or ok.", ["result"], registry=_registry
)
START_SECONDS: Final = Histogram(
    "rtvi_start_seconds", "The time until a start was answered.", buckets=_LATENCIES, registry=_registry
)
OPEN: Final = Gauge("rtvi_sessions_open", "Sessions that are open.", registry=_registry)
ENDED: Final = Counter(
    "rtvi_sessions_ended",
    "Sessions that have ended: ok, the code of an error, unclaimed or not-resumed.",
    ["reason"],
    registry=_registry,
)
LOAD: Final = Gauge("rtvi_load", "How busy the process is. From 1 on, it starts no session.", registry=_registry)
TURNS: Final = Counter("rtvi_turns", "Turns of bots, by how they ended.", ["end"], registry=_registry)
VOICE_TO_VOICE: Final = Histogram(
    "rtvi_voice_to_voice_seconds",
    "The time from the end of the user's speech to the first audio of the answer.",
    buckets=_LATENCIES,
    registry=_registry,
)
FIRST_OUTPUT: Final = Histogram(
    "rtvi_first_output_seconds",
    "The time until a service gave its first output.",
    ["service", "provider"],
    buckets=_LATENCIES,
    registry=_registry,
)
TOKENS: Final = Counter(
    "rtvi_tokens", "Tokens that an LLM read (prompt) and wrote (completion).", ["provider", "kind"], registry=_registry
)
CHARACTERS: Final = Counter("rtvi_characters", "Characters that a TTS spoke.", ["provider"], registry=_registry)
AUDIO_SECONDS: Final = Counter(
    "rtvi_audio_seconds",
    "Seconds of audio that a speech service charges for.",
    ["service", "provider"],
    registry=_registry,
)
ACTIONS: Final = Counter(
    "rtvi_actions",
    "Calls of actions, by the code of the error, or ok.",
    ["service", "action", "result"],
    registry=_registry,
)
ACTION_SECONDS: Final = Histogram(
    "rtvi_action_seconds",
    "The time that an action took.",
    ["service", "action"],
    buckets=_LATENCIES,
    registry=_registry,
)
ERRORS: Final = Counter(
    "rtvi_errors",
    "Errors that belong to no request, by their code. If a vendor has failed, also by its name and by what happened.",
    ["code", "provider", "category"],
    registry=_registry,
)


def exposition() -> bytes:
    """Return all metrics in Prometheus' text format."""
    return generate_latest(_registry)
