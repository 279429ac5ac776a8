"""A spoken conversation continues after its connection or its process was lost."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import pytest

from rtvi_plugins import Session, bot
from rtvi_plugins.hosting import Host, ManualClock
from rtvi_plugins.kinds import Text
from rtvi_plugins.resuming import MemoryStore
from rtvi_plugins.session import Input, RunLLM, Say, Secret, UserText
from rtvi_plugins.voice import TurnTaking, UserTurn

from ..fakes.providers import NOISE, RATE, WAIT, Fakes, samples
from ..fakes.visitor import Visitor, visitor
from ..fakes.wire import OPERATOR, settle

pytestmark = pytest.mark.anyio


async def advance(clock: ManualClock, seconds: float) -> None:
    """Move the clock in frames."""
    for _ in range(round(seconds / 0.02)):
        clock.advance(0.02)
        await settle()


async def speak(client: Visitor, clock: ManualClock, line: int, seconds: float) -> None:
    """Say a line, or nothing."""
    for _ in range(round(seconds / 0.02)):
        client.connection.receive_audio(samples(line, 0.02))
        clock.advance(0.02)
        await settle()


def contents(client: Visitor) -> list[object]:
    """Return the content of each message in the context of the client's session."""
    return [each["content"] for each in client.connection.session.context.messages]


def host(store: MemoryStore, fakes: Fakes, clock: ManualClock) -> Host:
    """A host with a bot that speaks."""
    return Host(fakes.talker(), modules=[fakes], clock=clock, environ={}, operator_secret=Secret(OPERATOR), store=store)


@asynccontextmanager
async def visited(first: Fakes, second: Fakes, clock: ManualClock) -> AsyncGenerator[tuple[Host, Host, Visitor]]:
    """Two processes with one store, and a client."""
    store = MemoryStore()
    async with host(store, first, clock) as one, host(store, second, clock) as other, visitor(rate=RATE) as client:
        yield one, other, client


async def test_an_answer_that_nobody_could_hear_is_given_again() -> None:
    """The bot stops when the connection is lost. It knows what was heard, and answers again afterwards."""
    clock, fakes = ManualClock(), Fakes([Text("This is a rather long answer.")], [Text("As I said.")])
    async with host(MemoryStore(), fakes, clock) as one, visitor(rate=RATE) as client:
        await client.start(one)
        client.send("send-text", {"content": "Well?"})
        await settle()
        await advance(clock, 0.6)
        client.lose()
        await advance(clock, 5)
        before, heard = len(client.audio), list(fakes.requests)
        assert len(heard) == 1
        await client.resume(one)
        await advance(clock, 2)
        assert len(client.audio) > before
        assert [each["content"] for each in fakes.requests[1].messages[-2:]] == ["Well?", "This is a"]
        assert "bot-interrupted" in client.types()
        assert client.text() == "This is a rather long answer.As I said."


@pytest.mark.parametrize("interruptible", [False, True])
@pytest.mark.parametrize("moves", [False, True])
async def test_a_text_that_nobody_could_hear_is_said_again(interruptible: bool, moves: bool) -> None:
    """This is also true of a text that the user cannot interrupt. Texts that wait follow it. The LLM is not asked."""
    clock, fakes = ManualClock(), Fakes()
    async with visited(fakes, fakes, clock) as (one, other, client):
        await client.start(one)
        client.connection.session.submit(Say("This call is recorded.", interruptible=interruptible))
        client.connection.session.submit(Say("Good day."))
        await advance(clock, 0.6)
        client.lose()
        await advance(clock, 3)
        await client.resume(other if moves else one)
        await advance(clock, 5)
        assert contents(client) == ["This call", "This call is recorded.", "Good day."]
        assert fakes.requests == []


@pytest.mark.parametrize("moves", [False, True])
async def test_an_answer_in_text_is_given_again_in_text(moves: bool) -> None:
    """The client has asked for one without audio."""
    clock, fakes = ManualClock(), Fakes([Text("It is"), WAIT], [Text("It is noon now.")])
    async with visited(fakes, fakes, clock) as (one, other, client):
        await client.start(one)
        client.send("send-text", {"content": "Well?", "options": {"audio_response": False}})
        await advance(clock, 0.6)
        client.lose()
        await advance(clock, 3)
        await client.resume(other if moves else one)
        await advance(clock, 2)
        assert len(fakes.requests) == 2
        assert fakes.texts == []


async def test_an_answer_begins_when_the_client_is_back_to_hear_it() -> None:
    """The connection is lost right after the question, when the user could not hear an answer."""
    clock, fakes = ManualClock(), Fakes([Text("It is noon now.")])
    async with host(MemoryStore(), fakes, clock) as one, visitor(rate=RATE) as client:
        await client.start(one)
        await speak(client, clock, 2, 0.5)
        client.lose()
        await advance(clock, 3)
        assert fakes.requests == []
        await client.resume(one)
        await advance(clock, 2)
        assert contents(client) == ["what time is it", "It is noon now."]
        assert any(any(each.data) for each in client.audio)
        assert len(fakes.requests) == 1


