"""How a bot waits for its own speech, and calls functions later: `Session.spoken` and `Session.call_after`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from rtvi_plugins import LLM, STT, TTS, VAD, Session, action, bot, converse
from rtvi_plugins.clock import Timer
from rtvi_plugins.errors import AuthorError
from rtvi_plugins.kinds import Text, ToolCall
from rtvi_plugins.limits import Limits
from rtvi_plugins.session import Say

from ..fakes.conversation import FORTY, shown, spoken, types, wait, write
from ..fakes.providers import RATE, WAIT, Fakes
from ..fakes.wire import Wire, connected, settle

pytestmark = pytest.mark.anyio

SESSIONS: list[Session] = []
ENDS: list[bool] = []


@bot(
    services={"llm": "scripted", "stt": "script", "tts": "spell", "vad": "code"},
    client="tts:say tts:interrupt bot:remind bot:announce bot:leave".split(),
    functions=["bot:announce"],
    public=True,
)
async def talker(session: Session, /, llm: LLM, stt: STT, tts: TTS, vad: VAD) -> None:
    """A bot that shows something whenever it has finished speaking."""
    SESSIONS.append(session)

    async def follow() -> None:
        while True:
            ENDS.append(await session.spoken())
            session.send({"show": "buttons"})

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(follow)
        await converse(session, llm=llm, stt=stt, tts=tts, vad=vad)


@action(talker)
async def announce(session: Session, /, text: str) -> bool:
    """Say something, and return whether it was heard."""
    session.submit(Say(text))
    return await session.spoken()


@action(talker)
async def remind(session: Session, /, seconds: float) -> None:
    """Say something later."""
    session.call_after(seconds, lambda: session.submit(Say("Time is up.")))


@action(talker)
async def leave(session: Session, /) -> None:
    """End the session after the goodbye."""
    session.close("they left")


def talking(fakes: Fakes, *, audio: int | None = RATE, limits: Limits | None = None) -> Any:
    """A session. Its client is ready."""
    SESSIONS.clear()
    ENDS.clear()
    return connected(talker, fakes, audio=audio, limits=limits)


def call(wire: Wire, name: str, **arguments: Any) -> str:
    """Call an action of the bot, as clients of 1.0 and later do."""
    return wire.send("client-message", {"t": "action", "d": {"service": "bot", "action": name, "arguments": arguments}})


# ---- spoken ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("audio", [RATE, None])
async def test_a_bot_learns_when_its_speech_was_heard(audio: int | None) -> None:
    """It learns this once for each turn, and not before its end. In a text session, it is when the text was sent."""
    fakes = Fakes([Text(FORTY)], [Text("Fine.")])
    async with talking(fakes, audio=audio) as wire:
        await write(wire)
        assert (ENDS == []) is (audio is not None)
        await wait(wire, 3.0)
        assert ENDS == [True]
        await write(wire)
        await wait(wire, 1.0)
        assert ENDS == [True, True]
        sequence = types(wire)
        assert sequence.index("server-message") > sequence.index("bot-turn-ended")


async def test_a_bot_learns_that_its_speech_was_interrupted() -> None:
    """Also if only a waiting text was dropped."""
    fakes = Fakes([Text(FORTY)])
    async with talking(fakes) as wire:
        await write(wire)
        await wait(wire, 0.5)
        await wire.result(wire.call("tts:interrupt"))
        await wait(wire, 0.5)
        assert ENDS == [False]


async def test_an_action_waits_until_its_text_was_heard() -> None:
    """The text comes after earlier speech. The action returns when it was heard."""
    fakes = Fakes([Text(FORTY)])
    async with talking(fakes) as wire:
        await write(wire)
        asked = call(wire, "announce", text="Your taxi is here.")
        await wait(wire, 2.5)
        assert wire.answers(asked) == []
        await wait(wire, 1.0)
        assert (await wire.answer(asked))["data"]["d"] is True
        assert spoken(wire).split() == [*FORTY.split(), "Your", "taxi", "is", "here."]


async def test_a_text_that_was_dropped_was_not_heard() -> None:
    """The wait for it ends nevertheless."""
    fakes = Fakes([Text(FORTY)])
    async with talking(fakes) as wire:
        await write(wire)
        asked = call(wire, "announce", text="Your taxi is here.")
        await wait(wire, 0.5)
        await wire.result(wire.call("tts:interrupt"))
        assert (await wire.answer(asked))["data"]["d"] is False


async def test_a_function_that_the_turn_waits_for_cannot_wait_for_the_turn(caplog: pytest.LogCaptureFixture) -> None:
    """It fails at once and not only at its deadline. The log says what to do."""
    fakes = Fakes([ToolCall("1", "announce", {"text": "One moment."})], [Text("Done.")])
    async with talking(fakes) as wire:
        with caplog.at_level(logging.ERROR, "rtvi_plugins"):
            await write(wire)
            await wait(wire, 2.0)
        assert "session.spoken() waits for the end of the turn" in caplog.text
        assert shown(wire) == ["Done.", "One moment."]


@bot(client=["bot:order"], public=True)
async def hasty(session: Session, /) -> None:
    """Submit the next texts in the turn of the first one. The turn of the second text never ends."""
    SESSIONS.append(session)
    async for each in session.inputs():
        async with session.turn(interruptible=False):
            session.send({"starts": each.text if isinstance(each, Say) else ""})
            if each == Say("first"):
                session.submit(Say("second"))
                session.submit(Say("third"))
                session.interrupt()
            else:
                await anyio.sleep_forever()
        session.submit(Say("fourth"))


@action(hasty)
async def order(session: Session, /) -> bool:
    """Say the first text, and return whether it was heard."""
    session.submit(Say("first"))
    return await session.spoken()


async def test_a_later_submission_changes_nothing() -> None:
    """A turn that begins at once does not change it, and neither does a text that was dropped."""
    async with connected(hasty, Fakes(), audio=None) as wire:
        asked = call(wire, "order")
        assert (await wire.answer(asked))["data"]["d"] is True
        await settle()
        assert wire.data_of("server-message") == [{"starts": "first"}, {"starts": "fourth"}]


# ---- call_after ------------------------------------------------------------------------------------------------------


async def test_a_reminder_is_said_at_its_time() -> None:
    """The time is that of the session's clock."""
    fakes = Fakes()
    async with talking(fakes) as wire:
        call(wire, "remind", seconds=30)
        await settle()
        wire.clock.advance(29.9)
        await settle()
        assert shown(wire) == []
        wire.clock.advance(0.1)
        await settle()
        assert shown(wire) == ["Time is up."]


