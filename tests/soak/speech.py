"""Spoken sessions for as long as you like: one that lasts, in this module, and many that are left, of `voice_visits`.

`nox -s soak` talks for 20 minutes, then opens 500 sessions and leaves each at a random moment, in a random way. So does
`python -m tests.soak.speech 20 500 7` from the repository's root, with a seed of one's own, and tells what it measured.
"""

from __future__ import annotations

import asyncio
import random
import re
import sys
from collections.abc import Sequence
from statistics import median

from attrs import define, field, frozen

from .caller import Caller, calling, start
from .server import Server, quiet, serving, warm
from .visits import come_and_go

__all__ = ("Conversation", "Exchange", "Line", "converse_for")


@frozen
class Line:
    """What is said to the bot, a word that it must hear, and a word of its answer. A `long` answer is interrupted."""

    said: str
    heard: str
    answered: str
    long: bool = False


LINES: Sequence[Line] = (
    Line("my name is john", "john", "John"),
    Line("what is my name", "name", "John"),
    Line("i live in london", "london", "london"),
    Line("where do i live", "live", "live"),
    Line("what is seven times six", "seven times", "42"),
    Line("how old am i", "how old", "your age"),
    Line("what time is it", "time", "clock"),
    Line("please tell me a joke", "joke", "favourite"),
    Line("what can you do", "can you", "remember"),
    Line("tell me a story", "story", "once", long=True),
    Line("count to forty", "forty", "1, 2", long=True),
    Line("say hello to the world", "hello", "hello"),
)


@frozen
class Exchange:
    """What was said, what the bot heard, and what it answered."""

    line: Line
    heard: str
    answer: str

    @property
    def right(self) -> bool:
        """Return whether the bot understood, and its answer fits."""
        wanted = ((self.line.heard, self.heard), (self.line.answered, self.answer))
        return all(re.search(pattern, text, re.IGNORECASE) for pattern, text in wanted)


@define
class Conversation:
    """A long conversation: its exchanges, the number of interrupted answers, and the memory after each, in KiB."""

    exchanges: list[Exchange] = field(factory=list[Exchange])
    interrupted: int = 0
    memory: list[int] = field(factory=list[int])
    seconds: float = 0.0
    stray_frames: int = 0
    loud_seconds: float = 0.0

    @property
    def wrong(self) -> list[Exchange]:
        """Return the exchanges that went wrong."""
        return [each for each in self.exchanges if not each.right]

    @property
    def grown(self) -> float:
        """Return the growth of memory in KiB from the third quarter of the time to the last. Earlier, caches fill."""
        half = self.memory[len(self.memory) // 2 :]
        middle = len(half) // 2
        return median(half[middle:]) - median(half[:middle])


async def converse_for(server: Server, minutes: float, seed: int) -> Conversation:
    """Talk in real time for this long. Raise if an utterance is not answered."""
    talk, rng, clock = Conversation(), random.Random(seed), asyncio.get_running_loop().time
    async with server.client() as http:
        url = await start(http)
    async with calling(url) as caller:
        await caller.ready()
        began, said, asked = clock(), list[Line](), list[int]()
        while clock() - began < minutes * 60:
            cut_short = (
                bool(said) and said[-1].long and caller.inbox.data_of("bot-stopped-speaking", after=asked[-1]) == []
            )
            line = LINES[0] if not said else rng.choice(LINES)
            said.append(line)
            asked.append(await _exchange(caller, line, rng, cut_short=cut_short))
            talk.interrupted += cut_short
            talk.memory.append(server.gauges().memory_kib)
        talk.seconds = clock() - began
        talk.stray_frames, talk.loud_seconds = caller.stray_frames, caller.loud_frames / 50
        ends = [*asked[1:], len(caller.inbox.received)]
        for line, at, end in zip(said, asked, ends, strict=True):
            answer = "".join(each["text"] for each in caller.inbox.data_of("bot-llm-text", after=at, before=end))
            talk.exchanges.append(Exchange(line, caller.inbox.received[at]["data"]["text"], answer))
    return talk


async def _exchange(caller: Caller, line: Line, rng: random.Random, *, cut_short: bool) -> int:
    """Say something, and hear the answer or its beginning. Return the place of what was heard among the messages."""
    mark = len(caller.inbox.received)
    caller.say(line.said)
    heard = await caller.inbox.find("user-transcription", lambda data: data["final"], after=mark)
    if cut_short:
        await caller.inbox.find("bot-interrupted", after=mark)
    asked = await caller.inbox.find("user-llm-text", after=heard)
    started = await caller.inbox.find("bot-started-speaking", after=asked)
    if line.long:
        await asyncio.sleep(rng.uniform(1.0, 4.0))
    else:
        await caller.inbox.find("bot-stopped-speaking", after=started)
        await asyncio.sleep(rng.uniform(0.0, 1.0))
    return asked


# ---- by hand -------------------------------------------------------------------------------------------------------


async def _by_hand(server: Server, minutes: float, sessions: int, seed: int) -> None:
    before = await warm(server)
    print("at rest", before)  # noqa: T201 - it is what the command is for
    talk = await converse_for(server, minutes, seed)
    after = await quiet(server, before)
    print(  # noqa: T201
        f"{talk.seconds:.0f} s, {len(talk.exchanges)} exchanges, {talk.interrupted} cut short, {len(talk.wrong)} wrong"
        f": {talk.wrong}; {talk.loud_seconds:.0f} s of speech, {talk.stray_frames} stray frames; {talk.grown:+.0f} KiB "
        f"in the last quarter: {talk.memory}; left: {after.more_than(before)} {after}"
    )
    visits = await come_and_go(server, sessions, seed, after)
    print(visits, f"{visits.grown:+.0f} KiB in the second half")  # noqa: T201


def main() -> None:
    """Talk, and open and leave sessions, and print the results."""
    minutes, sessions, seed = (*sys.argv[1:], *("20", "500", "1")[len(sys.argv) - 1 :])
    with serving() as server:
        asyncio.run(_by_hand(server, float(minutes), int(sessions), int(seed)))
    print(server.said)  # noqa: T201


if __name__ == "__main__":
    main()
