"""The promises of a session, with one section for each."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal

import anyio
import anyio.lowlevel
import pytest
from attrs import define

from rtvi_plugins import LLM, Session, action, bot, service
from rtvi_plugins.errors import Draining, InvalidStart, ServerFull, StartFailed, UnknownSession
from rtvi_plugins.hosting import Limits, ManualClock

from ..fakes.faults import Faults, fresh_faults
from ..fakes.faulty import WORDS, FaultyLLM
from ..fakes.wire import OPERATOR, Wire, connected, connection_to, host_of, settle
from ..tools.patience import PATIENCE

pytestmark = pytest.mark.anyio


@pytest.fixture
def faults() -> Iterator[Faults]:
    """Bots that fail, with a record of what they did in this test."""
    with fresh_faults() as fresh:
        yield fresh


async def refused_at_once(wire: Wire, action: str, code: str) -> None:
    """An action fails with a code and a fixed sentence, not with the text of the exception. The session continues."""
    error = await wire.error(wire.call(action))
    assert error["code"] == code
    assert WORDS not in json.dumps(wire.received)
    assert await wire.result(wire.call("bot:echo", text="on")) == "on"


# ---- 1: exactly one terminal answer for every request id -----------------------------------------------------------

FAILURES = {
    "fail": "action-failed",
    "fail_in_group": "action-failed",
    "leave": "action-failed",
    "be_rude": "action-failed",
    "refuse": "request-failed",
    "ask_vendor": "provider-failed",
    "fail_in_thread": "action-failed",
    "return_text": "invalid-result",
    "return_set": "invalid-result",
    "return_infinity": "invalid-result",
    "return_huge": "invalid-result",
    "return_half": "invalid-result",
    "return_circle": "invalid-result",
    "return_deep": "invalid-result",
}


@pytest.mark.parametrize("action", FAILURES)
async def test_an_action_that_fails_is_answered(faults: Faults, action: str) -> None:
    """Whatever an action raises or returns, its request gets an error with a code."""
    async with connected(faults.faulty) as wire:
        if action == "fail_in_thread":
            await threads_answer(wire, wire.call("bot:fail_in_thread"), "error-response")
        else:
            await refused_at_once(wire, f"bot:{action}", FAILURES[action])


async def threads_answer(wire: Wire, id: str, type: str) -> Any:
    """The data of an answer that comes from a thread."""
    while not wire.answers(id):
        await anyio.lowlevel.checkpoint()
    answer = await wire.answer(id)
    assert answer["type"] == type
    return answer["data"]


async def test_an_action_that_cancels_itself_is_answered(faults: Faults) -> None:
    """The exception of a cancellation is answered like any other, and the next action runs."""
    async with connected(faults.faulty) as wire:
        error = await wire.error(wire.call("bot:cancel_itself"))
        assert error["code"] in ("cancelled", "action-failed")
        assert await wire.result(wire.call("bot:echo", text="on")) == "on"


async def test_an_action_that_hangs_is_answered_at_its_deadline(faults: Faults) -> None:
    """It is answered before 10 seconds have passed, without waiting for the action to end."""
    async with connected(faults.faulty) as wire:
        hanging, clinging = wire.call("bot:hang"), wire.call("bot:cling")
        await settle()
        wire.clock.advance(8.9)
        await settle()
        assert wire.answers(hanging) == []
        wire.clock.advance(0.2)
        hung = await wire.error(hanging)
        assert hung["code"] == "action-timeout"
        assert "may or may not have taken effect" in hung["error"]
        assert not hung["retryable"]
        assert (await wire.error(clinging))["code"] == "action-timeout"
        assert faults.ledger.blocked["hang"] == 0


async def test_an_action_may_have_a_shorter_deadline_of_its_own(faults: Faults) -> None:
    """Also if a request with a longer deadline came after it."""
    async with connected(faults.faulty) as wire:
        short, long = wire.call("bot:hang_shortly"), wire.call("bot:hang")
        await settle()
        wire.clock.advance(2.0)
        error = await wire.error(short)
        assert error["code"] == "action-timeout"
        assert error["retryable"]  # it is declared as repeatable
        assert wire.answers(long) == []


async def test_a_request_is_answered_within_its_time_also_when_the_client_is_ready_late(faults: Faults) -> None:
    """The time counts from the arrival of the request, not from the moment when the session was ready."""
    async with connected(faults.faulty, ready=False) as wire:
        hanging = wire.call("bot:hang")
        inside = wire.send("client-message", {"t": "hang"})
        wire.clock.advance(8.0)
        wire.send("client-ready", {"version": "2.1.0"})
        await settle()
        wire.clock.advance(1.5)
        assert (await wire.error(hanging))["code"] == "action-timeout"
        assert (await wire.error(inside))["code"] == "action-timeout"


async def test_a_short_deadline_holds_also_for_a_request_that_waited(faults: Faults) -> None:
    """If an action came before the client was ready, it keeps its own deadline, whatever else came then."""
    async with connected(faults.faulty, ready=False) as wire:
        short = wire.call("bot:hang_shortly")
        wire.call("bot:hang")
        wire.send("client-ready", {"version": "2.1.0"})
        await settle()
        wire.clock.advance(2.0)
        assert (await wire.error(short))["code"] == "action-timeout"


async def test_a_pending_id_that_comes_again_gets_no_second_answer(faults: Faults) -> None:
    """It gets none at once, and none when the first is answered. The second may be well formed or not."""
    async with connected(faults.faulty) as wire:
        wire.send("action", {"service": "bot", "action": "hang"}, id="same")
        wire.send("get-config", {}, id="same")
        wire.send("no-such-type", {}, id="same")
        await settle()
        assert wire.answers("same") == []
        wire.clock.advance(9.0)
        assert (await wire.error("same"))["code"] == "action-timeout"


async def test_a_pending_id_that_comes_again_too_fast_gets_no_second_answer(faults: Faults) -> None:
    """The refusal of a message that comes too fast does not count as the answer to the pending request."""
    async with connected(faults.faulty, limits=Limits(rate=1.0, burst=3)) as wire:
        wire.send("action", {"service": "bot", "action": "hang"}, id="same")
        for _ in range(5):
            wire.send("action", {"service": "bot", "action": "hang"}, id="same")
        wire.clock.advance(9.0)
        assert (await wire.error("same"))["code"] == "action-timeout"


async def test_client_ready_under_a_pending_id_gets_no_answer_of_its_own(faults: Faults) -> None:
    """The id belongs to the pending request, before the client is ready and afterwards."""
    async with connected(faults.faulty, ready=False) as wire:
        wire.send("action", {"service": "bot", "action": "hang_shortly"}, id="x")
        wire.send("client-ready", {"version": "2.1.0"}, id="x")
        await settle()
        assert [each.get("id") for each in wire.received if each["type"] == "bot-ready"] == [None]
        wire.send("client-ready", {"version": "2.1.0"}, id="x")
        await settle()
        assert wire.answers("x") == []
        wire.clock.advance(2.0)
        await settle()
        assert [each["data"]["code"] for each in wire.answers("x")] == ["action-timeout"]
        wire.send("client-ready", {"version": "2.1.0"}, id="x")
        await settle()
        assert [each["type"] for each in wire.answers("x")] == ["error-response", "bot-ready"]


@pytest.mark.parametrize("first", ["append-to-context", "llm-function-call-result", "send-text", "get-config"])
@pytest.mark.parametrize("second", ["get-config", "action", "describe-actions"])
async def test_two_early_messages_under_one_id_get_one_answer(faults: Faults, first: str, second: str) -> None:
    """The answer is that of the request, also if the first message has an answer only when it fails."""
    data = {"content": "hello", "role": "system", "tool_call_id": "1", "service": "bot", "action": "return_nothing"}
    async with connected(faults.faulty, ready=False) as wire:
        for type in (first, second):
            wire.send(type, data, id="x")
        wire.send("client-ready", {"version": "2.1.0"})
        await settle()
        answer = (await wire.answer("x"))["type"]
        if first != "get-config":
            types = {"get-config": "config", "action": "action-response", "describe-actions": "actions-available"}
            assert answer == types[second]


async def test_an_answered_id_may_be_used_again(faults: Faults) -> None:
    """An id must be unique only among the pending requests."""
    async with connected(faults.faulty) as wire:
        for _ in range(2):
            wire.send("get-config", {}, id="same")
            await settle()
        assert len(wire.answers("same")) == 2


@pytest.mark.parametrize("id", [None, 7, "", "x" * 257, ["a"], True, {}])
async def test_a_message_without_a_usable_id_is_answered_under_none(faults: Faults, id: Any) -> None:
    """An error with an empty id informs the client's author. It settles no promise of the client."""
    async with connected(faults.faulty) as wire:
        wire.connection.receive(json.dumps({"label": "rtvi-ai", "type": "get-config", "id": id, "data": {}}))
        assert (await wire.error(""))["code"] == "invalid-message"


