"""A `Failover`: when a provider fails before its first output, the next one serves within the same turn."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio
import pytest
from attrs import frozen

from rtvi_plugins import LLM, STT, TTS, VAD, Failover, ProviderError, Session, action, bot, converse, options
from rtvi_plugins.hosting import Host, ManualClock
from rtvi_plugins.kinds import LLMRequest, Text, Thought

from ..fakes.conversation import APOLOGY, failures, later, said, silence, speak, spoken, write
from ..fakes.providers import RATE
from ..fakes.vendors import EMPTY, HANG, LATE, MUTE, Vendors, calling, failure
from ..fakes.wire import Wire, connected, connection_to, host_of, settle

pytestmark = pytest.mark.anyio

CLIENT = ["llm.provider", "llm.style", "llm:whoami", "llm:get_context", "bot:summarise", "bot:serving"]
#: The failures that make the next provider serve.
REPLACED = ("auth", "quota", "rate", "timeout", "unavailable", "no-answer")


@frozen
class Tone:
    """A value of an option."""

    word: str = "plain"


@bot(
    services={"llm": [Failover("a", "b"), "d"]},
    config={"llm.b": {"style": " instead"}},
    client=CLIENT,
    functions=["bot:look"],
    public=True,
)
async def typist(session: Session, /, llm: LLM) -> None:
    """A bot that answers in text."""
    await converse(session, llm=llm)


@action(typist)
async def look(session: Session, /) -> str:
    """A function for the LLM."""
    return "nothing"


@action(typist)
async def serving(session: Session, /) -> str:
    """Name the provider that serves."""
    return session.providers["llm"]


@action(typist)
async def summarise(session: Session, llm: LLM, /) -> str:
    """Ask the LLM beside the conversation."""
    alternatives = session.alternatives(llm)
    await alternatives.choose()
    while True:
        try:
            return "".join([each.text async for each in llm.respond(LLMRequest([])) if isinstance(each, Text)])
        except ProviderError as error:
            if not await alternatives.failed(error):
                return "nothing"


SPEAKING: dict[str, Any] = {
    "llm": Failover("a", "b"),
    "stt": Failover("a", "b"),
    "tts": Failover("a", "b", seconds=4.0),
    "vad": "code",
}


@bot(services=SPEAKING, client=["llm:get_context"], public=True)
async def talker(session: Session, /, llm: LLM, stt: STT, tts: TTS, vad: VAD) -> None:
    """A bot that speaks and listens."""
    await converse(session, llm=llm, stt=stt, tts=tts, vad=vad)


@pytest.fixture
def vendors() -> Vendors:
    """Vendors that all work."""
    return Vendors()


@asynccontextmanager
async def sessions(vendors: Vendors, count: int) -> AsyncGenerator[tuple[Host, ManualClock, list[Wire]]]:
    """Several sessions of one host. Their clients are ready."""
    clock = ManualClock()
    async with host_of(typist, vendors, clock=clock) as host, AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(connection_to(host, clock)) for _ in range(count)]
        for wire in wires:
            wire.send("client-ready", {"version": "2.1.0", "about": {"library": "test"}})
        await settle()
        yield host, clock, wires


def failovers(wire: Wire) -> list[tuple[str, str, str | None]]:
    """What the client was told about failovers: the service, the provider that serves, and the reason."""
    messages = [each for each in wire.data_of("server-message") if each["type"] == "failover"]
    return [(each["service"], each["provider"], each["category"]) for each in messages]


async def answer(wire: Wire) -> str:
    """The bot's next answer to a typed text."""
    before = len(wire.data_of("bot-llm-text"))
    await write(wire)
    return "".join(each["text"] for each in wire.data_of("bot-llm-text")[before:])


# ---- the LLM ---------------------------------------------------------------------------------------------------------


async def test_while_all_is_well_the_first_provider_serves(vendors: Vendors) -> None:
    """The other providers are not even opened."""
    async with connected(typist, vendors) as wire:
        assert await answer(wire) == "llm.a answers."
        assert (vendors.open["llm.a"], vendors.open["llm.b"]) == (1, 0)
        assert failovers(wire) == []
        assert await wire.result(wire.call("bot:serving")) == "a"


