"""The bot's ears: the user's audio becomes utterances, utterances become text, and text becomes the user's turn.

With a VAD, speech begins and ends where it says. Without one, all audio is speech, and a turn is what comes while the
microphone is on: push-to-talk. Published clients send nothing while it is off, so silence is inferred from nothing
coming.
"""

from __future__ import annotations

import inspect
import math
import sys
from array import array
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import anyio
from anyio.abc import TaskGroup
from attrs import define, field

from ..clock import Timer
from ..errors import AuthorError, ProviderError, RequestError, SessionClosed, report, where
from ..events import Metrics, UserStartedSpeaking, UserStoppedSpeaking, UserTranscription
from ..kinds import STT, VAD, Audio, STTRequest, Transcript, Usage
from ..session import Listener, Session, UserText, VADParams
from ..utils.control_flow import reraise_control_flow
from ..utils.json_values import replace_surrogates
from .replay import Growing
from .speech_detector import SpeechDetector
from .streams import AT_ONCE, NoPiece, closed_after, failure, let_pass, patience
from .turn_taking import TurnTaking, UserTurn, is_seconds

__all__ = ("Ears",)

#: A frame as VADs take it: 512 samples of 16 bits at 16 kHz.
_FRAME_BYTES: Final = 1024
_FRAME_SECONDS: Final = 0.032
#: What a recogniser is given from before the speech begins: first sounds are often too soft for a VAD.
_BEFORE_SECONDS: Final = 0.3
#: A pause in what arrives is the network's up to this much, in seconds.
_GAP_SECONDS: Final = 0.3
#: How often an utterance is given to a recogniser that fails, or is replaced while it listens.
_ATTEMPTS: Final = 2
#: How long a recogniser may take after the end of an utterance, in seconds.
_SECONDS: Final = 15.0
_PIECES: Final = "Transcript(…) or Usage(…)"
#: Without a VAD there is no noise to be patient with.
_PUSH_TO_TALK: Final = VADParams(start_secs=0.0)


@define(eq=False)
class _Utterance:
    """What is said without a pause: its frames, and when their stream ended, on the session's clock.

    All of it is kept until it is recognised, so that a recogniser can be replaced while it listens.
    """

    audio: Growing[Audio]
    ended_at: float | None = None
    said: list[str] = field(factory=list[str])
    #: What the client shows of it: final transcripts, and one that may still change.
    shown: list[str] = field(factory=list[str])
    interim: str = ""
    begun: bool = False
    recognised: bool = False
    #: Cancelled when a recogniser takes too long after the end.
    scope: anyio.CancelScope = field(factory=anyio.CancelScope)
    patience: Timer | None = None

    @property
    def seconds(self) -> float:
        return len(self.audio.items) * _FRAME_SECONDS


