"""The parts of a conversation loop of your own: inputs, turns and function calls, without `converse`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from rtvi_plugins import LLM, Session, bot
from rtvi_plugins.errors import FunctionCallFailed, NoConversation
from rtvi_plugins.hosting import Limits
from rtvi_plugins.session import Input, RunLLM, Say, UserText

from ..fakes.providers import Fakes
from ..fakes.wire import Wire, connected, settle

pytestmark = pytest.mark.anyio

#: What the bot of the present test does.
Loop = Callable[[Session, LLM], Awaitable[None]]
loops: list[Loop] = []


@bot(
    services={"llm": ["scripted", "other"]},
    client="llm:run llm:append_to_messages llm.provider llm.messages".split(),
    public=True,
)
async def looping(session: Session, /, llm: LLM) -> None:
    """A bot that does what the test says."""
    await loops[0](session, llm)


def running(loop: Loop, **how: Any) -> Any:
    """A session with a bot that does this."""
    loops[:] = [loop]
    fakes = Fakes()
    return connected(looping, fakes, **how)


def say(wire: Wire, text: str, run: bool = True) -> str:
    """Send text of the user."""
    return wire.send("send-text", {"content": text, "options": {"run_immediately": run}})


# ---- inputs --------------------------------------------------------------------------------------------------------


async def test_inputs_come_in_order_and_a_loop_over_them_may_be_left() -> None:
    """Another loop continues where the first one stopped."""
    heard: list[Input] = []

    async def twice(session: Session, llm: LLM) -> None:
        async for each in session.inputs():
            heard.append(each)
            break
        async for each in session.inputs():
            await anyio.lowlevel.checkpoint()
            heard.append(each)

    async with running(twice) as wire:
        say(wire, "one")
        await settle()
        await wire.result(wire.call("llm:run"))
        say(wire, "two", run=False)
        await settle()
        assert heard == [UserText("one"), RunLLM(), UserText("two", run=False)]


NOTICE = Say("b", interruptible=False)


@pytest.mark.parametrize(
    ("waiting", "taken"),
    [
        ([RunLLM(), RunLLM()], [RunLLM()]),
        ([RunLLM(), RunLLM(speak=False)], [RunLLM(), RunLLM(speak=False)]),
        ([UserText("a"), RunLLM()], [UserText("a")]),
        ([UserText("a", run=False), RunLLM()], [UserText("a", run=False), RunLLM()]),
        ([RunLLM(), Say("b"), RunLLM()], [RunLLM(), Say("b"), RunLLM()]),
        ([RunLLM(), Say("b"), UserText("a", run=False)], [RunLLM(), Say("b"), UserText("a", run=False)]),
        ([RunLLM(), UserText("a"), UserText("b")], [UserText("a", run=False), UserText("b")]),
        ([RunLLM(), UserText("a", run=False), RunLLM()], [RunLLM(), UserText("a", run=False), RunLLM()]),
        ([RunLLM(), UserText("a", speak=False)], [RunLLM(), UserText("a", speak=False)]),
        ([RunLLM(), NOTICE, UserText("a")], [RunLLM(), NOTICE, UserText("a")]),
    ],
)
async def test_requests_for_an_answer_that_wait_together_get_one(waiting: list[Input], taken: list[Input]) -> None:
    """The LLM reads everything before it answers. A silent and a spoken one are two, as are those around a `Say`."""
    heard: list[Input] = []
    go_on = anyio.Event()

    async def slowly(session: Session, llm: LLM) -> None:
        await go_on.wait()
        async for each in session.inputs():
            await anyio.lowlevel.checkpoint()
            heard.append(each)

    async with running(slowly) as wire:
        for each in waiting:
            wire.connection.session.submit(each)
        go_on.set()
        await settle()
        assert heard == taken


@pytest.mark.parametrize("between", [[], [UserText("zero", run=False)]])
async def test_who_waits_for_an_answer_waits_for_the_one_that_replaces_it(between: list[Input]) -> None:
    """`spoken` returns when the text that came later has its answer."""
    spoken: list[bool] = []
    over: dict[type[Input], anyio.Event] = {Say: anyio.Event(), UserText: anyio.Event()}

    async def slowly(session: Session, llm: LLM) -> None:
        async for each in session.inputs():
            if isinstance(each, UserText) and not each.run:
                continue
            async with session.turn(interruptible=False):
                await over[type(each)].wait()

    async def wait(session: Session) -> None:
        spoken.append(await session.spoken())

    async with running(slowly) as wire:
        session = wire.connection.session
        session.submit(Say("A notice."))
        session.submit(RunLLM())
        session.start_soon(wait, session)
        await settle()
        for each in between:
            session.submit(each)
        say(wire, "one")
        over[Say].set()
        await settle()
        assert spoken == []
        over[UserText].set()
        await settle()
        assert spoken == [True]


async def test_a_bot_that_has_returned_listens_no_more() -> None:
    """The error tells the caller, and the session continues."""

    async def at_once(session: Session, llm: LLM) -> None:
        """A bot without a conversation."""

    async with running(at_once) as wire:
        assert (await wire.error(say(wire, "hi")))["code"] == "no-conversation"
        assert (await wire.error(wire.call("llm:run")))["code"] == "no-conversation"
        with pytest.raises(NoConversation):
            wire.connection.session.submit(Say("hello"))
        await wire.connection.idle()


async def test_inputs_that_nobody_reads_are_bounded() -> None:
    """One input too many is refused, and may be sent again later."""

    async def never(session: Session, llm: LLM) -> None:
        await anyio.sleep_forever()

    async with running(never, limits=Limits(in_flight=2)) as wire:
        ids = [say(wire, "hi") for _ in range(3)]
        assert (await wire.error(ids[2]))["code"] == "busy"
        assert wire.answers(ids[0]) == wire.answers(ids[1]) == []


async def test_idle_waits_until_nothing_is_being_said_or_waits() -> None:
    """Tests and consoles use it."""
    go_on = anyio.Event()
    done: list[str] = []

    async def one_by_one(session: Session, llm: LLM) -> None:
        async for _ in session.inputs():
            async with session.turn():
                await go_on.wait()
                done.append("turn")

    async with running(one_by_one) as wire:
        wire.connection.session.submit(Say("one"))
        wire.connection.session.submit(Say("two"))
        async with anyio.create_task_group() as tasks:

            async def wait() -> None:
                await wire.connection.idle()
                done.append("idle")

            tasks.start_soon(wait)
            await settle()
            assert done == []
            go_on.set()
        assert done == ["turn", "turn", "idle"]


# ---- turns ---------------------------------------------------------------------------------------------------------


async def test_an_interruption_ends_the_turn_and_not_the_loop() -> None:
    """The turn has the flag, and the client is told once. Between turns, there is nothing to interrupt."""
    turns: list[tuple[int, bool]] = []

    async def held(session: Session, llm: LLM) -> None:
        async for _ in session.inputs():
            async with session.turn() as turn:
                await anyio.sleep_forever()
            turns.append((turn.number, turn.interrupted))

    async with running(held) as wire:
        for _ in range(2):
            assert wire.connection.session.interrupt() is False
            say(wire, "hi")
            await settle()
            assert wire.connection.session.interrupt() is True
            assert wire.connection.session.interrupt() is False
            await settle()
        assert turns == [(1, True), (2, True)]
        assert len(wire.data_of("bot-interrupted")) == 2


async def test_a_session_holds_one_turn_at_a_time() -> None:
    """A turn within a turn is a mistake of the author."""
    found: list[BaseException] = []

    async def nested(session: Session, llm: LLM) -> None:
        async with session.turn():
            with pytest.raises(RuntimeError, match="one turn at a time") as raised:
                async with session.turn():
                    pass
            found.append(raised.value)

    async with running(nested):
        await settle()
        assert len(found) == 1


async def test_a_turn_sees_its_own_words_and_not_what_came_later() -> None:
    """Messages that came later are after the turn's own. The next turn sees both."""
    seen: list[list[Any]] = []
    go_on = anyio.Event()

    async def two(session: Session, llm: LLM) -> None:
        async for _ in session.inputs():
            async with session.turn() as turn:
                turn.remember({"role": "assistant", "content": "own"})
                await go_on.wait()
                seen.append([each["content"] for each in turn.messages])

    async with running(two) as wire:
        wire.connection.session.submit(RunLLM())
        await settle()
        said = [{"role": "user", "content": "later"}]
        await wire.result(wire.call("llm:append_to_messages", messages=said))
        go_on.set()
        wire.connection.session.submit(RunLLM())
        await settle()
        assert seen == [["own"], ["own", "later", "own"]]