@pytest.mark.parametrize("category", REPLACED)
async def test_the_next_provider_answers_in_the_same_turn(vendors: Vendors, category: str) -> None:
    """It gets the same request. The conversation has one answer, and the client receives an event."""
    vendors.before["llm.a"] = failure(category)
    async with connected(typist, vendors) as wire:
        assert await answer(wire) == "llm.b answers instead."
        assert vendors.was_asked() == ["llm.a", "llm.b"]
        assert vendors.requests[0] == vendors.requests[1]
        assert failures(wire) == []
        assert failovers(wire) == [("llm", "b", category)]
        assert await wire.result(wire.call("bot:serving")) == "b"
        assert await said(wire) == [("user", "go"), ("assistant", "llm.b answers instead.")]


@pytest.mark.parametrize("category", [*REPLACED, "bad-request"])
async def test_after_the_first_output_nobody_takes_over(vendors: Vendors, category: str) -> None:
    """The user has heard a part. The next turn has another provider, unless the failure says nothing about this one."""
    vendors.after["llm.a"] = failure(category)
    async with connected(typist, vendors) as wire:
        assert await answer(wire) == "llm.a answers."
        assert vendors.was_asked() == ["llm.a"]
        assert len(failures(wire)) == 1
        del vendors.after["llm.a"]
        again = "a" if category in ("no-answer", "bad-request") else "b"
        assert (await answer(wire)).startswith(f"llm.{again} answers")


async def test_a_request_that_is_refused_is_sent_to_nobody_else(vendors: Vendors) -> None:
    """A client can cause this failure on purpose, and must not affect other sessions."""
    vendors.before["llm.a"] = failure("bad-request")
    async with sessions(vendors, 1) as (host, _, (wire,)):
        await answer(wire)
        assert vendors.was_asked() == ["llm.a"]
        assert len(failures(wire)) == 1
        assert host.failing_providers == {}


async def test_a_provider_with_a_bug_is_replaced(vendors: Vendors, caplog: pytest.LogCaptureFixture) -> None:
    """The log names the bug."""
    vendors.before["llm.a"] = LookupError("a bug")
    async with connected(typist, vendors) as wire:
        assert await answer(wire) == "llm.b answers instead."
    assert "an LLM (a), while it answered, raised LookupError" in caplog.text


async def test_a_bug_of_a_provider_is_logged_once(vendors: Vendors, caplog: pytest.LogCaptureFixture) -> None:
    """The client gets an error. The log has the exception and what follows, and no second line about the error."""
    vendors.after["llm.a"] = LookupError("a bug")
    async with connected(typist, vendors) as wire:
        await answer(wire)
        assert failures(wire) == ["The LLM is not available."]
    assert caplog.messages == [
        "an LLM (a), while it answered, raised LookupError",
        "The provider llm.a fails (unavailable). It is left out for 5 s.",
    ]


async def test_a_silent_provider_is_replaced(vendors: Vendors) -> None:
    """The time is that of the `Failover`."""
    vendors.before["llm.a"] = HANG
    async with connected(typist, vendors) as wire:
        await write(wire)
        await later(wire, 9.5)
        assert vendors.was_asked() == ["llm.a"]
        await later(wire, 1.0)
        assert vendors.was_asked() == ["llm.b"]
        assert failovers(wire) == [("llm", "b", "timeout")]


async def test_the_last_provider_has_the_time_that_it_would_have_alone(vendors: Vendors) -> None:
    """No other provider is left to take over."""
    vendors.before |= {"llm.a": failure("rate"), "llm.b": HANG}
    async with connected(typist, vendors) as wire:
        await write(wire)
        await later(wire, 29.0)
        assert failures(wire) == []
        await later(wire, 2.0)
        assert failures(wire) == ["The LLM did not answer in time."]


async def test_once_output_has_begun_a_pause_may_be_longer(vendors: Vendors) -> None:
    """The limit is the same as without a `Failover`."""
    vendors.after["llm.a"] = HANG
    async with connected(typist, vendors) as wire:
        await write(wire)
        await later(wire, 29.0)
        assert failures(wire) == []
        await later(wire, 2.0)
        assert failures(wire) == ["The LLM did not answer in time."]


async def test_thoughts_are_no_output(vendors: Vendors) -> None:
    """The user has not seen them, and the next provider does not get them."""
    vendors.pieces["llm.a"] = [Thought("hm")]
    vendors.after["llm.a"] = failure("unavailable")
    async with connected(typist, vendors) as wire:
        assert await answer(wire) == "llm.b answers instead."


