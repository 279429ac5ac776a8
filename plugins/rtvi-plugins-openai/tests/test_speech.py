"""The speech-to-speech model against a fake of the Realtime API: what it sends, what it yields, and how it fails."""

from __future__ import annotations

from base64 import b64decode
from contextlib import AbstractAsyncContextManager, aclosing
from pathlib import Path
from typing import Any

import pytest
from realtime_vendor import CALL, SOUND, RealtimeServer, kinds_of, realtime_vendor

from rtvi_plugins import Session, bot, converse
from rtvi_plugins.errors import ProviderError
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
    SpeechInput,
    SpeechModel,
    SpeechRequest,
    Text,
    ToolCall,
    Transcript,
    Typed,
    Usage,
)
from rtvi_plugins.session import Secret
from rtvi_plugins.testing import connect
from rtvi_plugins.voice.provider_streams import Feed
from rtvi_plugins_openai import speech as module
from rtvi_plugins_openai.speech import hearing, openai_speech, speaking
from rtvi_plugins_vendor.provider_tests import answer_of, conversation, feed_of, tone, undocumented_options
from rtvi_plugins_vendor.scripts import timeout_for
from rtvi_plugins_vendor.testing import Answer

pytestmark = pytest.mark.anyio

KEY = Secret("key-of-a-test")
LOUD, SILENT = Audio(tone(0.032, 16_000), 16_000), Audio(bytes(1024), 16_000)
SPOKEN = [Text("Good "), Audio(SOUND[0], 24_000), Text("day."), Audio(SOUND[1], 24_000)]
SPENT = Usage(40, 20, model="gpt-realtime-2.1-mini", cached_tokens=8)
HEARD = [Transcript("Three", final=False, utterance=0), Transcript("Three nights.", final=False, utterance=0)]
HEARD.append(Transcript("Three nights.", final=True, language="en", utterance=0))


def talking(
    *items: SpeechInput, server: RealtimeServer | None = None, **request: Any
) -> AbstractAsyncContextManager[tuple[Any, Feed[SpeechInput], Any]]:
    """Hold a conversation with this input. The result has its pieces, its input and the vendor."""
    return conversation(realtime_vendor(server), openai_speech, (speaking, hearing), *items, **request)


def sent(vendor: Any) -> list[Any]:
    """Return the events that the vendor received on its last connection."""
    return list(vendor.vendor.requests[-1].messages)


# ---- answers ---------------------------------------------------------------------------------------------------------


async def test_a_typed_text_is_answered_in_speech() -> None:
    """Text and audio come as they are sent, then the usage."""
    async with talking(Typed("Hello")) as (pieces, _, vendor):
        assert await answer_of(pieces) == [*SPOKEN, SPENT, AnswerEnded()]
        update, item, create = sent(vendor)
        request = vendor.vendor.requests[0]
    assert (request.path, request.params) == ("/realtime", {"model": "gpt-realtime-2.1-mini"})
    assert request.headers["authorization"] == "Bearer key-of-a-test"
    assert update["type"] == "session.update"
    content = [{"type": "input_text", "text": "Hello"}]
    message = {"type": "message", "role": "user", "content": content}
    assert item == {"type": "conversation.item.create", "item": message}
    assert create["type"] == "response.create"


async def test_speech_is_heard_and_answered_of_the_vendors_own_accord() -> None:
    """It is sent at 24 kHz. The transcript has the number of the utterance."""
    async with talking(*[LOUD] * 20, *[SILENT] * 20) as (pieces, _, vendor):
        assert await answer_of(pieces) == [
            *[SpeechBegan(), SpeechEnded()],
            *HEARD,
            *[*SPOKEN, SPENT, AnswerEnded()],
        ]
        assert kinds_of(sent(vendor)) == ["session.update"]
        seconds = sum(len(b64decode(each["audio"])) for each in sent(vendor)[1:]) / 48_000
    assert 0.6 < seconds < 1.3


