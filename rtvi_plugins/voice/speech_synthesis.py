"""Speech synthesis in one turn of the bot: text becomes speech as it comes, and the part that was heard is known."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final, Literal

import anyio
from anyio.abc import TaskGroup
from attrs import define, evolve, field

from ..errors import ProviderError
from ..events import BotOutput, BotTTSStarted, BotTTSStopped, BotTTSText, Metrics
from ..kinds import TTS, Audio, TTSPiece, TTSRequest, Usage, Word
from ..session import Alternatives, Session, Turn
from .provider_streams import FormatCheck, ReplayableStream, clean_usage, idle_timeout, named, reading, retried
from .text_filter import Spoken, SpokenSentence
from .timeline import Timeline

__all__ = ("Speech", "SpeechSynthesis")

log = logging.getLogger("rtvi_plugins")

#: How often the client gets the progress of the speech, in seconds. Nobody notices less, and each check costs time.
_STEP: Final = 0.060

#: How long a TTS may send nothing, in seconds: longer than an LLM may, because it may be waiting for the LLM's text.
_TIMEOUT: Final = 45.0


@define(eq=False)
class Speech:
    """One completion as it is spoken. Sentences are added by `say`; `end` follows the last one."""

    next_segment: Callable[[], int]
    session: Session
    #: The text filter.
    spoken: Spoken | None = None
    #: Where it starts in the turn's audio, in seconds, once it has started.
    start: float = 0.0
    timeline: Timeline = field(factory=Timeline)
    #: The TTS has failed; the text was shown.
    failed: bool = False
    sentences: ReplayableStream[str] = field(factory=ReplayableStream[str])
    #: All sentences as they are shown, and the spoken ones among them with the numbers of their segments.
    _shown_sentences: list[SpokenSentence] = field(factory=list[SpokenSentence])
    _spoken_sentences: list[tuple[int, SpokenSentence]] = field(factory=list[tuple[int, SpokenSentence]])
    #: How many of the spoken sentences the client knows to be in progress, and to be completed.
    _sentences_begun: int = 0
    _sentences_completed: int = 0
    #: How many characters the client knows to be heard.
    _reported_until: int = 0

    def say(self, sentence: str) -> None:
        """Show this sentence, and speak next what the text filter leaves of it."""
        segment, found = self.next_segment(), SpokenSentence.of(sentence, self.spoken)
        self._shown_sentences.append(found)
        self.session.emit(BotOutput(sentence, segment, spoken=bool(found.text)))
        if found.text:
            self._spoken_sentences.append((segment, found))
            self.sentences.append(found.text)

    def end(self) -> None:
        self.sentences.end()

    def pieces(self, on_taken: Callable[[], None], on_wait: Callable[[], None]) -> AsyncIterator[str]:
        """Return the text for the TTS. The timeline notes each piece when the TTS takes it.

        `on_taken` is called then too, and at the end of the text. `on_wait` is called when the TTS waits for the LLM.
        """

        def take(piece: str) -> None:
            self.timeline.take(piece)
            on_taken()

        return self.sentences.read(take, on_taken, on_wait)

    # ---- what was heard --------------------------------------------------------------------------------------------

    def heard_text(self, heard: float, text: str, unsaid: str) -> str | None:
        """Return the part of the completion `text` that was heard after `heard` seconds; None if all was heard.

        `unsaid` is the end of the text, which is in no sentence.
        """
        if self.is_settled(heard):
            return text.removesuffix(unsaid).strip() if unsaid else None
        position, pieces = self.timeline.heard(heard - self.start), iter(self.timeline.pieces)
        at = end = 0
        for each in self._shown_sentences:
            at = max(at, text.find(each.shown, at))
            if each.text:
                start, _ = next(pieces, (position, position))
                if position <= start:
                    break
                end = at + each.shown_until(position - start)
            at += len(each.shown)
        return text[:end].strip()

    def is_settled(self, heard: float) -> bool:
        """Return whether all of this speech counts as heard after `heard` seconds of the turn."""
        return self.failed or self._is_over(heard)

    def _is_over(self, heard: float) -> bool:
        return self.timeline.is_over(heard - self.start)

    def progress(self, heard: float) -> None:
        """Send the client the words and sentences that have been heard after `heard` seconds of the turn."""
        if self._sentences_completed == len(self._spoken_sentences):
            return
        position = self.timeline.heard(heard - self.start)
        while self._report_next(position, self._is_over(heard)):
            pass
        if self.timeline.has_words and position > self._reported_until:
            self.session.emit(BotTTSText(self.timeline.text[self._reported_until : position].strip()))
            self._reported_until = position

    def _report_next(self, position: int, whole: bool) -> bool:
        """Report the next start or end of a sentence. Return False if it has not been reached."""
        pieces, begun = self.timeline.pieces, self._sentences_begun
        if self._sentences_completed < begun:
            if not (whole if begun == len(pieces) else position > pieces[self._sentences_completed][1]):
                return False
            self._report_sentence("completed", self._sentences_completed)
            self._sentences_completed += 1
            return True
        if begun == len(pieces) or position <= pieces[begun][0]:
            return False
        self._report_sentence("in-progress", begun)
        self._sentences_begun += 1
        if not self.timeline.has_words:
            self.session.emit(BotTTSText(self.sentences.items[begun]))
            self._reported_until = pieces[begun][1]
        return True

    def _report_sentence(self, status: Literal["in-progress", "completed"], index: int) -> None:
        segment, sentence = self._spoken_sentences[index]
        self.session.emit(BotOutput(sentence.shown, segment, spoken=True, status=status))


@define(eq=False)
class SpeechSynthesis:
    """Speaks the completions of one turn, one after the other."""

    session: Session
    turn: Turn
    tts: TTS
    next_segment: Callable[[], int]
    #: When the user stopped speaking, if this turn answers speech.
    spoken_until: float | None = None
    #: The text filter.
    spoken: Spoken | None = None
    #: The language of the user's last speech, as far as it is known.
    language: str | None = None
    #: Called whenever more was heard.
    on_heard: Callable[[], None] | None = field(default=None, init=False)
    _speeches: list[Speech] = field(factory=list[Speech], init=False)
    #: Set when the audio of the last speech is made.
    _last_made: anyio.Event | None = field(default=None, init=False)
    _tts_failed: bool = field(default=False, init=False)
    _next_report: float = field(default=0.0, init=False)
    _check_format: FormatCheck = field(factory=FormatCheck, init=False)
    _alternatives: Alternatives = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._alternatives = self.session.alternatives(self.tts)
        self.turn.on_heard(self._audio_heard)

    @property
    def is_made(self) -> bool:
        """Return whether the audio of all speeches so far is made."""
        return self._last_made is None or self._last_made.is_set()

    def add(self, tasks: TaskGroup) -> Speech:
        """Return a speech, which is heard after all others of the turn. Its audio is made in a task."""
        speech, before, made = self._new_speech(), self._last_made, anyio.Event()
        self._speeches.append(speech)
        self._last_made = made

        async def speak() -> None:
            try:
                await self._speak(speech, before)
            finally:
                made.set()

        tasks.start_soon(speak)
        return speech

    def _new_speech(self) -> Speech:
        return Speech(self.next_segment, self.session, self.spoken)

    async def _speak(self, speech: Speech, before: anyio.Event | None) -> None:
        """Make the audio of a speech once the one before is made. If the TTS fails, the text stays."""
        has_text = await speech.sentences.wait_for_length(1)
        if before is not None:
            await before.wait()
        speech.start = self.turn.given
        if not has_text:
            speech.timeline.finish()
            return
        if self._tts_failed:
            speech.failed = True
            return
        self.session.emit(BotTTSStarted())
        try:
            await retried(
                lambda: self._synthesize(speech),
                "a TTS",
                "spoke",
                self._alternatives,
                can_retry=lambda: speech.timeline.seconds == 0,
                before_retry=lambda: self._restart(speech),
            )
        except ProviderError as error:
            speech.failed = True
            # Where another provider can take over, it speaks what comes next. A voice that cannot
            # read this text may read the next one.
            self._tts_failed = self._alternatives.seconds is None and error.category != "no-answer"
            self.session.fail(error)
        finally:
            self.session.emit(BotTTSStopped())

    def _restart(self, speech: Speech) -> None:
        speech.timeline = Timeline()
        self.turn.flush()  # less than a frame, of the failed attempt

    async def _synthesize(self, speech: Speech) -> None:
        began, first, usage = self.session.clock.now(), None, Usage()
        with idle_timeout(self.session.clock, _TIMEOUT, "The TTS", self._alternatives.seconds) as touch:
            request = TTSRequest(speech.pieces(touch, touch.wait_for_input), self.language)
            async with reading(self.tts.synthesize, request, "a TTS's synthesize()", TTSPiece) as pieces:
                async for piece in pieces:
                    touch()
                    match piece:
                        case Audio():
                            if first is None and piece.data:
                                first = self.session.clock.now()
                                touch.begun()
                                self._alternatives.answered()
                            self._check_format(piece, "a TTS", self._alternatives.provider)
                            await self._play(piece, speech, touch)
                        case Word():
                            speech.timeline.word(piece.text, piece.start)
                        case _:
                            usage = clean_usage(piece)
        self.session.emit(
            Metrics(
                "tts",
                ttfb=first - began if first is not None else None,
                processing=self.session.clock.now() - began,
                characters=usage.characters or len(speech.timeline.text),
                model=usage.model,
                seconds=usage.seconds or None,
            )
        )
        if first is None and any(map(str.isalnum, "".join(speech.sentences.items))):
            log.warning("%s made no audio of a text", named("a TTS", self._alternatives.provider))
            # The same voice cannot read the text the second time either.
            raise ProviderError("The TTS", "no-answer", retryable=False)
        speech.timeline.finish()
        self.turn.flush()

    async def _play(self, audio: Audio, speech: Speech, touch: Callable[[], None]) -> None:
        for second in _seconds(audio):  # a second at a time: waiting for space must not count as the TTS's silence
            before = self.turn.given
            self.turn.play(second)
            speech.timeline.made(self.turn.given - before)
            await self.turn.room()
            touch()

    def report_progress(self) -> None:
        for speech in self._speeches:
            speech.progress(self.turn.heard)

    def _audio_heard(self, seconds: float) -> None:
        if self.spoken_until is not None:
            delay, self.spoken_until = self.session.clock.now() - self.spoken_until, None
            self.session.emit(Metrics("bot", voice_to_voice=delay))
        if seconds < self._next_report and seconds < self.turn.given - 1e-6:
            return
        self._next_report = seconds + _STEP
        for speech in self._speeches:
            speech.progress(seconds)
        if self.on_heard is not None:
            self.on_heard()


def _seconds(audio: Audio) -> Iterator[Audio]:
    """Yield the audio in pieces of a second at most."""
    size = 2 * audio.rate * audio.channels
    if not 0 < size < len(audio.data):
        yield audio
        return
    for at in range(0, len(audio.data), size):
        yield evolve(audio, data=audio.data[at : at + size])
