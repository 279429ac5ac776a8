"""The helper process is shared, replaced when it dies, and ended when nobody needs it."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import anyio
import pytest
from listening import listen, pid_of, texts

from rtvi_plugins import helper_worker
from rtvi_plugins.errors import ProviderError
from rtvi_plugins.kinds import Audio, TTSRequest
from rtvi_plugins_espeak._helper import DATA, LIBRARY, EspeakHelper, command_for
from rtvi_plugins_espeak.speech import EspeakTTS, open_speech
from rtvi_plugins_espeak.tts import configure

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", ["asyncio", "trio", "asyncio+uvloop"], indirect=True, scope="module"),
]

SENTENCE = "The weather will be fine tomorrow, with a little wind from the west."
LONG = "On and on it goes, without a full stop, and " * 6


def is_running(pid: int) -> bool:
    """Return whether there is such a process, even one that ended and was not waited for."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def first_audio(tts: EspeakTTS, text: str) -> Audio:
    """Begin to say a text, and stop when the first audio arrives."""
    async with aclosing(texts(text)) as source, aclosing(tts.synthesize(TTSRequest(source))) as speech:
        async for piece in speech:
            if isinstance(piece, Audio):
                return piece
    raise AssertionError("nothing was said")


# ---- one process for all ---------------------------------------------------------------------------------------------


async def test_sessions_share_a_process_until_the_last_has_closed() -> None:
    """It does not end with the session that started it, but with the last of them."""
    pid, opened, leave = 0, anyio.Event(), anyio.Event()

    async def first() -> None:
        async with open_speech():
            opened.set()
            await leave.wait()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(first)
        await opened.wait()
        async with open_speech() as tts:
            pid = await pid_of(tts)
            leave.set()
            await anyio.wait_all_tasks_blocked()
            assert (await listen(tts, SENTENCE)).seconds > 3
            assert await pid_of(tts) == pid
    assert not is_running(pid)
    async with open_speech() as tts:
        assert await pid_of(tts) != pid
        assert (await listen(tts, SENTENCE)).seconds > 3


async def test_sessions_that_open_at_the_same_moment_start_one_process() -> None:
    """Sessions that open while it starts wait for it."""
    pids: set[int] = set()
    opened = anyio.Semaphore(0)
    finished = anyio.Event()

    async def session() -> None:
        async with open_speech() as tts:
            pids.add(await pid_of(tts))
            opened.release()
            await finished.wait()

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(session)
        for _ in range(5):
            await opened.acquire()
        finished.set()
    assert len(pids) == 1


async def test_a_session_that_is_cancelled_while_it_speaks_leaves_no_process() -> None:
    """The last session may end in the middle of a word."""
    pid = 0
    with anyio.CancelScope() as scope:
        async with open_speech() as tts:
            pid = await pid_of(tts)
            async with aclosing(texts(LONG * 50)) as source, aclosing(tts.synthesize(TTSRequest(source))) as speech:
                async for piece in speech:
                    if isinstance(piece, Audio):
                        scope.cancel()
                        await anyio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    assert not is_running(pid)


async def test_opening_may_be_cancelled() -> None:
    """If the opening is cancelled before the process is ready, no process stays, and the next session can open."""
    with anyio.CancelScope() as scope:
        scope.cancel()
        async with open_speech():
            pytest.fail("it opened")
    async with open_speech() as tts:
        assert (await listen(tts, "One.")).seconds > 0.2


