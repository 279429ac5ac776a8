"""A spoken conversation whose process is killed: it goes on in another one, by our page and by the published client.

Two worker processes serve; the one with the session is killed. CI kills two calls, one in the middle of an answer and
one in the middle of a question. With SOAK_SPOKEN_KILLS=N, as in `nox -s soak`, all four calls are killed N times in
both. The published client needs some 20 seconds to notice over WebRTC that its server is dead.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from functools import partial
from pathlib import Path
from typing import TypeAlias

import pytest
from attrs import frozen

from ..tools.patience import PATIENCE
from ..tools.processes import environment, running
from .bot import ANSWERS
from .calls import Call, PageCall, ask, calling, visiting, write
from .chromium import Browser
from .speech import Listener, say, word_errors, words

pytestmark = pytest.mark.timeout(180)

BOT = Path(__file__).parent / "bot.py"
GREETING = "Good evening to you."
FIRST, SECOND = list(ANSWERS)[7:9]
#: How long it speaks before it is killed: half of the answer, and of the question.
ANSWERING_MS, ASKING_SECONDS = 700.0, 0.8
#: Three seconds, and what a busy machine adds.
NOTICED_MS = 5_000.0
ROUNDS = int(os.environ.get("SOAK_SPOKEN_KILLS", "0"))

Calling: TypeAlias = Callable[[Browser, str], AbstractContextManager[Call]]

CALLS: Mapping[str, Calling] = {
    "page-websocket": partial(visiting, transport="websocket"),
    "page-webrtc": partial(visiting, transport="webrtc"),
    "client-websocket": partial(calling, transport="websocket", stay=True),
    "client-webrtc": partial(calling, transport="webrtc", stay=True),
}


def by(*names: str) -> pytest.MarkDecorator:
    """Test these calls in CI, and all of them in a soak."""
    chosen = [(name, number) for name in CALLS for number in range(ROUNDS)] or [(name, 0) for name in names]
    ids = [f"{name}-{number}" for name, number in chosen]
    return pytest.mark.parametrize("call", [name for name, _ in chosen], ids=ids, indirect=True)


@frozen
class Workers:
    """The front-end process of two workers, and the file in which they save sessions."""

    url: str
    pid: int
    store: Path

    def kill(self) -> None:
        """Kill the worker that has the session."""
        os.kill(self.owner(), signal.SIGKILL)

    def owner(self) -> int:
        """Return the process that has the session."""
        [owner] = self._saved("owner")
        number = owner.rpartition("/w")[2]
        for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
            if re.search(rb"RTVI_WORKER=%s:" % number.encode(), Path(f"/proc/{pid}/environ").read_bytes()):
                return int(pid)
        raise AssertionError(f"There is no worker {number}.")

    def context(self) -> Sequence[Mapping[str, str]]:
        """Return the conversation, as it is saved."""
        return [json.loads(each) for each in self._saved("m/%")]

    def until_forgotten(self) -> None:
        """Wait until the session has ended."""
        deadline = time.monotonic() + PATIENCE
        while self._saved("owner"):
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def _saved(self, key: str) -> Sequence[str]:
        with closing(sqlite3.connect(self.store)) as file:
            found = file.execute("SELECT value FROM state WHERE key LIKE ? ORDER BY length(key), key", (key,))
            return [value for (value,) in found]


@pytest.fixture(scope="module")
def workers(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Generator[Workers]:
    """Run two workers, with a bot that says a greeting."""
    store = tmp_path_factory.mktemp("killed") / "sessions.db"
    command: list[str | Path] = [sys.executable, "-m", "rtvi_plugins", "run", BOT, "--port", "0", "--workers", "2"]
    command += ["--resume", store, "--drain-seconds", "0", "--origin", browser.pages]
    env = environment(PYTHONUNBUFFERED="1", GREETING=GREETING)
    with running(command, r"(http://127\.0\.0\.1:\d+)", env=env) as process:
        yield Workers(process.matched, process.pid, store)


@pytest.fixture(scope="module")
def listener() -> Listener:
    """Return a listener that knows the porter's sentences."""
    return Listener([*ANSWERS.values(), GREETING])


@pytest.fixture
def call(browser: Browser, workers: Workers, request: pytest.FixtureRequest) -> Generator[Call]:
    """Begin a conversation, in which the bot has said its greeting."""
    with CALLS[request.param](browser, workers.url) as made:
        made.page.until_heard(0)
        made.page.until_silent(1000)
        yield made
    workers.until_forgotten()


