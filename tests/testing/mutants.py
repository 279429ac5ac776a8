"""Providers that are broken in one way each, with the rule that finds it. `GOOD` ones break no rule."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import time
from array import array
from base64 import b64encode
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from types import ModuleType
from typing import Annotated, Any, TypeVar
from urllib.parse import quote

import anyio
import anyio.lowlevel
import trio
from anyio.abc import ByteStream
from anyio.streams.buffered import BufferedByteReceiveStream
from attrs import evolve, frozen
from attrs.validators import ge, le

from rtvi_plugins import LLM, STT, TTS, VAD, Doc, ProviderError, Secret, SpeechModel, options, service
from rtvi_plugins.errors import ProviderCategory
from rtvi_plugins.kinds import (
    AnswerEnded,
    Audio,
    Heard,
    ListenPiece,
    ListenRequest,
    LLMRequest,
    Pause,
    Settled,
    SpeechRequest,
    STTPiece,
    STTRequest,
    Text,
    Thought,
    ToolCall,
    Transcript,
    TTSRequest,
    Typed,
    Word,
)
from rtvi_plugins.testing import Vendor
from rtvi_plugins.utils.plugin_calls import asyncio_task

from .line_vendor import JSONLLM, JSONSTT, JSONService, LineLLM, LineService, LineSTT, json_vendor, line_vendor

__all__ = ("GOOD", "MUTANTS", "Case", "kept", "kept_events", "of")


F = TypeVar("F", bound=Callable[..., Any])


@frozen
class Case:
    """A provider, the rule that it breaks, and a fake of its vendor."""

    name: str
    rule: str
    make: Callable[[], ModuleType]
    vendor: Vendor | None = None


MUTANTS: list[Case] = []
GOOD: list[Case] = []

_YIELDS: dict[str, Any] = {
    "llm": AsyncGenerator[LLM],
    "tts": AsyncGenerator[TTS],
    "stt": AsyncGenerator[STT],
    "vad": AsyncGenerator[VAD],
    "speech": AsyncGenerator[SpeechModel],
}


def of(name: str, *functions: Any) -> ModuleType:
    """Return a module that defines these functions."""
    module = ModuleType(name.replace(" ", "_"))
    for function in functions:
        function.__module__ = module.__name__
        setattr(module, function.__name__, function)
    return module


def add(rule: str, name: str, kind: str, live: Callable[[], Any], doc: str | None = "A provider.") -> None:
    """Add a provider whose live service `live` makes."""

    def make() -> ModuleType:
        async def opened() -> AsyncGenerator[Any]:
            yield live()

        opened.__annotations__ = {"return": _YIELDS[kind]}
        opened.__doc__ = doc
        declared: Any = service
        return of(name, declared(kind, "mutant")(asynccontextmanager(opened)))

    (MUTANTS if rule else GOOD).append(Case(name, rule, make))


def add_service(rule: str, name: str) -> Callable[[Callable[[], AsyncGenerator[Any]]], None]:
    """Add an LLM whose service function is the function. It is made anew for each check."""

    def register(function: Callable[[], AsyncGenerator[Any]]) -> None:
        def make() -> ModuleType:
            async def opened() -> AsyncGenerator[LLM]:
                """A provider."""
                async with asynccontextmanager(function)() as live:
                    yield live

            return of(name, service("llm", "mutant")(asynccontextmanager(opened)))

        (MUTANTS if rule else GOOD).append(Case(name, rule, make))

    return register


def method_of(kind: str, method: str, rule: str, name: str) -> Callable[[F], F]:
    """Add a provider whose operation is the function."""

    def register(function: F) -> F:
        add(rule, name, kind, lambda: type("Mutant", (), {method: function})())
        return function

    return register


def llm(rule: str, name: str) -> Callable[[F], F]:
    """Add a provider of this kind whose `respond` is the function."""
    return method_of("llm", "respond", rule, name)


def tts(rule: str, name: str) -> Callable[[F], F]:
    """Add a provider of this kind whose `synthesize` is the function."""
    return method_of("tts", "synthesize", rule, name)


def stt(rule: str, name: str) -> Callable[[F], F]:
    """Add a provider of this kind whose `transcribe` is the function."""
    return method_of("stt", "transcribe", rule, name)


def tone(text: str) -> Audio:
    """Return a piece of audio that differs from text to text."""
    return Audio(array("h", [1 + sum(text.encode())] * 2_000).tobytes(), 16_000)


# ---- providers that do what they should ------------------------------------------------------------------------------


def refuse_json(request: LLMRequest) -> None:
    """Refuse a request for JSON, as every LLM that cannot write it does."""
    if request.answer_schema is not None:
        raise ProviderError("mutant", "bad-request")


@llm("", "a good llm")
async def respond_well(self: Any, request: LLMRequest, /) -> AsyncGenerator[Any]:
    """Answer."""
    refuse_json(request)
    for word in ("Hello ", "there."):
        await anyio.lowlevel.checkpoint()
        yield Text(word)


@llm("", "a good llm that thinks")
async def think_and_respond(self: Any, request: LLMRequest, /) -> AsyncGenerator[Any]:
    """Yield a thought before the answer."""
    refuse_json(request)
    yield Thought("They greet me.")
    await anyio.lowlevel.checkpoint()
    yield Text("Hello.")


@tts("", "a good tts")
async def speak_well(self: Any, request: TTSRequest, /) -> AsyncGenerator[Any]:
    """Speak, with words."""
    start = 0.0
    async for text in request.text:
        for word in text.split():
            yield Word(word, start)
            yield tone(word)
            start += tone(word).seconds
            await anyio.lowlevel.checkpoint()


@stt("", "a good stt")
async def listen_well(self: Any, request: STTRequest, /) -> AsyncGenerator[Any]:
    """Listen."""
    async for _ in request.audio:
        pass
    yield Transcript("hello", final=True)


def raise_(error: Exception) -> None:
    """Raise an exception."""
    raise error


# ---- opening, describing, options, closing ---------------------------------------------------------------------------


def good_llm() -> Any:
    """Return an LLM that does what it should."""
    return type("Good", (), {"respond": respond_well})()


@add_service("P104", "one that does not open")
async def does_not_open() -> AsyncGenerator[Any]:
    """Raise while opening."""
    raise_(OSError("no file"))
    yield good_llm()


_opened: list[int] = []


@add_service("P104", "one that opens once")
async def opens_once() -> AsyncGenerator[Any]:
    """Refuse the second session."""
    if _opened:
        raise RuntimeError("already open")
    _opened.append(1)
    try:
        yield good_llm()
    finally:
        _opened.clear()


add("P105", "one without the method", "llm", object)
add("P105", "one with other parameters", "llm", lambda: type("Mutant", (), {"respond": _without_request})())


async def _without_request(self: Any) -> AsyncGenerator[Any]:
    yield Text("Hello.")


@llm("P105", "one that returns instead of yielding")
async def respond_by_return(self: Any, request: LLMRequest, /) -> Any:
    """Return the whole answer."""
    return Text("Hello.")


@llm("P105", "one that is annotated with str")
async def respond_with_str(self: Any, request: LLMRequest, /) -> AsyncGenerator[str]:
    """Yield strings, and say so."""
    yield "Hello."


def with_option(rule: str, name: str) -> Callable[[Callable[[list[int], int], None]], None]:
    """Add an LLM with an option `level`. The function gets the values so far, and the new one."""

    def register(apply: Callable[[list[int], int], None]) -> None:
        def make() -> ModuleType:
            async def opened() -> AsyncGenerator[LLM]:
                """A provider."""
                live = good_llm()
                live.levels = list[int]()
                yield live

            declared = service("llm", "mutant")(asynccontextmanager(opened))

            def configure(live: Any, /, level: Annotated[int, ge(0), le(9), Doc("The level.")] = 5) -> None:
                """Set the level."""
                apply(live.levels, level)
                live.levels.append(level)

            marked: Any = options
            return of(name, declared, marked(declared)(configure))

        (MUTANTS if rule else GOOD).append(Case(name, rule, make))

    return register


@with_option("", "one with an option")
def set_well(before: list[int], level: int) -> None:
    """Accept every value."""


@with_option("P107", "one whose option cannot change")
def set_once(before: list[int], level: int) -> None:
    """Fail at the second value."""
    if before:
        raise RuntimeError("already set")


@with_option("P107", "one whose option cannot be set back")
def set_twice(before: list[int], level: int) -> None:
    """Fail at a value that it had."""
    if level in before and before[-1] != level:
        raise RuntimeError("not again")


@with_option("P209", "one whose option blocks")
def set_slowly(before: list[int], level: int) -> None:
    """Block the event loop."""
    if before:
        time.sleep(0.9)


@add_service("P108", "one that does not close")
async def does_not_close() -> AsyncGenerator[Any]:
    """Wait for ever after the session."""
    yield good_llm()
    await anyio.sleep_forever()


@add_service("P108", "one that fails when it closes")
async def fails_to_close() -> AsyncGenerator[Any]:
    """Raise after the session."""
    yield good_llm()
    raise RuntimeError("not open")


# ---- pieces ----------------------------------------------------------------------------------------------------------


@llm("P201", "one that yields strings")
async def yield_strings(self: Any, request: LLMRequest, /) -> AsyncGenerator[Any]:
    """Yield another class."""
    yield "Hello."


@llm("P201", "one that returns a list")
def return_list(self: Any, request: LLMRequest, /) -> Any:
    """Return no stream."""
    return [Text("Hello.")]


@tts("P201", "one that yields bytes")
async def yield_bytes(self: Any, request: TTSRequest, /) -> AsyncGenerator[Any]:
    """Yield another class."""
    async for text in request.text:
        yield tone(text).data


@llm("P201", "one that yields nothing but None")
async def yield_none(self: Any, request: LLMRequest, /) -> AsyncGenerator[Any]:
    """Yield what a function has returned that returns nothing."""
    yield None


@llm("P201", "one whose text is not text")
async def yield_no_text(self: Any, request: LLMRequest, /) -> AsyncGenerator[Any]:
    """Yield a field of the vendor's answer that may be missing."""
    text: Any = None
    yield Text("Hello ")
    yield Text(text)