async def test_an_empty_text_is_no_output(vendors: Vendors) -> None:
    """The user has seen nothing, so the next provider takes over as soon as from one that sends nothing."""
    vendors.pieces["llm.a"] = [Text(""), Text("\n")]
    vendors.after["llm.a"] = HANG
    async with connected(typist, vendors) as wire:
        await write(wire)
        await later(wire, 10.5)
        assert failovers(wire) == [("llm", "b", "timeout")]


async def test_a_next_provider_that_begins_after_an_empty_text_may_pause_longer(vendors: Vendors) -> None:
    """The limit before the first output is not that of the rest of its answer."""
    vendors.pieces["llm.a"] = [Text("\n")]
    vendors.after |= {"llm.a": failure("unavailable"), "llm.b": HANG}

    @bot(services={"llm": Failover("a", "b", "d")}, public=True)
    async def three(session: Session, /, llm: LLM) -> None:
        await converse(session, llm=llm)

    async with connected(three, vendors) as wire:
        await write(wire)
        await later(wire, 29.0)
        assert failures(wire) == []


async def test_if_all_fail_there_is_one_error_and_one_apology(vendors: Vendors) -> None:
    """Each provider was asked once."""
    vendors.before |= {"llm.a": failure("unavailable"), "llm.b": failure("quota")}
    async with connected(talker, vendors, audio=RATE) as wire:
        await write(wire)
        await silence(wire, 5.0)
        assert vendors.was_asked()[:2] == ["llm.a", "llm.b"]
        assert failures(wire) == ["vendor has no quota left for this account."]
        assert spoken(wire).rstrip() == APOLOGY


async def test_a_failing_provider_is_asked_when_all_others_fail_too(vendors: Vendors) -> None:
    """It may work again, and the user has no other chance of an answer."""
    vendors.before |= {"llm.a": failure("auth"), "llm.b": failure("auth")}
    async with connected(typist, vendors) as wire:
        await answer(wire)
        vendors.was_asked()
        del vendors.before["llm.a"]
        await answer(wire)
        assert "llm.a" in vendors.was_asked()
        assert len(failures(wire)) == 1


async def test_a_provider_that_was_asked_in_its_pause_is_tried_after_it(vendors: Vendors) -> None:
    """It was asked as the last one, and its failure does not make the pause longer."""
    vendors.before |= {"llm.a": failure("unavailable"), "llm.b": failure("unavailable")}
    async with sessions(vendors, 1) as (_, clock, (wire,)):
        await answer(wire)
        await answer(wire)
        assert vendors.was_asked() == ["llm.a", "llm.b", "llm.b", "llm.a"]
        vendors.before.clear()
        clock.advance(5.1)
        assert await answer(wire) == "llm.a answers."


async def test_a_function_call_is_answered_by_the_next_provider(vendors: Vendors) -> None:
    """It gets the call and the result, but not the vendor data of the other provider."""
    vendors.pieces["llm.a"] = calling("look")
    vendors.before["llm.a"] = ["", failure("unavailable")]
    async with connected(typist, vendors) as wire:
        assert await answer(wire) == "llm.b answers instead."
        assert vendors.was_asked() == ["llm.a", "llm.a", "llm.b"]
        mine, theirs = (
            [each for each in request.messages if each["role"] == "tool"] for request in vendors.requests[1:]
        )
        assert [each["content"] for each in mine] == [each["content"] for each in theirs] == ["nothing"]


# ---- health ----------------------------------------------------------------------------------------------------------


async def test_all_sessions_know_who_fails(vendors: Vendors) -> None:
    """One session has noticed the failure, and the others do not ask this provider."""
    vendors.before["llm.a"] = failure("unavailable")
    async with sessions(vendors, 20) as (host, _, wires):
        await answer(wires[0])
        assert vendors.was_asked() == ["llm.a", "llm.b"]
        for wire in wires[1:]:
            assert await answer(wire) == "llm.b answers instead."
        assert vendors.was_asked() == ["llm.b"] * 19
        assert host.failing_providers == {"llm.a": {"category": "unavailable", "failures": 1, "retry_seconds": 5.0}}