async def test_a_service_that_dies_fails_its_requests_and_no_others(faults: Faults) -> None:
    """Requests that need the dead service are refused. Others are run."""
    async with connected(faults.faulty) as wire:
        assert await wire.result(wire.call("llm:die")) is True
        error = await wire.error(wire.call("llm:name"))
        assert error["code"] == "provider-failed"
        assert WORDS not in json.dumps(wire.received)
        assert await wire.result(wire.call("bot:echo", text="on")) == "on"


async def test_a_service_that_ends_quietly_fails_its_requests_too() -> None:
    """A service whose context manager ends before the session counts as dead."""
    async with connected(quiet_end_bot) as wire:
        deaths[0].set()
        await settle()
        error = await wire.error(wire.call("llm:whoever"))
        assert error["code"] == "provider-failed"


deaths: list[anyio.Event] = []


@service("llm", "quiet-end")
@asynccontextmanager
async def quiet_end_llm() -> AsyncGenerator[FaultyLLM]:
    """A service whose connection ends. That cancels the service's own task group."""
    deaths[:] = [anyio.Event()]

    async def end(scope: anyio.CancelScope) -> None:
        await deaths[0].wait()
        scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(end, tasks.cancel_scope)
        yield FaultyLLM("quiet-end")
        tasks.cancel_scope.cancel()


