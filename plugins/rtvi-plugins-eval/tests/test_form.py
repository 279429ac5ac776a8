"""The messages of the harness. `docs/examples/evaluation` runs the published harness itself."""

from __future__ import annotations

from array import array
from base64 import b64decode, b64encode
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from eval_harness import Harness
from httpx2.websockets import ASGIWebSocketTransport, WebSocketDisconnect

from rtvi_plugins import LLM, STT, TTS, VAD, Session, action, bot, converse
from rtvi_plugins.hosting import Host
from rtvi_plugins_server import create_app

pytestmark = pytest.mark.anyio

MUTE = {"skip_tts": True}
SPOKEN = {"skip_tts": False, "capture_bot_audio": True}
READY = '{"label": "rtvi-ai", "type": "client-ready", "id": "0", "data": {"version": "2.1.0"}}'


@bot(
    services={"llm": "echo", "stt": "echo", "tts": "echo", "vad": "echo"},
    config={"llm": {"messages": [{"role": "system", "content": "Repeat."}]}, "stt": {"script": ["Book a room."]}},
    functions=["bot:book"],
    public=True,
)
async def parrot(session: Session, /, llm: LLM, stt: STT, tts: TTS, vad: VAD) -> None:
    """Repeats what you say."""
    await converse(session, llm=llm, stt=stt, tts=tts, vad=vad)


@action(parrot)
async def book(session: Session, /, nights: int) -> int:
    """Return the price."""
    return 80 * nights


@action(parrot)
async def call_book(session: Session, /, nights: int) -> int:
    """Call the function, as an LLM does."""
    price: int = await session.call_function("book", {"nights": nights})
    return price


@action(parrot)
async def messages(session: Session, /) -> list[Any]:
    """Return the conversation."""
    return list(session.context.messages)


def call(name: str, **arguments: Any) -> dict[str, Any]:
    """Return the data of an action."""
    listed = [{"name": key, "value": value} for key, value in arguments.items()]
    return {"service": "bot", "action": name, "arguments": listed}


async def test_a_text_is_answered_in_text(harness: Harness) -> None:
    """The session needs no token, and does not speak."""
    async with harness(parrot, **MUTE) as socket:
        await socket.send("send-text", {"content": "Hello.", "options": {"audio_response": False}})
        assert await socket.until("bot-transcription") == {"text": "Hello."}


async def test_function_calls_are_reported_when_the_scenario_needs_them(harness: Harness) -> None:
    """Each call has its name, its arguments and its end."""
    async with harness(parrot) as socket:
        await socket.ask("eval-configure", {"function_call_report_level": {"*": "full"}})
        await socket.send("action", call("call_book", nights=2))
        called = await socket.until("llm-function-call-in-progress")
        assert (called["function_name"], called["arguments"]) == ("book", {"nights": 2})
        ended = await socket.until("llm-function-call-stopped")
        assert (ended["tool_call_id"], ended["result"]) == (called["tool_call_id"], 160)


@pytest.mark.parametrize("configure", [None, {}, {"function_call_report_level": {"*": "none"}}])
async def test_function_calls_are_not_reported_otherwise(harness: Harness, configure: Any) -> None:
    """The client gets what every client gets."""
    async with harness(parrot) as socket:
        if configure is not None:
            await socket.ask("eval-configure", configure)
        await socket.send("action", call("call_book", nights=2))
        assert await socket.until("llm-function-call-started") == {"function_name": "book"}
        while (message := await socket.socket.receive_json())["type"] != "action-response":
            assert message["type"] == "llm-function-call-stopped"


async def test_the_context_is_replaced_and_the_instructions_stay(harness: Harness) -> None:
    """If a scenario has instructions of its own, they replace those as well."""
    seed = [{"role": "user", "content": "I am Ada."}, {"role": "assistant", "content": "Hello, Ada."}]
    async with harness(parrot) as socket:
        await socket.ask("eval-context", {"messages": seed})
        await socket.send("action", call("messages"))
        instructions = {"role": "system", "content": "Repeat."}
        assert (await socket.until("action-response"))["result"] == [instructions, *seed]
        other = [{"role": "system", "content": "Be brief."}, *seed]
        await socket.ask("eval-context", {"messages": other})
        await socket.send("action", call("messages"))
        assert (await socket.until("action-response"))["result"] == other


