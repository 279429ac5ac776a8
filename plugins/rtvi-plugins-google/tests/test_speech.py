"""The speech-to-speech model against a fake of the Live API: what it sends, what it yields, and how it fails."""

from __future__ import annotations

from array import array
from contextlib import AbstractAsyncContextManager, aclosing
from pathlib import Path
from typing import Any

import pytest
from google_vendor import refuse
from live_vendor import CALL, PATH, SOUND, LiveServer, live_vendor

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
from rtvi_plugins_google import speech as module
from rtvi_plugins_google.speech import google_speech, hearing, speaking
from rtvi_plugins_vendor.provider_tests import answer_of, conversation, feed_of, undocumented_options
from rtvi_plugins_vendor.scripts import timeout_for
from rtvi_plugins_vendor.testing import Answer, FakeSocket

pytestmark = pytest.mark.anyio

KEY = Secret("key-of-a-test")
LOUD, SILENT = Audio(array("h", [4000, -4000] * 256).tobytes(), 16_000), Audio(bytes(1024), 16_000)
SPOKEN = [Audio(SOUND[0], 24_000), Text("Good "), Audio(SOUND[1], 24_000), Text("day.")]
SPENT = Usage(40, 24, model="gemini-3.8-live", reasoning_tokens=4)
INTERIM = [
    Transcript("Three", final=False, language="en-US"),
    Transcript("Three nights.", final=False, language="en-US"),
]
FINAL = Transcript("Three nights.", final=True, language="en-US")


def talking(
    *items: SpeechInput, server: LiveServer | None = None, **request: Any
) -> AbstractAsyncContextManager[tuple[Any, Feed[SpeechInput], Any]]:
    """Hold a conversation with this input. The result has its pieces, its input and the vendor."""
    return conversation(live_vendor(server), google_speech, (speaking, hearing), *items, **request)


def sent(vendor: Any) -> list[Any]:
    """Return the messages that the vendor received after the setup, without audio."""
    messages = vendor.vendor.requests[-1].messages[1:]
    return [each for each in messages if "audio" not in each.get("realtimeInput", {})]


def text(text: str) -> dict[str, Any]:
    """Return the message of a text."""
    return {"realtimeInput": {"text": text}}


# ---- answers ---------------------------------------------------------------------------------------------------------


async def test_a_typed_text_is_answered_in_speech() -> None:
    """Audio and text come as they are sent, then the usage."""
    async with talking(Typed("Hello")) as (pieces, _, vendor):
        assert await answer_of(pieces) == [*SPOKEN, SPENT, AnswerEnded()]
        (request,) = vendor.vendor.requests
        assert sent(vendor) == [text("Hello")]
    assert request.path == PATH
    assert request.headers["x-goog-api-key"] == "key-of-a-test"
    assert "authorization" not in request.headers


@pytest.mark.parametrize("reports_speech", [True, False])
async def test_speech_is_heard_and_answered_of_the_vendors_own_accord(reports_speech: bool) -> None:
    """The transcript is final when the vendor reports the end of speech, or when the answer begins."""
    server = LiveServer(reports_speech=reports_speech)
    async with talking(*[LOUD] * 20, *[SILENT] * 20, server=server) as (pieces, _, vendor):
        assert await answer_of(pieces) == [
            *[SpeechBegan(), *INTERIM, FINAL, SpeechEnded()],
            *[*SPOKEN, SPENT, AnswerEnded()],
        ]
        assert sent(vendor) == []


async def test_without_endpointing_each_utterance_is_marked() -> None:
    """The vendor does not look for speech."""
    async with talking(*[LOUD] * 4, Pause(), endpointing=False) as (pieces, feed, vendor):
        assert await answer_of(pieces) == [*INTERIM, FINAL, *SPOKEN, SPENT, AnswerEnded()]
        feed.add(Typed("Hello"))
        await answer_of(pieces)
        begin: dict[str, Any] = {"realtimeInput": {"activityStart": {}}}
        end: dict[str, Any] = {"realtimeInput": {"activityEnd": {}}}
        assert sent(vendor) == [begin, end, begin, text("Hello"), end]


async def test_a_microphone_that_goes_off_ends_speech() -> None:
    """The vendor gets a message about it."""
    async with talking(*[LOUD] * 20, Pause()) as (pieces, _, vendor):
        assert AnswerEnded() in await answer_of(pieces)
        assert sent(vendor) == [{"realtimeInput": {"audioStreamEnd": True}}]


