"""The user's audio: check it, convert it to one rate, and pass it to the listener and the recorder."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from ..clock import Clock
from ..errors import AuthorError, RateLimited, RequestError, UnusableAudio, report
from ..kinds import Audio
from ..session import Input, Listener
from ..utils.plugin_calls import reraise_control_flow
from .playback import whole_samples

if TYPE_CHECKING:
    from ..voice.recording import Recorder
    from ..voice.resampling import Resampler

__all__ = ("INPUT_RATE", "AudioInput")

#: The rate, in Hz, of the audio that listeners receive. Recognisers and VADs are trained on it.
INPUT_RATE: Final = 16_000
#: How long a network may stall, in seconds. All audio that it has held back is then still accepted.
_STALL_SECONDS: Final = 10.0
#: How many different rates of audio one client may send.
_MOST_RATES: Final = 4


class AudioInput:
    """The microphone's side of a session.

    `ahead` is how far ahead of real time audio may arrive, in seconds. Audio that arrives earlier is dropped. `warn` is
    called with the error about audio that is not used, once for each reason.
    """

    def __init__(self, clock: Clock, ahead: float, warn: Callable[[RequestError], None] = lambda error: None) -> None:
        self._clock = clock
        self._most_ahead = ahead
        self._warn = warn
        self._warned_of: set[str] = set()
        self._recorder: Recorder | None = None
        self._listener: Listener | None = None
        self._resamplers: dict[int, Resampler] = {}
        self._audio_until = -math.inf
        self._microphone_on = True

    # ---- listening -------------------------------------------------------------------------------------------------

    @contextmanager
    def listening(self, listener: Listener) -> Generator[None]:
        if self._listener is not None:
            raise RuntimeError("A listener hears this session already; only one can at a time.")
        self._listener = listener
        if not self._microphone_on:  # clients switch it off when they connect, before anybody listens
            listener.microphone(False)
        try:
            yield
        finally:
            self.close()

    def close(self) -> None:
        listener, self._listener = self._listener, None
        try:
            if listener is not None:
                listener.close()
        except Exception as error:
            report("the listener", error)

    def unsubmitted(self, *, interim: bool) -> Sequence[Input]:
        """Return the inputs that the listener has not submitted yet."""
        try:
            return () if self._listener is None else self._listener.unsubmitted(interim=interim)
        except Exception as error:
            report("the listener", error)
            return ()

    def record(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def microphone(self, enabled: bool) -> None:
        self._microphone_on = enabled
        try:
            if self._listener is not None:
                self._listener.microphone(enabled)
        except BaseException as error:
            reraise_control_flow(error)
            self._listener_failed(error)

    def receive(self, audio: Audio) -> None:
        """Take a piece of audio of any rate and number of channels. Never raises."""
        if not self._microphone_on or (self._listener is None and self._recorder is None):
            return
        now, size = self._clock.now(), whole_samples(audio.data, max(1, audio.channels))
        if size != len(audio.data):
            length = f"{len(audio.data)} bytes are not a whole number of 16-bit samples of {audio.channels} channels"
            self.reject("size", f"A piece of audio ends within a sample: {length}. The rest of it is dropped.")
            audio = Audio(audio.data[:size], audio.rate, audio.channels)
        heard = self._converted(audio) if self._is_plausible(audio, now) else None
        if heard is None:
            return
        try:
            if self._recorder is not None:
                self._recorder.user(now - audio.seconds, heard.data)
            if self._listener is not None:
                self._listener.hear(heard)
        except BaseException as error:
            reraise_control_flow(error)
            self._listener_failed(error)

    def _listener_failed(self, error: BaseException) -> None:
        if "listener" not in self._warned_of:  # it fails for each of fifty frames a second
            report("the listener", error)
        self.reject("listener", "The bot failed to process the user's audio; its log has the reason.")

    def reject(self, reason: str, sentence: str) -> None:
        """Warn of audio that is not used, once for each reason."""
        self._warn_once(reason, UnusableAudio(sentence))

    def _warn_once(self, reason: str, error: RequestError) -> None:
        if reason not in self._warned_of:
            self._warned_of.add(reason)
            self._warn(error)

    # ---- checking and converting -----------------------------------------------------------------------------------

    def _is_plausible(self, audio: Audio, now: float) -> bool:
        """Return whether a microphone can have recorded this: it does not run ahead of real time.

        After a network has stalled, some seconds of audio arrive at once. They are accepted.
        """
        if audio.rate < 1 or audio.channels < 1:
            form = f"a rate of {audio.rate} Hz and {audio.channels} channels"
            self.reject("form", f"Audio with {form} is invalid. Send the real rate and number of channels.")
            return False
        if not audio.data:
            return False
        begun = self._audio_until > -math.inf
        until = max(self._audio_until, now - _STALL_SECONDS if begun else now) + audio.seconds
        if until - now > self._most_ahead:
            # Usually the client labels it with a lower rate than it has.
            self._warn_once(
                "speed",
                RateLimited(
                    f"Audio that says it has {audio.rate} Hz comes faster than real time, so some of it is dropped. "
                    "Send the rate at which it is recorded; with the published WebSocket transport, use "
                    "new WavMediaManager(512, 16000)."
                ),
            )
            return False
        self._audio_until = until
        return True

    def _converted(self, audio: Audio) -> Audio | None:
        """Return the audio at `INPUT_RATE`, mono. None if it cannot be converted, or is too short for one sample."""
        if "resampler" in self._warned_of and (audio.rate != INPUT_RATE or audio.channels != 1):
            return None  # the resampler is not installed; trying the import for each frame would cost too much
        form = f"Audio of {audio.rate} Hz and {audio.channels} channel{'s' if audio.channels > 1 else ''}"
        try:
            return self._at_input_rate(audio)
        except AuthorError as error:
            self.reject("resampler", f"{form} cannot be used by this server: {error}. Or send {INPUT_RATE} Hz, mono.")
        except Exception as error:
            if "conversion" not in self._warned_of:
                report("the resampler", error)
            self.reject("conversion", f"{form} cannot be converted. Send {INPUT_RATE} Hz, mono.")
        return None

    def _at_input_rate(self, audio: Audio) -> Audio | None:
        if audio.rate == INPUT_RATE and audio.channels == 1:
            return audio
        from ..voice.resampling import Resampler, to_mono

        data = to_mono(audio)
        if audio.rate != INPUT_RATE:
            if audio.rate not in self._resamplers:
                if len(self._resamplers) == _MOST_RATES:
                    rates = f"Audio comes in more than {_MOST_RATES} rates, so that of {audio.rate} Hz is dropped."
                    self.reject("rates", f"{rates} Send all of it in one rate.")
                    return None
                self._resamplers[audio.rate] = Resampler(audio.rate, INPUT_RATE)
            data = self._resamplers[audio.rate].feed(data)
        return Audio(data, INPUT_RATE) if data else None