async def test_without_endpointing_a_pause_asks_for_the_answer() -> None:
    """The vendor does not detect the end of speech."""
    async with talking(*[LOUD] * 4, Pause(), endpointing=False, server=RealtimeServer()) as (pieces, _, vendor):
        found = await answer_of(pieces)
        assert kinds_of(sent(vendor)) == ["session.update", "input_audio_buffer.commit", "response.create"]
        assert sent(vendor)[0]["session"]["audio"]["input"]["turn_detection"] is None
    assert [each for each in found if isinstance(each, Transcript)] == HEARD
    assert found[-len(SPOKEN) - 2 :] == [*SPOKEN, SPENT, AnswerEnded()]


async def test_speech_whose_transcription_fails_is_what_has_come_of_it() -> None:
    """The answer comes all the same: the model hears the sound."""
    server = RealtimeServer(fails_to_transcribe=True)
    async with talking(*[LOUD] * 20, *[SILENT] * 20, server=server) as (pieces, _, _):
        found = await answer_of(pieces)
    said = [each for each in found if isinstance(each, Transcript)]
    assert said == [*HEARD[:-1], Transcript("Three nights.", final=True, utterance=0)]
    assert found[-1] == AnswerEnded()


async def test_a_microphone_that_goes_off_ends_speech() -> None:
    """The vendor would wait for silence, which does not come."""
    async with talking(*[LOUD] * 20, Pause()) as (pieces, _, _):
        assert AnswerEnded() in await answer_of(pieces)


async def test_a_function_is_called_and_its_result_answered() -> None:
    """The result belongs to the call."""
    async with talking(Typed("Three nights."), server=RealtimeServer([CALL, None])) as (pieces, feed, vendor):
        assert await answer_of(pieces) == [ToolCall("call_1", "book_room", {"nights": 3}), SPENT, AnswerEnded()]
        feed.add(FunctionResult("call_1", "Done.", respond=False), FunctionResult("call_2", "Done, too."))
        assert (await answer_of(pieces))[-1] == AnswerEnded()
        items = [each["item"] for each in sent(vendor) if each["type"] == "conversation.item.create"]
        assert kinds_of(sent(vendor))[-3:] == [*["conversation.item.create"] * 2, "response.create"]
    assert items[1:] == [
        {"type": "function_call_output", "call_id": "call_1", "output": "Done."},
        {"type": "function_call_output", "call_id": "call_2", "output": "Done, too."},
    ]


async def test_answers_that_are_asked_for_at_once_come_one_after_the_other() -> None:
    """The vendor produces only one at a time."""
    async with talking(Respond(), Respond("Welcome."), Typed("Hello")) as (pieces, _, vendor):
        for _ in range(3):
            assert await answer_of(pieces) == [*SPOKEN, SPENT, AnswerEnded()]
        asked = [each["response"] for each in sent(vendor) if each["type"] == "response.create"]
    assert asked[0] == asked[2] == {"metadata": {"asked": "yes"}}
    assert asked[1]["instructions"].endswith("nothing else:\nWelcome.")


# ---- interruptions ---------------------------------------------------------------------------------------------------


async def test_an_interruption_cancels_the_answer_and_truncates_it_to_what_was_heard() -> None:
    """The position is not beyond what the vendor has sent."""
    async with talking(Typed("Hello"), server=RealtimeServer(holds=True)) as (pieces, feed, vendor):
        assert [await anext(pieces), await anext(pieces)] == SPOKEN[:2]
        feed.add(Heard(7.0, 0))
        assert await answer_of(pieces) == [SPENT, AnswerEnded()]
        feed.add(Heard(0.05, 0))  # it may have ended
        feed.add(Added({"role": "user", "content": "Wait."}), Typed("Hello"))
        await anext(pieces)
        cancel, first, second = sent(vendor)[3:6]
    assert (cancel["type"], first["audio_end_ms"], second["audio_end_ms"]) == ("response.cancel", 100, 50)
    assert first["item_id"] == second["item_id"]


