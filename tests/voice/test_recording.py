"""The recording of a session: each piece of sound at its place, the transcript in lines, and failing disks."""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
import tempfile
import wave
from array import array
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from threading import Event
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtvi_plugins.errors import AuthorError
from rtvi_plugins.testing import ManualClock
from rtvi_plugins.voice.recording import RATE, Recorder, Recording, check_folder, record

from ..tools.patience import PATIENCE

pytestmark = pytest.mark.anyio

#: 40 ms, and the 5 s that a side may be ahead of its times, in samples.
JITTER, MOST_AHEAD = 640, 80_000


def piece(value: int, samples: int) -> bytes:
    """Sound that is easy to find again: one value, many times."""
    return array("h", [value] * samples).tobytes()


def sides(path: Path) -> tuple[array[int], array[int]]:
    """The samples of the user and of the bot in a WAV file, read by the standard library."""
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, RATE)
        samples = array("h", file.readframes(file.getnframes()))
        assert len(samples) == 2 * file.getnframes()
    return samples[0::2], samples[1::2]


def runs(samples: array[int]) -> list[tuple[int, int, int]]:
    """The runs of one value that is not silence: the value, its start, and its length."""
    found: list[tuple[int, int, int]] = []
    for at, value in enumerate(samples):
        if found and found[-1][0] == value and sum(found[-1][1:]) == at:
            found[-1] = (value, found[-1][1], found[-1][2] + 1)
        elif value:
            found.append((value, at, 1))
    return found


def lines(path: Path) -> list[dict[str, Any]]:
    """The transcript, line by line."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@asynccontextmanager
async def recorded(folder: Path, clock: ManualClock | None = None) -> AsyncGenerator[Recorder]:
    """A recording on a clock that stands at 1,000 s."""
    async with record(folder, "session", now=(clock or ManualClock()).now) as recorder:
        yield recorder


async def until(condition: Callable[[], bool]) -> None:
    """Let the event loop and the thread run until a condition is true."""
    with anyio.fail_after(PATIENCE):
        while not condition():
            await anyio.lowlevel.checkpoint()


def heard(recorder: Recorder) -> array[int]:
    """The user's samples that are in the file now."""
    return sides(recorder.recording.audio)[0]


# ---- where sound goes ------------------------------------------------------------------------------------------------


async def test_the_user_is_left_and_the_bot_right_each_at_its_time(tmp_path: Path) -> None:
    """Both channels have the times of the clock, with silence where nobody speaks."""
    async with recorded(tmp_path) as recorder:
        recorder.user(1_000.5, piece(1, 512))
        recorder.bot(1_000.25, piece(2, 8_000))
        recorder.bot(1_003, piece(3, 320))
    user, bot = sides(tmp_path / "session.wav")
    assert runs(user) == [(1, 8_000, 512)]
    assert runs(bot) == [(2, 4_000, 8_000), (3, 48_000, 320)]


async def test_jitter_neither_opens_a_gap_nor_loses_a_sample(tmp_path: Path) -> None:
    """Pieces that come a little early or late follow each other. A gap of 40 ms is silence."""
    async with recorded(tmp_path) as recorder:
        recorder.user(1_000, piece(1, 512))
        recorder.user(1_000.020, piece(2, 512))
        recorder.user(1_000.1039, piece(3, 512))  # the two before it end at 0.064
        recorder.user(1_000.136, piece(4, 512))  # the three end at 0.096: just 40 ms
    user, _ = sides(tmp_path / "session.wav")
    assert runs(user) == [(1, 0, 512), (2, 512, 512), (3, 1_024, 512), (4, 2_176, 512)]


async def test_a_side_that_runs_away_from_its_clock_is_left_out(tmp_path: Path) -> None:
    """At most five seconds of sound may be ahead of the clock, so that memory and the file stay small."""
    async with recorded(tmp_path) as recorder:
        for _ in range(100):
            recorder.user(1_000, piece(1, RATE))
    user, _ = sides(tmp_path / "session.wav")
    assert len(user) == 6 * RATE


async def test_what_is_no_whole_sample_is_left_out(tmp_path: Path) -> None:
    """Half a sample at the end of a piece does not shift the next samples. An empty piece changes nothing."""
    async with recorded(tmp_path) as recorder:
        recorder.user(1_000, piece(1, 3) + b"\x07")
        recorder.user(1_000, b"\x07")
        recorder.user(1_000, b"")
        recorder.user(999, piece(2, 3))
    user, _ = sides(tmp_path / "session.wav")
    assert list(user) == [1, 1, 1, 2, 2, 2]