@by("page-webrtc")
def test_an_answer_that_a_kill_cuts_short_is_heard_to_its_end(call: Call, workers: Workers, listener: Listener) -> None:
    """It starts again in the other process. The greeting, the question and the answer are there once.

    The page says that it connects again, and marks the interrupted answer.
    """
    since = call.page.now()
    call.page.speak(say(FIRST))
    call.page.until_heard(since, ANSWERING_MS)
    workers.kill()
    if isinstance(call, PageCall):
        call.page.element("#note:has-text('Connecting again')", "waitFor")
    call.page.until_silent()
    again = call.page.until_heard(call.page.now(), seconds=45)
    call.page.until_silent(1000)

    answer = call.page.played(again).voice()
    assert listener.hear(answer.samples, answer.rate) == ANSWERS[FIRST]
    greeting, question, answered = workers.context()
    assert greeting["content"] == GREETING
    assert is_heard(question, FIRST)
    assert answered["content"].strip() == ANSWERS[FIRST]
    if isinstance(call, PageCall):
        assert call.page.element("#transcript .cut", "count") == 1


@by("client-websocket")
def test_a_question_that_a_kill_cuts_short_can_be_asked_again(call: Call, workers: Workers, listener: Listener) -> None:
    """The next one is answered. At most the heard part of the interrupted one is there, and nothing is there twice."""
    with ThreadPoolExecutor() as pool:
        speaking = pool.submit(call.page.speak, say(FIRST))
        time.sleep(ASKING_SECONDS)
        workers.kill()
        killed = call.page.now()
        speaking.result()
    call.resumed(killed)
    call.page.until_silent(1000)
    exchange = ask(call, SECOND)

    assert exchange.text.endswith(ANSWERS[SECOND])
    greeting, *cut, question, answer = workers.context()
    assert greeting["content"] == GREETING
    assert len(cut) in (0, 2)
    assert is_heard(question, SECOND)
    assert answer["content"].strip() == ANSWERS[SECOND]
    if not cut:
        assert listener.hear(exchange.answer.samples, exchange.answer.rate) == ANSWERS[SECOND]


@pytest.mark.parametrize("transport", ["websocket", "webrtc"][: 1 + bool(ROUNDS)])
def test_the_page_leaves_a_process_that_is_silent(browser: Browser, workers: Workers, transport: str) -> None:
    """A frozen process closes nothing, as after a power failure. The page notices it within three seconds."""
    with visiting(browser, workers.url, transport) as call:
        write(call, FIRST)
        frozen_one = workers.owner()
        os.kill(frozen_one, signal.SIGSTOP)
        try:
            frozen_at = call.page.now()
            call.state("connecting")
            noticed = call.page.now() - frozen_at
            # The front hands a start to the worker that answers, and gives this one up.
            call.resumed(frozen_at)
            assert write(call, SECOND).text == ANSWERS[SECOND]
        finally:
            os.kill(frozen_one, signal.SIGCONT)
        assert noticed < NOTICED_MS
    workers.until_forgotten()


def test_a_published_client_comes_back_over_webrtc(browser: Browser, workers: Workers) -> None:
    """Its start has the token. It reaches the worker that has the session, whichever worker answers the start."""
    with calling(browser, workers.url, "webrtc") as first:
        first.page.until_heard(0)
        first.page.until_silent(1000)
        write(first, FIRST)
        ready = first.messages(0)[0]
        with calling(browser, workers.url, "webrtc", resume=ready.data["about"]["resume"]["token"]) as call:
            exchange = write(call, SECOND)
            assert [each["content"].strip() for each in call.context()] == [
                GREETING,
                FIRST,
                ANSWERS[FIRST],
                SECOND,
                ANSWERS[SECOND],
            ]
            assert exchange.text == ANSWERS[SECOND]
            assert "restored" not in call.messages(0)[0].data["about"]["resume"]
    workers.until_forgotten()


def is_heard(message: Mapping[str, str], question: str) -> bool:
    """Return whether this is what was understood of a question: it is more similar to this one than to all others.

    A recogniser may add, miss or mishear some words. Its skill is not what these tests are about.
    """
    heard = words(message["content"])
    errors = {each: word_errors(words(each), heard) for each in ANSWERS}
    nearest = min(errors, key=errors.__getitem__)
    return message["role"] == "user" and nearest == question and errors[question] < len(words(question))