async def test_an_answer_that_has_not_begun_can_be_stopped() -> None:
    """The answer before it continues, and the answer after it follows."""
    async with talking(*[Typed("Hello")] * 3, server=RealtimeServer(holds=True)) as (pieces, feed, vendor):
        assert await anext(pieces) == SPOKEN[0]
        feed.add(Heard(0.0, 1), Heard(0.1, 0))
        assert await answer_of(pieces) == [SPOKEN[1], SPENT, AnswerEnded()]
        assert await answer_of(pieces) == [AnswerEnded()]
        assert await anext(pieces) == SPOKEN[0]
        assert [each["type"] for each in sent(vendor)].count("response.create") == 2


async def test_a_lone_answer_that_waits_can_be_stopped() -> None:
    """Its end comes immediately."""
    async with talking(Typed("Hello"), Typed("Hello")) as (pieces, feed, vendor):
        await answer_of(pieces)
        await answer_of(pieces)
        feed.add(Heard(9.0, 1))
        feed.add(Typed("Hello"))
        await answer_of(pieces)
        assert "response.cancel" not in kinds_of(sent(vendor))


async def test_speech_stops_the_answer() -> None:
    """The vendor does this itself. The answer still ends."""
    async with talking(Typed("Hello"), server=RealtimeServer(holds=True)) as (pieces, feed, _):
        assert [await anext(pieces), await anext(pieces)] == SPOKEN[:2]
        feed.add(*[LOUD] * 3)
        assert await answer_of(pieces) == [SpeechBegan(), SPENT, AnswerEnded()]


async def test_closing_reaches_the_vendor() -> None:
    """This happens in the middle of an answer."""
    async with talking(Typed("Hello"), server=RealtimeServer(holds=True)) as (pieces, _, vendor):
        await anext(pieces)
        await pieces.aclose()
        assert await vendor.vendor.requests[0].outcome() == "left"


# ---- the session -----------------------------------------------------------------------------------------------------


async def test_the_conversation_so_far_is_sent_first() -> None:
    """System messages at its beginning become the instructions."""
    call = {"id": "c1", "type": "function", "function": {"name": "book_room", "arguments": "{}"}}
    messages = [
        *[{"role": "system", "content": "You answer the phone."}, {"role": "developer", "content": "Be brief."}],
        *[{"role": "assistant", "content": "Welcome."}, {"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "Done.", "tool_call_id": "c1"},
        {"role": "system", "content": "The line is bad."},
    ]
    functions = [{"name": "book_room", "description": "Books.", "parameters": {"type": "object"}}]
    asked: dict[str, Any] = {"messages": messages, "functions": functions, "tool_choice": "book_room", "spoken": False}
    async with talking(Respond(), **asked) as (pieces, _, vendor):
        await anext(pieces)
        update, *items, _ = sent(vendor)
    session = update["session"]
    assert session["instructions"] == "You answer the phone.\n\nBe brief."
    assert session["output_modalities"] == ["text"]
    assert session["tools"] == [{"type": "function", **functions[0]}]
    assert session["tool_choice"] == {"type": "function", "name": "book_room"}
    assert [each["item"] for each in items] == [
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Welcome."}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
        {"type": "function_call", "call_id": "c1", "name": "book_room", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "Done."},
        {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "The line is bad."}]},
    ]


async def test_options_are_sent() -> None:
    """The fields have the vendor's names, and only those that fit the chosen turn detection are sent."""
    async with realtime_vendor() as vendor:
        async with openai_speech(KEY, base_url=vendor.vendor.url) as speech:
            speaking(speech, "gpt-realtime-2", "cedar", 1.2, "low", 500)
            hearing(speech, "semantic_vad", 0.7, 300, "high", "near_field", "gpt-transcribe", "de")
            async with aclosing(speech.converse(SpeechRequest(feed_of(Respond())))) as pieces:
                await anext(pieces)
        format = {"type": "audio/pcm", "rate": 24_000}
        assert sent(vendor)[0]["session"] == {
            "type": "realtime",
            "output_modalities": ["audio"],
            "audio": {
                "input": {
                    "format": format,
                    "transcription": {"model": "gpt-transcribe", "language": "de"},
                    "noise_reduction": {"type": "near_field"},
                    "turn_detection": {"type": "semantic_vad", "eagerness": "high"},
                },
                "output": {"format": format, "voice": "cedar", "speed": 1.2},
            },
            "reasoning": {"effort": "low"},
            "max_output_tokens": 500,
            "tools": [],
        }