async def test_a_turn_keeps_its_services_and_changes_wait_for_its_edge() -> None:
    """Within a turn, a handle forwards to the service of the turn's beginning; outside, to the present service."""
    names: list[str] = []
    go_on = anyio.Event()

    async def naming(session: Session, llm: LLM) -> None:
        named: Any = llm
        async for _ in session.inputs():
            async with session.turn():
                await go_on.wait()
                names.append(named.name)
            names.append(named.name)

    async with running(naming) as wire:
        wire.connection.session.submit(RunLLM())
        await settle()
        anew = {"messages": [{"role": "system", "content": "anew"}], "provider": "other"}
        assert (await wire.answer(wire.update(llm=anew)))["data"]["applies"] == "next-turn"
        assert wire.connection.session.context.messages == ()
        go_on.set()
        await settle()
        assert names == ["scripted", "other"]
        assert [each["content"] for each in wire.connection.session.context.messages] == ["anew"]


# ---- function calls ------------------------------------------------------------------------------------------------


async def test_a_function_call_returns_what_the_client_answers() -> None:
    """The result is any JSON value. Without an id from the caller, each call gets a new one."""
    results: list[Any] = []

    async def asking(session: Session, llm: LLM) -> None:
        async with anyio.create_task_group() as tasks:
            for at in range(3):

                async def ask(at: int = at) -> None:
                    results.append(await session.call_function("look", {"at": at}))

                tasks.start_soon(ask)

    async with running(asking) as wire:
        await settle()
        asked = {
            each["arguments"]["at"]: each["tool_call_id"] for each in wire.data_of("llm-function-call-in-progress")
        }
        assert len(set(asked.values())) == 3
        for at, result in ((2, None), (0, [1, True]), (1, "text")):
            wire.send("llm-function-call-result", {"tool_call_id": asked[at], "result": result})
            await settle()
        assert results == [None, [1, True], "text"]


