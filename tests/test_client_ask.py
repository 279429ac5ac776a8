"""`Client.ask`: the bot's answer to one text, as a whole or in pieces, from our bots and from other servers."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import anyio
import pytest

from rtvi_plugins import LLM, Session, action, bot, converse
from rtvi_plugins.client import AnswerInterrupted, BotAnswer, Client, NoAnswer, answers
from rtvi_plugins.errors import ContextFull, NoConversation, RequestError, SessionClosed
from rtvi_plugins.hosting import Limits
from rtvi_plugins.kinds import Text, ToolCall
from rtvi_plugins.session import Persona, Say
from rtvi_plugins.testing import connect

from .fakes.providers import WAIT, Fakes
from .runtime.test_function_calls import clerk
from .test_client import Peer, meeting, outcome

pytestmark = pytest.mark.anyio


@bot(services={"llm": "scripted"}, public=True)
async def greeter(session: Session, /, llm: LLM) -> None:
    """A bot that greets and answers."""
    await converse(session, llm=llm, greeting=Say("Good day. Who is there?", interruptible=False))


@bot(public=True)
async def silent(session: Session, /) -> None:
    """A bot without a conversation."""


@bot(services={"llm": "scripted"}, functions=["bot:transfer"], public=True)
async def exchange(session: Session, /, llm: LLM) -> None:
    """A bot with several personas."""
    await converse(session, llm=llm)


@action(exchange)
async def transfer(session: Session, /, greeting: str = "") -> str:
    """Hand over to another persona."""
    await session.hand_over(Persona("You are the cook.", greeting=greeting))
    return "The cook takes over."


# ---- our bots ------------------------------------------------------------------------------------------------------


async def test_the_answer_is_the_text_of_one_turn() -> None:
    """It does not contain the greeting, and each question has its own answer."""
    fakes = Fakes([Text("I am "), Text("Vera.")], [Text("Fine.")])
    async with connect(greeter, fakes) as client:
        assert await client.ask("Who are you?") == "I am Vera."
        assert await client.ask("And how are you?") == "Fine."


@pytest.mark.parametrize("version", ["0.3.0", "2", "2.1.0-beta"])
async def test_an_answer_ends_for_clients_of_all_versions(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bots send the end of a turn to clients from 1.0 on. An unreadable version counts as 0.3."""
    monkeypatch.setattr(answers, "QUIET", 0.02)
    async with connect(greeter, Fakes([Text("I am "), Text("Vera.")]), version=version) as client:
        assert await client.ask("Who are you?", timeout=2.0) == "I am Vera."


async def test_the_pieces_come_as_the_bot_sends_them() -> None:
    """Afterwards, the whole text can be read."""
    fakes = Fakes([Text("One, "), Text("two.")])
    async with connect(greeter, fakes) as client:
        answer = client.ask("Count.")
        assert await anext(answer) == "One, "
        assert [piece async for piece in answer] == ["two."]
        assert (answer.text, await answer) == ("One, two.", "One, two.")


async def test_an_answer_continues_after_a_function() -> None:
    """The texts before and after the function are one answer, with a space between them."""
    fakes = Fakes([Text("One moment."), ToolCall("1", "book", {"nights": 2})], [Text("Done.")])
    async with connect(clerk, fakes) as client:
        assert await client.ask("Book.") == "One moment. Done."


@pytest.mark.parametrize("before", ["", "One moment."])
async def test_an_answer_continues_with_the_persona_that_takes_over(before: str) -> None:
    """This is its LLM's text, or its greeting. The next question has its own answer."""
    said = [Text(before)] if before else []
    fakes = Fakes(
        [*said, ToolCall("1", "transfer", {})],
        [Text("Kitchen, good day.")],
        [*said, ToolCall("2", "transfer", {"greeting": "Otto here. Hello."})],
        [Text("Fine.")],
    )
    async with connect(exchange, fakes) as client:
        assert await client.ask("The kitchen, please.") == f"{before} Kitchen, good day.".strip()
        assert await client.ask("And Otto?") == f"{before} Otto here. Hello.".strip()
        assert await client.ask("How are you?") == "Fine."


