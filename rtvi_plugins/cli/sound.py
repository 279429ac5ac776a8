"""The machine's microphone and speaker, for `rtvi console --voice`: PortAudio, through the package sounddevice."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack, asynccontextmanager
from importlib import import_module
from threading import Lock
from typing import Any, Final

import anyio
import anyio.to_thread
from anyio.from_thread import BlockingPortal

from ..kinds import Audio
from ..utils.install_hint import install_hint
from .failures import Failure

__all__ = ("MICROPHONE_RATE", "SPEAKER_RATE", "Speaker", "load_sound", "microphone_and_speaker")

#: What recognisers are trained on, and what the voices of most vendors have, in Hz.
MICROPHONE_RATE: Final = 16_000
SPEAKER_RATE: Final = 24_000
#: The length of the pieces that the devices take and give, in seconds.
_BLOCK: Final = 0.02


def load_sound() -> Any:
    """Return the module sounddevice. Raise `Failure` if it cannot be used on this machine."""
    try:
        return import_module("sounddevice")
    except ModuleNotFoundError:
        hint = install_hint("rtvi-plugins[microphone]")
        raise Failure(f"--voice needs the package sounddevice, which is not installed; {hint}") from None
    except OSError as error:  # it does not find PortAudio
        raise Failure(f"--voice needs PortAudio: {error}. On Debian: apt-get install libportaudio2") from None


class Speaker:
    """The audio that waits to be played. The device takes it in a thread of its own."""

    def __init__(self) -> None:
        self._waiting = bytearray()
        self._lock = Lock()

    def play(self, audio: Audio) -> None:
        """Play this after what waits."""
        with self._lock:
            self._waiting += audio.data

    def discard(self) -> None:
        """Play nothing of what waits."""
        with self._lock:
            self._waiting.clear()

    def take(self, size: int) -> bytes:
        """Return the next bytes, filled with silence."""
        with self._lock:
            taken = bytes(self._waiting[:size])
            del self._waiting[:size]
        return taken.ljust(size, b"\0")


@asynccontextmanager
async def microphone_and_speaker(sound: Any, speaker: Speaker, hear: Callable[[Audio], None]) -> AsyncGenerator[None]:
    """Open both devices until the block ends. `hear` is called on the event loop. Raise `Failure` if there are none."""
    async with BlockingPortal() as portal:

        def heard(data: Any, frames: int, time: Any, status: Any) -> None:
            portal.start_task_soon(_call, hear, Audio(bytes(data), MICROPHONE_RATE))

        def play(data: Any, frames: int, time: Any, status: Any) -> None:
            data[:] = speaker.take(len(data))

        with ExitStack() as stack:
            try:
                _open(stack, sound.RawOutputStream, SPEAKER_RATE, play)
                _open(stack, sound.RawInputStream, MICROPHONE_RATE, heard)
            except (sound.PortAudioError, ValueError) as error:
                raise Failure(f"The microphone and the speaker cannot be opened: {error}") from None
            try:
                yield
            finally:
                # Closing a device waits for `heard`, which may wait for the event loop.
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(stack.close)


def _open(stack: ExitStack, stream: Any, rate: int, callback: Callable[..., None]) -> None:
    frames = round(rate * _BLOCK)
    stack.enter_context(stream(samplerate=rate, channels=1, dtype="int16", blocksize=frames, callback=callback))


async def _call(hear: Callable[[Audio], None], audio: Audio) -> None:
    hear(audio)
