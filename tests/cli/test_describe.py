"""`rtvi describe`: what it prints of a bot and of a plugin.

This file is also a bot that it describes, `tests/cli/test_describe.py:hotel`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, TypeAlias, runtime_checkable

import pytest
from attrs import frozen
from attrs.validators import ge, le, max_len
from typing_extensions import deprecated

from rtvi_plugins import Doc, Grant, Kind, Secret, Session, action, bot, lifespan, options, service
from rtvi_plugins.cli import OK, USAGE
from rtvi_plugins.cli.description_text import actions_text, facts, parameter_lines
from rtvi_plugins.declare.specs import ActionSpec, specs_of
from rtvi_plugins.protocol.describe import describe_action
from rtvi_plugins.registry import standard_actions

BOT = f"{Path(__file__).with_name('test_cli.py')}:parrot"
HOTEL = f"{__file__}:hotel"

Run: TypeAlias = Callable[..., tuple[int, str, str]]


@runtime_checkable
class Desk(Protocol):
    """A kind without standard options, so that the whole output fits into this file."""

    def ring(self) -> None: ...


DESK = Kind("desk", Desk)


class Bell:
    """A bell."""

    def ring(self) -> None: ...


@service(DESK, "small")
@asynccontextmanager
async def small(api_key: Secret, other_key: Secret | None, /, place: str = "left") -> AsyncGenerator[Bell]:
    """A small desk."""
    yield Bell()


@service(DESK, "large")
@asynccontextmanager
async def large() -> AsyncGenerator[Bell]:
    """A large desk."""
    yield Bell()


@options(DESK)
def open_at(session: Session, /, hours: Annotated[str, Doc("When somebody is there.")] = "8-20") -> None:
    """Return whether the desk is open. It belongs to the kind."""


@options(small, large)
def loudness(desk: Bell, /, volume: Annotated[float, ge(0), le(2)] = 0.7) -> None:
    """Set an option of both providers."""


@options(large)
def look(
    desk: Bell,
    /,
    wood: Annotated[
        Literal["oak", "beech", "spruce", "cherry", "walnut", "mahogany"] | str,
        Doc("The wood of the desk. Callers on the telephone cannot see it, but they may ask the bot about it."),
    ] = "oak",
) -> None:
    """Of one."""


class Ledger:
    """The bookings."""


@lifespan
@asynccontextmanager
async def ledger(url: Secret, /) -> AsyncGenerator[Ledger]:
    """Open the ledger."""
    yield Ledger()


@action(DESK)
async def ring(session: Session, /) -> None:
    """Ring the bell."""


@action(small)
async def polish(desk: Bell, /, times: int = 1) -> bool:
    """Polish the desk."""
    return True


@frozen
class Guest:
    """Somebody who books."""

    name: Annotated[str, max_len(40)]
    age: Annotated[int, Doc("In years.")] = 18


@frozen
class Booking:
    """A booking."""

    room: int
    guests: tuple[Guest, ...]


@bot(
    services={"desk": ["small", "large"]},
    config={"desk": {"volume": 0.5}, "desk.large": {"hours": "always", "wood": "beech"}},
    functions=[Grant("bot:book", arguments={"guests": max_len(2)})],
    client=["desk.volume", "desk.provider", "desk:ring", "bot:book", "context:reset", "bot:note"],
)
async def hotel(session: Session, /, desk: Desk) -> None:
    """A small hotel."""


@action(hotel)
async def book(
    session: Session, ledger: Ledger, /, guests: list[Guest], extras: dict[str, Any] | None = None
) -> Booking:
    """Book a room."""
    return Booking(7, tuple(guests))


@action(hotel, service="context")
@deprecated("Start another session.")
async def reset(session: Session, /) -> None:
    """Forget the conversation."""


@action(hotel, message="note")
async def note(data: Any) -> None:
    """Note anything."""


DESCRIBED = """\
hotel: A small hotel.

Services
  desk  small (chosen), large

