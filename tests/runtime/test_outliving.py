"""Functions that the LLM has called and that outlive their turn: they continue, and the LLM reads their result."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest

from rtvi_plugins import LLM, STT, TTS, VAD, RequestError, Secret, Session, action, bot, converse
from rtvi_plugins.kinds import Text, ToolCall

from ..fakes.conversation import silence, speak
from ..fakes.providers import LOOK, RATE, WAIT, Fakes, check_conversation
from ..fakes.wire import Wire, connected, settle
from ..tools.patience import PATIENCE

pytestmark = pytest.mark.anyio

FUNCTIONS = [
    f"bot:{name}" for name in "book look_up cling block block_briefly give_up rant stumble mumble quote".split()
]
CLIENT = "llm:get_context llm:set_context tts:interrupt".split()
JOBS = ["bot:grind", "bot:wait_for_gate"]


@bot(services={"llm": "scripted"}, config=LOOK, functions=FUNCTIONS, client=[*CLIENT[:2], *JOBS], public=True)
async def clerk(session: Session, /, llm: LLM) -> None:
    """A bot for typed texts."""
    await converse(session, llm=llm)


@bot(
    services={"llm": "scripted", "stt": "script", "tts": "spell", "vad": "code"},
    functions=["bot:book_room"],
    client=CLIENT,
    public=True,
)
async def talker(session: Session, /, llm: LLM, stt: STT, tts: TTS, vad: VAD) -> None:
    """A bot that speaks."""
    await converse(session, llm=llm, stt=stt, tts=tts, vad=vad)


SECRET = Secret("key-of-the-clerk")


class Gate:
    """Holds functions until the test lets them continue, and counts their effects."""

    def __init__(self) -> None:
        self.opened = anyio.Event()
        self.thread_opened = threading.Event()
        self.done: list[str] = []


gate = Gate()


@pytest.fixture(autouse=True)
def _new_gate() -> Iterator[None]:
    gate.__init__()  # type: ignore[misc]
    yield
    gate.thread_opened.set()


@action(clerk)
async def book(session: Session, /, name: str = "Ada") -> str:
    """Book a room. It must finish once it has started."""
    await gate.opened.wait()
    gate.done.append(name)
    return f"room for {name}"


@action(talker)
async def book_room(session: Session, /) -> str:
    """Book a room, for the other bot."""
    return await book(session)


@action(clerk, finish=False)
async def look_up(session: Session, /) -> str:
    """Look something up. It may be cancelled at any time."""
    await gate.opened.wait()
    gate.done.append("looked up")
    return "found"


@action(clerk, finish=False)
async def cling(session: Session, /) -> str:
    """An action that is declared as cancellable, but ignores the cancellation."""
    with anyio.CancelScope(shield=True):
        await gate.opened.wait()
    return "held on"


@action(clerk)
async def give_up(session: Session, /) -> None:
    """Fail, but not at once."""
    await gate.opened.wait()
    raise RequestError("There is no room left.")


@action(clerk)
def block() -> str:
    """Work in a thread."""
    opened, done = gate.thread_opened, gate.done  # the thread may go on while the next test runs
    opened.wait(PATIENCE)
    done.append("blocked")
    return "done by a thread"


@action(clerk, finish=False)
def block_briefly() -> str:
    """Work in a thread, which cannot be stopped."""
    gate.thread_opened.wait(PATIENCE)
    return "done by a thread"


@action(clerk)
async def rant(session: Session, /) -> None:
    """Fail with a very long sentence."""
    raise RequestError("no " * 10_000_000)


@action(clerk)
async def stumble(session: Session, /) -> None:
    """Fail after it has had its effect."""
    gate.done.append("stumbled")
    raise KeyError("confirmation")


@action(clerk)
async def quote(session: Session, /) -> None:
    """Fail with the text of a vendor, which shows the key."""
    raise RequestError(f"The vendor refuses {SECRET.reveal()}.")


@action(clerk)
async def mumble(session: Session, /) -> dict[str, int]:
    """Have an effect, and return a value of another type than declared."""
    gate.done.append("mumbled")
    return {"room": "a"}  # type: ignore[dict-item]  # pyright: ignore[reportReturnType]


@action(clerk, long=True)
def grind() -> str:
    """Work in a thread for a long time."""
    gate.thread_opened.wait(PATIENCE)
    return "done by a thread"


@action(clerk, long=True)
async def wait_for_gate(session: Session, /) -> None:
    """A background job that works for a long time, and can be cancelled."""
    await gate.opened.wait()


def say(wire: Wire, text: str, **options: Any) -> None:
    """Send text of the user."""
    data: dict[str, Any] = {"content": text, "options": options}
    wire.send("send-text", data)


async def results(wire: Wire) -> list[str]:
    """The results of function calls that are in the context."""
    messages = (await wire.result(wire.call("llm:get_context")))["messages"]
    check_conversation([{name: each[name] for name in each if name != "interrupted"} for each in messages])
    return [each["content"] for each in messages if each["role"] == "tool"]


def read(fakes: Fakes, request: int = -1) -> list[str]:
    """The results of function calls that the LLM has read."""
    return [str(each["content"]) for each in fakes.requests[request].messages if each["role"] == "tool"]


async def interrupted(fakes: Fakes, wire: Wire, function: str, *then: Any) -> None:
    """The LLM calls a function. Before it ends, the user writes something else, and gets an answer."""
    fakes.write([ToolCall("1", function, {})], [Text("One moment.")], *then)
    say(wire, "Book, please.")
    await settle()
    say(wire, "For Friday.")
    await settle()


async def test_a_function_continues_when_the_user_interrupts_and_the_llm_reads_its_result() -> None:
    """The LLM first reads that the function still runs, then its result. So it calls nothing twice, and reports it."""
    fakes = Fakes()
    async with connected(clerk, fakes) as wire:
        await interrupted(fakes, wire, "book", [Text("It is booked.")])
        assert "still running" in read(fakes)[0]
        assert wire.data_of("llm-function-call-stopped") == []
        gate.opened.set()
        await settle()
        assert gate.done == ["Ada"]
        assert wire.data_of("llm-function-call-stopped") == [
            {"tool_call_id": "1", "function_name": "book", "cancelled": False, "result": "room for Ada"}
        ]
        assert await results(wire) == read(fakes) == ["room for Ada"]
        assert len(fakes.requests) == 3
        assert [each["role"] for each in fakes.requests[-1].messages] == [
            *["user", "user", "assistant", "assistant", "tool"]
        ], "behind all else, it is what there is to answer"
        messages = (await wire.result(wire.call("llm:get_context")))["messages"]
        assert [each["role"] for each in messages] == ["user", "assistant", "tool", "user", "assistant", "assistant"]
        assert messages[-1]["content"] == "It is booked."


async def test_only_what_is_late_is_moved_for_a_report() -> None:
    """Text that was said with the call stays in its place, and so do calls that were answered before."""
    fakes = Fakes()
    async with connected(clerk, fakes) as wire:
        calls = [
            ToolCall("1", "book", {"name": "Ada"}),
            ToolCall("2", "block", {}),
            ToolCall("3", "book", {"name": "Eve"}),
        ]
        fakes.write([Text("Let me see."), *calls], [Text("One moment.")], [Text("All is booked.")])
        gate.thread_opened.set()
        say(wire, "Book, please.")
        await until(lambda: bool(wire.data_of("llm-function-call-stopped")))
        say(wire, "For Friday.")
        await settle()
        assert ["still running" in each for each in read(fakes)] == [True, False, True]
        gate.opened.set()
        await settle()
        messages = fakes.requests[-1].messages
        assert [each["role"] for each in messages] == [
            *["user", "assistant", "tool", "user", "assistant", "assistant", "tool", "tool"]
        ]
        assert messages[1]["content"] == "Let me see."
        assert [each["id"] for each in messages[1].get("tool_calls", ())] == ["2"]
        assert read(fakes) == ["done by a thread", "room for Ada", "room for Eve"]


async def test_a_late_result_that_comes_during_an_answer_is_reported_after_it() -> None:
    """The answer is not interrupted. If the LLM has read the result meanwhile, it is not asked again."""
    fakes = Fakes([ToolCall("1", "book", {})], [Text("Well, "), WAIT], [Text("Yes?")])
    async with connected(clerk, fakes) as wire:
        say(wire, "Book, please.")
        await settle()
        say(wire, "For Friday.")
        await settle()
        gate.opened.set()
        await settle()
        assert len(fakes.requests) == 2
        say(wire, "Hello?")
        await settle()
        assert read(fakes) == ["room for Ada"]
        assert len(fakes.requests) == 3


async def test_a_late_result_is_told_to_nobody_who_has_replaced_the_conversation() -> None:
    """The conversation has no call any more to which the result belongs."""
    fakes = Fakes()
    async with connected(clerk, fakes) as wire:
        await interrupted(fakes, wire, "book", [Text("Yes?")])
        await wire.result(wire.call("llm:set_context", messages=[{"role": "user", "content": "anew"}]))
        gate.opened.set()
        await settle()
        assert await results(wire) == []
        assert gate.done == ["Ada"]


async def test_a_late_result_stands_in_its_place_when_the_conversation_was_put_back_as_it_was() -> None:
    """Clients do this when they edit a conversation."""
    fakes = Fakes()
    async with connected(clerk, fakes) as wire:
        await interrupted(fakes, wire, "book", [Text("It is booked.")])
        messages = (await wire.result(wire.call("llm:get_context")))["messages"]
        await wire.result(wire.call("llm:set_context", messages=messages))
        gate.opened.set()
        await settle()
        assert await results(wire) == ["room for Ada"]


async def test_a_function_that_fails_late_is_reported_too() -> None:
    """The LLM reads the sentence of the `RequestError`."""
    fakes = Fakes()
    async with connected(clerk, fakes) as wire:
        await interrupted(fakes, wire, "give_up", [Text("Sorry.")])
        gate.opened.set()
        await settle()
        assert read(fakes) == ['{"error": "There is no room left."}']
        assert wire.data_of("llm-function-call-stopped")[0]["result"] == {"error": "There is no room left."}


@pytest.mark.parametrize("function", ["stumble", "mumble"])
async def test_a_function_that_fails_after_its_effect_may_have_had_it(function: str) -> None:
    """If an exception is not a `RequestError`, the LLM reads only that the function had started."""
    fakes = Fakes([ToolCall("1", function, {})], [Text("I do not know.")])
    async with connected(clerk, fakes) as wire:
        say(wire, "Book, please.")
        await settle()
        assert len(gate.done) == 1
        assert "may or may not have taken effect" in read(fakes)[0]


async def test_a_sentence_shows_no_key() -> None:
    """Neither the LLM nor the client reads it, even if an author quotes a vendor."""
    fakes = Fakes([ToolCall("1", "quote", {})], [Text("Sorry.")])
    async with connected(clerk, fakes) as wire:
        say(wire, "Book, please.")
        await settle()
        assert read(fakes) == ['{"error": "The vendor refuses …."}']
        assert wire.data_of("llm-function-call-stopped")[0]["result"] == {"error": "The vendor refuses …."}


async def test_an_id_of_any_length_is_shortened() -> None:
    """A longer id would be too long for the client."""
    fakes = Fakes([ToolCall("1" * 20_000_000, "give_up", {})], [Text("Sorry.")])
    async with connected(clerk, fakes) as wire:
        gate.opened.set()
        say(wire, "Book, please.")
        await settle()
        assert read(fakes) == ['{"error": "There is no room left."}']


async def test_a_function_that_was_never_begun_has_had_no_effect() -> None:
    """If the arguments are invalid, this is certain."""
    fakes = Fakes([ToolCall("1", "book", {"name": 5})], [Text("Again.")])
    async with connected(clerk, fakes) as wire:
        say(wire, "Book, please.")
        await settle()
        assert "expected a string" in read(fakes)[0]
        assert "may or may not" not in read(fakes)[0]


async def test_a_function_that_is_declared_so_is_cancelled_with_its_turn() -> None:
    """The LLM and the client are told that it was cancelled."""
    fakes = Fakes()
    async with connected(clerk, fakes) as wire:
        await interrupted(fakes, wire, "look_up")
        assert "was cancelled" in read(fakes)[0]
        assert wire.data_of("llm-function-call-stopped") == [
            {"tool_call_id": "1", "function_name": "look_up", "cancelled": True}
        ]
        gate.opened.set()
        await settle()
        assert (gate.done, len(fakes.requests)) == ([], 2)


async def test_a_function_that_ends_although_it_was_cancelled_has_its_result() -> None:
    """The real result replaces the text about the cancellation."""
    fakes = Fakes()
    async with connected(clerk, fakes) as wire:
        await interrupted(fakes, wire, "cling", [Text("Found.")])
        assert "was cancelled" in read(fakes)[0]
        gate.opened.set()
        await settle()
        assert await results(wire) == read(fakes) == ["held on"]
        (stopped,) = wire.data_of("llm-function-call-stopped")
        assert (stopped["cancelled"], stopped["result"]) == (False, "held on")


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a thread."""
    with anyio.fail_after(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what a thread does cannot be awaited
            await anyio.sleep(0.001)


async def test_the_thread_of_a_function_continues_and_its_result_is_read() -> None:
    """A thread cannot be stopped, so its result is awaited."""
    fakes = Fakes()
    async with connected(clerk, fakes) as wire:
        await interrupted(fakes, wire, "block", [Text("It is booked.")])
        assert "still running" in read(fakes)[0]
        gate.thread_opened.set()
        await until(lambda: len(fakes.requests) == 3)
        assert read(fakes) == ["done by a thread"]


async def test_a_thread_that_should_stop_and_cannot_may_have_had_its_effect() -> None:
    """Neither the LLM nor the client is told that it was cancelled."""
    fakes = Fakes()
    async with connected(clerk, fakes) as wire:
        await interrupted(fakes, wire, "block_briefly")
        assert "may or may not have taken effect" in read(fakes)[0]
        (stopped,) = wire.data_of("llm-function-call-stopped")
        assert stopped["cancelled"] is False
        assert "may or may not" in stopped["result"]["error"]


@pytest.mark.parametrize("function", ["book", "cling", "block"])
async def test_a_function_that_takes_too_long_may_have_had_its_effect(function: str) -> None:
    """The LLM reads this at the deadline, without waiting for the function."""
    fakes = Fakes([ToolCall("1", function, {})], [Text("I do not know.")])
    async with connected(clerk, fakes) as wire:
        say(wire, "Book, please.")
        await settle()
        wire.clock.advance(30.0)
        await settle()
        assert "may or may not have taken effect" in read(fakes)[0]
        (stopped,) = wire.data_of("llm-function-call-stopped")
        assert stopped["cancelled"] is False
        gate.thread_opened.set()
        gate.opened.set()


async def test_a_function_that_outlives_its_turn_has_its_deadline() -> None:
    """At the deadline, the report that it is running is replaced."""
    fakes = Fakes()
    async with connected(clerk, fakes) as wire:
        await interrupted(fakes, wire, "book", [Text("I do not know.")])
        wire.clock.advance(30.0)
        await settle()
        assert "may or may not have taken effect" in read(fakes)[0]
        assert (len(fakes.requests), gate.done) == (3, [])


async def test_a_clients_function_that_is_interrupted_may_have_had_its_effect() -> None:
    """The client may have run it already, although it is told that the call was cancelled."""
    fakes = Fakes()
    async with connected(clerk, fakes) as wire:
        await interrupted(fakes, wire, "look")
        assert "may or may not have taken effect" in read(fakes)[0]
        assert wire.data_of("llm-function-call-stopped")[0]["cancelled"] is True


async def test_a_booking_is_finished_although_the_caller_says_one_word_more() -> None:
    """The same for a spoken conversation."""
    fakes = Fakes([ToolCall("1", "book_room", {})], [Text("One moment.")], [Text("It is booked.")])
    async with connected(talker, fakes, audio=RATE) as wire:
        await speak(wire, 5, 0.5)
        await silence(wire, 0.8)
        await speak(wire, 4, 0.4)
        await silence(wire, 3.0)
        assert "still running" in read(fakes)[0]
        gate.opened.set()
        await silence(wire, 3.0)
        assert gate.done == ["Ada"]
        assert read(fakes) == ["room for Ada"]
        assert [each["text"] for each in wire.data_of("bot-output") if each["spoken_status"] == "completed"] == [
            *["One moment.", "It is booked."]
        ]


async def test_a_sentence_of_any_length_ends_a_call() -> None:
    """An author may quote a vendor."""
    fakes = Fakes([ToolCall("1", "rant", {})], [Text("Sorry.")])
    async with connected(clerk, fakes) as wire:
        say(wire, "Book, please.")
        await settle()
        assert 1000 < len(read(fakes)[0]) < 3000
        assert len(wire.data_of("llm-function-call-stopped")) == 1


@pytest.mark.parametrize(("job", "uncertain"), [("grind", True), ("wait_for_gate", False)])
async def test_a_job_in_a_thread_that_is_cancelled_may_have_had_its_effect(job: str, uncertain: bool) -> None:
    """The thread continues. An `async def` action ends."""
    fakes = Fakes()
    async with connected(clerk, fakes) as wire:
        started = await wire.result(wire.call(f"bot:{job}"))
        await settle()
        await wire.result(wire.call("bot:cancel_job", job=started["job"]))
        await settle()
        (end,) = wire.data_of("server-message")
        assert end["status"] == "cancelled"
        assert ("may or may not have taken effect" in end.get("error", "")) is uncertain


async def test_the_end_of_a_session_ends_what_outlives_its_turn() -> None:
    """No task and no thread is left."""
    fakes = Fakes()
    async with connected(clerk, fakes) as wire:
        await interrupted(fakes, wire, "book")
    assert gate.done == []
