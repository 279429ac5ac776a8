"""Recognition and voices against a fake of OpenAI: what they send, what they yield, and how they fail."""

from __future__ import annotations

import io
import wave
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
from openai_vendor import SOUND, TRANSCRIPT, OneByOne, events, refuse, speech_vendor, transcription_vendor

from rtvi_plugins.errors import ProviderError
from rtvi_plugins.kinds import STT, TTS, Audio, STTPiece, STTRequest, Transcript, TTSPiece, TTSRequest, Usage
from rtvi_plugins.session import Secret
from rtvi_plugins_openai.stt import OpenAISTT, openai_stt, recognition
from rtvi_plugins_openai.tts import OpenAITTS, openai_tts, voice
from rtvi_plugins_vendor.provider_tests import undocumented_options
from rtvi_plugins_vendor.testing import Answer, FakeRequest

pytestmark = pytest.mark.anyio

KEY = Secret("key-of-a-test")
FRAME = Audio(b"\1\2" * 512, 16_000)


@asynccontextmanager
async def hearing(answer: list[bytes] = TRANSCRIPT) -> AsyncGenerator[tuple[OpenAISTT, Any]]:
    """Open the recogniser with its default options, on a vendor that gives this answer."""
    async with transcription_vendor(answer) as vendor, openai_stt(KEY, **vendor.service_options) as stt:
        recognition(stt)
        yield stt, vendor


@asynccontextmanager
async def speaking() -> AsyncGenerator[tuple[OpenAITTS, Any]]:
    """Open a voice of the speech API. Those of the Realtime API are tested in `test_reading.py`."""
    async with speech_vendor() as vendor, openai_tts(KEY, **vendor.service_options) as tts:
        voice(tts, "gpt-4o-mini-tts")
        yield tts, vendor


async def transcripts_of(stt: OpenAISTT, frames: int = 3) -> list[STTPiece]:
    """Return what is recognised in some frames."""
    async with aclosing(stt.transcribe(STTRequest(OneByOne([FRAME] * frames)))) as pieces:
        return [piece async for piece in pieces]


async def speech_of(tts: OpenAITTS, *texts: str) -> list[TTSPiece]:
    """Return the speech of some sentences."""
    async with aclosing(tts.synthesize(TTSRequest(OneByOne(texts)))) as pieces:
        return [piece async for piece in pieces]


def form_of(request: FakeRequest) -> dict[str, list[bytes]]:
    """Return the fields of a form. One with several values occurs several times."""
    head = f"content-type: {request.headers['content-type']}\r\n\r\n".encode()
    fields: dict[str, list[bytes]] = {}
    for part in message_from_bytes(head + request.body).walk():
        if not part.is_multipart():
            content = part.get_payload(decode=True)
            assert isinstance(content, bytes)
            fields.setdefault(str(part.get_param("name", header="content-disposition")), []).append(content)
    return fields


# ---- recognition -----------------------------------------------------------------------------------------------------


async def test_a_transcript_is_streamed() -> None:
    """Interim transcripts grow, and the final one has the language. The usage follows."""
    async with hearing() as (stt, _):
        assert isinstance(stt, STT)
        assert await transcripts_of(stt) == [
            *[Transcript("Good", final=False), Transcript("Good day.", final=False)],
            Transcript("Good day.", final=True, language="en"),
            Usage(14, 3, model="gpt-transcribe", seconds=sum([FRAME.seconds] * 3)),
        ]


async def test_a_model_that_does_not_stream_has_one_transcript() -> None:
    """Its answer is one object."""
    async with hearing() as (stt, vendor):
        body = {"text": " Good day. ", "usage": {"type": "duration", "seconds": 2}}
        vendor.vendor.on("/v1/audio/transcriptions", Answer(json=body))
        recognition(stt, model="whisper-1")
        assert await transcripts_of(stt) == [
            Transcript("Good day.", final=True),
            Usage(model="whisper-1", seconds=2),
        ]


async def test_the_audio_is_sent_as_a_file() -> None:
    """The request has the key, and nothing that was not set."""
    async with hearing() as (stt, vendor):
        await transcripts_of(stt)
        (request,) = vendor.vendor.requests
    fields = form_of(request)
    with wave.open(io.BytesIO(fields.pop("file")[0])) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        assert file.readframes(9999) == FRAME.data * 3
    assert fields == {"model": [b"gpt-transcribe"], "response_format": [b"json"], "stream": [b"true"]}
    assert request.headers["authorization"] == "Bearer key-of-a-test"


async def test_options_of_the_recognition_are_sent() -> None:
    """A list is sent as a field for each value."""
    async with hearing() as (stt, vendor):
        recognition(stt, "gpt-4o-transcribe", "de", ["de", "en"], "A hotel.", ["Zimmer"], 0.0)
        await transcripts_of(stt)
        fields = form_of(vendor.vendor.requests[0])
    assert {name: values for name, values in fields.items() if name not in ("file", "response_format", "stream")} == {
        "model": [b"gpt-4o-transcribe"],
        "language": [b"de"],
        "languages[]": [b"de", b"en"],
        "prompt": [b"A hotel."],
        "keywords[]": [b"Zimmer"],
        "temperature": [b"0.0"],
    }


