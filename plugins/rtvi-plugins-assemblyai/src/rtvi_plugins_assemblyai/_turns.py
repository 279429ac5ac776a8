"""The turns of a session, as AssemblyAI sends them, become transcripts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from attrs import define

from rtvi_plugins.errors import ProviderCategory, ProviderError
from rtvi_plugins.kinds import SpeechBegan, SpeechEnded, Transcript, Usage
from rtvi_plugins_vendor import category_of_close, malformed_answers, words_of

__all__ = ("PROVIDER", "Piece", "Turns", "category_of")

#: What the messages become.
Piece: TypeAlias = Transcript | Usage | SpeechBegan | SpeechEnded

PROVIDER = "assemblyai"
#: How long before a pause the last word may have ended, in seconds: the silence that is a pause, and a little more.
_RECENT = 0.7

#: The close codes of AssemblyAI. Its messages of the type `Error` have them too.
_BY_CODE: Mapping[int, ProviderCategory] = {
    1008: "auth",
    3006: "bad-request",
    3007: "bad-request",
    3008: "unavailable",  # the session was open for too long, and the next one may succeed
    3009: "rate",
    4001: "auth",
    4002: "quota",
    4003: "quota",
    4029: "rate",
    4102: "rate",
}


def category_of(code: int, reason: str) -> ProviderCategory | None:
    """Return the category of a close code. None is a normal end."""
    # An account without credit is refused with the code of a wrong key.
    if code == 1008 and any(word in reason.lower() for word in ("balance", "funds", "credit")):
        return "quota"
    return _BY_CODE.get(code) or category_of_close(code)


@define(eq=False)
class Turns:
    """Reads the messages of one connection.

    `waits_for_format`: the end of a turn comes twice, and the second one is formatted.
    """

    waits_for_format: bool
    threshold: float | None = None
    #: AssemblyAI finds the utterances.
    endpointing: bool = False
    #: A turn has begun, and its end has not come.
    is_open: bool = False
    #: The last message has ended a turn, or there was none to end.
    has_ended: bool = False
    is_terminated: bool = False
    #: The latest message of the turn that is open.
    _latest: Mapping[str, Any] | None = None
    #: The number of the last turn that has ended.
    _ended: int = -1
    #: When its last word ended, in seconds of the audio. None: there may be speech after it.
    _spoken_until: float | None = None

    def read(self, message: Any) -> list[Piece]:
        """Return the pieces of a message. None is a vendor that has nothing to add."""
        self.has_ended = False
        pieces: list[Piece] = []
        with malformed_answers(PROVIDER):
            match message:
                case None:
                    pieces += self._end()
                case {"type": "Turn"}:
                    pieces += self._turn(message)
                case {"type": "Termination"}:
                    self.is_terminated = True
                    pieces += [*self._end(), Usage(seconds=message.get("audio_duration_seconds") or 0)]
                case {"type": "SpeechStarted"}:  # only of the models of the series Universal-3
                    self._spoken_until = None
                case {"error": reason}:
                    code = message.get("error_code")
                    raise ProviderError(PROVIDER, category_of(code or 0, str(reason)) or "unavailable")
                case _:
                    pass
        return pieces

    def has_all(self, sent: float) -> bool:
        """Return whether the turn that AssemblyAI has ended last is the end of the audio, of `sent` seconds.

        Then another turn is unlikely. Speech in the last moments of the audio can still begin one late.
        """
        return self._spoken_until is not None and sent - self._spoken_until < _RECENT

    def _turn(self, turn: Mapping[str, Any]) -> list[Piece]:
        if turn["turn_order"] <= self._ended:  # its formatted text, after its end was taken as it was
            return []
        self._latest, self._spoken_until = turn, None
        if turn["end_of_turn"] and (turn["turn_is_formatted"] or not self.waits_for_format):
            self._ended = turn["turn_order"]
            return self._end(turn["end_of_turn_confidence"])
        begun: list[Piece] = [SpeechBegan()] if self.endpointing and not self.is_open else []
        self.is_open, found = True, _transcript(turn)
        return [*begun, found] if found.text else begun

    def _end(self, confidence: float | None = None) -> list[Piece]:
        """End the turn that is open, with the text that has come."""
        turn, self._latest = self._latest, None
        begun: list[Piece] = [SpeechBegan()] if self.endpointing and turn and not self.is_open else []
        ended: list[Piece] = [SpeechEnded()] if self.endpointing and (turn or self.is_open) else []
        self.is_open, self.has_ended = False, True
        if turn is None:
            return [*begun, *ended]
        self._spoken_until = turn["words"][-1]["end"] / 1000 if turn["words"] else None
        judged = None if self.threshold is None or confidence is None else confidence >= self.threshold
        found = _transcript(turn, final=True, ends_turn=judged)
        return [*begun, found, *ended] if found.text else [*begun, *ended]


def _transcript(turn: Mapping[str, Any], *, final: bool = False, ends_turn: bool | None = None) -> Transcript:
    # `transcript` has only the words that stay, so the newest one would be shown late.
    text = turn["transcript"] if turn["end_of_turn"] else " ".join(each["text"] for each in turn["words"])
    confidences = [each["confidence"] for each in turn["words"]]
    return Transcript(
        text,
        final,
        language=turn.get("language_code"),
        words=words_of(PROVIDER, turn["words"], "text", "start", "end", unit=0.001),
        speaker=turn.get("speaker_label"),
        confidence=round(sum(confidences) / len(confidences), 3) if confidences else None,
        ends_turn=ends_turn,
    )
