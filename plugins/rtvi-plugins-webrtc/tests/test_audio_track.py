"""The bot's track is in real time, silent when there is nothing to play, and never far behind."""

from __future__ import annotations

import asyncio
from array import array

import pytest
from aiortc.codecs.opus import OpusDecoder
from aiortc.jitterbuffer import JitterFrame
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame
from rtc_caller import hertz_of

from rtvi_plugins.kinds import Audio
from rtvi_plugins_echo.tone import tone
from rtvi_plugins_webrtc._audio_track import BotTrack, received_audio

pytestmark = pytest.mark.anyio


class Clock:
    """Replaces the loop's clock and its sleep. Time passes only by sleeping."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(asyncio, "sleep", self.sleep)
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: self.now)

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


async def packets(track: BotTrack, number: int) -> list[bytes]:
    """Return the next payloads."""
    return [bytes(await track.recv()) for _ in range(number)]


def decoded(payloads: list[bytes]) -> array[int]:
    """Return the audio of Opus packets."""
    decoder, samples = OpusDecoder(), array("h")
    for place, payload in enumerate(payloads):
        for frame in decoder.decode(JitterFrame(payload, place * 960)):
            assert isinstance(frame, AudioFrame)
            samples.frombytes(bytes(frame.planes[0])[: 4 * frame.samples])
    return samples[::2]


async def test_silence_costs_no_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """During silence, each packet is the same three bytes."""
    Clock(monkeypatch)
    assert await packets(BotTrack(), 5) == [b"\xf8\xff\xfe"] * 5


async def test_packets_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a packet every 20 ms, with the time stamps of 48 kHz."""
    clock, track = Clock(monkeypatch), BotTrack()
    stamps = [(await track.recv()).pts for _ in range(51)]
    assert stamps == [960 * place for place in range(51)]
    assert clock.now == pytest.approx(101.0)


async def test_a_loop_that_was_stuck_skips_what_is_past(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a pause of a second, there is no burst. The time stamps jump by a second."""
    clock, track = Clock(monkeypatch), BotTrack()
    await packets(track, 10)
    clock.now += 1.0
    assert (await track.recv()).pts == pytest.approx(960 * 60, abs=960)
    before = clock.now
    await packets(track, 10)
    assert clock.now - before == pytest.approx(0.2, abs=0.02)


async def test_speech_and_silence_may_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tones with a pause between them have the right pitch, and there is no click in the pause."""
    Clock(monkeypatch)
    track, sent = BotTrack(), list[bytes]()
    for _ in range(2):
        sound = tone(440, 0.4, 48_000)
        for start in range(0, len(sound.data), 1920):
            track.play(Audio(sound.data[start : start + 1920], 48_000))
            sent += await packets(track, 1)
        sent += await packets(track, 30)
    samples = decoded(sent)
    assert hertz_of(samples[4800:19_200], 48_000) == pytest.approx(440, rel=0.02)
    assert hertz_of(samples[52_800:67_200], 48_000) == pytest.approx(440, rel=0.02)
    assert max(map(abs, samples[24_000:47_500])) < 100


async def test_too_much_drops_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a second that is given at once, only the last 160 ms are heard."""
    Clock(monkeypatch)
    track = BotTrack()
    track.play(Audio(tone(440, 0.84, 48_000).data + tone(880, 0.16, 48_000).data, 48_000))
    samples = decoded(await packets(track, 20))
    assert hertz_of(samples[1920:6720], 48_000) == pytest.approx(880, rel=0.05)
    assert max(map(abs, samples[12_000:])) < 200


async def test_what_waits_can_be_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """After it, there is silence, and then what is played next."""
    Clock(monkeypatch)
    track = BotTrack()
    track.play(tone(440, 0.1, 48_000))
    track.clear()
    assert await packets(track, 1) == [b"\xf8\xff\xfe"]
    track.play(tone(880, 0.1, 48_000))
    assert hertz_of(decoded(await packets(track, 5)), 48_000) == pytest.approx(880, rel=0.05)


async def test_a_short_rest_is_filled_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Audio that is shorter than a frame becomes one."""
    Clock(monkeypatch)
    track = BotTrack()
    track.play(Audio(b"\0\1" * 100, 48_000))
    assert len(decoded(await packets(track, 1))) == 960


async def test_a_track_that_has_ended_says_so() -> None:
    """The library aiortc needs this to notice the end."""
    track = BotTrack()
    track.stop()
    with pytest.raises(MediaStreamError):
        await track.recv()


async def test_what_is_heard_has_no_padding() -> None:
    """The result is the samples of a frame, without the memory behind them."""
    frame = AudioFrame(format="s16", layout="stereo", samples=123)
    frame.sample_rate = 48_000
    frame.planes[0].update(bytes(frame.planes[0].buffer_size))
    assert received_audio(frame) == Audio(bytes(4 * 123), 48_000, 2)