async def test_no_audio_is_no_request() -> None:
    """The vendor would refuse such a request."""
    async with hearing() as (stt, vendor):
        assert await transcripts_of(stt, 0) == []
        assert vendor.vendor.requests == []


@pytest.mark.parametrize(
    ("last", "category"),
    [
        (events({"type": "error", "error": {"code": "rate_limit_exceeded"}}), "rate"),
        (events({"type": "transcript.text.new", "delta": "?"}, "[DONE]"), "unavailable"),
        (events("<html>"), "unavailable"),
    ],
)
async def test_a_transcript_without_its_end_is_a_failure(last: bytes, category: str) -> None:
    """The transcript up to the failure stays."""
    request = STTRequest(OneByOne([FRAME]))
    async with hearing([TRANSCRIPT[0], last]) as (stt, _), aclosing(stt.transcribe(request)) as pieces:
        assert await anext(pieces) == Transcript("Good", final=False)
        with pytest.raises(ProviderError) as failed:
            await anext(pieces)
    assert failed.value.category == category


# ---- voices ----------------------------------------------------------------------------------------------------------


async def test_speech_is_streamed_in_whole_samples() -> None:
    """Each sentence is a request. Blank sentences are not sent."""
    async with speaking() as (tts, vendor):
        assert isinstance(tts, TTS)
        *audio, usage = await speech_of(tts, "Good day.", " \n", "Bye.")
        first, second = vendor.vendor.requests
    pieces = [each for each in audio if isinstance(each, Audio)]
    assert b"".join(each.data for each in pieces) == b"".join(SOUND) * 2
    assert {(each.rate, each.channels, len(each.data) % 2) for each in pieces} == {(24_000, 1, 0)}
    assert usage == Usage(characters=13, model="gpt-4o-mini-tts")
    format = {"response_format": "pcm", "stream_format": "audio"}
    assert first.json == {"model": "gpt-4o-mini-tts", "voice": "marin", "input": "Good day.", **format}
    assert second.json["input"] == "Bye."


async def test_options_of_the_voice_are_sent() -> None:
    """The fields have the vendor's names."""
    async with speaking() as (tts, vendor):
        voice(tts, "tts-1", "nova", "Calmly.", 1.5)
        await speech_of(tts, "Hi")
        sent = vendor.vendor.requests[0].json
    assert {"model": "tts-1", "voice": "nova", "instructions": "Calmly.", "speed": 1.5}.items() <= sent.items()


async def test_a_long_text_is_sent_in_parts() -> None:
    """The vendor accepts 4096 characters."""
    async with speaking() as (tts, vendor):
        await speech_of(tts, "word " * 1000)
        sent = [each.json["input"] for each in vendor.vendor.requests]
    assert [len(each) for each in sent] == [4094, 904]
    assert " ".join(sent).split() == ["word"] * 1000


async def test_nothing_to_say_is_no_request() -> None:
    """No usage is reported either."""
    async with speaking() as (tts, vendor):
        assert await speech_of(tts, "", " ") == []
        assert vendor.vendor.requests == []


async def test_an_interruption_reaches_the_vendor() -> None:
    """The interruption comes in the middle of a sentence."""
    async with speaking() as (tts, vendor):
        vendor.script("hang")
        async with aclosing(tts.synthesize(TTSRequest(OneByOne(["Good day."])))) as pieces:
            assert isinstance(await anext(pieces), Audio)
        assert await vendor.vendor.requests[0].outcome() == "left"


@pytest.mark.parametrize(
    ("script", "category"),
    [
        ("401", "auth"),
        ("402", "quota"),
        ("429", "rate"),
        ("400", "bad-request"),
        ("500", "unavailable"),
        ("cut", "unavailable"),
        ("silent", "timeout"),
        ("hang", "timeout"),
    ],
)
async def test_a_failure_has_a_category(script: str, category: str) -> None:
    """The vendor refuses the request, or fails before or within the answer."""
    async with speech_vendor() as vendor:
        vendor.script(script)
        async with openai_tts(KEY, **vendor.service_options) as tts:
            voice(tts, "tts-1")
            with pytest.raises(ProviderError) as failed:
                await speech_of(tts, "Good day.")
    assert failed.value.category == category


# ---- both ------------------------------------------------------------------------------------------------------------


async def test_a_made_up_key_is_noticed_at_the_start() -> None:
    """The check is a request that costs nothing."""
    async with hearing() as (stt, heard), speaking() as (tts, spoken):
        for live, vendor in ((stt, heard), (tts, spoken)):
            vendor.vendor.on("/v1/models", Answer(401, json=lambda request: refuse(401, request)))
            with pytest.raises(ProviderError, match="openai refused its key"):
                await live.check_key()


@pytest.mark.parametrize("function", [openai_stt, recognition, openai_tts, voice])
def test_the_readme_has_every_option(function: Any) -> None:
    """Each option is listed with its default."""
    assert undocumented_options(Path(__file__).parents[1] / "README.md", function) == []
