"""A spoken conversation with speech-to-speech models, through servers in the shape of OpenAI's and Google's APIs.

The vendors' own SDKs talk to these fakes in `tests/sdks`. The user speaks with flite, in real time.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from attrs import define

from rtvi_plugins import Session, SpeechModel, bot, converse
from rtvi_plugins.kinds import Audio

from ..sdks.official import fake_of
from ..tools.flite import RATE, speech
from .test_conversation import FRAME, PATIENCE, Caller, calling

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

realtime = fake_of("rtvi-plugins-openai", "realtime_vendor")
live = fake_of("rtvi-plugins-google", "live_vendor")


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Run on one backend only, in real time. The providers' own tests use both backends."""
    return "asyncio"


@define(eq=False)
class Vendors:
    """The two servers."""

    openai: Any
    google: Any

    @property
    def start(self) -> dict[str, Any]:
        """Return what the operator sends at the start."""
        urls = {"openai": self.openai.vendor.url, "google": self.google.vendor.url}
        return {
            "api_keys": {name: {"api_key": f"key-of-{name}"} for name in urls},
            "service_options": {name: {"base_url": url} for name, url in urls.items()},
        }


@asynccontextmanager
async def vendors(**how: Any) -> AsyncGenerator[Any]:
    """Run both servers on free ports of this machine."""
    async with realtime.realtime_vendor(realtime.RealtimeServer(**how)) as openai, live.live_vendor() as google:
        yield Vendors(openai, google)


@bot(services={"speech": ["openai", "google"]}, client=["speech.provider"])
async def hotel(session: Session, /, speech: SpeechModel) -> None:
    """A hotel that hears and speaks through one of two vendors."""
    await converse(session, speech=speech)


def texts_of(contents: list[Any]) -> list[tuple[str, str]]:
    """Return the roles and texts of Google's contents."""
    return [(each["role"], "".join(part["text"] for part in each["parts"])) for each in contents]


async def test_the_model_is_replaced_in_the_middle_of_a_conversation() -> None:
    """The new model knows what was said before."""
    async with vendors() as servers, calling(hotel, servers.start) as caller:
        assert await caller.say("Good morning.") == ("Three nights.", "Good day.", pytest.approx(0.2, abs=0.15))
        await caller.choose(speech="google")
        assert await caller.say("Thank you.") == ("Three nights.", "Good day.", pytest.approx(0.2, abs=0.15))
        messages = servers.google.vendor.requests[0].messages
        assert await servers.openai.vendor.requests[0].outcome() == "left"
    history = next(each["clientContent"]["turns"] for each in messages if "clientContent" in each)
    assert texts_of(history)[:2] == [("user", "Three nights."), ("model", "Good day.")]


async def interrupt(caller: Caller) -> None:
    """Speak until the bot speaks, and immediately speak again."""
    await begin(caller, speech("Good morning."))
    await begin(caller, speech("Stop."), until="user-started-speaking")


async def begin(caller: Caller, pcm: bytes, until: str = "bot-started-speaking") -> None:
    """Speak, and wait for a message."""
    before = len(caller.line.received(until))
    for at in range(0, len(pcm), FRAME):
        caller.line.speak(Audio(pcm[at : at + FRAME], RATE))
        await anyio.sleep(FRAME / 2 / RATE)
    with anyio.fail_after(PATIENCE):
        while len(caller.line.received(until)) == before:
            caller.line.speak(Audio(bytes(FRAME), RATE))
            await anyio.sleep(FRAME / 2 / RATE)


async def test_an_interruption_reaches_the_vendor() -> None:
    """The vendor's conversation keeps only what the user has heard of the answer."""
    async with vendors(holds=True) as servers, calling(hotel, servers.start) as caller:
        await interrupt(caller)
        request = servers.openai.vendor.requests[0]
        with anyio.fail_after(PATIENCE):
            while not (told := [each for each in request.messages if each["type"] == "conversation.item.truncate"]):
                caller.line.speak(Audio(bytes(FRAME), RATE))
                await anyio.sleep(FRAME / 2 / RATE)
    assert 0 <= told[0]["audio_end_ms"] <= 100
