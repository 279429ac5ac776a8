"""The program of a helper process: read requests from stdin, and write replies to stdout.

::

    def main() -> None:
        replies = take_stdout()
        model = load()
        replies.send(READY, 0)
        serve(Requests(), replies, lambda request: replies.send(AUDIO, request.id, model.speak(request.payload)))

Start it with `worker_command`. Then this module imports nothing else of the framework, and
no other library: a helper process is small and starts quickly.
"""

from __future__ import annotations

import os
import signal
import struct
import sys
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from threading import Thread
from typing import BinaryIO, Final, NamedTuple

__all__ = (
    "CANCEL",
    "DONE",
    "FAILED",
    "HEADER",
    "LONGEST",
    "READY",
    "STARTED",
    "Frame",
    "Refused",
    "Replies",
    "Requests",
    "encode",
    "read_frames",
    "serve",
    "take_stdout",
    "worker_command",
)

#: The kinds of frames that all helper processes have. A program has kinds of its own from 16 on.
CANCEL: Final = 1  # request, empty: stop the request of this id
READY: Final = 2  # the first reply, with the id 0
STARTED: Final = 3  # reply, empty: the request has begun
DONE: Final = 4  # last reply, empty
FAILED: Final = 5  # last reply, the reason as text: the request cannot be answered

#: The length of the payload, the kind, and the id of the request.
HEADER: Final = struct.Struct(">IBI")
#: The longest payload, in bytes.
LONGEST: Final = 1 << 20
#: The first replies are written at once, and the rest in growing batches, to need few writes. In bytes.
_FIRST_BATCH, _LAST_BATCH = 4096, 32768


class Frame(NamedTuple):
    """One message to or from a helper process."""

    kind: int
    id: int
    payload: bytes = b""


def encode(kind: int, id: int, payload: bytes = b"") -> bytes:
    """Return the bytes of a frame."""
    return HEADER.pack(len(payload), kind, id) + payload


def read_frames(source: BinaryIO) -> Iterator[Frame]:
    """Yield each frame, until the source ends. Raise `ValueError` for anything else."""
    while len(header := source.read(HEADER.size)) == HEADER.size:
        length, kind, id = HEADER.unpack(header)
        if length > LONGEST:
            raise ValueError(f"a payload of {length} bytes is too long")
        payload = source.read(length)
        if len(payload) < length:
            return
        yield Frame(kind, id, payload)


class Requests:
    """The requests to this process, in order. They are read by a thread, so that one that runs can be cancelled.

    `on_cancel` is called in that thread.
    """

    def __init__(self, on_cancel: Callable[[], None] | None = None) -> None:
        self._waiting: SimpleQueue[Frame | None] = SimpleQueue()
        self._on_cancel = on_cancel
        #: Ids grow, so all requests up to this one are cancelled.
        self._cancelled = 0

    def read(self, source: BinaryIO) -> None:
        """Take requests from a stream until it ends, or contains something else. The end cancels all."""
        try:
            for request in read_frames(source):
                if request.kind == CANCEL:
                    self._cancel(request.id)
                else:
                    self._waiting.put(request)
        except (OSError, ValueError):
            pass
        finally:
            self._cancel(1 << 32)
            self._waiting.put(None)

    def _cancel(self, id: int) -> None:
        self._cancelled = max(self._cancelled, id)
        if self._on_cancel is not None:
            self._on_cancel()

    def wants(self, id: int) -> bool:
        """Return whether a request was not cancelled."""
        return id > self._cancelled

    def __iter__(self) -> Iterator[Frame]:
        while (request := self._waiting.get()) is not None:
            if self.wants(request.id):
                yield request


class Replies:
    """The pipe for replies. Writing raises `OSError` when the reader is gone."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._waiting = bytearray()
        self._batch = _FIRST_BATCH

    def send(self, kind: int, id: int, payload: bytes = b"") -> None:
        """Write a reply now, with all that wait."""
        self._waiting += encode(kind, id, payload)
        self._batch = _FIRST_BATCH
        self._write()

    def send_soon(self, kind: int, id: int, payload: bytes = b"") -> None:
        """Write a reply when enough of them wait."""
        self._waiting += encode(kind, id, payload)
        if len(self._waiting) >= self._batch:
            self._batch = min(2 * self._batch, _LAST_BATCH)
            self._write()

    def _write(self) -> None:
        unsent = memoryview(bytes(self._waiting))
        self._waiting.clear()
        while unsent:
            unsent = unsent[os.write(self._descriptor, unsent) :]


def take_stdout() -> Replies:
    """Keep stdout for replies: what libraries print goes to stderr from now on."""
    # Ctrl-C is meant for the bot, which ends this process when it no longer needs it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    replies = Replies(os.dup(1))
    os.dup2(2, 1)
    return replies


class Refused(Exception):
    """A request cannot be answered. The text is for the operator."""


def serve(requests: Requests, replies: Replies, execute: Callable[[Frame], None]) -> None:
    """Answer requests, one after the other, until stdin ends or nobody reads the replies.

    `execute` sends the replies, and raises `Refused` if the request cannot be answered.
    """
    # Not `sys.stdin`, whose lock the thread would keep at the end of the process.
    Thread(target=requests.read, args=(os.fdopen(0, "rb", closefd=False),), daemon=True).start()
    try:
        for request in requests:
            replies.send(STARTED, request.id)
            try:
                execute(request)
            except Refused as error:
                replies.send(FAILED, request.id, str(error).encode())
            else:
                replies.send(DONE, request.id)
    except OSError:  # the bot is gone
        pass


# ---- starting it ---------------------------------------------------------------------------------------------------

#: Runs `main` of a module. An empty package replaces the framework, so that `rtvi_plugins.helper_worker` can be
#: imported without the rest. The module is also found if this process found it by changing `sys.path`.
_START_WORKER: Final = """
import sys
_, module, core, folder, *arguments = sys.argv
sys.modules["rtvi_plugins"] = type(sys)("rtvi_plugins")
sys.modules["rtvi_plugins"].__path__ = [core]
sys.path.append(folder)
__import__(module, fromlist=["main"]).main(*arguments)
"""


def worker_command(module: str, *arguments: str, libraries: bool = True) -> list[str]:
    """Return the command that runs `main` of a module, which uses `rtvi_plugins.helper_worker`, with these arguments.

    Without `libraries`, the module can import only the standard library and its own package, which is faster. A module
    in the current folder is not found.
    """
    from importlib.util import find_spec  # imported here, because the process itself does not need them
    from pathlib import Path

    spec = find_spec(module.partition(".")[0])
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent.parent
    options = ["-P"] if libraries else ["-I", "-S"]
    return [sys.executable, *options, "-c", _START_WORKER, module, str(Path(__file__).parent), str(folder), *arguments]
