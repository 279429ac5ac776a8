"""The rules: a table of patterns and the functions that answer them. The first that has an answer gives it.

A reply function takes the `Scene` and the match, and returns a text, or None to leave the answer to a later rule.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from attrs import field, frozen

from .asking_back import ask_back
from .conversation import Conversation
from .facts import Facts, mirrored, read_facts, sentence
from .knowledge import Knowledge
from .numbers import evaluate, number_of
from .phrases import quoted
from .stories import STORIES
from .wording import fresh

__all__ = ("RULES", "Scene", "greeting", "reply")

NATURE = "a rule-based replacement for a language model"
_HOW = "I compare your words with examples, and understand nothing."


@frozen
class Scene:
    """The input of a rule: the conversation, its facts, and the bot's name."""

    conversation: Conversation
    facts: Facts
    name: str = ""
    knowledge: Knowledge = field(factory=Knowledge)


Reply: TypeAlias = Callable[[Scene, re.Match[str]], "str | None"]


def reply(scene: Scene) -> str:
    """The answer to what the user said last, or the opening words where the user said nothing yet."""
    if not scene.conversation.text:
        return _unasked(scene)
    if _CLOCK.fullmatch(scene.conversation.text):
        return _NO_CLOCK
    is_courtesy = _COURTESY.fullmatch(scene.conversation.text) is not None
    if not is_courtesy and (topic := scene.knowledge.topic(scene.conversation.text)) is not None:
        return fresh(topic["answers"], scene.conversation)
    for pattern, answer in RULES:
        match = pattern.search(scene.conversation.text)
        if match is not None and (text := answer(scene, match)) is not None:
            return text
    return _nature(scene) if scene.knowledge.asks_nature(scene.conversation.text) else _no_rule(scene)


# ---- without a question --------------------------------------------------------------------------------------------

_HELP = re.compile(r"\bhelp\b[^.?!\"“]{0,80}(?=[\"“])", re.IGNORECASE)
_SAY = re.compile(r"\b(?:greet|say|start|begin|open|answer|introduce)\b[^.\"“]{0,80}(?=[\"“])", re.IGNORECASE)
_NAME = re.compile(r"\b(?:your name is|you are called|you're called|called)\s+(?P<name>[A-Z][\w'-]*)")
_PERSONA = re.compile(r"\byou are (?P<role>(?:an?|the) [^.,;!?\n]{1,80})", re.IGNORECASE)


def _unasked(scene: Scene) -> str:
    conversation = scene.conversation
    if conversation.last in ("system", "developer") and (cue := _cue(conversation.instructions[-1:])):
        return cue
    return "Is there anything else?" if conversation.said else greeting(scene)


def _cue(instructions: Iterable[str], occasion: re.Pattern[str] = _SAY) -> str | None:
    """The words that instructions tell the bot to say, when it greets or on another occasion."""
    for text in instructions:
        if (match := occasion.search(text)) and (found := quoted(text[match.end() :])):
            return found[0]
    return None


def greeting(scene: Scene) -> str:
    """The opening words: those of the instructions, or our own."""
    return _cue(scene.conversation.instructions) or f"Hello! I am {_self(scene)}. What can I do for you?"


def _hint(scene: Scene) -> str:
    """Return a suggestion for the user: from the instructions, or the default."""
    return _cue(scene.conversation.instructions, _HELP) or "Ask me what I can do."


def _self(scene: Scene) -> str:
    text = " ".join(scene.conversation.instructions)
    named = scene.name or ((match := _NAME.search(text)) and match["name"])
    return f"{named}, {NATURE}" if named else NATURE


def _no_rule(scene: Scene) -> str:
    if (question := ask_back(scene.conversation, scene.knowledge)) is not None:
        return question
    if scene.knowledge.fallbacks:
        return fresh(scene.knowledge.fallbacks, scene.conversation)
    text = scene.conversation.text
    shown = text if len(text) <= 60 else f"{text[:59]}…"
    return f"I have no rule for “{shown}”, and rules are all I have. {_hint(scene)}"


