"""A conversation by a speech-to-speech model: what the client sees, what the model receives, what is remembered."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import anyio
import pytest

from rtvi_plugins import VAD, Failover, ProviderError, Session, SpeechModel, action, bot, converse
from rtvi_plugins.context import Message
from rtvi_plugins.errors import AuthorError
from rtvi_plugins.hosting import Limits
from rtvi_plugins.kinds import (
    Added,
    AnswerEnded,
    Audio,
    FunctionResult,
    Heard,
    Pause,
    Respond,
    SpeechBegan,
    SpeechEnded,
    Text,
    ToolCall,
    Transcript,
    Typed,
    Usage,
    Word,
)
from rtvi_plugins.session import Say
from rtvi_plugins.testing import ScriptedSpeechModel, fake_provider
from rtvi_plugins.voice import Filler, TurnTaking

from ..fakes.conversation import failures, later, shown, silence, speak, texts, types, wait, write
from ..fakes.providers import RATE, FakeVAD
from ..fakes.wire import Wire, connected, settle

pytestmark = pytest.mark.anyio

CLIENT = """speech:get_context speech:set_context speech:append_to_messages speech:run speech:say speech:interrupt
speech.provider speech.messages speech.tools""".split()


@bot(services={"speech": ["first", "second"]}, client=CLIENT, functions=["bot:price"], public=True)
async def talker(session: Session, /, speech: SpeechModel) -> None:
    """A bot that talks by a speech-to-speech model."""
    await converse(session, speech=speech)


@action(talker)
async def price(nights: int) -> int:
    """Return the price of some nights."""
    return nights * 50


@bot(services={"speech": "first", "vad": "code"}, client=CLIENT, public=True)
async def watched(session: Session, /, speech: SpeechModel, vad: VAD) -> None:
    """A bot with a model and a VAD."""
    await converse(session, speech=speech, vad=vad)


@asynccontextmanager
async def talking(
    model: ScriptedSpeechModel, second: ScriptedSpeechModel | None = None, made: Any = talker, **how: Any
) -> AsyncGenerator[Wire]:
    """A session with this model."""
    modules = [
        fake_provider("speech.first", model),
        fake_provider("speech.second", second or ScriptedSpeechModel()),
        fake_provider("vad.code", FakeVAD(lambda frame: float(any(frame.data)))),
    ]
    async with connected(made, *modules, audio=RATE, **how) as wire:
        yield wire


async def said(wire: Wire) -> list[tuple[Any, ...]]:
    """The conversation as the client reads it."""
    messages = (await wire.result(wire.call("speech:get_context")))["messages"]
    return [(each["role"], each["content"], *(["interrupted"] if each.get("interrupted") else [])) for each in messages]


async def context_of(wire: Wire) -> list[Message]:
    """The messages of the conversation."""
    messages: list[Message] = (await wire.result(wire.call("speech:get_context")))["messages"]
    return messages


async def user_says(model: ScriptedSpeechModel, text: str) -> None:
    """Let the vendor find an utterance."""
    model.hear(SpeechBegan())
    await settle()
    model.hear(Transcript(text, final=True), SpeechEnded())
    await settle()


async def test_a_spoken_turn_looks_as_with_an_llm_and_a_tts() -> None:
    """The client gets the same events in the same order. The context is the same too."""
    model = ScriptedSpeechModel(["It is noon.", Usage(prompt_tokens=3, completion_tokens=4, model="m")])
    async with talking(model) as wire:
        await silence(wire, 0.2)
        await user_says(model, "What time is it?")
        await silence(wire, 1.0)
        assert types(wire, "metrics") == [
            "user-started-speaking",
            "user-transcription",
            "user-stopped-speaking",
            "user-llm-text",
            "bot-llm-started",
            "bot-llm-text",
            "bot-tts-started",
            "bot-started-speaking",
            "bot-transcription",
            "bot-output",
            "bot-llm-stopped",
            "bot-tts-stopped",
            "bot-output",
            "bot-tts-text",
            "bot-output",
            "bot-stopped-speaking",
            "bot-turn-ended",
        ]
        assert await said(wire) == [("user", "What time is it?"), ("assistant", "It is noon.")]
        assert model.seconds == pytest.approx(1.2, abs=0.1)
        assert failures(wire) == []
    assert model.open == 0


# ---- interruptions ---------------------------------------------------------------------------------------------------


async def test_speech_interrupts_an_answer_that_is_made() -> None:
    """The vendor and the context get the part that was heard. The rest is not played."""
    model = ScriptedSpeechModel("One two three four five six seven eight nine ten.", "Yes?")
    async with talking(model) as wire:
        await user_says(model, "Count.")
        await silence(wire, 0.5)
        model.hear(SpeechBegan())
        await settle()
        played = len(wire.heard)
        await silence(wire, 0.5)
        assert len(wire.heard) == played
        (told,) = model.heard
        assert told.answer == 0
        assert told.seconds == pytest.approx(0.46, abs=0.05)
        model.hear(Transcript("Stop.", final=True), SpeechEnded())
        await silence(wire, 1.0)
        assert await said(wire) == [
            ("user", "Count."),
            ("assistant", "One two three four five", "interrupted"),
            ("user", "Stop."),
            ("assistant", "Yes?"),
        ]
        assert [each["interrupted"] for each in wire.data_of("bot-turn-ended")] == [True, False]


async def test_speech_interrupts_an_answer_that_is_being_made() -> None:
    """The vendor stops it. The context has the part that was heard."""
    never = anyio.Event()
    model = ScriptedSpeechModel(["One two three", never, " four."], "Yes?")
    async with talking(model) as wire:
        await user_says(model, "Count.")
        await silence(wire, 0.26)
        await user_says(model, "Stop.")
        await silence(wire, 1.0)
        assert [each.answer for each in model.heard] == [0]
        assert await said(wire) == [
            ("user", "Count."),
            ("assistant", "One", "interrupted"),
            ("user", "Stop."),
            ("assistant", "Yes?"),
        ]


async def test_what_comes_late_of_a_stopped_answer_is_dropped() -> None:
    """Audio and text that were in transit belong to no answer."""
    model = ScriptedSpeechModel(["One two three four five six.", anyio.Event()], "Yes?")
    async with talking(model) as wire:
        await user_says(model, "Count.")
        await silence(wire, 0.4)
        model.hear(SpeechBegan(), Text(" Stale."), Audio(b"\1\1" * 16_000, RATE))
        await settle()
        played = len(wire.heard)
        model.hear(Transcript("Stop.", final=True))
        await silence(wire, 0.5)
        assert len(wire.heard) == played
        model.hear(SpeechEnded())
        await silence(wire, 1.0)
        assert "Stale." not in str(await said(wire))
        assert shown(wire) == ["One two three four five six.", "Yes?"]


async def test_an_answer_that_has_no_turn_yet_is_stopped_too() -> None:
    """The user continues before the bot has begun to speak."""
    model = ScriptedSpeechModel("This call is recorded.", "First.", "Second.")
    async with talking(model) as wire:
        wire.connection.session.submit(Say("This call is recorded.", interruptible=False))
        await silence(wire, 0.1)
        model.hear(SpeechBegan(), SpeechEnded())
        await silence(wire, 0.1)
        model.hear(SpeechBegan(), SpeechEnded())
        await silence(wire, 1.0)
        assert "First." not in str(await said(wire))
        assert (await said(wire))[-1] == ("assistant", "Second.")


async def test_an_answer_that_begins_while_the_user_speaks_is_stopped() -> None:
    """It is the answer to earlier speech. A vendor that never reports the end of speech may answer at any time."""
    model = ScriptedSpeechModel([anyio.Event(), "Never."], "Fresh.")
    async with talking(model) as wire:
        model.hear(SpeechBegan(), SpeechEnded())
        await settle()
        model.hear(SpeechBegan(), Text("Stale."), Audio(b"\1\1" * 16_000, RATE))
        await silence(wire, 0.5)
        assert (wire.heard, model.heard) == ([], [Heard(0.0, 0)])
        model.hear(SpeechEnded())
        await silence(wire, 0.5)
        assert await said(wire) == [("assistant", "Fresh.")]
    silent = ScriptedSpeechModel()
    async with talking(silent) as wire:
        silent.hear(SpeechBegan(), Text("Yes."), Audio(b"\1\1" * 16_000, RATE), AnswerEnded())
        await silence(wire, 1.5)
        assert await said(wire) == [("assistant", "Yes.")]
        assert types(wire).count("user-stopped-speaking") == 1


async def test_a_model_that_ignores_an_interruption_is_connected_again() -> None:
    """Otherwise its next answer would count as the stopped one."""
    model = ScriptedSpeechModel("Fresh.")

    async with talking(model) as wire:
        model.hear(Text("One."), Audio(b"\1\1" * 16_000, RATE))
        await silence(wire, 0.6)
        model.hear(SpeechBegan())
        await silence(wire, 5.2)
        assert len(model.requests) == 2
        assert model.requests[1].messages[-1]["role"] == "assistant"
        await user_says(model, "Go on.")
        await silence(wire, 0.5)
        assert (await said(wire))[-2:] == [("user", "Go on."), ("assistant", "Fresh.")]


async def test_a_bot_with_a_vad_finds_the_utterances_itself() -> None:
    """The model gets each utterance and a pause. It is stopped when the VAD detects the user."""
    model = ScriptedSpeechModel("One two three four five six seven eight nine ten.", "Yes?")
    async with talking(model, made=watched) as wire:
        await silence(wire, 0.5)
        assert (model.requests[0].endpointing, model.seconds) == (False, 0)
        await speak(wire, 1, 0.5)
        model.hear(SpeechBegan(), SpeechEnded())  # the VAD decides
        await silence(wire, 1.0)
        model.hear(Transcript("Count.", final=True))
        await speak(wire, 1, 0.5)
        assert [each.answer for each in model.heard] == [0]
        await silence(wire, 0.6)
        model.hear(Transcript("Stop.", final=True))
        await silence(wire, 1.0)
        assert model.inputs == [Pause(), *model.heard, Pause()]
        assert [each[0] for each in await said(wire)] == ["user", "assistant", "user", "assistant"]
        assert [each[1] for each in await said(wire)][::2] == ["Count.", "Stop."]
        assert types(wire).count("user-started-speaking") == types(wire).count("user-stopped-speaking") == 2


async def test_speech_before_the_answer_begins_takes_it_back() -> None:
    """With a VAD, the pause has asked for an answer, but the user continues."""
    model = ScriptedSpeechModel([anyio.Event(), "Stale."], "Fresh.")
    async with talking(model, made=watched) as wire:
        await speak(wire, 1, 0.5)
        await silence(wire, 0.6)
        await speak(wire, 1, 0.5)
        await silence(wire, 1.0)
        assert model.heard == [Heard(0.0, 0)]
        assert await said(wire) == [("assistant", "Fresh.")]


async def test_a_notice_is_heard_to_its_end() -> None:
    """The vendor would interrupt it, so it gets the user's audio afterwards."""
    model = ScriptedSpeechModel("This call is recorded. You may hang up.")
    async with talking(model) as wire:
        wire.connection.session.submit(Say("This call is recorded. You may hang up.", interruptible=False))
        await settle()
        before = model.seconds
        await speak(wire, 1, 0.5)
        assert model.seconds == before
        await silence(wire, 1.0)
        assert model.seconds == pytest.approx(before + 1.5, abs=0.1)
        assert (await said(wire), model.heard) == ([("assistant", "This call is recorded. You may hang up.")], [])


