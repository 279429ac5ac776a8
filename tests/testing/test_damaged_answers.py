"""The messages of a fake vendor are damaged one place at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rtvi_plugins.testing.damaged_answers import Damage, damages

Messages = Sequence[dict[str, Any]]

WORDS: Messages = [
    {"type": "words", "id": "a", "words": []},
    {"type": "words", "id": "b", "words": [{"text": "One", "at": 0.1}, {"text": "two.", "at": 0.4}]},
]
END: Messages = [{"type": "end"}]


def damaged(messages: Messages, is_noticed: Callable[[Damage], bool]) -> dict[str, list[Any]]:
    """Return the messages after each damage."""
    found, ways = dict[str, list[Any]](), damages(messages)
    damage: Damage | None = next(ways)
    while damage is not None:
        found[str(damage)] = [damage(each) for each in messages]
        try:
            damage = ways.send(is_noticed(damage))
        except StopIteration:
            damage = None
    return found


def test_a_provider_that_reads_everything_meets_each_damage() -> None:
    """A field is missing, or has another type, in all messages of its family. Others stay as they are."""
    found = damaged([*WORDS, *END], lambda damage: damage.family == ("type=words",))
    assert found.pop("a message that is no object") == [*WORDS, 7]  # the last of two
    first, _ = WORDS
    about = {"type": "words", "id": "b"}
    other = {"unexpected": True}
    assert {each: messages[1] for each, messages in found.items()} == {
        "a message with another type of `type`": {"type": other, "id": "b", "words": WORDS[1]["words"]},
        "a message without `type`": {"id": "b", "words": WORDS[1]["words"]},
        "a message with another type of `id`": {**WORDS[1], "id": other},
        "a message without `id`": {"type": "words", "words": WORDS[1]["words"]},
        "a message with another type of `words`": {**about, "words": 7},
        "a message without `words`": about,
        "a message with another type of `words[]`": {**about, "words": [7, 7]},
        "a message without `words[]`": {**about, "words": []},
        "a message with another type of `words[].text`": {
            **about,
            "words": [{"text": other, "at": 0.1}, {"text": other, "at": 0.4}],
        },
        "a message without `words[].text`": {**about, "words": [{"at": 0.1}, {"at": 0.4}]},
        "a message with another type of `words[].at`": {
            **about,
            "words": [{"text": "One", "at": other}, {"text": "two.", "at": other}],
        },
        "a message without `words[].at`": {**about, "words": [{"text": "One"}, {"text": "two."}]},
    }
    assert found["a message without `id`"][0] == {"type": "words", "words": []}
    assert all(messages[2:] == [*END] for messages in found.values())
    assert first == {"type": "words", "id": "a", "words": []}


def test_what_is_not_read_is_not_damaged_further() -> None:
    """A provider that does not notice another type does not read what is inside."""
    assert [*damaged(WORDS, lambda damage: damage.path in ((), ("id",)))] == [
        "a message that is no object",
        "a message with another type of `type`",
        "a message with another type of `id`",
        "a message without `id`",
        "a message with another type of `words`",
    ]


def test_messages_without_a_type_are_told_apart_by_their_fields() -> None:
    """So the end of an answer is damaged apart from its text."""
    messages: Messages = [{"text": "One"}, {"end": True}]
    assert damaged(messages, lambda damage: False) == {"a message that is no object": [{"text": "One"}, 7]}