# ---- about the bot -------------------------------------------------------------------------------------------------


def _what_it_is(scene: Scene, match: re.Match[str]) -> str:
    return f"No, I am {NATURE}. {_HOW}"


def _is_program(scene: Scene, match: re.Match[str]) -> str:
    return f"Yes, I am a computer program, {NATURE}. {_HOW}"


def _nature(scene: Scene) -> str:
    return f"I am a computer program, {NATURE}. {_HOW}"


def _who_it_is(scene: Scene, match: re.Match[str]) -> str:
    role = _PERSONA.search(" ".join(scene.conversation.instructions))
    playing = f" I have been told to be {role['role']}." if role else ""
    return f"I am {_self(scene)}.{playing}"


def _abilities(scene: Scene, match: re.Match[str]) -> str:
    cue = _cue(scene.conversation.instructions, _HELP)
    if cue and scene.knowledge.topics:  # the rest would distract from what the bot is for
        return cue
    return f"{cue} " * bool(cue) + (
        "I can remember what you tell me about yourself, call the functions that I was given, do sums, count, and tell "
        f"you a story. I am {NATURE}, so do not expect more."
    )


def _instructions(scene: Scene, match: re.Match[str]) -> str:
    instructions = " ".join(scene.conversation.instructions)
    return f"My instructions are: {instructions}" if instructions else "I have no instructions."


def _no_clock(scene: Scene, match: re.Match[str]) -> str:
    return _NO_CLOCK


_NO_CLOCK = "I have no clock and no calendar, so I cannot tell."
#: Before topics: the time of breakfast is another question.
_CLOCK = re.compile(
    r"\W*what(?: time is it|(?:'s| is) the (?:time|date)| (?:day|date) is (?:it|today))(?: now| today)?\W*",
    re.IGNORECASE,
)


#: Thanks and goodbyes, without anything else: "thank you very much" does not ask how much something costs.
_COURTESY = re.compile(
    r"(?=.*\b(?:thanks|thank you|cheers|bye|goodbye|good night|see you)\b)"
    r"(?:\W*\b(?:thanks|thank you|cheers|many|a lot|(?:very|so) much|for (?:(?:all )?your|the) (?:help|time)"
    r"|ok|okay|great|perfect|lovely|wonderful|fine|no|oh|well|and|then|all right|alright|that(?:'s| is| was) (?:all|it)"
    r"|bye|goodbye|good night|see you(?: soon| later| then)?|(?:have a )?(?:nice|good) (?:day|evening|weekend))\b)+\W*",
    re.IGNORECASE,
)


# ---- recalling -----------------------------------------------------------------------------------------------------


def _recall(name: str) -> Reply:
    unknown = {
        "name": "your name",
        "home": "where you live",
        "origin": "where you come from",
        "work": "what your work is",
    }
    missing = unknown.get(name, f"your {name}")
    return lambda scene, match: sentence(scene.facts, name) or f"You have not told me {missing}."


def _recall_named(scene: Scene, match: re.Match[str]) -> str:
    name = match["key"]
    return sentence(scene.facts, name) or f"You have not told me your {mirrored(name)}."


def _recall_all(scene: Scene, match: re.Match[str]) -> str:
    known = [each for name in scene.facts.stated if (each := sentence(scene.facts, name))]
    notes = [f"You asked me to remember: {mirrored(note)}." for note in scene.facts.notes]
    return " ".join([*known, *notes]) or "You have not told me anything about yourself."


def _said(scene: Scene, match: re.Match[str]) -> str:
    before = scene.conversation.said[:-1]
    if not before:
        return "This is the first thing you said."
    which, text = ("first", before[0]) if "first" in match[0].lower() else ("last", before[-1])
    return f"The {which} thing you said was: “{text}”"