async def test_a_question_that_came_while_the_client_was_away_is_answered_once() -> None:
    """The lost connection has interrupted one answer, and the next question waits."""
    clock, fakes = ManualClock(), Fakes([Text("This is a rather long answer.")], [Text("Yes.")])
    async with host(MemoryStore(), fakes, clock) as one, visitor(rate=RATE) as client:
        await client.start(one)
        client.send("send-text", {"content": "Well?"})
        await advance(clock, 0.6)
        client.lose()
        client.connection.session.submit(UserText("Really?"))
        await advance(clock, 3)
        assert len(fakes.requests) == 1
        await client.resume(one)
        await advance(clock, 3)
        assert contents(client) == ["Well?", "This is a", "Really?", "Yes."]
        assert len(fakes.requests) == 2


async def test_turns_that_wait_for_the_client_follow_each_other() -> None:
    """A task of the bot holds a turn of its own, and the conversation is to say a text."""
    clock, fakes = ManualClock(), Fakes()
    async with host(MemoryStore(), fakes, clock) as one, visitor(rate=RATE) as client:
        await client.start(one)
        client.lose()
        session = client.connection.session
        held: list[str] = []

        async def hold() -> None:
            async with session.turn():
                held.append("begun")
                await settle()
                held.append("ended")

        session.submit(Say("Good day."))
        for _ in range(2):
            session.start_soon(hold)
        await advance(clock, 1)
        assert held == []
        await client.resume(one)
        await advance(clock, 3)
        assert held == ["begun", "ended"] * 2
        assert [each["content"] for each in session.context.messages] == ["Good day."]
        assert not session.closing


async def test_an_answer_is_given_again_by_a_loop_that_is_slow_to_go_on() -> None:
    """The client is back before the loop asks for its next input."""
    taken: list[Input] = []
    go_on = anyio.Event()

    @bot(public=True)
    async def slow(session: Session, /) -> None:
        """Holds one turn for each input."""
        async for each in session.inputs():
            taken.append(each)
            async with session.turn():
                await anyio.sleep_forever()
            await go_on.wait()

    async with (
        Host(slow, environ={}, operator_secret=Secret(OPERATOR), store=MemoryStore()) as one,
        visitor(rate=RATE) as client,
    ):
        await client.start(one)
        client.send("send-text", {"content": "Well?"})
        await settle()
        client.lose()
        await settle()
        await client.resume(one)
        go_on.set()
        await settle()
        assert taken == [UserText("Well?"), RunLLM()]


async def test_another_process_answers_again() -> None:
    """The first process has noticed that the connection was lost, and has stopped its answer."""
    clock = ManualClock()
    first, second = Fakes([Text("This is a rather long answer.")]), Fakes([Text("As I said.")])
    async with visited(first, second, clock) as (one, other, client):
        await client.start(one)
        client.send("send-text", {"content": "Well?"})
        await settle()
        await advance(clock, 0.6)
        client.lose()
        await advance(clock, 5)
        await client.resume(other)
        await advance(clock, 2)
        assert contents(client) == ["Well?", "This is a", "As I said."]


async def test_a_client_may_go_to_another_process_and_back() -> None:
    """The first process does not know yet that it has lost the session."""
    clock, fakes = ManualClock(), Fakes([Text("Yes.")])
    async with visited(fakes, fakes, clock) as (one, other, client):
        await client.start(one)
        client.lose()
        await client.resume(other)
        client.lose()
        await client.resume(one)
        client.send("send-text", {"content": "Well?"})
        await advance(clock, 1)
        assert client.text() == "Yes."


@pytest.mark.parametrize("moves", [False, True])
async def test_a_question_that_was_cut_short_is_asked_again(moves: bool) -> None:
    """The user is heard again at once, in the same process or in another one."""
    clock = ManualClock()
    first, second = Fakes([Text("Yes.")], [Text("Yes.")]), Fakes([Text("Yes.")])
    async with visited(first, second, clock) as (one, other, client):
        await client.start(one)
        await speak(client, clock, 2, 0.5)  # and the connection is lost in the middle
        if moves:
            await client.resume(other)
        else:
            client.lose()
            await advance(clock, 3)
            await client.resume(one)
        await speak(client, clock, 0, 1.0)
        await speak(client, clock, 1, 0.6)
        await speak(client, clock, 0, 2.0)
        await advance(clock, 2)
        questions = [each["data"]["text"] for each in client.events if each["type"] == "user-llm-text"]
        assert questions[-1].endswith("hello there")
        assert client.text().endswith("Yes.")
        assert any(any(each.data) for each in client.audio)


