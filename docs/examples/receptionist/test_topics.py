"""What the receptionist answers: to what people ask a hotel, typed and recognised, and on the way to a booking."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TypeAlias

import pytest
from rtvi_plugins.context import Function, Message
from rtvi_plugins.kinds import LLMRequest
from rtvi_plugins_rules.llm import Rules, answer, teach

from bot import INSTRUCTIONS
from hotel import FALLBACKS, FUNCTIONS, SYNONYMS, TOPICS

HERE = Path(__file__).parent
Sentences: TypeAlias = Mapping[str, Sequence[str]]


def sentences(file: str) -> Sentences:
    """Return the sentences of a file by topic."""
    return tomllib.loads((HERE / file).read_text("utf-8"))


TYPED = sentences("sentences.toml")
#: What recognisers heard when they were spoken, the share that must be answered as meant, and the most that may get the
#: answer to another question. The rest is asked back.
RECOGNISED = [
    (sentences("recognised_by_pocketsphinx.toml"), 0.75, 0.12),
    (sentences("recognised_by_whisper.toml"), 0.85, 0.06),
]
#: Sentences by other people. Their words are in the vocabulary now.
CALLERS = [sentences("callers_1.toml"), sentences("callers_2.toml")]
#: What the bot has said first, quoted in its instructions.
GREETING = INSTRUCTIONS.split('"')[1]
BOOK_ROOM: Function = {
    "name": "book_room",
    "description": "Book a room and return the booking.",
    "parameters": {
        "type": "object",
        "properties": {
            "nights": {"type": "integer", "minimum": 1, "maximum": 14},
            "name": {"type": "string", "minLength": 1},
            "day": {"type": "string", "minLength": 1},
        },
        "required": ["nights", "name"],
    },
}
RULES = Rules()
teach(RULES, topics=TOPICS, functions=FUNCTIONS, fallbacks=FALLBACKS, synonyms=SYNONYMS)


def replies(*texts: str) -> list[str]:
    """Return the answers to a caller who says these texts after the greeting."""
    messages: list[Message] = [{"role": "system", "content": INSTRUCTIONS}, {"role": "assistant", "content": GREETING}]
    for text in texts:
        messages.append({"role": "user", "content": text})
        reply = answer(LLMRequest(messages, [BOOK_ROOM]), knowledge=RULES.knowledge)
        assert isinstance(reply, str), reply
        messages.append({"role": "assistant", "content": reply})
    return [str(each["content"]) for each in messages[3::2]]


@cache
def topic_of(text: str) -> str | None:
    """Return the topic of the answer to a text; None if the bot asks back or says that it has not understood."""
    (reply,) = replies(text)
    questions = FUNCTIONS["book_room"].get("questions", {}).values()
    if any(reply in each for each in questions) or reply.endswith("Shall I book it?"):
        return "booking"
    if "a rule-based replacement for a language model" in reply:
        return "robot"
    return next((name for name, topic in TOPICS.items() if reply in topic["answers"]), None)


def is_answered(topic: str, text: str) -> bool:
    """Return whether the answer to a text is about the topic."""
    return topic_of(text) == topic


def shares(sentences: Sentences) -> tuple[float, float, Sequence[str]]:
    """Return the share of sentences that are answered as meant, the share of wrong answers, and what is wrong."""
    answers = [(topic, topic_of(text), text) for topic, texts in sentences.items() for text in texts]
    wrong = [f"{text} -> {found}" for topic, found, text in answers if found not in (topic, None)]
    return sum(topic == found for topic, found, _ in answers) / len(answers), len(wrong) / len(answers), wrong


def test_each_topic_has_ten_sentences() -> None:
    """Each sentence was also recorded."""
    assert set(TYPED) == {*TOPICS, "booking", "robot"}
    for each in (TYPED, *(heard for heard, _, _ in RECOGNISED)):
        assert list(each) == list(TYPED)
        assert {len(texts) for texts in each.values()} == {10}


@pytest.mark.parametrize("written", [TYPED, *CALLERS], ids=["typed", "callers 1", "callers 2"])
def test_no_sentence_was_prepared(written: Sentences) -> None:
    """The rules have no example with the same words."""
    examples = [each["examples"] for each in TOPICS.values()] + [FUNCTIONS["book_room"].get("examples", [])]
    known = {plain(text) for texts in examples for text in texts}
    same = [text for texts in written.values() for text in texts if plain(text) in known]
    assert len(same) <= 0.1 * sum(map(len, written.values())), same


def plain(text: str) -> str:
    """Return a sentence without punctuation and case."""
    return "".join(each for each in text.lower() if each.isalnum())


@pytest.mark.parametrize("topic", TYPED)
def test_every_topic_is_answered(topic: str) -> None:
    """At least seven of ten typed sentences are answered."""
    right = [text for text in TYPED[topic] if is_answered(topic, text)]
    assert len(right) >= 7, [text for text in TYPED[topic] if text not in right]


def test_typed_sentences_are_answered_as_meant() -> None:
    """At least 19 of 20 are. A question is better than a wrong answer."""
    right, wrong, texts = shares(TYPED)
    assert right >= 0.95, texts
    assert wrong <= 0.02, texts


@pytest.mark.parametrize("written", CALLERS, ids=["1", "2"])
def test_sentences_of_callers_are_answered_as_meant(written: Sentences) -> None:
    """These are not only sentences of the people who wrote the topics."""
    right, wrong, texts = shares(written)
    assert right >= 0.95, texts
    assert wrong <= 0.02, texts


@pytest.mark.parametrize(("heard", "least", "most_wrong"), RECOGNISED, ids=["pocketsphinx", "whisper"])
def test_recognised_sentences_are_answered_as_meant(heard: Sentences, least: float, most_wrong: float) -> None:
    """This includes a recogniser that gets every third word wrong, as pocketsphinx does."""
    right, wrong, texts = shares(heard)
    assert right >= least, texts
    assert wrong <= most_wrong, texts


def test_it_asks_back_which_topic_is_meant() -> None:
    """It understands an answer by its position or by its words."""
    question = replies("Can my friend come and join us for breakfast if she's not staying?")[0]
    assert question == "I am not sure what you mean. Is it about breakfast or the restaurant?"
    for choice, topic in [("yes", "breakfast"), ("The second one, please.", "restaurant"), ("breakfast", "breakfast")]:
        *_, reply = replies("Can my friend come and join us for breakfast if she's not staying?", choice)
        assert reply in TOPICS[topic]["answers"]


# ---- booking -------------------------------------------------------------------------------------------------------


def test_one_sentence_may_say_all() -> None:
    """It does not ask for anything that the guest has said."""
    (question,) = replies("A room from Friday to Sunday under the name of Miller, please.")
    assert question == "Two nights for Miller from Friday, 160 euros. Shall I book it?"


@pytest.mark.parametrize(
    ("correction", "question"),
    [
        ("No, four nights.", "Four nights for Robert, 320 euros. Shall I book it?"),
        ("no, four", "Four nights for Robert, 320 euros. Shall I book it?"),
        ("No, Rupert.", "Three nights for Rupert, 240 euros. Shall I book it?"),
        ("sorry, my name is Albert", "Three nights for Albert, 240 euros. Shall I book it?"),
        ("From Saturday, please.", "Three nights for Robert from Saturday, 240 euros. Shall I book it?"),
        ("Make it a week.", "Seven nights for Robert, 560 euros. Shall I book it?"),
        ("Yes, but for two nights.", "Two nights for Robert, 160 euros. Shall I book it?"),
        ("No.", "What shall I change?"),
        ("Hm, flugelhorn", "I am sorry, I did not get that. Three nights for Robert, 240 euros. Shall I book it?"),
        ("Is breakfast included?", "Breakfast is included. "),
        ("Are you a robot?", "Yes, I am a computer program, a rule-based replacement for a language model. "),
        ("never mind", "All right, I have not booked anything. Is there anything else?"),
    ],
)
def test_the_guest_changes_it(correction: str, question: str) -> None:
    """Nothing is booked before a yes. After a question in between, the bot asks again."""
    *_, reply = replies("A room for three nights, please.", "Robert", correction)
    assert reply.startswith(question)
    assert reply.endswith("?")


def test_it_does_not_repeat_itself() -> None:
    """It repeats neither an answer nor the sentence that it has not understood."""
    said = replies("How much is a room?", "What does it cost?", "Flugelhorn", "Flugelhorn", "Flugelhorn")
    assert len(set(said)) == 5


def test_who_is_at_a_loss_is_told_what_to_say() -> None:
    """If it does not understand a sentence, it explains what the user can say."""
    (reply,) = replies("Flugelhorn")
    assert "say: book a room for two nights" in reply