async def test_a_session_in_which_nobody_speaks_has_an_empty_recording(tmp_path: Path) -> None:
    """It is a valid WAV file nevertheless."""
    async with recorded(tmp_path):
        pass
    assert [len(side) for side in sides(tmp_path / "session.wav")] == [0, 0]
    assert lines(tmp_path / "session.jsonl") == []


events = st.lists(
    st.tuples(
        st.booleans(),
        st.integers(min_value=-2_000, max_value=8 * RATE),
        st.integers(min_value=0, max_value=1_200) | st.just(40_000),
    ),
    max_size=25,
)


@given(events=events)
@settings(max_examples=40, deadline=None)
async def test_every_piece_is_at_its_place(events: list[tuple[bool, int, int]]) -> None:
    """It is complete and in order: at its time after a silence, otherwise directly after the piece before."""
    expected: dict[bool, list[tuple[int, int, int]]] = {True: [], False: []}
    with tempfile.TemporaryDirectory() as folder:
        async with recorded(Path(folder)) as recorder:
            for value, (is_user, at, length) in enumerate(events, 1):
                (recorder.user if is_user else recorder.bot)(1_000 + at / RATE, piece(value, length))
                end = sum(expected[is_user][-1][1:]) if expected[is_user] else 0
                if length and end - max(0, at) <= MOST_AHEAD:
                    expected[is_user].append((value, at if at - end >= JITTER else end, length))
        user, bot = sides(Path(folder, "session.wav"))
    assert runs(user) == expected[True]
    assert runs(bot) == expected[False]
    assert len(user) == max((at + length for side in expected.values() for _, at, length in side), default=0)


# ---- the transcript --------------------------------------------------------------------------------------------------


async def test_the_transcript_tells_who_said_what_when(tmp_path: Path) -> None:
    """Each text is a line, with the seconds since the session began."""
    clock = ManualClock()
    async with recorded(tmp_path, clock) as recorder:
        recorder.said(clock.now() + 1.23456, "user", "Guten Tag, ü!\nIch …")
        clock.advance(2.5)
        recorder.said(clock.now(), "assistant", "Good", interrupted=True)
    assert lines(tmp_path / "session.jsonl") == [
        {"at": 1.235, "role": "user", "text": "Guten Tag, ü!\nIch …", "interrupted": False},
        {"at": 2.5, "role": "assistant", "text": "Good", "interrupted": True},
    ]


async def test_half_a_character_harms_nothing(tmp_path: Path) -> None:
    """A client can send text that no file can contain."""
    async with recorded(tmp_path) as recorder:
        recorder.said(1_000, "user", "a \ud83d b")
    assert [line["text"] for line in lines(tmp_path / "session.jsonl")] == ["a ? b"]


async def test_a_line_is_written_when_it_is_said(tmp_path: Path) -> None:
    """Somebody who reads the file during the session sees it."""
    async with recorded(tmp_path) as recorder:
        recorder.said(1_000, "user", "Hello?")
        await until(lambda: bool(lines(recorder.recording.transcript)))
        assert lines(recorder.recording.transcript)[0]["text"] == "Hello?"


# ---- as it goes ------------------------------------------------------------------------------------------------------


async def test_sound_is_written_about_once_a_second(tmp_path: Path) -> None:
    """Older sound is in the file during the session, and the header is correct."""
    async with recorded(tmp_path) as recorder:
        for at in range(40):
            recorder.user(1_000 + at * 0.032, piece(at + 1, 512))
        await until(lambda: len(heard(recorder)) >= RATE)
        assert [value for value, _, _ in runs(heard(recorder))][:32] == list(range(1, 33))


async def test_after_a_crash_the_recording_can_be_read(tmp_path: Path) -> None:
    """If a process dies, the recording lacks only the last second or two."""
    done = await anyio.run_process([sys.executable, "-c", CRASH, str(tmp_path)], check=False)
    assert (done.returncode, done.stderr) == (9, b"")
    user, bot = sides(tmp_path / "session.wav")
    assert runs(user) == [(1, 0, 3 * RATE)]
    assert runs(bot) == [(2, RATE, RATE)]
    assert lines(tmp_path / "session.jsonl")[0]["text"] == "Hello?"


