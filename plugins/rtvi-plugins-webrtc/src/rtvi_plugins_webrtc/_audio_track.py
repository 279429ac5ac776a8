"""The bot's audio as a WebRTC track, and received frames as audio for the session."""

from __future__ import annotations

import asyncio
from collections import deque
from fractions import Fraction
from typing import Any, Final, cast

from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioCodecContext, AudioFrame, CodecContext, Packet

from rtvi_plugins.kinds import Audio

__all__ = ("RATE", "BotTrack", "received_audio")

#: The rate of Opus in WebRTC, in Hz.
RATE: Final = 48_000

_FRAME_SECONDS: Final = 0.02
_SAMPLES: Final = 960
_BYTES: Final = 2 * _SAMPLES
_TIME_BASE: Final = Fraction(1, RATE)
# Speech is clear from 32 kbit/s on.
_BITS_PER_SECOND: Final = 48_000
# The session sends two or three frames ahead. After the event loop was busy, it sends more at once: this
# track is then late as well, and catches up without a delay.
_MOST_WAITING: Final = 8
# A frame of silence as this encoder writes it, after earlier sound has faded in its memory.
_SILENCE: Final = b"\xf8\xff\xfe"
_FADING_FRAMES: Final = 10
# If a track is later than this, it skips what it missed.
_LATEST: Final = 0.2


class BotTrack(MediaStreamTrack):
    """The bot's audio as Opus packets of 20 ms in real time, with silence while the bot says nothing.

    The packets are encoded here. aiortc would encode every frame as stereo, also silence, and in a thread, which takes
    more than twice as long.
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
        """Play this next: 16-bit mono, 48 kHz. If more than 160 ms wait, the oldest audio is dropped."""
        for start in range(0, len(audio.data), _BYTES):
            self._frames.append(audio.data[start : start + _BYTES].ljust(_BYTES, b"\0"))

    def clear(self) -> None:
        """Drop what waits."""
        self._frames.clear()

    async def recv(self) -> Packet[Any]:
        """Return the next packet when it is due. Raise `MediaStreamError` after the track has ended."""
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
            # The receiver's clock has continued.
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
            self._encoder = None  # an encoder has two threads
            return _SILENCE
        self._silent_frames += 1
        return self._encode(bytes(_BYTES))

    def _encode(self, data: bytes) -> bytes:
        """Encode a frame, in about 60 µs: less than a switch to a thread takes."""
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
    # In this mode all frames have the same kind, so that `_SILENCE` fits between any two.
    encoder.options = {"application": "lowdelay", "compression_level": "5"}
    return encoder


def received_audio(frame: AudioFrame) -> Audio:
    """Return a frame that aiortc decoded as audio: 16-bit, 48 kHz, interleaved stereo."""
    channels = frame.layout.nb_channels
    data = memoryview(frame.planes[0])[: 2 * frame.samples * channels]  # the rest is padding
    return Audio(bytes(data), frame.sample_rate, channels)
