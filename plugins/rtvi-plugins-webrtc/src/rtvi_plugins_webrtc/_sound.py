"""The bot's voice as a track that is always there, and the user's frames as audio for the session."""

from __future__ import annotations

import asyncio
from collections import deque
from fractions import Fraction
from typing import Any, Final, cast

from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioCodecContext, AudioFrame, CodecContext, Packet

from rtvi_plugins.kinds import Audio

__all__ = ("RATE", "BotTrack", "heard")

#: The rate of Opus in WebRTC, in Hz.
RATE: Final = 48_000

_FRAME_SECONDS: Final = 0.02
_SAMPLES: Final = 960
_BYTES: Final = 2 * _SAMPLES
_TIME_BASE: Final = Fraction(1, RATE)
# Speech is clear from 32 kbit/s on.
_BITS_PER_SECOND: Final = 48_000
# The session sends two or three frames ahead. The others are what a loop that was busy for a moment sends at once; they
# make no delay, for this track is as far behind then, and catches up.
_MOST_WAITING: Final = 8
# A frame of silence as this encoder writes it, when the sound before it has died away in its memory.
_SILENCE: Final = b"\xf8\xff\xfe"
_FADING_FRAMES: Final = 10
# Whoever is this late goes on from now, instead of sending all that was missed at once.
_LATEST: Final = 0.2


class BotTrack(MediaStreamTrack):
    """What the bot says, as Opus packets of 20 ms each in real time: silence while it says nothing.

    They are encoded here: aiortc would make stereo of every frame, silent ones too, and send it through a thread, which
    takes more than twice as much.
    """

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._frames: deque[bytes] = deque(maxlen=_MOST_WAITING)
        self._encoder: AudioCodecContext | None = None
        self._silent_frames = _FADING_FRAMES
        self._sent = 0
        self._due = 0.0

    def play(self, audio: Audio) -> None:
        """Say this next: 16-bit mono of 48 kHz. What waits beyond 160 ms is dropped, the oldest first."""
        for start in range(0, len(audio.data), _BYTES):
            self._frames.append(audio.data[start : start + _BYTES].ljust(_BYTES, b"\0"))

    def clear(self) -> None:
        """Say nothing more of what waits."""
        self._frames.clear()

    async def recv(self) -> Packet[Any]:
        """The next packet, when its time has come. `MediaStreamError` once the track has ended."""
        if self.readyState != "live":
            raise MediaStreamError
        await self._until_due()
        packet = Packet(self._payload())
        packet.pts, packet.time_base = self._sent * _SAMPLES, _TIME_BASE
        self._sent += 1
        return packet

    def stop(self) -> None:
        super().stop()
        self._encoder = None

    async def _until_due(self) -> None:
        now = asyncio.get_running_loop().time()
        if not self._due:
            self._due = now
        elif now - self._due > _LATEST:
            # The receiver's clock went on meanwhile.
            missed = int((now - self._due) / _FRAME_SECONDS)
            self._sent += missed
            self._due += missed * _FRAME_SECONDS
        await asyncio.sleep(max(0.0, self._due - now))
        self._due += _FRAME_SECONDS

    def _payload(self) -> bytes:
        if self._frames:
            self._silent_frames = 0
            return self._encode(self._frames.popleft())
        if self._silent_frames >= _FADING_FRAMES:
            self._encoder = None  # it holds two threads
            return _SILENCE
        self._silent_frames += 1
        return self._encode(bytes(_BYTES))

    def _encode(self, data: bytes) -> bytes:
        """About 60 µs, which is less than handing it to a thread would take."""
        if self._encoder is None:
            self._encoder = _encoder()
        frame = AudioFrame(format="s16", layout="mono", samples=_SAMPLES)
        frame.planes[0].update(data)
        frame.sample_rate, frame.time_base, frame.pts = RATE, _TIME_BASE, self._sent * _SAMPLES
        packets = cast("Any", self._encoder).encode(frame)
        return b"".join(map(bytes, packets)) or _SILENCE


def _encoder() -> AudioCodecContext:
    encoder = CodecContext.create("libopus", "w")
    assert isinstance(encoder, AudioCodecContext)
    encoder.bit_rate, encoder.sample_rate, encoder.time_base = _BITS_PER_SECOND, RATE, _TIME_BASE
    encoder.format, encoder.layout = "s16", "mono"
    # The mode for live sound: of all frames the same kind, so that `_SILENCE` fits between any two.
    encoder.options = {"application": "lowdelay", "compression_level": "5"}
    return encoder


def heard(frame: AudioFrame) -> Audio:
    """What the user said, as aiortc decodes it: 16-bit, 48 kHz, two channels in turn."""
    channels = frame.layout.nb_channels
    data = memoryview(frame.planes[0])[: 2 * frame.samples * channels]  # after it comes padding
    return Audio(bytes(data), frame.sample_rate, channels)
