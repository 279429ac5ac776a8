"""Record a session: a transcript as lines of JSON, and the sound as a WAV file, the user left and the bot right.

A `Recorder` gets each piece of sound when it is heard or played, which takes microseconds. A thread writes the pieces
about once a second. Each piece has its own place in the file. So silence is never written, neither side waits for the
other, and after a crash the file is complete up to the last write.

The module has more than 300 lines because a recorder and the layout of its files change together.
"""

from __future__ import annotations

import json
import logging
import os
import re
import struct
from array import array
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, Literal

import anyio
import anyio.to_thread
from attrs import Factory, define, frozen

from ..errors import AuthorError

__all__ = ("RATE", "Recorder", "Recording", "check_folder", "record")

_log = logging.getLogger("rtvi_plugins")

#: The sample rate of each side, in Hz.
RATE = 16000
#: A pause between two pieces of one side that is shorter is jitter and not silence, in samples (40 ms).
_JITTER = RATE * 40 // 1000
#: How far a side may run ahead of its times, as after a stalled network, in samples (5 s). More is left out.
_MOST_AHEAD = RATE * 5
#: How often the files are written, in seconds.
_INTERVAL = 1.0
#: How much may wait for a slow disk, in bytes: a minute of both sides.
_MOST_WAITING = 4_000_000
#: How long the end of a session waits for the disk, in seconds.
_PATIENCE = 5.0

#: RIFF header, `fmt ` chunk and the head of the `data` chunk: 16-bit PCM, two channels.
_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_BYTES_PER_FRAME = 4
#: The sizes in a WAV header have 32 bits, which is 18 hours.
_MOST_FRAMES = (2**32 - _HEADER.size) // _BYTES_PER_FRAME


@frozen
class Recording:
    """The two files of a session."""

    transcript: Path
    audio: Path

    @classmethod
    def of(cls, folder: Path, name: str) -> Recording:
        """Return the files of the session `name`. Raise `ValueError` if the name is not valid for a file."""
        if not re.fullmatch(r"[\w-][\w.-]*", name):
            raise ValueError(f"A recording cannot be called {name!r}: use the id of the session.")
        return cls(folder / f"{name}.jsonl", folder / f"{name}.wav")