async def test_a_function_is_called_and_its_result_answered() -> None:
    """The answer ends with the call. The vendor continues by itself."""
    async with talking(Typed("Three nights."), server=LiveServer([CALL, None])) as (pieces, feed, vendor):
        usage = Usage(40, 24, model="gemini-3.8-live", reasoning_tokens=4)
        assert await answer_of(pieces) == [ToolCall("f1", "book_room", {"nights": 3}), usage, AnswerEnded()]
        feed.add(FunctionResult("f1", "Done."))
        assert await answer_of(pieces) == [*SPOKEN, SPENT, AnswerEnded()]
        response = {"id": "f1", "name": "book_room", "response": {"output": "Done."}}
        assert sent(vendor)[-1] == {"toolResponse": {"functionResponses": [response]}}


async def test_a_call_keeps_the_vendor_waiting() -> None:
    """Newer models speak during a call, unless the function is declared to block them."""
    functions = [{"name": "book_room"}, {"name": "cancel"}]
    async with talking(Respond(), functions=functions) as (pieces, _, vendor):
        await anext(pieces)
        ((tool,),) = (each.messages[0]["setup"]["tools"] for each in vendor.vendor.requests)
    declared = [{"name": "book_room", "behavior": "BLOCKING"}, {"name": "cancel", "behavior": "BLOCKING"}]
    assert tool == {"functionDeclarations": declared}


@pytest.mark.parametrize("respond", [True, False])
async def test_the_result_of_a_cancelled_call_is_sent_with_the_next_text(respond: bool) -> None:
    """The vendor has cancelled the call because the user spoke. It never answers a response to it."""
    async with talking(Typed("Three nights."), server=LiveServer([CALL, None])) as (pieces, feed, vendor):
        await answer_of(pieces)
        feed.add(*[LOUD] * 20, *[SILENT] * 20)
        spoken = [SpeechBegan(), SPENT, *INTERIM, FINAL, SpeechEnded()]  # the end of the old turn is not that of speech
        assert await answer_of(pieces) == [*spoken, *SPOKEN, SPENT, AnswerEnded()]
        feed.add(FunctionResult("f1", "Done.", respond=respond), *([] if respond else [Typed("And now?")]))
        assert await answer_of(pieces) == [*SPOKEN, SPENT, AnswerEnded()]
        asked = "(Please go on.)" if respond else "And now?"
        assert sent(vendor) == [text("Three nights."), text(f"(result of book_room: Done.)\n{asked}")]


async def test_answers_that_are_asked_for_at_once_come_one_after_the_other() -> None:
    """A text would interrupt the answer before it. Messages of other roles are sent with the next text."""
    added = Added({"role": "user", "content": "I am Ada."})
    async with talking(Respond(), added, Respond("Welcome."), Typed("Hello")) as (pieces, _, vendor):
        for _ in range(3):
            assert await answer_of(pieces) == [*SPOKEN, SPENT, AnswerEnded()]
        first, second, third = (each["realtimeInput"]["text"] for each in sent(vendor))
    assert (first, third) == ("(Please go on.)", "Hello")
    assert second.startswith("(user: I am Ada.)\nSay the following text")
    assert second.endswith("nothing else:\nWelcome.")


# ---- interruptions ---------------------------------------------------------------------------------------------------


async def test_an_interruption_ends_the_answer_and_drops_the_rest() -> None:
    """The next text interrupts the vendor. The rest of the old answer is dropped."""
    async with talking(Typed("Hello"), server=LiveServer(holds=True)) as (pieces, feed, vendor):
        assert [await anext(pieces), await anext(pieces)] == SPOKEN[:2]
        feed.add(Heard(0.05, 0))
        assert await answer_of(pieces) == [AnswerEnded()]
        feed.add(Typed("And now?"))
        assert [await anext(pieces), await anext(pieces)] == SPOKEN[:2]
        assert sent(vendor) == [text("Hello"), text("And now?")]


async def test_an_answer_that_has_not_begun_can_be_stopped() -> None:
    """The answer before it continues, and the answer after it follows."""
    async with talking(*[Typed(each) for each in "abc"], server=LiveServer(holds=True)) as (pieces, feed, vendor):
        assert await anext(pieces) == SPOKEN[0]
        feed.add(Heard(0.0, 1), Heard(0.1, 0))
        assert AnswerEnded() in await answer_of(pieces)
        assert await answer_of(pieces) == [AnswerEnded()]
        assert await anext(pieces) == SPOKEN[0]
        assert sent(vendor) == [text("a"), text("c")]


async def test_speech_stops_the_answer() -> None:
    """The vendor does this itself. The answer still ends."""
    async with talking(Typed("Hello"), server=LiveServer(holds=True)) as (pieces, feed, _):
        assert [await anext(pieces), await anext(pieces)] == SPOKEN[:2]
        feed.add(*[LOUD] * 3)
        assert await answer_of(pieces) == [SpeechBegan(), SPENT, AnswerEnded()]