@bot(services={"speech": "first"}, client=CLIENT, public=True)
async def asking(session: Session, /, speech: SpeechModel) -> None:
    """A bot that asks silent users."""
    await converse(session, speech=speech, taking=TurnTaking(idle_seconds=5.0, idle_text="Hello?"))


async def test_a_silent_user_is_asked_once_until_they_speak() -> None:
    """The same is true with an LLM."""
    model = ScriptedSpeechModel("Hello?", "Fine.", "Hello?")
    async with talking(model, made=asking) as wire:
        await later(wire, 20)
        assert model.inputs == [Respond("Hello?")]
        await user_says(model, "I am here.")
        await later(wire, 20)
        assert [each[1] for each in await said(wire)] == ["Hello?", "I am here.", "Fine.", "Hello?"]


async def test_a_conversation_that_is_too_long_is_not_answered() -> None:
    """The client is told why."""
    model = ScriptedSpeechModel("Hello.", "Again.")
    async with talking(model, limits=Limits(context_size=100)) as wire:
        await user_says(model, "hi")
        await silence(wire, 0.5)
        await user_says(model, "hello")
        await silence(wire, 0.5)
        assert len(failures(wire)) == 1
        assert "Again." not in str(await said(wire))


# ---- words that come late --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["while it is spoken", "after it", "after the next began"])
async def test_late_words_of_the_user_stand_before_the_answer(moment: str) -> None:
    """Vendors transcribe beside the model, which often takes longer."""
    model = ScriptedSpeechModel("It is noon.", "You are welcome.")
    async with talking(model) as wire:
        model.hear(SpeechBegan(), SpeechEnded())
        await silence(wire, 0.1 if moment == "while it is spoken" else 0.8)
        if moment == "after the next began":
            model.hear(SpeechBegan(), Transcript("Thank you.", final=True), SpeechEnded())
            await silence(wire, 0.1)
        model.hear(Transcript("What time is it?", final=True, utterance=0))
        await silence(wire, 0.8)
        assert (await said(wire))[:2] == [("user", "What time is it?"), ("assistant", "It is noon.")]
        if moment == "after the next began":
            assert (await said(wire))[2:] == [("user", "Thank you."), ("assistant", "You are welcome.")]
        assert "What time is it?" in texts(wire.data_of("user-llm-text"))


