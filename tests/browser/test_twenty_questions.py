"""Twenty questions are spoken to the porter in a browser: understood, answered in text, and answered aloud.

The published client asks them over its WebSocket and over its WebRTC transport; then our own page does, in two calls of
ten questions. There are always two calls at a time, since questions and answers take as long as they take to say.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from statistics import median
from typing import TypeAlias

import pytest
from attrs import frozen

from .bot import ANSWERS
from .calls import Call, Exchange, ask, calling, chain, visiting
from .chromium import Browser
from .sound import fundamental, span
from .speech import Listener, synthesised, word_errors, words

# The first test waits for all the questions.
pytestmark = pytest.mark.timeout(280)

#: Calls. A machine that is too busy plays with gaps, and then these tests fail: two cores carry two.
AT_ONCE = 2


@frozen
class Conversation:
    """Every question with its answer, and the browser's errors during the conversation."""

    exchanges: Sequence[Exchange]
    complaints: Sequence[str]


Calling: TypeAlias = Callable[[Browser, str], AbstractContextManager[Call]]

QUESTIONS = list(ANSWERS)
#: Who asks, and what in each of their calls.
ASKERS: Mapping[str, tuple[Calling, Sequence[Sequence[str]]]] = {
    "the published client over WebSocket": (partial(calling, transport="websocket"), [QUESTIONS]),
    "the published client over WebRTC": (partial(calling, transport="webrtc"), [QUESTIONS]),
    "our own page": (visiting, [QUESTIONS[:10], QUESTIONS[10:]]),
}


def converse(call: AbstractContextManager[Call], questions: Sequence[str]) -> Conversation:
    """Ask the porter these questions."""
    with call as made:
        return Conversation([ask(made, question) for question in questions], made.page.complaints())


@pytest.fixture(scope="module")
def conversations(browser: Browser, server: str) -> Generator[Mapping[str, Sequence[Future[Conversation]]]]:
    """Return the calls of all clients."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            name: [pool.submit(converse, asker(browser, server), questions) for questions in calls]
            for name, (asker, calls) in ASKERS.items()
        }


@pytest.fixture(params=ASKERS)
def conversation(
    conversations: Mapping[str, Sequence[Future[Conversation]]], request: pytest.FixtureRequest
) -> Conversation:
    """All questions of each."""
    calls = [call.result() for call in conversations[request.param]]
    exchanges = [each for call in calls for each in call.exchanges]
    return Conversation(exchanges, [each for call in calls for each in call.complaints])


@pytest.fixture(scope="module")
def listener() -> Listener:
    """Return a listener that knows the porter's twenty answers."""
    return Listener(ANSWERS.values())


def test_what_is_spoken_is_understood(conversation: Conversation) -> None:
    """At most 15 % of the words of twenty sentences are wrong in the final transcriptions."""
    errors = [(each.question, word_errors(words(each.question), each.heard)) for each in conversation.exchanges]
    spoken = sum(len(words(question)) for question in ANSWERS)
    assert sum(number for _, number in errors) / spoken <= 0.15, errors


def test_answers_arrive_as_text(conversation: Conversation) -> None:
    """Each question is answered by its own answer."""
    assert {each.question: each.text for each in conversation.exchanges} == ANSWERS


def test_answers_are_heard(conversation: Conversation, listener: Listener) -> None:
    """The audio that the browser played is recognised as the sentence that answers the question.

    One of the twenty may not be recognised: a busy machine plays some of them with gaps.
    """
    heard = {each.question: listener.hear(each.answer.samples, each.answer.rate) for each in conversation.exchanges}
    unknown = [question for question, answer in heard.items() if answer is None]
    assert heard == {**ANSWERS, **dict.fromkeys(unknown)}
    assert len(unknown) <= 1


def test_answers_are_played_as_high_and_as_long_as_they_are(conversation: Conversation) -> None:
    """At a wrong sample rate, a voice would be too high and too short, or too low and too long."""
    pairs = [((each.answer.samples, each.answer.rate), synthesised(each.text)) for each in conversation.exchanges]
    assert median(fundamental(*heard) / fundamental(*made) for heard, made in pairs) == pytest.approx(1, abs=0.05)
    assert median(span(*heard) / span(*made) for heard, made in pairs) == pytest.approx(1, abs=0.05)


def test_events_come_in_the_documented_order(conversation: Conversation) -> None:
    """The events of each exchange show hearing, thinking and speaking in this order."""
    for each in conversation.exchanges:
        assert chain(each.messages, "user-started-speaking", "user-stopped-speaking", "user-transcription", *ANSWERED)
        assert chain(each.messages, "bot-tts-started", "bot-started-speaking", "bot-tts-text", "bot-stopped-speaking")


def test_the_browser_complains_about_nothing(conversation: Conversation) -> None:
    """No error is written to the console, and every exception is caught."""
    assert conversation.complaints == []


ANSWERED = ("user-llm-text", "bot-llm-started", "bot-llm-text", "bot-llm-stopped", "bot-stopped-speaking")