async def test_a_provider_that_works_again_serves_again(vendors: Vendors) -> None:
    """After a pause, one session tries it. The client is told."""
    vendors.before["llm.a"] = failure("unavailable")
    async with sessions(vendors, 2) as (host, clock, (wire, other)):
        await answer(wire)
        del vendors.before["llm.a"]
        clock.advance(4.9)
        assert await answer(wire) == "llm.b answers instead."
        clock.advance(0.2)
        assert await answer(wire) == "llm.a answers."
        assert failovers(wire) == [("llm", "b", "unavailable"), ("llm", "a", None)]
        assert host.failing_providers == {}
        assert await answer(other) == "llm.a answers."
        assert failovers(other) == []


async def test_each_further_failure_doubles_the_pause(vendors: Vendors) -> None:
    """The longest pause is five minutes."""
    vendors.before["llm.a"] = failure("unavailable")
    async with sessions(vendors, 1) as (_, clock, (wire,)):
        for pause in (5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0):
            assert await answer(wire) == "llm.b answers instead."
            assert vendors.was_asked() == ["llm.a", "llm.b"]
            clock.advance(pause - 0.1)
            await answer(wire)
            assert vendors.was_asked() == ["llm.b"]
            clock.advance(0.2)


async def test_a_provider_that_soon_fails_again_has_not_recovered(vendors: Vendors) -> None:
    """Each trial costs a user the rest of an answer, so the next one comes later."""
    vendors.after["llm.a"] = failure("unavailable")
    async with sessions(vendors, 1) as (host, clock, (wire,)):
        for pause in (5.0, 10.0, 20.0):
            await answer(wire)
            assert host.failing_providers["llm.a"]["retry_seconds"] == pause
            clock.advance(pause + 0.1)


async def test_a_provider_has_recovered_with_a_whole_answer(vendors: Vendors) -> None:
    """Its next failure is the first one, however soon it is."""
    vendors.before["llm.a"] = [failure("unavailable"), failure("unavailable"), "", failure("unavailable")]
    async with sessions(vendors, 1) as (host, clock, (wire,)):
        for failures_so_far, pause in ((1, 5.1), (2, 10.1)):
            await answer(wire)
            assert host.failing_providers["llm.a"]["failures"] == failures_so_far
            clock.advance(pause)
        assert await answer(wire) == "llm.a answers."
        await answer(wire)
        assert host.failing_providers["llm.a"]["failures"] == 1


async def test_a_provider_that_seldom_fails_serves_nearly_all_turns(vendors: Vendors) -> None:
    """Single failures do not add up."""
    seldom: list[Any] = ([""] * 99 + [failure("unavailable")]) * 5
    vendors.before["llm.a"] = seldom
    async with sessions(vendors, 1) as (_, clock, (wire,)):
        served = list[bool]()
        while seldom:
            served.append(await answer(wire) == "llm.a answers.")
            clock.advance(0.5)
        assert sum(served) > 0.9 * len(served)


@pytest.mark.parametrize(("asked", "failing"), [(None, []), (30.0, ["llm.a"])])
async def test_an_answer_to_an_earlier_request_ends_a_pause(
    vendors: Vendors, asked: float | None, failing: list[str]
) -> None:
    """But not a pause for which the vendor has asked."""
    vendors.before["llm.a"] = [answers := anyio.Event(), failure("unavailable", retry_after=asked)]
    async with sessions(vendors, 2) as (host, _, (first, second)):
        await write(first)
        assert await answer(second) == "llm.b answers instead."
        answers.set()
        await settle()
        assert "".join(each["text"] for each in first.data_of("bot-llm-text")) == "llm.a answers."
        assert [*host.failing_providers] == failing


async def test_a_trial_that_fails_counts_although_another_use_has_failed_meanwhile(vendors: Vendors) -> None:
    """The answers of all sessions break off, and the one of the trial is not the first to do so."""
    vendors.after["llm.a"] = [failure("unavailable"), failure("unavailable"), HANG, failure("unavailable")]
    async with sessions(vendors, 2) as (host, clock, (first, second)):
        for pause in (5.1, 10.1):
            await answer(first)
            clock.advance(pause)
        await write(first)
        await answer(second)
        assert host.failing_providers["llm.a"]["failures"] == 1
        await later(first, 31.0)
        assert host.failing_providers["llm.a"]["failures"] == 3


