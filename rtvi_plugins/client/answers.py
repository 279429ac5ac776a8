"""The answers and events that a client receives, and the errors of a missing or invalid answer.

The bot's answer to one text is the pieces of the turn that follows it. The bot repeats the text as `user-llm-text` when
its turn begins, and ends the turn with `bot-turn-ended`. If the turn has handed over to another persona, the answer
continues in the next turn. Other servers do not send `bot-turn-ended`; there, an answer ends when the LLM and all its
functions have been idle for a moment.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping
from typing import Any, Final, final

import anyio
from attrs import frozen

from ..errors import RequestError, SessionClosed
from ..utils.json_values import is_object

__all__ = ("AnswerInterrupted", "BotAnswer", "BotReady", "ConfigState", "EventMessage", "InvalidAnswer", "NoAnswer")


class NoAnswer(RequestError):
    """The bot did not answer in time. An answer that comes later is dropped."""

    code = "no-answer"
    status = 504
    retryable = True


class InvalidAnswer(RequestError):
    """The answer of the bot does not follow the protocol."""

    code = "invalid-answer"
    status = 502


class AnswerInterrupted(RequestError):
    """The bot was interrupted while it answered. `text` is the part that arrived."""

    code = "answer-interrupted"
    status = 409

    def __init__(self, text: str) -> None:
        super().__init__("The bot was interrupted while it answered.")
        self.text = text


@frozen
class EventMessage:
    """A message of the bot that answers no request: its type and data."""

    type: str
    data: Any


@frozen
class BotReady:
    """The bot's answer to `client-ready`."""

    version: str
    data: Mapping[str, Any]

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> BotReady:
        return cls(str(data.get("version")), data)


@frozen
class ConfigState:
    """The whole config by service and option; `applies` is "now" or "next-turn" after an update."""

    values: Mapping[str, Mapping[str, Any]]
    revision: int | None = None
    applies: str | None = None

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> ConfigState:
        values = {
            entry["service"]: {option["name"]: option["value"] for option in entry["options"]}
            for entry in data["config"]
        }
        return cls(values, data.get("revision"), data.get("applies"))


#: How long the LLM of a server without `bot-turn-ended` is idle at the end of an answer, in seconds.
QUIET: Final = 0.5

_BUSY: Final = ("bot-llm-started", "llm-function-call-started")

_IDLE: Final = ("bot-llm-stopped", "llm-function-call-stopped")


