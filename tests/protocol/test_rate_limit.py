"""The rate limit: every frame is charged by its size and by the work that it causes, and a flood ends the session."""

from __future__ import annotations

import json
import re
from array import array
from typing import Any

import pytest

from rtvi_plugins import Session, action, bot
from rtvi_plugins.errors import RateLimited, Unauthorized
from rtvi_plugins.hosting import Limits, ManualClock
from rtvi_plugins.kinds import Audio
from rtvi_plugins.protocol.rate_limit import AddressRates, Rate, frame_units, text_units
from rtvi_plugins.session import Listener
from tests.fakes.faulty import faulty
from tests.fakes.wire import OPERATOR, Wire, connected, host_of, settle

#: A 20 ms frame of a microphone.
FRAME = Audio(array("h", [500] * 320).tobytes(), 16_000)
_LIMITS = Limits(rate=10.0, burst=10)


def test_a_bucket_fills_with_time_and_not_beyond_its_burst() -> None:
    """After a pause of any length, a client may send at most `burst` units at once."""
    rate = Rate(_LIMITS, 0.0)
    assert [rate.take(1.0, 0.0) for _ in range(11)] == [True] * 10 + [False]
    assert [rate.take(1.0, 100.0) for _ in range(11)] == [True] * 10 + [False]


def test_what_costs_more_than_the_bucket_holds_passes_when_it_is_half_full() -> None:
    """A small burst does not make a large message impossible: the client waits longer for the next one."""
    rate = Rate(_LIMITS, 0.0)
    assert rate.take(1.0, 0.0)
    assert rate.take(28.0, 0.0)
    assert not rate.take(1.0, 1.0)
    assert rate.take(1.0, 4.0)


def test_work_that_was_done_delays_and_makes_no_flood() -> None:
    """A long answer does not end the session of a client that continues normally."""
    rate = Rate(_LIMITS, 0.0)
    rate.charge(1_000_000.0)
    assert rate.in_debt
    assert not rate.take(1.0, 0.0)
    assert not rate.flooded
    assert rate.take(1.0, 3.0)


def test_a_client_that_continues_after_it_was_refused_is_a_flood() -> None:
    """A client that waits is not a flood, whatever it has sent before."""
    rate = Rate(_LIMITS, 0.0)
    for _ in range(29):
        rate.take(1.0, 0.0)
    assert not rate.flooded
    assert rate.take(1.0, 3.0)
    assert not rate.flooded
    for _ in range(30):
        rate.take(1.0, 3.0)
    assert rate.flooded


def test_a_debt_is_bounded() -> None:
    """A longer flood does not lock out an address for longer."""
    rate = Rate(_LIMITS, 0.0)
    for _ in range(100_000):
        rate.take(1.0, 0.0)
    assert not rate.take(1.0, 3.0)
    assert rate.take(1.0, 4.0)


def test_each_address_has_a_rate_of_its_own() -> None:
    """One address that sends too much is refused. Others are not."""
    rates = AddressRates(_LIMITS)
    assert [rates.take("a", 100, 0.0) for _ in range(4)] == [True, True, False, False]
    assert rates.take("b", 100, 0.0)
    assert rates.take("a", 100, 4.0)


def test_a_large_body_costs_more_than_a_short_one() -> None:
    """The next request of its address has to wait."""
    rates = AddressRates(_LIMITS)
    assert rates.take("a", 1_048_576, 0.0)
    assert not rates.take("a", 2, 1.0)


def test_of_very_many_addresses_the_latest_are_remembered() -> None:
    """So the memory is bounded."""
    rates = AddressRates(_LIMITS)
    for number in range(10_000):
        rates.take(f"10.0.{number}", 2, 0.0)
    assert len(rates._known) <= 4_096  # pyright: ignore[reportPrivateUsage]


@pytest.mark.anyio
async def test_a_host_counts_the_starts_of_an_address_and_not_those_of_the_operator() -> None:
    """A wrong secret is refused before the body is parsed."""
    async with host_of(faulty, limits=_LIMITS) as host:
        for _ in range(100):
            host.charge(1_048_576, secret=OPERATOR, address="a")
        with pytest.raises(Unauthorized):
            host.charge(2, secret="wrong", address="a")
        host.charge(2, secret=OPERATOR, address="a")
    async with host_of(open_to_all, limits=_LIMITS) as host:
        host.charge(1_048_576, address="a")
        with pytest.raises(RateLimited):
            host.charge(2, address="a")
        host.charge(2, address="b")
        host.charge(2)


@pytest.mark.anyio
async def test_attempts_with_a_wrong_secret_are_counted() -> None:
    """An address cannot try secrets as fast as it can. The operator's starts are still accepted."""
    async with host_of(faulty, limits=_LIMITS) as host:
        with pytest.raises(Unauthorized):
            host.charge(1_048_576, secret="wrong", address="a")
        with pytest.raises(RateLimited):
            host.charge(2, secret="wrong", address="a")
        with pytest.raises(Unauthorized):
            host.charge(2, secret="wrong", address="b")
        host.charge(2, secret=OPERATOR, address="a")