@pytest.mark.parametrize(
    ("category", "asked", "pause"), [("rate", 42.0, 42.0), ("rate", 1e6, 300.0), ("auth", None, 60)]
)
async def test_the_pause_is_what_the_vendor_asks_for(
    vendors: Vendors, category: str, asked: float | None, pause: float
) -> None:
    """A refused key or an empty account has a longer pause than a broken connection."""
    vendors.before["llm.a"] = failure(category, retry_after=asked)
    async with sessions(vendors, 1) as (host, _, (wire,)):
        await answer(wire)
        assert host.failing_providers["llm.a"]["retry_seconds"] == pause


async def test_a_failure_that_nobody_has_seen_again_is_forgotten(vendors: Vendors) -> None:
    """After some time without a failure, the next pause is short again."""
    vendors.before["llm.a"] = failure("unavailable")
    async with sessions(vendors, 1) as (host, clock, (wire,)):
        await answer(wire)
        clock.advance(6.0)
        await answer(wire)
        assert host.failing_providers["llm.a"]["failures"] == 2
        clock.advance(311.0)
        assert host.failing_providers == {}
        await answer(wire)
        assert host.failing_providers["llm.a"]["failures"] == 1


async def test_one_session_at_a_time_tries_a_failing_provider(vendors: Vendors) -> None:
    """The other sessions do not wait for it."""
    vendors.before["llm.a"] = failure("unavailable")
    async with sessions(vendors, 3) as (_, clock, (first, second, third)):
        await answer(first)
        vendors.before["llm.a"] = HANG
        clock.advance(6.0)
        vendors.was_asked()
        await write(first)
        assert vendors.was_asked() == ["llm.a"]
        assert await answer(second) == "llm.b answers instead."
        assert await answer(third) == "llm.b answers instead."


async def test_a_trial_that_is_interrupted_does_not_block_others_for_ever(vendors: Vendors) -> None:
    """The result of the trial is not known."""
    vendors.before["llm.a"] = failure("unavailable")
    async with sessions(vendors, 2) as (_, clock, (first, second)):
        await answer(first)
        vendors.before["llm.a"] = HANG
        clock.advance(6.0)
        await write(first)
        first.connection.session.interrupt()
        await settle()
        del vendors.before["llm.a"]
        clock.advance(31.0)
        assert await answer(second) == "llm.a answers."


# ---- what happens meanwhile ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["the first hangs", "the next opens", "the next hangs"])
async def test_an_interruption_ends_a_failover(vendors: Vendors, where: str) -> None:
    """No task of it is left, and the next turn works."""
    vendors.before["llm.a"] = HANG if where == "the first hangs" else failure("unavailable")
    if where == "the next opens":
        vendors.opening["llm.b"] = HANG
    if where == "the next hangs":
        vendors.before["llm.b"] = HANG
    async with connected(typist, vendors) as wire:
        await write(wire)
        assert wire.connection.session.interrupt()
        await settle()
        assert failures(wire) == []
        vendors.before.clear()
        vendors.opening.clear()
        assert (await answer(wire)).startswith("llm.")
        assert vendors.open["llm.b"] <= 1
    assert set(vendors.open.values()) == {0}


async def test_two_uses_of_a_service_at_once(vendors: Vendors) -> None:
    """One has replaced the provider that then fails in the other, which goes on with the next one."""
    vendors.before["llm.a"] = [HANG, failure("unavailable")]
    async with sessions(vendors, 1) as (host, _, (wire,)):
        await write(wire)
        assert await wire.result(wire.call("bot:summarise")) == "llm.b answers instead."
        await later(wire, 10.5)
        assert "".join(each["text"] for each in wire.data_of("bot-llm-text")) == "llm.b answers instead."
        assert failures(wire) == []
        assert vendors.was_asked() == ["llm.a", "llm.a", "llm.b", "llm.b"]
        assert [*host.failing_providers] == ["llm.a"]


async def test_a_client_may_switch_meanwhile(vendors: Vendors) -> None:
    """Its choice serves from the next turn on, and the replacement is closed."""
    vendors.before["llm.a"] = failure("unavailable")
    async with connected(typist, vendors) as wire:
        await answer(wire)
        assert vendors.open["llm.b"] == 1
        await wire.answer(wire.update(llm={"provider": "d"}))
        assert await answer(wire) == "llm.d answers."
        assert (vendors.open["llm.a"], vendors.open["llm.b"]) == (0, 0)
        assert failovers(wire) == [("llm", "b", "unavailable"), ("llm", "d", None)]
        await wire.answer(wire.update(llm={"provider": "a"}))
        assert await answer(wire) == "llm.b answers instead."


