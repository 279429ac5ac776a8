"""One turn of the bot: ask the LLM, show and speak its answer as it comes, have its functions called.

A turn asks the LLM again with the results of the functions that it called, until a completion calls none. The context
gets the text that the user has heard or, where nothing is spoken, the text that was sent.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup
from attrs import define, field

from ..context import Function, Message
from ..errors import ProviderError
from ..events import BotLLMStarted, BotLLMStopped, BotLLMText
from ..kinds import LLM, LLMPiece, LLMRequest, Text, Thought, ToolCall, Usage
from ..session import Alternatives, Session, Turn
from ..utils.json_values import replace_surrogates
from .filler import Filler, Filling
from .llm_completion import Completion, as_sent
from .provider_streams import Patience, class_of_provider, clean_usage, idle_timeout, named, reading, retried
from .speech_synthesis import SpeechSynthesis
from .tool_calls import LateResults, call_functions, clean_thought, moved_to_the_end

__all__ = ("BotTurn",)

log = logging.getLogger("rtvi_plugins")

#: How many completions one turn asks for at most, where each of them calls functions.
_MOST_COMPLETIONS: Final = 8
#: The longest completion in characters, with its thoughts. The longest answers of models have half as many.
_LONGEST_COMPLETION: Final = 1_000_000
#: How long an LLM may send nothing, in seconds.
_TIMEOUT: Final = 30.0


@define(eq=False)
class BotTurn:
    """A running turn. `synthesis` is None if nothing is spoken."""

    session: Session
    turn: Turn
    llm: LLM
    next_segment: Callable[[], int]
    late: LateResults
    #: The providers that take over from the LLM.
    alternatives: Alternatives
    synthesis: SpeechSynthesis | None = None
    #: Whether reports of late results are spoken.
    speak: bool = field(default=True, kw_only=True)
    #: The ids of calls whose late results the first completion is to report.
    late_ids: Sequence[str] = field(default=(), kw_only=True)
    #: What is heard while functions run.
    filler: Filler | None = field(default=None, kw_only=True)
    #: The context has something that the bot said in this turn.
    remembered: bool = field(default=False, init=False)
    #: Completions that are not in the context, because their speech is still being heard.
    _completions: list[Completion] = field(factory=list[Completion], init=False)
    #: Whether functions were called in this turn.
    _has_called_functions: bool = field(default=False, init=False)

    async def answer(self) -> None:
        """Answer by the LLM, in one or more completions. Raise `ProviderError` when the last attempt fails."""
        persona = self.session.persona
        async with self._speaking() as tasks:
            for _ in range(_MOST_COMPLETIONS):
                completion = await self._complete(tasks)
                if not completion.calls:
                    return
                await anyio.lowlevel.checkpoint()  # an interruption that came with the last piece takes effect first
                await self._call_functions(completion, tasks)
                if self.session.persona is not persona:
                    self.turn.handed_over = True
                    return  # the other persona has a turn of its own
                if self.turn.superseded or (self.session.closing and completion.text.strip()):
                    return  # the text before a function closed the session was the goodbye
            log.warning("an LLM called functions in %d answers of one turn; the turn was ended", _MOST_COMPLETIONS)
            raise ProviderError("The LLM", "no-answer")

    async def say(self, text: str) -> None:
        async with self._speaking() as tasks:
            completion = self._begin(tasks)
            completion.is_whole = True
            await completion.write(text)
            await completion.end_text()
            self._settle(completion)

    # ---- the LLM ---------------------------------------------------------------------------------------------------

    async def _complete(self, tasks: TaskGroup) -> Completion:
        """Ask for one completion. It is shown as it comes, and remembered, also when it is interrupted."""
        completion = self._begin(tasks)
        self.session.emit(BotLLMStarted())
        try:
            attempt = partial(self._stream, completion)
            await retried(attempt, "an LLM", "answered", self.alternatives, can_retry=lambda: completion.is_empty)
            completion.is_whole = True
        finally:
            if not (completion.is_whole and completion.calls):
                self._settle(completion)
            self.session.emit(BotLLMStopped())
            self.session.emit(completion.metrics())
        return completion

    async def _stream(self, completion: Completion) -> None:
        """Take the completion as it comes. An empty one is a `ProviderError`: the user would wait for nothing."""
        completion.restart(class_of_provider(self.llm.respond))
        functions = self.session.functions
        messages = as_sent(self._messages_to_send(completion), completion.provider)
        request = LLMRequest(messages, functions, self._tool_choice(functions))
        self.late.mark_read()
        try:
            with idle_timeout(self.session.clock, _TIMEOUT, "The LLM", self.alternatives.seconds) as touch:
                async with reading(self.llm.respond, request, "an LLM's respond()", LLMPiece) as pieces:
                    await self._take_pieces(pieces, completion, touch)
        except BaseException:
            if not self.turn.interrupted:  # the user hears what it has said to its end
                completion.put_waiting()
            raise
        await completion.end_text()
        if completion.is_empty and not self.session.closing:
            log.warning(
                "%s yielded no text and no function call",
                named("the provider of an answer", self.alternatives.provider),
            )
            raise ProviderError("The LLM", "no-answer")

    def _tool_choice(self, functions: Sequence[Function]) -> str | None:
        """Return the choice for a completion. Once the turn has called functions, the LLM need not call another."""
        choice = self.session.context.tool_choice
        if choice in (None, "none", "auto"):
            return choice
        is_known = choice == "required" or any(each["name"] == choice for each in functions)
        return choice if functions and is_known and not self._has_called_functions else None

    def _messages_to_send(self, completion: Completion) -> list[Message]:
        """Return the context with the completions of this turn that are not in it yet."""
        earlier = (message for each in self._completions if each is not completion for message in each.messages(None))
        messages = [*self.turn.messages, *earlier]
        is_first = len(self._completions) == 1 and not self.remembered
        return moved_to_the_end(messages, self.late_ids) if is_first else messages

    async def _take_pieces(self, pieces: AsyncIterator[LLMPiece], completion: Completion, touch: Patience) -> None:
        size = 0
        async for piece in pieces:
            touch()
            match piece:
                case Text():
                    text = replace_surrogates(piece.text)
                    size = _longer(size, text)
                    self.session.emit(BotLLMText(text))
                    await completion.write(text)
                case ToolCall():
                    completion.add_call(piece, self._call_ids())
                case Thought():
                    thought = clean_thought(piece)
                    size = _longer(size, thought.text)
                    completion.think(thought)
                case Usage():
                    completion.usage = clean_usage(piece)
            if completion.first_at is None and not completion.is_empty:
                completion.first_at = self.session.clock.now()
                touch.begun()
                self.alternatives.answered()

    def _call_ids(self) -> set[str]:
        """Return the ids of all calls, in the context and in the completions that are not in it yet."""
        in_context = (each for message in self.turn.messages for each in message.get("tool_calls", ()))
        return {str(each.get("id")) for each in in_context} | {
            each.id for completion in self._completions for each in completion.calls
        }

    async def _call_functions(self, completion: Completion, tasks: TaskGroup) -> None:
        """Call all functions of a completion at once. Some continue when the turn is interrupted."""
        results: dict[str, str] = {}
        self._has_called_functions = True
        if completion.speech is not None:
            completion.speech.end()  # the text before the calls is spoken while they run
        filling: Filling | None = None
        if self.filler is not None and self.synthesis is not None:
            filling = Filling(self.filler, self.session.clock, self.turn, self.synthesis, tasks)
        try:
            add_late_result = partial(self.late.add, speak=self.speak)
            await call_functions(self.session, completion.calls, results, add_late_result)
        finally:
            if filling is not None:
                filling.stop()
            if len(results) == len(completion.calls):
                completion.results = results
            self._settle(completion)

    # ---- speech and memory -----------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _speaking(self) -> AsyncGenerator[TaskGroup]:
        """Speak while the block runs, and until all of it was heard, also when the LLM fails in the middle."""
        failed: ProviderError | None = None
        try:
            async with anyio.create_task_group() as tasks:
                if self.synthesis is not None:
                    self.synthesis.on_heard = partial(self._remember, at_end=False)
                try:
                    yield tasks
                except ProviderError as error:
                    failed = error
            await self.turn.played()
        finally:
            if self.synthesis is not None and not self.turn.interrupted:
                self.synthesis.report_progress()
            self._remember(at_end=True)
        if failed is not None:
            raise failed

    def _begin(self, tasks: TaskGroup) -> Completion:
        speech = self.synthesis.add(tasks) if self.synthesis is not None else None
        completion = Completion(self.session, self.next_segment, speech)
        self._completions.append(completion)
        return completion

    def _settle(self, completion: Completion) -> None:
        """Handle the end of the completion, when all its calls have results."""
        completion.is_settled = True
        if completion.speech is not None:
            completion.speech.end()
        self._remember(at_end=False)

    def _remember(self, *, at_end: bool) -> None:
        """Add to the context what was heard to its end; at the end of the turn, also what was heard of the rest."""
        while self._completions and (at_end or self._completions[0].is_over(self.turn.heard)):
            messages = self._completions.pop(0).messages(self.turn.heard)
            self.remembered = self.remembered or any(
                each["role"] == "assistant" and each["content"] for each in messages
            )
            self.turn.remember(*messages)


def _longer(size: int, text: str) -> int:
    """Return the size of a completion with more text. Raise `ProviderError` if it does not seem to end."""
    size += len(text)
    if size > _LONGEST_COMPLETION:
        log.warning("an LLM wrote more than %d characters in one answer; it was stopped", _LONGEST_COMPLETION)
        raise ProviderError("The LLM", "unavailable")
    return size
