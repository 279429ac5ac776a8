"""The user's audio: frames become utterances.

With a VAD, a `SpeechDetector` decides where speech starts and stops. Without one, the vendor of an STT that can listen
does. With any other STT, all audio is speech, and an utterance is what arrives while the microphone is on
(push-to-talk). Published clients send nothing while it is off, so silence is inferred when no audio arrives.
"""

from __future__ import annotations

import logging
import math
import sys
from array import array
from collections import deque
from collections.abc import Callable
from typing import Final, Literal, Protocol, TypeAlias

from attrs import define

from ..clock import Timer
from ..errors import ProviderError
from ..events import UserStartedSpeaking, UserStoppedSpeaking
from ..kinds import VAD, Audio
from ..session import Listener, Session, VADParams
from ..utils.plugin_calls import reraise_control_flow
from .provider_streams import ReplayableStream, as_provider_error, named
from .speech_recognition import FRAME_SECONDS, Utterance
from .turn_state import AudioState, Event, SpokenTurn
from .turn_taking import TurnTaking

__all__ = (
    "Change",
    "SpeechDetector",
    "UserAudio",
)

log = logging.getLogger("rtvi_plugins")

#: A change that a frame makes.
Change: TypeAlias = Literal["started", "stopped"]


@define
class SpeechDetector:
    """Counts the seconds of speech or silence in a row. A shorter noise or pause than required changes nothing."""

    speaking: bool = False
    _run: float = 0.0

    def feed(self, speech: bool, seconds: float, params: VADParams, *, at_least: float = 0.0) -> Change | None:
        """Take the next frame. Speech starts after `start_secs`, or after `at_least` seconds if that is more."""
        if speech == self.speaking:
            self._run = 0.0
            return None
        self._run += seconds
        needed = params.stop_secs if self.speaking else max(params.start_secs, at_least)
        if self._run < needed - 1e-9:
            return None
        return self._turn()

    def stop(self) -> Change | None:
        """No more audio arrives: speech stops, if there was any."""
        if self.speaking:
            return self._turn()
        self._run = 0.0
        return None

    def _turn(self) -> Change:
        self.speaking, self._run = not self.speaking, 0.0
        return "started" if self.speaking else "stopped"


#: A frame as VADs take it: 512 samples of 16 bits at 16 kHz.
_FRAME_BYTES: Final = 1024
#: Audio from before the speech that the STT is given too, in seconds: first sounds are often too soft for a VAD.
_PRE_ROLL_SECONDS: Final = 0.3
#: A gap in the audio that is shorter is the network's, in seconds; after a longer one the microphone is off.
_GAP_SECONDS: Final = 0.3
#: Without a VAD there is no noise to wait out. A vendor that finds the utterances has done so.
_WITHOUT_VAD: Final = VADParams(start_secs=0.0, stop_secs=0.0)
#: Looked up once, because there is a frame every 32 ms in each session, and Python 3.11 is slow to look up a member.
_LISTENING, _SPEECH, _OVERLONG, _OFF = AudioState


class Turns(Protocol):
    """Collects the utterances of the user's turns."""

    #: When the user last stopped speaking.
    spoken_until: float

    @property
    def seconds(self) -> float:
        """Return how many seconds the user has spoken in this turn."""
        ...

    def add(self, utterance: Utterance, /) -> None:
        """Add an utterance, because the user starts or continues to speak."""
        ...

    def close(self) -> None:
        """Finish, because the session ends."""
        ...