async def test_a_client_that_switches_while_a_provider_hangs_gets_its_choice(vendors: Vendors) -> None:
    """The turn continues with it."""
    vendors.before["llm.a"] = HANG
    async with connected(typist, vendors) as wire:
        await write(wire)
        await wire.answer(wire.update(llm={"provider": "d"}))
        await later(wire, 11.0)
        assert vendors.was_asked() == ["llm.a", "llm.d"]


async def test_a_client_that_switches_while_the_next_provider_opens_gets_its_choice(vendors: Vendors) -> None:
    """The next provider of the former choice is closed again, and serves nobody."""
    vendors.before["llm.a"], vendors.opening["llm.b"] = failure("unavailable"), (opens := anyio.Event())
    async with connected(typist, vendors) as wire:
        summary = wire.call("bot:summarise")
        await settle()
        await wire.answer(wire.update(llm={"provider": "d"}))
        opens.set()
        assert await wire.result(summary) == "llm.d answers."
        assert await answer(wire) == "llm.d answers."
        assert failovers(wire) == []
        assert vendors.open["llm.b"] == 0


async def test_a_client_may_choose_the_provider_that_opens(vendors: Vendors) -> None:
    """It is open once, and the client sets its options."""

    @bot(
        services={"llm": [Failover("a", "b"), Failover("b", "a")]},
        config={"llm.b": {"style": " instead"}},
        client=["llm.provider", "llm.style"],
        public=True,
    )
    async def either(session: Session, /, llm: LLM) -> None:
        await converse(session, llm=llm)

    vendors.before["llm.a"], vendors.opening["llm.b"] = failure("unavailable"), [opens := anyio.Event()]
    async with connected(either, vendors) as wire:
        await write(wire)
        await wire.answer(wire.update(llm={"provider": "b"}))
        opens.set()
        await settle()
        assert vendors.was_asked() == ["llm.a", "llm.b"]
        await wire.answer(wire.update(llm={"style": " loudly"}))
        assert await answer(wire) == "llm.b answers loudly."
        assert (vendors.open["llm.a"], vendors.open["llm.b"]) == (0, 1)


async def test_a_client_sees_and_sets_the_provider_that_it_has_chosen(vendors: Vendors) -> None:
    """The replacement has its own options, which the client does not see."""
    vendors.before["llm.a"] = failure("unavailable")
    async with connected(typist, vendors) as wire:
        await answer(wire)
        assert (await wire.config())["llm"] == {"provider": "a", "style": ""}
        await wire.answer(wire.update(llm={"style": " again"}))
        assert await answer(wire) == "llm.b answers instead."
        assert await wire.result(wire.call("llm:whoami")) == "llm.a"
        del vendors.before["llm.a"]
        wire.clock.advance(6.0)
        assert await answer(wire) == "llm.a answers again."


async def test_an_alternative_keeps_its_options_whatever_their_type(vendors: Vendors) -> None:
    """Its options are set once, and it stays open from turn to turn."""

    def tone(llm: Any, /, tone: Tone = Tone(), more: Sequence[Tone] = (Tone(),)) -> None:
        tones.append(tone)

    tones = list[Tone]()
    tone.__module__ = vendors.__name__
    vars(vendors)["tone_b"] = options(vars(vendors)["llm_b"])(tone)
    vendors.before["llm.a"] = failure("unavailable")
    async with connected(typist, vendors) as wire:
        for _ in range(3):
            assert await answer(wire) == "llm.b answers instead."
        assert vendors.open["llm.b"] == 1
        assert tones == [Tone()]


async def test_clients_choose_only_what_the_bot_lists(vendors: Vendors) -> None:
    """Clients cannot choose a provider that only takes over."""
    async with connected(typist, vendors) as wire:
        error = await wire.error(wire.update(llm={"provider": "b"}))
        assert error["code"] == "unknown-provider"
        described = (await wire.answer(wire.send("describe-config", {})))["data"]["config"]
        assert [each.get("failover") for each in described] == [["b"]]
        (provider,) = [each for each in described[0]["options"] if each["name"] == "provider"]
        assert provider["schema"]["enum"] == ["a", "d"]


async def test_a_client_that_becomes_ready_is_told_who_serves(vendors: Vendors) -> None:
    """The first provider could not be opened."""
    vendors.opening["llm.a"] = failure("unavailable")
    async with connected(typist, vendors) as wire:
        assert failovers(wire) == [("llm", "b", "unavailable")]


