"""The answers of a speech-to-speech model in one turn of the bot, as an LLM gives them, and their speech.

To the turn, the model looks like an LLM, and its speech like that of a TTS. Speech is played as it comes, and the part
of it that was heard is known. The turn has its functions called, and asks again with their results.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import AsyncGenerator, Sequence
from itertools import takewhile
from typing import Any, Final

import anyio
from attrs import define, field

from ..context import Message
from ..events import BotTTSStarted, BotTTSStopped
from ..kinds import Audio, FunctionResult, LLMRequest, SpeechModel, Text, ToolCall, Usage, Word
from ..utils.json_values import replace_surrogates
from .bot_turn import BotTurn
from .provider_streams import ReplayableStream
from .speech_model_connection import Answer, ModelConnection
from .speech_model_user import last_message, messages_after
from .speech_synthesis import Speech, SpeechSynthesis
from .text_filter import SpokenSentence

__all__ = ("ModelAnswers", "ModelSpeech", "ModelSynthesis")


@define(eq=False)
class ModelSpeech(Speech):
    """An answer as it is heard. The model makes its text and its audio at once."""

    audio: ReplayableStream[Audio | Word] = field(factory=ReplayableStream[Audio | Word], init=False)
    #: The answer, and the one before if the model was asked again.
    answers: list[Answer] = field(factory=list[Answer], init=False)
    #: The text that has come, and for each of its pieces the seconds of audio before it.
    _text: str = field(default="", init=False)
    _text_marks: list[tuple[int, float]] = field(factory=list[tuple[int, float]], init=False)
    #: How much of the text is in sentences.
    _in_sentences: int = field(default=0, init=False)
    #: The words whose sentence has not come yet.
    _words: list[Word] = field(factory=list[Word], init=False)

    def attach(self, answer: Answer) -> None:
        """Play the audio of this answer: what has come so far, and what comes."""
        self.answers.append(answer)
        for piece in answer.audio.items:
            self.audio.append(piece)
        answer.audio = self.audio

    def wrote(self, text: str, seconds: float) -> None:
        """Take the next piece of the text, which came after so many seconds of the answer's audio."""
        self._text_marks.append((len(self._text), seconds))
        self._text += text

    def say(self, sentence: str) -> None:
        """Show this sentence. The model sends its audio without being asked."""
        Speech.say(self, sentence)
        if text := sentence.strip():
            self._place_sentence(text)

    def end(self) -> None:
        self.audio.end()
        Speech.end(self)

    def word(self, word: Word) -> None:
        """Note the time of a word. Its sentence may come later."""
        self._words.append(word)
        self._place_words()

    def heard_text(self, heard: float, text: str, unsaid: str) -> str | None:
        rest = self._text[self._in_sentences :].strip()
        if rest and not self.is_settled(heard):  # a sentence without an end, of which something may have been heard
            self._shown_sentences.append(SpokenSentence.of(rest, None))
            self._place_sentence(rest)
        return Speech.heard_text(self, heard, text, "")  # the audio of the unsaid text has come too

    def _place_sentence(self, sentence: str) -> None:
        """Note the place of a sentence in the audio."""
        at = max(self._text.find(sentence, self._in_sentences), self._in_sentences)
        mark = bisect_right(self._text_marks, at, key=lambda each: each[0]) - 1
        self._in_sentences = at + len(sentence)
        self.timeline.take(sentence, self._text_marks[mark][1] if mark >= 0 else None)
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

    def _new_speech(self) -> ModelSpeech:
        return ModelSpeech(self.next_segment, self.session)

    @property
    def last(self) -> ModelSpeech | None:
        """Return the speech of the last answer."""
        return self.speeches[-1] if self._speeches else None

    @property
    def speeches(self) -> list[ModelSpeech]:
        return [each for each in self._speeches if isinstance(each, ModelSpeech)]

    async def _speak(self, speech: Speech, before: anyio.Event | None) -> None:
        """Play the audio of an answer as it comes, once that of the one before has come."""
        assert isinstance(speech, ModelSpeech)
        if before is not None:
            await before.wait()
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


#: The result of a call that was not made.
_NOT_CALLED: Final = '{"error": "The function was not called, because the user interrupted."}'


@define(eq=False)
class _Respond:
    """The `respond` of an LLM, which belongs to the provider: data of a vendor is kept under the provider's class."""

    answers: ModelAnswers
    __self__: Any

    def __call__(self, request: LLMRequest, /) -> AsyncGenerator[Text | ToolCall | Usage]:
        return self.answers.stream(request)