def check_folder(folder: Path) -> None:
    """Create a folder for recordings, for this user only, unless it exists. Raise `AuthorError` on failure."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()
    except OSError as error:
        raise _unwritable(folder, error) from None


def _unwritable(path: Path | str, error: OSError) -> AuthorError:
    return AuthorError(f"Cannot record to {path}: {error.strerror}. Name another folder, which this bot may write to.")


# ---- recording -------------------------------------------------------------------------------------------------------


@frozen
class _Piece:
    """Sound of one side: its channel (0 is the user), the number of its first sample, and the samples."""

    channel: int
    start: int
    pcm: bytearray


@define
class _Side:
    """One channel: the end of its last sound, in samples, and the pieces that wait to be written."""

    channel: int
    end: int = 0
    waiting: list[_Piece] = Factory(list[_Piece])

    def add(self, at: int, pcm: bytes) -> None:
        """Add a piece at the time `at`, in samples. Without silence in between, it follows the piece before."""
        if self.end - at > _MOST_AHEAD:
            return
        start = at if at - self.end >= _JITTER else self.end
        if self.waiting and start == self.end:
            self.waiting[-1].pcm.extend(pcm)
        else:
            self.waiting.append(_Piece(self.channel, start, bytearray(pcm)))
        self.end = start + len(pcm) // 2


@define(eq=False)
class Recorder:
    """Records sound and text. Its methods neither block nor raise, and do nothing once it is closed.

    Times are on the clock that was given to `record`. Audio is 16-bit PCM at 16 kHz, mono, in pieces of any size; its
    time is when its first sample was heard or played.
    """

    recording: Recording
    _began: float
    _files: _Files
    _user: _Side = Factory(lambda: _Side(0))
    _bot: _Side = Factory(lambda: _Side(1))
    _transcript_lines: list[bytes] = Factory(list[bytes])
    _bytes_waiting: int = 0
    _write_due: float = 0.0
    _wake: anyio.Event = Factory(anyio.Event)
    _closed: bool = False
    _failed: bool = False

    def user(self, at: float, pcm: bytes) -> None:
        """Add a piece of the user's audio."""
        self._add_sound(self._user, at, pcm)

    def bot(self, at: float, pcm: bytes) -> None:
        """Add a piece of the bot's audio, when it is played."""
        self._add_sound(self._bot, at, pcm)

    def said(self, at: float, role: Literal["user", "assistant"], text: str, interrupted: bool = False) -> None:
        """Add a line to the transcript, once the text is known. It is written at once."""
        if not self._closed:
            line = {"at": round(at - self._began, 3), "role": role, "text": text, "interrupted": interrupted}
            # A text of JSON may hold half a character, which no file can.
            self._transcript_lines.append(json.dumps(line, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
            self._note_waiting(len(self._transcript_lines[-1]))
            self._wake.set()

    def close(self) -> None:
        """End the recording. Everything is in the files when the `record` block has ended."""
        self._closed = True
        self._wake.set()

    def _add_sound(self, side: _Side, at: float, pcm: bytes) -> None:
        if self._closed or len(pcm) < 2:
            return
        before = side.end
        side.add(max(0, round((at - self._began) * RATE)), pcm[: len(pcm) // 2 * 2])
        if side.end > _MOST_FRAMES:
            self._fail("a WAV file cannot be longer than 18 hours")
        if side.end > before:
            self._note_waiting(len(pcm))
        if at >= self._write_due:
            self._write_due = at + _INTERVAL
            self._wake.set()

    def _note_waiting(self, size: int) -> None:
        self._bytes_waiting += size
        if self._bytes_waiting > _MOST_WAITING:
            self._fail("the disk is too slow")

    def _fail(self, reason: str) -> None:
        """End the recording early, and log that once. The files keep what they have."""
        if not self._failed:
            _log.error("The recording %s is not complete: %s.", self.recording.audio, reason)
        self._failed = True
        self._take_waiting()
        self.close()

    # ---- writing -----------------------------------------------------------------------------------------------------

    async def write(self, scope: anyio.CancelScope) -> None:
        """Write until the recorder is closed. `record` runs this in a scope that shields the last write."""
        thread = anyio.CapacityLimiter(1)  # a slow disk delays no other use of threads
        run = partial(anyio.to_thread.run_sync, abandon_on_cancel=True, limiter=thread)
        with scope:
            closed = False
            while not closed:
                await self._wake.wait()
                self._wake, closed = anyio.Event(), self._closed
                try:
                    await run(self._files.write, *self._take_waiting())
                except Exception as error:
                    self._fail(getattr(error, "strerror", None) or type(error).__name__)
            await run(self._files.close)
        if scope.cancelled_caught:
            self._fail("the disk does not finish the last write in time")

    def _take_waiting(self) -> tuple[bytes, list[_Piece]]:
        """Return the lines and the pieces of sound that wait to be written, and forget them."""
        taken = b"".join(self._transcript_lines), [*self._user.waiting, *self._bot.waiting]
        self._transcript_lines, self._user.waiting, self._bot.waiting, self._bytes_waiting = [], [], [], 0
        return taken


@asynccontextmanager
async def record(folder: Path, name: str, *, now: Callable[[], float]) -> AsyncGenerator[Recorder]:
    """Record the session `name` while the block runs. `now` is a monotonic clock; the recording starts at `now()`.

    If it was recorded before, as by a process that has ended, its names get a number: `name.2.wav`. Raise `AuthorError`
    on failure. If the disk fails later, the recording ends with a line in the log, and nothing else happens.
    """
    try:
        recording, files = _create_next(folder, name)  # inline, because creating two empty files is quick
    except OSError as error:
        raise _unwritable(error.filename or folder, error) from None
    recorder, scope = Recorder(recording, now(), files), anyio.CancelScope(shield=True)
    raised: Exception | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(recorder.write, scope)
        try:
            yield recorder
        except Exception as error:  # raised again outside of the task group, so that it is not in an exception group
            raised = error
        finally:
            recorder.close()
            scope.deadline = anyio.current_time() + _PATIENCE
    if raised is not None:
        raise raised


def _create_next(folder: Path, name: str) -> tuple[Recording, _Files]:
    """Create the files of a session, with the first number that is free. Raise `OSError` if that fails."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number in count(1):
        recording = Recording.of(folder, name if number == 1 else f"{name}.{number}")
        with suppress(FileExistsError):
            return recording, _Files.create(recording)
    raise AssertionError


# ---- files, used in a thread -----------------------------------------------------------------------------------------


@define(eq=False)
class _Files:
    """The files of a recording. When `write` returns, the operating system has the data."""

    transcript: BinaryIO
    audio: BinaryIO
    frames: int = 0

    @classmethod
    def create(cls, recording: Recording) -> _Files:
        """Create both files, which only this user can read. If that fails, raise `OSError`, and leave no transcript."""
        with ExitStack() as opened:
            transcript = opened.enter_context(_create(recording.transcript))
            opened.callback(recording.transcript.unlink, missing_ok=True)
            files = cls(transcript, opened.enter_context(_create(recording.audio)))
            files.update_header()
            opened.pop_all()
        return files

    def write(self, lines: bytes, pieces: list[_Piece]) -> None:
        """Add lines to the transcript, and put the pieces of sound in their places."""
        if lines:
            self.transcript.write(lines)
            self.transcript.flush()
        for piece in pieces:
            self.place(piece)
        if pieces:
            self.update_header()

    def place(self, piece: _Piece) -> None:
        """Replace one channel in a part of the file. Parts that were never written read as silence."""
        length, offset = len(piece.pcm) // 2, _HEADER.size + _BYTES_PER_FRAME * piece.start
        self.audio.seek(offset)
        samples = array("h", self.audio.read(_BYTES_PER_FRAME * length).ljust(_BYTES_PER_FRAME * length, b"\0"))
        samples[piece.channel :: 2] = array("h", bytes(piece.pcm))
        self.audio.seek(offset)
        self.audio.write(samples.tobytes())
        self.frames = max(self.frames, piece.start + length)

    def update_header(self) -> None:
        """Write the new size into the header, after the sound, so that the file always has what its header says."""
        size = self.frames * _BYTES_PER_FRAME
        self.audio.flush()
        self.audio.seek(0)
        self.audio.write(
            _HEADER.pack(
                *(b"RIFF", _HEADER.size - 8 + size, b"WAVE"),
                *(b"fmt ", 16, 1, 2, RATE, RATE * _BYTES_PER_FRAME, _BYTES_PER_FRAME, 16),
                *(b"data", size),
            )
        )
        self.audio.flush()

    def close(self) -> None:
        """Close the files. A failure of the disk was logged before."""
        for file in (self.transcript, self.audio):
            with suppress(OSError):
                file.close()


def _create(path: Path) -> BinaryIO:
    """Create a file that only this user can read and write."""
    return open(path, "x+b", opener=partial(os.open, mode=0o600))