@llm("P201", "one whose function call has its arguments as text")
async def call_with_text(self: Any, request: LLMRequest, /) -> AsyncGenerator[Any]:
    """Forget to read the JSON."""
    arguments: Any = '{"nights": 3}'
    yield ToolCall("1", "book_room", arguments)


@tts("P201", "one whose audio is an array")
async def yield_array(self: Any, request: TTSRequest, /) -> AsyncGenerator[Any]:
    """Yield samples, and no bytes."""
    samples: Any = array("h", [1] * 2_000)
    async for _ in request.text:
        yield Audio(samples, 16_000)


@stt("P201", "one that writes whether a transcript is final")
async def write_final(self: Any, request: STTRequest, /) -> AsyncGenerator[Any]:
    """Yield the vendor's "false", which is true."""
    final: Any = "false"
    async for _ in request.audio:
        pass
    yield Transcript("hello", final)


@stt("P201", "one whose word is a number")
async def yield_number(self: Any, request: STTRequest, /) -> AsyncGenerator[Any]:
    """Pass on what the vendor made of a spoken digit."""
    word: Any = 5
    async for _ in request.audio:
        pass
    yield Transcript("five", True, words=[Word(word, 0.0, 0.2)])


@stt("P201", "one whose confidence is in percent")
async def yield_percent(self: Any, request: STTRequest, /) -> AsyncGenerator[Any]:
    """Pass on 70 for 0.7."""
    async for _ in request.audio:
        pass
    yield Transcript("hello", True, confidence=70)


