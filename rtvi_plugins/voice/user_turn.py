"""The user's turn: one or more utterances, until the user has finished; then their text is submitted.

An `IdleTimer` asks silent users whether they are still there.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final

from anyio.abc import TaskGroup
from attrs import define, field

from ..clock import Clock, Deadline
from ..errors import AuthorError, ProviderError, RequestError, SessionClosed, report
from ..kinds import Transcript
from ..session import Session, UserText
from ..utils.error_texts import where
from ..utils.unspaced_scripts import join_texts
from ..utils.waiting import Condition
from .provider_streams import idle_timeout, let_cancellation_through
from .speech_recognition import Recogniser, Utterance
from .turn_state import Event, SpokenTurn, UserState
from .turn_taking import EndOfTurn, UserTurn, is_seconds

__all__ = ("IdleTimer", "UserTurnCollector")


@define(eq=False)
class IdleTimer:
    """Calls `ask` when the user has said nothing for `seconds`, once until `user_answered`; never if that is None."""

    clock: Clock
    seconds: float | None
    ask: Callable[[], None]
    is_user_active: Callable[[], bool]
    #: When the user's silence began; None while the bot has its turn.
    _silent_since: float | None = None
    _has_asked: bool = False
    _question: Deadline = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._question = Deadline(self.clock, self._ask)

    def start(self) -> None:
        """Measure the user's silence from now on, because the bot has finished."""
        self._silent_since = self.clock.now()
        self.resume()

    def resume(self) -> None:
        """Start the timer again after a noise. Repeated noises delay the question by at most `seconds`."""
        self.pause()
        if self.seconds is None or self._silent_since is None or self._has_asked or self.is_user_active():
            return
        due = min(self.clock.now(), self._silent_since + self.seconds) + self.seconds
        self._question.move(due)

    def pause(self) -> None:
        """Pause the timer, because there is sound. It may be only noise."""
        self._question.cancel()

    def stop(self) -> None:
        """Stop the timer, because the bot has something to do."""
        self.pause()
        self._silent_since = None

    def user_answered(self) -> None:
        """Allow another question, because the user has answered."""
        self._has_asked = False

    def _ask(self) -> None:
        self._has_asked = True
        self.ask()


#: How long `end_of_turn` may take, in seconds.
_TIMEOUT: Final = 15.0


@define(eq=False)
class UserTurnCollector:
    """Collects the utterances of a turn, has them recognised, and submits their text to the session."""

    session: Session
    recogniser: Recogniser
    end_of_turn: EndOfTurn
    state: SpokenTurn
    tasks: TaskGroup
    #: Called when the STT has failed and is not tried again.
    on_failure: Callable[[ProviderError], None]
    #: When the user last stopped speaking.
    spoken_until: float = 0.0
    #: The language of the last speech whose language the STT has reported.
    language: str | None = None
    _turns_taken: int = 0
    _utterances: list[Utterance] = field(factory=list[Utterance])
    #: The further silence that `end_of_turn` asks for.
    _silence: Deadline = field(init=False)
    _turn_over: Condition = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._silence = Deadline(self.session.clock, self._submit_turn)
        self._turn_over = Condition(lambda: not self.is_open)

    @property
    def is_open(self) -> bool:
        """Return whether the user speaks, or has said something that was not submitted yet."""
        return self.state.user is not UserState.IDLE

    @property
    def seconds(self) -> float:
        return sum(each.seconds for each in self._utterances)

    @property
    def _turn_text(self) -> str:
        return join_texts(text for each in self._utterances for text in each.text)

    @property
    def _transcripts(self) -> tuple[Transcript, ...]:
        return tuple(transcript for each in self._utterances for transcript in each.transcripts)

    def text_so_far(self, *, interim: bool) -> str:
        """Return what is recognised of the turn, perhaps with words that may still change."""
        return join_texts(text for each in self._utterances for text in each.text_so_far(interim=interim))

    def add(self, utterance: Utterance) -> None:
        """Add an utterance, because the user starts or continues to speak."""
        self._silence.cancel()
        self._utterances.append(utterance)
        self.tasks.start_soon(self._recognise, utterance)

    async def wait_until_over(self) -> bool:
        """Wait until the user has no turn. Return whether they have said anything meanwhile."""
        before = self._turns_taken
        await self._turn_over.wait()
        return self._turns_taken > before

    def close(self) -> None:
        """Add the user's last words to the context at the end of the session, as the client shows them."""
        for each in self._utterances:
            self.recogniser.accept_interim(each)
        text = self._turn_text
        self._utterances.clear()
        self._silence.cancel()
        self.state.process(Event.LISTENING_ENDED)
        if text:
            self.session.remember({"role": "user", "content": text})

    async def _recognise(self, utterance: Utterance) -> None:
        failed = await self.recogniser.recognise(utterance)
        if failed is not None:
            self.on_failure(failed)
        if self._utterances and all(each.recognised for each in self._utterances):
            await self._decide_end_of_turn()

    async def _decide_end_of_turn(self) -> None:
        """Find out whether the user has finished. They may continue meanwhile; then nothing is decided."""
        text = self._turn_text
        if not text:
            self._utterances.clear()
            self.state.process(Event.NOTHING_SAID)
            self._turn_over.notify()
            return
        self.state.process(Event.RECOGNISED)
        seconds = await self._ask_policy(UserTurn(text, self.seconds, self._transcripts))
        if self.state.user is not UserState.DECIDING or text != self._turn_text:
            return
        self._silence.cancel()
        if seconds > 0:
            self._silence.move(self.session.clock.now() + seconds)
        else:
            self._submit_turn()

    async def _ask_policy(self, turn: UserTurn) -> float:
        policy: Any = self.end_of_turn
        try:
            with idle_timeout(self.session.clock, _TIMEOUT, "The end of turn"):
                awaitable: Any = policy(turn)
                if not inspect.isawaitable(awaitable):
                    raise AuthorError(f"end_of_turn returned {type(awaitable).__name__} at once. Write async def.")
                seconds: Any = await awaitable
            if not is_seconds(seconds):
                found = "no finite number" if isinstance(seconds, float) else type(seconds).__name__
                raise AuthorError(f"end_of_turn returned {found}. Return a number of seconds.")
        except BaseException as error:
            let_cancellation_through(error)
            report(where(policy), error)
            return 0.0
        return float(seconds)

    def _submit_turn(self) -> None:
        """Submit the text for an answer, because the user has finished."""
        text = self._turn_text
        self.language = next((each.language for each in reversed(self._transcripts) if each.language), self.language)
        self._utterances.clear()
        self._turns_taken += 1
        self.state.process(Event.TURN_FINISHED)
        try:
            self.session.submit(UserText(text, spoken_until=self.spoken_until))
        except SessionClosed:  # nobody answers any more
            self.session.remember({"role": "user", "content": text})
        except RequestError as error:
            self.session.fail(error)
        self._turn_over.notify()
