"""The program of a helper process: its requests and replies, and the command that starts it."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from threading import Event, Thread

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtvi_plugins.helper_process import HelperLost, HelperProcess, SupervisedHelper
from rtvi_plugins.helper_worker import (
    CANCEL,
    DONE,
    FAILED,
    Frame,
    Replies,
    Requests,
    encode,
    read_frames,
    worker_command,
)

#: A program that sends back its arguments and what was imported, then runs requests: code that it runs.
PROGRAM = """
import json, os, signal, sys, time
from rtvi_plugins.helper_worker import READY, Refused, Requests, serve, take_stdout


def main(*arguments):
    replies, requests = take_stdout(), Requests()
    print("noise of a library", flush=True)
    imported = sorted(name for name in sys.modules if name.startswith("rtvi_plugins"))
    replies.send(READY, 0, json.dumps([arguments, imported]).encode())

    def execute(request):
        exec(request.payload, globals() | locals() | {"replies": replies, "requests": requests})

    serve(requests, replies, execute)
"""


# ---- without a process -----------------------------------------------------------------------------------------------

FRAMES = st.builds(Frame, st.integers(0, 255), st.integers(0, 2**32 - 1), st.binary(max_size=300))


@given(st.lists(FRAMES), st.binary(max_size=8))
def test_frames_are_read_as_they_were_written(frames: list[Frame], rest: bytes) -> None:
    """A frame that is not complete is not read."""
    assert list(read_frames(BytesIO(b"".join(encode(*each) for each in frames) + rest))) == frames


def test_a_payload_without_end_is_rejected() -> None:
    """The payload is not read."""
    with pytest.raises(ValueError, match="is too long"):
        list(read_frames(BytesIO(b"\xff" * 20)))


def test_requests_are_executed_in_order_except_those_that_were_cancelled() -> None:
    """A running request is asked whether it was cancelled. The end of the stream, and invalid data, cancel all."""
    source, sink = os.pipe()
    cancelled = Event()
    requests = Requests(cancelled.set)
    with os.fdopen(source, "rb") as stream:
        reader = Thread(target=requests.read, args=(stream,))
        reader.start()
        os.write(sink, encode(16, 1) + encode(16, 2) + encode(16, 3) + encode(CANCEL, 1))
        assert cancelled.wait(30)
        waiting = iter(requests)
        assert not requests.wants(1)
        assert [next(waiting).id, next(waiting).id] == [2, 3]
        assert requests.wants(3)
        os.write(sink, encode(16, 4) + b"\xff" * 20)
        os.close(sink)
        reader.join()
    assert not requests.wants(3)
    assert next(waiting, None) is None


def test_replies_wait_for_company_but_not_for_long() -> None:
    """The first batch is small, and later ones grow. A reply that is needed now takes all waiting replies with it."""
    source, sink = os.pipe()
    os.set_blocking(source, False)
    sizes: list[int] = []
    replies = Replies(sink)
    try:
        for _ in range(20):
            replies.send_soon(20, 1, bytes(1000))
            sizes += _read(source)
        replies.send(DONE, 1)
        last = read_frames(BytesIO(os.read(source, 100_000)))
        assert sizes == [5045, 9081]
        assert [each.kind for each in last] == [20] * 6 + [DONE]
    finally:
        os.close(source)
        os.close(sink)


def _read(source: int) -> list[int]:
    """The number of bytes that can be read now."""
    try:
        return [len(os.read(source, 100_000))]
    except BlockingIOError:
        return []


def test_a_reply_longer_than_the_pipe_is_written_whole() -> None:
    """Its reader may be slow."""
    source, sink = os.pipe()
    read = b""
    writer = Thread(target=Replies(sink).send, args=(20, 1, bytes(500_000)))
    writer.start()
    while len(read) < len(encode(20, 1, bytes(500_000))):
        read += os.read(source, 10_000)
    writer.join()
    os.close(source)
    os.close(sink)
    assert read == encode(20, 1, bytes(500_000))


# ---- with a process --------------------------------------------------------------------------------------------------


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command that starts the program."""
    folder = tmp_path / "helper_of_a_test"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "worker.py").write_text(PROGRAM)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    return worker_command("helper_of_a_test.worker", "one", "two", libraries=False)


