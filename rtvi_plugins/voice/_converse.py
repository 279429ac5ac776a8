"""`converse`: text in, the LLM's text out as it streams, one cancel scope per turn.

Each input opens at most one turn. A turn asks the LLM, streams its answer to the client, has the client carry out
what functions the LLM calls, and asks again with their results. When it is interrupted, what the client has been
sent by then is what enters the context, marked as interrupted.

The events of a turn, in order: `user-llm-text` (typed text, new clients), then for each answer of the LLM
`bot-llm-started`, `bot-llm-text` for each piece and the bot's output for each whole sentence in between,
`bot-llm-stopped`, `metrics`; then the function calls, and the next answer. An interruption is told first
(`bot-interrupted`), then `bot-llm-stopped` ends what had started.
"""

from __future__ import annotations

import inspect
import json
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, cast

import anyio
from anyio.abc import TaskStatus
from attrs import define, evolve, field

from ..context import Message
from ..errors import FunctionCallFailed, ProviderError, innermost, report
from ..events import BotLLMStarted, BotLLMStopped, BotLLMText, BotOutput, Metrics, UserTranscription
from ..kinds import LLM, TTS, LLMPiece, LLMRequest, Text, ToolCall, Usage
from ..session import Input, RunLLM, Say, Session, Turn, UserText
from ._sentences import Sentences

__all__ = ("converse",)

log = logging.getLogger("rtvi_plugins")

#: An LLM that keeps calling functions is stopped after as many answers in one turn.
_MOST_ANSWERS = 8


async def converse(session: Session, /, *, llm: LLM, tts: TTS | None = None) -> None:
    """Hold a conversation until the session ends: answer what the user writes, and what actions ask for.

    Without speech, what the bot says is text; `tts` is accepted so that a bot is written once. A provider that fails
    ends its turn, is told to the client as an `error` that is not fatal, and leaves the conversation going.
    """
    loop = _Conversation(session, llm)
    async for each in session.inputs():
        await loop.take(each)


@define
class _Answer:
    """One answer of the LLM, as far as it has come."""

    text: str = ""
    calls: list[ToolCall] = field(factory=list[ToolCall])
    started: float = field(factory=time.monotonic)
    first: float | None = None
    usage: Usage | None = None


@define
class _Conversation:
    session: Session
    llm: LLM
    segments: int = 0

    async def take(self, input: Input) -> None:
        match input:
            case UserText():
                self.session.remember({"role": "user", "content": input.text})
                self.session.emit(UserTranscription(input.text, _now(), typed=True))
                if input.run:
                    await self._respond()
            case RunLLM():
                await self._respond()
            case Say():
                await self._say(input.text)

    # ---- saying ----------------------------------------------------------------------------------------------------

    async def _say(self, text: str) -> None:
        sentences = Sentences()
        async with self.session.turn() as turn:
            for sentence in (*sentences.feed(text), *sentences.flush()):
                self._put_out(sentence)
            turn.remember({"role": "assistant", "content": text})

    def _put_out(self, sentence: str) -> None:
        self.segments += 1
        self.session.emit(BotOutput(sentence, self.segments))

    # ---- answering -------------------------------------------------------------------------------------------------

    async def _respond(self) -> None:
        async with self.session.turn() as turn:
            try:
                await self._answer(turn)
            except ProviderError as error:
                self.session.fail(error)

    async def _answer(self, turn: Turn) -> None:
        for _ in range(_MOST_ANSWERS):
            answer = await self._ask(turn)
            if not answer.calls:
                return
            await anyio.lowlevel.checkpoint()  # an interruption that came with the last piece comes before the calls
            await self._carry_out(turn, answer)
            if turn.superseded:
                return
        log.warning("an LLM called functions in %d answers of one turn; the turn was ended", _MOST_ANSWERS)

    async def _ask(self, turn: Turn) -> _Answer:
        """One answer of the LLM: shown as it comes, and remembered, also when it is cut short."""
        answer, sentences = _Answer(), Sentences()
        self.session.emit(BotLLMStarted())
        whole = False
        try:
            request = LLMRequest(_shown(turn.messages), self.session.context.functions)
            async with _closed_after(self.llm.respond(request)) as pieces:
                await self._stream(pieces, answer, sentences)
            for sentence in sentences.flush():
                self._put_out(sentence)
            whole = True
        except Exception as error:
            raise _failure(error) from None
        finally:
            self._end(turn, answer, whole)
        return answer

    async def _stream(self, pieces: AsyncIterator[LLMPiece], answer: _Answer, sentences: Sentences) -> None:
        async for piece in pieces:
            if answer.first is None and not isinstance(piece, Usage):
                answer.first = time.monotonic()
            match piece:
                case Text():
                    answer.text += piece.text
                    self.session.emit(BotLLMText(piece.text))
                    for sentence in sentences.feed(piece.text):
                        self._put_out(sentence)
                case ToolCall():
                    answer.calls.append(_unique(piece, answer.calls))
                case Usage():
                    answer.usage = piece
                case other:  # pyright: ignore[reportUnnecessaryComparison]  # what a provider yields is not checked
                    raise _NoPiece(other)

    def _end(self, turn: Turn, answer: _Answer, whole: bool) -> None:
        """What has been shown is what is remembered. Calls enter with their results, so that none is left open."""
        if answer.text and not (whole and answer.calls):
            message: Message = {"role": "assistant", "content": answer.text}
            if not whole:
                message["interrupted"] = True
            turn.remember(message)
        self.session.emit(BotLLMStopped())
        now, usage = time.monotonic(), answer.usage
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

    async def _carry_out(self, turn: Turn, answer: _Answer) -> None:
        """Have the client carry out all calls of an answer at once; they and their results are remembered once."""
        results: dict[str, str] = {}
        try:
            async with anyio.create_task_group() as tasks:
                for call in answer.calls:  # trio begins tasks in any order; the client is asked in that of the calls
                    await tasks.start(self._call, call, results)
        finally:
            turn.remember(*_remembered(answer, results))

    async def _call(self, call: ToolCall, results: dict[str, str], *, task_status: TaskStatus[None]) -> None:
        task_status.started()
        try:
            result = await self.session.call_function(call.name, call.arguments, id=call.id)
        except FunctionCallFailed as error:
            result = {"error": str(error)}
        results[call.id] = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)