async def test_late_words_of_a_conversation_that_was_replaced_are_dropped() -> None:
    """They belong to a conversation that the client has removed."""
    model = ScriptedSpeechModel("It is noon.")
    async with talking(model) as wire:
        model.hear(SpeechBegan(), SpeechEnded())
        await silence(wire, 0.8)
        wire.call("speech:set_context", messages=[{"role": "user", "content": "Begin again."}])
        await settle()
        model.hear(Transcript("What time is it?", final=True, utterance=0))
        await silence(wire, 0.2)
        assert await said(wire) == [("user", "Begin again.")]


async def test_words_without_an_answer_enter_the_context() -> None:
    """The model need not answer. The words are before the next message."""
    model = ScriptedSpeechModel()
    async with talking(model) as wire:
        await user_says(model, "I talk to somebody else.")
        model.will("Hello.")
        await write(wire, "hi")
        await silence(wire, 0.5)
        assert await said(wire) == [
            ("user", "I talk to somebody else."),
            ("user", "hi"),
            ("assistant", "Hello."),
        ]


async def test_interim_words_are_shown_and_replaced() -> None:
    """The same is true with an STT."""
    model = ScriptedSpeechModel()
    async with talking(model) as wire:
        model.hear(SpeechBegan(), Transcript("What", final=False), Transcript("What time", final=True))
        model.hear(Transcript("a noise", final=False), Transcript("", final=True))
        await settle()
        assert [(each["text"], each["final"]) for each in wire.data_of("user-transcription")] == [
            ("What", False),
            ("What time", True),
            ("a noise", False),
            ("", True),
        ]