Actions that clients may call
  desk:ring() -> null
      Ring the bell.
  bot:book(guests, extras) -> object
      Book a room.
      guests  array of object, required
              name  string, at most 40 characters, required
              age   whole number
                    In years.
      extras  object, or null (None in Python), default null
      result
        room    whole number
        guests  array of object
                name  string, at most 40 characters, required
                age   whole number
                      In years.
  bot:note(data) -> null
      Note anything.
      Called by the client message "note".
      data  any JSON, required
  context:reset() -> null
      Forget the conversation.
      Deprecated: Start another session.

Functions that the LLM may call
  bot:book(guests, extras) -> object
      Book a room.
      guests  array of object, at most 2 items, required
              name  string, at most 40 characters, required
              age   whole number
                    In years.
      extras  object, or null (None in Python), default null
      result
        room    whole number
        guests  array of object
                name  string, at most 40 characters, required
                age   whole number
                      In years.

Options that clients may read or set
  desk.volume    number, from 0 to 2, default 0.5
  desk.provider  string, one of "small" "large", default "small"
                 The provider of this service.

Other options, for config= and the operator
  desk
    hours  string, default "8-20"
           When somebody is there.
  desk.small
    place  string, default "left", service option
  desk.large
    wood   string, such as "oak" "beech" "spruce" "cherry" "walnut" "mahogany", default "beech"
           The wood of the desk. Callers on the telephone cannot see it, but they may ask the bot
           about it.
    hours  string, default "always"
           When somebody is there.

Keys, from the environment
  SMALL_API_KEY    required, for desk.small
  SMALL_OTHER_KEY  optional, for desk.small
  LEDGER_URL       required, for lifespan ledger
"""


def test_describe_prints_a_bot(run: Run) -> None:
    """The whole output: nested types and the bot's own defaults, in at most 100 columns."""
    code, out, _ = run("describe", HOTEL)
    assert code == OK
    assert out == DESCRIBED
    assert max(map(len, out.splitlines())) <= 100


def test_describe_tells_what_clients_are_offered(run: Run) -> None:
    """Services, actions and options, with types, bounds, defaults and docs; what is not granted is left out."""
    code, out, _ = run("describe", BOT)
    assert code == OK
    for line in (
        "parrot: Repeats what you say.",
        "  llm  repeating",
        "  bot:greet(name, loud) -> string",
        "      Greets somebody by name.",
        "      name  string, at most 20 characters, required",
        "      loud  bool, default false",
        "  bot:count(to) -> whole number, in the background",
        "  llm.times  whole number, from 1 to 3, default 1",
        "             How often each word is said.",
        '  llm.voice  string, such as "high" "low", default "high", read only',
    ):
        assert line in out.splitlines()
    assert "hang_up" not in out
    assert "llm.messages" not in out


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "string", "minLength": 1}, "string, at least 1 character"),
        ({"type": "string", "minLength": 2, "maxLength": 80}, "string, 2 to 80 characters"),
        ({"type": "array", "items": {"type": "string"}, "minItems": 3, "maxItems": 3}, "array of string, 3 items"),
        ({"type": "array", "items": {"type": "string"}, "maxItems": 1}, "array of string, at most 1 item"),
        ({"type": "array", "items": {"type": "integer", "minimum": 1}}, "array of whole number, each from 1"),
        ({"type": "array", "items": {"enum": ["a", "b"]}}, 'array of string, each one of "a" "b"'),
    ],
)
def test_describe_tells_lengths_and_items(schema: Mapping[str, Any], text: str) -> None:
    """As people say them."""
    assert ", ".join(facts({"schema": schema, "required": False})) == text


@pytest.mark.parametrize(
    ("narrower", "text"),
    [
        ([{"maximum": 1.0}, {"type": "null"}], "number, from 0 to 1.0, or null (None in Python)"),
        ([{"type": "number", "maximum": 1}, {"type": "number", "minimum": 2}], "number, from 0 to 1, from 2 to 2"),
        ([{"enum": [0, 1]}, {"type": "null"}], "number, from 0 to 2, one of 0 1, or null (None in Python)"),
    ],
)
def test_describe_tells_how_a_grant_narrows_an_option_that_may_be_null(narrower: object, text: str) -> None:
    """The bounds of both hold, as for `Grant("llm.temperature", optional(le(1.0)))`."""
    union = [{"type": "number", "minimum": 0, "maximum": 2}, {"type": "null"}]
    schema = {"anyOf": union, "allOf": [{"anyOf": narrower}]}
    assert ", ".join(facts({"schema": schema, "required": False})) == text


