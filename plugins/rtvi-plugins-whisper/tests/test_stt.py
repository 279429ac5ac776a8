"""The service itself: interim transcripts, several and long utterances, other sounds, and cancelled utterances."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from random import Random

import anyio
import pytest

from rtvi_plugins import ProviderError
from rtvi_plugins.kinds import STT, Audio, STTRequest, Transcript, Usage
from rtvi_plugins_whisper._recogniser import Heard, Recogniser
from rtvi_plugins_whisper.stt import WhisperSTT, configure, whisper_stt

pytestmark = pytest.mark.anyio

Hear = Callable[[WhisperSTT, bytes], AsyncIterator[object]]
Speech = Callable[[str, str], bytes]

THANKS = "Thank you very much for your help."
DOCTOR = "The doctor will see you now."


async def final(pieces: AsyncIterator[object]) -> str:
    """Return the final transcript."""
    return next(each.text for each in [each async for each in pieces] if isinstance(each, Transcript) and each.final)


async def test_interim_transcripts_come_while_audio_does(speech: Speech) -> None:
    """They come before the last audio is taken. The last piece is the usage."""
    pcm, taken = speech("rms", THANKS), 0

    async def audio() -> AsyncGenerator[Audio]:
        nonlocal taken
        for taken in range(0, len(pcm), 1024):
            yield Audio(pcm[taken : taken + 1024], 16000)

    async with whisper_stt("tiny.en") as service:
        assert isinstance(service, STT)
        heard = [(piece, taken) async for piece in service.transcribe(STTRequest(audio()))]
    interims = [(piece.text, at) for piece, at in heard if isinstance(piece, Transcript) and not piece.final]
    assert len(interims) > 1
    assert interims[-1][1] < taken
    assert heard[-2:] == [
        (Transcript(THANKS, final=True, language="en"), taken),
        (Usage(model="whisper tiny.en"), taken),
    ]


async def test_interim_transcripts_can_be_turned_off(speech: Speech, hear: Hear) -> None:
    """Then there is only the final transcript."""
    async with whisper_stt("tiny.en") as service:
        configure(service, interim=False)
        heard = [each async for each in hear(service, speech("rms", THANKS))]
    assert heard[:-1] == [Transcript(THANKS, final=True, language="en")]


async def test_sounds_without_speech_have_no_words(hear: Hear) -> None:
    """Without a check, the model transcribes silence as "you"."""
    async with whisper_stt("tiny.en") as service:
        for prompt in ("", "A guest asks a hotel about rooms."):
            configure(service, prompt=prompt)
            for pcm in (b"", bytes(640), bytes(64000), noise(30), noise(300), noise(3000)):
                assert await final(hear(service, pcm)) == ""


async def test_words_of_the_prompt_are_recognised_more_often(speech: Speech, hear: Hear) -> None:
    """An unknown name gets the spelling of the prompt. A very long prompt is cut."""
    async with whisper_stt("tiny.en") as service:
        for prompt in ("Doctor Phanel has left.", "Doctor Phanel has left. " * 80):
            configure(service, interim=False, prompt=prompt)
            assert "Phanel" in await final(hear(service, speech("rms", "Doctor Phanel will see you now.")))
        configure(service, interim=False)
        assert "Phanel" not in await final(hear(service, speech("rms", "Doctor Phanel will see you now.")))


async def test_two_utterances_at_once_are_kept_apart(speech: Speech, hear: Hear) -> None:
    """Each of two sessions gets its own transcripts."""
    heard: dict[str, str] = {}

    async def listen(text: str) -> None:
        async with whisper_stt("tiny.en") as service:
            heard[text] = await final(hear(service, speech("rms", text)))

    async with anyio.create_task_group() as sessions:
        sessions.start_soon(listen, THANKS)
        sessions.start_soon(listen, DOCTOR)
    assert heard == {THANKS: THANKS, DOCTOR: DOCTOR}


async def test_interim_transcripts_give_way_to_final_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """While all threads work, no interim transcripts are begun, but the audio is still taken."""
    begun, go_on = anyio.Event(), threading.Event()
    finals: list[bool] = []

    def recognise(self: Recogniser, pcm: bytes, *, final: bool, **_: object) -> Heard:
        finals.append(final)
        if len(pcm) < 40000:  # the other sessions'
            anyio.from_thread.run_sync(begun.set)
            go_on.wait(30)
        return Heard("yes", "en")

    monkeypatch.setattr(Recogniser, "recognise", recognise)

    async def audio(size: int) -> AsyncGenerator[Audio]:
        for _ in range(0, size, 1024):
            yield Audio(bytes(1024), 16000)
        if size > 40000:
            go_on.set()

    async with whisper_stt("tiny.en") as service:
        service._recognitions._limiter.total_tokens = 1  # pyright: ignore[reportPrivateUsage]

        async def listen(size: int) -> None:
            assert await final(service.transcribe(STTRequest(audio(size)))) == "yes"

        async with anyio.create_task_group() as sessions:
            sessions.start_soon(listen, 10240)
            await begun.wait()
            sessions.start_soon(listen, 102400)
    assert finals == [True, True]


async def test_a_long_utterance_is_recognised_in_parts(speech: Speech, hear: Hear, sentences: Sequence[str]) -> None:
    """The model accepts 30 s. Later audio is not lost."""
    pcm = b"".join(speech("rms", each) for each in sentences)
    assert len(pcm) / 32000 > 50
    async with whisper_stt("tiny.en") as service:
        configure(service, interim=False)
        text = await final(hear(service, pcm))
    heard = text.lower()
    beginnings = [" ".join(each.split()[:3]) for each in sentences]
    assert sum(each in heard for each in beginnings) >= 18, text


async def test_leaving_does_not_wait_for_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """A working thread is abandoned, and its result is dropped."""
    begun, go_on = anyio.Event(), threading.Event()

    def recognise(*_: object, **__: object) -> Heard:
        anyio.from_thread.run_sync(begun.set)
        go_on.wait(30)
        return Heard("too late", "en")

    monkeypatch.setattr(Recogniser, "recognise", recognise)

    async def audio() -> AsyncGenerator[Audio]:
        yield Audio(bytes(1024), 16000)

    async with whisper_stt("tiny.en") as service:
        with anyio.fail_after(20):
            async with anyio.create_task_group() as session:
                session.start_soon(final, service.transcribe(STTRequest(audio())))
                await begun.wait()
                session.cancel_scope.cancel()
        go_on.set()


async def test_the_event_loop_continues_while_the_model_works(speech: Speech) -> None:
    """Python's lock is free meanwhile, so other tasks run hundreds of times."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    pcm = speech("rms", THANKS)

    async def audio() -> AsyncGenerator[Audio]:
        yield Audio(pcm, 16000)

    async with whisper_stt("tiny.en") as service, anyio.create_task_group() as others:
        configure(service, interim=False)
        others.start_soon(count)
        async with aclosing(service.transcribe(STTRequest(audio()))) as pieces:
            await final(pieces)
        others.cancel_scope.cancel()
    assert turns > 200


