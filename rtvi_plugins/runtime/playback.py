"""The bot's audio: play it in real time, and know what the user has heard.

Speech is made faster than it is heard, and the published clients play whatever they receive. They cannot drop it.
So frames are sent when they are due, a little ahead, and an interruption drops the frames that are not sent yet.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from attrs import define

from ..clock import Clock, Timer
from ..errors import report
from ..events import BotStartedSpeaking, BotStoppedSpeaking, Event
from ..kinds import Audio
from ..session import Playback
from ..utils.plugin_calls import reraise_control_flow
from ..utils.waiting import Condition

if TYPE_CHECKING:
    from ..voice.recording import Recorder
    from ..voice.resampling import Resampler

__all__ = ("FRAME_SECONDS", "LEAD_SECONDS", "AudioOutput", "LivePlayback", "whole_samples")

#: The length of a frame of the bot's audio. WebRTC's codecs use the same.
FRAME_SECONDS: Final = 0.020
#: How far ahead of real time a frame is sent, against jitter: two frames wait at the client while it plays a third.
LEAD_SECONDS: Final = 0.040
#: How much audio may wait to be played before `room` waits, in seconds.
_AHEAD_SECONDS: Final = 20.0
#: Sums of 20 ms are not exact.
_EPSILON: Final = 1e-6


def whole_samples(data: bytes, channels: int) -> int:
    """Return how many of the bytes form whole samples of all channels."""
    return len(data) - len(data) % (2 * channels)


@define(eq=False)
class AudioOutput:
    """The way of a session's audio to its client: 16-bit mono frames at `rate` Hz."""

    rate: int
    clock: Clock
    emit: Callable[[Event], None]
    #: Sends a frame.
    put: Callable[[Audio], None]
    #: Drops the frames that have not left the outbox yet, and returns their number.
    discard_unsent: Callable[[], int]
    #: Has the transport drop the frames that it holds back itself.
    on_interrupt: Callable[[], None]
    _recorder: tuple[Recorder, int] | None = None
    _resampler: Resampler | None = None

    def use(self, rate: int, on_interrupt: Callable[[], None]) -> None:
        """Continue over another connection. Nothing may be playing."""
        self.rate, self.on_interrupt = rate, on_interrupt
        if self._recorder is not None:
            self.record(*self._recorder)

    def record(self, recorder: Recorder, rate: int) -> None:
        """Record the bot's audio at `rate` from now on. Raise `AuthorError` if it needs a missing resampler."""
        self._resampler = None
        if self.rate != rate:
            from ..voice.resampling import Resampler

            self._resampler = Resampler(self.rate, rate)
        self._recorder = recorder, rate

    def send(self, frame: bytes) -> None:
        self.put(Audio(frame, self.rate))
        if self._recorder is not None:
            data = frame if self._resampler is None else self._resampler.feed(frame)
            self._recorder[0].bot(self.clock.now() + LEAD_SECONDS, data)


