"""Helper processes: frames in both directions, processes that die, and sharing one among sessions."""

from __future__ import annotations

import os
import signal
import struct
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtvi_plugins.helper_process import Frame, HelperLost, HelperProcess, PerEventLoop

pytestmark = pytest.mark.anyio

#: A helper that does something with each frame. `reply` writes one.
HELPER = """
import os, struct, sys, time
HEADER = struct.Struct(">IBI")
def reply(kind, id, payload=b""):
    sys.stdout.buffer.write(HEADER.pack(len(payload), kind, id) + payload)
    sys.stdout.buffer.flush()
while header := sys.stdin.buffer.read(HEADER.size):
    length, kind, id = HEADER.unpack(header)
    payload = sys.stdin.buffer.read(length)
    DO
"""
ECHO = "reply(kind, id, payload)"


@asynccontextmanager
async def running(do: str = ECHO) -> AsyncGenerator[HelperProcess]:
    """A helper process that does this with each frame."""
    process = await HelperProcess.start([sys.executable, "-I", "-S", "-c", HELPER.replace("DO", do)])
    try:
        yield process
    finally:
        await process.aclose(kill=True)


def exists(process: HelperProcess) -> bool:
    """Whether there is such a process, or one that has ended and was not waited for."""
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return False
    return True


async def fill_pipe(process: HelperProcess, *, seconds: float | None = None) -> None:
    """Send more than fits into a pipe."""
    for _ in range(100):
        await process.send(1, 1, bytes(65_536), seconds=seconds)


# ---- frames ----------------------------------------------------------------------------------------------------------


async def test_a_reply_belongs_to_its_request() -> None:
    """Replies to a cancelled request are dropped."""
    async with running() as process:
        first, second = process.new_request(), process.new_request()
        await process.send(1, first, b"first")
        await process.send(2, second, bytes(100_000))
        assert await process.receive(second) == Frame(2, second, bytes(100_000))
        assert process.usable


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=300))), st.lists(st.integers(1, 50), min_size=1))
def test_frames_arrive_whole_however_they_are_cut(frames: list[tuple[int, bytes]], sizes: list[int]) -> None:
    """A pipe may cut frames anywhere."""
    data = b"".join(struct.pack(">IBI", len(payload), kind, 7) + payload for kind, payload in frames)
    process = HelperProcess(_Pipe(data, sizes))  # type: ignore[arg-type]

    async def read() -> list[tuple[int, bytes]]:
        return [(frame.kind, frame.payload) for frame in [await process.receive(7) for _ in frames]]

    assert anyio.run(read) == frames


class _Pipe:
    """A process whose stdout gives these bytes in pieces."""

    returncode = None

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self.stdout = self
        self._data, self._sizes = data, sizes * (len(data) + 1)

    async def receive(self) -> bytes:
        size = self._sizes.pop(0)
        piece, self._data = self._data[:size], self._data[size:]
        return piece


# ---- processes that fail ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "do",
    [
        "sys.exit(1)",
        "os.write(1, b'Segmentation fault, core dumped')",
        "os.write(1, b'\\0\\0\\0\\xff'); sys.exit(0)",
    ],
)
async def test_a_process_that_dies_or_sends_something_else_is_lost(do: str) -> None:
    """The process is not used again."""
    async with running(do) as process:
        id = process.new_request()
        await process.send(1, id)
        with pytest.raises(HelperLost):
            await process.receive(id)
        assert not process.usable


async def test_a_program_that_does_not_exist_is_lost() -> None:
    """The error is the same as for a process that dies."""
    with pytest.raises(HelperLost, match="did not start"):
        await HelperProcess.start(["/no/such/program"])


async def test_sending_to_a_dead_process_fails() -> None:
    """The error comes at the latest when the pipe is full."""
    async with running() as process:
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(HelperLost):
            await fill_pipe(process)
        assert not process.usable


async def test_sending_that_is_cancelled_leaves_a_process_that_is_not_used_again() -> None:
    """The pipe may contain half a frame."""
    async with running("time.sleep(1000)") as process:
        with anyio.move_on_after(0.2) as scope:
            while True:
                await process.send(1, 1, bytes(1_000_000))
        assert scope.cancelled_caught
        assert not process.usable


