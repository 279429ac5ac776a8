"""The receptionist, tested offline: conversation, bookings and permissions."""

from __future__ import annotations

import pytest
from rtvi_plugins import RequestError
from rtvi_plugins.testing import connect

from bot import Booking, free_rooms, receptionist

pytestmark = pytest.mark.anyio

#: Speaks only when spoken to, and as fast as it is read.
QUIET = {"llm": {"run_on_config": False}, "llm.rules": {"words_per_second": 0}}


@pytest.fixture(autouse=True)
def _all_rooms_free() -> None:
    free_rooms[:] = range(1, 13)


async def test_it_greets_the_guest() -> None:
    """The bot speaks first."""
    async with connect(receptionist) as client:
        async for event in client.events():
            if event.type == "bot-transcription":
                assert event.data["text"] == "Good day, this is the Seaview, Vera speaking."
                return


async def test_a_client_books_a_room() -> None:
    """The result of an action is the booking, as JSON."""
    async with connect(receptionist) as client:
        booking = await client.action("bot:book_room", nights=3, name="Ada")
    assert booking == {"room": 1, "name": "Ada", "nights": 3, "euros": 240}


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


async def test_the_guest_books_by_typing() -> None:
    """The LLM calls an action, and the client receives an event."""
    async with connect(receptionist, operator={"defaults": QUIET}) as client:
        await client.send_text("My name is Ada.")
        await client.send_text("Book a room for three nights, please.")
        async for event in client.events():
            if event.type == "llm-function-call-stopped":
                assert Booking(**event.data["result"]) == Booking(1, "Ada", 3, 240)
                return


async def test_the_guest_answers_its_questions() -> None:
    """A short answer to its question is enough."""
    async with connect(receptionist) as client:
        said = ["Yes, please.", "Two nights.", "My name is Robert."]
        async for event in client.events():
            if event.type == "bot-transcription" and event.data["text"].endswith("?"):
                await client.send_text(said.pop(0))
            if event.type == "llm-function-call-stopped":
                assert Booking(**event.data["result"]) == Booking(1, "Robert", 2, 160)
                return


async def test_who_is_at_a_loss_is_told_what_to_say() -> None:
    """If it does not understand a sentence, it explains what the user can say."""
    async with connect(receptionist, operator={"defaults": QUIET}) as client:
        await client.send_text("Flugelhorn")
        async for event in client.events():
            if event.type == "bot-transcription" and "You can say: book a room for two nights." in event.data["text"]:
                return


async def test_a_client_may_not_change_the_instructions() -> None:
    """Everything without a grant is refused."""
    async with connect(receptionist) as client:
        with pytest.raises(RequestError) as refused:
            await client.update_config({"llm": {"messages": []}})
    assert refused.value.code == "not-granted"
