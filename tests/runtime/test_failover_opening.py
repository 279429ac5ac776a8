"""A `Failover` whose providers cannot be opened, or die: sessions start and continue with the others."""

from __future__ import annotations

import logging
from typing import Any

import anyio
import pytest

from rtvi_plugins import LLM, Failover, Session, bot, converse
from rtvi_plugins.declare.grant import Grant
from rtvi_plugins.errors import BotError, DeclarationError, PluginError, StartFailed
from rtvi_plugins.hookspecs import hookimpl
from rtvi_plugins.hosting import Host, Limits, ManualClock

from ..fakes.conversation import failures, write
from ..fakes.vendors import HANG, Vendors, failure
from ..fakes.wire import OPERATOR, Wire, connected, connection_to, host_of, settle

pytestmark = pytest.mark.anyio


@bot(services={"llm": Failover("a", "b")}, client=["llm.style", "llm:whoami"], public=True)
async def typist(session: Session, /, llm: LLM) -> None:
    """A bot that answers in text."""
    await converse(session, llm=llm)


@bot(services={"llm": Failover("c", "a")}, public=True)
async def keyed(session: Session, /, llm: LLM) -> None:
    """A bot whose first provider needs a key."""
    await converse(session, llm=llm)


@bot(services={"llm": Failover("a", "b", "d")}, public=True)
async def three(session: Session, /, llm: LLM) -> None:
    """A bot whose LLM has two alternatives."""
    await converse(session, llm=llm)


@pytest.fixture
def vendors() -> Vendors:
    """Vendors that all work."""
    return Vendors()


async def answer(wire: Wire) -> str:
    """The bot's next answer to a typed text."""
    before = len(wire.data_of("bot-llm-text"))
    await write(wire)
    return "".join(each["text"] for each in wire.data_of("bot-llm-text")[before:])


async def test_a_session_starts_with_the_next_provider(vendors: Vendors) -> None:
    """The first provider is opened during a later turn. It serves from the next turn on, with the client's values."""
    vendors.opening["llm.a"] = failure("unavailable")
    async with connected(typist, vendors) as wire:
        assert await answer(wire) == "llm.b answers."
        await wire.answer(wire.update(llm={"style": " loudly"}))
        assert "provider-failed" in str(await wire.error(wire.call("llm:whoami")))
        del vendors.opening["llm.a"]
        wire.clock.advance(6.0)
        assert await answer(wire) == "llm.b answers."
        assert vendors.open["llm.a"] == 1
        assert await answer(wire) == "llm.a answers loudly."
        assert await wire.result(wire.call("llm:whoami")) == "llm.a"
    assert set(vendors.open.values()) == {0}


async def test_the_first_provider_is_opened_at_once_if_it_is_the_last_hope(vendors: Vendors) -> None:
    """The turn waits for it."""
    vendors.opening["llm.a"] = failure("unavailable")
    async with connected(typist, vendors) as wire:
        vendors.opening.clear()
        vendors.before["llm.b"] = failure("unavailable")
        assert await answer(wire) == "llm.a answers."


async def test_the_first_provider_is_opened_beside_if_there_is_another(vendors: Vendors) -> None:
    """The turn does not wait for it."""
    vendors.opening["llm.a"] = [failure("unavailable"), HANG]
    async with connected(three, vendors) as wire:
        vendors.before["llm.b"] = failure("unavailable")
        wire.clock.advance(6.0)
        assert await answer(wire) == "llm.d answers."
        assert await answer(wire) == "llm.d answers."
        assert vendors.opening["llm.a"] == []


async def test_a_new_session_does_not_open_what_fails(vendors: Vendors) -> None:
    """It would only wait in vain."""
    clock = ManualClock()
    async with host_of(typist, vendors, clock=clock) as host:
        vendors.before["llm.a"] = failure("unavailable")
        async with connection_to(host, clock) as wire:
            wire.send("client-ready", {"version": "2.1.0"})
            assert await answer(wire) == "llm.b answers."
        await settle()
        async with connection_to(host, clock) as wire:
            assert (vendors.open["llm.a"], vendors.open["llm.b"]) == (0, 1)
            wire.send("client-ready", {"version": "2.1.0"})
            assert await answer(wire) == "llm.b answers."


async def stay(host: Host, clock: ManualClock) -> None:
    """Open a session, and never leave it."""
    async with connection_to(host, clock):
        await anyio.sleep_forever()