CRASH = """
import os, sys
from array import array
from pathlib import Path
import anyio, anyio.lowlevel
from rtvi_plugins.voice.recording import record


async def main():
    async with record(Path(sys.argv[1]), "session", now=lambda: 0.0) as recorder:
        recorder.bot(1.0, array("h", [2] * 16000).tobytes())
        recorder.user(0.0, array("h", [1] * 48000).tobytes())
        recorder.said(0.5, "user", "Hello?")
        while recorder.recording.audio.stat().st_size < 44 + 4 * 48000:
            await anyio.lowlevel.checkpoint()
        recorder.said(1.0, "user", "Again")  # when it is there, the header of what went before is too
        while recorder.recording.transcript.read_bytes().count(b"\\n") < 2:
            await anyio.lowlevel.checkpoint()
        os._exit(9)

anyio.run(main)
"""


# ---- the end of a session --------------------------------------------------------------------------------------------


async def test_a_closed_recorder_takes_nothing_more(tmp_path: Path) -> None:
    """Earlier sound stays in the file."""
    async with recorded(tmp_path) as recorder:
        recorder.user(1_000, piece(1, 4))
        recorder.said(1_000, "user", "one")
        recorder.close()
        recorder.user(1_000, piece(2, 4))
        recorder.said(1_000, "user", "two")
    recorder.bot(1_000, piece(3, 4))
    recorder.close()
    assert list(sides(tmp_path / "session.wav")[0]) == [1] * 4
    assert [line["text"] for line in lines(tmp_path / "session.jsonl")] == ["one"]


async def test_a_cancelled_session_is_recorded_to_its_end(tmp_path: Path) -> None:
    """The last second is written even while the session is being cancelled."""
    with anyio.CancelScope() as scope:
        async with recorded(tmp_path) as recorder:
            recorder.user(1_000, piece(1, 400))
            scope.cancel()
            await anyio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    assert runs(sides(tmp_path / "session.wav")[0]) == [(1, 0, 400)]


async def test_what_a_session_raises_is_raised_as_it_is(tmp_path: Path) -> None:
    """It is not in an exception group, and the recording is complete."""
    error = LookupError("in the bot")

    async def session() -> None:
        async with recorded(tmp_path) as recorder:
            recorder.user(1_000, piece(1, 400))
            raise error

    with pytest.raises(LookupError) as caught:
        await session()
    assert caught.value is error
    assert runs(sides(tmp_path / "session.wav")[0]) == [(1, 0, 400)]


# ---- folders and disks -----------------------------------------------------------------------------------------------


async def test_only_the_user_who_runs_the_bot_may_read_it(tmp_path: Path) -> None:
    """Recordings contain people's speech. So the folder and the files belong to the user who runs the bot."""
    async with recorded(tmp_path / "made" / "for it") as recorder:
        paths = [recorder.recording.audio.parent, recorder.recording.audio, recorder.recording.transcript]
    assert [oct(stat.S_IMODE(path.stat().st_mode)) for path in paths] == ["0o700", "0o600", "0o600"]


async def test_a_folder_that_cannot_be_written_is_said_at_the_start(tmp_path: Path) -> None:
    """It is reported before anybody speaks, with what to do. `check_folder` reports it before there is a session."""
    (tmp_path / "file").touch()
    with pytest.raises(AuthorError, match=r"Cannot record to .*file.*: Not a directory\. Name another folder"):
        async with recorded(tmp_path / "file" / "folder"):
            pytest.fail("there is nothing to record to")
    with pytest.raises(AuthorError, match=r"Cannot record to .*file"):
        check_folder(tmp_path / "file")


def test_a_folder_that_can_be_written_is_left_empty(tmp_path: Path) -> None:
    """The check makes the folder, for this user only, and leaves no file in it."""
    for _ in range(2):
        check_folder(tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []
    assert oct(stat.S_IMODE((tmp_path / "new").stat().st_mode)) == "0o700"


async def test_a_recording_whose_transcript_was_moved_gets_no_other(tmp_path: Path) -> None:
    """Its name is taken by the sound alone."""
    (tmp_path / "session.wav").write_bytes(b"old")
    async with recorded(tmp_path):
        assert not (tmp_path / "session.jsonl").exists()
        assert (tmp_path / "session.2.jsonl").exists()


async def test_a_recording_is_never_overwritten(tmp_path: Path) -> None:
    """A session that continues in another process gets further files. Those of the first one are not changed."""
    for value, name in enumerate(["session", "session.2", "session.3"], start=1):
        async with recorded(tmp_path) as recorder:
            recorder.user(1_000, piece(value, 400))
        assert recorder.recording == Recording(tmp_path / f"{name}.jsonl", tmp_path / f"{name}.wav")
    kept = [sides(tmp_path / f"{name}.wav")[0] for name in ("session", "session.2", "session.3")]
    assert [runs(each) for each in kept] == [[(1, 0, 400)], [(2, 0, 400)], [(3, 0, 400)]]


async def test_a_file_in_place_of_the_folder_is_not_taken_for_a_recording(tmp_path: Path) -> None:
    """Only the files of a session get a number. A folder that cannot be made is a failure."""
    (tmp_path / "file").touch()
    with pytest.raises(AuthorError, match=r"Cannot record to .*file: File exists"):
        async with recorded(tmp_path / "file"):
            pytest.fail("there is nothing to record to")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", "/a", "a\\b"])
def test_a_name_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    """The name of a file is the id of a session."""
    with pytest.raises(ValueError, match="cannot be called"):
        Recording.of(tmp_path, name)


def use(monkeypatch: pytest.MonkeyPatch, disk: FaultyDisk) -> None:
    """Write the sound of the next recording to this disk, and the transcript to a disk that works."""
    files = [FaultyDisk(), disk]

    def create(path: Path) -> FaultyDisk:
        return files.pop(0)

    monkeypatch.setattr("rtvi_plugins.voice.recording._create", create)


class FaultyDisk(BytesIO):
    """A file on a disk that becomes full, or whose writes hang until the test lets them continue."""

    def __init__(self, room: int = sys.maxsize, let_go: Event | None = None) -> None:
        super().__init__()
        self.room = room
        self.let_go = let_go

    def write(self, data: Any, /) -> int:
        if self.let_go is not None and self.tell():
            self.let_go.wait(PATIENCE)
        if self.tell() + len(data) > self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data)


