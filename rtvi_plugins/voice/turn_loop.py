"""The turn loop of `converse`: the user's input comes in, and the bot's answer goes out as it is made.

Each input opens at most one turn. A turn asks the LLM, streams its answer to the client, speaks it where the transport
carries audio, has functions called, and asks again with their results. An interruption cancels everything in the turn.
The text that the user had heard by then enters the context, marked as interrupted. The documentation lists the order of
events under "Events"; `turn_state` holds the states of the conversation.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial

import anyio
from attrs import define, field

from ..context import Message
from ..errors import ProviderError, RequestError
from ..events import UserLLMText
from ..kinds import LLM, STT, TTS, VAD
from ..session import Input, RunLLM, Say, Session, Turn, UserText
from .bot_turn import BotTurn
from .filler import Filler
from .speech_model_user import ModelUser
from .speech_recognition import Recogniser
from .speech_synthesis import SpeechSynthesis
from .text_filter import Spoken
from .tool_calls import LateResults
from .turn_state import AudioState, BotState, Event, SpokenTurn, UserState
from .turn_taking import TextSource, TurnTaking, text_of
from .user_audio import UserAudio
from .user_turn import IdleTimer, UserTurnCollector

__all__ = ("Conversation",)


@define(eq=False)
class Conversation:
    """The conversation of one session, with an LLM and perhaps an STT and a TTS."""

    session: Session
    llm: LLM
    tts: TTS | None
    taking: TurnTaking
    apology: TextSource
    spoken: Spoken | None
    filler: Filler | None
    state: SpokenTurn = field(factory=SpokenTurn)
    idle: IdleTimer = field(init=False)
    late: LateResults = field(init=False)
    user_turns: UserTurnCollector | ModelUser | None = None
    #: The user's last message, as long as they have heard nothing of an answer to it.
    _unanswered: Message | None = None
    #: The input whose answer waits, or was not heard: in `BotState.HELD_BACK`.
    _held_back: Input | None = None
    _apologised: bool = False
    _last_segment: int = 0

    def __attrs_post_init__(self) -> None:
        self.state.on_event = self._on_event
        self.late = LateResults(self.session, self._is_quiet)
        clock, seconds = self.session.clock, self.taking.idle_seconds
        self.idle = IdleTimer(clock, seconds, self._ask_idle_user, self._is_user_active)

    async def run(self, greeting: str | Say, stt: STT | None, vad: VAD | None) -> None:
        """Take inputs until the session ends. Say the greeting first."""
        try:
            async with self.listening(stt, vad):
                first = greeting if isinstance(greeting, Say) else Say(greeting)
                if first.text and not self.session.single_turn and not self.session.resumed:
                    await self.take(first)
                self.idle.start()
                async for each in self.session.inputs():
                    await self.take(each)
        finally:
            self.idle.stop()

    @property
    def answering(self) -> object:
        """Return the service that answers, as the bot has received it."""
        return self.llm

    @property
    def can_speak(self) -> bool:
        """Return whether there is a voice for the answers, where the transport carries audio."""
        return self.tts is not None

    @asynccontextmanager
    async def listening(self, stt: STT | None, vad: VAD | None) -> AsyncGenerator[None]:
        """Listen to the user, if the transport carries their audio and there is an STT."""
        if stt is None or not self.session.hears_audio:
            yield
            return
        async with anyio.create_task_group() as tasks:
            recogniser = Recogniser(self.session, stt, tasks, endpointing=vad is None)
            recogniser.start()
            turns = self.user_turns = UserTurnCollector(
                self.session, recogniser, self.taking.end_of_turn, self.state, tasks, self._failed
            )
            audio = UserAudio(
                self.session,
                vad,
                self.taking,
                turns,
                self.state,
                self._failed,
                recogniser.is_speech,
                partial(self._unsubmitted, turns),
            )
            with self.session.listening(audio):
                yield
            tasks.cancel_scope.cancel()

    def _unsubmitted(self, turns: UserTurnCollector, interim: bool) -> Sequence[Input]:
        """Return what the user has said so far, whose answer replaces one that was held back, or else that one."""
        if text := turns.text_so_far(interim=interim):
            return (UserText(text),)
        return () if self._held_back is None else (_again(self._held_back),)

    async def take(self, input: Input) -> None:
        """Process one input, until its turn has ended."""
        self.idle.stop()
        match input:
            case UserText():
                self.idle.user_answered()
                self._remember(input)
                if input.run and input.spoken_until is not None and self.state.audio is AudioState.SPEECH:
                    # A user who continues has not finished, unless it is a noise.
                    self._held_back = input
                    self.state.process(Event.ANSWER_HELD_BACK)
                elif input.run:
                    await self._respond(input)
            case RunLLM():
                if not self.late.is_obsolete(input) and not await self._user_goes_on():
                    await self._respond(input)
            case Say():
                await self._user_goes_on()
                await self._say(input)
        self.idle.start()

    async def _user_goes_on(self) -> bool:
        """Let the user finish. Return whether they have said something, which has its own answer."""
        if self.user_turns is None or not self.user_turns.is_open or self.session.closing:
            return False
        return await self.user_turns.wait_until_over()

    def _remember(self, input: UserText) -> None:
        """Add the user's text to the context. Continued speech is added to the last message."""
        spoken, text, before = input.spoken_until is not None, input.text, self._unanswered
        if spoken and before is not None and self.session.amend(before, text):
            self.session.emit(UserLLMText(str(before["content"])))
            return
        message: Message = {"role": "user", "content": text}
        self.session.remember(message)
        self._unanswered = message if spoken else None
        self.session.emit(UserLLMText(text))

    # ---- the bot's turn --------------------------------------------------------------------------------------------

    async def _respond(self, input: UserText | RunLLM) -> None:
        async with self._bot_turn(input) as turn:
            try:
                await turn.answer()
                self._apologised = False
            except ProviderError as error:
                self._failed(error, speak=input.speak)

    async def _say(self, input: Say) -> None:
        async with self._bot_turn(input) as turn:
            await turn.say(input.text)

    @asynccontextmanager
    async def _bot_turn(self, input: Input) -> AsyncGenerator[BotTurn]:
        self._held_back = None
        interruptible = not isinstance(input, Say) or input.interruptible
        speak = isinstance(input, Say) or input.speak
        async with self.session.turn(interruptible=interruptible) as turn:
            self.state.process(Event.BOT_TURN_STARTED)
            synthesis = self._synthesis(turn, input) if speak and self.session.has_audio else None
            late_ids = self.late.reported_by(input)
            bot_turn = BotTurn(
                self.session,
                turn,
                self.llm,
                self._next_segment,
                self.late,
                self.session.alternatives(self.answering),
                synthesis,
                speak=speak,
                late_ids=late_ids,
                filler=self.filler,
            )
            false_interruption = False
            try:
                yield bot_turn
            finally:
                false_interruption = self.state.bot is BotState.FALSE_INTERRUPTION
                self._end_turn(input, heard=bot_turn.remembered)
        if false_interruption:
            self._resume_answer()
        self.late.request_report()

    def _synthesis(self, turn: Turn, input: Input) -> SpeechSynthesis | None:
        """Return what speaks a turn, if anything does."""
        if self.tts is None:
            return None
        return SpeechSynthesis(
            self.session,
            turn,
            self.tts,
            self._next_segment,
            input.spoken_until if isinstance(input, UserText) else None,
            spoken=self.spoken,
            language=self.user_turns.language if self.user_turns is not None else None,
        )

    def _end_turn(self, input: Input, *, heard: bool) -> None:
        """Keep an answer that the user's voice has interrupted before anything of it was heard."""
        if self.state.bot is BotState.ANSWERING or heard:
            self._unanswered = None
            self.state.process(Event.BOT_TURN_ENDED)
        else:
            self._held_back = input
            self.state.process(Event.BOT_TURN_UNHEARD)

    def _next_segment(self) -> int:
        self._last_segment += 1
        return self._last_segment

    def _failed(self, error: ProviderError, *, speak: bool = True) -> None:
        """Handle the final failure of a provider. If the user would get no answer, apologise once."""
        self.session.fail(error)
        is_spoken = self.session.has_audio and self.can_speak
        is_wanted = speak if is_spoken else error.category == "no-answer"
        if is_wanted and not self._apologised and (apology := text_of(self.apology)):
            self._apologised = True
            self._say_soon(apology)

    def _say_soon(self, text: str) -> None:
        """Submit a text that does not answer the user. It is dropped if the session accepts no more texts."""
        with suppress(RequestError):
            self.session.submit(Say(text))

    # ---- what the user's voice changes -------------------------------------------------------------------------------

    def _on_event(self, event: Event, before: BotState) -> None:
        match event:
            case Event.SPEECH_STARTED:
                self.idle.pause()
                # Nothing interrupts a goodbye. A turn may also be held by an action of the bot.
                if not self.session.closing and self.session.interrupt() and self.state.bot is BotState.ANSWERING:
                    self.state.process(Event.INTERRUPTED)
            case Event.NOTHING_SAID:
                if before is not BotState.INTERRUPTED:  # else the turn still ends; then the answer is given again
                    self._resume_answer()
            case Event.TURN_FINISHED:
                self._held_back = None
            case Event.LONG_SPEECH_STOPPED:
                self._resume_waiting()
            case _:
                pass

    def _resume_answer(self) -> None:
        """Send the answer that was held back, or continue to wait, because the user said nothing."""
        input, self._held_back = self._held_back, None
        if input is not None:
            with suppress(RequestError):
                self.session.submit(_again(input))
        else:
            self._resume_waiting()

    def _resume_waiting(self) -> None:
        self.idle.resume()
        self.late.request_report()

    def _is_user_active(self) -> bool:
        """Return whether the user has a turn, or still speaks after a turn that was too long."""
        return self.state.user is not UserState.IDLE or self.state.audio is AudioState.OVERLONG

    def _is_quiet(self) -> bool:
        """Return whether neither side has a turn."""
        return self.state.user is UserState.IDLE and not self.state.bot_has_turn

    def _ask_idle_user(self) -> None:
        if text := text_of(self.taking.idle_text):
            self._say_soon(text)


def _again(input: Input) -> Input:
    """Return the input that gets the answer to an earlier one. A text is in the context already."""
    return RunLLM(input.speak) if isinstance(input, UserText) else input
