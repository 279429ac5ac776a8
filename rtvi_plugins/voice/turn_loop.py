"""`converse`: the turn loop. What the user says or writes comes in, the bot's answer goes out as it is made.

Each input opens at most one turn. A turn asks the LLM, streams its answer to the client, speaks it where the transport
carries audio, has functions carried out, and asks again with their results. When it is interrupted, everything that
it does is cancelled, and what the user had heard by then is what enters the context, marked as interrupted. The order
of events is written down in the documentation, under "Events".
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from functools import partial

import anyio
from attrs import define, field

from ..clock import Timer
from ..context import Message
from ..errors import ProviderError, RequestError
from ..events import UserLLMText
from ..kinds import LLM, STT, TTS, VAD
from ..session import Input, RunLLM, Say, Session, Turn, UserText
from .bot_turn import Answering
from .markdown import without_markup
from .speech import Voice
from .spoken_text import Spoken
from .turn_taking import TurnTaking
from .user_audio import Ears

__all__ = ("converse",)


async def converse(
    session: Session,
    /,
    *,
    llm: LLM,
    stt: STT | None = None,
    tts: TTS | None = None,
    vad: VAD | None = None,
    taking: TurnTaking = TurnTaking(),  # noqa: B008 - it is frozen
    greeting: str | Say = "",
    apology: str = "I am sorry, something went wrong. Please try again.",
    spoken: Spoken | None = without_markup,
) -> None:
    """Hold a conversation until the session ends: answer what the user says or writes, and what actions ask for.

    What the bot says is spoken by `tts` where the client's transport carries audio, and is text alone elsewhere. The
    user is heard by `stt`; with `vad` at any time, without it while the microphone is on (push-to-talk). `taking` are
    the manners of it. `greeting` is said first, except in a session for single-turn actions; nothing interrupts
    `Say(text, interruptible=False)`. A provider that fails ends its turn, is told to the client as an `error` that is
    not fatal, and leaves the conversation going; in a spoken one, `apology` is said. `spoken` returns what is spoken of
    a sentence that is shown: by default the words without the marks of markdown, with None all as it is written.
    """
    loop = _Conversation(session, llm, tts, taking, apology, spoken)
    try:
        async with loop.hearing(stt, vad):
            first = greeting if isinstance(greeting, Say) else Say(greeting)
            if first.text and not session.single_turn:
                await loop.take(first)
            loop.wait_for_the_user()
            async for each in session.inputs():
                await loop.take(each)
    finally:
        loop.stop_waiting()


@define(eq=False)
class _Conversation:
    session: Session
    llm: LLM
    tts: TTS | None
    taking: TurnTaking
    apology: str
    spoken: Spoken | None = without_markup
    segments: int = 0
    turn: Turn | None = None
    #: What the user said last, as long as they have heard nothing of an answer to it.
    unanswered: Message | None = None
    ears: Ears | None = None
    #: What a voice has cut short before anything of the bot's answer was heard, or kept from being answered.
    cut_short: Input | None = None
    _by_voice: bool = False
    #: It was a noise that cut a turn short whose end is still to come.
    _noise: bool = False
    _apologised: bool = False
    #: The ids of calls whose results the LLM has not read.
    _unread: list[str] = field(factory=list[str])
    #: The input that asks the LLM to report them: while it waits, and once it was taken.
    _report: RunLLM | None = None
    _reported: RunLLM | None = None
    _speak_report: bool = True
    _idle: Timer | None = None
    #: When the user was first expected to say something; None while the bot does something.
    _waiting_since: float | None = None
    _asked: bool = False

    @asynccontextmanager
    async def hearing(self, stt: STT | None, vad: VAD | None) -> AsyncGenerator[None]:
        """Listen to the user, if there is anything to listen with."""
        if stt is None or not self.session.has_audio:
            yield
            return
        async with anyio.create_task_group() as tasks:
            ears = Ears(
                self.session,
                stt,
                vad,
                self.taking,
                tasks,
                bot_is_heard=lambda: self.turn is not None,
                started=self._user_begins,
                heard_nothing=self._user_said_nothing,
                failed=self.failed,
            )
            self.ears = ears
            with self.session.listening(ears):
                yield
            tasks.cancel_scope.cancel()

    async def take(self, input: Input) -> None:
        """Do what is asked for, to its end or interruption."""
        self.stop_waiting()
        self._waiting_since = None
        match input:
            case UserText():
                self._asked = False
                self._remember(input)
                spoken = input.spoken_until is not None
                if input.run and spoken and self._user_speaks():  # who goes on has not finished, unless it is a noise
                    self.cut_short = input
                elif input.run:
                    await self._respond(input)
            case RunLLM():
                if not self._is_late_report(input) and not await self._user_said_more():
                    await self._respond(input)
            case Say():
                await self._user_said_more()
                async with self._answering(input) as answering:
                    await answering.say(input.text)
        self.wait_for_the_user()

    async def _user_said_more(self) -> bool:
        """Let the user finish; whether they said anything, which is then answered in its turn."""
        if self.ears is None or not self.ears.busy or self.session.closing:
            return False
        before = self.ears.turns
        await self.ears.quiet()
        return self.ears.turns > before

    def _user_speaks(self) -> bool:
        return self.ears is not None and self.ears.speaking

    # ---- the user's words ------------------------------------------------------------------------------------------

    def _remember(self, input: UserText) -> None:
        """Who goes on before an answer was heard has said one thing, not two."""
        spoken, text, before = input.spoken_until is not None, input.text, self.unanswered
        if spoken and before is not None and self.session.amend(before, text):
            self.session.emit(UserLLMText(str(before["content"])))
            return
        message: Message = {"role": "user", "content": text}
        self.session.remember(message)
        self.unanswered = message if spoken else None
        self.session.emit(UserLLMText(text))

    # ---- the bot's turn --------------------------------------------------------------------------------------------

    async def _respond(self, input: UserText | RunLLM) -> None:
        async with self._answering(input) as answering:
            try:
                await answering.answer()
                self._apologised = False
            except ProviderError as error:
                self.failed(error, aloud=input.speak)

    @asynccontextmanager
    async def _answering(self, input: Input) -> AsyncGenerator[Answering]:
        self.cut_short = None
        interruptible = not isinstance(input, Say) or input.interruptible
        async with self.session.turn(interruptible=interruptible) as self.turn:
            voice = None
            if (isinstance(input, Say) or input.speak) and self.tts is not None and self.session.has_audio:
                spoken_until = input.spoken_until if isinstance(input, UserText) else None
                voice = Voice(self.session, self.turn, self.tts, self._next_segment, spoken_until, spoken=self.spoken)
            speak = isinstance(input, Say) or input.speak
            answering = Answering(
                self.session,
                self.turn,
                self.llm,
                self._next_segment,
                voice,
                asked=self._results_are_read,
                outlived=partial(self._result_is_late, speak),
                reported=tuple(self._unread) if input is self._reported else (),
            )
            try:
                yield answering
            finally:
                unheard = self._by_voice and self.turn.interrupted and not answering.remembered
                self.cut_short = input if unheard else None
                if not unheard:
                    self.unanswered = None
                self._by_voice = False
        self.turn = None
        if self._noise:
            self._noise = False
            self._user_said_nothing()
        self._report_late_results()

    def _next_segment(self) -> int:
        self.segments += 1
        return self.segments

    def failed(self, error: ProviderError, *, aloud: bool = True) -> None:
        """A provider has failed for good. In a spoken conversation, silence is no answer."""
        self.session.fail(error)
        if aloud and self.session.has_audio and self.tts is not None and self.apology and not self._apologised:
            self._apologised = True
            self._say_soon(self.apology)

    def _say_soon(self, text: str) -> None:
        """Say something of our own accord, which is not worth a failure."""
        with suppress(RequestError):
            self.session.submit(Say(text))

    # ---- functions that outlive their turn -------------------------------------------------------------------------

    def _results_are_read(self) -> None:
        """The LLM is asked: it reads every result that there is by now."""
        self._unread.clear()

    def _result_is_late(self, speak: bool, id: str) -> None:
        """A function that the user's interruption did not end has a result, and the LLM has not read it."""
        self._unread.append(id)
        self._speak_report = speak
        self._report_late_results()

    def _report_late_results(self) -> None:
        """Have the LLM report what it has not read, unless it is asked for something else before."""
        hears = self.ears is not None and self.ears.busy  # what the user says is answered with the result in mind
        if self._unread and self._report is None and self.turn is None and not hears:
            report = RunLLM(self._speak_report)
            with suppress(RequestError):
                self.session.submit(report)
                self._report = report

    def _is_late_report(self, input: RunLLM) -> bool:
        """Whether it is a report that is no longer needed, because the LLM has read the results."""
        if input is not self._report:
            return False
        self._report, self._reported = None, input
        return not self._unread

    # ---- a user who says nothing -----------------------------------------------------------------------------------

    def wait_for_the_user(self) -> None:
        """From now on, the user is expected to say something."""
        self._waiting_since = self.session.clock.now()
        self._go_on_waiting()

    def _go_on_waiting(self) -> None:
        """Ask for the user when their time is over, unless they speak.

        After a noise they have the same time again, but noises without end do not put the question off for ever.
        """
        seconds, since, now = self.taking.idle_seconds, self._waiting_since, self.session.clock.now()
        self.stop_waiting()
        there = self.ears is not None and (self.ears.busy or self.ears.talks_on)
        if seconds is not None and since is not None and not self._asked and not there:
            due = min(now, since + seconds) + seconds
            self._idle = self.session.clock.call_at(due, self._ask_for_the_user)

    def _ask_for_the_user(self) -> None:
        self._asked = True
        self._say_soon(self.taking.idle_text)

    def _user_begins(self) -> None:
        """The user begins to speak: the bot falls silent."""
        self.stop_waiting()
        self._noise = False
        if not self.session.closing:  # a goodbye is heard to its end
            self._by_voice = self.session.interrupt() or self._by_voice

    def _user_said_nothing(self) -> None:
        """It was a noise. What it cut off before anything was heard is said after all."""
        if self._by_voice:
            self._noise = True
            return
        input, self.cut_short = self.cut_short, None
        if input is not None:
            again = RunLLM(input.speak) if isinstance(input, UserText) else input
            with suppress(RequestError):
                self.session.submit(again)
        else:
            self._go_on_waiting()
            self._report_late_results()

    def stop_waiting(self) -> None:
        """The user has said something, or there is nobody to wait for."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
