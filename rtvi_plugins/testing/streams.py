"""Read the stream of an operation as a conversation does: to its end, closed early, and cancelled."""

from __future__ import annotations

import inspect
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any, cast

import anyio
import anyio.lowlevel
from attrs import define

from ..declare.specs import ProviderSpec
from ..errors import AuthorError, ProviderError
from ..kinds import Audio, ListeningSTT, Text, Transcript, TTSRequest
from ..utils.error_texts import unwrap_group
from ..utils.json_values import is_object
from ..utils.plugin_calls import reraise_control_flow
from .interruptions import PATIENCE, Interruptions, describe_failure
from .key_leaks import error_shows_key, shows_key
from .operations import (
    ANSWER_SCHEMA,
    CONVERSING,
    LISTENING,
    OPERATIONS,
    SENTENCES,
    EndingOperation,
    JSONRequest,
    Operation,
    Part,
    Talk,
    frame,
    text_of,
)
from .pieces import problem_of_audio, problem_of_order, problem_of_pieces
from .results import Findings
from .rules import RULES
from .stepping import close

__all__ = ("StreamCheck", "first_piece")


@define
class StreamCheck:
    """The check of one live service's operation."""

    live: Any
    spec: ProviderSpec
    findings: Findings
    interruptions: Interruptions
    #: Whether a fake of the vendor answers, and so finds words in the sound.
    has_vendor: bool = False

    async def run(self) -> None:
        """Call the operation in every way. A kind without a known operation is not checked."""
        if self.spec.kind == "vad":
            await self._detect()
        operation = OPERATIONS.get(self.spec.kind)
        if operation is None:
            return
        if self.spec.kind == "speech":
            await self._converse()
            return
        pieces = await self._read_plain(operation)
        if pieces is None:
            return
        if self.spec.kind == "tts":
            await self._speak(operation, pieces)
        await self.interruptions.run(operation)
        if self.spec.kind == "llm":
            await self._ask_for_json(operation)
        if isinstance(self.live, ListeningSTT):
            await self._listen()

    async def _detect(self) -> None:
        self.findings.tried("P202")
        for number in range(10):
            try:
                probability: object = self.live.speech_probability(frame(number))
            except Exception as error:
                self.findings.found("P202", describe_failure(error))
                return
            if inspect.iscoroutine(probability):
                probability.close()
            if not isinstance(probability, float | int) or not 0 <= probability <= 1:
                self.findings.found(
                    "P202", f"speech_probability() returns {type(probability).__name__}, not a number 0 to 1"
                )
                return
            await anyio.lowlevel.checkpoint()

    # ---- the whole answer --------------------------------------------------------------------------------------------

    async def _read_plain(self, operation: Operation, request: Any = None) -> list[Any] | None:
        """Return the pieces of a plain request; None if more checks are useless."""
        self.findings.tried("P201", "P202")
        stream = operation.start(self.live, request)
        if not isinstance(stream, AsyncIterator):
            self._not_a_stream(operation.method, stream)
            return None
        try:
            pieces: list[Any] = [piece async for piece in cast("AsyncIterator[Any]", stream)]
        except BaseException as error:
            reraise_control_flow(error, anyio.get_cancelled_exc_class())
            self._note_key(error)
            found = unwrap_group(error)
            if isinstance(found, AuthorError):  # a field that its piece refuses
                self.findings.found("P201", f"{operation.method}() yields {found}")
            else:
                self.findings.found("P202", describe_failure(error))
            return None
        if (problem := problem_of_pieces(pieces, operation.pieces)) is not None:
            self.findings.found("P201", f"{operation.method}() yields {problem}")
            return None
        if operation.results and not any(isinstance(each, operation.results) and _has_content(each) for each in pieces):
            self.findings.found("P202", f"{operation.method}() yields {len(pieces)} pieces, and no result among them")
            return None
        if operation.method == "transcribe" and self.has_vendor and not any(map(_is_final, pieces)):
            self.findings.found("P202", "the vendor has answered, and transcribe() yields no final transcript")
            return None
        if any(shows_key(repr(each)) for each in pieces):
            self.findings.found("P210", "a piece shows the key")
        return pieces

    def _not_a_stream(self, method: str, found: object) -> None:
        if inspect.iscoroutine(found):
            found.close()
        self.findings.found("P201", f"{method}() returns {type(found).__name__}, and not an async iterator")

    def _note_key(self, error: BaseException) -> None:
        if error_shows_key(error):
            self.findings.found("P210", f"{type(error).__name__} shows the key, in its text or its traceback")

    async def _ask_for_json(self, operation: Operation) -> None:
        """Ask for JSON. A fake vendor does not answer with JSON, so then check only that the schema was read."""
        if broken := [rule for rule in self.findings.broken if RULES[rule].of == "service"]:
            self.findings.skipped["P217"] = f"it is checked when {broken[0]} is kept"
            return
        self.findings.tried("P217")
        request = JSONRequest([{"role": "user", "content": "Greet me, in JSON."}], answer_schema=ANSWER_SCHEMA)
        try:
            pieces = [piece async for piece in operation.start(self.live, request)]
        except BaseException as error:
            reraise_control_flow(error, anyio.get_cancelled_exc_class())
            failure = unwrap_group(error)
            if not isinstance(failure, ProviderError) or failure.category != "bad-request":
                self.findings.found("P217", f"asked for JSON, {describe_failure(failure)}")
            return
        text = "".join(piece.text for piece in pieces if isinstance(piece, Text))
        if not request.schema_reads:
            self.findings.found("P217", "it does not read `answer_schema`")
        elif not self.has_vendor and not _is_greeting(text):
            self.findings.found("P217", "its answer does not fit the schema")

    # ---- speech ------------------------------------------------------------------------------------------------------

    async def _speak(self, operation: Operation, pieces: Sequence[Any]) -> None:
        self.findings.tried("P203", "P204", "P205")
        if (problem := problem_of_audio(pieces)) is not None:
            self.findings.found("P204", problem)
        alone = [
            [piece async for piece in operation.start(self.live, TTSRequest(text_of(sentence)))]
            for sentence in SENTENCES
        ]
        if (problem := problem_of_order(pieces, alone)) is not None:
            self.findings.found("P205", problem)
        text = _TextInTime()
        async for piece in operation.start(self.live, TTSRequest(text)):
            if isinstance(piece, Audio):
                text.heard.set()
        if text.late:
            self.findings.found(
                "P203", f"no audio of the first sentence came while the second was awaited, for {PATIENCE:g} s"
            )

    # ---- streams of many turns ---------------------------------------------------------------------------------------

    async def _converse(self) -> None:
        """Let a speech-to-speech model answer twice in one stream, and interrupt it."""
        pieces = await self._hold(CONVERSING, "P251")
        if pieces is None:
            return
        self.findings.tried("P204", "P252")
        if (problem := problem_of_audio(pieces)) is not None:
            self.findings.found("P204", problem)
        await self._interrupt_answer()
        await self.interruptions.run(CONVERSING)

    async def _listen(self) -> None:
        """Let an STT hear two utterances in one stream, and interrupt it."""
        if await self._hold(LISTENING, "P241") is not None:
            await self.interruptions.run(LISTENING)

    async def _hold(self, operation: EndingOperation, rule: str) -> list[Any] | None:
        """Let the user take their part in a stream. Return its pieces; None if it does not end as the rule says."""
        stream: object = getattr(self.live, operation.method)(operation.request_of(operation.request()))
        if not isinstance(stream, AsyncIterator):
            self._not_a_stream(operation.method, stream)
            return None
        await close(cast("AsyncIterator[Any]", stream))
        self.findings.tried(rule)
        part: Part = operation.request()
        pieces: list[Any] | None = None
        with anyio.move_on_after(PATIENCE) as patience:
            pieces = await self._read_plain(operation, part)
        if pieces is None and not patience.cancelled_caught:
            return None
        if (problem := part.failure(PATIENCE)) is not None:
            self.findings.found(rule, problem)
            return None
        return pieces

    async def _interrupt_answer(self) -> None:
        talk = Talk(interrupts=True)
        try:
            with anyio.move_on_after(PATIENCE):
                async for _ in CONVERSING.start(self.live, talk):
                    pass
        except BaseException as error:
            reraise_control_flow(error, anyio.get_cancelled_exc_class())
            self.findings.found("P252", describe_failure(error))
            return
        if (problem := talk.failure(PATIENCE)) is not None:
            self.findings.found("P252", problem)


