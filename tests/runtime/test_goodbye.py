"""The end of a session: what the bot is saying is heard first. Also notices that nothing interrupts."""

from __future__ import annotations

from typing import Any

import pytest

from rtvi_plugins import LLM, STT, TTS, VAD, Session, action, bot, converse
from rtvi_plugins.errors import SessionClosed
from rtvi_plugins.hosting import Limits
from rtvi_plugins.kinds import Text, ToolCall
from rtvi_plugins.session import Say

from ..fakes.conversation import silence, speak, spoken, wait
from ..fakes.providers import RATE, WAIT, Fakes
from ..fakes.wire import Wire, connected, settle

pytestmark = pytest.mark.anyio

GOODBYE = "Thank you, and goodbye."
NOTICE = "This call is recorded."


@bot(
    services={"llm": "scripted", "stt": "script", "tts": ["spell", "words"], "vad": "code"},
    client="tts:say tts:interrupt tts.provider llm:get_context bot:hang_up bot:leave".split(),
    functions=["bot:hang_up", "bot:leave", "bot:hang_on"],
    public=True,
)
async def talker(session: Session, /, llm: LLM, stt: STT, tts: TTS, vad: VAD) -> None:
    """A bot that holds a spoken conversation."""
    await converse(session, llm=llm, stt=stt, tts=tts, vad=vad)


@action(talker)
async def hang_up(session: Session, /) -> str:
    """End the session after the bot's present speech."""
    session.close("they said goodbye")
    return "ended"


@action(talker)
async def hang_on(session: Session, /) -> str:
    """Do nothing."""
    return "done"


@action(talker)
async def leave(session: Session, /) -> str:
    """End the session at once."""
    session.close("they said goodbye", now=True)
    return "ended"


@bot(services={"llm": "scripted", "stt": "script", "tts": "spell", "vad": "code"}, client=["tts:say"], public=True)
async def notifier(session: Session, /, llm: LLM, stt: STT, tts: TTS, vad: VAD) -> None:
    """A bot that begins with a notice that nothing interrupts."""
    await converse(session, llm=llm, stt=stt, tts=tts, vad=vad, greeting=Say(NOTICE, interruptible=False))


def talking(fakes: Fakes, which: Any = talker, **how: Any) -> Any:
    """A session with audio. Its client is ready."""
    return connected(which, fakes, audio=RATE, **how)


def heard(wire: Wire) -> str:
    """The audio of the bot that was sent to the client."""
    return spoken(wire).strip()


def users_words(wire: Wire) -> list[str]:
    """The user's words that the LLM was given."""
    return [each["text"] for each in wire.data_of("user-llm-text")]


# ---- the end of a session --------------------------------------------------------------------------------------------


async def test_what_the_llm_says_before_it_hangs_up_is_heard_and_it_is_not_asked_again() -> None:
    """The session ends when the last word was heard: not before, and not much later."""
    fakes = Fakes([Text(GOODBYE), ToolCall("c1", "hang_up", {})], [Text("Still here.")])
    async with talking(fakes) as wire:
        await speak(wire, 1, 0.5)
        await silence(wire, 1.0)
        assert not wire.connection.closed
        await silence(wire, 1.5)
        assert wire.connection.closed
        assert (wire.connection.close_code, wire.connection.close_reason) == (1000, "they said goodbye")
        assert heard(wire) == GOODBYE
        assert len(fakes.requests) == 1


async def test_an_llm_that_hangs_up_before_it_says_goodbye_is_asked_for_it() -> None:
    """A function call without text is not a goodbye."""
    fakes = Fakes([ToolCall("c1", "hang_up", {})], [Text(GOODBYE)])
    async with talking(fakes) as wire:
        await speak(wire, 1, 0.5)
        await silence(wire, 2.5)
        assert wire.connection.closed
        assert heard(wire) == GOODBYE