@action(quiet_end_llm)
async def whoever(llm: FaultyLLM, /) -> str:
    """Answer."""
    return llm.name


@bot(services={"llm": "quiet-end"}, client=["llm:whoever"], public=True)
async def quiet_end_bot(session: Session, /, llm: LLM) -> None:
    """A bot that leaves the session to the client."""


async def test_requests_that_wait_are_answered_when_the_session_ends(faults: Faults) -> None:
    """Each of them gets an answer."""
    async with connected(faults.faulty) as wire:
        hanging, ending = wire.call("bot:hang"), wire.call("bot:end")
        assert (await wire.error(hanging))["code"] == "session-closed"
        assert (await wire.error(ending))["code"] == "session-closed"
        assert wire.connection.closed


@pytest.mark.parametrize("deadly", ["leave", "be_rude"])
async def test_what_ends_no_process_ends_no_other_session(faults: Faults, deadly: str) -> None:
    """If a plugin raises something that is not an `Exception`, neither the server nor another session ends."""
    clock = ManualClock()
    async with (
        host_of(faults.faulty, clock=clock) as host,
        connection_to(host, clock) as one,
        connection_to(host, clock) as other,
    ):
        for each in (one, other):
            each.send("client-ready", {"version": "2.1.0"})
        assert (await one.error(one.call(f"bot:{deadly}")))["code"] == "action-failed"
        assert await other.result(other.call("bot:echo", text="on")) == "on"


# ---- 2: long actions -----------------------------------------------------------------------------------------------


async def test_a_long_action_is_answered_at_once_and_tells_how_it_continues(faults: Faults) -> None:
    """The answer is a job. Its progress and its one end follow in order."""
    async with connected(faults.faulty) as wire:
        job = (await wire.result(wire.call("bot:count", to=2)))["job"]
        messages = wire.data_of("server-message")
        assert [each["status"] for each in messages] == ["progress", "progress", "done"]
        assert {each["job"] for each in messages} == {job}
        assert {each["action"] for each in messages} == {"bot:count"}
        assert messages[-1]["result"] == 2


@pytest.mark.parametrize(("action", "code"), [("fail_long", "action-failed"), ("return_set_long", "invalid-result")])
async def test_a_long_action_that_fails_ends_once_with_a_code(faults: Faults, action: str, code: str) -> None:
    """Its end has the same error as a short action."""
    async with connected(faults.faulty) as wire:
        await wire.result(wire.call(f"bot:{action}"))
        (end,) = wire.data_of("server-message")
        assert (end["status"], end["code"]) == ("failed", code)
        assert WORDS not in json.dumps(wire.received)


async def test_a_long_action_outlives_the_deadline_and_can_be_cancelled(faults: Faults) -> None:
    """Cancelling it ends it once. A second call finds no job."""
    async with connected(faults.faulty) as wire:
        job = (await wire.result(wire.call("bot:wait_long")))["job"]
        wire.clock.advance(60.0)
        await settle()
        assert wire.data_of("server-message") == []
        assert await wire.result(wire.call("bot:cancel_job", job=job)) is True
        (end,) = wire.data_of("server-message")
        assert (end["job"], end["action"], end["status"]) == (job, "bot:wait_long", "cancelled")
        assert await wire.result(wire.call("bot:cancel_job", job=job)) is False


async def test_a_long_action_can_be_cancelled_before_it_has_started(faults: Faults) -> None:
    """It ends like any cancelled job, and its end names the action."""
    async with connected(faults.faulty) as wire:
        wire.call("bot:wait_long")
        wire.call("bot:cancel_job", job="job-1")
        await settle()
        messages = wire.data_of("server-message")
        assert [(each["action"], each["status"]) for each in messages] == [("bot:wait_long", "cancelled")]


async def test_long_actions_are_bounded(faults: Faults) -> None:
    """One job too many is refused, and may be sent again later."""
    async with connected(faults.faulty, limits=Limits(jobs=2)) as wire:
        ids = [wire.call("bot:wait_long") for _ in range(3)]
        assert (await wire.error(ids[2]))["code"] == "busy"
        wire.call("bot:cancel_job", job=(await wire.result(ids[0]))["job"])
        await settle()
        await wire.result(wire.call("bot:wait_long"))


# ---- 3: actions run concurrently -----------------------------------------------------------------------------------


async def test_a_stuck_action_delays_nothing_else(faults: Faults) -> None:
    """Twenty actions hang, and the next one is answered at once."""
    async with connected(faults.faulty) as wire:
        for _ in range(20):
            wire.call("bot:hang")
        assert await wire.result(wire.call("bot:echo", text="on")) == "on"
        assert faults.ledger.blocked["hang"] == 20


async def test_actions_start_in_the_order_in_which_they_come(faults: Faults) -> None:
    """Also if some of them wait."""
    async with connected(faults.faulty) as wire:
        for number in range(50):
            wire.call("bot:echo", text=str(number))
            if number % 7 == 0:
                wire.call("bot:hang")
        await settle()
        assert faults.ledger.seen == [str(number) for number in range(50)]


