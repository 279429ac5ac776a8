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
from collections.abc import Callable, Sequence
from typing import Final, Literal, TypeAlias

from attrs import define, field

from ..clock import Deadline
from ..errors import ProviderError
from ..events import UserStartedSpeaking, UserStoppedSpeaking
from ..kinds import VAD, Audio
from ..session import Input, Listener, Session, VADParams
from ..utils.plugin_calls import reraise_control_flow
from .provider_streams import ReplayableStream, as_provider_error, named
from .speech_model_user import ModelUser
from .speech_recognition import FRAME_SECONDS, Utterance
from .turn_state import AudioState, Event, SpokenTurn
from .turn_taking import TurnTaking
from .user_turn import UserTurnCollector

__all__ = ("Change", "SpeechDetector", "UserAudio")

log = logging.getLogger("rtvi_plugins")

#: A change that a frame makes.
Change: TypeAlias = Literal["started", "stopped"]


@define
class SpeechDetector:
    """Counts the seconds of speech or silence in a row. A shorter noise or pause than required changes nothing."""

    speaking: bool = False
    _run_seconds: float = 0.0

    def feed(self, speech: bool, seconds: float, vad_params: VADParams, *, at_least: float = 0.0) -> Change | None:
        """Take the next frame. Speech starts after `start_secs`, or after `at_least` seconds if that is more."""
        if speech == self.speaking:
            self._run_seconds = 0.0
            return None
        self._run_seconds += seconds
        needed = vad_params.stop_secs if self.speaking else max(vad_params.start_secs, at_least)
        if self._run_seconds < needed - 1e-9:
            return None
        return self._change()

    def stop(self) -> Change | None:
        """No more audio arrives: speech stops, if there was any."""
        if self.speaking:
            return self._change()
        self._run_seconds = 0.0
        return None

    def _change(self) -> Change:
        self.speaking, self._run_seconds = not self.speaking, 0.0
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


