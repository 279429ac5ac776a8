"""Bots on LiveKit's plugins: what they declare, and what a conversation over them does."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any

import anyio
import pytest
from vendors import CALL, cartesia, deepgram, openai_chat

from rtvi_plugins import TTS, Session, bot
from rtvi_plugins.errors import PluginError, ProviderError, RequestError, StartFailed
from rtvi_plugins.hosting import Host
from rtvi_plugins.kinds import (
    Audio,
    LLMRequest,
    STTRequest,
    Text,
    ToolCall,
    Transcript,
    TTSRequest,
    Usage,
    Word,
)
from rtvi_plugins.loading import load_bot
from rtvi_plugins.testing import host_for
from rtvi_plugins_livekit import livekit
from rtvi_plugins_livekit.listing import distribution, installed
from rtvi_plugins_livekit.llm import BridgedLLM
from rtvi_plugins_livekit.running import Bridged, running
from rtvi_plugins_livekit.stt import BridgedSTT
from rtvi_plugins_livekit.tts import BridgedTTS
from rtvi_plugins_vendor.testing import Answer, FakeSocket, fake_vendor

pytestmark = pytest.mark.anyio

BOT = """
from rtvi_plugins import LLM, STT, TTS, Session, bot
from rtvi_plugins_livekit import livekit

flux = livekit("stt", "deepgram:STTv2", name="flux")

@bot(
    services={"stt": ["flux", "livekit-deepgram"], "llm": "livekit-openai", "tts": "livekit-cartesia"},
    config={"stt.flux": {"eot_threshold": 0.8}},
    client=["llm.temperature", "stt.provider", "tts.voice"],
)
async def mybot(session: Session, /, stt: STT, llm: LLM, tts: TTS) -> None: ...
"""


def load(tmp_path: Path, **environ: str) -> Host:
    """Load the bot from a file, as the command does."""
    (tmp_path / "livekit_bot.py").write_text(BOT, "utf-8")
    return Host(load_bot(str(tmp_path / "livekit_bot.py")), environ=environ)


@pytest.fixture
def modules() -> Iterator[None]:
    """Forget the modules of the bot's file."""
    before = set(sys.modules), list(sys.path)
    yield
    sys.path[:] = before[1]
    for name in set(sys.modules) - before[0]:
        if name.startswith("livekit_bot"):
            del sys.modules[name]


def live(adapter: type[Bridged], plugin: str, service_options: Any, timeout: float = 5.0, **values: Any) -> Bridged:
    """Return a service on a plugin's class, outside of a session."""
    module = __import__(f"livekit.plugins.{plugin}", fromlist=["plugins"])
    cls = getattr(module, adapter.__name__.removeprefix("Bridged"))
    made = adapter("livekit-test", cls, {"api_key": "key-of-a-test", "base_url": service_options["base_url"]}, timeout)
    if values:
        made.configure(values)
    return made


@asynccontextmanager
async def opened(service: Bridged) -> AsyncGenerator[Any]:
    """Open and close a service."""
    async with running(service):
        yield service


async def audio(seconds: float) -> AsyncIterator[Audio]:
    """A user who speaks."""
    for _ in range(int(seconds / 0.032)):
        yield Audio(bytes(1024), 16_000)


async def sentences(*texts: str) -> AsyncIterator[str]:
    """The sentences of an answer."""
    for each in texts:
        yield each


# ---- what is declared ------------------------------------------------------------------------------------------------


def test_installed_plugins_are_found_with_their_kinds() -> None:
    """A class of a kind of ours makes a provider. Others, such as realtime models, do not."""
    assert installed() == {"cartesia": ["stt", "tts"], "deepgram": ["stt", "tts"], "openai": ["llm", "stt", "tts"]}


WITHOUT_BRIDGE = """
import rtvi_plugins_livekit.listing
rtvi_plugins_livekit.listing.providers = list
from rtvi_plugins.__main__ import main
main(["plugins", "--available", "--json"])
"""


def test_what_can_be_had_agrees_with_what_is_installed() -> None:
    """The list of `rtvi plugins --available`, without what is installed, was read from LiveKit's repository."""
    done = subprocess.run([sys.executable, "-c", WITHOUT_BRIDGE], capture_output=True, text=True, check=True)
    listed = {each["name"]: each["distribution"] for each in json.loads(done.stdout)}
    for plugin, kinds in installed().items():
        assert {each for each in ("llm", "stt", "tts") if f"{each}.livekit-{plugin}" in listed} == set(kinds)
    # A distribution need not have the name of its plugin, and another project may have that name.
    for plugin, expected in {"minimax": "minimax-ai", "microsoft_ai": "microsoft-ai", "rime": "rime"}.items():
        assert listed[f"tts.livekit-{plugin}"] == distribution(plugin) == f"livekit-plugins-{expected}"