async def test_an_interrupt_overtakes_what_is_being_said(faults: Faults) -> None:
    """The turn is interrupted while an action still runs."""
    async with connected(faults.faulty) as wire:
        wire.call("bot:hang")
        wire.send("send-text", {"content": "long", "options": {}})
        await settle()
        assert await wire.result(wire.call("tts:interrupt")) is True
        assert await wire.result(wire.call("tts:interrupt")) is False
        assert len(wire.data_of("bot-interrupted")) == 1


async def test_a_plain_function_runs_in_a_thread_and_delays_no_other(faults: Faults) -> None:
    """A blocking function blocks only its own thread."""
    async with connected(faults.faulty) as wire:
        blocking = wire.call("bot:block")
        assert await wire.result(wire.call("bot:echo", text="on")) == "on"
        faults.ledger.release.set()
        assert await threads_answer(wire, blocking, "action-response") == {"result": "free"}


async def test_threads_are_bounded_and_those_given_up_count(faults: Faults) -> None:
    """A thread that does not end still counts after its request was answered, until it ends."""
    async with connected(faults.faulty, limits=Limits(threads=1)) as wire:
        blocking = wire.call("bot:block")
        while not faults.ledger.blocked["threads"]:
            await anyio.lowlevel.checkpoint()
        wire.clock.advance(9.0)
        assert (await wire.error(blocking))["code"] == "action-timeout"
        assert (await wire.error(wire.call("bot:think")))["code"] == "busy"
        faults.ledger.release.set()
        faults.ledger.left.acquire(timeout=PATIENCE)
        await until_a_thread_is_free(wire)


async def until_a_thread_is_free(wire: Wire) -> None:
    """Send the request until a thread is free."""
    with anyio.fail_after(PATIENCE):
        while True:
            id = wire.call("bot:think")
            while not wire.answers(id):
                await anyio.lowlevel.checkpoint()
            if wire.answers(id)[0]["type"] == "action-response":
                return


async def test_a_thread_that_never_began_keeps_no_place(faults: Faults) -> None:
    """If a client leaves right after its request, no thread stays reserved."""
    clock = ManualClock()
    async with host_of(faults.faulty, limits=Limits(threads=2), clock=clock) as host:
        for _ in range(4):
            async with connection_to(host, clock) as wire:
                wire.send("client-ready", {"version": "2.1.0"})
                wire.call("bot:think")
                wire.connection.disconnected()
        async with connection_to(host, clock) as wire:
            wire.send("client-ready", {"version": "2.1.0"})
            await until_a_thread_is_free(wire)


async def test_requests_in_flight_are_bounded(faults: Faults) -> None:
    """One request too many is refused with a retryable code. An answered request no longer counts."""
    async with connected(faults.faulty, limits=Limits(in_flight=3)) as wire:
        ids = [wire.call("bot:hang") for _ in range(4)]
        error = await wire.error(ids[3])
        assert (error["code"], error["retryable"]) == ("busy", True)
        assert wire.answers(ids[0]) == []
        wire.clock.advance(9.0)
        await settle()
        assert await wire.result(wire.call("bot:echo", text="on")) == "on"


# ---- 4: a config changes whole or not at all -----------------------------------------------------------------------


async def test_an_update_with_one_mistake_changes_nothing(faults: Faults) -> None:
    """Everything is checked before anything is applied or interrupted."""
    async with connected(faults.faulty) as wire:
        wire.send("send-text", {"content": "long", "options": {}})
        await settle()
        before, applied = await wire.config(), list(faults.ledger.applied)
        id = wire.update(interrupt=True, llm={"model": "large", "temperature": "hot"}, tts={"voice": "loud"})
        assert (await wire.error(id))["code"] == "invalid-config"
        assert await wire.config() == before
        assert faults.ledger.applied == applied
        assert wire.data_of("bot-interrupted") == []


async def test_an_update_is_answered_with_the_config_its_revision_and_when_it_applies(faults: Faults) -> None:
    """The answer has the whole config, because 0.x clients replace theirs with it."""
    async with connected(faults.faulty) as wire:
        data = (await wire.answer(wire.update(llm={"model": "large"})))["data"]
        assert (data["revision"], data["applies"]) == (2, "now")
        assert [each["service"] for each in data["config"]] == ["llm", "tts"]


async def test_what_is_being_said_is_finished_with_the_old_values(faults: Faults) -> None:
    """Without `interrupt`, the update waits for the end of the turn. Its answer does not wait."""
    async with connected(faults.faulty) as wire:
        wire.send("send-text", {"content": "long", "options": {}})
        await settle()
        applied = list(faults.ledger.applied)
        data = (await wire.answer(wire.update(llm={"model": "large"})))["data"]
        assert data["applies"] == "next-turn"
        assert faults.ledger.applied == applied
        wire.call("tts:interrupt")
        await settle()
        assert faults.ledger.applied == [*applied, "model=large temperature=0.7"]


