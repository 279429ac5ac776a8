"""Topics and texts of functions, which a bot's author gives to the rules."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtvi_plugins import LLM, Session, bot
from rtvi_plugins.context import Function, Message
from rtvi_plugins.errors import BotError
from rtvi_plugins.kinds import LLMRequest
from rtvi_plugins.testing import host_for
from rtvi_plugins_rules import FunctionTexts, Topic
from rtvi_plugins_rules.calling import Call
from rtvi_plugins_rules.knowledge import Knowledge
from rtvi_plugins_rules.llm import answer
from rtvi_plugins_rules.matching import Matcher, best
from rtvi_plugins_rules.wording import fill

TOPICS: dict[str, Topic] = {
    "delivery": {
        "examples": ["Do you deliver?", "How long does delivery take?", "What does the delivery cost?"],
        "answers": ["We deliver in thirty minutes.", "Delivery takes thirty minutes."],
    },
    "allergens": {
        "examples": ["Is there a pizza without gluten?", "I am allergic to nuts.", "Do you have vegan pizza?"],
        "answers": ["All our pizzas can be made without gluten."],
    },
    "wi-fi": {"examples": ["Do you have wi-fi?"], "answers": ["Yes, it is free."]},
    "check-out": {"examples": ["When is check-out?"], "answers": ["At eleven."]},
}
FUNCTIONS: dict[str, FunctionTexts] = {
    "order_pizza": {
        "examples": ["I would like a pizza.", "Can I order something?"],
        "questions": {"pieces": ["How many?", "How many pizzas?"], "name": ["Who is it for?"]},
        "confirmation": "{pieces:pizza} for {name}[ on {day}], {pieces * 9} euros. Is that right?",
        "result": "Thank you, {name}. It is number {number}.",
        "declined": "Nothing is ordered.",
    }
}
ORDER: Function = {
    "name": "order_pizza",
    "description": "Order pizza.",
    "parameters": {
        "type": "object",
        "properties": {
            "pieces": {"type": "integer", "minimum": 1},
            "name": {"type": "string"},
            "day": {"type": "string"},
        },
        "required": ["pieces", "name"],
    },
}
KNOWLEDGE = Knowledge(TOPICS, FUNCTIONS, ["I did not get that.", "Sorry, what?"])


def talk(*texts: str, result: object = None) -> Call | str:
    """Return the answer to the last text. Calls get the result, and the answer to it counts."""
    messages: list[Message] = []
    reply: Call | str = ""
    for text in texts:
        messages.append({"role": "user", "content": text})
        reply = answer(LLMRequest(messages, [ORDER]), knowledge=KNOWLEDGE)
        if isinstance(reply, Call) and result is not None:
            call: Any = {"id": "1", "function": {"name": reply.name, "arguments": json.dumps(dict(reply.arguments))}}
            messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
            messages.append({"role": "tool", "tool_call_id": "1", "content": json.dumps(result)})
            reply = answer(LLMRequest(messages, [ORDER]), knowledge=KNOWLEDGE)
        if isinstance(reply, str):
            messages.append({"role": "assistant", "content": reply})
    return reply


@pytest.mark.parametrize(
    ("text", "topic"),
    [
        ("Do you deliver?", "delivery"),
        ("what would delivering cost me", "delivery"),
        ("the delivary please", "delivery"),
        ("any gluten in it?", "allergens"),
        ("i have an allergy", "allergens"),
        ("what about nut allergies", "allergens"),
        ("is there WiFi", "wi-fi"),
        ("the wi fi password", "wi-fi"),
        ("when do i have to check out", "check-out"),
        ("checkout?", "check-out"),
    ],
)
def test_a_question_need_not_be_an_example(text: str, topic: str) -> None:
    """Endings, spelling and hyphens make no difference."""
    assert talk(text) == TOPICS[topic]["answers"][0]


def test_an_example_means_its_own_topic() -> None:
    """This is so although most of its words belong to another topic."""
    other: Topic = {"examples": ["A person, a real one!", "The real person.", "Real person!"], "answers": ["No."]}
    topics = {"other": other, "person": Topic(examples=["Are you a real person?"], answers=["Yes."])}
    assert Knowledge(topics).topic("are you a real person") == topics["person"]


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("Thank you very much.", "You are welcome."),
        ("No, thank you, that is all. Goodbye!", "You are welcome. Goodbye!"),
        ("Okay, thanks a lot for your help, see you soon", "You are welcome. Goodbye!"),
        ("Thanks! And how much is it?", "Nine euros."),
    ],
)
def test_thanks_and_goodbyes_are_about_no_topic(text: str, reply: str) -> None:
    """This is so although `much` is a word of a topic."""
    price: Topic = {"examples": ["How much is it?", "So much?", "That much?"], "answers": ["Nine euros."]}
    assert answer(LLMRequest([{"role": "user", "content": text}]), knowledge=Knowledge({"price": price})) == reply


@pytest.mark.parametrize("text", ["flugelhorn", "the", "what is it", "do you have a", ""])
def test_what_no_topic_is_about_matches_none(text: str) -> None:
    """Short common words are not enough."""
    assert KNOWLEDGE.topic(text) is None


def test_answers_take_turns() -> None:
    """If a topic has only one answer, the bot says that it repeats itself."""
    assert talk("do you deliver", "do you deliver") == "Delivery takes thirty minutes."
    assert talk("do you deliver", "do you deliver", "do you deliver") == "We deliver in thirty minutes."
    assert talk("vegan?", "vegan?") == "As I said: All our pizzas can be made without gluten."


def test_fallbacks_take_turns() -> None:
    """The same sentence is not said twice in a row."""
    assert [talk(*["flugelhorn"] * times) for times in (1, 2, 3)] == [
        "I did not get that.",
        "Sorry, what?",
        "I did not get that.",
    ]


#: It fits two topics nearly as well.
UNCLEAR = "I am allergic, can you deliver?"
ASKED_BACK = "I am not sure what you mean. Is it about delivery or allergens?"


def test_it_asks_back_if_two_topics_fit() -> None:
    """It does not give a wrong answer. If the question does not help, it says what it can do."""
    assert talk(UNCLEAR) == ASKED_BACK
    assert KNOWLEDGE.topic(UNCLEAR) is None
    assert talk(UNCLEAR, UNCLEAR) == "I did not get that."


@pytest.mark.parametrize(
    ("choice", "topic"),
    [
        ("yes", "delivery"),
        ("The first one, please.", "delivery"),
        ("the second", "allergens"),
        ("allergens", "allergens"),
        ("do you have wi-fi", "wi-fi"),
    ],
)
def test_the_user_chooses(choice: str, topic: str) -> None:
    """Users choose by position or by words, or ask something else. Later turns remember the choice."""
    assert talk(UNCLEAR, choice) == TOPICS[topic]["answers"][0]


def test_a_function_is_chosen_too() -> None:
    """It is chosen by its title. The request continues in the next turns."""
    topics: dict[str, Topic] = {
        "prices": {"examples": ["What is a pizza?"], "answers": ["Nine."], "title": "our prices"}
    }
    functions: dict[str, FunctionTexts] = {"order_pizza": {**FUNCTIONS["order_pizza"], "title": "an order"}}
    messages: list[Message] = []
    for text in ("order prices", "the second", "two"):
        messages.append({"role": "user", "content": text})
        reply = str(answer(LLMRequest(messages, [ORDER]), knowledge=Knowledge(topics, functions)))
        messages.append({"role": "assistant", "content": reply})
    replies = [each["content"] for each in messages[1::2]]
    assert replies[1:] == ["How many?", "Who is it for?"], replies


def test_a_word_that_says_little_decides_nothing() -> None:
    """Most of the sentence is unknown, including its important words."""
    topics: dict[str, Topic] = {
        "arrival": {"examples": ["Can I come before noon?", "When is the room ready?"], "answers": ["At three."]},
        "sauna": {"examples": ["Is there a sauna?"], "answers": ["Yes."]},
    }
    assert Knowledge(topics).topic("are you past the lighthouse or before the roundabout") is None
    assert Knowledge(topics).topic("may we come before twelve") == topics["arrival"]


def test_synonyms_stand_for_words_of_the_examples() -> None:
    """A synonym may have several words, and is replaced only as a whole."""
    synonyms = {"deliver": ["bring it round", "ship"], "wi-fi": ["internet"]}
    knowledge = Knowledge(TOPICS, FUNCTIONS, (), synonyms)
    assert knowledge.topic("can you Bring it  round?") == TOPICS["delivery"]
    assert knowledge.topic("is there internet") == TOPICS["wi-fi"]
    assert knowledge.topic("we own a reshipper") is None


def test_a_function_is_asked_for_confirmed_and_reported() -> None:
    """The bot uses the author's words."""
    assert talk("can i order") == "How many?"
    assert talk("can i order", "two") == "Who is it for?"
    assert talk("can i order", "two", "ann") == "Two pizzas for Ann, 18 euros. Is that right?"
    assert talk("can i order", "two", "ann", "yes") == Call("order_pizza", {"pieces": 2, "name": "Ann"})
    assert talk("can i order", "two", "ann", "yes", result={"number": 5}) == "Thank you, Ann. It is number 5."
    assert talk("can i order", "two", "ann", "yes", result={"error": "The oven is cold."}) == (
        "I am sorry, that did not work. The oven is cold."
    )


