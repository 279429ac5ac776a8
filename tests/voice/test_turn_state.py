"""The state machine of the spoken turn: each event in each state is a transition of the table, or is refused."""

from __future__ import annotations

import re
from itertools import product

import pytest

from rtvi_plugins.voice.turn_state import (
    TRANSITIONS,
    AudioState,
    BotState,
    Event,
    IllegalTransition,
    SpokenTurn,
    State,
    UserState,
)

from ..tools.pages import DOCS

MACHINES = (AudioState, UserState, BotState)
PAGE = DOCS / "explanation" / "speech.md"


def states_of(turn: SpokenTurn) -> tuple[AudioState, UserState, BotState]:
    """All three states of a conversation."""
    return turn.audio, turn.user, turn.bot


def expected(state: State, event: Event) -> State | None:
    """The next state in the table; None if the event is refused. Events of other machines change nothing."""
    concerned = any(event in TRANSITIONS[each] for each in type(state))
    return TRANSITIONS[state].get(event) if concerned else state


def test_every_event_in_every_state_is_a_transition_or_is_refused() -> None:
    """If one machine refuses an event, none of them changes."""
    for audio, user, bot, event in product(*MACHINES, Event):
        turn = SpokenTurn(audio, user, bot)
        following = (expected(audio, event), expected(user, event), expected(bot, event))
        if None in following:
            with pytest.raises(IllegalTransition):
                turn.process(event)
            assert states_of(turn) == (audio, user, bot)
        else:
            turn.process(event)
            assert states_of(turn) == following


def test_the_table_has_every_state_and_uses_every_event() -> None:
    """No machine enters a state of another machine."""
    assert list(TRANSITIONS) == [state for machine in MACHINES for state in machine]
    assert {event for events in TRANSITIONS.values() for event in events} == set(Event)
    assert all(type(state) is type(after) for state, events in TRANSITIONS.items() for after in events.values())


def test_every_state_can_be_reached() -> None:
    """The start is the states in which a conversation begins."""
    start = SpokenTurn()
    reached: set[State] = set(states_of(start))
    while more := {after for state in reached for after in TRANSITIONS[state].values()} - reached:
        reached |= more
    assert reached == set(TRANSITIONS)


def test_listeners_get_each_event_after_the_change() -> None:
    """The callback also gets the bot's state before the event. A refused event is not reported."""
    seen: list[tuple[Event, BotState, BotState]] = []
    turn = SpokenTurn()
    turn.on_event = lambda event, before: seen.append((event, before, turn.bot))
    turn.process(Event.BOT_TURN_STARTED)
    with pytest.raises(IllegalTransition, match=r"Event\.TURN_FINISHED in UserState\.IDLE"):
        turn.process(Event.TURN_FINISHED)
    assert seen == [(Event.BOT_TURN_STARTED, BotState.IDLE, BotState.ANSWERING)]


def test_the_documentation_shows_the_table() -> None:
    """It has each state with its transitions, and no others."""
    shown = dict[str, dict[str, str]]()
    for row in re.findall(r"^\| `(\w+State\.\w+)` \|(.*)$", PAGE.read_text("utf-8"), re.MULTILINE):
        shown[row[0]] = dict(re.findall(r"`(\w+)` → `(\w+)`", row[1]))
    assert shown == {
        str(state): {event.name: after.name for event, after in events.items()} for state, events in TRANSITIONS.items()
    }