@pytest.mark.parametrize(
    "change",
    [
        {"llm": {"model": "breaks"}},
        {"llm": {"model": "large", "pace": "exits"}},
        {"llm": {"model": "large", "pace": "vendor"}},
        {"llm": {"model": "large"}, "tts": {"voice": "breaks"}},
    ],
)
async def test_a_config_that_cannot_be_applied_leaves_the_old_one_in_force(
    faults: Faults, change: dict[str, Any]
) -> None:
    """Options that were set before the failure get their old values again."""
    async with connected(faults.faulty) as wire:
        before = await wire.config()
        assert (await wire.error(wire.update(**change)))["code"] == "apply-failed"
        assert await wire.config() == before
        assert await wire.result(wire.call("llm:name")) == "first small"
        assert WORDS not in json.dumps(wire.received)


async def test_a_config_that_would_be_too_long_to_send_is_not_applied(faults: Faults) -> None:
    """Neither is anything interrupted: the change is refused before."""
    async with connected(faults.faulty, limits=Limits(outbox_size=3_000)) as wire:
        before = await wire.config()
        wire.send("send-text", {"content": "long", "options": {}})
        await settle()
        applied = list(faults.ledger.applied)
        error = await wire.error(wire.update(llm={"model": "m" * 3_000}, interrupt=True))
        assert error["code"] == "invalid-result"
        assert await wire.config() == before
        assert faults.ledger.applied == applied
        assert await wire.result(wire.call("bot:interrupt"))  # the turn was not interrupted before


async def test_a_config_that_cannot_be_applied_at_the_edge_is_taken_back_and_told(faults: Faults) -> None:
    """The client has received the new config, so it receives the old one again, with a new revision."""
    async with connected(faults.faulty) as wire:
        before = await wire.config()
        wire.send("send-text", {"content": "long", "options": {}})
        await settle()
        answer = await wire.answer(wire.update(tts={"voice": "breaks"}))
        wire.call("tts:interrupt")
        await settle()
        pushed = [each for each in wire.received if each["type"] == "config" and "id" not in each]
        assert len(pushed) == 1
        assert pushed[0]["data"]["revision"] > answer["data"]["revision"]
        assert await wire.config() == before


# ---- 5: services open before the start is answered -----------------------------------------------------------------


async def test_services_are_open_when_the_start_is_answered(faults: Faults) -> None:
    """When a start returns, all services are open."""
    async with host_of(faults.faulty) as host:
        await host.start({})
        assert faults.ledger.opened == ["llm.first", "tts.quiet"]


async def test_a_service_that_does_not_open_refuses_the_start(faults: Faults) -> None:
    """Only this refusal rejects every client's `connect()`. Services that were open are closed."""
    async with host_of(faults.faulty) as host:
        with pytest.raises(StartFailed) as raised:
            await host.start({"services": {"llm": "broken"}})
        assert WORDS not in json.dumps(raised.value.to_json())
        await settle()
        assert (host.open_sessions, faults.ledger.open.total()) == (0, 0)


async def test_a_config_that_would_be_too_long_to_send_refuses_the_start(faults: Faults) -> None:
    """A client of 0.x would wait for its `bot-ready` for ever."""
    async with host_of(faults.faulty, limits=Limits(outbox_size=6_000)) as host:
        with pytest.raises(InvalidStart) as refused:
            await host.start({"config": {"llm": {"model": "m" * 4_000}}}, secret=OPERATOR)
        assert [each.path for each in refused.value.problems] == ["$.config"]
        assert not faults.ledger.opened


async def test_a_start_is_answered_when_the_server_ends_meanwhile(faults: Faults) -> None:
    """It does not wait for a service that takes long to open."""
    async with host_of(faults.slow_bot) as host, anyio.create_task_group() as tasks:

        async def start() -> None:
            with pytest.raises(Draining):
                await host.start({})

        tasks.start_soon(start)
        await settle()
        assert faults.ledger.opened == ["llm.slow"]
        host.end_sessions()
        await settle()
        assert (host.open_sessions, faults.ledger.open.total()) == (0, 0)


async def test_an_unclaimed_session_closes_after_its_time(faults: Faults) -> None:
    """Its token is then no longer valid."""
    clock = ManualClock()
    async with host_of(faults.faulty, clock=clock) as host:
        started = await host.start({})
        clock.advance(29.9)
        assert host.open_sessions == 1
        clock.advance(0.2)
        await settle()
        assert (host.open_sessions, faults.ledger.open.total()) == (0, 0)
        with pytest.raises(UnknownSession):
            host.claim(started.token)


async def test_unclaimed_sessions_are_bounded(faults: Faults) -> None:
    """One session too many is refused, until one of them is claimed."""
    async with host_of(faults.faulty, limits=Limits(unclaimed=2)) as host:
        started = [await host.start({}) for _ in range(2)]
        with pytest.raises(ServerFull):
            await host.start({})
        host.claim(started[0].token)
        await host.start({})


async def test_a_token_is_good_for_one_claim(faults: Faults) -> None:
    """The second claim is refused."""
    async with host_of(faults.faulty) as host:
        started = await host.start({})
        host.claim(started.token)
        with pytest.raises(UnknownSession):
            host.claim(started.token)