def _is_greeting(text: str) -> bool:
    """Return whether a text is JSON that fits `ANSWER_SCHEMA`."""
    try:
        answer: object = json.loads(text)
    except ValueError:
        return False
    return is_object(answer) and answer.keys() == {"greeting"} and isinstance(answer["greeting"], str)


def _is_final(piece: object) -> bool:
    return isinstance(piece, Transcript) and piece.final and bool(piece.text.strip())


def _has_content(piece: object) -> bool:
    """Return whether a piece is more than an empty text, or audio without samples."""
    return bool(piece.text.strip() if isinstance(piece, Text) else not isinstance(piece, Audio) or piece.data)


class _TextInTime(AsyncIterator[str]):
    """Two sentences. The second comes when audio of the first was heard, or after `PATIENCE`."""

    def __init__(self) -> None:
        self.heard = anyio.Event()
        self.late = False
        self._given = 0

    async def __anext__(self) -> str:
        if self._given == len(SENTENCES):
            raise StopAsyncIteration
        if self._given:
            with anyio.move_on_after(PATIENCE):
                await self.heard.wait()
            self.late = not self.heard.is_set()
        self._given += 1
        return SENTENCES[self._given - 1]


async def first_piece(stream: AsyncIterator[Any]) -> bool:
    """Return whether a first piece comes in time. A stream that fails before has none."""
    with anyio.move_on_after(PATIENCE), suppress(Exception):
        await anext(stream)
        return True
    return False
