"""The messages of `/v1/listen`: the models of the series Nova, and those before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, TypeAlias

from attrs import define

from rtvi_plugins.errors import ProviderError
from rtvi_plugins.kinds import SpeechBegan, SpeechEnded, STTPiece, Transcript, Usage, Word
from rtvi_plugins_vendor import malformed_answers

from ._service import PROVIDER, failure

__all__ = ("Nova", "Piece")

#: The pieces that the messages become.
Piece: TypeAlias = Transcript | Usage | SpeechBegan | SpeechEnded
#: The defaults for the end of speech: 300 ms of silence, or a second without a word.
_ENDPOINTING = {"endpointing": 300, "utterance_end_ms": 1000}


@define(eq=False)
class Nova:
    """Reads the messages of one connection."""

    path: ClassVar[str] = "v1/listen"
    format: ClassVar[Mapping[str, Any]] = {"encoding": "linear16", "sample_rate": 16_000, "channels": 1}
    #: Asks Deepgram to recognise what it has heard.
    pause: ClassVar[Mapping[str, str]] = {"type": "Finalize"}
    keep_alive: ClassVar[Mapping[str, str] | None] = {"type": "KeepAlive"}
    #: Whether something is sent for each utterance, also without words.
    hears_silence: ClassVar[bool] = True

    fields: Mapping[str, Any]
    #: Deepgram finds the utterances.
    endpointing: bool = False
    #: The last message was the answer to `pause`, or none will come.
    has_settled: bool = False
    _is_complete: bool = False
    _speaks: bool = False

    @property
    def params(self) -> dict[str, Any]:
        """The parameters of the connection."""
        # The end of an utterance is found in interim results.
        endpointing = _ENDPOINTING if self.endpointing and self.fields.get("interim_results", False) else {}
        return {**self.format, **endpointing, **self.fields}

    def quiet(self, timeout: float) -> float:
        """Return how long Deepgram may be silent after a pause. It may leave the answer out if no audio waits."""
        return min(1.0, timeout)

    def read(self, message: Any) -> Iterator[Piece]:
        """Yield the pieces of a message. None means that the vendor has nothing to add."""
        self.has_settled = message is None
        pieces: list[Piece] = []
        with malformed_answers(PROVIDER):
            match message:
                case {"type": "Results"}:
                    found = self._transcript(message)
                    self.has_settled = bool(message.get("from_finalize"))
                    pieces = [*self._begin(), found] if found.text else []
                    pieces += self._end() if message["speech_final"] else []
                case {"type": "UtteranceEnd"}:
                    pieces = [Transcript("", True, ends_turn=True), *self._end()]
                case {"type": "Metadata"}:
                    self._is_complete = True
                    pieces = [Usage(seconds=message["duration"], model=self.fields.get("model"))]
                case {"type": "Error"}:
                    raise failure(message.get("variant"))
                case _:
                    pass
        yield from pieces

    def _begin(self) -> list[Piece]:
        """Begin an utterance with its first words. Noise also causes Deepgram's own event, which then has no end."""
        if not self.endpointing or self._speaks:
            return []
        self._speaks = True
        return [SpeechBegan()]

    def _end(self) -> list[Piece]:
        if not self._speaks:
            return []
        self._speaks = False
        return [SpeechEnded()]

    def end(self, seconds: float) -> Iterator[STTPiece]:
        """Yield what is left when the connection has ended. A summary must have come before."""
        if not self._is_complete:
            raise ProviderError(PROVIDER, "unavailable")
        yield from ()

    def _transcript(self, message: Mapping[str, Any]) -> Transcript:
        best, final = message["channel"]["alternatives"][0], bool(message["is_final"])
        speakers = [str(each["speaker"]) for each in best["words"] if each.get("speaker") is not None]
        return Transcript(
            best["transcript"],
            final,
            language=next(iter(best.get("languages") or []), None),
            words=[
                Word(each.get("punctuated_word") or each["word"], each["start"], each["end"]) for each in best["words"]
            ],
            speaker=Counter(speakers).most_common(1)[0][0] if speakers else None,
            confidence=best["confidence"],
            # By default, 10 ms of silence are an endpoint, which says nothing about the turn.
            ends_turn=bool(message["speech_final"]) if final and self._waits_for_silence else None,
        )

    @property
    def _waits_for_silence(self) -> bool:
        return "endpointing" in self.fields and self.fields["endpointing"] is not False