async def test_a_start_that_is_given_up_leaves_nothing_open(faults: Faults) -> None:
    """Cancelling a start closes what it has opened."""
    async with host_of(faults.slow_bot) as host:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(host.start)
            await settle()
            assert faults.ledger.opened == ["llm.slow"]
            tasks.cancel_scope.cancel()
        await settle()
        assert (host.open_sessions, faults.ledger.open.total()) == (0, 0)


# ---- 6: messages that come before the session is ready -------------------------------------------------------------


async def test_early_messages_are_answered_after_bot_ready_in_their_order(faults: Faults) -> None:
    """None is lost, and they keep their order."""
    async with connected(faults.faulty, ready=False) as wire:
        update = wire.update(llm={"model": "large"})
        asked = wire.send("get-config", {})
        echoed = wire.call("bot:echo", text="early")
        await settle()
        assert wire.received == []
        wire.send("client-ready", {})
        await settle()
        ids = [each.get("id") for each in wire.received if each["type"] != "bot-ready"]
        assert wire.received[0]["type"] == "bot-ready"
        assert ids == [update, asked, echoed]


async def test_an_early_update_shows_in_an_early_question_after_it(faults: Faults) -> None:
    """Early messages are processed one after the other."""
    async with connected(faults.faulty, ready=False) as wire:
        wire.update(llm={"model": "large"})
        asked = wire.send("get-config", {})
        wire.send("client-ready", {})
        (llm, _) = (await wire.answer(asked))["data"]["config"]
        assert {"name": "model", "value": "large"} in llm["options"]


async def test_an_early_message_is_answered_also_if_the_client_never_becomes_ready(faults: Faults) -> None:
    """The error says that the client has not sent `client-ready`."""
    async with connected(faults.faulty, ready=False) as wire:
        early = wire.call("bot:echo", text="early")
        wire.clock.advance(9.0)
        error = await wire.error(early)
        assert error["code"] == "action-timeout"
        assert "client-ready" in error["error"]
        assert error["retryable"]  # it has not begun
        wire.send("client-ready", {})
        await settle()
        assert len(wire.answers(early)) == 1
        assert faults.ledger.seen == []


async def test_early_messages_are_all_answered_when_one_of_them_ends_the_session(faults: Faults) -> None:
    """Also those that came after it."""
    async with connected(faults.faulty, ready=False) as wire:
        wire.send("disconnect-bot", {})
        later = wire.call("bot:echo", text="late")
        wire.send("client-ready", {})
        assert (await wire.error(later))["code"] == "session-closed"
        assert faults.ledger.seen == []


async def test_updates_are_executed_in_the_order_in_which_they_come(faults: Faults) -> None:
    """The next update waits for one that has to open a provider."""
    async with connected(faults.faulty) as wire:
        switch = wire.update(llm={"provider": "second", "model": "one"})
        after = wire.update(llm={"model": "two"})
        await settle()
        assert [each.get("id") for each in wire.received[-2:]] == [switch, after]
        assert (await wire.config())["llm"]["model"] == "two"
        assert await wire.result(wire.call("llm:name")) == "second two"


# ---- 7: errors are a code, one sentence, and details ---------------------------------------------------------------


async def test_all_that_is_wrong_is_told_at_once_with_paths_and_the_nearest_name(faults: Faults) -> None:
    """So a developer needs to correct a message only once."""
    async with connected(faults.faulty) as wire:
        error = await wire.error(wire.call("bot:echo", text=5, tims=2))
        assert error["code"] == "invalid-arguments"
        assert [each["path"] for each in error["details"]] == [
            "$.data.arguments[0].value",
            "$.data.arguments[1].name",
        ]
        assert error["details"][1]["suggestion"] == "times"


async def test_an_author_may_choose_the_words_of_a_refusal(faults: Faults) -> None:
    """If an action raises a `RequestError`, the client gets its text."""
    async with connected(faults.faulty) as wire:
        assert (await wire.error(wire.call("bot:refuse", reason="Closed on Mondays.")))["error"] == "Closed on Mondays."


async def test_the_log_names_the_exception_but_does_not_quote_it(
    faults: Faults, caplog: pytest.LogCaptureFixture
) -> None:
    """The text of an exception may contain anything. Only the log at level DEBUG has it."""
    caplog.set_level(logging.INFO)
    async with connected(faults.faulty) as wire:
        for action in ("bot:fail", "bot:fail_long", "llm:die"):
            await wire.answer(wire.call(action))
        for change in ({"model": "breaks"}, {"provider": "second", "depth": 13}, {"provider": "broken"}):
            await wire.answer(wire.update(llm=change))
    assert "RuntimeError" in caplog.text
    assert WORDS not in caplog.text


async def test_a_bot_that_fails_ends_its_session_with_a_fatal_error(faults: Faults) -> None:
    """The client is told that the session is over, but not the text of the exception."""
    async with connected(faults.talker) as wire:
        wire.send("send-text", {"content": "hello", "options": {}})
        await settle()
        (error,) = wire.data_of("error")
        assert (error["code"], error["fatal"]) == ("bot-failed", True)
        assert error["message"] == error["error"]
        assert WORDS not in json.dumps(wire.received)
        assert (wire.connection.closed, wire.connection.close_code) == (True, 1011)


