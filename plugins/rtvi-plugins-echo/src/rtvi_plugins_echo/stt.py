"""The provider `echo` of kind `stt`: reports how much audio it heard, or the next text of a script."""

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
    """Recognises no speech. `script` holds the texts of the next utterances."""

    script: deque[str] = field(factory=deque[str])

    async def transcribe(self, request: STTRequest, /) -> AsyncGenerator[STTPiece]:
        """Yield an interim transcript for each whole second, and a final one when the audio ends."""
        seconds, reported = 0.0, 0
        async for audio in request.audio:
            seconds += audio.seconds
            if int(seconds) > reported:
                reported = int(seconds)
                yield Transcript(_heard(reported), final=False)
        yield Transcript(self.script.popleft() if self.script else _heard(seconds), final=True)
        yield Usage(model="echo")


def _heard(seconds: float) -> str:
    return f"I heard {seconds:.4g} seconds of audio."


@service("stt", "echo")
@asynccontextmanager
async def echo_stt() -> AsyncGenerator[EchoSTT]:
    """Reports how much audio it heard."""
    yield EchoSTT()


@options(echo_stt)
def configure(
    stt: EchoSTT,
    /,
    script: Annotated[Sequence[str], Doc("The texts to report, one for each utterance.")] = (),
) -> None:
    """Set the texts to return. After the last one, the seconds of audio are returned."""
    stt.script = deque(script)