@define(eq=False)
class ModelAnswers:
    """The answers of the turn that runs."""

    model: SpeechModel
    connection: ModelConnection = field(init=False)
    #: The answer that the next completion gives, because the model has begun it.
    claimed: Answer | None = field(default=None, init=False)
    #: The text that the model is to say.
    to_say: str | None = field(default=None, init=False)
    _answers: list[Answer] = field(factory=list[Answer], init=False)
    #: What plays them, if they are played.
    _synthesis: ModelSynthesis | None = field(default=None, init=False)
    #: The last message before the turn.
    _previous: Message | None = field(default=None, init=False)
    #: Whether the next answer is asked for in another stream, because it reports late results.
    _asks_afresh: bool = field(default=False, init=False)

    @property
    def respond(self) -> _Respond:
        """The operation of an LLM."""
        return _Respond(self, getattr(self.model.converse, "__self__", self.model))

    @property
    def is_known(self) -> bool:
        """Return whether the present stream knows the last answer."""
        return not self._answers or self._answers[-1].stream is self.connection.stream

    # ---- the turn --------------------------------------------------------------------------------------------------

    def begin(self, turn: BotTurn) -> None:
        self.connection.in_turn = True
        if self.claimed is not None:
            self.connection.answered()
        self._answers, self._previous = [], last_message(turn.turn)
        self._synthesis = turn.synthesis if isinstance(turn.synthesis, ModelSynthesis) else None
        self._asks_afresh = bool(turn.late_ids)

    def end(self, turn: BotTurn) -> None:
        """Tell the model what the user has heard, and the results of functions that it has not read."""
        if self.claimed is not None:
            self.claimed.stop(0.0)
            self.claimed = None
        own = messages_after(self._previous, turn.turn)
        self._give_results(own, respond=False)
        for answer in self._answers:
            self._stop_unheard(answer, turn.turn.heard)
        self.connection.note_known(*own)

    def _stop_unheard(self, answer: Answer, heard: float) -> None:
        """Stop an answer of a turn that has ended, unless the user has heard or read all of it."""
        speeches = self._synthesis.speeches if self._synthesis is not None else []
        speech = next((each for each in speeches if answer in each.answers), None)
        if speech is None:
            if not answer.texts.ended:
                answer.stop(answer.seconds)
        elif not (answer.texts.ended and speech.is_settled(heard)):
            answer.stop(max(0.0, min(heard - speech.start, answer.seconds)))

    # ---- its completions -------------------------------------------------------------------------------------------

    async def stream(self, request: LLMRequest) -> AsyncGenerator[Text | ToolCall | Usage]:
        """Stream the text and the calls of the next answer. Its audio goes to the speech of the turn."""
        answer = self._next_answer(request.messages)
        self._answers.append(answer)
        speech = self._synthesis.last if self._synthesis is not None else None
        if speech is not None:
            speech.attach(answer)
        async for piece, seconds in answer.texts.read():
            if isinstance(piece, Text) and speech is not None:
                speech.wrote(replace_surrogates(piece.text), seconds)
            yield piece
        if answer.error is not None:
            raise answer.error

    def _next_answer(self, messages: Sequence[Message]) -> Answer:
        if (answer := self._give_results(messages, respond=True)) is not None:
            return answer
        claimed, self.claimed = self.claimed, None
        if claimed is not None:
            return claimed
        afresh, self._asks_afresh = self._asks_afresh, False
        return self.connection.ask(messages, say=self.to_say, afresh=afresh)

    def _give_results(self, messages: Sequence[Message], *, respond: bool) -> Answer | None:
        """Send the results of the last answer's calls, from the end of these messages. Return the answer to them."""
        last = self._answers[-1] if self._answers else None
        if last is None or not last.calls or last.has_results or last.stream.is_over:
            return None
        last.has_results = True
        replies = takewhile(lambda message: message["role"] == "tool", reversed(messages))
        results = [str(each["content"]) for each in replies][::-1]
        made = sum(bool(each.get("tool_calls")) for each in messages)
        if not respond and made < sum(bool(each.calls) for each in self._answers):
            results = []  # the turn has ended before it called them
        for number, id in enumerate(last.calls):
            result = results[number] if number < len(results) else _NOT_CALLED
            last.stream.send(FunctionResult(id, result, respond=respond and number == len(last.calls) - 1))
        return last.stream.expect() if respond else None