async def test_an_answer_ends_if_another_text_is_answered_in_place_of_the_persona() -> None:
    """The user has written before the persona said anything."""
    results: list[Any] = []
    async with meeting(library="rtvi_plugins") as (client, peer), anyio.create_task_group() as tasks:
        tasks.start_soon(asked, client, results)
        await begin(peer)
        await peer.say("bot-llm-text", {"text": "One moment."})
        await peer.say("bot-turn-ended", {"interrupted": False, "handed_over": True})
        await peer.say("user-llm-text", {"text": "Wait"})
        await peer.say("bot-llm-text", {"text": "Yes?"})
        await peer.say("bot-turn-ended", {"interrupted": False})
    assert results == ["One moment."]


async def test_an_interruption_is_raised_with_the_text_so_far() -> None:
    """The text that interrupted gets a complete answer."""
    results: list[Any] = []
    fakes = Fakes([Text("Once upon"), WAIT], [Text("Good bye.")])
    async with connect(greeter, fakes) as client, anyio.create_task_group() as tasks:
        story = client.ask("A story!")
        assert await anext(story) == "Once upon"
        tasks.start_soon(outcome, story, results)
        assert await client.ask("Stop.") == "Good bye."
    assert type(results[0]) is AnswerInterrupted
    assert (results[0].text, results[0].code) == ("Once upon", "answer-interrupted")


async def test_a_provider_that_fails_raises_its_error() -> None:
    """The bot's apology is a turn of its own."""
    fakes = Fakes([RuntimeError("out of order")], [Text("Fine.")])
    async with connect(greeter, fakes) as client:
        with pytest.raises(RequestError) as failed:
            await client.ask("Who are you?")
        assert failed.value.code == "provider-failed"
        assert await client.ask("And now?") == "Fine."


async def test_a_refusal_is_raised() -> None:
    """The error is raised at once: the bot has no conversation, or accepts no more input."""
    async with connect(silent) as client:
        with pytest.raises(NoConversation):
            await client.ask("Hello?")
    async with connect(greeter, Fakes(), limits=Limits(context_size=10)) as client:
        with pytest.raises(ContextFull):
            await client.ask("Hello?")


async def test_the_end_of_the_connection_is_raised() -> None:
    """A later call of `ask` raises it too."""
    fakes = Fakes([Text("Good"), WAIT])
    async with connect(greeter, fakes) as client:
        answer = client.ask("Who are you?")
        assert await anext(answer) == "Good"
        await client.disconnect_bot()
        with pytest.raises(SessionClosed):
            await anext(answer)
        with pytest.raises(SessionClosed):
            await client.ask("Are you there?")


# ---- any server ----------------------------------------------------------------------------------------------------


async def begin(peer: Peer, text: str = "Hello") -> str:
    """Receive a text, and begin the turn that answers it. Return the id of the text."""
    message = await peer.heard("send-text")
    assert message["data"]["content"] == text
    await peer.say("user-llm-text", {"text": text})
    await peer.say("bot-llm-started")
    id: str = message["id"]
    return id


async def asked(client: Client, results: list[Any], text: str = "Hello", timeout: float = 60.0) -> None:
    """Ask, and keep the result."""
    await outcome(client.ask(text, timeout=timeout), results)