async def test_one_session_at_a_time_opens_what_fails(vendors: Vendors) -> None:
    """The start of the other sessions does not wait for it."""
    vendors.opening["llm.a"] = [failure("unavailable"), HANG]
    clock = ManualClock()

    async with host_of(typist, vendors, clock=clock) as host, anyio.create_task_group() as tasks:
        async with connection_to(host, clock):
            clock.advance(6.0)
            tasks.start_soon(stay, host, clock)
            await settle()
            async with connection_to(host, clock):
                assert (vendors.open["llm.a"], vendors.open["llm.b"]) == (0, 2)
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("moment", ["its pause", "a trial"])
async def test_a_new_session_prefers_an_alternative_that_works(vendors: Vendors, moment: str) -> None:
    """It waits neither for a provider that fails nor for one that another session is opening."""
    faults: list[Any] = [failure("unavailable"), HANG, HANG]
    vendors.opening |= {"llm.a": failure("unavailable"), "llm.b": faults}
    clock = ManualClock()

    async with host_of(three, vendors, clock=clock) as host, anyio.create_task_group() as tasks:
        async with connection_to(host, clock):
            pass
        if moment == "a trial":
            clock.advance(6.0)
            tasks.start_soon(stay, host, clock)
            await settle()
        left = len(faults)
        async with connection_to(host, clock):
            assert (vendors.open["llm.b"], vendors.open["llm.d"]) == (0, 1)
            assert len(faults) == left
        tasks.cancel_scope.cancel()


async def test_an_alternative_that_fails_is_opened_if_no_other_can_be(vendors: Vendors) -> None:
    """A session without a provider would be worse."""
    vendors.opening |= {"llm.a": failure("unavailable"), "llm.b": [failure("unavailable")]}
    clock = ManualClock()
    async with host_of(three, vendors, clock=clock) as host, connection_to(host, clock):
        vendors.opening["llm.d"] = failure("unavailable")
        async with connection_to(host, clock):
            assert (vendors.open["llm.b"], vendors.open["llm.d"]) == (1, 1)


async def test_what_can_be_opened_again_is_used(vendors: Vendors) -> None:
    """To open it was no trial: the first turn is."""
    vendors.opening["llm.a"] = [failure("unavailable")]
    clock = ManualClock()
    async with host_of(typist, vendors, clock=clock) as host, connection_to(host, clock):
        clock.advance(6.0)
        async with connection_to(host, clock) as wire:
            wire.send("client-ready", {"version": "2.1.0", "about": {"library": "test"}})
            assert await answer(wire) == "llm.a answers."


async def test_if_none_can_be_opened_the_start_says_why_the_first_cannot(vendors: Vendors) -> None:
    """The client may try again."""
    vendors.opening |= {"llm.a": failure("timeout"), "llm.b": failure("quota")}
    async with host_of(typist, vendors) as host:
        with pytest.raises(StartFailed, match=r"'llm' \(a\) could not be opened. vendor did not answer in time"):
            await host.start(secret=OPERATOR)
        del vendors.opening["llm.a"]  # it fails, as far as anybody knows, but there is no other
        await host.start(secret=OPERATOR)
        assert vendors.open["llm.a"] == 1
    assert set(vendors.open.values()) == {0}


@pytest.mark.parametrize(("category", "pause"), [("unavailable", 5.0), ("auth", 60.0), ("quota", 60.0)])
async def test_a_provider_that_cannot_be_opened_is_reported_with_its_reason(
    vendors: Vendors, category: str, pause: float
) -> None:
    """A refused key does not pass as quickly as an overloaded vendor, and only the operator can mend it."""
    vendors.opening["llm.a"] = failure(category)
    async with connected(typist, vendors) as wire:
        assert [each["category"] for each in wire.data_of("server-message")] == [category]
        (failing,) = wire.host.failing_providers.values()
        assert (failing["category"], failing["retry_seconds"]) == (category, pause)


async def test_a_next_provider_that_cannot_be_opened_is_passed_over(vendors: Vendors) -> None:
    """The turn fails as it would without this provider."""
    vendors.before["llm.a"] = failure("unavailable")
    vendors.opening["llm.b"] = failure("unavailable")
    async with connected(typist, vendors) as wire:
        await write(wire)
        assert failures(wire) == ["vendor is not available."]


async def test_a_provider_that_does_not_open_in_time_is_passed_over(vendors: Vendors) -> None:
    """The time is `Limits.open_seconds`."""
    vendors.opening["llm.a"] = HANG
    async with connected(typist, vendors, limits=Limits(open_seconds=0.05)) as wire:
        assert await answer(wire) == "llm.b answers."