@asynccontextmanager
async def supervised(command: list[str], *, reply_seconds: float = 30.0) -> AsyncGenerator[SupervisedHelper]:
    """The program in a process that is started again when it dies."""
    helper = SupervisedHelper(partial(HelperProcess.start, command, ready_seconds=30.0), reply_seconds=reply_seconds)
    try:
        yield helper
    finally:
        await helper.aclose(kill=True)


async def execute(helper: SupervisedHelper, code: str) -> tuple[Frame, list[int]]:
    """Run code. Return the last reply, and the kinds of the replies before it."""
    kinds = list[int]()
    last = await helper.request(16, code.encode(), lambda reply: kinds.append(reply.kind))
    return last, kinds


@pytest.mark.anyio
async def test_a_program_gets_its_arguments_and_imports_nothing_else_of_the_framework(command: list[str]) -> None:
    """What its libraries print is not read as replies."""
    async with supervised(command) as helper:
        arguments, imported = json.loads((await helper.open()).greeting)
        assert arguments == ["one", "two"]
        assert imported == ["rtvi_plugins", "rtvi_plugins.helper_worker"]


@pytest.mark.anyio
async def test_replies_come_in_order_up_to_the_last(command: list[str]) -> None:
    """The last one is DONE, or FAILED with its reason."""
    async with supervised(command) as helper:
        last, kinds = await execute(helper, "replies.send_soon(20, request.id); replies.send_soon(21, request.id)")
        assert (last.kind, kinds[1:]) == (DONE, [20, 21])
        last, _ = await execute(helper, "raise Refused('no such voice')")
        assert (last.kind, last.payload) == (FAILED, b"no such voice")


@pytest.mark.anyio
async def test_a_process_that_died_between_requests_is_replaced(command: list[str]) -> None:
    """Nobody notices. If it dies during a request, that request fails, but the next one gets another process."""
    async with supervised(command) as helper:
        first = await helper.open()
        os.kill(first.pid, signal.SIGKILL)
        assert (await execute(helper, "pass"))[0].kind == DONE
        second = await helper.open()
        assert second.pid != first.pid
        with pytest.raises(HelperLost):
            await execute(helper, "os._exit(1)")
        assert (await execute(helper, "pass"))[0].kind == DONE
        assert (await helper.open()).pid != second.pid


@pytest.mark.anyio
async def test_a_process_that_hangs_is_killed(command: list[str]) -> None:
    """The time limit is longer than any request takes."""
    async with supervised(command, reply_seconds=0.3) as helper:
        hanging = await helper.open()
        with pytest.raises(HelperLost, match="does not reply"):
            await execute(helper, "time.sleep(1000)")
        assert hanging.exited


@pytest.mark.anyio
async def test_a_cancelled_request_is_cancelled_in_the_process_too(command: list[str]) -> None:
    """The same process runs the next request, which gets none of these replies."""
    async with supervised(command) as helper:
        process = await helper.open()
        with anyio.CancelScope() as scope:
            await helper.request(
                16, b"while requests.wants(request.id): time.sleep(0.01)", lambda reply: scope.cancel()
            )
        assert scope.cancelled_caught
        last, kinds = await execute(helper, "replies.send(20, request.id)")
        assert (last.kind, kinds[1:]) == (DONE, [20])
        assert await helper.open() is process


@pytest.mark.anyio
async def test_it_can_be_opened_while_it_works_for_others(command: list[str]) -> None:
    """Opening makes no request."""
    async with supervised(command) as helper, anyio.create_task_group() as tasks:
        begun = anyio.Event()

        def note(reply: Frame) -> None:
            begun.set()

        tasks.start_soon(helper.request, 16, b"time.sleep(1000)", note)
        await begun.wait()
        with anyio.fail_after(30):
            assert (await helper.open()).usable
        tasks.cancel_scope.cancel()


@pytest.mark.anyio
@pytest.mark.parametrize("code", ["pass", "import time; time.sleep(1000)", "print('hello, world')"])
async def test_a_process_that_does_not_get_ready_is_lost(code: str) -> None:
    """It may fail in any way. Its process has ended."""
    with pytest.raises(HelperLost):
        await HelperProcess.start([sys.executable, "-I", "-S", "-c", code], ready_seconds=1.0)