IN_A_THREAD = """
from threading import Thread
from rtvi_plugins_livekit.declare import declare
declared = []
thread = Thread(target=lambda: declared.extend(declare("tts", "cartesia")))
thread.start()
thread.join()
print(*(each.__name__ for each in declared))
"""


def test_a_plugin_can_be_imported_in_a_thread() -> None:
    """As a server does with alternatives, though LiveKit would refuse it."""
    done = subprocess.run([sys.executable, "-c", IN_A_THREAD], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["tts_service", "tts_options", "find_key"]


@pytest.mark.usefixtures("modules")
def test_a_bot_names_plugins_and_other_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their options, keys and service options are those of the constructors."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    host = load(tmp_path)
    providers = host.registry.services["stt"].providers
    assert providers["flux"].options["eot_threshold"][0].shape.rtvi_type == "number"
    assert set(providers["livekit-deepgram"].options) >= {"model", "language", "endpointing_ms"}
    assert list(providers["livekit-deepgram"].spec.parameters) == ["base_url", "timeout"]
    assert host.missing_keys() == {
        "stt": {"flux": ["FLUX_API_KEY"], "livekit-deepgram": ["LIVEKIT_DEEPGRAM_API_KEY"]},
        "llm": {"livekit-openai": ["LIVEKIT_OPENAI_API_KEY"]},
        "tts": {"livekit-cartesia": ["LIVEKIT_CARTESIA_API_KEY"]},
    }


@pytest.mark.usefixtures("modules")
def test_a_key_is_also_found_where_livekit_looks_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A blank variable counts as not set."""
    monkeypatch.setenv("OPENAI_API_KEY", "key-of-livekit")
    monkeypatch.setenv("DEEPGRAM_API_KEY", "key-of-livekit")
    monkeypatch.setenv("CARTESIA_API_KEY", " ")
    missing = load(tmp_path).missing_keys()
    assert missing["llm"] == {"livekit-openai": []}
    assert missing["stt"] == {"flux": [], "livekit-deepgram": []}
    assert missing["tts"] == {"livekit-cartesia": ["LIVEKIT_CARTESIA_API_KEY"]}


@pytest.mark.parametrize(
    ("kind", "plugin", "message"),
    [
        ("stt", "nothing", r"There is no LiveKit plugin 'nothing'. Run: pip install livekit-plugins-nothing"),
        ("stt", "deepgram:TTS", r"has no stt class 'TTS'. It has: deepgram:STT, deepgram:STTv2\."),
        ("llm", "openai:TTS", r"has no llm class 'TTS'. It has: openai:LLM, openai.responses:LLM\."),
        ("llm", "deepgram", r"has no llm class 'LLM'. It has: none"),
        ("vad", "silero", r"LiveKit plugins provide llm, stt, tts, not 'vad'"),
    ],
)
def test_a_class_that_is_not_there_is_refused(kind: Any, plugin: str, message: str) -> None:
    """At the import of the bot, with what there is."""
    with pytest.raises(PluginError, match=message):
        livekit(kind, plugin, name="wrong")


def test_a_class_of_a_submodule_can_be_declared() -> None:
    """Some plugins have their only LLM there."""
    assert str(livekit("llm", "openai.responses", name="responses").__doc__).startswith("openai's LLM")


def test_on_trio_the_start_is_refused_with_a_sentence() -> None:
    """LiveKit starts tasks of asyncio."""

    async def start() -> None:
        async with host_for(speaker, sys.modules[__name__], api_keys={"spoken": "key-of-a-test"}) as host:
            await host.start()

    with pytest.raises(StartFailed, match=r"'spoken' runs on asyncio only, and this server runs on trio\."):
        anyio.run(start, backend="trio")


spoken = livekit("tts", "cartesia", name="spoken")


@bot(services={"tts": "spoken"}, client=["tts.voice"], public=True)
async def speaker(session: Session, /, tts: TTS) -> None:
    """A bot with a voice."""
    async for _ in session.inputs():
        pass


# ---- LLM -------------------------------------------------------------------------------------------------------------


async def test_an_answer_is_streamed_with_its_usage() -> None:
    """And the request has the conversation, with its calls and their results."""
    messages: Any = [
        {"role": "system", "content": "You answer the phone."},
        {"role": "user", "content": "Three nights?"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "call_0", "type": "function", "function": {"name": "free", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "call_0", "content": "yes"},
    ]
    functions: Any = [{"name": "book_room", "parameters": {"type": "object", "properties": {"nights": {}}}}]
    async with openai_chat() as vendor, opened(live(BridgedLLM, "openai", vendor.service_options)) as llm:
        pieces = [each async for each in llm.respond(LLMRequest(messages, functions, tool_choice="book_room"))]
        sent = vendor.vendor.requests[-1].json
    assert pieces == [Text("Good"), Text(" day."), Usage(12, 3, model="gpt-4.1", cached_tokens=4)]
    assert [each["role"] for each in sent["messages"]] == ["system", "user", "assistant", "tool"]
    assert sent["messages"][2]["tool_calls"][0]["function"]["name"] == "free"
    assert sent["tools"][0]["function"]["name"] == "book_room"
    assert sent["tool_choice"] == {"type": "function", "function": {"name": "book_room"}}


async def test_a_call_is_read() -> None:
    """With its arguments as an object."""
    async with openai_chat(CALL) as vendor, opened(live(BridgedLLM, "openai", vendor.service_options)) as llm:
        request = LLMRequest([{"role": "user", "content": "Three nights."}], [{"name": "book_room"}])
        pieces = [each async for each in llm.respond(request)]
    assert pieces[0] == ToolCall("call_1", "book_room", {"nights": 3})


async def test_an_answer_that_must_fit_a_schema_is_refused() -> None:
    """LiveKit has no common field for it."""
    async with openai_chat() as vendor, opened(live(BridgedLLM, "openai", vendor.service_options)) as llm:
        with pytest.raises(ProviderError, match="did not accept the request"):
            async for _ in llm.respond(LLMRequest([], answer_schema={"type": "object"})):
                pass


async def test_options_count_from_the_next_answer_on() -> None:
    """Each change makes a new object of the plugin, and the old one is closed."""
    request = LLMRequest([{"role": "user", "content": "Hello"}])
    async with openai_chat() as vendor, opened(live(BridgedLLM, "openai", vendor.service_options)) as llm:
        for temperature in (0.1, 0.9):
            llm.configure({"temperature": temperature})
            assert len([each async for each in llm.respond(request)]) == 3
        sent = [each.json["temperature"] for each in vendor.vendor.requests]
    assert sent == [0.1, 0.9]


async def test_options_that_the_class_refuses_are_refused_at_once(caplog: pytest.LogCaptureFixture) -> None:
    """The log says it, without their values."""
    async with openai_chat() as vendor, opened(live(BridgedLLM, "openai", vendor.service_options)) as llm:
        with pytest.raises(RequestError, match="'livekit-test' does not accept these options together"):
            llm.configure({"no_such_option": "secret-value"})
    assert "livekit-test refuses its options: TypeError" in caplog.text
    assert "secret-value" not in caplog.text


# ---- speech ----------------------------------------------------------------------------------------------------------


async def test_an_utterance_ends_soon_after_its_audio() -> None:
    """LiveKit's stream itself would take seconds to end. The limit here is generous for busy machines."""
    async with deepgram() as vendor, opened(live(BridgedSTT, "deepgram", vendor.service_options)) as stt:
        begin = perf_counter()
        pieces = [each async for each in stt.transcribe(STTRequest(audio(1.0)))]
        took = perf_counter() - begin
    found = [each for each in pieces if isinstance(each, Transcript)]
    assert [(each.text, each.final) for each in found] == [("two nights", False), ("two nights please", True)]
    assert [word.text for word in found[-1].words] == ["two", "nights", "please"]
    assert found[-1].confidence == pytest.approx(0.9)
    assert any(isinstance(each, Usage) and each.seconds > 0 for each in pieces)
    assert took < 2.0


async def test_audio_is_sent_in_whole_chunks() -> None:
    """Vendors such as AssemblyAI refuse a shorter rest, and end the connection."""
    async with deepgram() as vendor, opened(live(BridgedSTT, "deepgram", vendor.service_options)) as stt:
        assert [each async for each in stt.transcribe(STTRequest(audio(0.6)))]
        sent = [each for each in vendor.vendor.requests[-1].messages if isinstance(each, bytes)]
    assert {len(each) for each in sent} == {1600}
    assert sum(map(len, sent)) == pytest.approx(2 * 16_000 * 0.6, abs=3200)


async def test_the_vad_of_a_plugin_finds_the_end_of_the_utterance() -> None:
    """Some vendors finish a text only when the client asks for it. LiveKit asks when its VAD reports silence."""

    async def commit(socket: FakeSocket) -> None:
        async for message in socket:
            if message["type"] == "input_audio_buffer.commit":
                kind = "conversation.item.input_audio_transcription.completed"
                await socket.send({"type": kind, "item_id": "item-1", "transcript": "two nights please"})

    async with fake_vendor() as vendor:
        vendor.on("/v1/realtime", commit)
        service_options = {"base_url": f"{vendor.url}/v1"}
        async with opened(live(BridgedSTT, "openai", service_options, model="gpt-live-transcribe")) as stt:
            pieces = [each async for each in stt.transcribe(STTRequest(audio(1.0)))]
        kinds = [each["type"] for each in vendor.requests[-1].messages]
    assert [(each.text, each.final) for each in pieces if isinstance(each, Transcript)] == [("two nights please", True)]
    assert kinds[-1] == "input_audio_buffer.commit"
    assert kinds.count("input_audio_buffer.commit") == 1


async def test_a_whole_utterance_is_recognised_with_its_seconds() -> None:
    """If the class does not stream."""
    async with fake_vendor() as vendor:
        vendor.on("/v1/audio/transcriptions", Answer(json={"text": "two nights please"}))
        service_options = {"base_url": f"{vendor.url}/v1"}
        async with opened(live(BridgedSTT, "openai", service_options)) as stt:
            pieces = [each async for each in stt.transcribe(STTRequest(audio(0.96)))]
    assert [(each.text, each.final) for each in pieces if isinstance(each, Transcript)] == [("two nights please", True)]
    assert [each.seconds for each in pieces if isinstance(each, Usage)] == [pytest.approx(0.96)]


@pytest.mark.parametrize("adapter", [BridgedLLM, BridgedSTT, BridgedTTS])
async def test_the_http_client_of_an_object_is_closed_with_it(adapter: type[Bridged]) -> None:
    """Each change of options makes another one, and their connections would stay open."""
    async with openai_chat() as vendor, opened(live(adapter, "openai", vendor.service_options)) as service:
        async with service.use() as first:
            pass
        service.configure({"model": "small-1"})
        async with service.use() as second:
            assert first._client.is_closed()
    assert second._client.is_closed()


async def test_a_voice_that_can_only_stream_speaks() -> None:
    """Also if it does not time the words."""
    cartesia_tts: Any = import_module("livekit.plugins.cartesia").TTS

    class StreamsOnly(cartesia_tts):  # type: ignore[misc]  # pyright: ignore[reportUntypedBaseClass]
        def synthesize(self, text: str, **given: Any) -> Any:
            raise NotImplementedError

    async with cartesia() as vendor:
        fixed = {"api_key": "key-of-a-test", "base_url": vendor.service_options["base_url"], "word_timestamps": False}
        async with opened(BridgedTTS("livekit-test", StreamsOnly, fixed, 5.0)) as tts:
            pieces = [each async for each in tts.synthesize(TTSRequest(sentences("One two.")))]
    assert any(isinstance(each, Audio) for each in pieces)


async def test_words_of_all_sentences_are_timed_from_the_start() -> None:
    """Though each sentence is a stream of its own, over the same connection."""
    async with cartesia() as vendor, opened(live(BridgedTTS, "cartesia", vendor.service_options)) as tts:
        pieces = [each async for each in tts.synthesize(TTSRequest(sentences("One two.", "Three.")))]
        connections = len(vendor.vendor.requests)
    words = [(each.text, each.start) for each in pieces if isinstance(each, Word)]
    assert words == [("One", 0.0), ("two.", pytest.approx(0.2)), ("Three.", pytest.approx(0.4, abs=0.02))]
    assert sum(each.seconds for each in pieces if isinstance(each, Audio)) == pytest.approx(0.6, abs=0.05)
    assert pieces[-1] == Usage(characters=len("One two.Three."))
    assert connections == 1
