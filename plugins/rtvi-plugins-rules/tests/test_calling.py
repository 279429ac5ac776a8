"""Which function is called, and with which arguments."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtvi_plugins.context import Function, Message
from rtvi_plugins.kinds import LLMRequest
from rtvi_plugins_rules.calling import Call
from rtvi_plugins_rules.llm import answer


def function(name: str, description: str, required: Sequence[str], /, **properties: dict[str, Any]) -> Function:
    """Return a function as a client declares it."""
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return {"name": name, "description": description, "parameters": schema}


TEXT: dict[str, Any] = {"type": "string"}
WHOLE: dict[str, Any] = {"type": "integer", "minimum": 1}
FUNCTIONS = [
    function(
        "book_room",
        "Books a room and returns the booking.",
        ["nights", "name"],
        nights=WHOLE,
        name=TEXT,
        guests=WHOLE,
        breakfast={"type": "boolean"},
        size={"type": "string", "enum": ["small", "large"]},
    ),
    function(
        "get_weather", "The weather in a city.", ["city"], city=TEXT, day=TEXT, unit={"enum": ["celsius", "kelvin"]}
    ),
    function("setLight", "Switches a lamp.", ["lamp"], lamp={"enum": ["kitchen", "hall"]}, on={"type": "boolean"}),
    function("set_reminder", "Reminds you.", ["text", "date"], text=TEXT, date={"type": "string", "format": "date"}),
    function("play_notes", "", ["notes"], notes={"type": "array", "items": {"enum": ["do", "re", "mi"]}}),
    function("add_numbers", "Sums numbers.", ["values"], values={"type": "array", "items": {"type": "number"}}),
    function(
        "send_invitation", "", ["guests"], guests={"type": "array", "items": TEXT}, email={"type": ["null", "string"]}
    ),
    function("paint_wall", "", ["area"], area={"type": "object", "properties": {"width": WHOLE, "height": WHOLE}}),
]


def talk(*texts: str, functions: Sequence[Function] = FUNCTIONS) -> Call | str:
    """Return the answer to the last text. Earlier calls get a result."""
    messages: list[Message] = []
    reply: Call | str = ""
    for text in texts:
        messages.append({"role": "user", "content": text})
        reply = answer(LLMRequest(messages, functions))
        messages += [said(reply)] if isinstance(reply, str) else exchange(reply, {"ok": True})
    return reply


def said(text: str) -> Message:
    """Return a message of the bot."""
    return {"role": "assistant", "content": text}


def exchange(call: Call, result: object) -> list[Message]:
    """Return the messages of a call and its result, as a conversation keeps them."""
    function = {"name": call.name, "arguments": json.dumps(dict(call.arguments))}
    calls: list[dict[str, Any]] = [{"id": "1", "type": "function", "function": function}]
    asked: Message = {"role": "assistant", "content": None, "tool_calls": calls}
    return [asked, {"role": "tool", "tool_call_id": "1", "content": json.dumps(result)}]


@pytest.mark.parametrize(
    ("text", "name", "arguments"),
    [
        ("Book a room for three nights for Ada Lovelace", "book_room", {"nights": 3, "name": "Ada Lovelace"}),
        (
            "I need a large room booked for 2 nights, three guests, under the name of Turing, with breakfast",
            "book_room",
            {"nights": 2, "guests": 3, "name": "Turing", "size": "large", "breakfast": True},
        ),
        (
            "book room: nights 4, name Grace, without breakfast",
            "book_room",
            {"nights": 4, "name": "Grace", "breakfast": False},
        ),
        ('Book a room for "J. R. Hartley" for one night', "book_room", {"nights": 1, "name": "J. R. Hartley"}),
        ("What's the weather in paris tomorrow?", "get_weather", {"city": "paris", "day": "tomorrow"}),
        ("how is the weather in New York, in kelvin", "get_weather", {"city": "New York", "unit": "kelvin"}),
        ("Switch on the kitchen light", "setLight", {"lamp": "kitchen", "on": True}),
        ("Remind me to call mum on 2026-12-24", "set_reminder", {"text": "call mum", "date": "2026-12-24"}),
        ("play the notes do, mi", "play_notes", {"notes": ["do", "mi"]}),
        ("add the numbers 1, 2.5 and twelve", "add_numbers", {"values": [1, 2.5, 12]}),
        ("Send an invitation to guests Ann, Bob and Cy", "send_invitation", {"guests": ["Ann", "Bob", "Cy"]}),
        ("paint the wall: width 3, height two", "paint_wall", {"area": {"width": 3, "height": 2}}),
    ],
)
def test_a_function_that_is_named_is_called_with_what_was_said(text: str, name: str, arguments: dict[str, Any]) -> None:
    """Arguments are found by the schema of the parameters."""
    assert talk(text) == Call(name, arguments)


def test_what_is_missing_is_asked_for() -> None:
    """The call is made when each required argument is known, however many turns this takes."""
    assert talk("I want to book a room") == "Before I book room, tell me: how many nights?"
    assert talk("I want to book a room", "two") == "Before I book room, tell me: what is the name?"
    assert talk("I want to book a room", "two", "Grace Hopper") == Call(
        "book_room", {"nights": 2, "name": "Grace Hopper"}
    )


def test_what_was_said_at_first_is_kept_while_asking() -> None:
    """The answer to a question is added to the request that led to it."""
    done = talk("Book me a large room without breakfast", "for two nights", "For Charles")
    assert done == Call("book_room", {"size": "large", "breakfast": False, "nights": 2, "name": "Charles"})


def test_a_choice_is_asked_for_by_its_values() -> None:
    """The question lists the values, because the user cannot know them."""
    assert talk("switch the light on") == "Before I set light, tell me: which lamp, kitchen or hall?"
    assert talk("switch the light on", "the hall") == Call("setLight", {"lamp": "hall", "on": True})


def test_a_value_out_of_bounds_counts_as_missing() -> None:
    """A call that its own schema would refuse is not made."""
    assert talk("book a room for zero nights for Ada") == "Before I book room, tell me: how many nights?"


def test_a_fact_that_the_user_stated_fills_a_missing_argument() -> None:
    """Nobody needs to say their name twice."""
    assert talk("My name is Ada", "hello", "book a room for 2 nights") == Call(
        "book_room", {"nights": 2, "name": "Ada"}
    )


@pytest.mark.parametrize("text", ["never mind", "Cancel that, please", "forget it"])
def test_a_question_can_be_given_up(text: str) -> None:
    """A function is not called if the user cancels the request."""
    assert talk("book a room", text) == "Very well, I will not do that: book room."


def test_another_request_takes_the_place_of_an_open_question() -> None:
    """A user may make another request instead of answering."""
    assert talk("book a room", "What's the weather in Rome?") == Call("get_weather", {"city": "Rome"})


def offered(offer: str, *texts: str) -> Call | str:
    """Return the answer to the last text of a user who has had an offer from the bot."""
    messages = [said(offer)]
    reply: Call | str = ""
    for text in texts:
        messages.append({"role": "user", "content": text})
        reply = answer(LLMRequest(messages, FUNCTIONS))
        messages += [said(reply)] if isinstance(reply, str) else []
    return reply


OFFER = "Good day, Vera speaking. Would you like to book a room?"


@pytest.mark.parametrize("yes", ["Yes.", "yes please", "Sure!", "Okay", "I would like to", "please"])
def test_yes_to_an_offer_is_a_request(yes: str) -> None:
    """The bot asks for the arguments of the function that its question named."""
    assert offered(OFFER, yes) == "Before I book room, tell me: how many nights?"
    assert offered(OFFER, yes, "two nights", "my name is Grace") == Call("book_room", {"nights": 2, "name": "Grace"})


def test_yes_may_say_more() -> None:
    """Arguments in the answer to an offer count."""
    assert offered(OFFER, "yes, for two nights", "Grace") == Call("book_room", {"nights": 2, "name": "Grace"})


@pytest.mark.parametrize("text", ["No, thanks.", "no", "hello", "yes please tell me a long story about the sea"])
def test_an_offer_may_be_declined_or_passed_over(text: str) -> None:
    """No function is called, and the rules answer."""
    assert offered(OFFER, text) == answer(LLMRequest([said(OFFER), {"role": "user", "content": text}]))


def test_yes_to_what_names_no_function_calls_none() -> None:
    """A yes to a statement calls none either."""
    assert offered("How do you do?", "yes") == "All right. Ask me what I can do."
    assert offered("I could book a room.", "yes") == "All right. Ask me what I can do."


@pytest.mark.parametrize("text", ["Okay, don't book a room.", "Sure, never mind.", "Yes, but do not book it"])
def test_a_yes_that_takes_itself_back_calls_nothing(text: str) -> None:
    """The bot does not ask for arguments of a function that the user does not want."""
    reply = offered(OFFER, text)
    assert isinstance(reply, str)
    assert not reply.startswith("Before I book room")


def test_a_yes_to_what_the_user_asked_themselves_calls_nothing() -> None:
    """Only offers of the bot are accepted."""
    messages: list[Message] = [{"role": "user", "content": "Would you like to book a room?"}]
    reply = answer(LLMRequest([*messages, {"role": "user", "content": "yes"}], FUNCTIONS))
    assert reply == "I am sorry, I did not get that. Before I book room, tell me: how many nights?"


@pytest.mark.parametrize("heard", ["but the room for two nights", "put her in for two nights please", "two nights"])
def test_a_number_beside_an_arguments_name_is_a_request(heard: str) -> None:
    """Speech recognition makes mistakes, and often misses words."""
    assert offered(OFFER, heard) == "Before I book room, tell me: what is the name?"


@pytest.mark.parametrize(("heard", "nights"), [("to", 2), ("too", 2), ("for nights", 4), ("won", 1)])
def test_a_number_alone_may_have_been_heard_as_another_word(heard: str, nights: int) -> None:
    """After a question about a number, such words count as numbers."""
    assert offered(OFFER, "yes", heard, "Grace") == Call("book_room", {"nights": nights, "name": "Grace"})


@pytest.mark.parametrize("text", ["What can you do?", "help"])
def test_who_asks_for_help_gives_no_name(text: str) -> None:
    """The user gets help, and then the question is asked again."""
    help = answer(LLMRequest([{"role": "user", "content": text}]))
    assert offered(OFFER, "two nights", text) == f"{help} Before I book room, tell me: what is the name?"


@pytest.mark.parametrize("text", ["Goodbye.", "no thanks", "No, thank you."])
def test_who_declines_or_takes_leave_gives_no_name(text: str) -> None:
    """The bot stops asking."""
    assert offered(OFFER, "two nights", text) == "Very well, I will not do that: book room."


def test_what_the_user_does_not_want_is_not_called() -> None:
    """A function that is named together with a no is not called."""
    assert talk("Don't book a room for two nights for Ada") == "Very well, I will not do that: book room."


@pytest.mark.parametrize("text", ["hello", "what is my name?", "count to 3", "tell me a story"])
def test_small_talk_calls_nothing(text: str) -> None:
    """Functions do not prevent the rules from answering."""
    assert talk(text) == talk(text, functions=())


@pytest.mark.parametrize(
    ("result", "sentence"),
    [
        ({"booking": 12, "paid": False}, "The answer is: booking 12 and paid no."),
        (["a", "b", "c"], "The answer is: a, b and c."),
        ("It is sunny.", "The answer is: It is sunny."),
        (21.5, "The answer is: 21.5."),
        (0, "The answer is: 0."),
        (False, "The answer is: no."),
    ],
)
def test_a_result_is_told_in_a_sentence(result: object, sentence: str) -> None:
    """Any JSON result becomes a sentence, after the name of what was done."""
    messages = exchange(Call("book_room", {"nights": 2}), result)
    assert answer(LLMRequest(messages, FUNCTIONS)) == f"Done: book room, with nights 2. {sentence}"


@pytest.mark.parametrize("result", [None, True, "", {}])
def test_a_result_that_says_nothing_is_confirmed(result: object) -> None:
    """There is an answer even if the function returned nothing."""
    assert answer(LLMRequest(exchange(Call("ring", {}), result))) == "Done: ring."


def test_a_failure_is_told() -> None:
    """A result with an error is not reported as done."""
    messages = exchange(Call("ring", {}), {"error": "The bell is broken."})
    assert answer(LLMRequest(messages)) == "That failed: ring. The reason is: The bell is broken."


def test_the_wrapped_form_of_a_function_is_understood() -> None:
    """Some clients wrap each function as {type, function}."""
    wrapped: Any = {"type": "function", "function": FUNCTIONS[1]}
    assert talk("the weather in Rome", functions=[wrapped]) == Call("get_weather", {"city": "Rome"})


words = st.sampled_from(
    "nights name city book room size flag list deep two 3 for in with without called 2026-12-24".split()
)
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | words
keywords = (
    st.sampled_from("type properties required items enum const anyOf format minimum maximum minLength".split()) | words
)
types = st.sampled_from(["string", "integer", "number", "boolean", "array", "object", "null"])
schemas = st.recursive(
    leaves | types,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keywords, inner | types, max_size=5),
    max_leaves=20,
)
names = words | st.text(max_size=12)
odd = st.fixed_dictionaries({"name": names | leaves}, optional={"description": leaves, "parameters": schemas}) | schemas


@given(
    st.lists(odd, max_size=3),
    st.lists(st.lists(words, max_size=6).map(" ".join) | st.text(max_size=30), min_size=1, max_size=4),
)
def test_no_function_makes_it_raise(functions: list[Any], texts: list[str]) -> None:
    """Clients write the schemas. With any schema, there is an answer, or a call that can be written as JSON."""
    reply = talk(*texts, functions=functions)
    assert isinstance(reply, str) or (reply.name and json.dumps(dict(reply.arguments)))