@pytest.mark.parametrize("environ", [{}, {"C_API_KEY": " "}, {"C_API_KEY": "key-of-a-test"}])
async def test_a_missing_key_is_logged_and_the_bot_starts(
    vendors: Vendors, environ: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """The log has it once, when the process starts."""
    has_key = bool(environ.get("C_API_KEY", "").strip())
    caplog.set_level(logging.WARNING, "rtvi_plugins")
    clock = ManualClock()
    async with host_of(keyed, vendors, clock=clock, environ=environ) as host:
        for _ in range(2):
            async with connection_to(host, clock) as wire:
                wire.send("client-ready", {"version": "2.1.0"})
                for _ in range(2):
                    assert await answer(wire) == f"llm.{'c' if has_key else 'a'} answers."
        assert host.failing_providers == {}
    told = [each.getMessage() for each in caplog.records]
    assert told == ([] if has_key else ["llm.c of a Failover has no key. Set C_API_KEY."])


async def test_keys_of_one_user_say_nothing_about_those_of_others(vendors: Vendors) -> None:
    """A refused key belongs to one user."""
    clock, vendors.before["llm.c"] = ManualClock(), [failure("auth")]
    async with host_of(keyed, vendors, clock=clock, environ={"C_API_KEY": "key-of-a-test"}) as host:
        async with connection_to(host, clock, {"api_keys": {"c": "another-key-of-a-test"}}) as wire:
            wire.send("client-ready", {"version": "2.1.0"})
            assert await answer(wire) == "llm.a answers."
            assert host.failing_providers == {}
        async with connection_to(host, clock) as wire:
            wire.send("client-ready", {"version": "2.1.0"})
            assert await answer(wire) == "llm.c answers."


async def test_the_hook_is_called_with_who_serves(vendors: Vendors) -> None:
    """The hook is called when another provider takes over, and when the first one serves again."""
    seen: list[tuple[str, str, str, str | None]] = []

    def provider_changed(service: str, provider: str, chosen: str, category: str | None) -> None:
        seen.append((service, provider, chosen, category))

    vars(vendors)["provider_changed"] = hookimpl(provider_changed)
    vendors.before["llm.a"] = failure("rate")
    async with connected(typist, vendors) as wire:
        await answer(wire)
        del vendors.before["llm.a"]
        wire.clock.advance(6.0)
        await answer(wire)
    assert seen == [("llm", "b", "a", "rate"), ("llm", "a", "a", None)]


# ---- declaring -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("providers", "more", "sentence"),
    [
        (("a",), {}, "takes two providers or more"),
        (("a", "?"), {}, "takes two providers or more"),
        (("a", 2), {}, "takes two providers or more"),
        (("a", "b"), {"seconds": 0}, "takes seconds= as a number above 0"),
        (("a", "b"), {"seconds": "10"}, "takes seconds= as a number above 0"),
    ],
)
def test_a_mistake_in_a_failover_surfaces_at_its_line(providers: Any, more: Any, sentence: str) -> None:
    """It is raised before a bot is made of it."""
    with pytest.raises(DeclarationError, match=sentence) as raised:
        Failover(*providers, **more)
    assert "test_failover_opening.py" in str(raised.value)


@pytest.mark.parametrize("providers", [Failover("a", "b", "a"), [Failover("a", "b"), "a"]])
def test_a_provider_that_is_named_twice_is_rejected(providers: Any) -> None:
    """Nobody could say which of the two is meant."""
    with pytest.raises(DeclarationError, match="names 'a' for 'llm' twice"):

        @bot(services={"llm": providers})
        async def twice(session: Session, /, llm: LLM) -> None: ...


def test_a_provider_that_takes_over_must_be_installed(vendors: Vendors) -> None:
    """A name with a question mark may be missing."""

    @bot(services={"llm": Failover("a", "nowhere")})
    async def lacking(session: Session, /, llm: LLM) -> None: ...

    with pytest.raises(PluginError, match="nowhere"):
        Host(lacking, modules=[vendors])

    @bot(
        services={"llm": Failover("nowhere?", "a", "b")},
        config={"llm.nowhere": {"style": "x"}, "llm.b": {"style": "y"}},
    )
    async def optional(session: Session, /, llm: LLM) -> None: ...

    service = Host(optional, modules=[vendors]).registry.services["llm"]
    assert (service.default, [each.labels for each in service.chosen_from.values()]) == ("a", [("a", "b")])


def test_grants_and_config_may_name_its_providers(vendors: Vendors) -> None:
    """Mistakes in them are found."""

    @bot(services={"llm": Failover("a", "b")}, config={"llm.b": {"stile": "x"}}, client=[Grant("llm.style")])
    async def mistaken(session: Session, /, llm: LLM) -> None: ...

    with pytest.raises(BotError, match=r"llm\.b\.stile"):
        Host(mistaken, modules=[vendors])
