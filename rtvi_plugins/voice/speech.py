"""The bot's voice in one turn: text becomes speech as it comes, and what was heard of it is known at any moment."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final, Literal

import anyio
from attrs import define, evolve, field

from ..errors import ProviderError
from ..events import BotOutput, BotTTSStarted, BotTTSStopped, BotTTSText, Metrics
from ..kinds import TTS, Audio, TTSRequest, Usage, Word
from ..session import Session, Turn
from .replay import Growing
from .spoken_text import Spoken, SpokenSentence
from .streams import NoPiece, closed_after, failure, let_pass, patience, sendable_usage
from .timeline import Timeline

__all__ = ("Speech", "Voice")

_PIECES: Final = "Audio(…), Word(…) or Usage(…)"
#: How exactly the client is told what is being heard, in seconds: no reader notices less, and each look has its price.
_STEP: Final = 0.060
#: How often a TTS that fails before it has made any audio is asked.
_ATTEMPTS: Final = 2
#: How long a TTS may be silent, in seconds: longer than an LLM may, whose text it may be waiting for.
_SECONDS: Final = 45.0


@define(eq=False)
class Speech:
    """One answer as it is spoken. Sentences go in by `say`; after the last one, `sentences` is ended."""

    segments: Callable[[], int]
    session: Session
    #: What is spoken of a sentence.
    spoken: Spoken | None = None
    #: Where in the turn's audio it begins, once it has begun.
    start: float = 0.0
    timeline: Timeline = field(factory=Timeline)
    #: The speech could not be made; its text was shown.
    failed: bool = False
    sentences: Growing[str] = field(factory=Growing[str])
    #: All sentences as they are shown, and the spoken ones among them with the numbers of their segments.
    _shown: list[SpokenSentence] = field(factory=list[SpokenSentence])
    _said: list[tuple[int, SpokenSentence]] = field(factory=list[tuple[int, SpokenSentence]])
    _begun: int = 0
    _completed: int = 0
    _told: int = 0

    def say(self, sentence: str) -> None:
        """Show this sentence, and speak it next, as `spoken` has it."""
        segment, found = self.segments(), SpokenSentence.of(sentence, self.spoken)
        self._shown.append(found)
        self.session.emit(BotOutput(sentence, segment, spoken=bool(found.text)))
        if found.text:
            self._said.append((segment, found))
            self.sentences.add(found.text)

    def pieces(self) -> AsyncIterator[str]:
        """The text, as a TTS takes it."""
        return self.sentences.read(lambda piece: self.timeline.take(piece))

    def again(self) -> None:
        """Begin anew, with a TTS that has made nothing so far."""
        self.timeline = Timeline()

    # ---- what was heard --------------------------------------------------------------------------------------------

    def heard_text(self, heard: float, text: str) -> str | None:
        """Return what of `text`, the whole answer, was heard after `heard` seconds of the turn; None if all was."""
        if self.is_settled(heard):
            return None
        position, pieces = self.timeline.heard(heard - self.start), iter(self.timeline.pieces)
        at = end = 0
        for each in self._shown:
            at = max(at, text.find(each.shown, at))
            if each.text:
                start, _ = next(pieces, (position, position))
                if position <= start:
                    break
                end = at + each.shown_until(position - start)
            at += len(each.shown)
        return text[:end].strip()

    def is_settled(self, heard: float) -> bool:
        """Whether all of it counts as heard."""
        return self.failed or self._is_over(heard)

    def _is_over(self, heard: float) -> bool:
        return self.timeline.is_over(heard - self.start)

    def progress(self, heard: float) -> None:
        """Tell the client what is being heard now."""
        if self._completed == len(self._said):
            return
        position = self.timeline.heard(heard - self.start)
        while self._goes_on(position, self._is_over(heard)):
            pass
        if self.timeline.has_words and position > self._told:
            self.session.emit(BotTTSText(self.timeline.text[self._told : position].strip()))
            self._told = position

    def _goes_on(self, position: int, whole: bool) -> bool:
        """Tell of the next beginning or end of a sentence, if it has been reached."""
        pieces, begun = self.timeline.pieces, self._begun
        if self._completed < begun:
            if not (whole if begun == len(pieces) else position > pieces[self._completed][1]):
                return False
            self._tell("completed", self._completed)
            self._completed += 1
            return True
        if begun == len(pieces) or position <= pieces[begun][0]:
            return False
        self._tell("in-progress", begun)
        self._begun += 1
        if not self.timeline.has_words:
            self.session.emit(BotTTSText(self.sentences.items[begun]))
            self._told = pieces[begun][1]
        return True

    def _tell(self, status: Literal["in-progress", "completed"], index: int) -> None:
        segment, sentence = self._said[index]
        self.session.emit(BotOutput(sentence.shown, segment, spoken=True, status=status))


@define(eq=False)
class Voice:
    """Speaks the answers of one turn, one after the other."""

    session: Session
    turn: Turn
    tts: TTS
    segments: Callable[[], int]
    #: When the user stopped speaking, if that is what is being answered.
    spoken_until: float | None = None
    #: Called whenever more has been heard.
    on_heard: Callable[[], None] | None = None
    #: What is spoken of a sentence.
    spoken: Spoken | None = None
    speeches: list[Speech] = field(factory=list[Speech])
    _broken: bool = False
    _look_at: float = 0.0

    def __attrs_post_init__(self) -> None:
        self.turn.on_heard(self._heard)

    def speech(self) -> Speech:
        """What is said next. `speak` makes it heard."""
        speech = Speech(self.segments, self.session, self.spoken)
        self.speeches.append(speech)
        return speech

    async def speak(self, speech: Speech, after: anyio.Event | None) -> None:
        """Make the audio of an answer, once that of the one before is made. A TTS that fails leaves the text."""
        something = await speech.sentences.reaches(1)
        if after is not None:
            await after.wait()
        speech.start = self.turn.given
        if not something:
            speech.timeline.finish()
            return
        if self._broken:
            speech.failed = True
            return
        self.session.emit(BotTTSStarted())
        try:
            await self._synthesize(speech)
        except ProviderError as error:
            self._broken = speech.failed = True
            self.session.fail(error)
        finally:
            self.session.emit(BotTTSStopped())

    async def _synthesize(self, speech: Speech) -> None:
        for attempt in range(_ATTEMPTS):
            try:
                return await self._make(speech)
            except BaseException as error:
                let_pass(error)
                found = failure(error, "a TTS", "spoke")
                if self.turn.interrupted:
                    await anyio.lowlevel.checkpoint()  # it stumbled over being cancelled, which is no failure
                if attempt + 1 < _ATTEMPTS and found.retryable and speech.timeline.seconds == 0:
                    speech.again()
                    self.turn.flush()  # of what the failed attempt began with
                    continue
                raise found from None

    async def _make(self, speech: Speech) -> None:
        began, first, usage = self.session.clock.now(), None, Usage()
        with patience(self.session.clock, _SECONDS, "The TTS") as touch:
            stream = self.tts.synthesize(TTSRequest(speech.pieces()))
            async with closed_after(stream, "a TTS's synthesize()", _PIECES) as pieces:
                async for piece in pieces:
                    touch()
                    match piece:
                        case Audio():
                            first = self.session.clock.now() if first is None else first
                            await self._play(piece, speech, touch)
                        case Word():
                            speech.timeline.word(piece.text, piece.start)
                        case Usage():
                            usage = sendable_usage(piece)
                        case other:
                            raise NoPiece(other, "a TTS's synthesize()", _PIECES)
        speech.timeline.finish()
        self.turn.flush()
        self.session.emit(
            Metrics(
                "tts",
                ttfb=first - began if first is not None else None,
                processing=self.session.clock.now() - began,
                characters=usage.characters or len(speech.timeline.text),
                model=usage.model,
            )
        )

    async def _play(self, audio: Audio, speech: Speech, touch: Callable[[], None]) -> None:
        for second in _seconds(audio):  # so that it is us who wait for room, however much comes in one piece
            before = self.turn.given
            self.turn.play(second)
            speech.timeline.made(self.turn.given - before)
            await self.turn.room()
            touch()

    def settle(self) -> None:
        """The turn is over, or nearly: tell of what was heard to its end."""
        for speech in self.speeches:
            speech.progress(self.turn.heard)

    def _heard(self, seconds: float) -> None:
        if self.spoken_until is not None:
            delay, self.spoken_until = self.session.clock.now() - self.spoken_until, None
            self.session.emit(Metrics("bot", voice_to_voice=delay))
        if seconds < self._look_at and seconds < self.turn.given - 1e-6:
            return
        self._look_at = seconds + _STEP
        for speech in self.speeches:
            speech.progress(seconds)
        if self.on_heard is not None:
            self.on_heard()


def _seconds(audio: Audio) -> Iterator[Audio]:
    """The audio in pieces of a second at most."""
    size = 2 * audio.rate * audio.channels
    if not 0 < size < len(audio.data):
        yield audio
        return
    for at in range(0, len(audio.data), size):
        yield evolve(audio, data=audio.data[at : at + size])
