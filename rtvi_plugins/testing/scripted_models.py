"""Models that follow a script: an LLM and a speech-to-speech model."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence, Sized
from typing import Final, TypeAlias, final

import anyio
import anyio.lowlevel

from ..errors import AuthorError
from ..kinds import (
    AnswerEnded,
    Audio,
    FunctionResult,
    Heard,
    LLMPiece,
    LLMRequest,
    Pause,
    Respond,
    SpeechEnded,
    SpeechInput,
    SpeechPiece,
    SpeechRequest,
    Text,
    Typed,
)

__all__ = ("ScriptedAnswer", "ScriptedLLM", "ScriptedSpeech", "ScriptedSpeechModel")

#: One answer of a `ScriptedLLM`: a text, a function call, several pieces, or an exception that is raised.
ScriptedAnswer: TypeAlias = "str | LLMPiece | Exception | Sequence[str | LLMPiece | Exception]"


class _ScriptEnded(AuthorError, AssertionError):
    """The script of a test is too short. The log has the text, because it is an `AuthorError`."""


@final
class ScriptedLLM:
    """An LLM that gives prepared answers, one for each request, and keeps the requests.

    An answer is a text, a piece such as a `ToolCall`, an exception to raise, or a list of these.
    """

    def __init__(self, *answers: ScriptedAnswer) -> None:
        #: The answers that are left.
        self.answers: deque[ScriptedAnswer] = deque(answers)
        #: The requests so far.
        self.requests: list[LLMRequest] = []

    def will(self, *answers: ScriptedAnswer) -> None:
        """Add answers to the script."""
        self.answers.extend(answers)

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        """Give the next answer. Raise `AssertionError` if none is left."""
        self.requests.append(request)
        if not self.answers:
            raise _ScriptEnded(
                f"The script of the ScriptedLLM is over: it has no answer to request {len(self.requests)}. "
                "Add one, as in ScriptedLLM('one', 'two')."
            )
        answer = self.answers.popleft()
        for step in answer if isinstance(answer, Sequence) and not isinstance(answer, str) else [answer]:
            if isinstance(step, Exception):
                raise step
            yield Text(step) if isinstance(step, str) else step


#: One answer of a `ScriptedSpeechModel`: a text that it speaks, a piece, an exception that is raised, an event to wait
#: for, or several of these.
ScriptedSpeech: TypeAlias = (
    "str | SpeechPiece | Exception | anyio.Event | Sequence[str | SpeechPiece | Exception | anyio.Event]"
)

_Step: TypeAlias = "SpeechPiece | Exception | anyio.Event"

#: The rate of its audio, in Hz, and how long it speaks a word, in seconds.
_RATE: Final = 16_000

_WORD_SECONDS: Final = 0.1

_AMPLITUDE: Final = 1000


@final
class ScriptedSpeechModel:
    """A speech-to-speech model that gives prepared answers, one each time it is asked, and keeps its input.

    It is asked by a `Typed`, a `Respond` and a `FunctionResult` with `respond`; for speech by a `SpeechEnded` in
    `hear`, or by a `Pause` without endpointing. An answer is a text, a piece, an exception to raise, an event to wait
    for, or a list of these. A text is spoken with 0.1 s for each word. `AnswerEnded` follows by itself. An answer that
    is stopped ends at once.
    """

    def __init__(self, *answers: ScriptedSpeech) -> None:
        #: The answers that are left.
        self.answers: deque[ScriptedSpeech] = deque(answers)
        #: The requests so far, one for each stream.
        self.requests: list[SpeechRequest] = []
        #: The input of all streams, without the audio.
        self.inputs: list[SpeechInput] = []
        #: How many seconds of the user's audio came.
        self.seconds = 0.0
        #: How many streams are open.
        self.open = 0
        self._stream: _Stream | None = None

    def will(self, *answers: ScriptedSpeech) -> None:
        """Add answers to the script."""
        self.answers.extend(answers)

    def hear(self, *pieces: SpeechPiece | Exception) -> None:
        """Yield these pieces unasked, such as a `Transcript`. A `SpeechEnded` is answered, if an answer is left.

        Raise `AssertionError` if no stream is open.
        """
        assert self._stream is not None, "No stream is open."
        self._stream.push(pieces)

    @property
    def heard(self) -> list[Heard]:
        """Return the interruptions that it has received."""
        return [each for each in self.inputs if isinstance(each, Heard)]

    async def converse(self, request: SpeechRequest, /) -> AsyncIterator[SpeechPiece]:
        """Follow the script."""
        self.requests.append(request)
        stream = self._stream = _Stream(request, self._note, self._next_answer)
        self.open += 1
        try:
            while True:
                yield await stream.next()
        finally:
            self.open -= 1
            if self._stream is stream:
                self._stream = None

    def _note(self, item: SpeechInput) -> None:
        if isinstance(item, Audio):
            self.seconds += item.seconds
        else:
            self.inputs.append(item)

    def _next_answer(self, *, must: bool) -> Iterator[_Step]:
        if not self.answers:
            if must:
                raise _ScriptEnded("The script of the ScriptedSpeechModel is over. Add an answer.")
            return
        answer = self.answers.popleft()
        for step in answer if isinstance(answer, Sequence) and not isinstance(answer, str) else [answer]:
            if isinstance(step, str):
                yield Text(step)
                yield from (_word() for _ in step.split())
            else:
                yield step


def _word() -> Audio:
    half = [_AMPLITUDE] * 40 + [-_AMPLITUDE] * 40
    return Audio(array("h", half * round(_WORD_SECONDS * _RATE / 80)).tobytes(), _RATE)


class _Stream:
    """One stream of the model."""

    def __init__(
        self, request: SpeechRequest, note: Callable[[SpeechInput], None], next_answer: Callable[..., Iterator[_Step]]
    ) -> None:
        self._request = request
        self._note = note
        self._next_answer = next_answer
        self._pushed = deque[SpeechPiece | Exception]()
        #: What is left of each answer that has not ended.
        self._answers = deque[deque[_Step]]()
        self._ended = 0
        self._wake = anyio.Event()

    def push(self, pieces: Sequence[SpeechPiece | Exception]) -> None:
        self._pushed.extend(pieces)
        self._wake.set()

    async def next(self) -> SpeechPiece:
        """Return the next piece."""
        await anyio.lowlevel.checkpoint()
        while True:
            await self._read_what_is_there()
            if (found := self._take()) is not None:
                if isinstance(found, Exception):
                    raise found
                return found
            await self._wait()

    def _take(self) -> SpeechPiece | Exception | None:
        if self._pushed:
            pushed = self._pushed.popleft()
            if isinstance(pushed, SpeechEnded) and self._request.endpointing:
                self._ask(must=False)
            return pushed
        if not self._answers:
            return None
        answer = self._answers[0]
        while isinstance(gate := answer[0], anyio.Event):
            if not gate.is_set():
                return None
            answer.popleft()
        answer.popleft()
        if isinstance(gate, AnswerEnded):
            self._answers.popleft()
            self._ended += 1
        return gate

    async def _read_what_is_there(self) -> None:
        input = self._request.input
        while isinstance(input, Sized) and len(input):
            self._receive(await anext(input))

    async def _wait(self) -> None:
        """Wait for input, for `push`, or for the event of an answer."""
        if self._pushed:
            return
        self._wake = anyio.Event()
        gate = self._answers[0][0] if self._answers else None
        async with anyio.create_task_group() as tasks:

            async def read() -> None:
                self._receive(await anext(self._request.input))
                tasks.cancel_scope.cancel()

            async def wait(event: anyio.Event) -> None:
                await event.wait()
                tasks.cancel_scope.cancel()

            tasks.start_soon(read)
            tasks.start_soon(wait, self._wake)
            if isinstance(gate, anyio.Event):
                tasks.start_soon(wait, gate)

    def _receive(self, item: SpeechInput) -> None:
        self._note(item)
        match item:
            case Typed() | Respond() | FunctionResult(respond=True):
                self._ask(must=True)
            case Pause():
                if not self._request.endpointing:
                    self._ask(must=False)
            case Heard():
                index = item.answer - self._ended
                if 0 <= index < len(self._answers):
                    self._answers[index] = deque([AnswerEnded()])
            case _:
                pass

    def _ask(self, *, must: bool) -> None:
        steps = deque(self._next_answer(must=must))
        if steps or must:
            self._answers.append(deque([*steps, AnswerEnded()]))
