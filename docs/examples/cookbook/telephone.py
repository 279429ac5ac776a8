from array import array
from collections.abc import AsyncIterator
from typing import Annotated

from attrs import define, evolve, frozen
from attrs.validators import ge, le
from rtvi_plugins import LLM, STT, TTS, VAD, Session, action, bot, converse, options
from rtvi_plugins.kinds import Audio, TTSPiece, TTSRequest


@define
class Call:
    """The state of a session."""

    volume: float = 1.0
    muted: bool = False


@bot(
    state=Call,
    services={"stt": "pocketsphinx", "llm": "rules", "tts": "espeak", "vad": "silero"},
    client=["call.volume", "call.muted", "call:transfer", "call:hang_up"],
)
async def operator(session: Session[Call], /, stt: STT, llm: LLM, tts: TTS, vad: VAD) -> None:
    """Answers the telephone."""
    call = session.state
    await converse(session, stt=stt, llm=llm, tts=Amplified(tts, call), vad=Muted(vad, call))


@options(operator, service="call")
def levels(session: Session[Call], /, volume: Annotated[float, ge(0), le(2)] = 1.0, muted: bool = False) -> None:
    """Set how loud the bot is, and whether it hears the caller."""
    session.state.volume, session.state.muted = volume, muted


@action(operator, service="call")
async def transfer(session: Session[Call], /, destination: str) -> dict[str, str]:
    """Transfer the call to another destination."""
    session.send({"type": "transfer", "destination": destination})  # for the client, which has the telephone line
    return {"destination": destination}


@action(operator, service="call")
async def hang_up(session: Session[Call], /) -> None:
    """End the call."""
    session.close("The operator hung up.")


@frozen
class Amplified:
    """A voice with the volume of the call."""

    tts: TTS
    call: Call

    async def synthesize(self, request: TTSRequest, /) -> AsyncIterator[TTSPiece]:
        """Yield the pieces of the voice, with louder or softer audio."""
        async for piece in self.tts.synthesize(request):
            yield louder(piece, self.call.volume) if isinstance(piece, Audio) else piece


@frozen
class Muted:
    """A detector that hears nothing while the call is muted."""

    vad: VAD
    call: Call

    def speech_probability(self, frame: Audio, /) -> float:
        """Return the probability that the frame is speech."""
        return 0.0 if self.call.muted else self.vad.speech_probability(frame)


def louder(audio: Audio, volume: float) -> Audio:
    """Return the audio with another volume."""
    samples = (max(-32_768, min(32_767, round(each * volume))) for each in array("h", audio.data))
    return evolve(audio, data=array("h", samples).tobytes())