def test_a_result_that_lacks_a_value_is_told_without_the_template() -> None:
    """Otherwise, the sentence would have a gap."""
    assert str(talk("can i order", "two", "ann", "yes", result={"ok": True})).startswith("Done: order pizza, with")


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("no, three", "Three pizzas for Ann, 27 euros. Is that right?"),
        ("not Ann, Anna", "Two pizzas for Anna, 18 euros. Is that right?"),
        ("on friday please", "Two pizzas for Ann on Friday, 18 euros. Is that right?"),
        ("no", "What shall I change?"),
        ("do you deliver", "We deliver in thirty minutes. Two pizzas for Ann, 18 euros. Is that right?"),
        ("flugelhorn", "I am sorry, I did not get that. Two pizzas for Ann, 18 euros. Is that right?"),
        ("cancel", "Nothing is ordered."),
        ("go ahead", Call("order_pizza", {"pieces": 2, "name": "Ann"})),
        ("yes please", Call("order_pizza", {"pieces": 2, "name": "Ann"})),
    ],
)
def test_a_confirmation_is_answered(text: str, reply: Call | str) -> None:
    """Only a yes calls the function."""
    assert talk("can i order", "two", "ann", text) == reply


def test_after_a_no_a_value_alone_is_a_correction() -> None:
    """The bot has asked what to change."""
    assert talk("can i order", "two", "ann", "no", "Bob") == "Two pizzas for Bob, 18 euros. Is that right?"
    assert talk("can i order", "two", "ann", "no", "five") == "Five pizzas for Ann, 45 euros. Is that right?"


