"""A spoken conversation with one bot, through servers in the shape of Deepgram, OpenAI and Cartesia.

The vendors' own SDKs read the fakes of Deepgram and Cartesia in `tests/sdks`. The user speaks with flite, in real time.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from attrs import define, field

from rtvi_plugins import LLM, STT, TTS, VAD, Failover, Session, bot, converse
from rtvi_plugins.kinds import Audio
from rtvi_plugins.testing import Line, call, host_for, seconds_heard
from rtvi_plugins.testing.sessions import SECRET
from rtvi_plugins_vendor.testing import Answer, FakeSocket, FakeVendor, fake_vendor

from ..sdks.official import fake_of
from ..tools.flite import RATE, speech

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

#: 20 ms of the user's audio, in bytes.
FRAME = 640
#: A turn takes less, unless it hangs.
PATIENCE = 15.0

#: The vendors of the bots whose providers are switched or lost.
SWITCHED = ("deepgram", "cartesia", "openai", "groq")

WORDS = ("Good morning.", "A room for two, please.", "Thank you and goodbye.")


deepgram = fake_of("rtvi-plugins-deepgram", "deepgram_server")
cartesia = fake_of("rtvi-plugins-cartesia", "cartesia_server")
assemblyai = fake_of("rtvi-plugins-assemblyai", "assemblyai_server")
realtime = fake_of("rtvi-plugins-openai", "realtime_vendor")


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Run on one backend only, in real time. The providers' own tests use both backends."""
    return "asyncio"


# ---- the vendors -----------------------------------------------------------------------------------------------------


def chat(text: str) -> Answer:
    """Return an answer of a chat model."""
    choices = ({"delta": {"content": text}}, {"delta": dict[str, str](), "finish_reason": "stop"})
    return events(*({"model": "m", "choices": [{"index": 0, **each}]} for each in choices))


def transcript(text: str) -> Answer:
    """Return a transcript as OpenAI sends it."""
    return events({"type": "transcript.text.delta", "delta": text}, {"type": "transcript.text.done", "text": text})


def events(*data: object) -> Answer:
    """Return server-sent events."""
    parts = [f"data: {json.dumps(each)}\n\n".encode() for each in data]
    return Answer(parts=[*parts, b"data: [DONE]\n\n"], headers={"content-type": "text/event-stream"})


@define(eq=False)
class Vendors:
    """The servers. Each can fail: it refuses requests, and its open connections are cut."""

    deepgram: Any
    cartesia: Any
    assemblyai: Any
    openai: FakeVendor
    groq: FakeVendor
    sockets: list[tuple[str, FakeSocket]] = field(factory=list[tuple[str, FakeSocket]])

    def __attrs_post_init__(self) -> None:
        """Recognise the next sentence in each utterance, and answer."""
        for fake, path, talk in (
            (self.deepgram, "/v1/listen", self.deepgram.listen),
            (self.deepgram, "/v1/speak", self.deepgram.speak),
            (self.cartesia, "/stt/websocket", self.cartesia.listen),
            (self.cartesia, "/tts/websocket", self.cartesia.speak),
        ):
            fake.vendor.on(path, self._kept(path, talk))
        self.openai.on("/realtime", self._kept("/realtime", realtime.RealtimeServer().talk))
        self.openai.on("/chat/completions", *(chat(f"OpenAI answers {each}.") for each in ("once", "twice")))
        self.groq.on("/chat/completions", chat("Groq answers."))

    def start(self, *names: str) -> dict[str, Any]:
        """Return what the operator of a bot with these providers sends at the start."""
        urls = {
            "deepgram": self.deepgram.vendor.url,
            "cartesia": self.cartesia.vendor.url,
            "assemblyai": self.assemblyai.vendor.url,
            "openai": self.openai.url,
            "groq": self.groq.url,
        }
        return {
            "api_keys": {name: {"api_key": f"key-of-{name}"} for name in names},
            "service_options": {name: {"base_url": urls[name]} for name in names},
        }

    def _kept(self, path: str, talk: Callable[[FakeSocket], Any]) -> Callable[[FakeSocket], Any]:
        async def kept(socket: FakeSocket) -> None:
            self.sockets.append((path, socket))
            await talk(socket)

        return kept

    async def lose(self, vendor: FakeVendor, path: str) -> None:
        """Make one endpoint of a vendor fail from now on."""
        vendor.on(path, Answer(503))
        for at, socket in self.sockets:
            if at == path:
                await socket.cut()