def test_describe_dev_tells_everything(run: Run) -> None:
    """The output is the offer of `rtvi run --dev`."""
    assert "bot:hang_up()" in run("describe", BOT, "--dev")[1]


def test_describe_json_is_what_clients_are_sent(run: Run) -> None:
    """It prints the data of `actions-available` and `config-available`."""
    described = json.loads(run("describe", BOT, "--json")[1])
    assert described.keys() == {"actions", "config"}
    assert [each["action"] for each in described["actions"] if each["service"] == "bot"] == [
        "cancel_job",
        "greet",
        "count",
    ]
    assert [each["name"] for each in described["config"][0]["options"]] == ["times", "voice"]


def test_describe_schema_is_one_json_schema(run: Run) -> None:
    """It has a definition for the arguments of each action, and one for the options of each service."""
    schema = json.loads(run("describe", BOT, "--schema")[1])
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$defs"].keys() == {"llm", "bot:greet", "bot:count", "bot:cancel_job"}
    assert schema["$defs"]["bot:greet"] == {
        "type": "object",
        "description": "Greets somebody by name.",
        "required": ["name"],
        "properties": {
            "name": {"type": "string", "maxLength": 20},
            "loud": {"type": "boolean", "default": False},
        },
        "additionalProperties": False,
    }
    options = schema["$defs"]["llm"]["properties"]
    times = {"type": "integer", "minimum": 1, "maximum": 3, "description": "How often each word is said.", "default": 1}
    assert options["times"] == times
    assert options["voice"]["readOnly"]
    assert "required" not in schema["$defs"]["llm"]


# ---- plugins -------------------------------------------------------------------------------------------------------


API = {"rtvi_plugins__api": {"1": "acme"}}

PROVIDER = """\
desk.small: A small desk.
acme-desks 1.0, module acme_desks

Keys
  api_key    required, SMALL_API_KEY
  other_key  optional, SMALL_OTHER_KEY

Service options, from the operator only
  place  string, default "left"

Options
  volume  number, from 0 to 2, default 0.7

Actions
  desk:polish(times) -> bool
      Polish the desk.
      times  whole number, default 1

Options and actions of every desk
  desk.hours
  desk:ring
"""

NOTES = '''\
"""Notes for every bot.

More text.
"""

from rtvi_plugins import LLM, Session, action, hookimpl, options


@action("bot", service="notes")
async def write(llm: LLM, /, text: str) -> None:
    """Write a note."""


@action("llm")
async def forget(session: Session, /) -> bool:
    """Forget everything."""
    return True


@options("llm")
def note_length(session: Session, /, note_length: int = 80) -> None:
    """How long notes may be."""


@hookimpl
def session_closed(session: Session) -> None:
    """Forget the notes."""
'''

PLUGIN = """\
notes: Notes for every bot.
acme-notes 1.0, module acme_notes

Actions
  notes:write(text) -> null
      Write a note.
      text  string, required
  llm:forget() -> bool
      Forget everything.

Options
  llm.note_length  whole number, default 80

Hooks
  session_closed
"""


def test_describe_prints_a_provider(run: Run, distribution: Callable[..., None]) -> None:
    """No bot is needed. The output has keys, service options, options and actions, also those of its kind."""
    distribution("acme-desks", Path(__file__).read_text("utf-8"), rtvi_plugins={"desk.small": "acme_desks"}, **API)
    for name in ("desk.small", "desk.acme-desks:small"):
        code, out, err = run("describe", name)
        assert (code, err) == (OK, "")
        assert out == PROVIDER
    described = json.loads(run("describe", "desk.small", "--json")[1])
    assert [each["action"] for each in described["actions"]] == ["ring", "polish"]
    assert [each["name"] for each in described["config"][0]["options"]] == ["volume", "hours"]
    assert run("describe", "desk.small", "--schema")[1].startswith('{\n  "$schema"')


def test_describe_prints_a_plugin_of_actions_and_hooks(run: Run, distribution: Callable[..., None]) -> None:
    """It prints the names that clients see."""
    distribution("acme-notes", NOTES, rtvi_plugins={"notes": "acme_notes"}, **API)
    assert run("describe", "notes")[:2] == (OK, PLUGIN)


