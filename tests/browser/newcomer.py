"""What a new user says to the receptionist in four calls, with which voices, and which answers are right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from itertools import chain, cycle
from pathlib import Path
from types import ModuleType

from attrs import frozen

__all__ = ("CALLS", "RECEPTIONIST", "VOICES", "Line", "is_answer")

RECEPTIONIST = Path(__file__).parents[2] / "docs" / "examples" / "receptionist" / "bot.py"


@frozen
class Line:
    """A sentence, and the subject of its answer: a topic of the receptionist, or words in the answer."""

    text: str
    about: str
    #: Whether it is said while the bot still answers the one before.
    interrupts: bool = False


def over(text: str, about: str) -> Line:
    """Return a sentence that interrupts the bot."""
    return Line(text, about, interrupts=True)


#: Written before any of them was tried. A name begins with a small letter if it is that of a topic.
CALLS: Mapping[str, Sequence[Line]] = {
    "a booking": (
        Line("Hello, how much is a room for one night?", "price"),
        Line("Is breakfast included in that?", "breakfast"),
        over("And can I park my car somewhere?", "parking"),
        Line("All right, I would like to book a room.", "nights?"),
        Line("Three nights, please.", "name?"),
        Line("My name is Robert.", "Three nights for Robert from today, 240 euros. Shall I book it?"),
        Line("No, make it four nights.", "Four nights for Robert from today, 320 euros. Shall I book it?"),
        over("Do you allow dogs?", "pets"),
        Line("Yes, please book it.", "for four nights from today, 320 euros."),
        over("Can I cancel the booking later?", "cancelling"),
    ),
    "a family": (
        Line("We are coming with two small children, is that all right?", "children"),
        Line("Is there a swimming pool?", "pool"),
        over("How far is the beach?", "surroundings"),
        Line("Where can we have dinner?", "restaurant"),
        Line("Is one of your rooms free next weekend?", "availability"),
        over("Do you have a room with a view of the sea?", "view"),
        Line("Is it quiet at night?", "quiet"),
        Line("What time can we check in?", "check_in"),
        over("And when do we have to leave on the last day?", "check_out"),
        Line("Do we get towels in the room?", "equipment"),
    ),
    "a business trip": (
        Line("How do I get from the airport to the hotel?", "transfer"),
        Line("Do you have wireless internet?", "wifi"),
        Line("Can I pay by credit card?", "payment"),
        over("I need an invoice for my company.", "payment"),
        Line("My train arrives after midnight, can I still get in?", "late_arrival"),
        Line("What is the address of the hotel?", "directions"),
        Line("Where can I leave my suitcase after I check out?", "luggage"),
        Line("Are you a real person?", "a rule-based replacement for a language model"),
        over("I would like to speak to the manager.", "person"),
        Line("Can I smoke on the balcony?", "smoking"),
    ),
    "an older guest": (
        Line("My mother uses a wheelchair, is there a lift?", "accessibility"),
        Line("Is there a restaurant in the house?", "restaurant"),
        Line("What can we do when it rains?", "surroundings"),
        over("Could you tell me the price for two people?", "price"),
        Line("Please reserve a room for two nights from Friday.", "name?"),
        Line("The name is Miller.", "Two nights for Miller from Friday, 160 euros. Shall I book it?"),
        Line("Yes, that is right.", "for two nights from Friday, 160 euros."),
        over("How early is breakfast?", "breakfast"),
        Line("Is there air conditioning?", "equipment"),
        Line("Thank you very much, goodbye.", "welcome"),
    ),
}

#: Piper's voice at a speed, or a voice of flite. Each sentence is said by the next.
VOICES = (0.9, "rms", 1.0, "slt", 1.1, "kal16", 1.2, "awb")


def voices() -> Mapping[Line, str | float]:
    """Return the voice of each line."""
    return dict(zip(chain(*CALLS.values()), cycle(VOICES)))


@cache
def _hotel() -> ModuleType:
    spec = spec_from_file_location("hotel_of_the_receptionist", RECEPTIONIST.with_name("hotel.py"))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def is_answer(text: str, about: str) -> bool:
    """Return whether the bot's text is an answer about this. More may follow, such as a question about the booking."""
    topics, functions = _hotel().TOPICS, _hotel().FUNCTIONS
    if about in topics:
        accepted = topics[about]["answers"]
    elif about.endswith("?") and about[:-1] in functions["book_room"]["questions"]:
        accepted = functions["book_room"]["questions"][about[:-1]]
    else:
        accepted = [about]
    return any(each in text for each in accepted)