async def test_without_the_end_of_the_turn_an_answer_ends_when_nothing_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """For another server, the answer does not end while a function runs, although the LLM is idle."""
    monkeypatch.setattr(answers, "QUIET", 0.02)
    results: list[Any] = []
    async with meeting() as (client, peer), anyio.create_task_group() as tasks:
        tasks.start_soon(asked, client, results)
        await peer.heard("send-text")
        for type, data in (
            ("bot-llm-started", None),
            ("bot-llm-text", {"text": "One moment."}),
            ("llm-function-call-started", {"function_name": "look"}),
            ("bot-llm-stopped", None),
        ):
            await peer.say(type, data)
        with anyio.move_on_after(0.1):
            await anyio.sleep_forever()
        assert results == []
        await peer.say("llm-function-call-stopped", {})
        await peer.say("bot-llm-started")
        await peer.say("bot-llm-text", {"text": "Done."})
        await peer.say("bot-llm-stopped")
    assert results == ["One moment. Done."]


async def test_an_interruption_of_another_server_is_raised() -> None:
    """Such a server gives no other sign of it."""
    results: list[Any] = []
    async with meeting() as (client, peer), anyio.create_task_group() as tasks:
        tasks.start_soon(asked, client, results)
        await begin(peer)
        await peer.say("bot-interrupted")
    assert type(results[0]) is AnswerInterrupted


async def test_the_sentences_of_a_bot_without_an_llm_are_the_answer() -> None:
    """Such a bot sends no pieces of an LLM."""
    results: list[Any] = []
    async with meeting(library="rtvi_plugins") as (client, peer), anyio.create_task_group() as tasks:
        tasks.start_soon(asked, client, results)
        await begin(peer)
        for sentence in ("Hello.", "Who is there?"):
            await peer.say("bot-transcription", {"text": sentence})
        await peer.say("bot-turn-ended", {"interrupted": False})
    assert results == ["Hello. Who is there?"]


async def test_a_bot_that_says_nothing_is_an_error_in_the_callers_time() -> None:
    """Each message of the bot starts the time again."""
    results: list[Any] = []
    async with meeting() as (client, peer), anyio.create_task_group() as tasks:
        tasks.start_soon(asked, client, results, "Hello", 0.01)
        await begin(peer)
    assert type(results[0]) is NoAnswer


async def test_the_same_text_twice_has_two_answers() -> None:
    """A turn answers one of the two texts."""
    results: list[Any] = []
    async with meeting(library="rtvi_plugins") as (client, peer), anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(asked, client, results)
        await peer.heard("send-text")
        for text in ("First.", "Second."):
            if text == "First.":
                await begin(peer)
            else:
                await peer.say("user-llm-text", {"text": "Hello"})
            await peer.say("bot-llm-text", {"text": text})
            await peer.say("bot-turn-ended", {"interrupted": False})
    assert results == ["First.", "Second."]


@pytest.mark.parametrize("data", [None, 5, "x", [], {"text": 5}])
async def test_an_invalid_event_does_not_disturb_the_answer(data: Any) -> None:
    """Data of another form is dropped."""
    results: list[Any] = []
    async with meeting(library="rtvi_plugins") as (client, peer), anyio.create_task_group() as tasks:
        tasks.start_soon(asked, client, results)
        await begin(peer)
        for type in ("bot-llm-started", "bot-transcription", "user-llm-text"):
            await peer.say(type, data)
        await peer.say("bot-llm-text", {"text": "Hi."})
        await peer.say("bot-turn-ended", data)
    assert results == ["Hi."]


async def test_an_answer_that_nobody_waits_for_is_forgotten() -> None:
    """A caller may leave the loop after the first piece."""
    async with meeting(library="rtvi_plugins") as (client, peer):
        answer: BotAnswer | None = client.ask("Hello")
        assert answer is not None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(begin, peer)
            tasks.start_soon(peer.say, "bot-llm-text", {"text": "too early"})
            tasks.start_soon(_first, answer)
            await anyio.wait_all_tasks_blocked()
            await peer.say("bot-llm-text", {"text": "Hi"})
        forgotten = weakref.ref(answer)
        answer = None
        gc.collect()
        assert forgotten() is None


async def _first(answer: BotAnswer) -> None:
    async for piece in answer:
        assert piece == "Hi"
        break