@tts("P201", "one whose word begins before the audio")
async def yield_early_word(self: Any, request: TTSRequest, /) -> AsyncGenerator[Any]:
    """Count from the second word."""
    async for text in request.text:
        yield Word(text, -0.1)
        yield tone(text)


@llm("P202", "one whose text is empty")
async def yield_empty_text(self: Any, request: LLMRequest, /) -> AsyncGenerator[Any]:
    """Yield a piece, and say nothing."""
    await anyio.lowlevel.checkpoint()
    yield Text("")


@tts("P202", "one whose audio is empty")
async def yield_empty_audio(self: Any, request: TTSRequest, /) -> AsyncGenerator[Any]:
    """Yield a piece without samples."""
    async for _ in request.text:
        yield Audio(b"", 16_000)


@tts("P205", "one whose words end before they start")
async def end_words_first(self: Any, request: TTSRequest, /) -> AsyncGenerator[Any]:
    """Take the length of a word for its end."""
    start = 1.0
    async for text in request.text:
        for word in text.split():
            yield Word(word, start, 0.1)
            yield tone(word)
            start += 0.1


@stt("P201", "one that yields texts")
async def yield_texts(self: Any, request: STTRequest, /) -> AsyncGenerator[Any]:
    """Yield the piece of another kind."""
    async for _ in request.audio:
        pass
    yield Text("hello")


@llm("P202", "one that says nothing")
async def say_nothing(self: Any, request: LLMRequest, /) -> AsyncGenerator[Any]:
    """Yield nothing."""
    await anyio.lowlevel.checkpoint()
    for piece in list[Text]():
        yield piece


@llm("P202", "one that fails")
async def fail(self: Any, request: LLMRequest, /) -> AsyncGenerator[Any]:
    """Raise a bug."""
    raise_(KeyError("choices"))
    yield Text("Hello.")


add("P202", "a vad that returns a word", "vad", lambda: type("Mutant", (), {"speech_probability": _say_yes})())
add("P202", "a vad that returns percent", "vad", lambda: type("Mutant", (), {"speech_probability": _in_percent})())
add("", "a good vad", "vad", lambda: type("Mutant", (), {"speech_probability": _as_number})())


def _say_yes(self: Any, frame: Audio, /) -> Any:
    return "yes"


def _in_percent(self: Any, frame: Audio, /) -> float:
    return 80.0


def _as_number(self: Any, frame: Audio, /) -> float:
    return 0.8


@tts("P203", "one that collects the text")
async def collect(self: Any, request: TTSRequest, /) -> AsyncGenerator[Any]:
    """Wait for the last sentence before the first piece."""
    for text in [text async for text in request.text]:
        yield tone(text)


@tts("P204", "one with odd pieces")
async def cut_samples(self: Any, request: TTSRequest, /) -> AsyncGenerator[Any]:
    """Split a sample."""
    async for text in request.text:
        yield Audio(tone(text).data[:-1], 16_000)


@tts("P204", "one that changes its rate")
async def change_rate(self: Any, request: TTSRequest, /) -> AsyncGenerator[Any]:
    """Yield two formats."""
    async for text in request.text:
        yield tone(text)
        yield Audio(tone(text).data, 24_000)


@tts("P205", "one whose words start again")
async def restart_words(self: Any, request: TTSRequest, /) -> AsyncGenerator[Any]:
    """Count the times from each sentence."""
    async for text in request.text:
        for number, word in enumerate(text.split()):
            yield Word(word, number / 10)
            yield tone(word)


