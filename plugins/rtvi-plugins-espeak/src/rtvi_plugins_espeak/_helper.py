"""The helper process in which espeak runs: shared by all sessions of an event loop, and replaced when it dies.

One process serves all sessions: starting one takes 40 ms and 16 MB, and a second of speech takes 1 ms. espeak has one
state for the whole process, so requests run one after the other, each with all of its parameters. They are short
(`_text.LONGEST`), and a slow listener delays nobody, because the replies are read at once.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
from attrs import define, field
from espeakng_loader import get_data_path, get_library_path  # type: ignore[import-untyped]

from rtvi_plugins.errors import ProviderError
from rtvi_plugins.helper_process import Frame, HelperLost, HelperProcess, PerEventLoop

from ._protocol import Kind
from ._voices import VoiceList, read_voices

__all__ = ("DATA", "LIBRARY", "PROVIDER", "Helper", "SpeechProcess", "command_for", "shared_helper", "start")

PROVIDER = "espeak"

#: Started without `site` and with this package alone, which halves the time. The package is also found if the parent
#: found it by changing `sys.path`, and a module in the current folder is not.
_START = (
    "import sys; sys.path.append(sys.argv.pop(1)); from rtvi_plugins_espeak.worker import main; main(*sys.argv[1:])"
)

_START_SECONDS = 10.0
#: A part of a text takes some 15 ms. A process that takes this long hangs.
_REPLY_SECONDS = 10.0
#: A process that is not stuck reads a few bytes at once.
_CANCEL_SECONDS = 0.5

#: Where `espeakng_loader` has put the library and its data. Nothing of it is loaded here.
LIBRARY, DATA = str(get_library_path()), str(get_data_path())


def command_for(library: str, data: str) -> Sequence[str]:
    """Return the command that starts the process, for a library and its data at these paths."""
    return [sys.executable, "-I", "-S", "-c", _START, str(Path(__file__).parent.parent), library, data]


async def start(command: Sequence[str] | None = None) -> SpeechProcess:
    """Start a process and wait until it is ready. Raise `HelperLost` if it does not get ready."""
    process = await HelperProcess.start(command or command_for(LIBRARY, DATA), stderr=subprocess.DEVNULL)
    try:
        with anyio.fail_after(_START_SECONDS):
            ready: dict[str, Any] = json.loads((await process.receive(0)).payload)
        return SpeechProcess(process, read_voices(ready["voices"], ready["variants"]), ready["rate"])
    except BaseException as error:
        await process.aclose(kill=True)
        if isinstance(error, (TimeoutError, ValueError, KeyError)):
            raise HelperLost("the helper process did not get ready") from error
        raise


@define(eq=False)
class SpeechProcess:
    """A process that is ready to speak. `rate` is that of its audio, in Hz."""

    process: HelperProcess
    voices: VoiceList
    rate: int

    async def speak(self, request: Mapping[str, Any], put: Callable[[Frame], None]) -> None:
        """Have something spoken, and put each frame of it: words and audio, and DONE or FAILED at the end.

        Raises `HelperLost`. When this is cancelled, the process stops, and what it has already replied is dropped by
        the next request.
        """
        id = self.process.new_request()
        try:
            await self.process.send(Kind.SPEAK, id, json.dumps(dict(request)).encode(), seconds=_REPLY_SECONDS)
            with anyio.fail_after(_REPLY_SECONDS):
                while (frame := await self.process.receive(id)).kind not in (Kind.DONE, Kind.FAILED):
                    put(frame)
            put(frame)
        except anyio.get_cancelled_exc_class():
            with suppress(HelperLost):
                await self.process.send(Kind.CANCEL, id, seconds=_CANCEL_SECONDS)
            raise
        except TimeoutError:
            raise HelperLost("the helper process hangs") from None


@define(eq=False)
class Helper:
    """The process of one event loop, replaced when it dies."""

    _start: Callable[[], Awaitable[SpeechProcess]] = start
    _speech: SpeechProcess | None = field(default=None, init=False)
    _turn: anyio.Lock = field(factory=lambda: anyio.Lock(fast_acquire=True), init=False)

    async def open(self) -> SpeechProcess:
        """Return the process; start it if none runs. Raise `ProviderError` if it does not get ready."""
        if self._speech is not None and self._speech.process.usable:
            return self._speech  # without waiting while it speaks for others
        async with self._turn:
            return await self._running()

    async def speak(self, request: Mapping[str, Any], put: Callable[[Frame], None]) -> None:
        """Have something spoken when it is its turn. Raise `ProviderError` if the process is lost on the way.

        If the process died before it began the request, another one is started. If it died during the request, it is
        not tried again, because the next process might die of it too.
        """
        async with self._turn:
            try:
                if not (await self._speak(request, put) or await self._speak(request, put)):
                    raise ProviderError(PROVIDER, "unavailable")
            except HelperLost:
                raise ProviderError(PROVIDER, "unavailable") from None

    async def _speak(self, request: Mapping[str, Any], put: Callable[[Frame], None]) -> bool:
        """Have something spoken. Return False if the process was lost before it began the request."""
        speech, begun = await self._running(), False

        def put_frame(frame: Frame) -> None:
            nonlocal begun
            begun = True
            put(frame)

        try:
            await speech.speak(request, put_frame)
        except HelperLost:
            await self.aclose(kill=True)
            if begun:
                raise
            return False
        return True

    async def _running(self) -> SpeechProcess:
        if self._speech is not None and not self._speech.process.usable:
            await self.aclose()
        if self._speech is None:
            try:
                self._speech = await self._start()
            except HelperLost:
                raise ProviderError(PROVIDER, "unavailable") from None
        return self._speech

    async def aclose(self, *, kill: bool = False) -> None:
        """End the process, if one runs."""
        speech, self._speech = self._speech, None
        if speech is not None:
            await speech.process.aclose(kill=kill)


#: The helper of each event loop.
shared_helper = PerEventLoop("rtvi_plugins_espeak", Helper)