class Ears(Listener):
    """Hears one session.

    `started` is told when the user begins to speak, `heard_nothing` when that was no speech or none that was
    understood, `failed` of what fails for good.
    """

    def __init__(
        self,
        session: Session,
        stt: STT,
        vad: VAD | None,
        taking: TurnTaking,
        tasks: TaskGroup,
        *,
        bot_is_heard: Callable[[], bool],
        started: Callable[[], None],
        heard_nothing: Callable[[], None],
        failed: Callable[[ProviderError], None],
    ) -> None:
        self._session = session
        self._stt = stt
        self._vad = vad
        self._taking = taking
        self._tasks = tasks
        self._bot_is_heard = bot_is_heard
        self._user_started = started
        self._heard_nothing = heard_nothing
        self._failed = failed
        self._detector = SpeechDetector()
        self._is_deaf = False
        self._waited_out: SpeechDetector | None = None
        self._rest = b""
        self._before: deque[Audio] = deque(maxlen=_frames(_BEFORE_SECONDS))
        self._kept_seconds = _BEFORE_SECONDS
        self._utterance: _Utterance | None = None
        self._last_audio = -math.inf
        self._gap: Timer | None = None
        # The user's turn: its utterances, in order, and when the last one was over.
        self._turn: list[_Utterance] = []
        # One recognition at a time, however fast a client speaks: they would take the recogniser from everybody else.
        self._recognition = anyio.Lock()
        self._until = 0.0
        self._answer: Timer | None = None
        self._settled: anyio.Event | None = None
        #: How many of them there have been.
        self.turns = 0

    @property
    def speaking(self) -> bool:
        """Whether the user is speaking now."""
        return self._utterance is not None

    @property
    def busy(self) -> bool:
        """Whether the user has a turn: is speaking, or has said something that is not handed on yet."""
        return bool(self._turn)

    @property
    def talks_on(self) -> bool:
        """Whether the user has spoken for too long, and has not stopped yet. They are not listened to."""
        return self._waited_out is not None

    # ---- audio ---------------------------------------------------------------------------------------------------

    def hear(self, audio: Audio) -> None:
        if self._is_deaf:
            return
        now = self._session.clock.now()
        if now > self._last_audio + _GAP_SECONDS and self._utterance is None:
            self._forget()  # what was heard long ago is no beginning of what comes now
            self._detector.stop()
        self._last_audio = now
        data = self._rest + audio.data
        whole = len(data) - len(data) % _FRAME_BYTES
        self._rest = data[whole:]
        for at in range(0, whole, _FRAME_BYTES):
            if not self._is_deaf:
                self._frame(Audio(data[at : at + _FRAME_BYTES], audio.rate))

    def microphone(self, enabled: bool) -> None:
        if not enabled:
            self._silence()

    def _frame(self, frame: Audio) -> None:
        params, heard = self._session.vad_params, self._bot_is_heard()
        if self._waited_out is not None:  # who has spoken for too long is heard again after a pause
            if self._waited_out.feed(self._is_speech(frame), _FRAME_SECONDS, params) == "stopped":
                self._have_waited()
            return
        if heard and not self._taking.interruptible and not self._detector.speaking:
            return
        at_least = self._taking.interrupt_seconds if heard else 0.0
        if self._vad is None:
            params = _PUSH_TO_TALK
        change = self._detector.feed(self._is_speech(frame), _FRAME_SECONDS, params, at_least=at_least)
        if self._utterance is not None:
            self._utterance.audio.add(frame)
        else:
            self._keep(frame, _BEFORE_SECONDS + max(params.start_secs, at_least))
        if change == "started":
            self._started()
        elif change == "stopped":
            self._stopped(self._session.clock.now() - params.stop_secs)
        elif self._utterance is not None and self._seconds >= self._taking.longest_turn_seconds:
            self._silence()
            self._waited_out = SpeechDetector(speaking=True)
            self._watch()

    def _keep(self, frame: Audio, seconds: float) -> None:
        """Remember a frame for as long as it may turn out to be the beginning of something."""
        if self._kept_seconds != seconds:
            self._kept_seconds, self._before = seconds, deque(self._before, _frames(seconds))
        self._before.append(frame)

    def _is_speech(self, frame: Audio) -> bool:
        if self._vad is None:
            return True
        params = self._session.vad_params
        try:
            is_speech = self._vad.speech_probability(frame) >= params.confidence
        except BaseException as error:
            reraise_control_flow(error)
            self._deaf(error)
            return False
        return is_speech and (params.min_volume <= 0 or _volume(frame) >= params.min_volume)

    def _deaf(self, error: BaseException) -> None:
        """A VAD that fails is told once. From then on nothing is heard, and the user has to write."""
        self._is_deaf = True
        self._failed(failure(error, "a VAD", "listened"))
        self._silence()

    def _forget(self) -> None:
        self._rest = b""
        self._before.clear()

    def _silence(self) -> None:
        """The audio has ended, so whatever was being said has ended too."""
        self._forget()
        if self._waited_out is not None:
            self._have_waited()
        if self._detector.stop() == "stopped":
            self._stopped(self._last_audio)

    def _have_waited(self) -> None:
        """Who has spoken for too long is silent at last."""
        self._waited_out = None
        self._heard_nothing()

    # ---- speech --------------------------------------------------------------------------------------------------

    def _started(self) -> None:
        if self._answer is not None:
            self._answer.cancel()
            self._answer = None
        self._utterance = _Utterance(Growing(list(self._before)))
        self._before.clear()
        self._turn.append(self._utterance)
        self._session.emit(UserStartedSpeaking())
        self._user_started()
        self._tasks.start_soon(self._recognise, self._utterance)
        self._watch()

    def _watch(self) -> None:
        """Look for audio that no longer comes, for as long as somebody speaks, also for too long."""
        self._gap = self._session.clock.call_at(self._gap_due, self._look)

    @property
    def _gap_due(self) -> float:
        """When audio that has not come by then has ended."""
        return self._last_audio + max(self._session.vad_params.stop_secs, _GAP_SECONDS)

    def _look(self) -> None:
        if self._session.clock.now() >= self._gap_due - 1e-6:
            self._silence()
        elif self._utterance is not None or self._waited_out is not None:
            self._watch()

    def _stopped(self, until: float) -> None:
        assert self._utterance is not None
        if self._gap is not None:
            self._gap.cancel()
        utterance, self._utterance = self._utterance, None
        self._until = until
        self._session.emit(UserStoppedSpeaking())
        utterance.ended_at = self._session.clock.now()
        self._be_patient(utterance)
        utterance.audio.end()

    def _be_patient(self, utterance: _Utterance) -> None:
        """Start the time limit of the recogniser, once it has begun and the utterance has ended."""
        if utterance.begun and utterance.ended_at is not None and not utterance.recognised:
            due = self._session.clock.now() + _SECONDS
            utterance.patience = self._session.clock.call_at(due, utterance.scope.cancel)

    # ---- text ----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Put what the user has said so far into the context, as the client shows it: the listening ends."""
        for each in self._turn:
            each.said = each.said or list(each.shown)
            if each.interim:
                each.said.append(self._accept(each))
        text = self._text()
        self._turn.clear()
        if self._answer is not None:
            self._answer.cancel()
        if text:
            self._session.remember({"role": "user", "content": text})

    async def _recognise(self, utterance: _Utterance) -> None:
        """One utterance, from its first frame to its last word."""
        failed: ProviderError | None = ProviderError("The STT", "timeout")
        try:
            async with self._recognition:
                utterance.begun = True
                self._be_patient(utterance)
                with utterance.scope:
                    failed = await self._attempt(utterance)
            await utterance.audio.over()  # an STT may have its own idea of when it was; and nobody is told of a failure
            if failed is not None:  # in the middle of a sentence
                utterance.said = list(utterance.shown)
                self._retract(utterance)
                self._failed(failed)
        finally:
            utterance.recognised = True
            if utterance.patience is not None:
                utterance.patience.cancel()
        await self._consider()

    async def _attempt(self, utterance: _Utterance) -> ProviderError | None:
        """Have it recognised, as often as it takes; what failed for good."""
        attempts = 0
        while True:
            recogniser = self._recogniser()
            try:
                await self._transcribe(utterance, recogniser)
                return None
            except BaseException as error:
                let_pass(error)
                if recogniser is not self._recogniser():
                    continue  # who was replaced breaks off, and its successor gets the whole utterance
                failed, attempts = failure(error, "an STT", "listened"), attempts + 1
                if attempts == _ATTEMPTS or not failed.retryable:
                    return failed

    def _recogniser(self) -> object:
        """Who it is that recognises now, behind the handle of the service; None once that has failed."""
        try:
            return getattr(self._stt.transcribe, "__self__", None)
        except ProviderError:  # raised again where it is asked to listen
            return None

    async def _transcribe(self, utterance: _Utterance, recogniser: object) -> None:
        said: list[str] = []
        last, taken = "", 0
        stream = self._stt.transcribe(STTRequest(utterance.audio.read()))
        async with closed_after(stream, "an STT's transcribe()", _PIECES) as pieces:
            async for piece in pieces:
                taken += 1
                if taken % AT_ONCE == 0:
                    await anyio.lowlevel.checkpoint()
                if recogniser is not self._recogniser():
                    raise ProviderError("The STT", "unavailable", retryable=True)
                match piece:
                    case Transcript():
                        last = self._told(piece, utterance, said)
                    case Usage():
                        pass
                    case other:
                        raise NoPiece(other, "an STT's transcribe()", _PIECES)
        if last:  # no final transcript came after it
            said.append(self._accept(utterance))
        self._retract(utterance)
        utterance.said = said
        if utterance.ended_at is not None:
            self._session.emit(Metrics("stt", ttfb=self._session.clock.now() - utterance.ended_at))

    def _told(self, piece: Transcript, utterance: _Utterance, said: list[str]) -> str:
        """Show a transcript. Return its text if it may still change, else an empty text."""
        text = replace_surrogates(piece.text.strip())
        if not text:  # there was nothing, after all
            self._retract(utterance)
            return ""
        if not piece.final:
            utterance.interim = text
            self._show(text, final=False)
            return text
        said.append(text)
        if utterance.shown[len(said) - 1 : len(said)] == [text]:  # shown by an attempt that failed later
            self._retract(utterance)
        else:
            utterance.interim = text
            self._accept(utterance)
        return ""

    def _accept(self, utterance: _Utterance) -> str:
        """Make the interim transcript that the client shows final, and return it."""
        text, utterance.interim = utterance.interim, ""
        utterance.shown.append(text)
        self._show(text, final=True)
        return text

    def _retract(self, utterance: _Utterance) -> None:
        """Have the client remove the interim transcript that it shows."""
        if utterance.interim:
            utterance.interim = ""
            self._show("", final=True)

    def _show(self, text: str, *, final: bool) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._session.emit(UserTranscription(text, now, final=final))

    # ---- the user's turn -----------------------------------------------------------------------------------------

    async def _consider(self) -> None:
        """Whether the user has finished. They may go on while that is being asked."""
        if self._recognising:
            return
        text = self._text()
        if not text:  # it was no speech, or none that anybody understood
            self._turn.clear()
            self._heard_nothing()
            return self._settle()
        seconds = await self._end_of_turn(UserTurn(text, self._seconds))
        if self._recognising or text != self._text():
            return None
        if seconds <= 0:
            return self._finish()
        if self._answer is not None:
            self._answer.cancel()
        self._answer = self._session.clock.call_at(self._session.clock.now() + seconds, self._finish)
        return None

    async def _end_of_turn(self, turn: UserTurn) -> float:
        policy: Any = self._taking.end_of_turn
        try:
            with patience(self._session.clock, _SECONDS, "The end of turn"):
                awaited: Any = policy(turn)
                if not inspect.isawaitable(awaited):
                    raise AuthorError(f"end_of_turn gave {type(awaited).__name__} at once. Write async def.")
                seconds: Any = await awaited
            if not is_seconds(seconds):
                found = "no finite number" if isinstance(seconds, float) else type(seconds).__name__
                raise AuthorError(f"end_of_turn gave {found}. Return a number of seconds.")
        except BaseException as error:
            let_pass(error)
            report(where(policy), error)
            return 0.0
        return float(seconds)

    @property
    def _recognising(self) -> bool:
        return not all(each.recognised for each in self._turn)  # what is still being spoken is not

    def _text(self) -> str:
        """What was said in this turn, in the order in which it was said."""
        return " ".join(text for each in self._turn for text in each.said)

    @property
    def _seconds(self) -> float:
        return sum(each.seconds for each in self._turn)

    def _finish(self) -> None:
        text, self._answer = self._text(), None
        self._turn.clear()
        if text:
            self.turns += 1
            try:
                self._session.submit(UserText(text, spoken_until=self._until))
            except SessionClosed:  # nobody answers any more
                self._session.remember({"role": "user", "content": text})
            except RequestError as error:
                self._session.fail(ProviderError("The conversation", "rate", retryable=error.retryable))
        self._settle()

    def _settle(self) -> None:
        """The user's turn is over."""
        if self._settled is not None:
            self._settled.set()
            self._settled = None

    async def quiet(self) -> None:
        """Wait until the user neither speaks nor has said anything that is not understood and handed on."""
        while self.busy:
            self._settled = self._settled or anyio.Event()
            await self._settled.wait()


def _frames(seconds: float) -> int:
    return math.ceil(seconds / _FRAME_SECONDS)


def _volume(frame: Audio) -> float:
    """The root mean square of the samples, where 1 is full scale."""
    samples = array("h", frame.data)
    if sys.byteorder == "big":  # pragma: no cover
        samples.byteswap()
    return math.sqrt(sum(each * each for each in samples) / max(1, len(samples))) / 32_768