@pytest.mark.parametrize(
    ("name", "data", "paths"),
    [
        ("eval-context", {"messages": "hello"}, ["$.data.d.messages"]),
        ("eval-context", {"messages": ["hello"]}, ["$.data.d.messages[0]"]),
        (
            "eval-context",
            {"messages": [{"role": "bot", "content": "Hi."}, {"role": "user", "content": 1}]},
            ["$.data.d.messages[0].role", "$.data.d.messages[1].content"],
        ),
        ("eval-context", [], ["$.data.d.messages"]),
        ("eval-configure", {"vad_user_speaking": True}, ["$.data.d.vad_user_speaking"]),
        ("eval-configure", {"llm_markers": True}, ["$.data.d.llm_markers"]),
        ("eval-image", {"image": "", "format": "image/png"}, ["$.data.d"]),
    ],
)
async def test_a_request_that_cannot_be_answered_is_reported(
    harness: Harness, name: str, data: Any, paths: list[str]
) -> None:
    """As an error and in the log: the harness shows neither its requests' answers nor errors."""
    async with harness(parrot) as socket:
        await socket.ask(name, data)
        error = await socket.until("error")
        assert (error["code"], error["fatal"]) == ("invalid-arguments", False)
        assert [each["path"] for each in error["details"]] == paths


async def test_the_harness_ends_the_session(harness: Harness) -> None:
    """The socket is closed, and nothing of the session stays."""
    async with harness(parrot) as socket:
        await socket.ask("eval-cancel", {})
        with pytest.raises(WebSocketDisconnect) as closed:
            await socket.until("nothing")
        assert (closed.value.code, closed.value.reason) == (1000, "the evaluation is over")


def loudness(message: dict[str, Any]) -> int:
    """Return the greatest sample of an audio message."""
    assert message["sampleRate"] == 16_000
    return max(array("h", b64decode(message["audio"])))


async def test_speech_goes_both_ways(harness: Harness) -> None:
    """The user's audio comes as `raw-audio`, and the bot's as `eval-bot-audio`."""
    async with harness(parrot, **SPOKEN) as socket:
        await _speak(socket)
        while not (heard := await socket.until("user-input"))["final"]:
            pass
        assert (heard["text"], heard["input_type"]) == ("Book a room.", "transcription")
        await socket.until("bot-started-speaking")
        assert loudness(await socket.until("eval-bot-audio")) > 1_000


async def test_a_spoken_user_can_be_answered_in_text(harness: Harness) -> None:
    """The harness sets only whether the bot speaks, and not whether the user does."""
    async with harness(parrot, **MUTE) as socket:
        await _speak(socket)
        assert await socket.until("bot-transcription") == {"text": "Book a room."}


async def _speak(socket: Any) -> None:
    """Speak for half a second, and be silent for one."""
    for seconds, sample in ((0.5, 8_000), (1.0, 0)):
        pcm = array("h", [sample, -sample] * round(seconds * 8_000)).tobytes()
        data = {"base64Audio": b64encode(pcm).decode(), "sampleRate": 16_000, "numChannels": 1}
        await socket.send("raw-audio", data)


@pytest.mark.parametrize("data", [None, {}, {"base64Audio": "?", "sampleRate": 1, "numChannels": 1}])
async def test_unusable_audio_is_reported_once(harness: Harness, data: Any) -> None:
    """The session continues."""
    async with harness(parrot, **SPOKEN) as socket:
        await socket.send("raw-audio", data)
        assert (await socket.until("error"))["code"] == "unusable-audio"
        await socket.send("get-config", {})
        assert "config" in await socket.until("config")


async def test_binary_frames_close_the_socket(harness: Harness) -> None:
    """The harness sends no binary frames."""
    async with harness(parrot) as socket:
        await socket.socket.send_bytes(b"audio")
        with pytest.raises(WebSocketDisconnect) as closed:
            await socket.until("nothing")
        assert closed.value.code == 1002


# ---- who may use it --------------------------------------------------------------------------------------------------


@asynccontextmanager
async def serving(host: Host) -> AsyncGenerator[httpx2.AsyncClient]:
    """Serve a host to a client in this process."""
    transport = ASGIWebSocketTransport(create_app(host))
    async with host, httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:7860") as client:
        yield client


async def test_other_clients_are_served_as_before() -> None:
    """They cannot use the requests of the harness."""
    async with serving(Host(parrot, plugins=["eval"], dev=True, environ={})) as client:
        address = (await client.post("/connect")).json()["ws_url"]
        async with client.websocket(address) as socket:
            await socket.send_text(READY)
            assert (await socket.receive_json())["type"] == "bot-ready"
            await socket.send_text(
                '{"label": "rtvi-ai", "type": "client-message", "id": "1", "data": {"t": "eval-context", "d": {}}}'
            )
            assert (await socket.receive_json())["type"] == "error-response"


async def test_it_does_nothing_outside_of_development_mode(caplog: pytest.LogCaptureFixture) -> None:
    """Otherwise anyone could replace a conversation. The log says how to enable it."""
    async with serving(Host(parrot, plugins=["eval"], environ={})) as client:
        assert "--dev" in caplog.text
        address = (await client.post("/connect")).json()["ws_url"]
        async with client.websocket(address) as socket:
            await socket.send_text(
                '{"label": "rtvi-ai", "type": "client-message", "id": "1", "data": {"t": "eval-connect", "d": {}}}'
            )
            await socket.send_text(READY)
            assert (await socket.receive_json())["type"] == "bot-ready"
            assert (await socket.receive_json())["type"] == "error-response"
