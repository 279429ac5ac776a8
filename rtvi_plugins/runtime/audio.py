"""The audio of one session: what the user says goes to whoever listens, what the bot says is played in real time.

Speech is made faster than it is heard, and published clients play whatever they are sent, with no way to take it
back. So frames are sent when they are due, a little ahead, and an interruption drops all that is not yet sent.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import anyio

from ..clock import Clock, Timer
from ..errors import AuthorError, report
from ..events import BotStartedSpeaking, BotStoppedSpeaking, Event
from ..kinds import Audio
from ..session import Listener
from ..utils.containment import let_through

if TYPE_CHECKING:
    from ..voice.recording import Recorder
    from ..voice.resampling import Resampler

__all__ = ("FRAME_SECONDS", "INPUT_RATE", "LEAD_SECONDS", "AudioLink", "Playback")

#: The rate, in Hz, at which listeners are given the user's audio: what recognisers and VADs are trained on.
INPUT_RATE: Final = 16_000
#: The length of a frame of the bot's audio: that of WebRTC's codecs.
FRAME_SECONDS: Final = 0.020
#: How far ahead of real time a frame is sent, for a network that is not quite regular: two frames wait at the client
#: while it plays a third.
LEAD_SECONDS: Final = 0.040
#: How long a network may stand still and have everything that it held back be heard.
_STANDSTILL_SECONDS: Final = 10.0
#: How many different rates of audio one client may send.
_MOST_RATES: Final = 4
#: Audio is made this far ahead of what is heard.
_AHEAD_SECONDS: Final = 20.0
#: Sums of 20 ms are not exact.
_EPSILON: Final = 1e-6


def _whole(data: bytes, channels: int) -> int:
    """How many of the bytes are whole samples of all channels."""
    return len(data) - len(data) % (2 * channels)


class AudioLink:
    """The audio side of a session's transport. `put` sends a frame; `take_back` drops those that have not left yet.

    `take_back` returns how many it dropped. `hush` has the transport drop what it holds back itself. `ahead` is how far
    ahead of real time the user's audio may come, in seconds; `too_fast` is called, once, with the rate of audio that is
    dropped for coming earlier. `unusable` is called with a sentence about audio that is not heard, once a reason.
    """

    def __init__(
        self,
        output_rate: int,
        clock: Clock,
        *,
        ahead: float,
        emit: Callable[[Event], None],
        put: Callable[[Audio], None],
        take_back: Callable[[], int],
        hush: Callable[[], None],
        too_fast: Callable[[int], None] = lambda rate: None,
        unusable: Callable[[str], None] = lambda why: None,
    ) -> None:
        self.output_rate = output_rate
        self.clock = clock
        self._ahead = ahead
        self.emit = emit
        self.put = put
        self.take_back = take_back
        self.hush = hush
        self._too_fast: Callable[[int], None] | None = too_fast
        self._unusable = unusable
        self._refused: set[str] = set()
        self._recorder: Recorder | None = None
        self._listener: Listener | None = None
        self._resamplers: dict[int, Resampler] = {}
        self._played: Resampler | None = None
        self._received_until = -math.inf
        self._microphone_on = True

    @contextmanager
    def listening(self, listener: Listener) -> Generator[None]:
        """Have `listener` hear the user."""
        if self._listener is not None:
            raise RuntimeError("Somebody listens to this session already; one listener hears it at a time.")
        self._listener = listener
        if not self._microphone_on:  # told before anybody listened, as clients do when they connect
            listener.microphone(False)
        try:
            yield
        finally:
            self.close()

    def close(self) -> None:
        """Stop passing the user's audio to the listener."""
        listener, self._listener = self._listener, None
        try:
            if listener is not None:
                listener.close()
        except Exception as error:
            report("what listens to the user", error)

    def receive(self, audio: Audio) -> None:
        """Take what the microphone recorded, of any rate and number of channels. Never raises."""
        if not self._microphone_on or (self._listener is None and self._recorder is None):
            return
        now, whole = self.clock.now(), _whole(audio.data, max(1, audio.channels))
        if whole != len(audio.data):
            size = f"{len(audio.data)} bytes are no whole number of samples of 16 bits and {audio.channels} channels"
            self.refuse("size", f"A piece of audio ends within a sample: {size}. The rest of it is dropped.")
            audio = Audio(audio.data[:whole], audio.rate, audio.channels)
        heard = self._converted(audio) if self._is_plausible(audio, now) else None
        if heard is None:
            return
        try:
            if self._recorder is not None:
                self._recorder.user(now - audio.seconds, heard.data)
            if self._listener is not None:
                self._listener.hear(heard)
        except BaseException as error:
            let_through(error)
            self._listener_failed(error)

    def _listener_failed(self, error: BaseException) -> None:
        if "listener" not in self._refused:  # it fails at each of fifty frames a second
            report("what listens to the user", error)
        self.refuse("listener", "The bot failed to take what the user said; its log has the reason.")

    def refuse(self, reason: str, sentence: str) -> None:
        """Report audio that is not heard, once for each reason."""
        if reason not in self._refused:
            self._refused.add(reason)
            self._unusable(sentence)

    def _is_plausible(self, audio: Audio, now: float) -> bool:
        """Whether a microphone could have recorded this: it does not run ahead of real time.

        A network that stood still has some seconds of audio arrive at once, and none of it is lost.
        """
        if audio.rate < 1 or audio.channels < 1:
            form = f"a rate of {audio.rate} Hz and {audio.channels} channels"
            self.refuse("form", f"Audio with {form} cannot be heard. Send the rate and the channels that it has.")
            return False
        if not audio.data:
            return False
        begun = self._received_until > -math.inf
        until = max(self._received_until, now - _STANDSTILL_SECONDS if begun else now) + audio.seconds
        if until - now > self._ahead:
            report_once, self._too_fast = self._too_fast, None
            if report_once is not None:
                report_once(audio.rate)
            return False
        self._received_until = until
        return True

    def record(self, recorder: Recorder) -> None:
        """Have both sides recorded from now on. `AuthorError` if the resampler for it is not installed."""
        if self.output_rate != INPUT_RATE:
            from ..voice.resampling import Resampler

            self._played = Resampler(self.output_rate, INPUT_RATE)
        self._recorder = recorder

    def send(self, frame: bytes) -> None:
        """Send a frame of what the bot says."""
        self.put(Audio(frame, self.output_rate))
        if self._recorder is not None:
            data = frame if self._played is None else self._played.feed(frame)
            self._recorder.bot(self.clock.now() + LEAD_SECONDS, data)

    def microphone(self, enabled: bool) -> None:
        """The client has said that its microphone was switched."""
        self._microphone_on = enabled
        try:
            if self._listener is not None:
                self._listener.microphone(enabled)
        except BaseException as error:
            let_through(error)
            self._listener_failed(error)

    def _converted(self, audio: Audio) -> Audio | None:
        """Return the audio at `INPUT_RATE`, mono; None where it cannot be converted, or gives no sample yet."""
        if "resampler" in self._refused and (audio.rate != INPUT_RATE or audio.channels != 1):
            return None  # it was not there; looking for it again with each frame would cost too much
        form = f"Audio of {audio.rate} Hz and {audio.channels} channel{'s' if audio.channels > 1 else ''}"
        try:
            return self._as_input(audio)
        except AuthorError as error:
            self.refuse("resampler", f"{form} cannot be heard by this server: {error}. Or send {INPUT_RATE} Hz, mono.")
        except Exception as error:
            if "conversion" not in self._refused:
                report("the resampler", error)
            self.refuse("conversion", f"{form} cannot be converted. Send {INPUT_RATE} Hz, mono.")
        return None

    def _as_input(self, audio: Audio) -> Audio | None:
        """Return the audio at `INPUT_RATE`, mono; None while it gives no sample, or if it has one rate too many."""
        if audio.rate == INPUT_RATE and audio.channels == 1:
            return audio
        from ..voice.resampling import Resampler, to_mono

        data = to_mono(audio)
        if audio.rate != INPUT_RATE:
            if audio.rate not in self._resamplers:
                if len(self._resamplers) == _MOST_RATES:
                    rates = f"Audio comes in more than {_MOST_RATES} rates, so that of {audio.rate} Hz is not heard."
                    self.refuse("rates", f"{rates} Send all of it in one rate.")
                    return None
                self._resamplers[audio.rate] = Resampler(audio.rate, INPUT_RATE)
            data = self._resamplers[audio.rate].feed(data)
        return Audio(data, INPUT_RATE) if data else None