@tts("P205", "one whose words are in another order")
async def reverse_words(self: Any, request: TTSRequest, /) -> AsyncGenerator[Any]:
    """Yield the words of a sentence from the last."""
    async for text in request.text:
        for word in reversed(text.split()):
            yield Word(word, 0.0)
            yield tone(word)


# ---- interruptions ---------------------------------------------------------------------------------------------------


@llm("P206", "one that yields while it is closed")
async def yield_in_finally(self: Any, request: LLMRequest, /) -> AsyncGenerator[Any]:
    """Say goodbye at any end."""
    closed = True
    try:
        yield Text("Hello ")
        yield Text("there.")
        closed = False
    except GeneratorExit:
        yield Text("Goodbye.")
        raise
    finally:
        if closed:
            pass


@llm("P206", "one that fails when it is closed")
async def fail_in_finally(self: Any, request: LLMRequest, /) -> AsyncGenerator[Any]:
    """Use what is not there, unless it has ended."""
    try:
        yield Text("Hello ")
        yield Text("there.")
    except GeneratorExit:
        raise KeyError("response") from None


@llm("P206", "one that fails when it is closed after its third piece")
async def fail_after_three(self: Any, request: LLMRequest, /) -> AsyncGenerator[Any]:
    """Close what is open only after the third piece."""
    pieces = 0
    try:
        for word in ("One ", "two ", "three ", "four."):
            pieces += 1
            yield Text(word)
    except GeneratorExit:
        if pieces == 3:
            raise KeyError("response") from None
        raise


@llm("P207", "one that swallows a cancellation")
async def swallow(self: Any, request: LLMRequest, /) -> AsyncGenerator[Any]:
    """Go on with what is there."""
    try:
        yield Text("Hello ")
        await anyio.lowlevel.checkpoint()
    except anyio.get_cancelled_exc_class():
        pass
    yield Text("there.")


@llm("P207", "one that turns a cancellation into a failure")
async def translate(self: Any, request: LLMRequest, /) -> AsyncGenerator[Any]:
    """Catch too much."""
    yield Text("Hello ")
    try:
        await anyio.lowlevel.checkpoint()
    except anyio.get_cancelled_exc_class():
        raise ProviderError("mutant", "unavailable") from None


@llm("P207", "one that finishes before it stops")
async def finish_first(self: Any, request: LLMRequest, /) -> AsyncGenerator[Any]:
    """Shield what may be long."""
    yield Text("Hello ")
    try:
        await anyio.lowlevel.checkpoint()
    except anyio.get_cancelled_exc_class():
        with anyio.CancelScope(shield=True):
            await anyio.sleep(1.3)
        raise


class SlowOnce:
    """An LLM whose first cancellation takes long, as the first import of a module does."""

    def __init__(self) -> None:
        self.cancelled = False

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[Any]:
        """Answer with two words."""
        refuse_json(request)
        yield Text("Hello ")
        try:
            await anyio.lowlevel.checkpoint()
        except anyio.get_cancelled_exc_class():
            if not self.cancelled:
                self.cancelled = True
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(1.3)
            raise
        yield Text("there.")


add("", "one whose first cancellation is slow", "llm", SlowOnce)


class Locked:
    """An LLM that is busy for ever after it was cancelled."""

    def __init__(self) -> None:
        self.busy = False

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[Any]:
        """Answer one request at a time."""
        if self.busy:
            raise ProviderError("mutant", "unavailable")
        self.busy = True
        try:
            yield Text("Hello ")
            await anyio.lowlevel.checkpoint()
            yield Text("there.")
        except GeneratorExit:
            self.busy = False
            raise
        self.busy = False


add("P207", "one that is locked after a cancellation", "llm", Locked)


@add_service("P208", "one that leaves tasks")
async def leave_tasks() -> AsyncGenerator[Any]:
    """Start a task for each answer."""

    async def respond(self: Any, request: LLMRequest, /) -> AsyncGenerator[Any]:
        tasks.start_soon(anyio.sleep_forever)
        await anyio.lowlevel.checkpoint()
        yield Text("Hello.")

    async with anyio.create_task_group() as tasks:
        yield type("Mutant", (), {"respond": respond})()
        tasks.cancel_scope.cancel()


async def _words() -> AsyncGenerator[str]:
    for word in ("Hello ", "there."):
        await anyio.lowlevel.checkpoint()
        yield word


@llm("P216", "one that leaves a generator open")
async def leave_generator(self: Any, request: LLMRequest, /) -> AsyncGenerator[Any]:
    """Read a generator of its own without closing it."""
    refuse_json(request)
    async for word in _words():
        yield Text(word)


@add_service("P108", "one that leaves a task after the session")
async def leave_task_after_session() -> AsyncGenerator[Any]:
    """Start a task that nobody ends."""
    kept_events.append(ended := anyio.Event())
    if asyncio_task() is None:
        trio.lowlevel.spawn_system_task(ended.wait)
    else:
        running.add(asyncio.create_task(ended.wait()))
    yield good_llm()


