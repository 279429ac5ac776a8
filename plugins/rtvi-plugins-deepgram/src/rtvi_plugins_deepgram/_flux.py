"""The messages of `/v2/listen`: the models of the series Flux, which judge the end of a turn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from attrs import define, evolve

from rtvi_plugins.kinds import SpeechBegan, SpeechEnded, STTPiece, Transcript, Usage, Word
from rtvi_plugins_vendor import malformed_answers

from ._nova import Piece
from ._service import PROVIDER, failure

__all__ = ("Flux",)

#: How long to wait for a turn that may begin late, in seconds, where there is none to end.
_QUIET = 0.4
#: Deepgram's own `eot_threshold`.
_DEFAULT = 0.7


@define(eq=False)
class Flux:
    """Reads the messages of one connection. It has the members of `Nova`."""

    path: ClassVar[str] = "v2/listen"
    format: ClassVar[Mapping[str, Any]] = {"encoding": "linear16", "sample_rate": 16_000}
    pause: ClassVar[Mapping[str, str]] = {"type": "ForceEndTurn"}
    keep_alive: ClassVar[Mapping[str, str] | None] = None
    hears_silence: ClassVar[bool] = False

    fields: Mapping[str, Any]
    endpointing: bool = False
    has_settled: bool = False
    #: The latest text of the turn that has begun.
    _latest: Transcript | None = None

    @property
    def params(self) -> dict[str, Any]:
        """The parameters of the connection. Flux ends no turn before it is told to, unless somebody asks for that."""
        never = {} if self.endpointing else {"eot_threshold": 1.0}
        return {**self.format, **never, **self.fields}

    def quiet(self, timeout: float) -> float:
        """Return how long Deepgram may be silent after a pause. Without a turn, it does not answer."""
        return timeout if self._latest is not None else min(_QUIET, timeout)

    def read(self, message: Any) -> Iterator[Piece]:
        """Yield the pieces of a message. None is a vendor that has nothing to add."""
        self.has_settled = message is None
        pieces: list[Piece] = []
        with malformed_answers(PROVIDER):
            match message:
                case None:
                    pieces += self._finish(None)
                case {"type": "TurnInfo", "event": "EndOfTurn"}:
                    self._latest, self.has_settled = _transcript(message), True
                    pieces += self._finish(message["end_of_turn_confidence"])
                    pieces += [SpeechEnded()] if self.endpointing else []
                case {"type": "TurnInfo", "event": event}:
                    found = _transcript(message)
                    self._latest = found if found.text else self._latest
                    pieces += [SpeechBegan()] if self.endpointing and event == "StartOfTurn" else []
                    pieces += [found] if found.text else []
                case {"type": "Error"}:
                    raise failure(message.get("code"))
                case _:
                    pass
        yield from pieces

    def end(self, seconds: float) -> Iterator[STTPiece]:
        """Yield what is left when the connection has ended."""
        yield from self._finish(None)
        yield Usage(seconds=seconds, model=self.fields.get("model"))

    def _finish(self, confidence: float | None) -> list[Transcript]:
        """End the turn that has begun."""
        found, self._latest = self._latest, None
        if found is None or not found.text:
            return []
        # At 1, Flux does not judge.
        threshold = float(self.params.get("eot_threshold", _DEFAULT))
        ends = confidence >= threshold if confidence is not None and threshold < 1 else None
        return [evolve(found, final=True, ends_turn=ends)]


def _transcript(turn: Mapping[str, Any]) -> Transcript:
    confidences = [each["confidence"] for each in turn["words"]]
    return Transcript(
        turn["transcript"],
        False,
        language=next(iter(turn.get("languages") or []), None),
        words=[
            Word(each["word"], each["start"], each.get("end"))
            for each in turn["words"]
            if each.get("start") is not None
        ],
        confidence=round(sum(confidences) / len(confidences), 3) if confidences else None,
    )