class LivePlayback(Playback):
    """The playback of one turn. Without an output, as in a session without audio, nothing is played or heard."""

    def __init__(self, output: AudioOutput | None) -> None:
        self.began = False
        self._optional_output = output
        self._frames: deque[bytes] = deque()
        #: Less than a frame, and less than a sample, that wait for more.
        self._frame_rest = self._sample_rest = b""
        self._frame_size = 0 if output is None else 2 * round(output.rate * FRAME_SECONDS)
        self._resampler: tuple[int, Resampler] | None = None
        self._seconds_given = self._seconds_sent = self._heard_at_end = 0.0
        #: When the next frame is due, in frames of the clock; those before it were sent. All sessions send at the same
        #: moments, so that the event loop wakes once for all of them.
        self._frame_slot = 0
        #: How much later than its moment a frame is heard: speech starts at once, seldom at one of these moments.
        self._heard_after = 0.0
        self._closed = False
        self._frame_timer: Timer | None = None
        self._on_heard: Callable[[float], None] | None = None
        self._silent = Condition(lambda: not self._frames and self._frame_timer is None)
        self._roomy = Condition(lambda: len(self._frames) * FRAME_SECONDS <= _AHEAD_SECONDS)

    @property
    def _output(self) -> AudioOutput:
        if self._optional_output is None:
            raise RuntimeError("This session has no audio. Check session.has_audio before you play any.")
        return self._optional_output

    # ---- what is given ---------------------------------------------------------------------------------------------

    @property
    def given(self) -> float:
        return self._seconds_given

    def play(self, audio: Audio) -> None:
        output_rate = self._output.rate
        if self._closed:
            return
        data = self._sample_rest + audio.data
        size = whole_samples(data, audio.channels)
        self._sample_rest = data[size:]  # a vendor may cut its stream anywhere
        audio = Audio(data[:size], audio.rate, audio.channels)
        self._seconds_given += audio.seconds
        self._cut_frames(self._as_output(audio, output_rate))
        self._start_sending()

    def flush(self) -> None:
        self._sample_rest = b""  # half a sample is not playable
        if self._resampler is not None:
            self._cut_frames(self._resampler[1].feed(b"", last=True))
            self._resampler = None
        if self._frame_rest:
            self._seconds_given += FRAME_SECONDS * (1 - len(self._frame_rest) / self._frame_size)
            self._frames.append(self._frame_rest.ljust(self._frame_size, b"\0"))
            self._frame_rest = b""
        self._start_sending()

    def _as_output(self, audio: Audio, rate: int) -> bytes:
        before = b""
        if self._resampler is not None and self._resampler[0] != audio.rate:
            before, self._resampler = self._resampler[1].feed(b"", last=True), None
        if audio.rate == rate and audio.channels == 1:
            return before + audio.data
        from ..voice.resampling import Resampler, to_mono

        mono = to_mono(audio)
        if audio.rate == rate:
            return before + mono
        if self._resampler is None:
            self._resampler = audio.rate, Resampler(audio.rate, rate)
        return before + self._resampler[1].feed(mono)

    def _cut_frames(self, data: bytes) -> None:
        data, size = self._frame_rest + data, self._frame_size
        whole = len(data) - len(data) % size
        self._frames.extend(data[at : at + size] for at in range(0, whole, size))
        self._frame_rest = data[whole:]

    # ---- what is heard ---------------------------------------------------------------------------------------------

    @property
    def heard(self) -> float:
        is_silent = self._closed or self._optional_output is None
        return self._heard_at_end if is_silent else self._heard_by(self._output.clock.now())

    def on_heard(self, callback: Callable[[float], None]) -> None:
        _ = self._output  # raises without one
        self._on_heard = callback

    def _heard_by(self, now: float) -> float:
        """Return the seconds that were sent, without those that the client has not played yet."""
        return min(self._seconds_given, max(0.0, self._seconds_sent - max(0.0, self._silent_from() - now)))

    @property
    def _due(self) -> float:
        return self._frame_slot * FRAME_SECONDS

    def _silent_from(self) -> float:
        return self._due + self._heard_after + LEAD_SECONDS

    def _start_sending(self) -> None:
        """Send the frames that are due, unless a timer will."""
        if self._frame_timer is None and not self._closed:
            self._send_due_frames()

    def _send_due_frames(self) -> None:
        self._frame_timer, now = None, self._output.clock.now()
        if self._frames and self._due < now - LEAD_SECONDS:
            self._begin(now - LEAD_SECONDS)
        while self._frames and self._due <= now + _EPSILON:
            self._send_frame(self._frames.popleft())
        if self._on_heard is not None and self.began:
            self._report_heard(self._on_heard, self._heard_by(now))
        due = self._next_due(now)
        if due is not None and not self._closed:
            self._frame_timer = self._output.clock.call_at(due, self._send_due_frames)
        self._notify_playback()

    def _begin(self, due: float) -> None:
        """Start to speak, or continue after a pause. Audio after a pause is not sent faster."""
        self._frame_slot = math.floor(due / FRAME_SECONDS)
        self._heard_after = due - self._due

    def _report_heard(self, callback: Callable[[float], None], seconds: float) -> None:
        try:
            callback(seconds)
        except BaseException as error:  # playback continues
            reraise_control_flow(error)
            self._on_heard = None
            report("the callback of on_heard", error)

    def _next_due(self, now: float) -> float | None:
        """Return when `_send_due_frames` must be called next; None if never."""
        if self._frames:
            return self._due
        return self._silent_from() if now < self._silent_from() - _EPSILON else None

    def _send_frame(self, frame: bytes) -> None:
        if not self.began:
            self.began = True
            self._output.emit(BotStartedSpeaking())
        self._output.send(frame)
        self._frame_slot += 1
        self._seconds_sent += FRAME_SECONDS

    def close(self) -> None:
        """Stop playing this audio."""
        if self._closed or self._optional_output is None:
            return
        now, unsent = self._output.clock.now(), 0
        if self._frames or now < self._silent_from():
            unsent = self._output.discard_unsent()
            self._output.on_interrupt()
        self._heard_at_end = max(0.0, min(self._heard_by(now), self._seconds_sent - unsent * FRAME_SECONDS))
        self._closed = True
        self._frames.clear()
        if self._frame_timer is not None:
            self._frame_timer.cancel()
            self._frame_timer = None
        if self.began:
            self._output.emit(BotStoppedSpeaking())
        self._notify_playback()

    # ---- waiting ---------------------------------------------------------------------------------------------------

    async def played(self) -> None:
        if self._optional_output is not None:
            self.flush()
            await self._silent.wait()

    async def room(self) -> None:
        _ = self._output  # raises without one
        await self._roomy.wait()

    def _notify_playback(self) -> None:
        self._silent.notify()
        self._roomy.notify()