class ListensIn:
    """An STT whose `listen` has another signature."""

    async def transcribe(self, request: STTRequest, /) -> AsyncGenerator[Any]:
        async for _ in request.audio:
            pass
        yield Transcript("hello", final=True)

    async def listen(self, request: ListenRequest, language: str, /) -> AsyncGenerator[Any]:
        yield Transcript(language, final=True)


class ChecksCarelessly:
    """An LLM whose `check_key` is not awaited."""

    respond = respond_well

    def check_key(self) -> None:
        """Check nothing."""


class ChecksWithBug(ChecksCarelessly):
    """An LLM whose `check_key` has a bug."""

    async def check_key(self) -> None:  # type: ignore[override]
        raise_(KeyError("models"))


add("P105", "one whose listen has another signature", "stt", ListensIn)
add("P105", "one whose check_key is not a coroutine", "llm", ChecksCarelessly)
add("P105", "one whose check_key has a bug", "llm", ChecksWithBug)


@llm("", "one that writes JSON")
async def write_json(self: Any, request: LLMRequest, /) -> AsyncGenerator[Any]:
    """Write a greeting, as JSON if it is asked for."""
    await anyio.lowlevel.checkpoint()
    yield Text("Hello." if request.answer_schema is None else '{"greeting": "Hello."}')


@llm("P217", "one that knows no answer_schema")
async def ignore_schema(self: Any, request: LLMRequest, /) -> AsyncGenerator[Any]:
    """Write plain text."""
    await anyio.lowlevel.checkpoint()
    yield Text("Hello.")


@llm("P217", "one that writes other JSON than it is asked for")
async def write_other_json(self: Any, request: LLMRequest, /) -> AsyncGenerator[Any]:
    """Write JSON that does not fit."""
    await anyio.lowlevel.checkpoint()
    yield Text("Hello." if request.answer_schema is None else '{"name": "Hello."}')


@llm("P217", "one that refuses JSON with a bug")
async def fail_to_refuse(self: Any, request: LLMRequest, /) -> AsyncGenerator[Any]:
    """Raise an exception of Python."""
    if request.answer_schema is not None:
        raise NotImplementedError
    await anyio.lowlevel.checkpoint()
    yield Text("Hello.")


@llm("P209", "one that blocks")
async def block(self: Any, request: LLMRequest, /) -> AsyncGenerator[Any]:
    """Sleep like in a script, at the first request."""
    refuse_json(request)
    if not hasattr(self, "slept"):
        self.slept = True
        time.sleep(0.9)  # noqa: ASYNC251
    await anyio.lowlevel.checkpoint()
    yield Text("Hello.")


# ---- vendors and keys ------------------------------------------------------------------------------------------------


def vended(rule: str, name: str) -> Callable[[type[LineService]], None]:
    """Add a provider with a vendor."""

    def register(live: type[LineService]) -> None:
        kind = "stt" if issubclass(live, LineSTT) else "llm"
        vendor = json_vendor if issubclass(live, JSONService) else line_vendor

        def make() -> ModuleType:
            async def opened(api_key: Secret, /, port: int = 0, timeout: float = 1.0) -> AsyncGenerator[Any]:
                """A provider."""
                yield live(api_key, port, timeout)

            opened.__annotations__["return"] = _YIELDS[kind]
            declared: Any = service
            return of(name, declared(kind, "mutant")(asynccontextmanager(opened)))

        (MUTANTS if rule else GOOD).append(Case(name, rule, make, vendor))

    return register


vended("", "a good provider of a vendor")(LineLLM)


def with_category(rule: str, status: str, category: ProviderCategory) -> None:
    """Add a provider that gives a status a wrong category."""
    categories = {**LineLLM.categories, status: category}
    vended(rule, f"one that takes {status} for {category}")(type("Mutant", (LineLLM,), {"categories": categories}))


@vended("P231", "one that also calls a fixed address")
class CallsFixedAddress(LineLLM):
    """Reports its use to the vendor's own server."""

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[Any]:
        with suppress(OSError):
            async with await anyio.connect_tcp("192.0.2.1", 443):
                pass
        async with aclosing(super().respond(request)) as pieces:
            async for piece in pieces:
                yield piece


with_category("P221", "401", "unavailable")
with_category("P222", "402", "rate")
with_category("P223", "429", "quota")
with_category("P224", "400", "unavailable")
with_category("P225", "500", "bad-request")


@vended("P225", "one that raises its own exception")
class RaisesOwn(LineLLM):
    """Leaves 500 to the framework."""

    def check(self, status: str, stream: ByteStream) -> None:
        if status == "500":
            raise RuntimeError("status 500")
        super().check(status, stream)


@vended("P226", "one that takes a cut for the end")
class TakesCutForEnd(LineLLM):
    """Ends well when the vendor does not."""

    def cut(self) -> str:
        return "END"


@vended("P232", "one that takes the end of the connection for the end of the answer")
class TakesCloseForEnd(LineLLM):
    """Does not wait for the vendor's last line."""

    def ended(self) -> str:
        return "END"


@vended("P227", "one that lets the parser fail")
class ParsesCarelessly(LineLLM):
    """Reads a status that is none."""

    def check(self, status: str, stream: ByteStream) -> None:
        int(status.partition(" ")[0])
        super().check(status, stream)


