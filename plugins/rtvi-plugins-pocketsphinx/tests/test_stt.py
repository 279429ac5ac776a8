"""The service itself: interim transcripts, several utterances, workers that die, and cancelled utterances."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path

import anyio
import pytest

from rtvi_plugins import ProviderError
from rtvi_plugins.kinds import STT, Audio, STTRequest, Transcript, Usage
from rtvi_plugins_pocketsphinx import _pool, stt
from rtvi_plugins_pocketsphinx._worker import Worker
from rtvi_plugins_pocketsphinx.stt import PocketSphinxSTT, can_recognise, configure, pocketsphinx_stt

pytestmark = pytest.mark.anyio

Hear = Callable[[PocketSphinxSTT, bytes], AsyncIterator[object]]
Speech = Callable[[str, str], bytes]

THANKS = "thank you very much"
DOCTOR = "the doctor will see you now"


@pytest.fixture(autouse=True)
def launched(monkeypatch: pytest.MonkeyPatch) -> list[Worker]:
    """Return every worker that a test starts."""
    workers: list[Worker] = []
    launch = Worker.launch

    async def remembered() -> Worker:
        workers.append(await launch())
        return workers[-1]

    monkeypatch.setattr(Worker, "launch", remembered)
    return workers


async def final(pieces: AsyncIterator[object]) -> str:
    """Return the final transcript."""
    return next(each.text for each in [each async for each in pieces] if isinstance(each, Transcript) and each.final)


async def test_interim_transcripts_come_while_audio_does(speech: Speech) -> None:
    """They come before the last audio is taken, at most five per second, and differ. The last piece is the usage."""
    pcm, taken = speech("kal16", THANKS), 0

    async def audio() -> AsyncGenerator[Audio]:
        nonlocal taken
        for taken in range(0, len(pcm), 1024):
            yield Audio(pcm[taken : taken + 1024], 16000)

    async with pocketsphinx_stt() as service:
        assert isinstance(service, STT)
        heard = [(piece, taken) async for piece in service.transcribe(STTRequest(audio()))]
    interims = [(piece.text, at) for piece, at in heard if isinstance(piece, Transcript) and not piece.final]
    assert len(interims) > 1
    assert all(one != other and at - before >= 6400 for (one, before), (other, at) in pairwise(interims))
    assert interims[-1][1] < taken
    assert heard[-2:] == [
        (Transcript(THANKS, final=True, language="en"), taken),
        (Usage(model="pocketsphinx en-us"), taken),
    ]


async def test_interim_transcripts_can_be_turned_off(speech: Speech, hear: Hear) -> None:
    """Then there is only the final transcript. With a grammar, it has the author's spelling."""
    async with pocketsphinx_stt() as service:
        configure(service, grammar=["Thank you, very much!", "No."], interim=False)
        heard = [each async for each in hear(service, speech("kal16", THANKS))]
    assert heard[:-1] == [Transcript("Thank you, very much!", final=True, language="en")]


async def test_two_utterances_at_once_are_kept_apart(speech: Speech, hear: Hear, launched: list[Worker]) -> None:
    """Each of two sessions gets its own transcripts. The workers end with the sessions."""
    heard: dict[str, str] = {}

    async def listen(text: str) -> None:
        async with pocketsphinx_stt() as service:
            heard[text] = await final(hear(service, speech("kal16", text)))

    async with anyio.create_task_group() as sessions:
        sessions.start_soon(listen, THANKS)
        sessions.start_soon(listen, DOCTOR)
    assert heard == {THANKS: THANKS, DOCTOR: DOCTOR}
    assert_gone(launched)


async def test_a_worker_that_dies_fails_its_utterance_only(speech: Speech, hear: Hear, launched: list[Worker]) -> None:
    """The error says that the utterance may be tried again. The next utterance has another worker."""
    pcm = speech("kal16", THANKS)

    async def audio() -> AsyncGenerator[Audio]:
        yield Audio(pcm[:6400], 16000)
        os.kill(launched[0].process.pid, signal.SIGKILL)
        yield Audio(pcm[6400:], 16000)

    async with pocketsphinx_stt() as service:
        with pytest.raises(ProviderError, match=r"pocketsphinx is not available\.") as caught:
            await final(service.transcribe(STTRequest(audio())))
        assert caught.value.retryable
        assert await final(hear(service, pcm)) == THANKS
    assert len(launched) == 2
    assert_gone(launched)


async def test_a_worker_that_died_while_idle_is_not_given_out(
    speech: Speech, hear: Hear, launched: list[Worker]
) -> None:
    """Nobody's utterance pays for it."""
    async with pocketsphinx_stt() as service:
        os.kill(launched[0].process.pid, signal.SIGKILL)
        await until_exited(launched[0])
        assert await final(hear(service, speech("kal16", THANKS))) == THANKS


