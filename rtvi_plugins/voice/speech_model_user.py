"""The turns and the words of the user, as a speech-to-speech model hears them. The words may come late.

The model answers before the words of the user are known, and sometimes has finished before. The words still enter the
context before the answer.

A vendor that finds the utterances itself gets all of the user's audio, also silence.

The module has more than 300 lines because the user's audio and words are two sides of one turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import anyio
from anyio.abc import TaskGroup
from attrs import define, field

from ..clock import Clock, Deadline
from ..context import Message
from ..events import UserLLMText, UserStartedSpeaking, UserStoppedSpeaking, UserTranscription
from ..kinds import Audio, Pause, SpeechBegan, SpeechEnded, Transcript
from ..session import Input, Listener, Session, Turn, UserText
from ..utils.json_values import replace_surrogates
from ..utils.unspaced_scripts import join_texts
from ..utils.waiting import Condition
from .speech_recognition import Utterance
from .turn_state import AudioState, Event, SpokenTurn, UserState
from .turn_taking import TurnTaking

__all__ = ("ContinuousAudio", "ModelUser", "last_message", "messages_after")

# ---- audio ---------------------------------------------------------------------------------------------------------

#: After this many seconds without audio, the microphone counts as off. A shorter gap is the network's.
_GAP_SECONDS: Final = 0.5


@define(eq=False)
class ContinuousAudio(Listener):
    """Passes all audio of the microphone to `send`, and a `Pause` when the microphone is off."""

    clock: Clock
    taking: TurnTaking
    state: SpokenTurn
    send: Callable[[Audio | Pause], None]
    user: ModelUser
    _silence: Deadline = field(init=False)
    #: No `Pause` has followed the last audio.
    _microphone_on: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._silence = Deadline(self.clock, self._pause)

    def hear(self, audio: Audio) -> None:
        if self.state.bot_has_turn and not self.taking.interruptible:
            return
        self._microphone_on = True
        self._silence.move(self.clock.now() + _GAP_SECONDS)
        self.send(audio)

    def microphone(self, enabled: bool) -> None:
        if not enabled:
            self._pause()

    def unsubmitted(self, *, interim: bool) -> Sequence[Input]:
        return self.user.unsubmitted(interim)

    def close(self) -> None:
        self._silence.cancel()
        self.user.close()

    def _pause(self) -> None:
        """Report that no audio follows, once until there is more."""
        self._silence.cancel()
        if self._microphone_on:
            self._microphone_on = False
            self.send(Pause())


# ---- words ---------------------------------------------------------------------------------------------------------


@define(eq=False)
class _Words:
    """The words of one utterance."""

    #: Final transcripts that are not in the context.
    waiting: list[str] = field(factory=list[str])
    #: Final transcripts of a stream that has failed. The next one hears the same audio.
    before: list[str] = field(factory=list[str])
    interim: str = ""
    answered: bool = False
    #: The turn that answers it, while it runs.
    turn: Turn | None = None
    #: The last message before its answer.
    previous: Message | None = None
    #: How often the context had been replaced when its answer ended; None if it was replaced meanwhile.
    replacements: int | None = None

    @property
    def texts(self) -> list[str]:
        """Return the texts for the context: also words that the next stream has not heard again."""
        before, again = (set(" ".join(each).casefold().split()) for each in (self.before, self.waiting))
        repeats = len(before & again) * 2 >= len(before)  # it has at least half of the words
        return self.waiting if repeats else [*self.before, *self.waiting]

    def take(self) -> list[str]:
        """Return the texts for the context, and forget them."""
        texts = self.texts
        self.waiting, self.before = [], []
        return texts


@define(eq=False)
class ModelUser:
    """The user's turns and words, as the model or a VAD finds them.

    `on_message` is called with each message that is added to the context.
    """

    session: Session
    state: SpokenTurn
    send: Callable[[Audio | Pause], None]
    tasks: TaskGroup
    on_message: Callable[[Message], None]
    #: Called when a VAD has found the end of an utterance.
    on_utterance: Callable[[], None]
    #: When the user last stopped speaking.
    spoken_until: float = 0.0
    language: str | None = None
    #: How many seconds the user has spoken before in this turn. Each utterance is a turn of its own.
    seconds: float = field(default=0.0, init=False)
    #: Whether the present stream reports the end of speech. Not every vendor does.
    _reports_end: bool = False
    #: The utterances of the present stream, by their numbers, and those that have no answer.
    _utterances: list[_Words] = field(factory=list[_Words])
    _unanswered_words: list[_Words] = field(factory=list[_Words])
    #: The last message in the context before the turn.
    _message_before_turn: Message | None = None
    _turn_over: Condition = field(init=False)
    _forwarding: anyio.Lock = field(factory=anyio.Lock)

    def __attrs_post_init__(self) -> None:
        self._turn_over = Condition(lambda: not self.is_open)

    @property
    def is_open(self) -> bool:
        return self.state.user is not UserState.IDLE

    async def wait_until_over(self) -> bool:
        """Wait until the user does not speak. Return True: what they said has an answer of its own."""
        await self._turn_over.wait()
        return True

    # ---- utterances that a VAD has found -----------------------------------------------------------------------------

    def add(self, utterance: Utterance) -> None:
        """Send an utterance to the model as it comes."""
        self._add_utterance()
        self.tasks.start_soon(self._forward, utterance)

    async def _forward(self, utterance: Utterance) -> None:
        async with self._forwarding:
            async for audio in utterance.audio.read():
                self.send(audio)
            self.send(Pause())
            self.on_utterance()
            self._finish_user_turn()

    def _finish_user_turn(self) -> None:
        """End the user's turn, unless they speak again."""
        if self.state.user is UserState.RECOGNISING:
            self.state.process(Event.RECOGNISED)
            self.state.process(Event.TURN_FINISHED)
            self._turn_over.notify()

    # ---- what the model hears --------------------------------------------------------------------------------------

    def stream_opened(self, utterances: int) -> None:
        """Note that another stream counts utterances from 0, and hears the last `utterances` of a VAD again."""
        self._reports_end = False
        for words in self._unanswered_words:
            words.before = words.take()
            self._retract_interim(words)
        self._utterances = self._unanswered_words[len(self._unanswered_words) - utterances :] if utterances else []

    def _add_utterance(self) -> None:
        """Begin an utterance. It may be one that another stream has heard before."""
        earlier = [each for each in self._unanswered_words if each not in self._utterances]
        words = _Words(before=[text for each in earlier for text in each.before])
        self._unanswered_words = [*(each for each in self._unanswered_words if each in self._utterances), words]
        self._utterances.append(words)

    def heard(self, piece: Transcript | SpeechBegan | SpeechEnded, *, endpointing: bool) -> None:
        """Take what the model has heard. With a VAD, the vendor's endpointing changes nothing."""
        if isinstance(piece, Transcript):
            self._transcribed(piece)
        elif endpointing and isinstance(piece, SpeechBegan):
            self._add_utterance()
            if self.state.audio is AudioState.LISTENING:
                self.session.emit(UserStartedSpeaking())
            if self.state.audio is AudioState.LISTENING:  # the message may have ended the session: see `Limits.outbox`
                self.state.process(Event.SPEECH_STARTED)
        elif endpointing:
            self._reports_end = True
            self.stop(self.session.clock.now())

    @property
    def is_in_speech(self) -> bool:
        """Return whether the end of the user's speech is to come. An answer that begins now is to what was before."""
        return self._reports_end and self.state.audio is AudioState.SPEECH

    def stop(self, at: float) -> None:
        """Note that the user has stopped speaking, as far as the model finds the utterances."""
        if self.state.audio is not AudioState.SPEECH:
            return
        self.spoken_until = at
        self.session.emit(UserStoppedSpeaking())
        if self.state.audio is AudioState.SPEECH:
            self.state.process(Event.SPEECH_STOPPED)
            self._finish_user_turn()

    # ---- words -----------------------------------------------------------------------------------------------------

    def _transcribed(self, transcript: Transcript) -> None:
        words = self._words_of(transcript.utterance)
        text = replace_surrogates(transcript.text.strip())
        self.language = transcript.language or self.language
        if not transcript.final:
            if text:
                words.interim = text
                self.session.emit(UserTranscription(text, final=False))
            else:
                self._retract_interim(words)
        elif not text:
            self._retract_interim(words)
        else:
            words.interim = ""
            if text not in words.before:  # else it was shown
                self.session.emit(UserTranscription(text, final=True))
            words.waiting.append(text)
            if words.answered:
                self._remember_late(words)

    def _words_of(self, number: int | None) -> _Words:
        if number is not None and 0 <= number < len(self._utterances):
            return self._utterances[number]
        if not self._utterances:
            self._add_utterance()
        return self._utterances[-1]

    def _retract_interim(self, words: _Words) -> None:
        """Make the client remove the interim transcript."""
        if words.interim:
            words.interim = ""
            self.session.emit(UserTranscription("", final=True))

    def turn_began(self, turn: Turn) -> None:
        """Add the user's words to the context before the answer. Those that come later follow when they come."""
        self._message_before_turn = last_message(turn)
        texts: list[str] = []
        going_on = self._unanswered_words[-1:] if self.is_open else []
        for words in self._unanswered_words:
            if words not in going_on:
                words.answered, words.turn = True, turn
                texts += words.take()
        self._unanswered_words = going_on
        if texts:
            self._message_before_turn = self._add_message(texts, turn.remember)

    def turn_ended(self, turn: Turn) -> None:
        """Keep the place of the answer, for words that come later."""
        for words in self._utterances:
            if words.turn is turn:
                words.turn, words.previous = None, self._message_before_turn
                words.replacements = None if turn.superseded else self.session.context.replacements

    def _remember_late(self, words: _Words) -> None:
        """Add words that came late, before the answer to them. After the context was replaced, they are dropped."""
        texts, turn, context = words.take(), words.turn, self.session.context
        if turn is None:
            if words.replacements == context.replacements:
                later = next(iter(_after(words.previous, context.messages)), None)
                message = self._add_message(texts, lambda message: self.session.remember(message, before=later))
                for each in self._utterances:
                    if each.previous is words.previous and each is not words:
                        each.previous = message
                words.previous = message
        elif not turn.superseded:
            answer = next(iter(messages_after(self._message_before_turn, turn)), None)
            if answer is None:
                self._message_before_turn = self._add_message(texts, turn.remember)
            else:
                self._message_before_turn = self._add_message(
                    texts, lambda message: self.session.remember(message, before=answer)
                )

    def unsubmitted(self, interim: bool) -> Sequence[Input]:
        """Return the words that have no answer, perhaps with those that may still change."""
        texts = [text for each in self._unanswered_words for text in (*each.texts, *([each.interim] * interim))]
        return (UserText(text),) if (text := join_texts(texts)) else ()

    def flush(self) -> None:
        """Add the words that have no answer to the context."""
        texts = [text for words in self._unanswered_words for text in words.take()]
        if texts:
            self._add_message(texts, self.session.remember)

    def _add_message(self, texts: list[str], remember: Callable[[Message], None]) -> Message:
        text = join_texts(texts)
        message: Message = {"role": "user", "content": text}
        remember(message)
        self.on_message(message)
        self.session.emit(UserLLMText(text))
        return message

    def close(self) -> None:
        """Add the user's last words to the context at the end of the session, as the client shows them."""
        for words in {id(each): each for each in (*self._utterances, *self._unanswered_words)}.values():
            if words.interim:
                text, words.interim = words.interim, ""
                self.session.emit(UserTranscription(text, final=True))
                words.waiting.append(text)
                if words.answered:
                    self._remember_late(words)
        self.flush()
        self.state.process(Event.LISTENING_ENDED)


def last_message(turn: Turn) -> Message | None:
    """Return the last message of the context."""
    return turn.messages[-1] if turn.messages else None


def messages_after(previous: Message | None, turn: Turn) -> list[Message]:
    """Return the messages of a turn after `previous`, or all of them if it is None; none if the context was replaced.

    Their number says nothing, because words that come late are added before earlier answers.
    """
    return [] if turn.superseded else _after(previous, turn.messages)


def _after(previous: Message | None, messages: Sequence[Message]) -> list[Message]:
    index = next((at for at, each in enumerate(messages) if each is previous), -1)
    return list(messages[index + 1 :])