vended("", "a good provider of a vendor that sends JSON")(JSONLLM)
vended("", "a good stt of a vendor that sends JSON")(JSONSTT)


@vended("P227", "one that reads fields without checking them")
class ExpectsFields(JSONLLM):
    """Checks that a message is JSON, and nothing else."""

    def text(self, line: str) -> str:
        try:
            message = json.loads(line)
        except ValueError:
            raise ProviderError("line", "unavailable") from None
        return "END" if message["type"] == "end" else message["parts"][0]["text"]


@vended("P227", "one that reads the usage without checking it")
class CountsAfterAnswer(JSONLLM):
    """Reads all but the usage with care. It has defaults for fields, and expects their types."""

    def read(self, message: Any) -> str:
        self.last = message
        return "END" if message["type"] == "end" else super().read(message)

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[Any]:
        async with aclosing(super().respond(request)) as pieces:
            async for piece in pieces:
                yield piece
        self.words += self.last.get("usage", {}).get("words", 0)


@vended("P227", "one that yields a text without checking its type")
class YieldsAnything(JSONLLM):
    """Does not check that a text is one."""

    def text(self, line: str) -> Any:
        try:
            message = json.loads(line)
            return "END" if message["type"] == "end" else message["parts"][0]["text"]
        except (LookupError, TypeError, ValueError):
            raise ProviderError("line", "unavailable") from None


@vended("P227", "one that reads fields without checking them when it listens")
class ExpectsFieldsWhenListening(JSONSTT):
    """Reads with care in `transcribe` alone."""

    async def settle(self, lines: BufferedByteReceiveStream) -> AsyncGenerator[ListenPiece]:
        while (message := json.loads(await self.line(lines)))["type"] != "end":
            yield Transcript(message["parts"][0]["text"], final=True)
        yield Settled()


@vended("P228", "one that waits for ever")
class Waits(LineLLM):
    """Has no timeout."""

    def __init__(self, key: Secret, port: int, timeout: float) -> None:
        super().__init__(key, port, 1_000.0)


@vended("P203", "one that waits for the vendor's end")
class Collects(LineLLM):
    """Collects the answer."""

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[Any]:
        for piece in [each async for each in super().respond(request)]:
            yield piece


@vended("P229", "one that keeps the connection")
class KeepsConnection(LineLLM):
    """Leaves its connection open."""

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[Any]:
        refuse_json(request)
        stream = await anyio.connect_tcp("127.0.0.1", self.port)
        kept.append(stream)
        await stream.send(f"{self.key.reveal()}\n".encode())
        lines = BufferedByteReceiveStream(stream)
        self.check(await self.line(lines), stream)
        while (text := await self.line(lines)) != "END":
            yield Text(text)


#: Connections that a mutant has left open, and the events that end the tasks that it has left; the test ends them.
kept: list[ByteStream] = []
kept_events: list[anyio.Event] = []
running: set[Any] = set()


@vended("P210", "one that shows the key in its repr")
class ShowsInRepr(LineLLM):
    """Has a repr with everything."""

    def __repr__(self) -> str:
        return f"ShowsInRepr({self.key.reveal()})"


@vended("P210", "one that keeps the key as text")
class KeepsText(LineLLM):
    """Stores the text of the key."""

    def __init__(self, key: Secret, port: int, timeout: float) -> None:
        super().__init__(key, port, timeout)
        self.header = f"Basic {b64encode(key.reveal().encode()).decode()}"


@vended("P210", "one that quotes the vendor")
class QuotesVendor(LineLLM):
    """Raises with what the vendor said."""

    def check(self, status: str, stream: ByteStream) -> None:
        if status == "401":
            error = ProviderError("line", "auth")
            error.args = (f"line: key {self.key.reveal()} is wrong",)
            raise error
        super().check(status, stream)


@vended("P210", "one that chains what shows the key")
class Chains(LineLLM):
    """Keeps the cause."""

    def check(self, status: str, stream: ByteStream) -> None:
        try:
            super().check(status, stream)
        except ProviderError as error:
            raise error from OSError(f"GET /?key={quote(self.key.reveal(), safe='')}")


@vended("P210", "one that logs the key")
class LogsKey(LineLLM):
    """Logs its requests."""

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[Any]:
        logging.getLogger("mutant").debug("sending %s", self.key.reveal())
        async with aclosing(super().respond(request)) as pieces:
            async for piece in pieces:
                yield piece


@vended("P210", "one that keeps the key as text in a slot")
class KeepsTextInSlot(LineLLM):
    """Stores the text of the key, and has no `__dict__` entry for it."""

    __slots__ = ("header",)

    def __init__(self, key: Secret, port: int, timeout: float) -> None:
        super().__init__(key, port, timeout)
        self.header = f"Bearer {key.reveal()}"


@vended("P210", "one that notes the key")
class NotesKey(LineLLM):
    """Adds what was sent to its failure."""

    def check(self, status: str, stream: ByteStream) -> None:
        try:
            super().check(status, stream)
        except ProviderError as error:
            error.add_note(f"sent {self.key.reveal()}")
            raise


