"""The turn loop with a speech-to-speech model instead of an STT, an LLM and a TTS.

To the bot's turn, the model looks like an LLM whose answers have been spoken already. The model begins most answers by
itself. Then the session is asked for a turn, as an action asks for one.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
from attrs import define, field, frozen

from ..errors import ProviderError, RequestError, SessionClosed
from ..events import Metrics
from ..kinds import STT, VAD, Audio, Pause, SpeechBegan, SpeechEnded, SpeechModel, Transcript, Usage
from ..session import Input, RunLLM, Say, Turn, UserText
from .bot_turn import BotTurn
from .provider_streams import clean_usage
from .speech_model_answers import ModelAnswers, ModelSynthesis
from .speech_model_connection import Answer, ModelConnection
from .speech_model_user import ContinuousAudio, ModelUser
from .turn_loop import Conversation
from .turn_state import BotState, Event
from .user_audio import UserAudio

__all__ = ("ModelConversation",)


@frozen
class BegunAnswer(RunLLM):
    """A request for the turn of an answer that the model has begun. Each answer has its own."""


@define(eq=False)
class ModelConversation(Conversation):
    """The conversation of one session with a speech-to-speech model."""

    model: SpeechModel = field(kw_only=True)
    connection: ModelConnection = field(init=False)
    user: ModelUser = field(init=False)
    answers: ModelAnswers = field(init=False)
    #: The requests for turns of answers that the model has begun.
    _begun_answers: list[tuple[RunLLM, Answer]] = field(factory=list[tuple[RunLLM, Answer]], init=False)
    #: The answer that a VAD's utterance asks for, until it begins.
    _awaited_answer: Answer | None = field(default=None, init=False)
    #: The user's audio during a turn that nobody may interrupt: a vendor would interrupt itself. It is sent afterwards.
    _held_audio: list[Audio | Pause] | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        Conversation.__attrs_post_init__(self)
        self.answers = ModelAnswers(self.model)
        llm: Any = self.answers
        self.llm = llm

    @property
    def answering(self) -> object:
        return self.model

    @property
    def can_speak(self) -> bool:
        return True

    # ---- the connection and the user ---------------------------------------------------------------------------------

    @asynccontextmanager
    async def listening(self, stt: STT | None, vad: VAD | None) -> AsyncGenerator[None]:
        """Connect the model, and have it hear the user, if the transport carries their audio."""
        async with anyio.create_task_group() as tasks:
            self.connection = ModelConnection(self.session, self.model, tasks, self, vad is None)
            self.answers.connection = self.connection
            self.user = self.user_turns = ModelUser(
                self.session, self.state, self.connection.hear, tasks, self.connection.note_known, self._await_answer
            )
            if not self.session.single_turn:
                self.connection.open_if_possible()
            audio: ContinuousAudio | UserAudio
            if vad is None:
                audio = ContinuousAudio(self.session.clock, self.taking, self.state, self._hear, self.user)
            else:
                audio = UserAudio(
                    self.session,
                    vad,
                    self.taking,
                    self.user,
                    self.state,
                    self._failed,
                    find_unsubmitted=self.user.unsubmitted,
                )
            try:
                with self.session.listening(audio):
                    yield
            finally:
                self.connection.close()
            tasks.cancel_scope.cancel()

    def _hear(self, item: Audio | Pause) -> None:
        if self._held_audio is not None:
            self._held_audio.append(item)
            return
        self.connection.hear(item)
        if isinstance(item, Pause):
            self.user.stop(self.session.clock.now())

    def user_spoke(self, piece: Transcript | SpeechBegan | SpeechEnded) -> None:
        self.user.heard(piece, endpointing=self.connection.endpointing)

    def _on_event(self, event: Event, before: BotState) -> None:
        Conversation._on_event(self, event, before)
        if event is Event.SPEECH_STARTED:
            self._stop_waiting_answers()
            self.connection.is_unanswered = True
            self.connection.sync()

    def _stop_waiting_answers(self) -> None:
        """Stop the answers that have no turn yet, because the user continues."""
        waiting = [answer for _, answer in self._begun_answers]
        if self._awaited_answer is not None:
            waiting.append(self._awaited_answer)
        self._awaited_answer = None
        for answer in waiting:
            answer.stop(0.0)

    def _await_answer(self) -> None:
        """Expect an answer, because a VAD has found the end of an utterance."""
        stream = self.connection.stream
        if stream is not None and self._awaited_answer is None:
            self._awaited_answer = stream.expect()

    # ---- what the streams yield ------------------------------------------------------------------------------------

    def stream_opened(self, utterances: int) -> None:
        self.user.stream_opened(utterances)
        self._awaited_answer = None
        if utterances and not self.user.is_open:
            self._await_answer()

    def stream_lost(self, error: ProviderError | None) -> None:
        self._awaited_answer = None
        if self.connection.endpointing:
            self.user.stop(self.session.clock.now())
        if error is not None:
            self.session.fail(error)

    def answer_began(self, answer: Answer) -> None:
        """Ask for a turn, unless one waits for this answer."""
        if answer.requested and answer is not self._awaited_answer:
            return
        self._awaited_answer = None
        if self.connection.endpointing:
            if self.user.is_in_speech:
                answer.stop(0.0)
                return
            self.user.stop(self.session.clock.now())  # not every vendor reports the end of speech
        request = BegunAnswer()
        try:
            self.session.context.require_space()
            self.session.submit(request)
        except RequestError as error:  # the session ends, too much waits, or the conversation is too long
            answer.stop(0.0)
            if not isinstance(error, SessionClosed):
                self.session.fail(error)
        else:
            self._begun_answers.append((request, answer))

    def used(self, usage: Usage) -> None:
        found = clean_usage(usage)
        self.session.emit(
            Metrics(
                "llm",
                prompt_tokens=found.prompt_tokens or None,
                completion_tokens=found.completion_tokens or None,
                model=found.model,
                seconds=found.seconds or None,
            )
        )

    # ---- turns -------------------------------------------------------------------------------------------------------

    async def take(self, input: Input) -> None:
        own = [answer for request, answer in self._begun_answers if request is input]
        self._begun_answers = [each for each in self._begun_answers if each[0] is not input]
        if own and (own[0].stopped or own[0].error is not None):
            return
        self.answers.claimed = own[0] if own else None
        self.answers.to_say = input.text if isinstance(input, Say) else None
        if isinstance(input, UserText) and input.run:
            self._stop_waiting_answers()
        if own:
            self.idle.user_answered()
        else:
            self.user.flush()
        await Conversation.take(self, input)

    async def _user_goes_on(self) -> bool:
        return self.answers.claimed is None and await Conversation._user_goes_on(self)

    async def _say(self, input: Say) -> None:
        async with self._bot_turn(input) as turn:
            try:
                await turn.answer()
            except ProviderError as error:
                self._failed(error)

    def _synthesis(self, turn: Turn, input: Input) -> ModelSynthesis:
        spoken_until = self.user.spoken_until if self.answers.claimed is not None else None
        model: Any = self.model
        return ModelSynthesis(self.session, turn, model, self._next_segment, spoken_until)

    @asynccontextmanager
    async def _bot_turn(self, input: Input) -> AsyncGenerator[BotTurn]:
        async with Conversation._bot_turn(self, input) as turn:
            self.user.turn_began(turn.turn)
            self.answers.begin(turn)
            if isinstance(input, Say) and not input.interruptible:
                self._held_audio = []
            try:
                yield turn
            finally:
                self.answers.end(turn)
                self.user.turn_ended(turn.turn)
        self.connection.in_turn = False
        held, self._held_audio = self._held_audio or [], None
        for item in held:
            self._hear(item)
        if self.answers.is_known:
            self.connection.sync()
        else:
            self.connection.open_if_possible()