async def test_what_the_llm_said_before_other_functions_is_no_goodbye() -> None:
    """The LLM is asked for a goodbye once, and may refuse."""
    fakes = Fakes([Text("One moment."), ToolCall("c1", "hang_on", {})], [ToolCall("c2", "hang_up", {})], [Text("Bye.")])
    async with talking(fakes) as wire:
        await speak(wire, 1, 0.5)
        await silence(wire, 2.5)
        assert wire.connection.closed
        assert heard(wire) == "One moment. Bye."
    fakes = Fakes([Text("One moment."), ToolCall("c1", "hang_on", {})], [ToolCall("c2", "hang_up", {})], [])
    async with talking(fakes) as wire:
        await speak(wire, 1, 0.5)
        await silence(wire, 2.5)
        assert wire.connection.closed
        assert heard(wire) == "One moment."
        assert wire.data_of("error") == []


@pytest.mark.parametrize("how", ["client", "bot"])
async def test_everything_that_was_to_be_said_before_the_close_is_heard(how: str) -> None:
    """This includes texts that only waited in the queue."""
    fakes = Fakes()
    async with talking(fakes) as wire:
        if how == "client":
            wire.call("tts:say", text=GOODBYE)
            wire.call("tts:say", text="Bye!")
            wire.call("bot:hang_up")
        else:
            wire.connection.session.submit(Say(GOODBYE))
            wire.connection.session.submit(Say("Bye!"))
            wire.connection.close()
        await wait(wire, 1.0)
        assert not wire.connection.closed
        await wait(wire, 1.5)
        assert wire.connection.closed
        assert heard(wire) == f"{GOODBYE} Bye!"


async def test_what_waits_for_the_user_to_finish_is_heard_before_the_end() -> None:
    """The text was taken from the queue, and nothing of it was said yet."""
    fakes = Fakes()
    async with talking(fakes) as wire:
        await speak(wire, 1, 0.4)
        wire.connection.session.submit(Say(GOODBYE))
        await speak(wire, 1, 0.1)
        wire.connection.close()
        await silence(wire, 2.5)
        assert wire.connection.closed
        assert heard(wire) == GOODBYE


@pytest.mark.parametrize("how", ["now", "function", "disconnect-bot"])
async def test_a_session_ends_at_once_where_that_is_asked_for(how: str) -> None:
    """The rest of the speech is not heard."""
    fakes = Fakes([Text(GOODBYE), *([ToolCall("c1", "leave", {})] if how == "function" else [])])
    async with talking(fakes) as wire:
        wire.send("send-text", {"content": "bye", "options": {}})
        await settle()
        if how == "now":
            await wait(wire, 0.3)
            wire.connection.close("enough", now=True)
        elif how == "disconnect-bot":
            wire.send("disconnect-bot", {})
        await settle()
        assert wire.connection.closed
        assert len(heard(wire)) < 10


async def test_a_session_in_which_nothing_is_being_said_ends_at_once() -> None:
    """This is true also without `now`."""
    fakes = Fakes()
    async with talking(fakes) as wire:
        wire.connection.close("nothing to say")
        assert wire.connection.closed


async def test_a_close_at_once_overtakes_one_that_waits() -> None:
    """The second call decides when the session ends."""
    fakes = Fakes()
    async with talking(fakes) as wire:
        wire.connection.session.submit(Say(GOODBYE))
        await wait(wire, 0.2)
        wire.connection.close("soon")
        assert wire.connection.closing
        assert not wire.connection.closed
        wire.connection.close("now", now=True)
        assert wire.connection.closed
        assert wire.connection.close_reason == "now"


async def test_a_goodbye_that_is_never_made_keeps_no_session_open() -> None:
    """It takes at most `Limits.goodbye_seconds`."""
    fakes = Fakes(stall_after=3)
    async with talking(fakes, limits=Limits(goodbye_seconds=5)) as wire:
        wire.connection.session.submit(Say(GOODBYE))
        await settle()
        wire.connection.close()
        await wait(wire, 4.9)
        assert not wire.connection.closed
        await wait(wire, 0.2)
        assert wire.connection.closed


async def test_speaking_over_the_goodbye_does_not_cut_it_short() -> None:
    """What the user says then enters the context. Nobody answers it."""
    fakes = Fakes()
    async with talking(fakes) as wire:
        wire.connection.session.submit(Say(GOODBYE))
        await wait(wire, 0.1)
        wire.connection.close()
        await speak(wire, 3, 0.4)
        await silence(wire, 2.0)
        assert wire.connection.closed
        assert heard(wire) == GOODBYE
        assert wire.data_of("error") == []
        assert {"role": "user", "content": "stop"} in wire.connection.session.context.messages


