"""The bots that this distribution's tests call: one plays and detects tones, and one has conversations."""

from __future__ import annotations

from array import array
from collections.abc import Callable

import anyio
from attrs import define, field
from rtc_caller import hertz_of

from rtvi_plugins import LLM, STT, TTS, VAD, Session, action, bot, converse
from rtvi_plugins.hookspecs import hookimpl
from rtvi_plugins.kinds import Audio
from rtvi_plugins.session import Listener, UserText
from rtvi_plugins_echo.tone import tone

__all__ = ("ENDED", "desk", "parrot", "session_closed")

#: Told of each session that has ended.
ENDED: list[Callable[[], None]] = []


@hookimpl
def session_closed() -> None:
    """Reports the end of a session to the clients."""
    for each in ENDED:
        each()


@define
class _Ear(Listener):
    """Reports the pitch of each half second that it hears, and when the microphone is switched."""

    session: Session
    samples: array[int] = field(factory=lambda: array("h"))

    def hear(self, audio: Audio) -> None:
        self.samples.frombytes(audio.data)
        if len(self.samples) >= audio.rate // 2:
            self.session.send({"hertz": hertz_of(self.samples, audio.rate), "rate": audio.rate})
            self.samples = array("h")

    def microphone(self, enabled: bool) -> None:
        self.session.send({"microphone": enabled})


@bot(
    client=["bot:add", "bot:dawdle", "bot:fill", "bot:hang_up", "bot:has_sound", "bot:hush"],
    plugins=["webrtc"],
    public=True,
)
async def desk(session: Session, /) -> None:
    """Hums at the frequency that it gets, in Hz, and reports what it hears."""
    with session.listening(_Ear(session)):
        async for said in session.inputs():
            if isinstance(said, UserText):
                async with session.turn() as turn:
                    turn.play(tone(float(said.text), 0.5, 16_000))
                    await turn.played()


@action(desk)
async def add(session: Session, /, a: int, b: int) -> int:
    """Return the sum of two numbers."""
    return a + b


@action(desk)
async def dawdle(session: Session, /) -> None:
    """Wait until it is cancelled."""
    await anyio.sleep_forever()


@action(desk)
async def fill(session: Session, /, size: int) -> str:
    """Return a text of this many characters."""
    return "x" * size


@action(desk)
async def has_sound(session: Session, /) -> bool:
    """Return whether the session carries audio."""
    return session.has_audio


@action(desk)
async def hush(session: Session, /) -> None:
    """Interrupt the bot's speech."""
    session.interrupt()


@action(desk)
async def hang_up(session: Session, /) -> None:
    """End the session."""
    session.close("the desk has closed")


@bot(
    services={"stt": "echo", "llm": "echo", "tts": "echo", "vad": "echo"},
    plugins=["webrtc"],
    client=["tts.pitch"],
    public=True,
)
async def parrot(session: Session, /, stt: STT, llm: LLM, tts: TTS, vad: VAD) -> None:
    """Repeats in tones what it heard."""
    await converse(session, stt=stt, llm=llm, tts=tts, vad=vad)