async def test_a_function_call_that_is_not_answered_fails() -> None:
    """It fails at its deadline, and the client is told that it is over."""
    failures: list[str] = []

    async def asking(session: Session, llm: LLM) -> None:
        with pytest.raises(FunctionCallFailed) as raised:
            await session.call_function("look", {}, id="a")
        failures.append(str(raised.value))

    async with running(asking, limits=Limits(function_seconds=5.0)) as wire:
        wire.clock.advance(4.9)
        await settle()
        assert failures == []
        wire.clock.advance(0.2)
        await settle()
        (failed,) = failures
        assert failed.startswith("The client did not answer the call of 'look' in 5 s. It may or may not have taken")
        assert [each["cancelled"] for each in wire.data_of("llm-function-call-stopped")] == [True]


async def test_a_call_under_an_id_that_is_pending_is_refused() -> None:
    """Its answer could belong to either call. The client is asked once."""
    refused: list[str] = []

    async def asking(session: Session, llm: LLM) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: session.call_function("look", {}, id="a"))
            await anext(aiter(session.inputs()))
            with pytest.raises(FunctionCallFailed, match="'a' is pending already"):
                await session.call_function("look", {}, id="a")
            refused.append("a")

    async with running(asking) as wire:
        say(wire, "again")
        await settle()
        assert refused == ["a"]
        assert len(wire.data_of("llm-function-call-in-progress")) == 1
        wire.send("llm-function-call-result", {"tool_call_id": "a", "result": 1})
        await settle()
        assert not wire.connection.closed


@pytest.mark.parametrize("data", [None, {}, {"tool_call_id": 1}, {"tool_call_id": "nobody's", "result": 1}, []])
async def test_a_result_that_is_of_no_call_is_refused(data: Any) -> None:
    """The result has no effect."""

    async def waiting(session: Session, llm: LLM) -> None:
        await anyio.sleep_forever()

    async with running(waiting) as wire:
        error = await wire.error(wire.send("llm-function-call-result", data))
        assert error["code"] in ("unknown-function-call", "invalid-arguments")


# ---- the context ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "amended"),
    [
        ("Hello", "Hello there"),
        ("", "there"),
        (None, "there"),
        ([{"type": "text", "text": "Hello"}], [{"type": "text", "text": "Hello"}, {"type": "text", "text": "there"}]),
    ],
)
async def test_words_are_added_to_a_message_of_any_form(content: Any, amended: Any) -> None:
    """Also if it has no content, like a message of an assistant that only calls functions."""
    found: list[Any] = []

    async def amending(session: Session, llm: LLM) -> None:
        message: Any = {"role": "assistant", "content": content}
        session.remember(message)
        found.append((session.amend(message, "there"), session.context.messages[-1]["content"]))

    async with running(amending):
        await settle()
    assert found == [(True, amended)]


async def test_only_messages_are_remembered_and_only_events_are_emitted() -> None:
    """The error names what was given. Nothing reaches the LLM or the client."""
    raised: list[str] = []

    async def mistaken(session: Session, llm: LLM) -> None:
        wrong: Any = {"foo": 1}
        with pytest.raises(TypeError) as message:
            session.remember(wrong)
        wrong = "x"
        with pytest.raises(TypeError) as event:
            session.emit(wrong)
        raised.extend((str(message.value), str(event.value)))
        assert session.context.messages == ()

    async with running(mistaken):
        await settle()
    assert "$[0].role: expected one of" in raised[0]
    assert "not a str" in raised[1]
