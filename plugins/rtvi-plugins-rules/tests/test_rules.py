"""What the rules answer, and what they remember."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtvi_plugins.context import Message
from rtvi_plugins.kinds import LLMRequest
from rtvi_plugins_rules.calling import Call
from rtvi_plugins_rules.llm import answer
from rtvi_plugins_rules.numbers import evaluate, number_of, numbers, spell_number


def say(*texts: str, system: str = "", name: str = "") -> str:
    """Say the texts one after the other, and return the answer to the last."""
    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    reply: Call | str = ""
    for text in texts:
        messages.append({"role": "user", "content": text})
        reply = answer(LLMRequest(messages), name)
        assert isinstance(reply, str)
        messages.append({"role": "assistant", "content": reply})
    assert isinstance(reply, str)
    return reply


@pytest.mark.parametrize(
    "question", ["Are you a language model?", "are you an AI", "Which model is this?", "ARE YOU HUMAN?"]
)
def test_it_says_that_it_is_no_language_model(question: str) -> None:
    """Users who ask get the truth."""
    assert say(question).startswith("No, I am a rule-based replacement for a language model")


@pytest.mark.parametrize(
    ("stated", "question", "recalled"),
    [
        ("My name is Ada.", "What is my name?", "Your name is Ada."),
        ("I am called Ada", "who am I?", "Your name is Ada."),
        ("Call me Ada!", "Do you remember my name?", "Your name is Ada."),
        ("I'm Ada.", "can you tell me what my name is", "Your name is Ada."),
        ("My favourite colour is green.", "What's my favorite color?", "Your favourite colour is green."),
        ("I live in New York, near the park.", "Where do I live?", "You live in New York."),
        ("I'm from Paris and I like cheese", "where am I from?", "You come from Paris."),
        ("I work at a bakery.", "Where do I work?", "You work at a bakery."),
        ("I am 36 years old", "how old am I", "You are 36 years old."),
        ("I love old clocks.", "What do I like?", "You like old clocks."),
        ("My flight number is KL 123.", "what is my flight number", "Your flight number is KL 123."),
        ("My children are Tim and Tom.", "Who are my children?", "Your children are Tim and Tom."),
        (
            "Remember that the key is under the mat.",
            "What do you remember?",
            "You asked me to remember: the key is under the mat.",
        ),
    ],
)
def test_a_fact_stated_seven_turns_ago_is_recalled(stated: str, question: str, recalled: str) -> None:
    """Facts come from the whole conversation, even from its beginning."""
    between = ["Hello", "How are you?", "count to 5", "2 + 2", "thanks", "tell me a joke"]
    assert say(stated, *between, question) == recalled


def test_the_newest_of_two_statements_counts() -> None:
    """A fact can be corrected."""
    assert say("My name is Ada.", "Sorry, my name is Grace.", "What is my name?") == "Your name is Grace."


def test_what_was_never_stated_is_not_made_up() -> None:
    """If a fact is unknown, the answer says so."""
    assert say("What is my name?") == "You have not told me your name."
    assert say("What is my shoe size?") == "You have not told me your shoe size."


def test_what_was_said_first_and_last_is_quoted() -> None:
    """The user's own words are quoted unchanged."""
    assert say("Good morning", "count to 3", "What did I say first?") == "The first thing you said was: “Good morning”"
    assert say("Good morning", "count to 3", "What did I just say?") == "The last thing you said was: “count to 3”"
    assert say("What did I say?") == "This is the first thing you said."


def test_it_repeats_its_own_last_answer() -> None:
    """Users can ask for a repetition."""
    assert say("2 + 2", "What did you say?") == "That is 4."


@pytest.mark.parametrize(
    ("sum_", "value"),
    [
        ("What is 3 plus four times 2?", "That is 11."),
        ("how much is twenty-five divided by 2", "That is 12.5."),
        ("7 - 10", "That is -3."),
        ("what's 1,000 minus one", "That is 999."),
        ("calculate 5 divided by zero", "Nothing can be divided by zero."),
    ],
)
def test_sums_are_done(sum_: str, value: str) -> None:
    """Numbers may be digits or words, and multiplication comes first."""
    assert say(sum_) == value


def test_long_answers_are_there_to_be_interrupted() -> None:
    """Stories and counting are long. A second story is a different one."""
    assert say("Count to fifty") == ", ".join(map(str, range(1, 51))) + "."
    assert say("count down from 3 to 1") == "3, 2, 1."
    assert len(say("Tell me a story").split()) > 100
    assert say("Tell me a story") != say("Tell me a story", "tell me another story")
    assert say("count to 999999") == "That is too far for me. I count up to 1000 numbers."


