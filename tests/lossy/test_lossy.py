"""A spoken conversation over WebRTC and a network that loses 5 % of the packets and delays each by up to 100 ms.

Who is not understood says it again, as one does on such a line.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Iterable, Iterator

import pytest

from rtvi_plugins_rules.stories import STORIES

from ..soak.server import Server, serving
from .caller import Caller, calling
from .path import LOSS, LossyPath

SEED = int(os.environ.get("LOSSY_SEED", "1"))
TOLD = f"with LOSSY_SEED={SEED}"
#: How often somebody says the same before giving up. PocketSphinx understands about every second line of these.
ATTEMPTS = 10
#: How many seconds it may take to say something and to have it recognised; nothing may be heard of it at all.
RECOGNISED_WITHIN = 10.0

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """The tests run on asyncio only, because aiortc does."""
    return "asyncio"


@pytest.fixture(scope="module")
def server() -> Generator[Server]:
    """A server process that logs no problem."""
    # Sessions that were left wait for a restart that does not come.
    with serving("--plugin", "webrtc", "--drain-seconds", "0") as process:
        yield process
    for complaint in ("Traceback", "ERROR", "WARNING"):
        assert complaint not in process.said, process.said


async def ask(caller: Caller, line: str, answer: str) -> int:
    """Say something until the answer fits. Return the number of attempts."""
    for attempt in range(1, ATTEMPTS + 1):
        mark = len(caller.inbox.received)
        loud = caller.loud_frames
        caller.say(line)
        asked = await caller.inbox.find_within(RECOGNISED_WITHIN, "user-llm-text", after=mark)
        if asked is None:
            continue
        await caller.inbox.find("bot-stopped-speaking", after=asked)
        text = "".join(each["text"] for each in caller.inbox.data_of("bot-llm-text", after=asked))
        if re.search(answer, text):
            assert caller.loud_frames > loud, f"the answer was not heard, {TOLD}"
            return attempt
    raise AssertionError(f"{line!r} was not understood, {TOLD}: {caller.inbox.data_of('user-transcription')}")


def is_bad(path: LossyPath) -> bool:
    """Whether the path was as bad as it should be."""
    return LOSS / 2 < path.lost / path.packets < LOSS * 2 and path.overtaken > path.packets / 10


def in_order(found: Iterable[str], whole: Iterable[str]) -> bool:
    """Whether all parts are in the whole, in this order."""
    rest: Iterator[str] = iter(whole)
    return all(each in rest for each in found)


async def open_sessions(server: Server) -> int:
    """The number of sessions of the server."""
    async with server.client() as http:
        return int((await http.get("/health")).json()["open_sessions"])


async def test_a_conversation_is_held_over_a_bad_network(server: Server) -> None:
    """Speech is understood, and the answer is heard. Messages come whole and in order."""
    async with calling(server.url, SEED) as caller:
        for line, answer in (
            ("what time is it", "no clock"),
            ("my name is robert", "Nice to meet you, Robert"),
        ):
            await ask(caller, line, answer)
        caller.send("send-text", {"content": "Count to 100.", "options": {"audio_response": False}})
        numbers = ", ".join(map(str, range(1, 101)))
        await caller.inbox.find("bot-llm-text", lambda data: "100" in data["text"])
        assert numbers in "".join(each["text"] for each in caller.inbox.data_of("bot-llm-text")), TOLD
        assert all(map(is_bad, caller.paths)), (TOLD, caller.paths)


async def test_a_restart_in_the_middle_of_an_answer_keeps_the_session(server: Server) -> None:
    """The answer continues over the new peer connection, without a second client-ready. Nothing is lost."""
    async with calling(server.url, SEED) as caller:
        inbox = caller.inbox
        caller.send("send-text", {"content": "I live in Paris."})
        await inbox.find("bot-stopped-speaking")
        mark = len(inbox.received)
        caller.send("send-text", {"content": "Tell me a story."})
        await inbox.find("bot-started-speaking", after=mark)
        await caller.heard(2.0)
        restarted, sessions = len(inbox.received), await open_sessions(server)
        await caller.connect(restart=True)
        await inbox.find("bot-tts-text", after=restarted)
        await caller.heard(2.0)
        new = {each["type"] for each in inbox.received[restarted:]}
        assert not new & {"bot-ready", "bot-interrupted", "bot-stopped-speaking", "bot-started-speaking"}, TOLD
        for type in ("bot-llm-text", "bot-tts-text"):
            # What was on its way when the connection was replaced is lost.
            words = " ".join(each["text"] for each in inbox.data_of(type, after=mark)).split()
            assert in_order(words, STORIES[0].split()), (TOLD, words)
        assert await open_sessions(server) <= sessions, TOLD

        await ask(caller, "where do i live", "You live in Paris")
        assert inbox.data_of("bot-interrupted", after=restarted), TOLD
        messages = (await caller.call("llm", "get_context"))["messages"]
        said = [(each["role"], each.get("interrupted", False)) for each in messages]
        assert said[:4] == [("user", False), ("assistant", False), ("user", False), ("assistant", True)], (
            TOLD,
            messages,
        )
        assert STORIES[0].startswith(messages[3]["content"]), (TOLD, messages)
        assert all(map(is_bad, caller.paths)), (TOLD, caller.paths)