class Playback:
    """What one turn has the user hear."""

    def __init__(self, link: AudioLink) -> None:
        self.on_heard: Callable[[float], None] | None = None
        self.began = False
        self._link = link
        self._frames: deque[bytes] = deque()
        self._rest = b""
        self._frame_size = 2 * round(link.output_rate * FRAME_SECONDS)
        self._odd = b""
        self._resampler: tuple[int, Resampler] | None = None
        self._given = self._sent = self._heard_at_end = 0.0
        #: When the next frame is due, in frames of the clock; those before it have been sent. All sessions share these
        #: moments, so that the loop wakes once for all.
        self._slot = 0
        #: How much later than its moment a frame is heard: speech begins at once, and seldom at one of them.
        self._after = 0.0
        self._closed = False
        self._timer: Timer | None = None
        self._silent: anyio.Event | None = None
        self._roomy: anyio.Event | None = None

    # ---- what is given ---------------------------------------------------------------------------------------------

    @property
    def given(self) -> float:
        """Seconds of audio that were fed, and of the silence that filled the last frame of each utterance."""
        return self._given

    def feed(self, audio: Audio) -> None:
        """Have this heard after all that was fed before."""
        if self._closed:
            return
        data = self._odd + audio.data
        whole = _whole(data, audio.channels)
        self._odd = data[whole:]  # a vendor's stream may be cut anywhere
        audio = Audio(data[:whole], audio.rate, audio.channels)
        self._given += audio.seconds
        self._cut(self._as_output(audio))
        self._run()

    def flush(self) -> None:
        """All of an utterance was fed: what is left of it is filled up to a frame."""
        self._odd = b""  # half a sample is none
        if self._resampler is not None:
            self._cut(self._resampler[1].feed(b"", last=True))
            self._resampler = None
        if self._rest:
            self._given += FRAME_SECONDS * (1 - len(self._rest) / self._frame_size)
            self._frames.append(self._rest.ljust(self._frame_size, b"\0"))
            self._rest = b""
        self._run()

    def _as_output(self, audio: Audio) -> bytes:
        rate, before = self._link.output_rate, b""
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

    def _cut(self, data: bytes) -> None:
        data, size = self._rest + data, self._frame_size
        whole = len(data) - len(data) % size
        self._frames.extend(data[at : at + size] for at in range(0, whole, size))
        self._rest = data[whole:]

    # ---- what is heard ---------------------------------------------------------------------------------------------

    @property
    def heard(self) -> float:
        """Seconds that the user has heard: of what was sent, what is not still in the lead."""
        return self._heard_at_end if self._closed else self._heard_by(self._link.clock.now())

    def _heard_by(self, now: float) -> float:
        return min(self._given, max(0.0, self._sent - max(0.0, self._silent_from() - now)))

    @property
    def _due(self) -> float:
        return self._slot * FRAME_SECONDS

    def _silent_from(self) -> float:
        return self._due + self._after + LEAD_SECONDS

    def _run(self) -> None:
        """Send what is due, and come back for the rest."""
        if self._timer is None and not self._closed:
            self._tick()

    def _tick(self) -> None:
        self._timer, now = None, self._link.clock.now()
        if self._frames and self._due < now - LEAD_SECONDS:
            self._begin(now - LEAD_SECONDS)
        while self._frames and self._due <= now + _EPSILON:
            self._send(self._frames.popleft())
        if self.on_heard is not None and self.began:
            self._tell_heard(self.on_heard, self._heard_by(now))
        due = self._next_due(now)
        if due is not None and not self._closed:
            self._timer = self._link.clock.call_at(due, self._tick)
        self._wake()

    def _begin(self, due: float) -> None:
        """Speak, or speak again. After a pause there is no catching up: time has passed in silence."""
        self._slot = math.floor(due / FRAME_SECONDS)
        self._after = due - self._due

    def _tell_heard(self, callback: Callable[[float], None], seconds: float) -> None:
        try:
            callback(seconds)
        except BaseException as error:  # what is being said is said to its end
            let_through(error)
            self.on_heard = None
            report("what was told of audio being heard", error)

    def _next_due(self, now: float) -> float | None:
        """When to come back."""
        if self._frames:
            return self._due
        return self._silent_from() if now < self._silent_from() - _EPSILON else None

    def _send(self, frame: bytes) -> None:
        if not self.began:
            self.began = True
            self._link.emit(BotStartedSpeaking())
        self._link.send(frame)
        self._slot += 1
        self._sent += FRAME_SECONDS

    def close(self) -> None:
        """Nothing more is heard of this."""
        if self._closed:
            return
        now, unsent = self._link.clock.now(), 0
        if self._frames or now < self._silent_from():
            unsent = self._link.take_back()
            self._link.hush()
        self._heard_at_end = max(0.0, min(self._heard_by(now), self._sent - unsent * FRAME_SECONDS))
        self._closed = True
        self._frames.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.began:
            self._link.emit(BotStoppedSpeaking())
        self._wake()

    # ---- waiting ---------------------------------------------------------------------------------------------------

    async def played(self) -> None:
        """Wait until everything was heard."""
        self.flush()
        while self._frames or self._timer is not None:
            self._silent = self._silent or anyio.Event()
            await self._silent.wait()

    async def room(self) -> None:
        """Wait while too much is waiting to be heard."""
        while self._is_full():
            self._roomy = self._roomy or anyio.Event()
            await self._roomy.wait()

    def _is_full(self) -> bool:
        return len(self._frames) * FRAME_SECONDS > _AHEAD_SECONDS

    def _wake(self) -> None:
        if self._silent is not None and not self._frames and self._timer is None:
            self._silent.set()
            self._silent = None
        if self._roomy is not None and not self._is_full():
            self._roomy.set()
            self._roomy = None