@vended("P210", "one that prints the key")
class PrintsKey(LineLLM):
    """Prints what it sends."""

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[Any]:
        print("sending", self.key.reveal())  # noqa: T201
        async with aclosing(super().respond(request)) as pieces:
            async for piece in pieces:
                yield piece


@vended("P231", "one that looks up a fixed address")
class LooksUp(LineLLM):
    """Finds the vendor's own server by its name."""

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[Any]:
        with suppress(OSError):
            socket.gethostbyname("api.line.example")
        async with aclosing(super().respond(request)) as pieces:
            async for piece in pieces:
                yield piece


@vended("P228", "one that waits for ever after the first piece")
class WaitsInTheMiddle(LineLLM):
    """Has a timeout for the first line alone."""

    async def line(self, lines: BufferedByteReceiveStream) -> str:
        line = await super().line(lines)
        self.timeout = 1_000.0
        return line


@vended("P230", "one that takes seconds for milliseconds")
class WaitsTooLong(LineLLM):
    """Raises with a thousand times the seconds."""

    def check(self, status: str, stream: ByteStream) -> None:
        try:
            super().check(status, stream)
        except ProviderError as error:
            wait = None if error.retry_after is None else error.retry_after * 1_000
            raise ProviderError("line", error.category, retry_after=wait) from None


@vended("P230", "one that drops retry-after")
class DropsRetryAfter(LineLLM):
    """Raises without the seconds."""

    def check(self, status: str, stream: ByteStream) -> None:
        super().check(status.partition(" ")[0], stream)


# ---- one stream for all utterances -----------------------------------------------------------------------------------

vended("", "a good stt that can listen")(LineSTT)


@vended("P201", "one whose listen returns a list")
class ListensOnce(LineSTT):
    """Returns no stream."""

    def listen(self, request: Any, /) -> Any:
        return [Settled()]


@vended("P202", "one whose listen fails")
class FailsToListen(LineSTT):
    """Has a bug."""

    async def settle(self, lines: BufferedByteReceiveStream) -> AsyncGenerator[ListenPiece]:
        raise_(KeyError("final"))
        yield Settled()


@vended("P202", "one whose transcripts are never final")
class NeverFinal(LineSTT):
    """Leaves out what the vendor says of the end."""

    async def transcribe(self, request: STTRequest, /) -> AsyncGenerator[STTPiece]:
        async with aclosing(super().transcribe(request)) as pieces:
            async for piece in pieces:
                yield evolve(piece, final=False) if isinstance(piece, Transcript) else piece


@vended("P241", "one that never settles")
class NeverSettles(LineSTT):
    """Yields transcripts alone."""

    async def settle(self, lines: BufferedByteReceiveStream) -> AsyncGenerator[ListenPiece]:
        async with aclosing(super().settle(lines)) as pieces:
            async for piece in pieces:
                if not isinstance(piece, Settled):
                    yield piece


@vended("P241", "one that settles twice")
class SettlesTwice(LineSTT):
    """Settles at the vendor's end, and again."""

    async def settle(self, lines: BufferedByteReceiveStream) -> AsyncGenerator[ListenPiece]:
        async with aclosing(super().settle(lines)) as pieces:
            async for piece in pieces:
                yield piece
        yield Settled()


@vended("P241", "one that settles too early")
class SettlesEarly(LineSTT):
    """Does not wait for the transcript."""

    async def settle(self, lines: BufferedByteReceiveStream) -> AsyncGenerator[ListenPiece]:
        yield Settled()
        async with aclosing(super().settle(lines)) as pieces:
            async for piece in pieces:
                if not isinstance(piece, Settled):
                    yield piece


@vended("P242", "one that ends when it is cut while it listens")
class EndsWhenCut(LineSTT):
    """Leaves without a word."""

    async def listen(self, request: ListenRequest, /) -> AsyncGenerator[ListenPiece]:
        try:
            async with aclosing(super().listen(request)) as pieces:
                async for piece in pieces:
                    yield piece
        except ProviderError as error:
            if error.category == "auth":
                raise


@vended("P232", "one that ends when the vendor leaves while it listens")
class EndsWhenLeft(LineSTT):
    """Takes the end of the connection for the end of the speech."""

    listening = False

    async def listen(self, request: ListenRequest, /) -> AsyncGenerator[ListenPiece]:
        self.listening = True
        async with aclosing(super().listen(request)) as pieces:
            async for piece in pieces:
                yield piece

    def ended(self) -> str:
        return "END" if self.listening else super().ended()


@vended("P242", "one that raises its own exception when it is cut while it listens")
class RaisesOwnWhenCut(LineSTT):
    """Leaves the connection's failure to the framework."""

    async def settle(self, lines: BufferedByteReceiveStream) -> AsyncGenerator[ListenPiece]:
        try:
            async with aclosing(super().settle(lines)) as pieces:
                async for piece in pieces:
                    yield piece
        except ProviderError:
            raise OSError("cut") from None