class UserAudio(Listener):
    """Listens to one session and adds each utterance to the user's turn.

    Without a VAD, `is_speech` is called with each frame, and returns whether the user speaks.
    """

    def __init__(
        self,
        session: Session,
        vad: VAD | None,
        taking: TurnTaking,
        turns: Turns,
        state: SpokenTurn,
        on_failure: Callable[[ProviderError], None],
        is_speech: Callable[[Audio], bool] = lambda frame: True,
    ) -> None:
        self._session = session
        self._vad = vad
        self._has_warned = False
        self._is_speech_without_vad = is_speech
        self._taking = taking
        self._turns = turns
        self._state = state
        self._on_failure = on_failure
        self._detector = SpeechDetector()
        self._utterance: Utterance | None = None
        #: Less than a frame, which waits for the rest of it.
        self._partial = b""
        self._pre_roll: deque[Audio] = deque(maxlen=_frames(_PRE_ROLL_SECONDS))
        self._pre_roll_seconds = _PRE_ROLL_SECONDS
        self._last_audio = -math.inf
        self._gap: Timer | None = None

    def hear(self, audio: Audio) -> None:
        if self._state.audio is _OFF:
            return
        now = self._session.clock.now()
        if now > self._last_audio + _GAP_SECONDS and self._state.audio is _LISTENING:
            self._clear()  # audio from before the gap is not the beginning of what comes now
            self._detector.stop()
        self._last_audio = now
        data = self._partial + audio.data
        whole = len(data) - len(data) % _FRAME_BYTES
        self._partial = data[whole:]
        for at in range(0, whole, _FRAME_BYTES):
            self._process_frame(Audio(data[at : at + _FRAME_BYTES], audio.rate))

    def microphone(self, enabled: bool) -> None:
        if not enabled:
            self._end_audio()

    def close(self) -> None:
        self._turns.close()

    # ---- frames --------------------------------------------------------------------------------------------------

    def _process_frame(self, frame: Audio) -> None:
        state, bot_has_turn = self._state.audio, self._state.bot_has_turn
        if state is _OFF or (bot_has_turn and state is _LISTENING and not self._taking.interruptible):
            return
        is_speech = self._is_speech(frame)
        state = self._state.audio  # the VAD may have failed
        if state is _LISTENING:
            self._listen(frame, is_speech, self._taking.interrupt_seconds if bot_has_turn else 0.0)
        elif state is _SPEECH:
            self._record(frame, is_speech)
        elif state is _OVERLONG and self._detector.feed(is_speech, FRAME_SECONDS, self._params) == "stopped":
            self._state.process(Event.LONG_SPEECH_STOPPED)

    def _listen(self, frame: Audio, is_speech: bool, at_least: float) -> None:
        """Wait for `at_least` so many seconds of speech, and keep the frame for the pre-roll."""
        params = self._params
        started = self._detector.feed(is_speech, FRAME_SECONDS, params, at_least=at_least) == "started"
        seconds = _PRE_ROLL_SECONDS + max(params.start_secs, at_least)
        if self._pre_roll_seconds != seconds:
            self._pre_roll_seconds, self._pre_roll = seconds, deque(self._pre_roll, _frames(seconds))
        self._pre_roll.append(frame)
        if started:
            self._start()

    def _record(self, frame: Audio, is_speech: bool) -> None:
        """Add a frame to the utterance, which may end with it."""
        assert self._utterance is not None
        params = self._params
        stopped = self._detector.feed(is_speech, FRAME_SECONDS, params) == "stopped"
        self._utterance.audio.append(frame)
        if stopped:
            self._stop(Event.SPEECH_STOPPED, self._session.clock.now() - params.stop_secs)
        elif self._turns.seconds >= self._taking.longest_turn_seconds:
            self._clear()
            self._stop(Event.SPEECH_TOO_LONG, self._last_audio)
            self._detector = SpeechDetector(speaking=True)
            self._watch_for_gap()

    @property
    def _params(self) -> VADParams:
        return self._session.vad_params if self._vad is not None else _WITHOUT_VAD

    def _is_speech(self, frame: Audio) -> bool:
        if self._vad is None:
            return self._is_speech_without_vad(frame)
        params = self._session.vad_params
        try:
            probability = self._vad.speech_probability(frame)
            if not 0 <= probability <= 1:
                self._warn_of(probability)
            is_speech = probability >= params.confidence
        except BaseException as error:
            reraise_control_flow(error)
            self._turn_off(error)
            return False
        return is_speech and (params.min_volume <= 0 or _volume(frame) >= params.min_volume)

    @property
    def _vad_name(self) -> str | None:
        return self._session.alternatives(self._vad).provider

    def _warn_of(self, probability: float) -> None:
        if not self._has_warned:
            self._has_warned = True
            found = "speech_probability() returned %s, and not a number from 0 to 1"
            log.warning(f"%s: {found}", named("a VAD", self._vad_name), probability)

    def _turn_off(self, error: BaseException) -> None:
        """Stop listening after a failure of the VAD, and report it once. The user can still type."""
        self._on_failure(as_provider_error(error, "a VAD", "listened", self._vad_name))
        self._end_audio()
        if self._state.audio is not _OFF:
            self._state.process(Event.VAD_FAILED)

    # ---- utterances ----------------------------------------------------------------------------------------------
    # A message to the client may end the session, and with it the listening: see `Limits.outbox`.

    def _start(self) -> None:
        self._utterance = Utterance(ReplayableStream(list(self._pre_roll)))
        self._pre_roll.clear()
        self._session.emit(UserStartedSpeaking())
        if self._state.audio is _OFF:  # the client does not read, and this message was one too many
            return
        self._state.process(Event.SPEECH_STARTED)
        self._turns.add(self._utterance)
        self._watch_for_gap()

    def _stop(self, event: Event, spoken_until: float) -> None:
        assert self._utterance is not None
        if self._gap is not None:
            self._gap.cancel()
        utterance, self._utterance = self._utterance, None
        self._turns.spoken_until = spoken_until
        self._session.emit(UserStoppedSpeaking())
        if self._state.audio is not _OFF:
            self._state.process(event)
        utterance.end(self._session.clock)

    def _end_audio(self) -> None:
        """No audio arrives any more, so speech has ended too."""
        self._clear()
        self._detector.stop()
        match self._state.audio:
            case AudioState.SPEECH:
                self._stop(Event.SPEECH_STOPPED, self._last_audio)
            case AudioState.OVERLONG:
                self._state.process(Event.LONG_SPEECH_STOPPED)
            case _:
                pass

    def _clear(self) -> None:
        self._partial = b""
        self._pre_roll.clear()

    def _watch_for_gap(self) -> None:
        """Check later whether audio still arrives, for as long as the user speaks."""
        self._gap = self._session.clock.call_at(self._gap_due, self._check_for_gap)

    @property
    def _gap_due(self) -> float:
        """When the audio counts as ended unless more arrives."""
        return self._last_audio + max(self._session.vad_params.stop_secs, _GAP_SECONDS)

    def _check_for_gap(self) -> None:
        if self._session.clock.now() >= self._gap_due - 1e-6:
            self._end_audio()
        elif self._state.audio in (AudioState.SPEECH, AudioState.OVERLONG):
            self._watch_for_gap()


def _frames(seconds: float) -> int:
    return math.ceil(seconds / FRAME_SECONDS)


def _volume(frame: Audio) -> float:
    """Return the root mean square of the samples, where 1 is full scale."""
    samples = array("h", frame.data)
    if sys.byteorder == "big":  # pragma: no cover
        samples.byteswap()
    return math.sqrt(sum(each * each for each in samples) / max(1, len(samples))) / 32_768