async def test_a_session_that_opens_while_the_last_one_closes_keeps_its_worker(
    launched: list[Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pool ends the workers of the session that closes, and no others."""
    stop, stopping, go_on = Worker.stop, anyio.Event(), anyio.Event()

    async def slow_stop(worker: Worker) -> None:
        stopping.set()
        with anyio.CancelScope(shield=True):
            await go_on.wait()
        await stop(worker)

    monkeypatch.setattr(Worker, "stop", slow_stop)

    async def open_and_close() -> None:
        async with pocketsphinx_stt():
            pass

    async with anyio.create_task_group() as closing:
        closing.start_soon(open_and_close)
        await stopping.wait()
        async with pocketsphinx_stt():
            assert len(launched) == 2
            go_on.set()
            await until_exited(launched[0])
            await anyio.wait_all_tasks_blocked()
            assert launched[1].usable
    assert_gone(launched)


async def test_a_session_opens_at_once_while_others_speak(speech: Speech, launched: list[Worker]) -> None:
    """It does not wait for a worker, whose models load slowly while the processor is busy with speech."""
    speaking, go_on = anyio.Event(), anyio.Event()

    async def audio() -> AsyncGenerator[Audio]:
        yield Audio(speech("kal16", DOCTOR), 16000)
        speaking.set()
        await go_on.wait()

    async with pocketsphinx_stt() as service, anyio.create_task_group() as tasks:
        tasks.start_soon(final, service.transcribe(STTRequest(audio())))
        await speaking.wait()
        for _ in range(3):
            async with pocketsphinx_stt():
                assert len(launched) == 1
        go_on.set()
    assert_gone(launched)


async def test_a_session_opens_though_no_worker_gets_ready(
    speech: Speech, hear: Hear, launched: list[Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker is used when its models are loaded."""
    monkeypatch.setattr(_pool, "_WARM_SECONDS", 0.0)
    async with pocketsphinx_stt() as service:
        assert await final(hear(service, speech("kal16", THANKS))) == THANKS
    assert len(launched) == 1
    assert_gone(launched)


async def test_workers_let_the_server_go_first(launched: list[Worker]) -> None:
    """The workers have a low priority, so the event loop always gets the processor."""
    async with pocketsphinx_stt():
        assert os.getpriority(os.PRIO_PROCESS, launched[0].process.pid) > os.getpriority(os.PRIO_PROCESS, 0)


async def test_an_utterance_that_is_cancelled_leaves_nothing_behind(
    speech: Speech, hear: Hear, launched: list[Worker]
) -> None:
    """Also not in what the same worker hears next."""
    waiting = anyio.Event()

    async def audio() -> AsyncGenerator[Audio]:
        yield Audio(speech("kal16", DOCTOR)[:40960], 16000)
        waiting.set()
        await anyio.sleep_forever()

    async with pocketsphinx_stt() as service:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(final, service.transcribe(STTRequest(audio())))
            await waiting.wait()
            tasks.cancel_scope.cancel()
        assert await final(hear(service, speech("kal16", THANKS))) == THANKS
    assert len(launched) == 1
    assert_gone(launched)


async def test_an_utterance_that_is_closed_gives_its_worker_back(
    speech: Speech, hear: Hear, launched: list[Worker]
) -> None:
    """As a turn does that does not want to hear the rest."""
    async with pocketsphinx_stt() as service:
        async with (
            aclosing(one(Audio(speech("kal16", DOCTOR), 16000))) as audio,
            aclosing(service.transcribe(STTRequest(audio))) as pieces,
        ):
            assert isinstance(await anext(pieces), Transcript)
        assert await final(hear(service, speech("kal16", THANKS))) == THANKS
    assert len(launched) == 1


async def one(audio: Audio) -> AsyncGenerator[Audio]:
    """Yield an utterance in one piece."""
    yield audio


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="the environment of a process is read from /proc")
async def test_a_worker_has_no_keys(monkeypatch: pytest.MonkeyPatch, launched: list[Worker]) -> None:
    """Its environment has only what programs need to run."""
    for name in ("ACME_API_KEY", "RTVI_OPERATOR_SECRET", "DATABASE_URL", "RTVI_ICE_SERVERS"):
        monkeypatch.setenv(name, "key-of-a-test")
    async with pocketsphinx_stt():
        given = await anyio.Path(f"/proc/{launched[0].process.pid}/environ").read_bytes()
    assert b"PATH=" in given
    assert b"key-of-a-test" not in given


async def test_no_audio_is_no_words(hear: Hear) -> None:
    """An utterance may end before any audio."""
    async with pocketsphinx_stt() as service:
        assert await final(hear(service, b"")) == ""


async def test_audio_of_another_rate_is_refused() -> None:
    """A session always sends 16 kHz mono. Other audio would be recognised wrongly."""
    async with pocketsphinx_stt() as service, aclosing(one(Audio(bytes(960), 48000))) as audio:
        with pytest.raises(ProviderError, match="did not accept the request"):
            await final(service.transcribe(STTRequest(audio)))


async def test_it_tells_which_words_it_knows() -> None:
    """A bot's author can ask before setting a grammar."""
    async with pocketsphinx_stt() as service:
        asked = ["Receptionist", "o'clock", "flugelhornist"]
        known = await can_recognise(service, asked)
    assert known == {"Receptionist": True, "o'clock": True, "flugelhornist": False}


async def test_where_it_is_not_installed_a_session_opens_and_is_typed_to(
    hear: Hear, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """There are platforms without a wheel; the operator is told at once, the user when they speak."""
    monkeypatch.setattr(stt, "installed", lambda: False)
    async with pocketsphinx_stt() as service:
        assert re.search(r"no wheel for Python 3\.\d+ on \w+ \(\w+\)", caplog.text)
        with pytest.raises(ProviderError) as raised:
            await final(hear(service, bytes(1024)))
    assert not raised.value.retryable


async def until_exited(worker: Worker) -> None:
    """Wait until the event loop has noticed that a worker has ended."""
    while not worker.process.exited:  # noqa: ASYNC110
        await anyio.sleep(0.01)


def assert_gone(workers: list[Worker]) -> None:
    """Check that the processes have ended, and were waited for."""
    assert workers
    assert all(each.process.exited for each in workers)
    assert not [each for each in workers if Path(f"/proc/{each.process.pid}/stat").exists()]