async def test_audio_of_another_format_is_refused() -> None:
    """The framework resamples audio, so the caller has made a mistake."""

    async def audio() -> AsyncGenerator[Audio]:
        yield Audio(bytes(1024), 48000)

    async with whisper_stt("tiny.en") as service:
        with pytest.raises(ProviderError) as caught:
            await final(service.transcribe(STTRequest(audio())))
    assert (caught.value.category, caught.value.retryable) == ("bad-request", False)


async def test_a_multilingual_model_takes_and_detects_languages(speech: Speech, hear: Hear) -> None:
    """The language of the transcript is the detected one."""
    async with whisper_stt("base") as service:
        configure(service, language="auto", interim=False)
        heard = [each async for each in hear(service, speech("rms", DOCTOR))]
        assert heard[0] == Transcript(DOCTOR, final=True, language="en")
        configure(service, language="de", interim=False)
        heard = [each async for each in hear(service, speech("rms", DOCTOR))]
        assert isinstance(heard[0], Transcript)
        assert heard[0].language == "de"


def noise(amplitude: int) -> bytes:
    """Return two seconds of white noise, which is the same each time."""
    random = Random(1)
    return b"".join(random.randint(-amplitude, amplitude).to_bytes(2, "little", signed=True) for _ in range(32000))