@pytest.mark.anyio
async def test_attempts_at_the_operators_routes_are_counted() -> None:
    """Other routes of the operator, such as those with metrics, read the same secret."""
    async with host_of(faulty, limits=_LIMITS) as host:
        for _ in range(2):
            with pytest.raises(Unauthorized):
                host.check_operator("wrong", address="a")
        with pytest.raises(RateLimited):
            host.check_operator("wrong", address="a")
        host.check_operator(OPERATOR, address="a")
        with pytest.raises(Unauthorized):
            host.check_operator(None, address="a")


@pytest.mark.anyio
async def test_requests_without_a_secret_count_like_starts() -> None:
    """Those of a session that the operator has started, too: its client has no secret."""
    async with host_of(faulty, limits=_LIMITS) as host:
        host.charge_address(1_048_576, "a")
        with pytest.raises(RateLimited):
            host.charge_address(2, "a")
        host.charge_address(2, "b")
        host.charge_address(1_048_576, None)
        host.charge_address(1_048_576, None)


@pytest.mark.anyio
async def test_an_address_whose_session_was_a_flood_waits_before_its_next_start() -> None:
    """A flood cannot continue in the next session. Other addresses are not affected."""
    clock = ManualClock()
    async with host_of(open_to_all, limits=_LIMITS, clock=clock) as host:
        connection = host.claim((await host.start(address="a")).token)
        while connection.charge(0):
            pass
        await settle()
        host.charge(2, address="b")
        with pytest.raises(RateLimited):
            host.charge(2, address="a")
        clock.advance(3.0)
        host.charge(2, address="a")