def test_a_prompt_may_give_a_greeting_a_name_and_instructions() -> None:
    """The rules understand only these three parts of a system prompt."""
    prompt = 'You are a receptionist called Vera. Greet the caller with "Good day, Hotel Bella!"'
    assert say("Hello", system=prompt) == "Good day, Hotel Bella!"
    assert say("Who are you?", system=prompt).startswith("I am Vera, a rule-based replacement")
    assert say("What are your instructions?", system=prompt) == f"My instructions are: {prompt}"
    assert say("What is your name?", system=prompt, name="Otto").startswith("I am Otto, a rule-based replacement")


def test_it_speaks_first_when_nobody_has_said_anything() -> None:
    """An empty conversation begins with a greeting."""
    greet: Message = {"role": "system", "content": 'Say "Welcome!"'}
    assert answer(LLMRequest([greet])) == "Welcome!"
    assert answer(LLMRequest([])) == "Hello! I am a rule-based replacement for a language model. What can I do for you?"


HELPFUL = 'Greet the caller with "Good day!" Whoever needs help is told: "You can say: book a room."'


@pytest.mark.parametrize(
    "text", ["What can you do?", "Help!", "what can i say", "Flugelhorn", "no", "No, thanks.", "Yes."]
)
def test_a_prompt_may_say_what_to_suggest(text: str) -> None:
    """Users who ask for help hear what they can say."""
    assert "You can say: book a room." in say(text, system=HELPFUL)
    assert "You can say" not in say("Hello", system=HELPFUL)


def test_a_greeting_that_offers_help_is_no_suggestion() -> None:
    """A sentence after the quotation is not part of what users who need help hear."""
    prompt = 'Greet the caller with "How can I help?" Whoever needs help is told: "You can say: book a room."'
    assert "You can say: book a room." in say("Flugelhorn", system=prompt)
    assert "Whoever" not in say("Flugelhorn", system=prompt)


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("thanks", "You are welcome."),
        ("Thank you very much.", "You are welcome."),
        ("goodbye", "Goodbye!"),
        ("no thanks", "All right. Ask me what I can do."),
        ("Yes, please.", "All right. Ask me what I can do."),
        ("okay then", "All right."),
        ("my name is robert", "Nice to meet you, Robert."),
        ("my name is a bit", "Nice to meet you, A Bit."),
    ],
)
def test_small_talk_is_answered(text: str, reply: str) -> None:
    """This includes the spelling of speech recognition, and a wrongly recognised name."""
    assert say(text) == reply


def test_instructions_at_the_end_are_followed() -> None:
    """A bot can make the rules say something in the middle of a conversation."""
    messages: list[Message] = [
        {"role": "user", "content": "Hi"},
        {"role": "system", "content": "Now say “Goodbye now.”"},
    ]
    assert answer(LLMRequest(messages)) == "Goodbye now."


def test_it_has_no_clock() -> None:
    """The same words always get the same answer, so it does not say the time."""
    assert say("What time is it?") == "I have no clock and no calendar, so I cannot tell."


def test_what_no_rule_fits_is_admitted() -> None:
    """The rules do not guess."""
    assert say("Flugelhorn") == "I have no rule for “Flugelhorn”, and rules are all I have. Ask me what I can do."


@given(st.integers(min_value=0, max_value=999))
def test_a_number_in_words_is_read_back(value: int) -> None:
    """Number words and digits mean the same."""
    words = spell_number(value)
    assert number_of(words) == value
    assert [number.value for number in numbers(f"give me {words} of them")] == [value]


def test_dates_are_no_numbers() -> None:
    """The parts of a date belong together."""
    assert numbers("on 2026-12-24") == []
    assert evaluate("2026-12-24") is None


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
phrases = st.lists(
    st.sampled_from(
        """my name is Ada i live in what who where remember that count to from tell me a story 1 two 3.5
        9999999999999999 plus / divided by zero . , ? ! ' “quoted” say first don't are you call hundred thousand
        and""".split()
    ),
    max_size=12,
).map(" ".join)
contents = phrases | st.text(max_size=60) | anything
fields = {"content": contents, "role": st.sampled_from(["system", "user", "assistant", "tool"]) | anything}
messages_ = st.lists(
    st.fixed_dictionaries(fields, optional={"tool_calls": anything, "tool_call_id": anything, "name": anything}),
    max_size=5,
)


@given(messages_, phrases | st.text(max_size=80))
def test_no_conversation_makes_it_raise(before: list[Any], text: str) -> None:
    """Clients write the messages. Whatever these contain, there is an answer."""
    messages: list[Message] = [*before, {"role": "user", "content": text}]
    reply = answer(LLMRequest(messages))
    assert isinstance(reply, str)
    assert reply
    assert reply == answer(LLMRequest(messages))


@given(messages_)
def test_no_last_message_makes_it_raise(messages: list[Any]) -> None:
    """This is also true if the last message is not the user's."""
    assert answer(LLMRequest(messages))