# ---- what the model is told ------------------------------------------------------------------------------------------


async def test_typed_text_is_answered_in_speech() -> None:
    """It interrupts the bot."""
    model = ScriptedSpeechModel("One two three four five six.", "Two.")
    async with talking(model) as wire:
        await write(wire, "Count.")
        await silence(wire, 0.3)
        await write(wire, "Stop.")
        await silence(wire, 0.5)
        assert model.inputs == [Typed("Count."), *model.heard, Typed("Stop.")]
        assert [each[0] for each in await said(wire)] == ["user", "assistant", "user", "assistant"]


async def test_others_add_to_the_context() -> None:
    """Messages that a client adds are passed on in order. A replaced context needs another stream."""
    model = ScriptedSpeechModel("One.", "Two.", "Three.")
    async with talking(model) as wire:
        note: Message = {"role": "user", "content": "I am at home."}
        wire.call("speech:append_to_messages", messages=[note])
        wire.call("speech:append_to_messages", messages=[note], run_immediately=True)
        await silence(wire, 0.5)
        assert model.inputs == [Added(note), Typed("I am at home.")]
        wire.call("speech:run")
        await silence(wire, 0.5)
        assert model.inputs[2:] == [Respond()]
        assert len(model.requests) == 1
        wire.call("speech:set_context", messages=[note], run_immediately=True)
        await silence(wire, 0.5)
        assert [list(each.messages) for each in model.requests] == [[], [note]]
        assert await said(wire) == [("user", "I am at home."), ("assistant", "Three.")]