@vended("P242", "one that listens only until it was cut")
class ListensUntilCut(LineSTT):
    """Remembers that its connection was lost."""

    lost = False

    async def listen(self, request: ListenRequest, /) -> AsyncGenerator[ListenPiece]:
        if self.lost:
            raise ProviderError("line", "unavailable")
        async with aclosing(super().listen(request)) as pieces:
            async for piece in pieces:
                yield piece

    def cut(self) -> str:
        self.lost = True
        return super().cut()


@vended("P207", "one that swallows a cancellation while it listens")
class SwallowsWhileListening(LineSTT):
    """Goes on with the next utterance."""

    async def settle(self, lines: BufferedByteReceiveStream) -> AsyncGenerator[ListenPiece]:
        try:
            async with aclosing(super().settle(lines)) as pieces:
                async for piece in pieces:
                    yield piece
        except anyio.get_cancelled_exc_class():
            yield Settled()


@vended("P229", "one that keeps the connection when it stops listening")
class KeepsListening(LineSTT):
    """Leaves its connection open."""

    async def listen(self, request: ListenRequest, /) -> AsyncGenerator[ListenPiece]:
        stream = await anyio.connect_tcp("127.0.0.1", self.port)
        kept.append(stream)
        await stream.send(f"{self.key.reveal()} listen\n".encode())
        lines = BufferedByteReceiveStream(stream)
        self.check(await self.line(lines), stream)
        async for each in request.audio:
            if isinstance(each, Pause):
                await stream.send(b"pause\n")
                async with aclosing(self.settle(lines)) as pieces:
                    async for piece in pieces:
                        yield piece


# ---- speech to speech ------------------------------------------------------------------------------------------------


def model(rule: str, name: str) -> Callable[[F], F]:
    """Add a provider of this kind whose `converse` is the function."""
    return method_of("speech", "converse", rule, name)


@model("", "a good speech model")
async def converse_well(self: Any, request: SpeechRequest, /) -> AsyncGenerator[Any]:
    """Answer each text. Stop when the user interrupts."""
    async for item in request.input:
        if not isinstance(item, Typed):
            continue
        yield Text("Hello.")
        yield tone("Hello.")
        with anyio.move_on_after(0.02):
            await anext(request.input)
        yield AnswerEnded()


@model("P201", "a speech model that returns a list")
def converse_at_once(self: Any, request: SpeechRequest, /) -> Any:
    """Return no stream."""
    return [tone("Hello."), AnswerEnded()]


@model("P201", "a speech model that yields bytes")
async def converse_in_bytes(self: Any, request: SpeechRequest, /) -> AsyncGenerator[Any]:
    """Yield another class."""
    async for _ in request.input:
        yield tone("Hello.").data
        yield AnswerEnded()


@model("P202", "a speech model that only writes")
async def converse_in_text(self: Any, request: SpeechRequest, /) -> AsyncGenerator[Any]:
    """Yield no audio."""
    async for _ in request.input:
        yield Text("Hello.")
        yield AnswerEnded()


@model("P204", "a speech model with odd pieces")
async def converse_in_halves(self: Any, request: SpeechRequest, /) -> AsyncGenerator[Any]:
    """Split a sample."""
    async for item in request.input:
        if isinstance(item, Typed):
            yield Audio(tone("Hello.").data[:-1], 16_000)
            yield AnswerEnded()


@model("P251", "a speech model that never ends its answer")
async def converse_on(self: Any, request: SpeechRequest, /) -> AsyncGenerator[Any]:
    """Leave out the end."""
    async for _ in request.input:
        yield tone("Hello.")


@model("P251", "a speech model that ends its answer twice")
async def converse_and_end_twice(self: Any, request: SpeechRequest, /) -> AsyncGenerator[Any]:
    """End the audio, and the answer."""
    async for item in request.input:
        if isinstance(item, Typed):
            yield tone("Hello.")
            yield AnswerEnded()
            yield AnswerEnded()


@model("P251", "a speech model whose audio comes late")
async def converse_late(self: Any, request: SpeechRequest, /) -> AsyncGenerator[Any]:
    """Yield audio after the end."""
    async for item in request.input:
        if isinstance(item, Typed):
            yield tone("Hello.")
            yield AnswerEnded()
            yield tone("there.")


@model("P252", "a speech model that leaves an interrupted answer open")
async def converse_until_interrupted(self: Any, request: SpeechRequest, /) -> AsyncGenerator[Any]:
    """Do not end an answer that was interrupted."""
    async for item in request.input:
        if isinstance(item, Typed):
            yield tone("Hello.")
            following: Any = None
            with anyio.move_on_after(0.05):
                following = await anext(request.input)
            if not isinstance(following, Heard):
                yield AnswerEnded()


@model("P252", "a speech model that fails when it is interrupted")
async def converse_if_uninterrupted(self: Any, request: SpeechRequest, /) -> AsyncGenerator[Any]:
    """Raise at an input that it does not know."""
    async for item in request.input:
        if not isinstance(item, Typed):
            raise KeyError(type(item).__name__)
        yield tone("Hello.")
        with anyio.move_on_after(0.05):
            raise_(KeyError(type(await anext(request.input)).__name__))
        yield AnswerEnded()


# ---- the documentation -----------------------------------------------------------------------------------------------

add("P303", "one without a docstring", "llm", good_llm, doc=None)