@final
class BotAnswer(AsyncIterator[str], Awaitable[str]):
    """The bot's answer to a text. Await it for the whole text, or iterate over its pieces as they come.

    The text is sent when you do either. Raise the `RequestError` of the bot if it refuses the text or fails,
    `AnswerInterrupted` if it is interrupted, `NoAnswer` if it sends nothing for too long, and `SessionClosed` if the
    connection ends.
    """

    def __init__(self, text: str, send: Callable[[], Awaitable[None]], seconds: float, *, announces_end: bool) -> None:
        self._sent_text = text
        self._send: Callable[[], Awaitable[None]] | None = send
        self._patience = seconds
        self._announces_end = announces_end
        self._unread_pieces: deque[str] = deque()
        self._text = ""
        #: The sentences of the present turn, and whether its LLM has sent text.
        self._sentences: list[str] = []
        self._has_llm_text = False
        #: Whether the turn has ended, and another persona continues.
        self._handed_over = False
        #: Whether the turn that answers has begun.
        self._begun = False
        #: How many completions and functions are running.
        self._running = 0
        self._is_over = False
        self._failed: RequestError | None = None
        self._message_came = anyio.Event()

    @property
    def text(self) -> str:
        """Return the text that has come."""
        return self._text

    # ---- for the caller --------------------------------------------------------------------------------------------

    def __await__(self) -> Generator[Any, Any, str]:
        return self._whole().__await__()

    async def _whole(self) -> str:
        async for _ in self:
            pass
        return self._text

    def __aiter__(self) -> BotAnswer:
        return self

    async def __anext__(self) -> str:
        if self._send is not None:
            send, self._send = self._send, None
            await send()
        while not self._unread_pieces:
            if self._is_over:
                if self._failed is not None:
                    raise self._failed
                raise StopAsyncIteration
            await self._wait()
        return self._unread_pieces.popleft()

    async def _wait(self) -> None:
        """Wait for the next message of the bot."""
        ends = self._begun and self._running <= 0 and not self._announces_end
        with anyio.move_on_after(QUIET if ends else self._patience) as patience:
            await self._message_came.wait()
            self._message_came = anyio.Event()
        if not patience.cancelled_caught:
            return
        if ends:
            self._end()
        else:
            self.fail(NoAnswer(f"The bot sent nothing for {self._patience:g} s."))

    # ---- for the client --------------------------------------------------------------------------------------------

    def take(self, event: EventMessage, *, may_begin: bool = True) -> bool:
        """Take an event of the connection. Return whether the turn began with it: it begins one answer only."""
        data, begun = event.data if is_object(event.data) else {}, self._begun
        if begun and not self._is_over:
            self._follow(event.type, data)
        elif not self._is_over and may_begin:
            self._begin(event.type, data)
        self._message_came.set()
        return self._begun is not begun

    def fail(self, error: RequestError) -> None:
        """End the answer with an error, unless it has ended."""
        if not self._is_over:
            self._is_over, self._failed = True, self._failed or error
        self._message_came.set()

    def start_over(self) -> None:
        """Forget the received part of an unfinished answer: the bot sends it again from its beginning."""
        if self._begun and not self._is_over:
            self._unread_pieces.clear()
            self._text, self._sentences, self._has_llm_text, self._running = "", [], False, 0

    def closed(self) -> None:
        """End the answer: the connection has ended."""
        self.fail(SessionClosed("The connection ended before the bot had answered."))

    def _begin(self, type: str, data: Any) -> None:
        """Wait for the turn. Earlier events belong to the turn before, which the text has interrupted."""
        if type == "user-llm-text":
            self._begun = str(data.get("text")).endswith(self._sent_text)
        elif type == "bot-llm-started" and not self._announces_end:
            self._begun, self._running = True, 1
        elif type == "error" and data.get("fatal"):
            self.fail(RequestError.from_json(data))

    def _follow(self, type: str, data: Any) -> None:
        self._running += (type in _BUSY) - (type in _IDLE)
        match type:
            case "user-llm-text":
                if self._handed_over:  # the answer to another text comes instead
                    self._end()
            case "bot-llm-started":
                self._add_space()
            case "bot-llm-text":
                piece = str(data.get("text", ""))
                self._has_llm_text = self._has_llm_text or bool(piece)
                self._add(piece)
            case "bot-transcription":
                self._sentences.append(str(data.get("text", "")))
            case "error":
                self._failed = self._failed or RequestError.from_json(data)
            case "bot-interrupted":
                if not self._announces_end:
                    self._interrupted()
            case "bot-turn-ended":
                if data.get("interrupted"):
                    self._interrupted()
                if data.get("handed_over") and self._failed is None:
                    self._end_turn()
                    self._handed_over = True
                else:
                    self._end()
            case _:
                pass

    def _add(self, piece: str) -> None:
        if piece:
            self._text += piece
            self._unread_pieces.append(piece)

    def _add_space(self) -> None:
        if self._text and not self._text[-1].isspace():
            self._add(" ")

    def _interrupted(self) -> None:
        self._failed = self._failed or AnswerInterrupted(self._text)
        self._end()

    def _end_turn(self) -> None:
        if self._sentences and not self._has_llm_text:  # the answer of no LLM
            self._add_space()
            self._add(" ".join(self._sentences))
        self._sentences, self._has_llm_text = [], False

    def _end(self) -> None:
        self._end_turn()
        self._is_over = True