async def test_a_change_that_comes_with_no_request_is_known_when_the_user_speaks() -> None:
    """The new stream gets the user's speech from its beginning."""
    model = ScriptedSpeechModel("Hello.")
    async with talking(model) as wire:
        await write(wire, "hi")
        await silence(wire, 1.0)
        wire.call("speech:set_context", messages=[{"role": "user", "content": "A new beginning."}])
        await silence(wire, 0.5)
        before = model.seconds
        model.hear(SpeechBegan())
        await silence(wire, 0.2)
        assert len(model.requests) == 2
        assert model.seconds - before >= 0.6  # with the half second from before
        assert types(wire).count("user-started-speaking") == 1


async def test_it_says_what_it_is_asked_to_say() -> None:
    """A model may change the words. Its own words are shown and remembered."""
    model = ScriptedSpeechModel("News!")
    async with talking(model) as wire:
        wire.call("speech:say", text="News.")
        await silence(wire, 0.5)
        assert model.inputs == [Respond("News.")]
        assert await said(wire) == [("assistant", "News!")]


async def test_another_provider_continues_with_the_conversation() -> None:
    """The first stream is closed. The second one gets the conversation."""
    first, second = ScriptedSpeechModel("One."), ScriptedSpeechModel("Two.")
    async with talking(first, second) as wire:
        await user_says(first, "First.")
        await silence(wire, 0.5)
        wire.update(speech={"provider": "second"})
        await silence(wire, 0.1)
        assert (first.open, second.open) == (0, 1)
        await user_says(second, "Second.")
        await silence(wire, 0.5)
        assert [each["content"] for each in second.requests[0].messages] == ["First.", "One."]
        assert [each[1] for each in await said(wire)] == ["First.", "One.", "Second.", "Two."]


async def test_without_audio_the_answers_are_text() -> None:
    """The model gets `spoken=False`. If it speaks nevertheless, the audio is dropped."""
    model = ScriptedSpeechModel("Hello.")
    modules = [fake_provider("speech.first", model), fake_provider("speech.second", model)]
    async with connected(talker, *modules) as wire:
        await write(wire, "hi")
        assert await said(wire) == [("user", "hi"), ("assistant", "Hello.")]
        assert model.requests[0].spoken is False


async def test_the_microphone_is_off() -> None:
    """The model gets a `Pause`, and the user's turn has no more speech."""
    model = ScriptedSpeechModel()
    async with talking(model) as wire:
        await speak(wire, 1, 0.5)
        model.hear(SpeechBegan())
        await settle()
        await wait(wire, 1.0)
        assert model.inputs == [Pause()]
        assert types(wire)[-2:] == ["user-started-speaking", "user-stopped-speaking"]
        await speak(wire, 1, 0.1)
        wire.connection.microphone(False)
        await settle()
        assert model.inputs == [Pause(), Pause()]


# ---- functions -------------------------------------------------------------------------------------------------------


async def test_functions_are_called_and_their_results_answered_in_one_turn() -> None:
    """They are treated like calls of an LLM: checked, reported, and remembered with their results."""
    model = ScriptedSpeechModel(
        ["Let me see.", ToolCall("a", "price", {"nights": 2}), ToolCall("b", "price", {"nights": "x"})], "A hundred."
    )
    async with talking(model) as wire:
        assert [each["name"] for each in model.requests[0].functions] == ["price"]
        await user_says(model, "What are two nights?")
        await silence(wire, 1.0)
        first, second = (each for each in model.inputs if isinstance(each, FunctionResult))
        assert (first.id, first.result, first.respond) == ("a", "100", False)
        assert (second.id, second.respond) == ("b", True)
        assert "error" in second.result
        messages = (await wire.result(wire.call("speech:get_context")))["messages"]
        assert [each["role"] for each in messages] == ["user", "assistant", "tool", "tool", "assistant"]
        assert (messages[1]["content"], messages[-1]["content"]) == ("Let me see.", "A hundred.")
        assert types(wire).count("bot-turn-ended") == 1


