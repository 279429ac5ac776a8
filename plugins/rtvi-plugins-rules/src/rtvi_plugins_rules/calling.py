"""Function calls: which function the user means, which arguments are missing, and whether to call it.

Nothing is kept between two answers. Each answer goes through what the user has said since the last call, and so finds
the request that is still open, with the values that it already has.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import evolve, field, frozen

from .arguments import MISSING, Wanted
from .conversation import Conversation
from .extraction import answer_to, corrections, extract, states_number
from .facts import Facts, read_facts
from .functions import Function, is_named, known, most_alike, question_for
from .knowledge import Knowledge
from .phrases import content_stems, is_question, words_of
from .results import in_words
from .wording import fill, fresh

__all__ = ("Aside", "Call", "reply")

_REFUSED = re.compile(r"\b(?:don't|do not|never|not to)\b", re.IGNORECASE)
_GIVEN_UP = re.compile(r"\b(?:never ?mind|forget it|cancel|stop|no,? thank(?:s| you)|good ?bye)\b", re.IGNORECASE)
#: A yes to what was offered, with a few words of detail; a long sentence asks for something of its own.
_ACCEPTED = re.compile(
    r"\W*(?:(?:yes|yeah|yep|sure|okay|ok|of course|certainly)\b(?:\W+[\w']+){0,5}"
    r"|please|(?:i would|i'd)(?: like| love)?(?: to| that)?)\W*",
    re.IGNORECASE,
)
#: A yes to the question whether to do it, and a no.
_CONFIRMED = re.compile(
    r"\W*(?:yes|yeah|yep|yup|sure|okay|ok|of course|certainly|correct|right|exactly|perfect|great|fine|good|absolutely"
    r"|please|go ahead|do it|do that|do so|book it|that(?:'s| is) (?:right|correct|fine|it|good)"
    r"|sounds? (?:good|right))\b",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"\W*(?:no|nope|nah|wrong|not\b|don't|do not|wait|hold on|rather not|that(?:'s| is) (?:not|wrong))\b",
    re.IGNORECASE,
)
#: The beginning of a correction.
_CORRECTED = re.compile(
    r"\W*(?:actually|sorry|i (?:said|meant?)|make (?:it|that)|change|rather|instead|for\b|under\b|my name|the name)",
    re.IGNORECASE,
)
#: What is said to the bot itself, whatever it has just asked for.
_ASIDE = re.compile(
    r"\bwhat can (?:you|i) (?:do|say)\b|^\W*(?:help|pardon|hello)\W*$|\bwhat did you (?:just )?say\b", re.IGNORECASE
)
#: The user wants to hear the question again.
_AGAIN = re.compile(
    r"\W*(?:what|pardon|sorry|huh|come again|(?:can|could|would) you (?:please )?(?:repeat|say) that.*"
    r"|say that again.*|repeat that.*|i beg your pardon)\W*",
    re.IGNORECASE,
)
#: A topic with this score is meant, even if the words also have a number for a function.
_CLEAR = 1.0
#: How many turns of the user are read to find the open request.
_MOST_READ = 40


@frozen
class Call:
    """A function to be called, with the arguments that were found."""

    name: str
    arguments: Mapping[str, Any]


@frozen
class Aside:
    """The user said something else while a request is open. After an answer, the bot goes back to `question`."""

    question: str


@frozen
class _Request:
    """A function that the user wants, with the values that are known, and the argument that the bot has asked for."""

    function: Function
    values: Mapping[str, Any]
    #: None if the bot has asked whether to call it.
    asked: Wanted | None = None
    #: Whether the user has said that something of it is wrong.
    rejected: bool = False


@frozen
class _Step:
    """What one turn of the user led to: a request that is open now, a call, or nothing."""

    request: _Request | None = None
    call: Call | None = None
    #: The function that the user does not want, after all.
    refused: Function | None = None
    aside: bool = False
    #: Whether the user's words answered nothing.
    unclear: bool = False
    #: Whether the user said no to the confirmation, and not what to change.
    denied: bool = False


def reply(conversation: Conversation, functions: Sequence[object], knowledge: Knowledge) -> Call | Aside | str | None:
    """Return a call, a question for what is missing, or None if the user means none of the functions.

    An `Aside` means that the user says something else in between.
    """
    dialogue = _Dialogue(tuple(known(functions)), knowledge)
    step = dialogue.read(conversation)
    if step.call is not None:
        return step.call
    if step.refused is not None:
        declined = fill(knowledge.texts(step.refused.name).get("declined", ""), {})
        return declined or f"Very well, I will not do that: {step.refused.title}."
    if step.request is None:
        return None
    question = dialogue.question(step.request, conversation)
    if step.aside:
        return Aside(question)
    if step.denied:
        return fresh(["What shall I change?", "Please tell me what is wrong, or say: cancel."], conversation)
    if step.unclear:
        return f"{fresh(_UNCLEAR, conversation)} {question}"
    return question


_UNCLEAR = ("I am sorry, I did not get that.", "I did not understand that.", "Let us try again.")


@frozen
class _Dialogue:
    functions: Sequence[Function]
    knowledge: Knowledge
    facts: Facts = field(factory=lambda: read_facts(()))
    #: What the user said one turn earlier.
    earlier: str = ""

    def read(self, conversation: Conversation) -> _Step:
        """Return what the last turn of the user led to, after all turns before it."""
        recent = conversation.recent
        said = [at for at, (role, _) in enumerate(recent) if role == "user"][-_MOST_READ:]
        earlier = len(conversation.said) - len(said)
        facts = read_facts(conversation.said[:earlier])
        step, earlier_text = _Step(), ""
        for at in said:
            text = recent[at][1]
            facts = read_facts([text], facts)
            before = recent[at - 1][1] if at and recent[at - 1][0] == "assistant" else ""
            step = evolve(self, facts=facts, earlier=earlier_text).step(step.request, text, before)
            earlier_text = text
        return step

    def step(self, request: _Request | None, text: str, before: str) -> _Step:
        """Return what a text leads to, after what the bot said before."""
        if request is None:
            return self._begin(text, before)
        if _AGAIN.fullmatch(text):
            return _Step(request)
        if self._is_aside(text):
            return _Step(request, aside=True)
        if (other := self._other(request, text)) is not None:
            return self._proceed(_Request(other, self._found(other, text)))
        if _GIVEN_UP.search(text):
            return _Step(refused=request.function)
        return self._confirming(request, text) if request.asked is None else self._answered(request, text)

    def _is_aside(self, text: str) -> bool:
        if _ASIDE.search(text):
            return True
        return is_question(text) and (self.knowledge.topic(text) is not None or self.knowledge.asks_nature(text))

    def _other(self, request: _Request, text: str) -> Function | None:
        """Return another function that a text names."""
        return next((each for each in self.functions if each != request.function and is_named(each, text)), None)

    # ---- a new request ---------------------------------------------------------------------------------------------

    def _begin(self, text: str, before: str) -> _Step:
        if _ASIDE.search(text):
            return _Step()
        offered = self._offered(text, before)
        function = offered or self._meant(text)
        if function is None:
            return _Step()
        if _REFUSED.search(text):
            return _Step(refused=function)
        # Who asks for a room on Friday, and then wants to book it, has said the day.
        asked = self._found(function, self.earlier) if offered is not None else {}
        return self._proceed(_Request(function, {**asked, **self._found(function, text)}))

    def _found(self, function: Function, text: str) -> dict[str, Any]:
        return extract(function.arguments, text, about=function.words)

    def _offered(self, text: str, before: str) -> Function | None:
        """Return the function that the bot has just offered, if the user says yes to it."""
        if not before.endswith("?") or not _ACCEPTED.fullmatch(text):
            return None
        if _REFUSED.search(text) or _GIVEN_UP.search(text):
            return None
        question = re.split(r"[.!]\s+", before)[-1]
        return most_alike(self.functions, text) or most_alike(self.functions, question)

    def _meant(self, text: str) -> Function | None:
        """Return the function that a text asks for."""
        by_example = self.knowledge.function(text)
        for function in self.functions:
            if function.name in (by_example, text):
                return function
        states = any(states_number(each, text) for function in self.functions for each in function.arguments)
        if self.knowledge.topic(text, _CLEAR if states and not is_question(text) else 0.0) is not None:
            return None
        # Rather asks back than books a room for somebody who asks something about it.
        if is_question(text) and self.knowledge.nearest(text):
            return None
        return most_alike(self.functions, text)

    # ---- an open request -------------------------------------------------------------------------------------------

    def _answered(self, request: _Request, text: str) -> _Step:
        """Return what an answer to the question for an argument leads to."""
        function, asked = request.function, request.asked
        assert asked is not None
        values = {**request.values, **extract(function.arguments, text, about=function.words, loose=False)}
        if asked.name not in values and (value := answer_to(asked, text)) is not MISSING:
            values[asked.name] = value
        if asked.name not in values and (is_question(text) or self.knowledge.topic(text) is not None):
            return _Step(evolve(request, values=values), aside=True)
        done = self._proceed(_Request(function, values))
        return evolve(done, unclear=done.request is not None and done.request.values == request.values)

    def _confirming(self, request: _Request, text: str) -> _Step:
        """Return what an answer to the question whether to call leads to."""
        function = request.function
        if request.rejected and (named := self._named(function, text)) is not None:
            others = {name: value for name, value in request.values.items() if name != named.name}
            return _Step(_Request(function, others, asked=named))
        rejected = request.rejected or _DENIED.match(text) is not None or _CORRECTED.match(text) is not None
        changed = corrections(function.arguments, text, about=function.words, loose=rejected)
        if any(request.values.get(name) != value for name, value in changed.items()):
            return _Step(_Request(function, {**request.values, **changed}))
        if _CONFIRMED.match(text) and not _REFUSED.search(text):
            return _Step(call=Call(function.name, request.values))
        if _DENIED.match(text) or _REFUSED.search(text):
            return _Step(evolve(request, rejected=True), denied=True)
        if is_question(text) or self.knowledge.topic(text) is not None:
            return _Step(request, aside=True)
        return _Step(request, unclear=True)

    def _named(self, function: Function, text: str) -> Wanted | None:
        """Return the argument that a text names without a value, as in "the day"."""
        words = set(content_stems(text))
        named = [each for each in function.arguments if words and words == set(each.words)]
        return named[0] if named else None

    def _proceed(self, request: _Request) -> _Step:
        """Return the question for the next missing argument, the confirmation, or the call."""
        function, values = request.function, dict(request.values)
        for argument in function.arguments:
            stated = self.facts.value(" ".join(words_of(argument.name)))
            if argument.required and argument.name not in values and argument.type == "string" and stated is not None:
                values[argument.name] = stated if not argument.choices or stated in argument.choices else MISSING
        missing = [each for each in function.arguments if each.required and values.get(each.name, MISSING) is MISSING]
        if missing:
            return _Step(evolve(request, values=values, asked=missing[0]))
        if self.knowledge.texts(function.name).get("confirmation"):
            return _Step(_Request(function, values))
        return _Step(call=Call(function.name, values))

    # ---- questions -------------------------------------------------------------------------------------------------

    def question(self, request: _Request, conversation: Conversation) -> str:
        """Return the question that an open request waits for."""
        texts = self.knowledge.texts(request.function.name)
        if request.asked is not None:
            asks = texts.get("questions", {}).get(request.asked.name)
            return fresh(asks, conversation) if asks else question_for(request.function, request.asked)
        schemas = {each.name: each.schema for each in request.function.arguments}
        defaults = {name: schema["default"] for name, schema in schemas.items() if "default" in schema}
        stated = f"{request.function.title}, with {in_words(dict(request.values))}. Shall I do it?"
        return fill(texts.get("confirmation", ""), {**defaults, **request.values}) or stated