def _answered(scene: Scene, match: re.Match[str]) -> str:
    own = [text for role, text in scene.conversation.turns if role == "assistant"]
    return own[-1] if own else "I have not said anything yet."


def _noted(scene: Scene, match: re.Match[str]) -> str:
    return f"I will remember: {mirrored(match['value'])}."


def _stated(scene: Scene, match: re.Match[str]) -> str | None:
    new = read_facts([scene.conversation.text])
    if not new.stated:
        return None
    sentences = [text for each in new.stated if each != "name" and (text := sentence(new, each))]
    return " ".join([f"Nice to meet you, {name}." if (name := new.value("name")) else "Noted.", *sentences])


# ---- doing things --------------------------------------------------------------------------------------------------

_MOST_COUNTED = 1000


def _count(scene: Scene, match: re.Match[str]) -> str:
    low, high = int(number_of(match["low"] or "1")), int(number_of(match["high"]))
    if abs(high - low) > _MOST_COUNTED:
        return f"That is too far for me. I count up to {_MOST_COUNTED} numbers."
    step = 1 if high >= low else -1
    return ", ".join(map(str, range(low, high + step, step))) + "."


def _story(scene: Scene, match: re.Match[str]) -> str:
    asked = sum(1 for text in scene.conversation.said if re.search(_STORY, text, re.IGNORECASE))
    return STORIES[(asked - 1) % len(STORIES)]


def _sum(scene: Scene, match: re.Match[str]) -> str | None:
    try:
        value = evaluate(match["sum"])
    except ZeroDivisionError:
        return "Nothing can be divided by zero."
    return None if value is None else f"That is {value}."


def _echo(scene: Scene, match: re.Match[str]) -> str:
    return match["words"].strip(" \"'“”")


def _says(text: str) -> Reply:
    return lambda scene, match: text


def _all_right(scene: Scene, match: re.Match[str]) -> str:
    return f"All right. {_hint(scene)}"


def _hello(scene: Scene, match: re.Match[str]) -> str:
    known = scene.facts.value("name")
    if known:
        return f"Hello, {known}! What can I do for you?"
    greeted = any(role == "assistant" for role, _ in scene.conversation.turns)
    return "Hello! What can I do for you?" if greeted else greeting(scene)


# ---- the table -----------------------------------------------------------------------------------------------------

_KEY = r"(?P<key>(?:[\w'-]+\s+){0,3}?[\w'-]+)"
_LOW, _HIGH = (rf"(?P<{name}>-?\d{{1,6}}|[a-z]+(?:[- ][a-z]+)?)" for name in ("low", "high"))
_STORY = r"\b(?:tell|read)\b.{0,20}\b(?:story|tale)\b|\banother (?:story|one)\b"


def _table(*rows: tuple[str, Reply]) -> Sequence[tuple[re.Pattern[str], Reply]]:
    return tuple((re.compile(pattern, re.IGNORECASE), answer) for pattern, answer in rows)


