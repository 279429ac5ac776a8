"""The provider `echo` of kind `stt`: tells how much audio it heard, or what it was scripted to have heard."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated

from attrs import define, field

from rtvi_plugins import Doc, options, service
from rtvi_plugins.kinds import STTPiece, STTRequest, Transcript, Usage

__all__ = ("EchoSTT", "configure", "echo_stt")


@define
class EchoSTT:
    """Recognises no speech, and does not pretend to. `script` holds what it has yet to have heard."""

    script: deque[str] = field(factory=deque[str])

    async def transcribe(self, request: STTRequest, /) -> AsyncGenerator[STTPiece]:
        """Stream an interim transcript for each whole second, and a final one when the audio ends."""
        seconds, told = 0.0, 0
        async for audio in request.audio:
            seconds += audio.seconds
            if int(seconds) > told:
                told = int(seconds)
                yield Transcript(_heard(told), final=False)
        yield Transcript(self.script.popleft() if self.script else _heard(seconds), final=True)
        yield Usage(model="echo")


def _heard(seconds: float) -> str:
    return f"I heard {seconds:.4g} seconds of audio."


@service("stt", "echo")
@asynccontextmanager
async def echo_stt() -> AsyncGenerator[EchoSTT]:
    """Tells how much audio it heard."""
    yield EchoSTT()


@options(echo_stt)
def configure(
    stt: EchoSTT,
    /,
    script: Annotated[Sequence[str], Doc("What to have heard, one text for each utterance.")] = (),
) -> None:
    """What it will have heard; when the script is over, it tells the seconds again."""
    stt.script = deque(script)
