"""The speech of a speech-to-speech model in one turn: played as it comes, with the part of it that was heard."""

from __future__ import annotations

from bisect import bisect_right

import anyio
from attrs import define, field

from ..events import BotTTSStarted, BotTTSStopped
from ..kinds import Audio, Word
from .model_stream import Answer
from .speech import Speech, SpeechSynthesis
from .streams import ReplayableStream
from .text_filter import SpokenSentence

__all__ = ("ModelSpeech", "ModelSynthesis")


@define(eq=False)
class _Sentences(ReplayableStream[str]):
    """The sentences of an answer. With them ends its audio: the answer is complete."""

    audio: ReplayableStream[Audio | Word] = field(factory=ReplayableStream[Audio | Word], kw_only=True)

    def end(self) -> None:
        self.audio.end()
        super().end()


@define(eq=False)
class ModelSpeech(Speech):
    """An answer as it is heard. The model makes its text and its audio at once."""

    audio: ReplayableStream[Audio | Word] = field(factory=ReplayableStream[Audio | Word], init=False)
    #: The answer, and the one before if the model was asked again.
    answers: list[Answer] = field(factory=list[Answer], init=False)
    #: The text so far, and with how many seconds of audio before it each of its pieces came.
    _text: str = field(default="", init=False)
    _marks: list[tuple[int, float]] = field(factory=list[tuple[int, float]], init=False)
    #: How much of the text is in sentences.
    _in_sentences: int = field(default=0, init=False)
    #: The words whose sentence has not come yet.
    _words: list[Word] = field(factory=list[Word], init=False)

    def __attrs_post_init__(self) -> None:
        self.sentences = _Sentences(audio=self.audio)

    def attach(self, answer: Answer) -> None:
        """Play the audio of this answer: what has come so far, and what comes."""
        self.answers.append(answer)
        for piece in answer.audio.items:
            self.audio.append(piece)
        answer.audio = self.audio

    def wrote(self, text: str, seconds: float) -> None:
        """Take the next piece of the text, which came after so many seconds of the answer's audio."""
        self._marks.append((len(self._text), seconds))
        self._text += text

    def say(self, sentence: str) -> None:
        """Show this sentence. Its audio comes of itself."""
        Speech.say(self, sentence)
        if text := sentence.strip():
            self._place(text)

    def word(self, word: Word) -> None:
        """Take note of the time of a word. Its sentence may come later."""
        self._words.append(word)
        self._place_words()

    def heard_text(self, heard: float, text: str) -> str | None:
        rest = self._text[self._in_sentences :].strip()
        if rest and not self.is_settled(heard):  # a sentence without an end, of which something may have been heard
            self._shown.append(SpokenSentence.of(rest, None))
            self._place(rest)
        return Speech.heard_text(self, heard, text)

    def _place(self, sentence: str) -> None:
        """Take note of the place of a sentence in the audio."""
        at = max(self._text.find(sentence, self._in_sentences), self._in_sentences)
        mark = bisect_right(self._marks, at, key=lambda each: each[0]) - 1
        self._in_sentences = at + len(sentence)
        self.timeline.take(sentence, self._marks[mark][1] if mark >= 0 else None)
        self._place_words()

    def _place_words(self) -> None:
        """Give the times of words to the timeline, as far as their text is known. A word that is never said is lost."""
        taken = 0
        for number, word in enumerate(self._words, 1):
            if self.timeline.word(word.text, word.start):
                taken = number
        del self._words[:taken]


@define(eq=False)
class ModelSynthesis(SpeechSynthesis):
    """Plays the answers of one turn, one after the other."""

    def add(self) -> Speech:
        speech = ModelSpeech(self.next_segment, self.session)
        self._speeches.append(speech)
        return speech

    @property
    def last(self) -> ModelSpeech | None:
        """Return the speech of the last answer so far."""
        return self.speeches[-1] if self._speeches else None

    @property
    def speeches(self) -> list[ModelSpeech]:
        return [each for each in self._speeches if isinstance(each, ModelSpeech)]

    async def speak(self, speech: Speech, after: anyio.Event | None) -> None:
        """Play the audio of an answer as it comes, once that of the one before has come."""
        assert isinstance(speech, ModelSpeech)
        if after is not None:
            await after.wait()
        speech.start, began = self.turn.given, False
        try:
            async for piece in speech.audio.read():
                if not began:
                    began = True
                    self.session.emit(BotTTSStarted())
                if isinstance(piece, Word):
                    speech.word(piece)
                else:
                    await self._play(piece, speech, lambda: None)
            speech.timeline.finish()
            self.turn.flush()
        finally:
            if began:
                self.session.emit(BotTTSStopped())