async def test_an_interruption_of_the_goodbye_ends_the_session() -> None:
    """There is nothing left to hear."""
    fakes = Fakes()
    async with talking(fakes) as wire:
        wire.connection.session.submit(Say(GOODBYE))
        await wait(wire, 0.2)
        wire.connection.close()
        wire.call("tts:interrupt")
        await settle()
        assert wire.connection.closed


async def test_a_session_that_is_ending_takes_nothing_more() -> None:
    """The error tells the caller why."""
    fakes = Fakes()
    async with talking(fakes) as wire:
        wire.connection.session.submit(Say(GOODBYE))
        await settle()
        wire.connection.close()
        with pytest.raises(SessionClosed):
            wire.connection.session.submit(Say("One more thing."))
        refused = wire.send("send-text", {"content": "wait", "options": {}})
        assert (await wire.error(refused))["code"] == "session-closed"
        assert not wire.connection.closed
        await wait(wire, 2.0)
        assert wire.connection.closed
        assert heard(wire) == GOODBYE


@pytest.mark.parametrize(
    ("limits", "code"),
    [(Limits(session_seconds=1), "session-too-long"), (Limits(idle_seconds=1), "session-idle")],
    ids=["too long", "idle"],
)
async def test_a_session_at_its_limit_ends_after_what_is_being_said(limits: Limits, code: str) -> None:
    """The client is told the reason after it has heard everything."""
    fakes = Fakes([Text("A sentence of more than a second.")])
    async with talking(fakes, limits=limits) as wire:
        wire.send("send-text", {"content": "go", "options": {}})
        await wait(wire, 1.2)
        assert not wire.connection.closed
        assert wire.data_of("error") == []
        await wait(wire, 1.0)
        assert wire.connection.closed
        assert [(each["code"], each["fatal"]) for each in wire.data_of("error")] == [(code, True)]
        assert heard(wire) == "A sentence of more than a second."


async def test_the_goodbye_of_a_session_without_audio_is_sent_whole() -> None:
    """A client without audio hears nothing, so the session ends as soon as everything was sent."""
    fakes = Fakes([Text("Good"), ToolCall("c1", "hang_up", {}), Text("bye.")])
    async with connected(talker, fakes) as wire:
        wire.send("send-text", {"content": "bye", "options": {}})
        await settle()
        assert wire.connection.closed
        assert [each["text"] for each in wire.data_of("bot-transcription")] == ["Goodbye."]


async def test_without_audio_an_llm_that_hangs_up_first_is_asked_for_its_goodbye() -> None:
    """The same is true for a session with audio."""
    fakes = Fakes([ToolCall("c1", "hang_up", {})], [Text(GOODBYE)])
    async with connected(talker, fakes) as wire:
        wire.send("send-text", {"content": "bye", "options": {}})
        await settle()
        assert wire.connection.closed
        assert [each["text"] for each in wire.data_of("bot-transcription")] == [GOODBYE]


async def test_without_audio_everything_that_was_submitted_before_the_close_is_sent() -> None:
    """A text that waits for its answer, and a `Say`, are sent; then the session ends."""
    fakes = Fakes([Text("Yes.")])
    async with connected(talker, fakes) as wire:
        wire.send("send-text", {"content": "ready?", "options": {}})
        wire.connection.session.submit(Say(GOODBYE))
        wire.connection.session.submit(Say("Bye!"))
        wire.connection.close("enough")
        await settle()
        assert wire.connection.closed
        assert wire.connection.close_reason == "enough"
        assert [each["text"] for each in wire.data_of("bot-transcription")] == ["Yes.", GOODBYE, "Bye!"]


async def test_without_audio_an_answer_that_never_comes_keeps_no_session_open() -> None:
    """`Limits.goodbye_seconds` applies there too."""
    fakes = Fakes([WAIT])
    async with connected(talker, fakes, limits=Limits(goodbye_seconds=5)) as wire:
        wire.send("send-text", {"content": "bye", "options": {}})
        await settle()
        wire.connection.close()
        await wait(wire, 4.9)
        assert not wire.connection.closed
        await wait(wire, 0.2)
        assert wire.connection.closed


# ---- notices that nothing interrupts ---------------------------------------------------------------------------------