# ---- failures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "category"),
    [
        ({"fails": "rate_limit_exceeded"}, "rate"),
        ({"fails": "insufficient_quota"}, "quota"),
        ({"fails": "something_new"}, "unavailable"),
        ({"refuses": "session_expired"}, "unavailable"),
        ({"refuses": "invalid_value"}, "bad-request"),
    ],
)
async def test_a_failed_answer_has_a_category(fault: dict[str, Any], category: str) -> None:
    """The category depends on the text of the error."""
    async with talking(Typed("Hello"), server=RealtimeServer(**fault)) as (pieces, _, _):
        with pytest.raises(ProviderError) as failed:
            await answer_of(pieces)
    assert failed.value.category == category


async def test_an_answer_that_is_refused_because_another_runs_is_asked_for_again() -> None:
    """This happens when the vendor has begun to answer speech at the same moment."""
    server = RealtimeServer(refuses="conversation_already_has_active_response")
    async with talking(Typed("Hello"), server=server) as (pieces, _, vendor):
        assert await answer_of(pieces) == [*SPOKEN, SPENT, AnswerEnded()]
        assert [each["type"] for each in sent(vendor)].count("response.create") == 2


@pytest.mark.parametrize(
    ("script", "category"), [("cut", "unavailable"), ("malformed", "unavailable"), ("silent", "timeout")]
)
async def test_a_vendor_may_fail_in_every_way(script: str, category: str) -> None:
    """The failure comes in the middle of an answer, or before it."""
    async with talking(Typed("Hello")) as (_, _, vendor):
        vendor.script(script)
        async with openai_speech(KEY, base_url=vendor.vendor.url, timeout=timeout_for(0.4, script)) as speech:
            speaking(speech)
            hearing(speech)
            with pytest.raises(ProviderError) as failed:
                async with aclosing(speech.converse(SpeechRequest(feed_of(Typed("Hello"))))) as pieces:
                    await answer_of(pieces)
    assert failed.value.category == category


async def test_an_answer_that_stops_is_a_timeout() -> None:
    """The vendor does not send its end."""
    async with talking(Typed("Hello"), server=RealtimeServer(holds=True), timeout=0.4) as (pieces, _, _):
        with pytest.raises(ProviderError, match="openai did not answer in time"):
            await answer_of(pieces)


@pytest.mark.parametrize(("status", "category"), [(401, "auth"), (402, "quota"), (429, "rate"), (500, "unavailable")])
async def test_a_refused_connection_has_a_category(status: int, category: str) -> None:
    """The category depends on the status."""
    async with talking() as (pieces, _, vendor):
        vendor.vendor.on("/realtime", Answer(status))
        with pytest.raises(ProviderError) as failed:
            await answer_of(pieces)
    assert failed.value.category == category


# ---- in a bot --------------------------------------------------------------------------------------------------------


@bot(services={"speech": "openai"}, client=["speech.voice"])
async def receptionist(session: Session, /, speech: SpeechModel) -> None:
    """A receptionist that hears and speaks."""
    await converse(session, speech=speech)


async def test_a_bot_answers_with_it() -> None:
    """The client's texts count as typed, and the answer is added to the context."""
    async with realtime_vendor() as vendor:
        operator = {"service_options": {"openai": {"base_url": vendor.vendor.url}}}
        keys = {"openai": KEY.reveal()}
        async with connect(receptionist, module, api_keys=keys, operator=operator) as client:
            answer = await client.ask("Hello")
    assert answer == "Good day."


@pytest.mark.parametrize("function", [openai_speech, speaking, hearing])
def test_the_readme_has_every_option(function: Any) -> None:
    """Each option is listed with its default."""
    assert undocumented_options(Path(__file__).parents[1] / "README.md", function) == []
