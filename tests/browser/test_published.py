"""The published client, unmodified in Chromium: interrupting, typing and muting over each of its transports."""

from __future__ import annotations

import json
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from urllib.request import urlopen

import pytest

from .bot import ANSWERS, LONG_STORY, STORY
from .calls import PublishedCall, ask, calling, chain, listen, write
from .chromium import Browser
from .speech import Listener, say, words

pytestmark = pytest.mark.timeout(120)

#: What an end may take, in seconds: less than a lost client is waited for.
ENDED_WITHIN = 3.0
#: What a frame of audio, a jitter buffer and a busy machine may take between the word and the deed, in milliseconds.
SILENT_WITHIN = 400.0
#: Audio may be played before the message that was sent ahead of it has reached the application.
EARLY = 100.0

FIRST, SECOND, THIRD = list(ANSWERS)[4:7]


@pytest.fixture(params=("websocket", "webrtc"))
def call(browser: Browser, server: str, request: pytest.FixtureRequest) -> Generator[PublishedCall]:
    """Begin a conversation over each transport."""
    with calling(browser, server, request.param) as made:
        yield made


@pytest.fixture(scope="module")
def listener() -> Listener:
    """Return a listener that knows the porter's twenty answers."""
    return Listener(ANSWERS.values())


@pytest.mark.parametrize("transport", ["websocket", "webrtc"])
def test_a_client_that_disconnects_ends_its_session_at_once(browser: Browser, server: str, transport: str) -> None:
    """The server does not wait for a client that has said that it leaves."""
    with calling(browser, server, transport):
        assert open_sessions(server) == 1
    deadline = time.monotonic() + ENDED_WITHIN
    while open_sessions(server):
        assert time.monotonic() < deadline, "the session goes on"


def open_sessions(server: str) -> int:
    """Return how many sessions the server holds."""
    with urlopen(f"{server}/health") as response:
        return int(json.load(response)["open_sessions"])


def test_speech_over_an_answer_silences_it(call: PublishedCall, listener: Listener) -> None:
    """The bot becomes silent, does not continue its answer, and answers the new question."""
    since = call.page.now()
    call.write(LONG_STORY)
    call.until("bot-tts-text", since, text="remembers")  # in its second sentence
    asked = call.page.now()
    call.page.speak(say(FIRST))
    interrupted = call.until("bot-interrupted", asked)
    again = call.until("bot-started-speaking", interrupted.at)
    exchange = listen(call, FIRST, asked)

    loud = exchange.answer.loud()
    assert loud[loud < interrupted.at].size, "it was speaking when it was interrupted"
    assert not loud[(loud > interrupted.at + SILENT_WITHIN) & (loud < again.at - EARLY)].size
    answer = exchange.answer.between(again.at - EARLY, call.page.now())
    assert listener.hear(answer.samples, answer.rate) == ANSWERS[FIRST]
    assert chain(exchange.messages, "user-started-speaking", "bot-interrupted", "bot-stopped-speaking")


def test_the_context_has_what_was_heard_of_an_interrupted_answer(call: PublishedCall) -> None:
    """The story ends where it was interrupted, and is marked. The answer that was heard completely is not."""
    call.write(LONG_STORY)
    call.until("bot-tts-text", text="remembers")
    ask(call, FIRST)

    messages = call.context()
    story, answer = [each for each in messages if each["role"] == "assistant"]
    heard = words(story["content"])
    assert heard == words(" ".join(STORY))[: len(heard)]
    assert len(words(STORY[0])) < len(heard) < len(words(" ".join(STORY[:5])))
    assert story["interrupted"] is True
    assert words(answer["content"]) == words(ANSWERS[FIRST])
    assert "interrupted" not in answer
    assert [each["role"] for each in messages] == ["user", "assistant", "user", "assistant"]


def test_speech_and_typing_go_together(call: PublishedCall, listener: Listener) -> None:
    """In one conversation, typed and spoken questions are answered in text and aloud."""
    for by, question in ((ask, FIRST), (write, SECOND), (ask, THIRD)):
        exchange = by(call, question)
        assert exchange.text == ANSWERS[question]
        assert listener.hear(exchange.answer.samples, exchange.answer.rate) == ANSWERS[question]
    assert [each["role"] for each in call.context()] == ["user", "assistant"] * 3


def test_a_microphone_that_is_off_is_not_heard(call: PublishedCall) -> None:
    """Speech while it is off is not transcribed. Speech after it is on again is."""
    since = call.page.now()
    call.microphone(False)
    call.page.speak(say(FIRST))
    call.microphone(True)
    exchange = ask(call, SECOND)
    assert exchange.text == ANSWERS[SECOND]
    assert [each.type for each in call.messages(since)].count("user-started-speaking") == 1


def test_an_utterance_ends_with_the_microphone(call: PublishedCall) -> None:
    """A user who switches it off while speaking has finished, although no silence is sent."""
    since = call.page.now()
    with ThreadPoolExecutor() as pool:
        speaking = pool.submit(call.page.speak, say(f"{FIRST} {SECOND} {THIRD}"))
        call.until("user-started-speaking", since)
        call.microphone(False)
        call.until("user-stopped-speaking", since)
        off = call.page.now()
        spoken = speaking.result()
    assert off < spoken.ended
    call.until("user-transcription", since, final=True)
