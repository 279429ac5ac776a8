"""Twenty questions are spoken to the porter in a browser: understood, answered in text, and answered aloud.

The published client asks them over its WebSocket and over its WebRTC transport, and so does our own page; two at the
same time, since questions and answers take as long as they take to say.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from statistics import median

import anyio
import numpy as np
import pytest
from attrs import frozen

from rtvi_plugins.kinds import Audio, TTSRequest
from rtvi_plugins_espeak.tts import espeak_tts

from .bot import ANSWERS, STORY
from .calls import Exchange, ask, calling, chain, visiting
from .chromium import Browser
from .sound import Samples, fundamental, span
from .speech import Listener, word_errors, words

# The first test waits for all the questions.
pytestmark = pytest.mark.timeout(280)

#: Conversations. A machine that is too busy plays with gaps, and then these tests fail: two cores carry two.
AT_ONCE = 2


@frozen
class Conversation:
    """Every question with its answer, and what the browser complained about meanwhile."""

    exchanges: Sequence[Exchange]
    complaints: Sequence[str]


def by_client(browser: Browser, server: str, transport: str) -> Conversation:
    """All that the porter can be asked, by the published client."""
    with calling(browser, server, transport) as call:
        return Conversation([ask(call, question) for question in ANSWERS], call.page.complaints())


def by_page(browser: Browser, server: str) -> Conversation:
    """All that the porter can be asked, on our own page."""
    with visiting(browser, server) as call:
        return Conversation([ask(call, question) for question in ANSWERS], call.page.complaints())


ASKERS: Mapping[str, Callable[[Browser, str], Conversation]] = {
    "the published client over WebSocket": lambda browser, server: by_client(browser, server, "websocket"),
    "the published client over WebRTC": lambda browser, server: by_client(browser, server, "webrtc"),
    "our own page": by_page,
}


@pytest.fixture(scope="module")
def conversations(browser: Browser, server: str) -> Generator[Mapping[str, Future[Conversation]]]:
    """Everybody's questions."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {name: pool.submit(asks, browser, server) for name, asks in ASKERS.items()}


@pytest.fixture(params=ASKERS)
def conversation(conversations: Mapping[str, Future[Conversation]], request: pytest.FixtureRequest) -> Conversation:
    """The questions of each."""
    return conversations[request.param].result()


@pytest.fixture(scope="module")
def listener() -> Listener:
    """Somebody who knows the porter's twenty answers."""
    return Listener(ANSWERS.values())


def test_what_is_spoken_is_understood(conversation: Conversation) -> None:
    """Of the words of twenty sentences, at most 15 % are wrong in the final transcriptions."""
    errors = [(each.question, word_errors(words(each.question), each.heard)) for each in conversation.exchanges]
    spoken = sum(len(words(question)) for question in ANSWERS)
    assert sum(number for _, number in errors) / spoken <= 0.15, errors


def test_answers_arrive_as_text(conversation: Conversation) -> None:
    """Each question is answered by its own answer."""
    assert {each.question: each.text for each in conversation.exchanges} == ANSWERS


def test_answers_are_heard(conversation: Conversation, listener: Listener) -> None:
    """What the browser played is recognised as the sentence that answers the question."""
    heard = {each.question: listener.hear(each.answer.samples, each.answer.rate) for each in conversation.exchanges}
    assert heard == ANSWERS


def test_answers_are_played_as_high_and_as_long_as_they_are(conversation: Conversation) -> None:
    """Played at another rate than it was made for, a voice would be too high and too fast, or the reverse."""
    pairs = [((each.answer.samples, each.answer.rate), synthesised(each.text)) for each in conversation.exchanges]
    assert median(fundamental(*heard) / fundamental(*made) for heard, made in pairs) == pytest.approx(1, abs=0.05)
    assert median(span(*heard) / span(*made) for heard, made in pairs) == pytest.approx(1, abs=0.05)


def test_events_come_in_the_documented_order(conversation: Conversation) -> None:
    """Each exchange tells of hearing, thinking and speaking in this order."""
    for each in conversation.exchanges:
        assert chain(each.messages, "user-started-speaking", "user-stopped-speaking", "user-transcription", *ANSWERED)
        assert chain(each.messages, "bot-tts-started", "bot-started-speaking", "bot-tts-text", "bot-stopped-speaking")


def test_the_browser_complains_about_nothing(conversation: Conversation) -> None:
    """No error is written to the console, and no exception is left uncaught."""
    assert conversation.complaints == []


def test_other_sentences_are_not_taken_for_answers(listener: Listener) -> None:
    """What recognises the answers rejects the same voice when it says anything else."""
    others = [*STORY, *ANSWERS]
    assert {text: listener.hear(*synthesised(text)) for text in others} == dict.fromkeys(others)


ANSWERED = ("user-llm-text", "bot-llm-started", "bot-llm-text", "bot-llm-stopped", "bot-stopped-speaking")


@cache
def synthesised(text: str) -> tuple[Samples, int]:
    """The same sentence, straight from the voice, and its rate in Hz."""

    async def speak() -> Sequence[Audio]:
        async def pieces() -> AsyncGenerator[str]:
            yield text

        async with espeak_tts() as tts:
            made = [piece async for piece in tts.synthesize(TTSRequest(pieces()))]
        return [piece for piece in made if isinstance(piece, Audio)]

    made = anyio.run(speak)
    return np.frombuffer(b"".join(piece.data for piece in made), np.int16), made[0].rate
