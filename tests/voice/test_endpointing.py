"""A bot without a VAD, whose STT finds the utterances: barge-in, pauses, words that come late, failures."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest

from rtvi_plugins import LLM, STT, TTS, Failover, ProviderError, Session, bot, converse
from rtvi_plugins.kinds import (
    Audio,
    ListenPiece,
    ListenRequest,
    Pause,
    Settled,
    SpeechBegan,
    SpeechEnded,
    Text,
    Transcript,
)

from ..fakes.conversation import FORTY, failures, said, silence, speak, spoken, texts, types, wait
from ..fakes.providers import CLIENT, LINES, LOOK, SERVICES, Fakes, lines_in
from ..fakes.wire import settle

pytestmark = pytest.mark.anyio

#: How much silence ends an utterance, in frames of 32 ms.
ENDS = 10


class Vendor:
    """An STT that finds utterances by the values of the samples. A test can push pieces and failures."""

    def __init__(self, *, late: bool = False) -> None:
        #: Final transcripts come after the end of speech.
        self.late = late
        self.connections = 0
        self.open = 0
        self.pauses = 0
        self.endpointing = list[bool]()
        self.errors = list[Exception]()

    async def listen(self, request: ListenRequest) -> AsyncGenerator[ListenPiece]:
        """Find utterances until the stream is closed."""
        self.connections += 1
        self.open += 1
        self.endpointing.append(request.endpointing)
        try:
            async with aclosing(self._find(request)) as pieces:
                async for piece in pieces:
                    yield piece
        finally:
            self.open -= 1

    async def _find(self, request: ListenRequest) -> AsyncGenerator[ListenPiece]:
        found, silent, speaking = list[int](), 0, False
        async for piece in request.audio:
            if self.errors:
                raise self.errors.pop()
            if isinstance(piece, Audio):
                numbers = list(lines_in(piece))
                silent = 0 if numbers else silent + 1
                for number in numbers:
                    if not speaking:
                        speaking = True
                        yield SpeechBegan()
                    if found[-1:] != [number]:
                        found.append(number)
                        yield Transcript(LINES[number].split()[0], final=False)
                if not speaking or silent < ENDS:
                    continue
            else:
                self.pauses += 1
            text = Transcript(" ".join(LINES[number] for number in found), final=True)
            if self.late and speaking:
                yield SpeechEnded()
            yield text
            if speaking and not self.late:
                yield SpeechEnded()
            if isinstance(piece, Pause):
                yield Settled()
            found, speaking = [], False


@bot(
    services={**{name: SERVICES[name] for name in ("llm", "stt", "tts")}}, config=LOOK, client=CLIENT[:-1], public=True
)
async def listener(session: Session, /, llm: LLM, stt: STT, tts: TTS) -> None:
    """A bot that holds a spoken conversation without a VAD."""
    await converse(session, llm=llm, stt=stt, tts=tts)


def session(fakes: Fakes) -> Any:
    """A session with audio, without a VAD."""
    return fakes.session(listener)


async def test_the_vendor_finds_the_utterances() -> None:
    """The client sees the same as with a VAD, and there is one connection."""
    vendor = Vendor()
    fakes = Fakes([Text("Fine.")], [Text("Noon.")], listens=vendor.listen)
    async with session(fakes) as wire:
        for line in (1, 2):
            await silence(wire, 0.5)
            await speak(wire, line, 0.5)
            await silence(wire, 1.5)
        assert await said(wire) == [
            ("user", "hello there"),
            ("assistant", "Fine."),
            ("user", "what time is it"),
            ("assistant", "Noon."),
        ]
        assert types(wire, "metrics")[:5] == [
            "user-started-speaking",
            "user-transcription",
            "user-transcription",
            "user-stopped-speaking",
            "user-llm-text",
        ]
        assert texts(wire.data_of("user-transcription")) == ["hello", "hello there", "what", "what time is it"]
        assert (vendor.connections, vendor.endpointing, vendor.pauses) == (1, [True], 0)


async def test_speech_interrupts_the_bot() -> None:
    """This works as with a VAD."""
    fakes = Fakes([Text(FORTY)], [Text("Yes?")], listens=Vendor().listen)
    async with session(fakes) as wire:
        await speak(wire, 1, 0.5)
        await silence(wire, 1.5)
        await speak(wire, 3, 0.5)
        played = len(wire.heard)
        await silence(wire, 0.3)
        assert len(wire.heard) == played
        await silence(wire, 1.0)
        first, (_, heard), *rest = await said(wire)
        assert first == ("user", "hello there")
        assert FORTY.startswith(heard)
        assert 10 <= len(heard) <= 35
        assert rest == [("user", "stop"), ("assistant", "Yes?")]


async def test_words_that_come_late_are_not_lost() -> None:
    """They belong to the turn in which they were spoken, although the vendor has already reported its end."""
    fakes = Fakes([Text("Fine.")], listens=Vendor(late=True).listen)
    async with session(fakes) as wire:
        await speak(wire, 1, 0.5)
        await silence(wire, 2.0)
        assert (await said(wire))[0] == ("user", "hello there")
        assert (await said(wire))[-1] == ("assistant", "Fine.")


async def test_the_end_of_the_microphone_is_a_pause() -> None:
    """The vendor gets no silence then."""
    vendor = Vendor()
    fakes = Fakes([Text("Fine.")], listens=vendor.listen)
    async with session(fakes) as wire:
        await speak(wire, 1, 0.5)
        await wait(wire, 2.0)
        assert await said(wire) == [("user", "hello there"), ("assistant", "Fine.")]
        assert vendor.pauses == 1


async def test_a_connection_that_breaks_in_an_utterance_hears_it_again() -> None:
    """The user does not notice."""
    vendor = Vendor()
    fakes = Fakes([Text("Fine.")], listens=vendor.listen)
    async with session(fakes) as wire:
        await speak(wire, 1, 0.3)
        vendor.errors.append(ProviderError("script", "unavailable"))
        await speak(wire, 2, 0.3)
        await silence(wire, 2.0)
        assert await said(wire) == [("user", "hello there what time is it"), ("assistant", "Fine.")]
        assert (vendor.connections, failures(wire)) == (2, [])


async def test_a_vendor_that_stays_away_is_reported_once() -> None:
    """The attempts become rarer. When the vendor works again, the user is heard."""
    vendor = Vendor()
    fakes = Fakes([Text("Fine.")], listens=vendor.listen)
    async with session(fakes) as wire:
        vendor.errors += [ProviderError("script", "unavailable")] * 5
        await silence(wire, 3.0)
        assert failures(wire) == [str(ProviderError("script", "unavailable"))]
        assert vendor.connections == 4
        await silence(wire, 5.0)
        await speak(wire, 1, 0.5)
        await silence(wire, 2.0)
        assert (await said(wire))[0] == ("user", "hello there")


async def test_a_vendor_that_asks_for_a_long_wait_is_reported_and_tried_before() -> None:
    """The user would otherwise talk to a bot that hears nothing, and not know it."""
    vendor = Vendor()
    fakes = Fakes([Text("Fine.")], listens=vendor.listen)
    async with session(fakes) as wire:
        vendor.errors.append(ProviderError("script", "rate", retry_after=86_400.0))
        await silence(wire, 29.0)
        assert failures(wire) == [str(ProviderError("script", "rate"))]
        assert vendor.connections == 1
        await silence(wire, 2.0)
        await speak(wire, 1, 0.5)
        await silence(wire, 2.0)
        assert (await said(wire))[0] == ("user", "hello there")
        assert vendor.connections == 2


async def test_an_stt_that_is_replaced_loses_nothing() -> None:
    """The next one hears the utterance from its beginning. With one that cannot listen, the bot uses push-to-talk."""
    fakes = Fakes([Text("Fine.")], [Text("Noon.")], listens=Vendor().listen)
    async with session(fakes) as wire:
        await speak(wire, 1, 0.3)
        wire.update(stt={"provider": "second"})
        await settle()
        await speak(wire, 2, 0.3)
        await silence(wire, 2.0)
        assert await said(wire) == [("user", "hello there what time is it"), ("assistant", "Fine.")]
        wire.update(stt={"provider": "mortal"})
        await settle()
        await speak(wire, 3, 0.3)
        await wait(wire, 2.0)
        assert (await said(wire))[2:] == [("user", "stop"), ("assistant", "Noon.")]
        assert spoken(wire).split() == ["Fine.", "Noon."]


@bot(
    services={"llm": SERVICES["llm"], "stt": Failover("script", "second"), "tts": SERVICES["tts"]},
    config=LOOK,
    client=CLIENT[:-2],
    public=True,
)
async def doubled(session: Session, /, llm: LLM, stt: STT, tts: TTS) -> None:
    """A bot with another STT that takes over."""
    await converse(session, llm=llm, stt=stt, tts=tts)


@pytest.mark.parametrize("in_utterance", [False, True])
async def test_the_next_stt_takes_over(in_utterance: bool) -> None:
    """It may happen between utterances or within one, which the next STT hears from its beginning."""
    vendor = Vendor()
    fakes = Fakes([Text("Fine.")], listens=vendor.listen)
    async with fakes.session(doubled) as wire:
        await speak(wire, 1 if in_utterance else 0, 0.3)
        vendor.errors.append(ProviderError("script", "auth"))
        await speak(wire, 2 if in_utterance else 0, 0.3)
        assert [each["provider"] for each in wire.data_of("server-message")] == ["second"]
        await speak(wire, 2, 0.3)
        await silence(wire, 2.0)
        heard = "hello there what time is it" if in_utterance else "what time is it"
        assert await said(wire) == [("user", heard), ("assistant", "Fine.")]
        assert (vendor.connections, failures(wire)) == (2, [])


async def test_if_no_stt_works_it_is_reported_once() -> None:
    """They are tried in turn, less and less often. When one works again, the user is heard."""
    vendor = Vendor()
    fakes = Fakes([Text("Fine.")], listens=vendor.listen)
    async with fakes.session(doubled) as wire:
        vendor.errors += [ProviderError("script", "unavailable")] * 8
        await silence(wire, 15.0)
        assert failures(wire) == [str(ProviderError("script", "unavailable"))]
        vendor.errors.clear()
        await silence(wire, 31.0)
        await speak(wire, 1, 0.5)
        await silence(wire, 2.0)
        assert (await said(wire))[0] == ("user", "hello there")


async def test_silence_is_no_utterance() -> None:
    """A pause without speech is no utterance either."""
    vendor = Vendor()
    fakes = Fakes(listens=vendor.listen)
    async with session(fakes) as wire:
        await silence(wire, 2.0)
        wire.connection.microphone(False)
        await wait(wire, 2.0)
        assert (types(wire), vendor.pauses) == ([], 0)


@pytest.mark.slow
@pytest.mark.parametrize("late", [False, True], ids=["in time", "late"])
async def test_nothing_is_lost_or_stale_after_random_interruptions_and_switches(late: bool) -> None:
    """Each line of the user is in the context once, and in order. At most one connection to the vendor stays open."""
    seed, steps = int(os.environ.get("SOAK_SEED", "1")), int(os.environ.get("SOAK_INTERRUPTIONS", "25"))
    dice, provider, lines = random.Random(seed), "script", list[int]()
    vendor = Vendor(late=late)
    fakes = Fakes(*([Text("A sentence. And another one.")] for _ in range(4 * steps)), listens=vendor.listen)
    async with session(fakes) as wire:
        for _ in range(steps):
            line = dice.choice([each for each in range(1, len(LINES)) if [each] != lines[-1:]])
            lines.append(line)
            await speak(wire, line, dice.choice([0.3, 0.5]))
            match dice.choice(["switch", "fail", "off", "interrupt", "listen", "go on"]):
                case "switch":
                    await silence(wire, 0.6)
                    provider = "second" if provider == "script" else "script"
                    wire.update(stt={"provider": provider})
                case "fail":
                    vendor.errors.append(ProviderError("script", "unavailable"))
                case "off":
                    await wait(wire, 0.7)
                case "interrupt":
                    await silence(wire, 0.8)
                    wire.call("tts:interrupt")
                case "listen":
                    await silence(wire, 2.5)
                case _:
                    pass
            await silence(wire, dice.choice([0.6, 0.7, 1.0]))
        await silence(wire, 4.0)
        heard = " ".join(text for role, text in await said(wire) if role == "user")
        assert heard == " ".join(LINES[line] for line in lines), f"the seed is {seed}"
        assert failures(wire) == []
        assert vendor.open == 1
    assert vendor.open == 0
    assert fakes.begun["llm"] == fakes.ended["llm"]
    assert fakes.begun["tts"] == fakes.ended["tts"]