async def test_a_notice_is_heard_to_its_end_and_what_was_said_meanwhile_is_answered_afterwards() -> None:
    """The user is heard meanwhile."""
    fakes = Fakes([Text("Yes?")])
    async with talking(fakes) as wire:
        wire.connection.session.submit(Say(NOTICE, interruptible=False))
        await wait(wire, 0.2)
        await speak(wire, 1, 0.3)
        await silence(wire, 2.5)
        assert heard(wire) == f"{NOTICE} Yes?"
        assert users_words(wire) == ["hello there"]
        assert wire.data_of("bot-interrupted") == []
        messages = [(each["role"], each["content"]) for each in wire.connection.session.context.messages]
        assert messages == [("assistant", NOTICE), ("user", "hello there"), ("assistant", "Yes?")]
        assert all("interrupted" not in each for each in wire.connection.session.context.messages)


async def test_what_is_typed_during_a_notice_is_answered_afterwards() -> None:
    """It gets one answer, like texts that are typed quickly one after the other."""
    fakes = Fakes([Text("Both?")])
    async with talking(fakes) as wire:
        wire.connection.session.submit(Say(NOTICE, interruptible=False))
        await wait(wire, 0.2)
        for text in ("one", "two"):
            wire.send("send-text", {"content": text, "options": {}})
        await wait(wire, 2.0)
        assert heard(wire) == f"{NOTICE} Both?"
        assert users_words(wire) == ["one", "two"]
        assert len(fakes.requests) == 1


async def test_an_interruption_leaves_notices_alone() -> None:
    """This includes notices that wait. A waiting text that may be interrupted is dropped."""
    fakes = Fakes()
    async with talking(fakes) as wire:
        wire.connection.session.submit(Say(NOTICE, interruptible=False))
        wire.connection.session.submit(Say("Or not."))
        wire.connection.session.submit(Say("Twice.", interruptible=False))
        await wait(wire, 0.2)
        assert await wire.result(wire.call("tts:interrupt")) is False
        wire.call("tts:say", text="Me too.", interrupt=True)
        await wait(wire, 3.0)
        assert heard(wire) == f"{NOTICE} Twice. Me too."
        assert wire.data_of("bot-interrupted") == []


async def test_a_config_that_interrupts_is_in_force_after_the_notice() -> None:
    """The answer to the update says so."""
    fakes = Fakes()
    async with talking(fakes) as wire:
        wire.connection.session.submit(Say(NOTICE, interruptible=False))
        await wait(wire, 0.2)
        answer = await wire.answer(wire.update(interrupt=True, tts={"provider": "words"}))
        assert answer["data"]["applies"] == "next-turn"
        await wait(wire, 2.0)
        assert heard(wire) == NOTICE


async def test_a_greeting_may_be_a_notice() -> None:
    """What the user says during it is answered afterwards."""
    fakes = Fakes([Text("Yes?")])
    async with talking(fakes, notifier) as wire:
        await speak(wire, 1, 0.4)
        await silence(wire, 2.5)
        assert heard(wire) == f"{NOTICE} Yes?"


async def test_the_end_of_a_session_ends_a_notice_too() -> None:
    """It ends with `now`, and when the client leaves."""
    fakes = Fakes([Text("Never."), WAIT])
    async with talking(fakes) as wire:
        wire.connection.session.submit(Say(NOTICE, interruptible=False))
        await wait(wire, 0.2)
        wire.connection.close(now=True)
        await settle()
        assert wire.connection.closed
        assert len(heard(wire)) < 10


@pytest.mark.parametrize("input", ["hello", None])
async def test_an_input_of_another_class_is_refused(input: Any) -> None:
    """The error says what to write."""
    async with connected(talker, Fakes(), audio=None) as wire:
        with pytest.raises(TypeError, match=r"not a \w+\. Write submit\(Say"):
            wire.connection.session.submit(input)


async def test_nothing_is_submitted_after_the_end() -> None:
    """If the bot is silent, the session ends within `close`. The error is the same as during a goodbye."""
    async with connected(talker, Fakes(), audio=None) as wire:
        session = wire.connection.session
        session.close("done")
        assert session.closing
        with pytest.raises(SessionClosed):
            session.submit(Say("One more thing."))