class _NoPiece(Exception):
    """A provider's mistake: it gives something else than pieces."""

    def __init__(self, found: object) -> None:
        hint = "Text('…')" if isinstance(found, str) else "Text(…), ToolCall(…) or Usage(…)"
        super().__init__(
            f"an LLM's respond() gave {type(found).__name__}, which is no piece of an answer: yield {hint}"
        )


def _unique(call: ToolCall, before: Sequence[ToolCall]) -> ToolCall:
    """A call under an id that no other call of the answer has; some vendors repeat theirs."""
    taken = {each.id for each in before}
    return call if call.id not in taken else evolve(call, id=f"{call.id}-{len(before)}")


def _failure(error: Exception) -> ProviderError:
    """What ends a turn. A provider that raises something of its own is reported; it ends no session."""
    found = innermost(error)
    if isinstance(found, ProviderError):
        return found
    if isinstance(found, _NoPiece):
        log.error("%s", found)
    report("an LLM, while it answered,", found)
    return ProviderError("The LLM", "unavailable")


@asynccontextmanager
async def _closed_after(pieces: Any) -> AsyncGenerator[AsyncIterator[LLMPiece]]:
    """A stream of pieces that is closed at the end, where it can be: that drops the vendor's stream."""
    if not isinstance(pieces, AsyncIterator):
        if inspect.iscoroutine(pieces):
            pieces.close()
        raise _NoPiece(pieces)
    try:
        yield pieces
    finally:
        if isinstance(pieces, AsyncGenerator):
            await pieces.aclose()


def _remembered(answer: _Answer, results: dict[str, str]) -> list[Message]:
    """The messages of an answer with calls, in the order that vendors demand: the calls, then a result for each."""
    asked: Message = {
        "role": "assistant",
        "content": answer.text or None,
        "tool_calls": [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(dict(call.arguments), ensure_ascii=False)},
            }
            for call in answer.calls
        ],
    }
    cancelled = json.dumps({"error": "The call was cancelled: the user interrupted."})
    told: list[Message] = [
        {"role": "tool", "tool_call_id": call.id, "content": results.get(call.id, cancelled)} for call in answer.calls
    ]
    return [asked, *told]


def _shown(messages: Sequence[Message]) -> list[Message]:
    """The messages as a provider sees them, without our own mark."""
    return [cast(Message, {name: value for name, value in each.items() if name != "interrupted"}) for each in messages]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