# ---- speech ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [failure("unavailable"), HANG, MUTE, EMPTY])
async def test_the_next_voice_speaks_the_whole_text(vendors: Vendors, fault: Any) -> None:
    """The user had heard nothing of it."""
    vendors.before["tts.a"] = fault
    vendors.pieces["llm.a"] = [Text("Good day. How are you?")]
    async with connected(talker, vendors, audio=RATE) as wire:
        await write(wire)
        await silence(wire, 8.0)
        assert spoken(wire).split() == ["Good", "day.", "How", "are", "you?"]
        assert failures(wire) == []
        assert [who for who, *_ in failovers(wire)] == ["tts"]


async def test_if_all_voices_are_mute_the_answer_is_shown(vendors: Vendors) -> None:
    """As with a single one. None of them is left out afterwards."""
    vendors.before |= {"tts.a": MUTE, "tts.b": MUTE}
    async with connected(talker, vendors, audio=RATE) as wire:
        await write(wire)
        await silence(wire, 3.0)
        assert await said(wire) == [("user", "go"), ("assistant", "llm.a answers.")]
        assert (spoken(wire), failures(wire)) == ("", ["The TTS gave no answer."])
        vendors.before.clear()
        await write(wire)
        await silence(wire, 3.0)
        assert spoken(wire).split() == ["llm.a", "answers."]
        assert vendors.was_asked()[-1] == "tts.a"


async def test_a_voice_that_waits_for_text_is_not_silent(vendors: Vendors) -> None:
    """The limit does not run while the LLM writes."""
    vendors.pieces["llm.a"] = [Text("Good day. ")]
    vendors.after["llm.a"] = HANG
    vendors.before["tts.a"] = ""
    async with connected(talker, vendors, audio=RATE) as wire:
        await write(wire)
        await silence(wire, 8.0)
        assert failovers(wire) == []


async def test_a_voice_that_begins_with_the_end_of_the_text_is_not_silent(vendors: Vendors) -> None:
    """The LLM pauses for longer than a voice may be silent."""
    vendors.pieces["llm.a"] = [Text("Good day. ")]
    vendors.after["llm.a"] = (writes := anyio.Event())
    vendors.before["tts.a"] = LATE
    async with connected(talker, vendors, audio=RATE) as wire:
        await write(wire)
        await silence(wire, 8.0)
        writes.set()
        await silence(wire, 2.0)
        assert spoken(wire).split() == ["Good", "day."]
        assert failovers(wire) == []


async def test_a_voice_that_breaks_off_is_replaced_in_the_next_answer(vendors: Vendors) -> None:
    """The user has heard a part, so the rest is shown as text."""
    vendors.after["tts.a"] = failure("unavailable")
    vendors.pieces["llm.a"] = [Text("Good day. How are you?")]
    async with connected(talker, vendors, audio=RATE) as wire:
        await write(wire)
        await silence(wire, 3.0)
        assert spoken(wire).split() == ["Good", "day."]
        assert len(failures(wire)) == 1
        await write(wire)
        await silence(wire, 3.0)
        assert spoken(wire).split()[-2:] == ["llm.a", "answers."]
        assert failovers(wire) == [("tts", "b", "unavailable")]


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("fault", [failure("unavailable"), failure("auth"), HANG])
async def test_the_next_recogniser_gets_the_whole_utterance(vendors: Vendors, moment: str, fault: Any) -> None:
    """This is true also if the first one has shown interim transcripts."""
    (vendors.before if moment == "before" else vendors.after)["stt.a"] = fault
    async with connected(talker, vendors, audio=RATE) as wire:
        await speak(wire, 2, 0.5)
        await silence(wire, 14.0 if fault == HANG else 3.0)
        assert failures(wire) == []
        assert (await said(wire))[0] == ("user", "what time is it")
        assert [who for who, *_ in failovers(wire)] == ["stt"]


async def test_if_no_recogniser_works_the_user_is_told_once(vendors: Vendors) -> None:
    """The behaviour is the same as without a `Failover`."""
    vendors.before |= {"stt.a": HANG, "stt.b": HANG}
    async with connected(talker, vendors, audio=RATE) as wire:
        await speak(wire, 2, 0.5)
        await silence(wire, 24.0)
        assert failures(wire) == []
        await silence(wire, 4.0)
        assert failures(wire) == ["The STT did not answer in time."]