async def test_a_reminder_waits_for_the_end_of_a_turn() -> None:
    """It does not interrupt the turn, and is not spoken in the middle of it."""
    fakes = Fakes([Text(FORTY)])
    async with talking(fakes) as wire:
        call(wire, "remind", seconds=1)
        await write(wire)
        await wait(wire, 3.5)
        assert spoken(wire).split() == [*FORTY.split(), "Time", "is", "up."]
        assert "bot-interrupted" not in types(wire)


async def test_a_session_with_a_pending_reminder_is_not_idle() -> None:
    """Afterwards, the idle time begins again, as after a message. A cancelled timer keeps no session open."""
    fakes = Fakes()
    async with talking(fakes, audio=None, limits=Limits(idle_seconds=60.0)) as wire:
        call(wire, "remind", seconds=200)
        await settle()
        (session,) = SESSIONS
        session.call_after(5000.0, lambda: None).cancel()
        for _ in range(25):
            wire.clock.advance(10.0)
            await settle()
        assert (shown(wire), wire.connection.closed) == (["Time is up."], False)
        wire.clock.advance(10.0)
        await settle()
        assert [each["code"] for each in wire.data_of("error")] == ["session-idle"]
        assert wire.connection.closed


async def test_what_a_timer_does_not_await_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    """The error says what to write instead, at once or in the log."""

    async def later() -> None:
        raise AssertionError("this must not run")

    fakes = Fakes()
    async with talking(fakes) as wire:
        (session,) = SESSIONS
        hint = r"Write session\.call_after\(seconds, lambda: session\.start_soon\(function\)\)\."
        for mistake in (later, later()):
            with pytest.raises(AuthorError, match=hint):
                session.call_after(1.0, mistake)  # type: ignore[arg-type]
        with pytest.raises(AuthorError, match=r"write start_soon\(function, x\), not start_soon\(function\(x\)\)"):
            session.start_soon(later())  # type: ignore[arg-type]
        session.call_after(1.0, lambda: later())  # type: ignore[arg-type]
        wire.clock.advance(1.0)
    assert "<lambda>() (" in caplog.text
    assert "does not await what it calls" in caplog.text


async def test_a_timer_that_raises_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """The session continues."""

    def fail() -> None:
        raise ValueError("a mistake")

    fakes = Fakes()
    async with talking(fakes) as wire:
        (session,) = SESSIONS
        session.call_after(1.0, fail)
        session.call_after(2.0, lambda: session.submit(Say("Time is up.")))
        wire.clock.advance(2.0)
        await settle()
        assert shown(wire) == ["Time is up."]
    assert "fail() (" in caplog.text


async def test_a_timer_can_be_cancelled() -> None:
    """`call_after` returns the timer."""
    calls: list[str] = []
    fakes = Fakes()
    async with talking(fakes) as wire:
        (session,) = SESSIONS
        timer: Timer = session.call_after(1.0, lambda: calls.append("first"))
        session.call_after(2.0, lambda: calls.append("second"))
        timer.cancel()
        wire.clock.advance(5.0)
        assert calls == ["second"]


@pytest.mark.parametrize("end", ["close", "leave", "disconnect"])
async def test_no_timer_outlives_its_session(end: str, caplog: pytest.LogCaptureFixture) -> None:
    """No timer fires during a goodbye either, because nothing more may be said then."""
    fakes = Fakes([Text(FORTY), WAIT])
    async with talking(fakes) as wire:
        call(wire, "remind", seconds=1)
        await write(wire)
        ends: dict[str, Callable[[], object]] = {
            "close": lambda: call(wire, "leave"),
            "leave": lambda: wire.send("disconnect-bot", {}),
            "disconnect": lambda: wire.connection.disconnected(),
        }
        ends[end]()
        await settle()
        with caplog.at_level(logging.ERROR, "rtvi_plugins"):
            await wait(wire, 2.0)
        assert "Time is up." not in shown(wire)
        assert caplog.records == []
        if end != "close":
            assert wire.clock.next_due() > 1_000_000