@define(eq=False)
class UserAudio(Listener):
    """Listens to one session and adds each utterance to the user's turn."""

    session: Session
    vad: VAD | None
    taking: TurnTaking
    turns: UserTurnCollector | ModelUser
    state: SpokenTurn
    on_failure: Callable[[ProviderError], None]
    #: Without a VAD, returns for each frame whether the user speaks.
    is_speech_without_vad: Callable[[Audio], bool] = lambda frame: True
    #: Returns the inputs that are still to be submitted, with interim transcripts or without.
    find_unsubmitted: Callable[[bool], Sequence[Input]] = lambda interim: ()
    _has_warned: bool = field(default=False, init=False)
    _detector: SpeechDetector = field(factory=SpeechDetector, init=False)
    _utterance: Utterance | None = field(default=None, init=False)
    #: How long the utterance may be, in seconds.
    _longest_utterance: float = field(default=0.0, init=False)
    #: Less than a frame, which waits for the rest of it.
    _partial_frame: bytes = field(default=b"", init=False)
    _pre_roll: deque[Audio] = field(factory=lambda: deque[Audio](maxlen=_frames(_PRE_ROLL_SECONDS)), init=False)
    _pre_roll_seconds: float = field(default=_PRE_ROLL_SECONDS, init=False)
    _last_audio: float = field(default=-math.inf, init=False)
    #: When the audio counts as ended unless more arrives, while the user speaks.
    _gap: Deadline = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._gap = Deadline(self.session.clock, self._end_audio)

    def hear(self, audio: Audio) -> None:
        if self.state.audio is _OFF:
            return
        now = self.session.clock.now()
        if now > self._last_audio + _GAP_SECONDS and self.state.audio is _LISTENING:
            self._clear_pre_roll()  # audio from before the gap is not the beginning of what comes now
            self._detector.stop()
        self._last_audio = now
        if self.state.audio in (_SPEECH, _OVERLONG):
            self._watch_for_gap()
        data = self._partial_frame + audio.data
        whole = len(data) - len(data) % _FRAME_BYTES
        self._partial_frame = data[whole:]
        for at in range(0, whole, _FRAME_BYTES):
            self._process_frame(Audio(data[at : at + _FRAME_BYTES], audio.rate))

    def microphone(self, enabled: bool) -> None:
        if not enabled:
            self._end_audio()

    def unsubmitted(self, *, interim: bool) -> Sequence[Input]:
        return self.find_unsubmitted(interim)

    def close(self) -> None:
        self.turns.close()

    # ---- frames --------------------------------------------------------------------------------------------------

    def _process_frame(self, frame: Audio) -> None:
        state, bot_has_turn = self.state.audio, self.state.bot_has_turn
        if state is _OFF or (bot_has_turn and state is _LISTENING and not self.taking.interruptible):
            return
        is_speech = self._is_speech(frame)
        state = self.state.audio  # the VAD may have failed
        if state is _LISTENING:
            self._listen(frame, is_speech, self.taking.interrupt_seconds if bot_has_turn else 0.0)
        elif state is _SPEECH:
            self._record(frame, is_speech)
        elif state is _OVERLONG and self._detector.feed(is_speech, FRAME_SECONDS, self._params) == "stopped":
            self._gap.cancel()
            self.state.process(Event.LONG_SPEECH_STOPPED)

    def _listen(self, frame: Audio, is_speech: bool, at_least: float) -> None:
        """Wait for `at_least` so many seconds of speech, and keep the frame for the pre-roll."""
        vad_params = self._params
        started = self._detector.feed(is_speech, FRAME_SECONDS, vad_params, at_least=at_least) == "started"
        seconds = _PRE_ROLL_SECONDS + max(vad_params.start_secs, at_least)
        if self._pre_roll_seconds != seconds:
            self._pre_roll_seconds, self._pre_roll = seconds, deque(self._pre_roll, _frames(seconds))
        self._pre_roll.append(frame)
        if started:
            self._start_utterance()

    def _record(self, frame: Audio, is_speech: bool) -> None:
        """Add a frame to the utterance, which may end with it."""
        assert self._utterance is not None
        vad_params = self._params
        stopped = self._detector.feed(is_speech, FRAME_SECONDS, vad_params) == "stopped"
        self._utterance.audio.append(frame)
        if stopped:
            self._stop_utterance(Event.SPEECH_STOPPED, self.session.clock.now() - vad_params.stop_secs)
        elif len(self._utterance.audio.items) * FRAME_SECONDS >= self._longest_utterance:
            self._clear_pre_roll()
            self._stop_utterance(Event.SPEECH_TOO_LONG, self._last_audio)
            self._detector = SpeechDetector(speaking=True)
            self._watch_for_gap()

    @property
    def _params(self) -> VADParams:
        return self.session.vad_params if self.vad is not None else _WITHOUT_VAD

    def _is_speech(self, frame: Audio) -> bool:
        if self.vad is None:
            return self.is_speech_without_vad(frame)
        vad_params = self.session.vad_params
        try:
            probability = self.vad.speech_probability(frame)
            if not 0 <= probability <= 1:
                self._warn_of(probability)
            is_speech = probability >= vad_params.confidence
        except BaseException as error:
            reraise_control_flow(error)
            self.on_failure(as_provider_error(error, "a VAD", "listened", self._vad_name))  # the user can still type
            self._end_audio()
            if self.state.audio is not _OFF:
                self.state.process(Event.VAD_FAILED)
            return False
        return is_speech and (vad_params.min_volume <= 0 or _volume(frame) >= vad_params.min_volume)

    @property
    def _vad_name(self) -> str | None:
        return self.session.alternatives(self.vad).provider

    def _warn_of(self, probability: float) -> None:
        if not self._has_warned:
            self._has_warned = True
            found = "speech_probability() returned %s, and not a number from 0 to 1"
            log.warning(f"%s: {found}", named("a VAD", self._vad_name), probability)

    # ---- utterances ----------------------------------------------------------------------------------------------
    # A message to the client may end the session, and with it the listening: see `Limits.outbox`.

    def _start_utterance(self) -> None:
        self._utterance = Utterance(ReplayableStream(list(self._pre_roll)))
        self._longest_utterance = self.taking.longest_turn_seconds - self.turns.seconds
        self._pre_roll.clear()
        self.session.emit(UserStartedSpeaking())
        if self.state.audio is _OFF:  # the client does not read, and this message was one too many
            return
        self.state.process(Event.SPEECH_STARTED)
        self.turns.add(self._utterance)
        self._watch_for_gap()

    def _stop_utterance(self, event: Event, spoken_until: float) -> None:
        assert self._utterance is not None
        self._gap.cancel()
        utterance, self._utterance = self._utterance, None
        self.turns.spoken_until = spoken_until
        self.session.emit(UserStoppedSpeaking())
        if self.state.audio is not _OFF:
            self.state.process(event)
        utterance.end(self.session.clock)

    def _end_audio(self) -> None:
        """No audio arrives any more, so speech has ended too."""
        self._gap.cancel()
        self._clear_pre_roll()
        self._detector.stop()
        match self.state.audio:
            case AudioState.SPEECH:
                self._stop_utterance(Event.SPEECH_STOPPED, self._last_audio)
            case AudioState.OVERLONG:
                self.state.process(Event.LONG_SPEECH_STOPPED)
            case _:
                pass

    def _clear_pre_roll(self) -> None:
        self._partial_frame = b""
        self._pre_roll.clear()

    def _watch_for_gap(self) -> None:
        self._gap.move(self._last_audio + max(self.session.vad_params.stop_secs, _GAP_SECONDS))


def _frames(seconds: float) -> int:
    return math.ceil(seconds / FRAME_SECONDS)


def _volume(frame: Audio) -> float:
    """Return the root mean square of the samples, where 1 is full scale."""
    samples = array("h", frame.data)
    if sys.byteorder == "big":  # pragma: no cover
        samples.byteswap()
    return math.sqrt(sum(each * each for each in samples) / max(1, len(samples))) / 32_768