async def test_the_process_has_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its environment has only what it needs to run."""
    for name in ("ACME_API_KEY", "RTVI_OPERATOR_SECRET", "DATABASE_URL", "RTVI_ICE_SERVERS"):
        monkeypatch.setenv(name, "key-of-a-test")
    async with open_speech() as tts:
        given = await anyio.Path(f"/proc/{await pid_of(tts)}/environ").read_bytes()
    assert b"key-of-a-test" not in given


async def test_a_service_that_has_closed_says_nothing_more() -> None:
    """Speech that is still requested after its service was closed fails with the category of a lost vendor."""
    async with open_speech() as tts:
        pass
    with pytest.raises(ProviderError, match="espeak is not available"):
        await listen(tts, SENTENCE)


async def test_closing_ends_what_is_being_said() -> None:
    """The request fails, because the service was closed."""
    manager = open_speech()
    tts = await manager.__aenter__()
    async with aclosing(texts(LONG * 50)) as source, aclosing(tts.synthesize(TTSRequest(source))) as speech:
        await anext(speech)
        await manager.__aexit__(None, None, None)
        with pytest.raises(ProviderError, match="espeak is not available"):
            async for _ in speech:
                pass


# ---- stopping --------------------------------------------------------------------------------------------------------


async def test_after_an_interruption_the_next_sentence_is_whole(tts: EspeakTTS) -> None:
    """It contains no audio of the interrupted sentence."""
    pid, whole = await pid_of(tts), await listen(tts, SENTENCE)
    for _ in range(10):
        await first_audio(tts, LONG)
        heard = await listen(tts, SENTENCE)
        assert heard.said == whole.said
        assert heard.seconds == pytest.approx(whole.seconds, rel=0.05)  # pyright: ignore[reportUnknownMemberType]
    assert await pid_of(tts) == pid


async def test_a_request_that_is_cancelled_while_it_waits_takes_no_turn(tts: EspeakTTS) -> None:
    """After twenty requests that were cancelled immediately, the next request gets only its own audio."""
    whole = await listen(tts, SENTENCE)
    for _ in range(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen, tts, LONG)
            await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
    assert (await listen(tts, SENTENCE)).said == whole.said


async def test_a_slow_listener_keeps_nobody_waiting(tts: EspeakTTS) -> None:
    """If a request takes one piece and then stops reading, other requests can use the process."""
    async with aclosing(texts(LONG)) as source, aclosing(tts.synthesize(TTSRequest(source))) as speech:
        await anext(speech)
        async with open_speech() as other:
            with anyio.fail_after(30):
                assert (await listen(other, SENTENCE)).seconds > 3


# ---- dying -----------------------------------------------------------------------------------------------------------


async def test_a_process_that_dies_fails_the_request_and_is_replaced(tts: EspeakTTS) -> None:
    """The request in progress fails. The next sentence is said by another process."""
    configure(tts, words_per_minute=80)  # so that a part is more than pipes hold
    pid = await pid_of(tts)
    async with aclosing(texts(LONG * 50)) as source, aclosing(tts.synthesize(TTSRequest(source))) as speech:
        await anext(speech)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(ProviderError) as caught:
            async for _ in speech:
                pass
    failure = caught.value
    assert (failure.provider, failure.category, failure.retryable) == ("espeak", "unavailable", True)
    assert (await listen(tts, SENTENCE)).seconds > 3
    assert await pid_of(tts) != pid
    assert not is_running(pid)


async def test_a_process_that_dies_while_nobody_speaks_is_replaced_unnoticed(tts: EspeakTTS) -> None:
    """The next sentence is said, with the options that were set."""
    pid = await pid_of(tts)
    os.kill(pid, signal.SIGKILL)
    assert (await listen(tts, SENTENCE)).seconds > 3
    assert await pid_of(tts) != pid
    assert not is_running(pid)


async def test_a_process_that_is_known_to_be_dead_is_asked_nothing(tts: EspeakTTS) -> None:
    """If the event loop has seen it die, another is started first."""
    dead = await tts.helper.open()
    os.kill(dead.pid, signal.SIGKILL)
    while not dead.exited:  # noqa: ASYNC110  # the event loop notices it
        await anyio.sleep(0.01)
    assert (await listen(tts, SENTENCE)).seconds > 3
    assert await pid_of(tts) != dead.pid


#: A helper process that is not espeak's: it greets, takes a request, and then does what is put in its place.
PRETENDER = """
import json, os, signal, sys, time
sys.path.append(sys.argv[1])
from helper_worker import FAILED, READY, STARTED, encode, read_frames
AUDIO = 18
def say(kind, id, payload=b""):
    os.write(1, encode(kind, id, payload))