def test_describe_suggests_a_plugin(run: Run, distribution: Callable[..., None]) -> None:
    """This is for a name that is no bot. Options that are only for bots are refused."""
    distribution("acme-notes", NOTES, rtvi_plugins={"notes": "acme_notes"}, **API)
    code, _, err = run("describe", "ntes")
    assert code == USAGE
    assert "There is no module 'ntes'." in err
    assert "Did you mean the plugin 'notes'?" in err
    code, _, err = run("describe", "notes", "--dev")
    assert (code, err) == (
        USAGE,
        "rtvi: 'notes' is a plugin, and only a bot is described with --services, --dev or --env.\n",
    )


def test_describe_says_which_plugin_is_broken(run: Run, distribution: Callable[..., None]) -> None:
    """The error has the reason."""
    distribution("acme-broken", "1 / 0", rtvi_plugins={"broken": "acme_broken"}, **API)
    code, _, err = run("describe", "broken")
    assert code == USAGE
    assert "The plugin 'broken' of acme-broken 1.0 cannot be used: ZeroDivisionError" in err


def test_a_narrowed_option_suggests_only_what_is_allowed() -> None:
    """The choices of a grant replace the suggestions of the option."""
    suggested = {"anyOf": [{"enum": ["en-gb", "en-us", "de"]}, {"type": "string"}]}
    voice = {"name": "voice", "required": False, "schema": {**suggested, "allOf": [{"enum": ["en-gb", "en-us"]}]}}
    assert list(parameter_lines([voice])) == ['voice  string, one of "en-gb" "en-us"']
    assert list(parameter_lines([{**voice, "schema": suggested}])) == ['voice  string, such as "en-gb" "en-us" "de"']


def test_one_suggestion_reads_as_several_do() -> None:
    """Any other text is accepted too. A single choice is not a suggestion."""
    ear = {"name": "model", "required": False}
    suggested = {"anyOf": [{"enum": ["ear-1"]}, {"type": "string"}]}
    assert list(parameter_lines([{**ear, "schema": suggested}])) == ['model  string, such as "ear-1"']
    assert list(parameter_lines([{**ear, "schema": {"type": "string", "enum": ["ear-1"]}}])) == [
        'model  string, always "ear-1"'
    ]


def test_a_single_choice_beside_another_type_is_one_more_value() -> None:
    """It would be wrong to call it the only value."""
    silence = {"anyOf": [{"type": "integer", "minimum": 10}, {"enum": [False]}, {"type": "null"}]}
    option = {"name": "silence", "required": False, "schema": silence}
    assert list(parameter_lines([option])) == [
        "silence  whole number or bool, from 10, or false, or null (None in Python)"
    ]


def test_a_pattern_is_not_called_an_example() -> None:
    """The value must match it."""
    option = {"name": "url", "required": False, "schema": {"type": "string", "pattern": "^https://"}}
    assert list(parameter_lines([option])) == ["url  string, matching /^https:///"]


def test_what_a_grant_says_of_messages_that_may_be_null_is_one_list() -> None:
    """It narrows the fields of the message. The result is in the same words as the arguments."""
    spec = next(each for each in specs_of(standard_actions.set_context) if isinstance(each, ActionSpec))
    lines = actions_text([describe_action("llm", spec, spec.narrowed)]).splitlines()
    assert lines[0].endswith(") -> bool")
    listed = [line.split()[0] for line in lines]
    for name in ("role", "content", "tool_calls"):
        assert listed.count(name) == 1
    assert any(line.split() == ["tool_calls", "array", "of", "object"] for line in lines)


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "array", "items": {"type": "string"}}, "array of string"),
        ({"type": "integer"}, "whole number"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "whole number or null"),
        ({"type": "null"}, "null"),
        ({}, "any JSON"),
    ],
)
def test_a_result_has_the_words_of_an_argument(schema: dict[str, Any], text: str) -> None:
    """An array says of what."""
    about: dict[str, Any] = {"arguments": [], "result": "x", "result_schema": schema}
    action = {"service": "bot", "action": "count", **about}
    assert actions_text([action]) == f"bot:count() -> {text}"