def test_a_question_in_between_is_answered() -> None:
    """The bot asks again, in other words."""
    assert talk("can i order", "do you deliver") == "We deliver in thirty minutes. How many pizzas?"
    assert talk("can i order", "do you deliver", "two") == "Who is it for?"


def test_an_argument_that_is_named_is_asked_for_again() -> None:
    """This is so after a no."""
    assert talk("can i order", "two", "ann", "no", "the name") == "Who is it for?"
    assert talk("can i order", "two", "ann", "no", "the name", "bob") == "Two pizzas for Bob, 18 euros. Is that right?"


def test_what_was_said_before_an_offer_counts() -> None:
    """A yes keeps it."""
    messages: list[Message] = [
        {"role": "user", "content": "anything on friday"},
        {"role": "assistant", "content": "Sure. Would you like to order pizza?"},
        {"role": "user", "content": "yes please"},
        {"role": "assistant", "content": "How many?"},
        {"role": "user", "content": "two"},
        {"role": "assistant", "content": "Who is it for?"},
        {"role": "user", "content": "it's ann"},
    ]
    reply = answer(LLMRequest(messages, [ORDER]), knowledge=Knowledge({}, FUNCTIONS))
    assert reply == "Two pizzas for Ann on Friday, 18 euros. Is that right?"