@pytest.mark.anyio
async def test_a_flood_and_the_refused_starts_after_it_are_one_line_of_the_log_each(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The operator learns of it, and the log does not grow with it."""
    clock = ManualClock()
    async with host_of(open_to_all, limits=_LIMITS, clock=clock) as host:
        connections = [host.claim((await host.start(address=each)).token) for each in ("a", "b")]
        for connection in connections:
            while connection.charge(0):
                pass
        await settle()
        for _ in range(5):
            with pytest.raises(RateLimited):
                host.charge(2, address="a")
        first, second = caplog.messages
        assert re.sub(r"session \S+", "session …", first) == (
            "session … has ended: its client sent far more than Limits.rate allows"
        )
        assert second == "a request to start was refused: those of its address come too fast, or are too large"
        clock.advance(60.0)
        host.charge(1_048_576, address="a")
        with pytest.raises(RateLimited):
            host.charge(2, address="a")
        assert caplog.messages[-1].endswith("(4 more like this since the last such line)")


@bot(public=True)
async def open_to_all(session: Session, /) -> None:
    """A bot that does nothing."""


def test_long_frames_cost_more() -> None:
    """A message costs more than audio of the same size, because it is parsed and checked."""
    assert [text_units("x" * length) for length in (0, 512, 65_536)] == [1.0, 1.0, 128.0]
    assert (frame_units(0), frame_units(640), frame_units(65_536)) == (1.0, 1.0, 16.0)


def test_only_long_answers_cost_something() -> None:
    """The cost of an answer grows with its length."""
    rate = Rate(_LIMITS, 0.0)
    rate.charge_answer(4_096)
    assert rate.take(10.0, 0.0)
    rate = Rate(_LIMITS, 0.0)
    rate.charge_answer(40_960)
    assert not rate.take(1.0, 0.0)


class Ear(Listener):
    """A listener that counts the pieces of audio."""

    heard = 0

    def hear(self, audio: Audio) -> None:
        self.heard += 1

    def microphone(self, enabled: bool) -> None:
        raise AssertionError("nothing is switched here")


def test_many_small_values_cost_more_than_a_text_of_their_length() -> None:
    """Each value must be checked, which takes time. A text is not checked."""
    assert text_units(json.dumps([{"n": 1}] * 6_000, separators=(",", ":"))) > 300
    assert text_units(json.dumps([1] * 30_000, separators=(",", ":"))) > 900
    prose = json.dumps(
        {"content": "Well, this is a sentence as people write it, with a comma here and there and many words. " * 500}
    )
    assert text_units(prose) == len(prose) / 512


def closed_by_flood(wire: Wire) -> bool:
    """Whether the session has ended with the error and the close code of a flood."""
    fatal = [each for each in wire.data_of("error") if each["fatal"]]
    return wire.connection.closed and wire.connection.close_code == 1008 and fatal[-1]["code"] == "rate-limited"


@pytest.mark.anyio
async def test_a_flood_of_messages_gets_a_bounded_number_of_answers_and_then_the_end() -> None:
    """If the client never stops, the answers stop."""
    async with connected(faulty, limits=Limits(rate=10.0, burst=20)) as wire:
        for _ in range(10_000):
            wire.send("get-config", {})
        await settle()
        assert closed_by_flood(wire)
        assert len(wire.received) < 200


SILENT: dict[str, Any] = {"empty texts": "", "empty objects": "{}", "no JSON": "[", "no type": '{"label": "rtvi-ai"}'}


@pytest.mark.anyio
@pytest.mark.parametrize("text", SILENT.values(), ids=SILENT)
async def test_messages_that_are_none_cost_more_than_requests(text: str) -> None:
    """They are refused after a fifth as many as requests."""
    async with connected(faulty, limits=Limits(rate=10.0, burst=100)) as wire:
        for _ in range(30):
            wire.connection.receive(text)
        await settle()
        codes = [each["data"]["code"] for each in wire.answers("")]
        assert codes.count("invalid-message") == 20
        assert codes.count("rate-limited") == 10


@pytest.mark.anyio
async def test_frames_that_hold_no_message_are_charged_too() -> None:
    """Pings, fragments and empty frames leave less for messages, and a flood of them ends the session."""
    async with connected(faulty, limits=Limits(rate=10.0, burst=20)) as wire:
        for _ in range(25):
            wire.connection.charge(0)
        assert (await wire.error(wire.send("get-config", {})))["code"] == "rate-limited"
        taken = [wire.connection.charge(0) for _ in range(1_000)]
        assert taken.count(True) < 40
        await settle()
        assert closed_by_flood(wire)


@pytest.mark.anyio
async def test_audio_of_a_client_in_debt_is_dropped() -> None:
    """Its audio is heard again after the client has waited."""
    ear = Ear()
    async with connected(faulty, limits=Limits(rate=10.0, burst=20), audio=16_000) as wire:
        with wire.connection.session.listening(ear):
            for _ in range(25):
                wire.connection.charge(len(FRAME.data))
                wire.connection.receive_audio(FRAME)
            assert ear.heard == 19  # one unit was for the client's being ready
            wire.clock.advance(2.0)
            wire.connection.charge(len(FRAME.data))
            wire.connection.receive_audio(FRAME)
            assert ear.heard == 20


@pytest.mark.anyio
async def test_a_large_message_is_charged_by_its_size() -> None:
    """The values that are checked in a second are bounded."""
    async with connected(faulty, limits=Limits(rate=10.0, burst=200)) as wire:
        sent = [wire.call("bot:echo", text="x" * 40_000) for _ in range(4)]
        await settle()
        codes = [wire.answers(id)[0]["data"].get("code") for id in sent]
        assert codes == [None, None, "rate-limited", "rate-limited"]


@action("bot")
async def count_cards(session: Session, /, cards: list[dict[str, int]]) -> int:
    """Count the cards."""
    return len(cards)


@bot(public=True, client=["bot:count_cards"])
async def counting(session: Session, /) -> None:
    """A bot whose action takes many values."""


@pytest.mark.anyio
@pytest.mark.parametrize("objects", [5_000, 6_000])
async def test_messages_that_take_long_to_check_do_not_follow_each_other(objects: int) -> None:
    """Each blocks the event loop for some milliseconds. The first one passes, and another one some seconds later."""
    async with connected(counting) as wire:
        for _ in range(3):
            sent = [wire.call("bot:count_cards", cards=[{"n": 1}] * objects) for _ in range(3)]
            await settle()
            codes = [wire.answers(id)[0]["data"].get("code") for id in sent]
            assert codes == [None, "rate-limited", "rate-limited"]
            wire.clock.advance(8.0)


@pytest.mark.anyio
async def test_a_large_answer_is_charged_by_its_size() -> None:
    """A short request with a long answer costs more."""
    async with connected(faulty, limits=Limits(rate=10.0, burst=200)) as wire:
        await wire.result(wire.call("bot:echo", text="x" * 50_000, times=9))
        assert (await wire.error(wire.send("get-config", {})))["code"] == "rate-limited"
        wire.clock.advance(5.0)
        assert (await wire.answer(wire.send("get-config", {})))["type"] == "config"


@pytest.mark.anyio
async def test_a_polite_client_is_never_limited() -> None:
    """With the default limits, it may send audio at 50 frames a second, ten requests a second, and 200 at once."""
    async with connected(faulty, audio=16_000) as wire:
        for _ in range(200):
            wire.send("get-config", {})
            await settle()
        for step in range(1_500):
            wire.clock.advance(0.02)
            wire.connection.charge(len(FRAME.data))
            wire.connection.receive_audio(FRAME)
            wire.connection.charge(0)
            if step % 5 == 0:
                wire.send("describe-actions", {})
        await settle()
        assert not wire.connection.closed
        assert [each for each in wire.received if "rate-limited" in json.dumps(each)] == []
