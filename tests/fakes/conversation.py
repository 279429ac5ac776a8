"""The user of a conversation: what tests send as text, speech and time, and what they read from the wire."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

from .providers import CHARACTER, RATE, samples
from .wire import Wire, settle

__all__ = (
    "APOLOGY",
    "FORTY",
    "context",
    "failures",
    "later",
    "said",
    "shown",
    "silence",
    "speak",
    "spoken",
    "texts",
    "types",
    "wait",
    "write",
)

#: The default apology of `converse`.
APOLOGY = "I am sorry, something went wrong. Please try again."
#: A sentence of forty characters, which take two seconds to speak.
FORTY = "Now this is a sentence of forty letters."


async def write(wire: Wire, text: str = "go") -> None:
    """Send text that the bot must answer."""
    wire.send("send-text", {"content": text, "options": {}})
    await settle()


async def later(wire: Wire, seconds: float) -> None:
    """Let time pass in steps of a quarter of a second, for tests that do not need smaller ones."""
    for _ in range(round(seconds * 4)):
        wire.clock.advance(0.25)
        await settle()


def types(wire: Wire, *leave_out: str) -> list[str]:
    """The types of the messages that the client received, in order, without `bot-ready`."""
    return [each["type"] for each in wire.received if each["type"] not in ("bot-ready", *leave_out)]


def failures(wire: Wire) -> list[str]:
    """The texts of the errors that the client received. None of them may be fatal."""
    assert [each for each in wire.data_of("error") if each["fatal"]] == []
    return [each["message"] for each in wire.data_of("error")]


def shown(wire: Wire) -> list[str]:
    """The sentences that the client has shown, each once."""
    return [each["text"] for each in wire.data_of("bot-output") if each["spoken_status"] == "new"]


async def context(wire: Wire) -> list[dict[str, Any]]:
    """The conversation as the client reads it."""
    messages: list[dict[str, Any]] = (await wire.result(wire.call("llm:get_context")))["messages"]
    return messages


async def said(wire: Wire) -> list[tuple[str, Any]]:
    """The conversation as pairs of role and content."""
    return [(each["role"], each["content"]) for each in await context(wire)]


# ---- the user --------------------------------------------------------------------------------------------------------


async def wait(wire: Wire, seconds: float) -> None:
    """Let time pass, in steps of 10 ms."""
    for _ in range(round(seconds * 100)):
        wire.clock.advance(0.01)
        await settle()


async def speak(wire: Wire, line: int, seconds: float) -> None:
    """Let the user say something, or be silent (line 0), while time passes."""
    for _ in range(round(seconds / 0.02)):
        wire.connection.receive_audio(samples(line, 0.02, 16_000))
        wire.clock.advance(0.02)
        await settle()


async def silence(wire: Wire, seconds: float) -> None:
    """Let the user be silent, with the microphone on."""
    await speak(wire, 0, seconds)


def spoken(wire: Wire) -> str:
    """The bot's speech that the client received, as text: one character for every 50 ms."""
    data = array("h")
    for _, audio in wire.heard:
        assert (audio.rate, audio.channels, len(audio.data)) == (RATE, 1, 640)
        data.frombytes(audio.data)
    step = round(CHARACTER * RATE)
    return "".join(chr(data[at]) for at in range(step // 2, len(data), step)).rstrip("\0")


def texts(pieces: Sequence[Any]) -> list[str]:
    """The texts of events."""
    return [each["text"] for each in pieces]