async def test_sending_with_a_time_limit_is_not_cut_off_by_cancellation() -> None:
    """The frame is sent whole, or the process is lost."""
    async with running() as process:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await process.send(1, process.new_request(), b"whole", seconds=5.0)
        assert process.usable
        assert (await process.receive(1)).payload == b"whole"
    async with running("time.sleep(1000)") as process:
        with pytest.raises(HelperLost):
            await fill_pipe(process, seconds=0.1)


async def test_receiving_can_be_cancelled() -> None:
    """The frame is received by the next call."""
    async with running("time.sleep(0.05); reply(kind, id, payload)") as process:
        id = process.new_request()
        await process.send(1, id, b"late")
        with anyio.move_on_after(0):
            await process.receive(id)
        assert (await process.receive(id)).payload == b"late"


# ---- the end ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kill", [False, True])
@pytest.mark.parametrize("do", [ECHO, "time.sleep(1000)"])
async def test_no_process_is_left(do: str, kill: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that does not exit when its stdin ends is killed."""
    monkeypatch.setattr("rtvi_plugins.helper_process._EXIT_SECONDS", 0.2)
    process = await HelperProcess.start([sys.executable, "-I", "-S", "-c", HELPER.replace("DO", do)])
    await process.send(1, 1)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await process.aclose(kill=kill)
    assert process.exited
    assert not exists(process)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="the environment of a process is read from /proc")
async def test_a_process_gets_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its environment has only the variables that programs need."""
    for name in ("ACME_API_KEY", "RTVI_OPERATOR_SECRET", "DATABASE_URL"):
        monkeypatch.setenv(name, "key-of-a-test")
    async with running() as process:
        environ = anyio.Path(f"/proc/{process.pid}/environ")
        while not (given := await environ.read_bytes()):  # empty while the program is loaded
            await anyio.lowlevel.checkpoint()
    assert b"PATH=" in given
    assert b"key-of-a-test" not in given


async def test_ctrl_c_does_not_reach_a_process() -> None:
    """A terminal sends Ctrl-C to the process group of the program that it runs."""
    async with running() as process:
        assert os.getsid(process.pid) != os.getsid(0)


# ---- sharing ---------------------------------------------------------------------------------------------------------


class Resource:
    """A resource that closes slowly."""

    def __init__(self) -> None:
        self.closing, self.go_on = anyio.Event(), anyio.Event()
        self.closed = False

    async def aclose(self) -> None:
        self.closing.set()
        with anyio.CancelScope(shield=True):
            await self.go_on.wait()
        self.closed = True


@pytest.fixture
def made() -> list[Resource]:
    """The resources that a test has made."""
    return []


@pytest.fixture
def shared(made: list[Resource]) -> PerEventLoop[Resource]:
    """A shared resource."""

    def make() -> Resource:
        made.append(Resource())
        return made[-1]

    return PerEventLoop("test", make)


async def test_a_resource_is_shared_until_its_last_user_leaves(
    shared: PerEventLoop[Resource], made: list[Resource]
) -> None:
    """Whoever leaves first."""
    async with shared.use() as first:
        async with shared.use() as second:
            assert second is first
        assert not first.closing.is_set()
        first.go_on.set()
    assert [each.closed for each in made] == [True]


async def test_a_user_who_comes_while_it_closes_gets_a_new_one(
    shared: PerEventLoop[Resource], made: list[Resource]
) -> None:
    """The old one is not given out again."""

    async def use_once() -> None:
        async with shared.use():
            pass

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(use_once)
        await anyio.wait_all_tasks_blocked()
        async with shared.use() as resource:
            assert resource is made[1]
            made[0].go_on.set()
            await anyio.wait_all_tasks_blocked()
            assert made[0].closed
            assert not resource.closing.is_set()
            resource.go_on.set()
    assert len(made) == 2


def test_each_event_loop_has_its_own(anyio_backend_name: str, made: list[Resource]) -> None:
    """A resource of one event loop cannot be used on another."""

    def make() -> Resource:
        made.append(Resource())
        made[-1].go_on.set()
        return made[-1]

    shared = PerEventLoop("test", make)

    async def use_once() -> None:
        async with shared.use():
            pass

    for _ in range(2):
        anyio.run(use_once, backend=anyio_backend_name)
    assert len(made) == 2