async def test_a_bot_that_asks_the_process_to_end_ends_its_session_only() -> None:
    """`sys.exit()` in a bot is a mistake of the bot. The server does not end."""
    clock = ManualClock()
    async with (
        host_of(exiting_bot, clock=clock) as host,
        connection_to(host, clock) as one,
        connection_to(host, clock) as other,
    ):
        other.send("client-ready", {})
        one.send("client-ready", {})
        one.send("send-text", {"content": "hello", "options": {}})
        await settle()
        assert [each["code"] for each in one.data_of("error")] == ["bot-failed"]
        assert (await other.answer(other.send("get-config", {})))["type"] == "config"


@bot(services={}, public=True)
async def exiting_bot(session: Session, /) -> None:
    """Raise `SystemExit` at the first word."""
    async for _ in session.inputs():
        raise SystemExit(WORDS)


# ---- 8: closing closes everything ----------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["client leaves", "bot is asked to leave", "action ends it", "host closes"])
async def test_closing_closes_the_services_in_reverse_order(faults: Faults, way: str) -> None:
    """It does not matter what ends the session, and at which moment."""
    clock = ManualClock()
    async with host_of(faults.faulty, clock=clock) as host, connection_to(host, clock) as wire:
        wire.send("client-ready", {})
        wire.call("bot:hang")
        wire.send("send-text", {"content": "long", "options": {}})
        await settle()
        if way == "client leaves":
            wire.connection.disconnected()
        elif way == "bot is asked to leave":
            wire.send("disconnect-bot", {})
        elif way == "action ends it":
            wire.call("bot:end")
        if way != "host closes":
            await settle()
            assert (host.open_sessions, faults.ledger.blocked["hang"]) == (0, 0)
    assert faults.ledger.opened == ["llm.first", "tts.quiet"]
    assert faults.ledger.closed == ["tts.quiet", "llm.first"]


async def test_a_provider_that_was_replaced_is_closed_and_the_new_one_too(faults: Faults) -> None:
    """Neither a switch nor the end of the session leaves a service open."""
    async with connected(faults.faulty) as wire:
        await wire.answer(wire.update(llm={"provider": "second"}))
        assert faults.ledger.open == {"tts.quiet": 1, "llm.second": 1}
    assert faults.ledger.open.total() == 0


async def test_a_service_that_does_not_close_does_not_hold_the_session(faults: Faults) -> None:
    """It is cancelled after `Limits.close_seconds`, also if it was replaced before the session ended."""
    limits = Limits(close_seconds=0.01)
    with anyio.fail_after(PATIENCE):
        async with connected(faults.clinging_bot, limits=limits) as wire:
            await wire.answer(wire.update(llm={"provider": "first"}))
            wire.connection.disconnected()
    assert faults.ledger.open.total() == 0


async def test_the_end_of_a_session_does_not_wait_for_a_replaced_service_for_ever(faults: Faults) -> None:
    """The client leaves at the moment when the replaced service begins to close."""
    limits = Limits(close_seconds=0.01)
    with anyio.fail_after(PATIENCE):
        async with connected(faults.clinging_bot, limits=limits) as wire:
            wire.update(llm={"provider": "first"})
            while "llm.first" not in faults.ledger.opened:
                await anyio.lowlevel.checkpoint()
            wire.connection.disconnected()
    assert faults.ledger.open.total() == 0


# ---- 9: limits -----------------------------------------------------------------------------------------------------


@define
class Excess:
    """A limit that is exceeded, and the answer to it."""

    text: str
    code: str


EXCESSES = {
    "size": Excess(
        json.dumps({"label": "rtvi-ai", "type": "get-config", "id": "a", "data": "x" * 70_000}), "message-too-large"
    ),
    "nesting": Excess("[" * 200 + "]" * 200, "message-too-deep"),
    "text": Excess("no json", "invalid-message"),
}


@pytest.mark.parametrize("kind", EXCESSES)
async def test_too_much_is_answered_with_a_code(faults: Faults, kind: str) -> None:
    """The session continues."""
    async with connected(faults.faulty) as wire:
        wire.connection.receive(EXCESSES[kind].text)
        await settle()
        (error,) = wire.data_of("error-response")
        assert error["code"] == EXCESSES[kind].code
        assert await wire.result(wire.call("bot:echo", text="on")) == "on"


@pytest.mark.parametrize("data", ["x" * 70_000, json.loads("[" * 100 + "]" * 100)], ids=["size", "nesting"])
async def test_a_request_that_is_too_much_is_answered_by_its_id(faults: Faults, data: Any) -> None:
    """Its request gets an answer."""
    async with connected(faults.faulty) as wire:
        answer = await wire.error(wire.send("get-config", data))
        assert answer["code"] in ("message-too-large", "message-too-deep")


async def test_the_end_of_a_session_ends_its_jobs(faults: Faults) -> None:
    """The client is told the end of each job, as long as it is connected."""
    async with connected(faults.faulty) as wire:
        job = (await wire.result(wire.call("bot:wait_long")))["job"]
        wire.send("disconnect-bot", {})
        await settle()
        ended = [each for each in wire.data_of("server-message") if each.get("job") == job]
        assert [each["status"] for each in ended] == ["cancelled"]


