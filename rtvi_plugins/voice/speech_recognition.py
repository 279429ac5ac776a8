"""Speech recognition: turn one utterance of the user into text, and send each change of it to the client."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import anyio
from anyio.abc import TaskGroup
from attrs import define, field

from ..clock import Clock, Timer
from ..errors import ProviderError
from ..events import Metrics, UserTranscription
from ..kinds import STT, Audio, STTPiece, STTRequest, Transcript, Usage
from ..session import Alternatives, Session
from ..utils.json_values import replace_surrogates
from .continuous_stt import ListeningStream, Streams
from .provider_streams import ReplayableStream, clean_usage, let_cancellation_through, reading, retried

__all__ = ("FRAME_SECONDS", "Recogniser", "Utterance")

#: The length of a frame of the user's audio, in seconds.
FRAME_SECONDS: Final = 0.032

#: How long an STT may take after the end of an utterance, in seconds.
_TIMEOUT: Final = 15.0


@define(eq=False)
class Utterance:
    """Speech without a pause, and its text. All audio is kept, so that an STT can be replaced while it listens."""

    audio: ReplayableStream[Audio]
    #: When the audio ended, on the session's clock.
    ended_at: float | None = None
    #: The text for the LLM: the final transcripts, in order.
    text: list[str] = field(factory=list[str])
    #: The final transcripts, as the STT has yielded them.
    transcripts: list[Transcript] = field(factory=list[Transcript])
    #: The texts that the client shows: final transcripts, and one that may still change.
    shown: list[str] = field(factory=list[str])
    interim: str = ""
    recognised: bool = False
    #: Cancelled when the STT takes too long after the end.
    scope: anyio.CancelScope = field(factory=anyio.CancelScope)
    _started: bool = False
    _timer: Timer | None = None

    @property
    def seconds(self) -> float:
        return len(self.audio.items) * FRAME_SECONDS

    def text_so_far(self, *, interim: bool) -> list[str]:
        """Return the text for the LLM as far as it is known, perhaps with words that may still change."""
        return self.text if self.recognised else [*self.shown, *([self.interim] if interim and self.interim else [])]

    def end(self, clock: Clock) -> None:
        """End the audio, because the user has stopped speaking."""
        self.ended_at = clock.now()
        self._start_timer(clock)
        self.audio.end()

    def start(self, clock: Clock) -> None:
        """Mark the STT as started: the last one, if there are others to take over."""
        if not self._started:
            self._started = True
            self._start_timer(clock)

    @contextmanager
    def patience(self, clock: Clock, seconds: float) -> Generator[None]:
        """Cancel the block when it lasts longer than `seconds` after the end of the audio; raise `ProviderError`."""
        scope, started, done = anyio.CancelScope(), clock.now(), False

        def check() -> None:
            due = max(started, clock.now() if self.ended_at is None else self.ended_at) + seconds
            if clock.now() >= due:
                scope.cancel()
            elif not done:
                clock.call_at(due, check)

        timer = clock.call_after(seconds, check)
        try:
            with scope:
                yield
        finally:
            done = True
            timer.cancel()
        if scope.cancelled_caught:
            raise ProviderError("The STT", "timeout")

    def finish(self) -> None:
        self.recognised = True
        if self._timer is not None:
            self._timer.cancel()

    def _start_timer(self, clock: Clock) -> None:
        """Limit the time of the STT once it has started and the audio has ended."""
        if self._started and self.ended_at is not None and not self.recognised:
            self._timer = clock.call_after(_TIMEOUT, self.scope.cancel)


@define(eq=False)
class Recogniser:
    """Recognises the utterances of one session, one at a time.

    One at a time, because a client can send speech faster than real time, and would take the STT from other sessions.
    """

    session: Session
    stt: STT
    tasks: TaskGroup
    #: Whether the vendor of an STT that can listen finds the utterances, because there is no VAD.
    endpointing: bool = False
    _lock: anyio.Lock = field(factory=anyio.Lock)
    #: The utterance that is recognised.
    _utterance: Utterance | None = None
    _streams: Streams = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._streams = Streams(self.session, self.stt, self.tasks, self.endpointing)

    def start(self) -> None:
        """Connect an STT that can listen, so that the first utterance need not wait for it."""
        self._stream_of(self._provider())

    async def recognise(self, utterance: Utterance) -> ProviderError | None:
        """Recognise one utterance until its audio has ended. Return the error of the last attempt if the STT fails."""
        failed: ProviderError | None = ProviderError("The STT", "timeout")
        try:
            async with self._lock:
                self._utterance = utterance
                with utterance.scope:
                    failed = await self._recognise_with_retries(utterance)
                self._utterance = None
            # The STT may stop before the user does. A failure is not reported in the middle of a sentence.
            await utterance.audio.wait_for_end()
            if failed is not None:
                utterance.text = list(utterance.shown)
                self._retract_interim(utterance)
        finally:
            utterance.finish()
        return failed

    def is_speech(self, frame: Audio) -> bool:
        """Send a frame to an STT whose vendor finds the utterances. Return whether the user speaks; else True."""
        stream = self._stream_of(self._provider())
        if stream is None or not self.endpointing:
            return True
        stream.send([frame])
        return stream.is_speech()

    def accept_interim(self, utterance: Utterance) -> None:
        """Use what the client shows as the text of an utterance: nobody waits for the STT any longer."""
        utterance.text = utterance.text or list(utterance.shown)
        if utterance.interim:
            utterance.text.append(self._make_interim_final(utterance))

    async def _recognise_with_retries(self, utterance: Utterance) -> ProviderError | None:
        alternatives = self.session.alternatives(self.stt)
        try:
            await retried(lambda: self._attempt(utterance, alternatives), "an STT", "listened", alternatives)
        except ProviderError as error:
            return error
        return None

    async def _attempt(self, utterance: Utterance, alternatives: Alternatives) -> None:
        """Make one attempt. The last provider may take as long as it would alone."""
        if (seconds := alternatives.seconds) is None:
            utterance.start(self.session.clock)
            await self._by_current_provider(utterance)
        else:
            with utterance.patience(self.session.clock, seconds):
                await self._by_current_provider(utterance)
        alternatives.answered()

    async def _by_current_provider(self, utterance: Utterance) -> None:
        """Have the utterance recognised. If the provider is switched meanwhile, the next one gets all of it."""
        while True:
            provider = self._provider()
            try:
                return await self._transcribe(utterance, provider)
            except BaseException as error:
                let_cancellation_through(error)
                if provider is self._provider():
                    raise

    def _provider(self) -> object:
        """Return the provider that fills the service now, behind its handle; None once it has failed."""
        try:
            return getattr(self.stt.transcribe, "__self__", None)
        except ProviderError:  # raised again when the provider is used
            return None

    async def _transcribe(self, utterance: Utterance, provider: object) -> None:
        text: list[str] = []
        transcripts: list[Transcript] = []
        last, usage = "", Usage()

        def take(piece: STTPiece) -> None:
            nonlocal last, usage
            if provider is not self._provider():
                raise ProviderError("The STT", "unavailable", retryable=True)
            if isinstance(piece, Usage):
                usage = clean_usage(piece)
                return
            last = self._take_transcript(piece, utterance, text)
            if piece.final and text:
                transcripts.append(piece)

        if (stream := self._stream_of(provider)) is not None:
            await stream.hear(utterance.audio, take)
        else:
            request = STTRequest(utterance.audio.read())
            async with reading(self.stt.transcribe, request, "an STT's transcribe()", STTPiece) as pieces:
                async for piece in pieces:
                    take(piece)
        if last:  # no final transcript came after it
            text.append(self._make_interim_final(utterance))
        self._retract_interim(utterance)
        utterance.text, utterance.transcripts = text, transcripts
        if utterance.ended_at is not None:
            ttfb = self.session.clock.now() - utterance.ended_at
            self.session.emit(Metrics("stt", ttfb=ttfb, model=usage.model, seconds=usage.seconds or None))

    def _stream_of(self, provider: object) -> ListeningStream | None:
        return self._streams.of(provider, None if self._utterance is None else self._utterance.audio)

    # ---- what the client shows -----------------------------------------------------------------------------------

    def _take_transcript(self, transcript: Transcript, utterance: Utterance, text: list[str]) -> str:
        """Show a transcript. Return it if it may still change, else an empty text."""
        text_heard = replace_surrogates(transcript.text.strip())
        if not text_heard:  # nothing was said after all
            self._retract_interim(utterance)
            return ""
        if not transcript.final:
            utterance.interim = text_heard
            self._show_transcript(text_heard, final=False)
            return text_heard
        text.append(text_heard)
        if utterance.shown[len(text) - 1 : len(text)] == [text_heard]:  # an attempt that failed later has shown it
            self._retract_interim(utterance)
        else:
            utterance.interim = text_heard
            self._make_interim_final(utterance)
        return ""

    def _make_interim_final(self, utterance: Utterance) -> str:
        """Make the interim transcript final, and return it."""
        text, utterance.interim = utterance.interim, ""
        utterance.shown.append(text)
        self._show_transcript(text, final=True)
        return text

    def _retract_interim(self, utterance: Utterance) -> None:
        """Make the client remove the interim transcript."""
        if utterance.interim:
            utterance.interim = ""
            self._show_transcript("", final=True)

    def _show_transcript(self, text: str, *, final: bool) -> None:
        self.session.emit(UserTranscription(text, final=final))