@pytest.mark.parametrize("text", ["what", "pardon?", "could you repeat that", "say that again please"])
def test_a_question_is_repeated(text: str) -> None:
    """Nothing else happens."""
    assert talk("can i order", text) == "How many pizzas?"


def test_after_a_call_nothing_is_open() -> None:
    """A later yes does not call again."""
    assert talk("can i order", "two", "ann", "yes", "do you deliver", result=True) == "We deliver in thirty minutes."
    assert talk("can i order", "two", "ann", "yes", "yes", result=True) == "All right. Ask me what I can do."


@pytest.mark.parametrize(
    ("text", "beginning"),
    [
        ("are you a robot", "Yes, I am a computer program, a rule-based replacement for a language model."),
        ("are you human", "No, I am a rule-based replacement for a language model."),
        ("is this a recording", "I am a computer program, a rule-based replacement for a language model."),
    ],
)
def test_it_says_what_it_is(text: str, beginning: str) -> None:
    """It does not pretend to be something else."""
    assert str(talk(text)).startswith(beginning)


# ---- templates -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{nights:night} for {name}", "Three nights for Ada"),
        ("{one:night}[ from {day}]", "One night"),
        ("{nights * 80} euros[, {nights} x {name}]", "240 euros, 3 x Ada"),
        ("{many:night}", "20 nights"),
        ("{paid}, {tags}", "Yes, a, b"),
        ("{nobody}", None),
        ("{nobody * 2}", None),
        ("{nights / 0}", None),
    ],
)
def test_a_template_is_filled(template: str, text: str | None) -> None:
    """Numbers are spoken forms. A template that lacks a value gives no text."""
    values = {"nights": 3, "one": 1, "many": 20, "name": "Ada", "paid": True, "tags": ["a", "b"]}
    assert fill(template, values) == text


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (
            {"topics": {"a": {"examples": [], "answers": ["x"]}}},
            "has nothing in a.examples; write at least one sentence",
        ),
        ({"topics": {"a": {"examples": ["x"], "answers": [" "]}}}, "has ' ' in a.answers, which is empty"),
        ({"topics": {"a": {"examples": ["x"]}}}, "$.a.answers: is required"),
        ({"functions": {"f": {"result": "{a b}?"}}}, "has '{a b}?' in f.result, whose {a b} is not a value; write"),
        ({"functions": {"f": {"result": "[{name}"}}}, "has '[{name}' in f.result, in which a bracket is not closed"),
        ({"functions": {"f": {"confirm": "x"}}}, "$.f.confirm: unknown field 'confirm'; did you mean 'confirmation'?"),
        ({"fallbacks": [""]}, "$[0]: must have at least 1 character"),
    ],
)
def test_a_mistake_of_the_author_is_named(config: dict[str, Any], problem: str) -> None:
    """The error has the place of the mistake."""

    @bot(services={"llm": "rules"}, config={"llm.rules": config})
    async def talker(session: Session, /, llm: LLM) -> None: ...

    with pytest.raises(BotError) as raised:
        host_for(talker)
    (option,) = config
    assert f"config= gives 'llm.rules.{option}' a wrong value: {problem}" in str(raised.value)


words = st.sampled_from(
    "deliver pizza gluten i do you have a yes no two ann cancel what friday for not 3 wi fi".split()
)


@given(st.lists(st.lists(words, max_size=5).map(" ".join) | st.text(max_size=20), min_size=1, max_size=6))
def test_no_conversation_makes_it_raise(texts: list[str]) -> None:
    """There is always an answer."""
    assert talk(*texts)


@given(st.text(max_size=300))
def test_no_text_makes_matching_raise(text: str) -> None:
    """With no intents, nothing matches."""
    assert best(Matcher.of({}).ranked(text)) is None
    assert Matcher.of({"a": ["x y"]}, {"x": ["y z"]}).ranked(text) is not None
    KNOWLEDGE.topic(text)