async def test_an_interrupted_answer_leaves_no_call_open() -> None:
    """The model gets a result for each call, and is not asked for an answer."""
    model = ScriptedSpeechModel([ToolCall("a", "price", {"nights": 2}), anyio.Event()], "Yes?")
    async with talking(model) as wire:
        await user_says(model, "What are two nights?")
        await silence(wire, 0.2)
        await user_says(model, "Never mind.")
        await silence(wire, 0.5)
        (result,) = (each for each in model.inputs if isinstance(each, FunctionResult))
        assert (result.id, result.respond) == ("a", False)
        assert await said(wire) == [
            ("user", "What are two nights?"),
            ("user", "Never mind."),
            ("assistant", "Yes?"),
        ]


# ---- failures --------------------------------------------------------------------------------------------------------


async def test_a_lost_connection_is_opened_again_with_the_unanswered_speech() -> None:
    """The user need not repeat the speech, and does not notice."""
    model = ScriptedSpeechModel()
    async with talking(model) as wire:
        await silence(wire, 2.0)
        model.hear(SpeechBegan(), Transcript("Two nights", final=True))
        await speak(wire, 1, 0.5)
        before = model.seconds
        model.hear(ProviderError("acme", "unavailable"))
        model.will("A hundred.")
        await wait(wire, 0.1)
        assert model.seconds - before == pytest.approx(1.1, abs=0.2)
        model.hear(SpeechBegan(), Transcript("Two nights", final=True), Transcript("please", final=True), SpeechEnded())
        await silence(wire, 0.5)
        assert await said(wire) == [("user", "Two nights please"), ("assistant", "A hundred.")]
        assert failures(wire) == []
        assert [each["text"] for each in wire.data_of("user-transcription")] == ["Two nights", "please"]


async def test_a_typed_text_is_asked_again() -> None:
    """Nobody notices a temporary failure before the first output."""
    model = ScriptedSpeechModel(ProviderError("acme", "unavailable"), "Hello.")
    async with talking(model) as wire:
        await write(wire, "hi")
        await silence(wire, 0.5)
        assert await said(wire) == [("user", "hi"), ("assistant", "Hello.")]
        assert model.requests[1].messages == [{"role": "user", "content": "hi"}]
        assert failures(wire) == []


async def test_a_failure_in_an_answer_is_reported_and_what_came_is_heard() -> None:
    """Then the same model says the apology."""
    model = ScriptedSpeechModel(["One two.", ProviderError("acme", "unavailable")], "I am sorry.")
    async with talking(model) as wire:
        await user_says(model, "Count.")
        await silence(wire, 1.5)
        assert failures(wire) == ["acme is not available."]
        assert [each[1] for each in await said(wire)] == ["Count.", "One two.", "I am sorry."]
        assert isinstance(model.inputs[-1], Respond)


async def test_a_vendor_that_stays_away_is_reported_once_and_tried_less_and_less() -> None:
    """The attempts continue until it answers."""
    model = ScriptedSpeechModel()
    opened: list[float] = []

    class Away:
        def converse(self, request: Any, /) -> AsyncIterator[Any]:
            opened.append(wire.clock.now() if wires else 0.0)
            return model.converse(request) if len(opened) > 6 else failing()

    async def failing() -> AsyncIterator[Any]:
        for error in [ProviderError("acme", "unavailable")]:
            raise error
        yield

    wires: list[Wire] = []
    away: Any = Away()
    async with talking(away) as wire:
        wires.append(wire)
        await later(wire, 45)
        assert failures(wire) == ["acme is not available."]
        assert [round(after - before, 1) for before, after in pairwise(opened[1:])] == [0.5, 1.0, 2.0, 4.0, 30.0]
        model.will("Hello.")
        await write(wire, "hi")
        await silence(wire, 0.5)
        assert (await said(wire))[-1] == ("assistant", "Hello.")


async def test_no_connection_is_opened_after_the_end(caplog: pytest.LogCaptureFixture) -> None:
    """The session ends while the next attempt waits."""
    model = ScriptedSpeechModel()
    async with talking(model) as wire:
        await silence(wire, 0.2)
        model.hear(ProviderError("acme", "unavailable"))
        await settle()
        requests = len(model.requests)
        wire.connection.close(now=True)
        await settle()
        await later(wire, 45)
        assert len(model.requests) == requests
    assert [each.message for each in caplog.records if each.levelname == "ERROR"] == []


@bot(services={"speech": Failover("first", "second")}, client=CLIENT, public=True)
async def doubled(session: Session, /, speech: SpeechModel) -> None:
    """A bot with another model that takes over."""
    await converse(session, speech=speech)