async def test_messages_that_come_too_fast_are_each_answered(faults: Faults) -> None:
    """None is dropped. After a pause, messages are accepted again."""
    async with connected(faults.faulty, limits=Limits(rate=10.0, burst=5)) as wire:
        ids = [wire.send("get-config", {}) for _ in range(8)]
        await settle()
        types = [wire.answers(id)[0]["type"] for id in ids]
        assert types == ["config"] * 4 + ["error-response"] * 4
        assert wire.answers(ids[-1])[0]["data"]["code"] == "rate-limited"
        wire.clock.advance(1.0)
        assert (await wire.answer(wire.send("get-config", {})))["type"] == "config"


async def test_a_session_ends_when_it_has_been_silent_for_too_long(faults: Faults) -> None:
    """It ends with a fatal error, and with the close code for a broken rule."""
    async with connected(faults.faulty, limits=Limits(idle_seconds=60.0)) as wire:
        wire.clock.advance(59.0)
        await wire.config()
        wire.clock.advance(59.0)
        assert not wire.connection.closed
        wire.clock.advance(1.0)
        await settle()
        assert [each["code"] for each in wire.data_of("error")] == ["session-idle"]
        assert (wire.connection.closed, wire.connection.close_code) == (True, 1008)


async def test_a_session_ends_if_its_client_never_says_that_it_is_ready(faults: Faults) -> None:
    """Other messages do not extend its time: until `client-ready`, the bot does not run."""
    async with connected(faults.faulty, limits=Limits(ready_seconds=30.0), ready=False) as wire:
        wire.clock.advance(29.0)
        wire.send("get-config", {})
        await settle()
        assert not wire.connection.closed
        wire.clock.advance(1.0)
        await settle()
        assert [(each["code"], each["error"]) for each in wire.data_of("error")] == [
            ("session-idle", "The client has not sent client-ready within 30 s.")
        ]
        assert (wire.connection.closed, wire.connection.close_code) == (True, 1008)


async def test_a_client_that_is_ready_in_time_may_take_its_time_then(faults: Faults) -> None:
    """The limit of the first message does not hold for others."""
    async with connected(faults.faulty, limits=Limits(ready_seconds=30.0), ready=False) as wire:
        wire.clock.advance(29.0)
        wire.send("client-ready", {"version": "2.1.0"})
        await settle()
        wire.clock.advance(500.0)
        await settle()
        assert not wire.connection.closed


async def test_a_session_ends_at_its_greatest_length(faults: Faults) -> None:
    """It ends although it is busy. Pending requests are answered."""
    async with connected(faults.faulty, limits=Limits(session_seconds=60.0)) as wire:
        for seconds in (50.0, 5.0):
            wire.clock.advance(seconds)
            waiting = wire.call("bot:hang")
            await settle()
        wire.clock.advance(4.9)
        assert not wire.connection.closed
        wire.clock.advance(0.1)
        assert (await wire.error(waiting))["code"] == "session-closed"
        assert [each["code"] for each in wire.data_of("error")] == ["session-too-long"]
        assert (wire.connection.closed, wire.connection.close_code) == (True, 1008)


async def test_a_client_that_does_not_read_is_let_go(faults: Faults) -> None:
    """The number of messages that wait to be sent is bounded."""
    clock = ManualClock()
    async with host_of(faults.faulty, limits=Limits(outbox=20), clock=clock) as host:
        started = await host.start({}, secret=OPERATOR)
        connection = host.claim(started.token)
        wire = Wire(host, connection, clock)
        wire.send("client-ready", {})
        for _ in range(30):
            wire.send("get-config", {})
        assert connection.closed
        assert connection.close_code == 1008
        await settle()
        assert host.open_sessions == 0


# ---- one session and the others ------------------------------------------------------------------------------------


class Panic(BaseException):
    """An exception that `except Exception` does not catch, like the panic of a library in another language."""


@service("llm", "panicking")
@asynccontextmanager
async def panicking_llm(when: Literal["never", "opening", "closing"] = "never") -> AsyncGenerator[FaultyLLM]:
    """A provider that raises it."""
    if when == "opening":
        raise Panic
    yield FaultyLLM("panicking")
    if when == "closing":
        raise Panic


@bot(services={"llm": "panicking"}, public=True, plugins=[])
async def panicking_bot(session: Session, /, llm: LLM) -> None:
    """A bot that does not use it."""


@pytest.mark.parametrize("when", ["opening", "closing"])
async def test_what_one_sessions_service_raises_ends_no_other_session(when: str) -> None:
    """This is true for every exception and every moment."""
    async with connected(panicking_bot) as wire:
        with suppress(StartFailed):
            options = {"service_options": {"panicking": {"when": when}}}
            async with connection_to(wire.host, wire.clock, options) as other:
                other.connection.close()
        await settle()
        assert wire.host.open_sessions == 1
        assert (await wire.answer(wire.send("get-config", {})))["type"] == "config"
