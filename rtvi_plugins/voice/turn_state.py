"""The state machine of the spoken turn: all states, all events, and one table of transitions.

Three machines run side by side. An event can move several of them:

- `AudioState`: the microphone's audio;
- `UserState`: the user's turn, from its first sound until its text is submitted;
- `BotState`: the bot's turn, and an answer that the user's voice has interrupted.

Two rules hold here. This module only changes states: the module that reports an event also acts on it.
An event that the table does not list for a state cannot happen in that state, so it is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final, TypeAlias, TypeVar, cast

from attrs import define, field

__all__ = ("TRANSITIONS", "AudioState", "BotState", "Event", "IllegalTransition", "SpokenTurn", "State", "UserState")


class AudioState(Enum):
    """The state of the microphone's audio."""

    LISTENING = "no speech"
    SPEECH = "speech"
    OVERLONG = "speech beyond `longest_turn_seconds`, which is ignored until a pause"
    OFF = "nothing more: the VAD has failed, or the session has ended"


class UserState(Enum):
    """The user's turn."""

    IDLE = "the user has no turn"
    SPEAKING = "the user speaks"
    RECOGNISING = "the user is silent; the STT has not finished"
    DECIDING = "everything is recognised; `end_of_turn` decides whether the user has finished"


class BotState(Enum):
    """The bot's turn, and an answer that waits because the user speaks."""

    IDLE = "the bot has no turn"
    ANSWERING = "the bot thinks or speaks"
    INTERRUPTED = "the user's voice has interrupted the turn, which is still ending"
    FALSE_INTERRUPTION = "the same, but the voice was a noise"
    HELD_BACK = "nothing of an answer was heard; it is given again if the voice was a noise"


State: TypeAlias = AudioState | UserState | BotState


class Event(Enum):
    """An event in a spoken conversation."""

    SPEECH_STARTED = "the user starts to speak"
    SPEECH_STOPPED = "the user stops speaking"
    SPEECH_TOO_LONG = "the user has spoken for `longest_turn_seconds`"
    LONG_SPEECH_STOPPED = "the pause after speech that was too long"
    VAD_FAILED = "the VAD fails"
    LISTENING_ENDED = "the session ends"
    RECOGNISED = "the STT has finished, and there is text"
    NOTHING_SAID = "the STT has finished, and there is no text: it was a noise"
    TURN_FINISHED = "`end_of_turn` waits no longer: the text is submitted"
    ANSWER_HELD_BACK = "the bot does not answer, because the user speaks again"
    BOT_TURN_STARTED = "the bot's turn starts"
    INTERRUPTED = "the user's voice interrupts the bot's turn"
    BOT_TURN_ENDED = "the bot's turn ends"
    BOT_TURN_UNHEARD = "the bot's turn ends, and nothing of it was heard"


