"""The receptionist, tested offline: conversation, bookings and permissions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from rtvi_plugins import RequestError
from rtvi_plugins.client import Client, EventMessage
from rtvi_plugins.testing import connect

from bot import Booking, free_rooms, receptionist

pytestmark = pytest.mark.anyio

#: Speaks only when spoken to.
QUIET = {"llm": {"run_on_config": False}}


@pytest.fixture(autouse=True)
def _all_rooms_free() -> None:
    free_rooms[:] = range(1, 13)


async def answers(client: Client, events: AsyncIterator[EventMessage], text: str) -> str:
    """Send a text, and return the answer."""
    await client.send_text(text)
    words: list[str] = []
    async for event in events:
        if event.type == "bot-llm-text":
            words.append(event.data["text"])
        if event.type == "bot-llm-stopped" and words:
            break
    return "".join(words).strip()


async def conversation(texts: Sequence[str]) -> list[str]:
    """Return the answers to texts of one caller."""
    async with connect(receptionist, operator={"defaults": QUIET}) as client:
        events = client.events()
        return [await answers(client, events, text) for text in texts]


async def test_it_greets_the_guest() -> None:
    """The bot speaks first."""
    async with connect(receptionist) as client:
        async for event in client.events():
            if event.type == "bot-transcription":
                assert event.data["text"] == "Good day, this is the Seaview, Vera speaking."
                return


async def test_a_guest_books_a_room() -> None:
    """It asks for what is missing, repeats everything, and reports the result in a sentence."""
    assert await conversation(["I'd like to book a room, please.", "Three nights.", "My name is Robert.", "Yes."]) == [
        "How many nights would you like to stay?",
        "And what is your name?",
        "Three nights for Robert from today, 240 euros. Shall I book it?",
        "It is booked, Robert: room 1 for three nights from today, 240 euros. See you soon!",
    ]


async def test_a_question_in_between_is_answered() -> None:
    """Then the bot continues with the booking, in other words than before."""
    said = await conversation(["Book a room.", "What about my dog?", "How far is the beach?", "two", "Ann", "Yes"])
    assert said[0] == "How many nights would you like to stay?"
    assert (said[1].partition(". ")[0], said[1].endswith("For how many nights, please?")) == ("Pets are welcome", True)
    assert (said[2].partition(" is ")[0], said[2].endswith(said[0])) == ("The sandy beach", True)
    assert said[3:5] == ["And what is your name?", "Two nights for Ann from today, 160 euros. Shall I book it?"]
    assert said[5].startswith("It is booked, Ann: room 1 for two nights")


async def test_a_name_is_no_question() -> None:
    """This is so even before the bot asks for it, and although an example of a topic has "in my name"."""
    said = await conversation(["Book a room.", "My name is Robert.", "Four nights."])
    assert said[1] == "For how many nights, please?"
    assert said[2] == "Four nights for Robert from today, 320 euros. Shall I book it?"
    assert (await conversation(["Hello, my name is Ada."]))[0].startswith("Nice to meet you, Ada")


async def test_a_full_hotel_says_so_to_the_guest() -> None:
    """The bot says it in a sentence."""
    free_rooms.clear()
    *_, answer = await conversation(["A room for three nights, please.", "Robert", "Yes"])
    assert answer == "I am sorry, that did not work. All twelve rooms are taken."


async def test_a_client_books_a_room() -> None:
    """The result of an action is the booking, as JSON."""
    async with connect(receptionist) as client:
        booking = await client.action("bot:book_room", nights=3, name="Ada", day="Friday")
    assert booking == {"room": 1, "name": "Ada", "nights": 3, "day": "Friday", "euros": 240}


async def test_nobody_stays_for_no_nights() -> None:
    """Arguments are checked before the action runs, and the error names the place of every problem."""
    async with connect(receptionist) as client:
        with pytest.raises(RequestError) as refused:
            await client.action("bot:book_room", nights=0)
    assert refused.value.code == "invalid-arguments"
    assert len(refused.value.problems) == 2
    assert len(free_rooms) == 12


async def test_a_full_hotel_says_so() -> None:
    """The client receives the text of a `RequestError`."""
    free_rooms.clear()
    async with connect(receptionist) as client:
        with pytest.raises(RequestError, match="All twelve rooms are taken"):
            await client.action("bot:book_room", nights=1, name="Ada")


async def test_the_llm_calls_the_action() -> None:
    """The client receives an event with the result."""
    async with connect(receptionist, operator={"defaults": QUIET}) as client:
        for text in ("My name is Ada.", "Book a room for three nights, please.", "Yes, please."):
            await client.send_text(text)
        result: dict[str, Any] = {}
        async for event in client.events():
            if event.type == "llm-function-call-stopped":
                result = event.data["result"]
                break
    assert Booking(**result) == Booking(1, "Ada", 3, "today", 240)


async def test_a_client_may_not_change_the_instructions() -> None:
    """Everything without a grant is refused."""
    async with connect(receptionist) as client:
        with pytest.raises(RequestError) as refused:
            await client.update_config({"llm": {"messages": []}})
    assert refused.value.code == "not-granted"