voices = [["English", ["en-us"], "gmw/en-US"]]
say(READY, 0, json.dumps({"rate": 22050, "voices": voices, "variants": []}).encode())
for kind, id, payload in read_frames(sys.stdin.buffer):
    if kind == 16:
        say(STARTED, id)
        DO
"""


@asynccontextmanager
async def pretending(do: str, *, reply_seconds: float = 30.0) -> AsyncGenerator[EspeakTTS]:
    """Return a speech service whose process does this with each request."""
    core = str(Path(helper_worker.__file__).parent)
    command = [sys.executable, "-I", "-S", "-c", PRETENDER.replace("DO", do), core]
    helper = EspeakHelper(command, reply_seconds=reply_seconds)
    installed = await helper.installed()
    async with anyio.create_task_group() as tasks:
        try:
            yield EspeakTTS(installed.voices, installed.rate, helper, tasks)
        finally:
            tasks.cancel_scope.cancel()
            await helper.aclose()


@pytest.mark.parametrize(
    ("do", "category"),
    [
        ("sys.exit(1)", "unavailable"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "unavailable"),
        ("os.write(1, b'Segmentation fault, core dumped')", "unavailable"),
        ("say(AUDIO, id, bytes(100)); sys.exit(0)", "unavailable"),
        ("say(FAILED, id)", "bad-request"),
    ],
)
async def test_each_way_to_fail_has_its_category(do: str, category: str) -> None:
    """A text that crashes the library is not tried again. A text that it refuses is an error of the request."""
    async with pretending(do) as tts:
        with pytest.raises(ProviderError) as caught:
            await listen(tts, SENTENCE)
    assert (caught.value.provider, caught.value.category) == ("espeak", category)


async def test_a_process_that_hangs_is_killed() -> None:
    """The time limit is longer than any sentence takes."""
    async with pretending("signal.pause()", reply_seconds=0.2) as tts:
        pid = await pid_of(tts)
        with pytest.raises(ProviderError, match="espeak is not available"):
            await listen(tts, SENTENCE)
        assert not is_running(pid)


async def test_a_process_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing has a time limit."""
    monkeypatch.setattr("rtvi_plugins.helper_process._EXIT_SECONDS", 0.1)
    async with pretending("time.sleep(1000)") as tts:
        pid = await pid_of(tts)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen, tts, SENTENCE)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
    assert not is_running(pid)


# ---- starting --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        ["/no/such/program"],
        [sys.executable, "-c", "pass"],
        [sys.executable, "-c", "print('hello, world')"],
        command_for(LIBRARY, "/no/such/folder/espeak-ng-data"),
        command_for("/no/such/library.so", DATA),
    ],
)
async def test_a_process_that_does_not_come_up_is_an_error(command: list[str]) -> None:
    """The service does not open, whichever part is missing."""
    with pytest.raises(ProviderError, match="espeak is not available"):
        await EspeakHelper(command).installed()


async def test_the_data_may_lie_at_a_long_path(tmp_path: Path) -> None:
    """The library itself refuses paths of 160 bytes, which are common for environments in deep folders."""
    folder = tmp_path / ("Tür-" * 30) / ("deep-" * 30)
    folder.mkdir(parents=True)
    shutil.copytree(DATA, folder / "espeak-ng-data", copy_function=os.link)
    helper = EspeakHelper(command_for(LIBRARY, str(folder / "espeak-ng-data")))
    try:
        installed = await helper.installed()
        assert installed.rate == 22050
        assert installed.voices.find("en-gb") == "gmw/en"
    finally:
        await helper.aclose()