TRANSITIONS: Final[Mapping[State, Mapping[Event, State]]] = {
    AudioState.LISTENING: {
        Event.SPEECH_STARTED: AudioState.SPEECH,
        Event.VAD_FAILED: AudioState.OFF,
        Event.LISTENING_ENDED: AudioState.OFF,
    },
    AudioState.SPEECH: {
        Event.SPEECH_STOPPED: AudioState.LISTENING,
        Event.SPEECH_TOO_LONG: AudioState.OVERLONG,
        Event.LISTENING_ENDED: AudioState.OFF,
    },
    AudioState.OVERLONG: {Event.LONG_SPEECH_STOPPED: AudioState.LISTENING, Event.LISTENING_ENDED: AudioState.OFF},
    AudioState.OFF: {Event.LISTENING_ENDED: AudioState.OFF},
    UserState.IDLE: {Event.SPEECH_STARTED: UserState.SPEAKING, Event.LISTENING_ENDED: UserState.IDLE},
    UserState.SPEAKING: {
        Event.SPEECH_STOPPED: UserState.RECOGNISING,
        Event.SPEECH_TOO_LONG: UserState.RECOGNISING,
        Event.LISTENING_ENDED: UserState.IDLE,
    },
    UserState.RECOGNISING: {
        Event.SPEECH_STARTED: UserState.SPEAKING,
        Event.RECOGNISED: UserState.DECIDING,
        Event.NOTHING_SAID: UserState.IDLE,
        Event.LISTENING_ENDED: UserState.IDLE,
    },
    UserState.DECIDING: {
        Event.SPEECH_STARTED: UserState.SPEAKING,
        Event.TURN_FINISHED: UserState.IDLE,
        Event.LISTENING_ENDED: UserState.IDLE,
    },
    BotState.IDLE: {
        Event.BOT_TURN_STARTED: BotState.ANSWERING,
        Event.ANSWER_HELD_BACK: BotState.HELD_BACK,
        Event.SPEECH_STARTED: BotState.IDLE,
        Event.NOTHING_SAID: BotState.IDLE,
        Event.TURN_FINISHED: BotState.IDLE,
    },
    BotState.ANSWERING: {
        Event.SPEECH_STARTED: BotState.ANSWERING,
        Event.INTERRUPTED: BotState.INTERRUPTED,
        Event.NOTHING_SAID: BotState.ANSWERING,
        Event.TURN_FINISHED: BotState.ANSWERING,
        Event.BOT_TURN_ENDED: BotState.IDLE,
    },
    BotState.INTERRUPTED: {
        Event.SPEECH_STARTED: BotState.INTERRUPTED,
        Event.NOTHING_SAID: BotState.FALSE_INTERRUPTION,
        Event.TURN_FINISHED: BotState.INTERRUPTED,
        Event.BOT_TURN_ENDED: BotState.IDLE,
        Event.BOT_TURN_UNHEARD: BotState.HELD_BACK,
    },
    BotState.FALSE_INTERRUPTION: {
        Event.SPEECH_STARTED: BotState.INTERRUPTED,
        Event.BOT_TURN_ENDED: BotState.IDLE,
        Event.BOT_TURN_UNHEARD: BotState.IDLE,
    },
    BotState.HELD_BACK: {
        Event.SPEECH_STARTED: BotState.HELD_BACK,
        Event.NOTHING_SAID: BotState.IDLE,
        Event.TURN_FINISHED: BotState.IDLE,
        Event.ANSWER_HELD_BACK: BotState.HELD_BACK,
        Event.BOT_TURN_STARTED: BotState.ANSWERING,
    },
}

S = TypeVar("S", AudioState, UserState, BotState)


class IllegalTransition(RuntimeError):
    """An event was reported in a state in which it cannot happen: a mistake in this package."""

    def __init__(self, state: State, event: Event) -> None:
        super().__init__(f"{event} in {state}")


@define(eq=False)
class SpokenTurn:
    """The three states of one conversation. `on_event` is called after each event, with the bot's state before it."""

    audio: AudioState = AudioState.LISTENING
    user: UserState = UserState.IDLE
    bot: BotState = BotState.IDLE
    on_event: Callable[[Event, BotState], None] | None = None
    #: Whether the bot's turn has started and not ended.
    bot_has_turn: bool = field(default=False, init=False)

    def process(self, event: Event) -> None:
        """Change the states. `IllegalTransition`, and no change, if the event cannot happen now."""
        before = self.bot
        self.audio, self.user, self.bot = (_next(self.audio, event), _next(self.user, event), _next(self.bot, event))
        self.bot_has_turn = self.bot not in (BotState.IDLE, BotState.HELD_BACK)
        if self.on_event is not None:
            self.on_event(event, before)


def _next(state: S, event: Event) -> S:
    if event not in _EVENTS_OF[type(state)]:
        return state
    if event not in TRANSITIONS[state]:
        raise IllegalTransition(state, event)
    return cast(S, TRANSITIONS[state][event])


#: The events that concern each machine; the others leave it as it is.
_EVENTS_OF: Final = {
    machine: {event for state in machine for event in TRANSITIONS[state]}
    for machine in (AudioState, UserState, BotState)
}