@pytest.mark.parametrize(
    ("reason", "logged"),
    [
        (None, []),
        ("NEED_MORE_INPUT", []),
        ("PROHIBITED_INPUT_CONTENT", ["google ended an answer early: PROHIBITED_INPUT_CONTENT"]),
        ("you said a bad word", ["google ended an answer early: a reason that cannot be shown"]),
    ],
)
async def test_a_turn_without_an_answer_ends(
    reason: str | None, logged: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """The requested answer is empty. The user's speech ends all the same, and its transcript is final."""
    ending = {"turnComplete": True, **({"turnCompleteReason": reason} if reason else {})}
    async with talking(*[LOUD] * 20, *[SILENT] * 20, server=LiveServer([ending, ending, None])) as (pieces, feed, _):
        assert [await anext(pieces) for _ in range(5)] == [SpeechBegan(), *INTERIM, FINAL, SpeechEnded()]
        feed.add(Typed("Hello"))
        assert await answer_of(pieces) == [AnswerEnded()]
        feed.add(Typed("Hello"))
        assert await answer_of(pieces) == [*SPOKEN, SPENT, AnswerEnded()]
    assert caplog.messages == logged * 2


async def test_closing_reaches_the_vendor() -> None:
    """This happens in the middle of an answer."""
    async with talking(Typed("Hello"), server=LiveServer(holds=True)) as (pieces, _, vendor):
        await anext(pieces)
        await pieces.aclose()
        assert await vendor.vendor.requests[0].outcome() == "left"


# ---- the session -----------------------------------------------------------------------------------------------------


async def test_the_stream_ends_before_the_vendor_closes_the_connection() -> None:
    """It ends when nothing is said or awaited, so that another connection can take over without a gap."""
    server = LiveServer([CALL, None], notice={"goAway": {"timeLeft": "50s"}})
    async with talking(Typed("Three nights."), server=server) as (pieces, feed, _):
        await answer_of(pieces)
        feed.add(FunctionResult("f1", "Done."))
        assert await answer_of(pieces) == [*SPOKEN, SPENT, AnswerEnded()]
        assert [each async for each in pieces] == []


async def test_the_stream_does_not_end_before_the_answer_to_speech() -> None:
    """The user has interrupted the vendor, which reports the end of speech some time before it answers."""
    server = LiveServer(notice={"goAway": {"timeLeft": "50s"}}, holds=True, reports_speech=True)
    async with talking(Typed("Hello"), server=server) as (pieces, feed, _):
        assert [await anext(pieces), await anext(pieces)] == SPOKEN[:2]
        feed.add(*[LOUD] * 20)
        assert await answer_of(pieces) == [SpeechBegan(), SPENT, AnswerEnded()]
        server.holds = False
        feed.add(*[SILENT] * 20)
        assert await answer_of(pieces) == [*INTERIM, FINAL, SpeechEnded(), *SPOKEN, SPENT, AnswerEnded()]
        assert [each async for each in pieces] == []


async def test_the_conversation_so_far_is_sent_first() -> None:
    """It is sent after the setup, and is not answered."""
    messages = [
        *[{"role": "system", "content": "You answer the phone."}, {"role": "assistant", "content": "Welcome."}],
        {"role": "user", "content": "Hi"},
    ]
    functions = [{"name": "book_room", "description": "Books.", "parameters": {"type": "object"}}]
    asked: dict[str, Any] = {"messages": messages, "functions": functions}
    async with talking(Respond(), **asked) as (pieces, _, vendor):
        await anext(pieces)
        setup = vendor.vendor.requests[0].messages[0]["setup"]
        history, _ = sent(vendor)
    assert setup["systemInstruction"] == {"parts": [{"text": "You answer the phone."}]}
    assert setup["historyConfig"] == {"initialHistoryInClientContent": True}
    declared = {"name": "book_room", "description": "Books.", "parametersJsonSchema": {"type": "object"}}
    declared |= {"behavior": "BLOCKING"}
    assert setup["tools"] == [{"functionDeclarations": [declared]}]
    turns = [("user", "(The conversation begins.)"), ("model", "Welcome."), ("user", "Hi")]
    contents = [{"role": role, "parts": [{"text": said}]} for role, said in turns]
    assert history == {"clientContent": {"turns": contents, "turnComplete": True}}


async def test_options_are_sent() -> None:
    """The fields have the vendor's names."""
    async with live_vendor() as vendor, google_speech(KEY, **vendor.service_options) as speech:
        speaking(speech, "gemini-x", "Kore", "de-DE", "low", 0.5, compression=False)
        hearing(speech, "low", "high", 100, 300, ("de-DE", "en-US"))
        async with aclosing(speech.converse(SpeechRequest(feed_of(Respond())))) as pieces:
            await anext(pieces)
        assert vendor.vendor.requests[0].messages[0]["setup"] == {
            "model": "models/gemini-x",
            "generationConfig": {
                "responseModalities": ["AUDIO"],
                "speechConfig": {
                    "voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}},
                    "languageCode": "de-DE",
                },
                "thinkingConfig": {"thinkingLevel": "LOW"},
                "temperature": 0.5,
            },
            "realtimeInputConfig": {
                "automaticActivityDetection": {
                    "startOfSpeechSensitivity": "START_SENSITIVITY_LOW",
                    "endOfSpeechSensitivity": "END_SENSITIVITY_HIGH",
                    "prefixPaddingMs": 100,
                    "silenceDurationMs": 300,
                }
            },
            "inputAudioTranscription": {"languageCodes": ["de-DE", "en-US"]},
            "outputAudioTranscription": {},
        }


# ---- failures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "category"), [("cut", "unavailable"), ("malformed", "unavailable"), ("silent", "timeout")]
)
async def test_a_vendor_may_fail_in_every_way(script: str, category: str) -> None:
    """The failure comes in the middle of an answer, or before it."""
    async with talking(Typed("Hello"), timeout=timeout_for(0.4, script)) as (pieces, _, vendor):
        vendor.script(script)
        with pytest.raises(ProviderError) as failed:
            await answer_of(pieces)
    assert failed.value.category == category