@asynccontextmanager
async def vendors() -> AsyncGenerator[Vendors]:
    """Run all servers on free ports of this machine."""
    async with (
        deepgram.deepgram() as first,
        cartesia.cartesia() as second,
        assemblyai.assemblyai() as third,
        fake_vendor() as openai,
        fake_vendor() as groq,
    ):
        yield Vendors(first, second, third, openai, groq)


# ---- the user --------------------------------------------------------------------------------------------------------


@define(eq=False)
class Caller:
    """A user who speaks in real time, and waits for the answer with the microphone on."""

    line: Line
    _sent: int = 0
    _began: float = field(factory=anyio.current_time)

    async def say(self, text: str) -> tuple[object, ...]:
        """Return what was recognised, what the bot answered, and the length of its speech in seconds."""
        heard, turns = seconds_heard(self.line), self._turns
        pcm = speech(text)
        for at in range(0, len(pcm), FRAME):
            await self._send(pcm[at : at + FRAME])
        with anyio.fail_after(PATIENCE):
            while self._turns == turns:
                await self._send(bytes(FRAME))
        (recognised, answered) = (self.line.received(f"{who}-transcription")[-1]["text"] for who in ("user", "bot"))
        return recognised, answered, seconds_heard(self.line) - heard

    @property
    def _turns(self) -> int:
        return len(self.line.received("bot-stopped-speaking"))

    async def _send(self, pcm: bytes) -> None:
        self.line.speak(Audio(pcm, RATE))
        self._sent += 1
        await anyio.sleep_until(self._began + self._sent * FRAME / 2 / RATE)

    async def choose(self, **providers: str) -> None:
        """Choose other providers, which are used from the next turn."""
        config = [
            {"service": name, "options": [{"name": "provider", "value": provider}]}
            for name, provider in providers.items()
        ]
        before = len(self.line.received("config"))
        self.line.send("update-config", {"config": config})
        with anyio.fail_after(PATIENCE):
            while len(self.line.received("config")) == before:
                await self._send(bytes(FRAME))

    @property
    def takeovers(self) -> list[tuple[str, str]]:
        """Return the services whose provider was replaced, each with the new one."""
        messages = [each for each in self.line.received("server-message") if each.get("type") == "failover"]
        return [(each["service"], each["provider"]) for each in messages]


@asynccontextmanager
async def calling(function: Any, start: object, *, dev: bool = False) -> AsyncGenerator[Caller]:
    """Connect to a bot as its operator."""
    async with host_for(function, dev=dev) as host, call(host, start, secret=SECRET) as line:
        yield Caller(line)


# ---- the conversations -----------------------------------------------------------------------------------------------


@bot(
    services={
        "stt": ["deepgram", "cartesia", "openai"],
        "llm": ["openai", "groq"],
        "tts": ["cartesia", "deepgram", "openai"],
        "vad": "echo",
    },
    client=["stt.provider", "llm.provider", "tts.provider"],
)
async def clerk(session: Session, /, stt: STT, llm: LLM, tts: TTS, vad: VAD) -> None:
    """A clerk whose vendors can be changed."""
    await converse(session, stt=stt, llm=llm, tts=tts, vad=vad)


async def test_each_provider_is_switched_in_mid_conversation() -> None:
    """The conversation continues, and each vendor has its own connection."""
    async with vendors() as servers:
        servers.deepgram.sentences = [WORDS[0]]
        servers.cartesia.sentences = [WORDS[1]]
        servers.openai.on("/audio/transcriptions", transcript(WORDS[2]))
        async with calling(clerk, servers.start(*SWITCHED)) as caller:
            assert await caller.say(WORDS[0]) == (WORDS[0], "OpenAI answers once.", pytest.approx(0.3, abs=0.15))
            await caller.choose(stt="cartesia", llm="groq", tts="deepgram")
            assert await caller.say(WORDS[1]) == (WORDS[1], "Groq answers.", pytest.approx(0.2, abs=0.15))
            await caller.choose(stt="openai", llm="openai", tts="openai")
            assert await caller.say(WORDS[2]) == (WORDS[2], "OpenAI answers twice.", pytest.approx(0.2, abs=0.15))
        last = servers.openai.requests
        (conversation,) = [each.json["messages"] for each in last if each.path == "/chat/completions"][1:]
        said = [each["content"] for each in conversation]
        assert said == [WORDS[0], "OpenAI answers once.", WORDS[1], "Groq answers.", WORDS[2]]
        paths = [path for path, _ in servers.sockets]
        # one connection each
        assert sorted(paths) == ["/realtime", "/stt/websocket", "/tts/websocket", "/v1/listen", "/v1/speak"]
        for _, socket in servers.sockets:
            assert await socket.request.outcome() in ("left", "answered")


