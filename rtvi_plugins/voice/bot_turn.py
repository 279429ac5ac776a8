"""One turn of the bot: the LLM is asked, its answer shown and spoken as it comes, its functions carried out.

A turn asks the LLM, and again with the results of the functions that it called, until an answer calls none. What
enters the context is what the user really heard or, where nothing is spoken, was sent.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, cast

import anyio
from anyio.abc import TaskGroup
from attrs import define, field

from ..context import Message
from ..errors import FunctionCallFailed, ProviderError
from ..events import BotLLMStarted, BotLLMStopped, BotLLMText, BotOutput, Metrics
from ..kinds import LLM, LLMPiece, LLMRequest, Text, ToolCall, Usage
from ..session import FunctionCall, Session, Turn
from ..utils.json_values import replace_surrogates
from .late_results import moved_to_the_end
from .sentences import Sentences
from .speech import Speech, Voice
from .streams import AT_ONCE, NoPiece, closed_after, failure, let_pass, patience, sendable_usage
from .tool_calls import as_text, problem_of, sendable_call, unique

__all__ = ("Answering",)

log = logging.getLogger("rtvi_plugins")

#: An LLM that keeps calling functions is stopped after as many answers in one turn.
_MOST_ANSWERS: Final = 8
#: How often an LLM that fails before it has said anything is asked, if its failure may pass.
_ATTEMPTS: Final = 2
#: How long an LLM may say nothing, in seconds.
_SECONDS: Final = 30.0
#: How long a sentence waits for the next word, which may show that it has not ended, in seconds.
_PAUSE: Final = 0.2
_PIECES: Final = "Text(…), ToolCall(…) or Usage(…)"


@define(eq=False)
class _Answer:
    """One answer of the LLM, as far as it has come, and how it is spoken."""

    started: float
    speech: Speech | None
    text: str = ""
    calls: list[ToolCall] = field(factory=list[ToolCall])
    results: dict[str, str] | None = None
    first: float | None = None
    usage: Usage | None = None
    #: The LLM has said all that it wanted to say.
    whole: bool = False
    #: Nothing more comes, neither text nor results.
    settled: bool = False

    @property
    def has_said_nothing(self) -> bool:
        return _is_blank(self.text) and not self.calls

    def messages(self, heard: float | None) -> list[Message]:
        """What of it is remembered when so much of the turn was heard; None takes all as heard.

        Calls come with their results, in the order that vendors demand, so that none is left open.
        """
        text, cut = self.text, not self.whole
        if self.speech is not None and heard is not None:
            spoken = self.speech.heard_text(heard, self.text)
            text, cut = (self.text, cut) if spoken is None else (spoken, True)
        if self.calls and self.results is not None:
            return self._with_results(text, cut and self.speech is not None, self.results)
        return [] if _is_blank(text) else [_marked({"role": "assistant", "content": text}, cut)]

    def _with_results(self, text: str, cut: bool, results: dict[str, str]) -> list[Message]:
        asked: Message = {
            "role": "assistant",
            "content": text or None,
            "tool_calls": [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": json.dumps(dict(call.arguments), ensure_ascii=False)},
                }
                for call in self.calls
            ],
        }
        told: list[Message] = [
            {"role": "tool", "tool_call_id": call.id, "content": results[call.id]} for call in self.calls
        ]
        return [_marked(asked, cut), *told]


@define(eq=False)
class Answering:
    """One turn as it goes. `voice` is None where nothing is spoken."""

    session: Session
    turn: Turn
    llm: LLM
    segments: Callable[[], int]
    voice: Voice | None = None
    #: Called when the LLM is asked, and when a function that has outlived the turn has a result.
    asked: Callable[[], None] = lambda: None
    outlived: Callable[[str], None] = lambda _: None
    #: The ids of calls whose late results the first answer is to report.
    reported: Sequence[str] = ()
    #: Answers that are not in the context yet: their speech is still being heard.
    _waiting: list[_Answer] = field(factory=list[_Answer])
    remembered: bool = False
    _spoken: anyio.Event | None = None

    async def answer(self) -> None:
        """The LLM's answer, or answers. `ProviderError` when it fails for good."""
        async with self._speaking() as tasks:
            for _ in range(_MOST_ANSWERS):
                answer = await self._ask(tasks)
                if not answer.calls:
                    return
                await anyio.lowlevel.checkpoint()  # an interruption that came with the last piece comes first
                await self._carry_out(answer)
                if self.turn.superseded or (self.session.closing and answer.text.strip()):
                    return  # what was said before a function closed the session was the goodbye
            log.warning("an LLM called functions in %d answers of one turn; the turn was ended", _MOST_ANSWERS)
            raise ProviderError("The LLM", "no-answer")

    async def say(self, text: str) -> None:
        """Exactly this text."""
        async with self._speaking() as tasks:
            answer = self._begin(tasks)
            answer.text, answer.whole = text, True
            sentences = Sentences()
            await self._put_out(answer, [*sentences.feed(text), *sentences.flush()])
            self._settled(answer)

    # ---- the LLM ---------------------------------------------------------------------------------------------------

    async def _ask(self, tasks: TaskGroup) -> _Answer:
        """One answer of the LLM: shown as it comes, and remembered, also when it is cut short."""
        answer = self._begin(tasks)
        self.session.emit(BotLLMStarted())
        try:
            await self._stream_with_patience(answer)
            answer.whole = True
        finally:
            self._end(answer)
        return answer

    async def _stream_with_patience(self, answer: _Answer) -> None:
        for attempt in range(_ATTEMPTS):
            try:
                return await self._stream(answer)
            except BaseException as error:
                let_pass(error)
                found = failure(error, "an LLM", "answered")
                if self.turn.interrupted:
                    await anyio.lowlevel.checkpoint()  # it stumbled over being cancelled, which is no failure
                if attempt + 1 == _ATTEMPTS or not found.retryable or not answer.has_said_nothing:
                    raise found from None

    async def _stream(self, answer: _Answer) -> None:
        """Take the answer as it comes. `ProviderError` also when it is empty: the user would wait for nothing."""
        answer.text, sentences = "", Sentences()
        earlier = (message for each in self._waiting if each is not answer for message in each.messages(None))
        messages = [*self.turn.messages, *earlier]
        if len(self._waiting) == 1 and not self.remembered:
            messages = moved_to_the_end(messages, self.reported)
        self.asked()
        request = LLMRequest(_shown(messages), self.session.functions)
        try:
            with patience(self.session.clock, _SECONDS, "The LLM") as touch:
                async with closed_after(self.llm.respond(request), "an LLM's respond()", _PIECES) as pieces:
                    await self._take(pieces, answer, sentences, touch)
        except BaseException:
            if not self.turn.interrupted:  # what it has said is heard to its end
                self._settle(answer, sentences)
            raise
        await self._put_out(answer, sentences.flush())
        if answer.has_said_nothing and not self.session.closing:
            raise ProviderError("The LLM", "no-answer")

    async def _take(
        self, pieces: AsyncIterator[LLMPiece], answer: _Answer, sentences: Sentences, touch: Callable[[], None]
    ) -> None:
        taken = 0
        async for piece in pieces:
            touch()
            taken += 1
            if taken % AT_ONCE == 0:
                await anyio.lowlevel.checkpoint()  # for what was put out to be sent
            if answer.first is None and not isinstance(piece, Usage):
                answer.first = self.session.clock.now()
            match piece:
                case Text():
                    text = replace_surrogates(piece.text)
                    answer.text += text
                    self.session.emit(BotLLMText(text))
                    await self._put_out(answer, sentences.feed(text))
                    if sentences.waits:
                        self._settle_after_a_pause(answer, sentences)
                case ToolCall():
                    answer.calls.append(unique(sendable_call(piece), self._call_ids()))
                case Usage():
                    answer.usage = sendable_usage(piece)
                case other:  # pyright: ignore[reportUnnecessaryComparison]  # what a provider yields is not checked
                    raise NoPiece(other, "an LLM's respond()", _PIECES)

    def _settle_after_a_pause(self, answer: _Answer, sentences: Sentences) -> None:
        """Put out a sentence whose end depends on the next word, if the LLM makes a pause."""
        length = len(answer.text)

        def look() -> None:
            if len(answer.text) == length and not answer.settled:
                self._settle(answer, sentences)

        self.session.clock.call_at(self.session.clock.now() + _PAUSE, look)

    def _settle(self, answer: _Answer, sentences: Sentences) -> None:
        for sentence in sentences.settle():
            self._put(answer, sentence)

    def _call_ids(self) -> set[str]:
        """Return the ids of all calls so far, in the context and in the answers that are not yet in it."""
        remembered = (each for message in self.turn.messages for each in message.get("tool_calls", ()))
        return {str(each.get("id")) for each in remembered} | {
            each.id for answer in self._waiting for each in answer.calls
        }

    async def _put_out(self, answer: _Answer, sentences: Sequence[str]) -> None:
        for number, sentence in enumerate(sentences, 1):
            self._put(answer, sentence)
            if number % AT_ONCE == 0:
                await anyio.lowlevel.checkpoint()

    def _put(self, answer: _Answer, sentence: str) -> None:
        if answer.speech is not None:
            answer.speech.say(sentence)
        else:
            self.session.emit(BotOutput(sentence, self.segments()))

    def _end(self, answer: _Answer) -> None:
        if not (answer.whole and answer.calls):
            self._settled(answer)
        self.session.emit(BotLLMStopped())
        now, usage = self.session.clock.now(), answer.usage
        self.session.emit(
            Metrics(
                "llm",
                ttfb=answer.first - answer.started if answer.first is not None else None,
                processing=now - answer.started,
                prompt_tokens=usage.prompt_tokens if usage else None,
                completion_tokens=usage.completion_tokens if usage else None,
                model=usage.model if usage else None,
            )
        )

    # ---- functions -------------------------------------------------------------------------------------------------

    async def _carry_out(self, answer: _Answer) -> None:
        """Have all functions that an answer calls carried out at once. Some may go on when the turn is interrupted."""
        results: dict[str, str] = {}
        if answer.speech is not None:
            answer.speech.sentences.end()  # what was said before the calls is spoken while they are carried out
        begun = [call for each in answer.calls if (call := self._begin_call(each, results)) is not None]
        try:
            async with anyio.create_task_group() as tasks:
                for call in begun:
                    tasks.start_soon(self._wait_for, call, results)
        finally:
            for call in begun:
                if call.id not in results:
                    results[call.id] = as_text(call.leave(partial(self._late, call.id, results)))
            answer.results = results
            self._settled(answer)

    def _begin_call(self, call: ToolCall, results: dict[str, str]) -> FunctionCall | None:
        """Begin a call, or write down why it is not carried out."""
        try:
            if (problem := problem_of(call, self.session)) is not None:
                raise FunctionCallFailed(problem)
            return self.session.begin_call(call.name, call.arguments, id=call.id)
        except FunctionCallFailed as error:
            results[call.id] = as_text({"error": error.message})
            return None

    async def _wait_for(self, call: FunctionCall, results: dict[str, str]) -> None:
        try:
            results[call.id] = as_text(await call.result())
        except FunctionCallFailed as error:
            results[call.id] = as_text({"error": error.message})

    def _late(self, id: str, results: dict[str, str], result: Any) -> None:
        """A call that has outlived the turn has a result: it stands where the call is remembered."""
        before, results[id] = results[id], as_text(result)
        self.session.context.settle(id, before, results[id])
        self.outlived(id)

    # ---- speech and memory -----------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _speaking(self) -> AsyncGenerator[TaskGroup]:
        """Speak while the block thinks, until all of it has been heard, also when the LLM fails in the middle."""
        failed: ProviderError | None = None
        try:
            async with anyio.create_task_group() as tasks:
                if self.voice is not None:
                    self.voice.on_heard = partial(self.remember, at_end=False)
                try:
                    yield tasks
                except ProviderError as error:
                    failed = error
            await self.turn.played()
        finally:
            if self.voice is not None and not self.turn.interrupted:
                self.voice.settle()
            self.remember(at_end=True)
        if failed is not None:
            raise failed

    def _begin(self, tasks: TaskGroup) -> _Answer:
        speech = None
        if self.voice is not None:
            speech, before, self._spoken = self.voice.speech(), self._spoken, anyio.Event()
            tasks.start_soon(self._speak, speech, before, self._spoken)
        answer = _Answer(self.session.clock.now(), speech)
        self._waiting.append(answer)
        return answer

    async def _speak(self, speech: Speech, before: anyio.Event | None, spoken: anyio.Event) -> None:
        assert self.voice is not None
        try:
            await self.voice.speak(speech, before)
        finally:
            spoken.set()

    def _settled(self, answer: _Answer) -> None:
        """An answer is complete, with the results of what it called."""
        answer.settled = True
        if answer.speech is not None:
            answer.speech.sentences.end()
        self.remember(at_end=False)

    def remember(self, *, at_end: bool) -> None:
        """Put into the context what has been heard to its end; at the end of the turn, what was heard of the rest."""
        while self._waiting and (at_end or self._is_over(self._waiting[0])):
            answer = self._waiting.pop(0)
            messages = answer.messages(self.turn.heard)
            self.remembered = self.remembered or any(
                each["role"] == "assistant" and each["content"] for each in messages
            )
            self.turn.remember(*messages)

    def _is_over(self, answer: _Answer) -> bool:
        return answer.settled and (answer.speech is None or answer.speech.is_settled(self.turn.heard))


def _is_blank(text: str) -> bool:
    """Whether a text shows nothing. Some models answer with a byte order mark, or a space of no width."""
    return not any(each.isprintable() and not each.isspace() for each in text)


def _marked(message: Message, cut: bool) -> Message:
    """A message, with our own mark where it was cut short."""
    return {**message, "interrupted": True} if cut else message


def _shown(messages: Sequence[Message]) -> list[Message]:
    """The messages as a provider sees them, without our own mark."""
    return [cast(Message, {name: value for name, value in each.items() if name != "interrupted"}) for each in messages]