async def hesitate(turn: UserTurn) -> float:
    """Wait for more words for a long time."""
    return 3.0


async def test_another_process_answers_what_the_user_had_said_before_a_pause() -> None:
    """The bot was still waiting for more words. The user says them afterwards, or nothing."""
    clock = ManualClock()
    first, second = Fakes(taking=TurnTaking(end_of_turn=hesitate)), Fakes([Text("It is noon now.")])
    async with visited(first, second, clock) as (one, other, client):
        await client.start(one)
        await speak(client, clock, 2, 0.5)
        await speak(client, clock, 0, 1.0)
        assert first.requests == []
        await client.resume(other)
        await advance(clock, 2)
        assert contents(client) == ["what time is it", "It is noon now."]


async def test_another_process_has_a_text_that_waited() -> None:
    """Nothing was sent to the client since, and the next answer was not asked for."""
    clock = ManualClock()
    first, second = Fakes([WAIT]), Fakes([Text("Yes.")])
    async with visited(first, second, clock) as (one, other, client):
        await client.start(one)
        client.send("send-text", {"content": "Hello?"})
        await settle()
        client.send("append-to-context", {"role": "user", "content": "It is me."})
        await settle()
        await client.resume(other)
        await advance(clock, 1)
        assert contents(client) == ["Hello?", "Yes.", "It is me."]


async def test_another_process_gives_an_answer_that_was_held_back() -> None:
    """The user made a noise before the answer was heard."""
    clock = ManualClock()
    first, second = Fakes([WAIT]), Fakes([Text("It is noon now.")])
    async with visited(first, second, clock) as (one, other, client):
        await client.start(one)
        await speak(client, clock, 2, 0.5)
        await speak(client, clock, 0, 1.0)
        await speak(client, clock, NOISE, 0.5)
        assert first.ended["llm"] == 1
        await client.resume(other)
        await advance(clock, 2)
        assert contents(client) == ["what time is it", "It is noon now."]


async def test_a_planned_end_keeps_the_words_that_might_still_have_changed() -> None:
    """The user's next words are in another utterance."""
    clock, store = ManualClock(), MemoryStore()
    store.durable = True
    first, second = Fakes(), Fakes([Text("Yes?")])
    async with host(store, first, clock) as one, host(store, second, clock) as other, visitor(rate=RATE) as client:
        await client.start(one)
        await speak(client, clock, 2, 0.5)
        one.end_sessions()
        await settle()
        await client.resume(other)
        await advance(clock, 2)
        assert contents(client) == ["what", "Yes?"]


async def test_another_process_speaks_the_answer_from_its_beginning() -> None:
    """Audio in transit is lost with the process."""
    clock = ManualClock()
    first, second = Fakes([Text("It is noon now.")]), Fakes([Text("It is noon now.")])
    async with visited(first, second, clock) as (one, other, client):
        await client.start(one)
        client.send("send-text", {"content": "What time is it?"})
        await settle()
        await advance(clock, 0.3)
        await client.resume(other)
        await advance(clock, 3)
        assert [each["content"] for each in second.requests[0].messages] == ["What time is it?"]
        assert contents(client) == ["What time is it?", "It is noon now."]


async def test_a_client_may_come_back_without_audio() -> None:
    """It gets only texts, although the session still has its audio."""
    clock, fakes = ManualClock(), Fakes([Text("One.")], [Text("Two.")])
    async with host(MemoryStore(), fakes, clock) as one, visitor(rate=RATE) as client:
        await client.start(one)
        client.send("send-text", {"content": "a"})
        await advance(clock, 2)
        client.rate = None
        client.lose()
        await client.resume(one)
        before = len(client.audio)
        client.send("send-text", {"content": "b"})
        await advance(clock, 2)
        assert client.text() == "One.Two."
        assert len(client.audio) == before


async def test_a_client_may_come_back_with_audio_of_another_rate() -> None:
    """The transport may be another one. The bot's audio has the rate of the present connection, and is complete."""
    clock, fakes = ManualClock(), Fakes([Text("One.")], [Text("One.")])
    async with host(MemoryStore(), fakes, clock) as one, visitor(rate=RATE) as client:
        await client.start(one)
        client.send("send-text", {"content": "a"})
        await advance(clock, 2)
        before = list(client.audio)
        client.rate = 2 * RATE
        client.lose()
        await client.resume(one)
        client.send("send-text", {"content": "b"})
        await advance(clock, 2)
        after = client.audio[len(before) :]
        assert {each.rate for each in before} == {RATE}
        assert {each.rate for each in after} == {2 * RATE}
        assert sum(each.seconds for each in after) == pytest.approx(sum(each.seconds for each in before))