#: Asked from top to bottom.
RULES = _table(
    # About the bot.
    (r"\bare you\b.{0,40}\b(?:model|llm|ai|a\.i\.|intelligen\w+|human|person|real|gpt|chatgpt)\b", _what_it_is),
    (r"\bare you\b.{0,40}\b(?:robot|bot|machine|computer|program)\b", _is_program),
    (r"\bwhat (?:kind of )?(?:language )?model are you\b|\bwhich model\b", _what_it_is),
    (r"\b(?:who|what) are you\b(?! (?:guys|\w+ing)\b)|\bwhat(?:'s| is) your name\b|\bintroduce yourself\b", _who_it_is),
    (r"\bwhat can (?:you do|i say)\b|\bwhat do you do\b|^\W*help\b", _abilities),
    (r"\byour (?:instructions|system prompt|orders)\b|\bwhat were you told\b", _instructions),
    (
        (
            r"\bwhat (?:time|day|date|year)(?: (?:is|was) it\b| it is\b| is today\b|(?: now)?\W*$)"
            r"|\bwhat(?:'s| is) the (?:time|date|day)\b"
        ),
        _no_clock,
    ),
    # Recalling.
    (r"\bwhat (?:did i (?:just )?say|was the (?:first|last) thing i said|have i said)\b.*$", _said),
    (r"\bwhat i said (?:first|last)\b", _said),
    (r"\bwhat did you (?:just )?say\b|\b(?:say that|repeat that|repeat yourself)\b|^\W*pardon\b", _answered),
    (
        r"\bwhat (?:do you|did i|have i)\b.{0,20}\b(?:know|remember|tell you|told you|asked? you to remember)\b",
        _recall_all,
    ),
    (r"\bwho am i\b|\bwhat am i called\b|\bwhat do (?:they|people) call me\b", _recall("name")),
    (r"\bwhere (?:do i live|am i living)\b|\bwhere i live\b", _recall("home")),
    (r"\bwhere (?:do i come|am i) from\b|\bwhere i (?:come|am) from\b", _recall("origin")),
    (r"\b(?:where do i work|what do i do for a living)\b|\bwhere i work\b", _recall("work")),
    (r"\bhow old am i\b|\bhow old i am\b", _recall("age")),
    (r"\bwhat do i (?:like|love|enjoy)\b|\bwhat i (?:like|love|enjoy)\b", _recall("liking")),
    (rf"\b(?:what|who|where|when|which)(?:'s|'re| is| are| was)\s+my\s+{_KEY}\W*$", _recall_named),
    (
        rf"\b(?:tell me|say|know|remember|recall|repeat|about|forgot)\s+(?:what\s+)?my\s+{_KEY}(?:\s+is)?\W*$",
        _recall_named,
    ),
    (rf"\bwhat\s+my\s+{_KEY}\s+(?:is|are|was)\W*$", _recall_named),
    (r"\b(?:remember|note|keep in mind|don't forget)\s*(?:that\s+|:\s*)(?P<value>\w.*?)[.!?]*$", _noted),
    (r"\b(?:i|i'm|my|me)\b", _stated),
    # Doing things.
    (_STORY, _story),
    (rf"\bcount\b.{{0,20}}?(?:\bfrom\s+{_LOW}\s+)?(?:\bdown\s+)?\bto\s+{_HIGH}\b", _count),
    (r"\b(?:what is|what's|how much is|calculate|compute|work out)\s+(?P<sum>.+)$", _sum),
    (r"^\W*(?P<sum>[\d\w(.,].*?)\W*$", _sum),
    (r"^\W*(?:please\s+|can you\s+|could you\s+)*(?:say|repeat(?: after me)?)\b\W*(?P<words>\w.*)$", _echo),
    (r"\btell\b.{0,20}\bjoke\b|\bjoke, please\b", _says("What is a rule's favourite day? The one it matches.")),
    # Small talk.
    (r"^\W*(?:hi|hello|hey|good (?:morning|afternoon|evening)|greetings)\b", _hello),
    (r"\bhow are you\b|\bhow's it going\b", _says("All my rules are in order, thank you. How can I help?")),
    (r"^\W*(?:no|nope|not now)\b(?:\W+\w+){0,2}\W*$", _all_right),
    (r"\b(?:thanks|thank you|cheers)\b.*\b(?:bye|goodbye|good night|see you)\b", _says("You are welcome. Goodbye!")),
    (r"\b(?:thanks|thank you|cheers)\b", _says("You are welcome.")),
    (r"\b(?:bye|goodbye|good night|see you)\b", _says("Goodbye!")),
    (r"^\W*(?:yes|yeah|yep|sure|of course|certainly)\b(?:\W+\w+){0,2}\W*$", _all_right),
    (
        r"^\W*(?:ok|okay|fine|good|great|right|all right|stop|wait|never ?mind)\b(?:\W+(?:please|then))?\W*$",
        _says("All right."),
    ),
)