def takers(wire: Wire) -> list[tuple[str, str | None]]:
    """Which provider serves, and why, as the client was told."""
    return [(each["provider"], each["category"]) for each in wire.data_of("server-message")]


@pytest.mark.parametrize("category", ["unavailable", "auth"])
async def test_another_model_takes_over_with_the_conversation(category: Any) -> None:
    """It gets the context, and the speech that has no answer yet."""
    model, second = ScriptedSpeechModel("One."), ScriptedSpeechModel()
    async with talking(model, second, doubled) as wire:
        await user_says(model, "Count.")
        await silence(wire, 1.0)
        model.hear(SpeechBegan())
        await speak(wire, 1, 0.5)
        model.hear(ProviderError("acme", category))
        await settle()
        assert takers(wire) == [("second", category)]
        assert second.requests[0].messages == await context_of(wire)
        second.will("Two.")
        await wait(wire, 0.1)
        assert second.seconds > 0.4
        second.hear(SpeechBegan(), Transcript("Go on.", final=True), SpeechEnded())
        await silence(wire, 1.0)
        assert [each[1] for each in await said(wire)] == ["Count.", "One.", "Go on.", "Two."]
        assert failures(wire) == []
        assert wire.host.failing_providers.keys() == {"speech.first"}
    assert (model.open, second.open) == (0, 0)


async def test_another_model_answers_a_typed_text_in_the_same_turn() -> None:
    """The user does not notice the failure of the first model."""
    model, second = ScriptedSpeechModel(ProviderError("acme", "quota")), ScriptedSpeechModel("Hello.")
    async with talking(model, second, doubled) as wire:
        await write(wire, "hi")
        await silence(wire, 0.5)
        assert await said(wire) == [("user", "hi"), ("assistant", "Hello.")]
        assert takers(wire) == [("second", "quota")]
        assert failures(wire) == []


async def test_if_no_model_works_it_is_reported_once() -> None:
    """The attempts with both become rarer, until one of them answers."""
    model, second = ScriptedSpeechModel(), ScriptedSpeechModel()
    async with talking(model, second, doubled) as wire:
        for each in (model, second):
            each.hear(ProviderError("acme", "auth"))
            await settle()
        assert failures(wire) == ["acme refused its key."]
        second.will("Hello.")
        await later(wire, 31)
        await write(wire, "hi")
        await silence(wire, 0.5)
        assert (await said(wire))[-1] == ("assistant", "Hello.")


async def test_if_all_models_stay_away_it_is_reported_once() -> None:
    """A short failure of all of them is not reported: one answers soon."""

    class Away:
        def converse(self, request: Any, /) -> AsyncIterator[Any]:
            return failing()

    async def failing() -> AsyncIterator[Any]:
        for error in [ProviderError("acme", "unavailable")]:
            raise error
        yield

    first, second = Away(), Away()
    one: Any = first
    other: Any = second
    async with talking(one, other, doubled) as wire:
        assert failures(wire) == []
        await later(wire, 45)
        assert failures(wire) == ["acme is not available."]


# ---- details ---------------------------------------------------------------------------------------------------------


async def test_the_times_of_words_are_used() -> None:
    """Also if a word comes before its sentence is complete."""
    pause = Audio(bytes(16_000), RATE)
    model = ScriptedSpeechModel(
        [Text("Well,"), Word("Well,", 0.0), Text(" good day."), Word("good", 0.5), Word("day.", 0.7), pause, pause]
    )
    async with talking(model) as wire:
        await user_says(model, "hi")
        await silence(wire, 0.4)
        model.hear(SpeechBegan())
        await silence(wire, 0.1)
        assert (await said(wire))[-1] == ("assistant", "Well,", "interrupted")
        assert texts(wire.data_of("bot-tts-text")) == ["Well,"]


async def test_what_cannot_be_combined_is_refused() -> None:
    """The error says what to write instead."""
    model, session = ScriptedSpeechModel(), None
    converse_somehow: Any = converse
    with pytest.raises(AuthorError, match="replaces llm="):
        await converse_somehow(session, llm=model, speech=model)
    with pytest.raises(AuthorError, match="needs llm=, or speech="):
        await converse_somehow(session)
    with pytest.raises(AuthorError, match=r"Write Filler\(sound="):
        await converse_somehow(session, speech=model, filler=Filler("One moment."))