async def test_an_answer_that_stops_is_a_timeout() -> None:
    """The vendor does not send its end."""
    async with talking(Typed("Hello"), server=LiveServer(holds=True), timeout=0.4) as (pieces, _, _):
        with pytest.raises(ProviderError, match="google did not answer in time"):
            await answer_of(pieces)


@pytest.mark.parametrize(("status", "category"), [(401, "auth"), (402, "quota"), (429, "rate"), (500, "unavailable")])
async def test_a_refused_connection_has_a_category(status: int, category: str) -> None:
    """The category depends on the status."""
    async with talking() as (pieces, _, vendor):
        vendor.vendor.on(PATH, Answer(status))
        with pytest.raises(ProviderError) as failed:
            await answer_of(pieces)
    assert failed.value.category == category


@pytest.mark.parametrize(
    ("code", "reason", "category"),
    [
        (1007, "API key not valid. Please pass a valid API key.", "auth"),
        (1007, "Request contains an invalid argument.", "bad-request"),
        (1011, "You exceeded your current quota, please check your plan and billing details.", "rate"),
        (1011, "Internal error encountered.", "unavailable"),
        (1008, "Connection aborted because the client failed to close it after a GoAway signal", "unavailable"),
        (1000, "quota", "unavailable"),
    ],
)
async def test_a_closed_connection_has_the_category_of_its_reason(code: int, reason: str, category: str) -> None:
    """Google accepts each connection, and then closes it with its words."""

    async def close(socket: FakeSocket) -> None:
        await anext(socket)
        await socket.close(code, reason)

    async with talking() as (pieces, _, vendor):
        vendor.vendor.on(PATH, close)
        with pytest.raises(ProviderError) as failed:
            await answer_of(pieces)
    assert failed.value.category == category


async def test_a_made_up_key_is_noticed_at_the_start() -> None:
    """The check is a request that costs nothing, at the same address."""
    async with live_vendor() as vendor, google_speech(KEY, **vendor.service_options) as speech:
        vendor.vendor.on("/v1/models", Answer(400, json=lambda request: refuse(401, request)))
        with pytest.raises(ProviderError, match="google refused its key"):
            await speech.check_key()


# ---- in a bot --------------------------------------------------------------------------------------------------------


@bot(services={"speech": "google"}, client=["speech.voice"])
async def receptionist(session: Session, /, speech: SpeechModel) -> None:
    """A receptionist that hears and speaks."""
    await converse(session, speech=speech)


async def test_a_bot_answers_with_it() -> None:
    """The client's texts count as typed, and the answer is added to the context."""
    async with live_vendor() as vendor:
        operator = {"service_options": {"google": {"base_url": vendor.vendor.url}}}
        async with connect(receptionist, module, api_keys={"google": KEY.reveal()}, operator=operator) as client:
            assert await client.ask("Hello") == "Good day."


@pytest.mark.parametrize("function", [google_speech, speaking, hearing])
def test_the_readme_has_every_option(function: Any) -> None:
    """Each option is listed with its default."""
    assert undocumented_options(Path(__file__).parents[1] / "README.md", function) == []
