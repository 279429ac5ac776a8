"""The kind of a speech-to-speech model: it hears the user and answers with audio."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol, runtime_checkable

from attrs import frozen
from rtvi_plugins import Kind
from rtvi_plugins.kinds import Audio, Text, ToolCall, Transcript


@frozen
class SpeechStarted:
    """The user started to speak."""


@frozen
class Answer:
    """An answer of the model. Its pieces come while the model speaks."""

    pieces: AsyncIterator[Text | Audio | ToolCall]


@runtime_checkable
class Realtime(Protocol):
    """A speech-to-speech model."""

    def hear(self, audio: Audio, /) -> None:
        """Take the user's audio. Must not block."""
        ...

    def events(self) -> AsyncIterator[SpeechStarted | Transcript | Answer]:
        """Yield what the user says, and the answers to it."""
        ...

    def function_result(self, id: str, result: Any, /) -> None:
        """Take the result of a function that the model has called."""
        ...


REALTIME = Kind("realtime", Realtime)