async def test_a_full_disk_ends_the_recording_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has one line. The session continues, and the recorder accepts nothing more."""
    use(monkeypatch, FaultyDisk(room=10_000))
    async with recorded(tmp_path) as recorder:
        recorder.said(1_000, "user", "before")
        for at in range(200):
            recorder.user(1_000 + at * 0.032, piece(1, 512))
            await anyio.lowlevel.checkpoint()
        await until(lambda: bool(caplog.records))
        for at in range(200, 400):
            recorder.user(1_000 + at * 0.032, piece(1, 512))
            recorder.said(1_000, "user", "after")
    (line,) = [each.getMessage() for each in caplog.records]
    assert line == f"The recording {recorder.recording.audio} is not complete: No space left on device."


async def test_a_disk_that_is_full_at_the_end_is_told_of_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody may treat an incomplete recording as complete."""
    use(monkeypatch, FaultyDisk(room=1_000))
    async with recorded(tmp_path) as recorder:
        recorder.user(1_000, piece(1, 400))
    assert [each.getMessage() for each in caplog.records] == [
        f"The recording {recorder.recording.audio} is not complete: No space left on device."
    ]


async def test_a_disk_that_is_full_at_the_start_is_said_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that cannot be written has the same error."""
    use(monkeypatch, FaultyDisk(room=10))
    with pytest.raises(AuthorError, match="No space left on device"):
        async with recorded(tmp_path):
            pytest.fail("there is nothing to record to")


@pytest.mark.parametrize(
    ("seconds", "reason"), [(200, "the disk is too slow"), (2, "the disk does not finish the last write in time")]
)
async def test_a_disk_that_hangs_fills_no_memory_and_delays_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    seconds: int,
    reason: str,
) -> None:
    """The waiting data is bounded, and so is the time that the end of the session waits."""
    let_go = Event()
    use(monkeypatch, FaultyDisk(let_go=let_go))
    monkeypatch.setattr("rtvi_plugins.voice.recording._PATIENCE", 0)
    try:
        async with recorded(tmp_path) as recorder:
            for second in range(seconds):
                recorder.user(1_000 + second, piece(1, RATE))
                await anyio.lowlevel.checkpoint()
        logged = [each.getMessage() for each in caplog.records]
    finally:
        let_go.set()
    assert logged == [f"The recording {recorder.recording.audio} is not complete: {reason}."]


async def test_a_recording_ends_where_no_wav_file_continues(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """After 18 hours, the log has a line. What was recorded stays."""
    async with recorded(tmp_path) as recorder:
        recorder.user(1_000, piece(1, 400))
        recorder.said(1_000, "user", "early")
        await until(lambda: len(heard(recorder)) == 400)
        recorder.user(1_000 + 19 * 3_600, piece(2, 400))
        recorder.said(1_000 + 19 * 3_600, "user", "late")
    assert [each.getMessage() for each in caplog.records] == [
        f"The recording {recorder.recording.audio} is not complete: a WAV file cannot be longer than 18 hours."
    ]
    assert runs(sides(tmp_path / "session.wav")[0]) == [(1, 0, 400)]
    assert [line["text"] for line in lines(tmp_path / "session.jsonl")] == ["early"]
