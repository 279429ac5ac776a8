"""One helper process: started, asked one thing at a time, and ended."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import Process
from attrs import define, field
from espeakng_loader import get_data_path, get_library_path  # type: ignore[import-untyped]

from rtvi_plugins.security import helper_environment

from ._protocol import FIRST, Decoder, Frame, Kind, ProtocolError, encode
from ._voices import VoiceList, read_voices

__all__ = ("COMMAND", "DATA", "LIBRARY", "HelperProcess", "Lost", "command_for", "start")

#: Started without `site` and with this one package, which takes half the time; it finds the package also where the
#: parent has found it by changing `sys.path`, and no module in the current folder.
_START = (
    "import sys; sys.path.append(sys.argv.pop(1)); from rtvi_plugins_espeak.worker import main; main(*sys.argv[1:])"
)

_START_SECONDS = 10.0
#: A part of a text takes some 15 ms. Whoever needs as long as this hangs.
_ANSWER_SECONDS = 10.0
#: A frame of a few bytes is taken at once by a process that lives.
_CANCEL_SECONDS = 0.5
#: Between the end of its stdin and being killed.
_END_SECONDS = 1.0


class Lost(Exception):
    """The process has died, hangs, or talks nonsense. `taken` tells whether it had begun the request."""

    def __init__(self, *, taken: bool) -> None:
        super().__init__("the helper process was lost")
        self.taken = taken


def command_for(library: str, data: str) -> Sequence[str]:
    """How the process is started for this library, which lies at these paths."""
    return [sys.executable, "-I", "-S", "-c", _START, str(Path(__file__).parent.parent), library, data]


#: Where `espeakng_loader` has put the library and its data. Nothing of it is loaded here.
LIBRARY, DATA = str(get_library_path()), str(get_data_path())

COMMAND = command_for(LIBRARY, DATA)


async def start(command: Sequence[str] = COMMAND) -> HelperProcess:
    """A process that is ready. `Lost` if it does not come up."""
    try:
        # Its environment holds neither the operator's secret nor the keys of vendors.
        process = await anyio.open_process(command, stderr=subprocess.DEVNULL, env=helper_environment())
    except OSError:
        raise Lost(taken=False) from None
    helper = HelperProcess(process)
    try:
        await helper.greet()
    except BaseException:
        await helper.aclose(kill=True)
        raise
    return helper


#: What reading from a process, or writing to it, raises when it dies, hangs or talks nonsense.
_LOSSES = (
    anyio.EndOfStream,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    OSError,  # TimeoutError is one
    ProtocolError,
    ValueError,  # no JSON
)


@define(eq=False)
class HelperProcess:
    """A process that runs. One task at a time may `ask` it."""

    process: Process
    voices: VoiceList = field(init=False)
    rate: int = field(init=False)
    _decoder: Decoder = field(factory=Decoder, init=False)
    _read: deque[Frame] = field(factory=deque[Frame], init=False)
    _last: int = field(default=FIRST - 1, init=False)

    @property
    def alive(self) -> bool:
        """Whether it runs, as far as is known yet."""
        return self.process.returncode is None

    async def greet(self) -> None:
        """Take its first words: the rate of its audio in Hz, and its voices."""
        try:
            with anyio.fail_after(_START_SECONDS):
                welcome: dict[str, Any] = json.loads((await self._next()).payload)
            self.rate, self.voices = welcome["rate"], read_voices(welcome["voices"], welcome["variants"])
        except _LOSSES:
            raise Lost(taken=False) from None

    async def ask(self, order: Mapping[str, Any], put: Callable[[Frame], None]) -> None:
        """Have something said, and put each frame of it: words and audio, and DONE or FAILED as the last.

        `Lost` when the process is. When this is cancelled, the process is told to stop, and what it has said in the
        meantime is passed over by whoever asks next.
        """
        self._last = id = self._last + 1
        taken = False
        try:
            await self._send(Frame(Kind.SPEAK, id, json.dumps(dict(order)).encode()), _ANSWER_SECONDS)
            with anyio.fail_after(_ANSWER_SECONDS):
                async for frame in self._answer(id):
                    taken = True
                    put(frame)
        except anyio.get_cancelled_exc_class():
            await self._give_up(id)
            raise
        except _LOSSES:
            raise Lost(taken=taken) from None

    async def _answer(self, id: int) -> AsyncGenerator[Frame]:
        """The frames of a request, up to its last. All others are of requests that were given up."""
        while True:
            frame = await self._next()
            if frame.id == id:
                yield frame
                if frame.kind in (Kind.DONE, Kind.FAILED):
                    return

    async def _give_up(self, id: int) -> None:
        with suppress(*_LOSSES):
            await self._send(Frame(Kind.CANCEL, id), _CANCEL_SECONDS)

    async def _send(self, frame: Frame, seconds: float) -> None:
        """Shielded: half a frame would make nonsense of those that follow."""
        assert self.process.stdin is not None
        with anyio.CancelScope(shield=True), anyio.fail_after(seconds):
            await self.process.stdin.send(encode(frame))

    async def _next(self) -> Frame:
        assert self.process.stdout is not None
        while not self._read:
            self._read.extend(self._decoder.feed(await self.process.stdout.receive()))
        return self._read.popleft()

    async def aclose(self, *, kill: bool = False) -> None:
        """End the process: by ending its stdin, and after a second, or at once, by killing it."""
        if kill and self.alive:
            with suppress(ProcessLookupError):
                self.process.kill()
        with anyio.move_on_after(_END_SECONDS, shield=True):
            await self.process.aclose()