@bot(
    services={
        "stt": Failover("deepgram", "cartesia"),
        "llm": Failover("openai", "groq"),
        "tts": Failover("cartesia", "deepgram"),
        "vad": "echo",
    }
)
async def steady_clerk(session: Session, /, stt: STT, llm: LLM, tts: TTS, vad: VAD) -> None:
    """A clerk who continues if a vendor fails."""
    await converse(session, stt=stt, llm=llm, tts=tts, vad=vad)


async def test_each_vendor_is_lost_in_turn() -> None:
    """The next provider replaces it within the turn, and the user notices nothing."""
    async with vendors() as servers:
        servers.deepgram.sentences = [WORDS[0]]
        servers.cartesia.sentences = WORDS[1:]
        async with calling(steady_clerk, servers.start(*SWITCHED)) as caller:
            assert await caller.say(WORDS[0]) == (WORDS[0], "OpenAI answers once.", pytest.approx(0.3, abs=0.15))
            assert caller.takeovers == []
            await servers.lose(servers.deepgram.vendor, "/v1/listen")
            assert await caller.say(WORDS[1]) == (WORDS[1], "OpenAI answers twice.", pytest.approx(0.3, abs=0.15))
            assert caller.takeovers == [("stt", "cartesia")]
            await servers.lose(servers.openai, "/chat/completions")
            await servers.lose(servers.cartesia.vendor, "/tts/websocket")
            assert await caller.say(WORDS[2]) == (WORDS[2], "Groq answers.", pytest.approx(0.2, abs=0.15))
            assert caller.takeovers == [("stt", "cartesia"), ("llm", "groq"), ("tts", "deepgram")]
        assert caller.line.received("error") == []
    said = [each["content"] for each in servers.groq.requests[-1].json["messages"]]
    assert said == [WORDS[0], "OpenAI answers once.", WORDS[1], "OpenAI answers twice.", WORDS[2]]


@bot(services={"stt": "deepgram", "llm": "openai", "tts": Failover("openai", "cartesia"), "vad": "echo"})
async def reader(session: Session, /, stt: STT, llm: LLM, tts: TTS, vad: VAD) -> None:
    """A clerk with a voice of OpenAI."""
    await converse(session, stt=stt, llm=llm, tts=tts, vad=vad)


async def test_a_realtime_model_that_reads_is_lost() -> None:
    """Its connection is cut between two turns, and cannot be opened again."""
    async with vendors() as servers:
        servers.deepgram.sentences = WORDS[:2]
        async with calling(reader, servers.start(*SWITCHED[:3])) as caller:
            assert await caller.say(WORDS[0]) == (WORDS[0], "OpenAI answers once.", pytest.approx(0.2, abs=0.15))
            assert caller.takeovers == []
            await servers.lose(servers.openai, "/realtime")
            assert await caller.say(WORDS[1]) == (WORDS[1], "OpenAI answers twice.", pytest.approx(0.3, abs=0.15))
            assert caller.takeovers == [("tts", "cartesia")]
        assert caller.line.received("error") == []


@bot(services={"stt": ["deepgram", "assemblyai", "cartesia"], "llm": "openai", "tts": "cartesia"})
async def listener(session: Session, /, stt: STT, llm: LLM, tts: TTS) -> None:
    """A clerk without a VAD. The vendor decides when the user has finished speaking."""
    await converse(session, stt=stt, llm=llm, tts=tts)


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("deepgram", "nova-3"),
        ("deepgram", "flux-general-en"),
        ("assemblyai", "universal-streaming-english"),
        ("cartesia", "ink-2"),
    ],
)
async def test_a_vendor_finds_the_utterances(provider: str, model: str) -> None:
    """There are two turns over one connection."""
    async with vendors() as servers:
        for fake in (servers.deepgram, servers.assemblyai, servers.cartesia):
            fake.sentences = WORDS[:2]
        option = "speech_model" if provider == "assemblyai" else "model"
        start = servers.start("deepgram", "assemblyai", "cartesia", "openai")
        start |= {"services": {"stt": provider}, "config": {"stt": {option: model}}}
        async with calling(listener, start, dev=True) as caller:
            assert await caller.say(WORDS[0]) == (WORDS[0], "OpenAI answers once.", pytest.approx(0.3, abs=0.15))
            assert await caller.say(WORDS[1]) == (WORDS[1], "OpenAI answers twice.", pytest.approx(0.3, abs=0.15))
        assert caller.line.received("error") == []
