"""The spans of a conversation with the providers of rtvi-plugins-echo, as the SDK exports them."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from rtvi_plugins import LLM, TTS, Failover, Session, action, bot, converse, options, service
from rtvi_plugins.client import Client
from rtvi_plugins.errors import ProviderError, RequestError
from rtvi_plugins.events import BotLLMStarted, BotTurnEnded, FunctionCallEnded, FunctionCallStarted
from rtvi_plugins.hosting import ConnectionStream, Host, ManualClock
from rtvi_plugins.kinds import LLMPiece, LLMRequest, Text
from rtvi_plugins.resuming import MemoryStore
from rtvi_plugins.session import Secret

pytestmark = pytest.mark.anyio
SECRET = "secret-of-a-test"


@bot(services={"llm": "echo", "tts": "echo"}, client=["bot:fail", "bot:lose", "bot:report"])
async def parrot(session: Session, /, llm: LLM, tts: TTS) -> None:
    """Repeats what it reads."""
    await converse(session, llm=llm, tts=tts)


@action(parrot)
async def fail(session: Session, /) -> str:
    """Fail."""
    raise RequestError("This always fails.")


@action(parrot)
async def report(session: Session, /) -> str:
    """Report that a vendor has failed."""
    session.fail(ProviderError("acme", "timeout"))
    return "reported"


@action(parrot)
async def lose(session: Session, /) -> str:
    """Let the LLM fail in a turn of the author's own loop, after a function call."""
    session.emit(BotLLMStarted())
    session.emit(FunctionCallStarted("call-1", "look_up", {}, by_client=False))
    session.emit(FunctionCallEnded("call-1", "look_up", cancelled=False))
    session.fail(ProviderError("google", "quota"))
    session.emit(BotTurnEnded())
    return "lost"


class DownLLM:
    """A vendor that does not answer."""

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        """Fail."""
        if request.messages:
            raise ProviderError("down", "unavailable")
        yield Text("")


@service("llm", "down")
@asynccontextmanager
async def down_llm() -> AsyncGenerator[DownLLM]:
    """Answers nothing."""
    yield DownLLM()


@options(down_llm)
def choose(llm: DownLLM, /, model: str = "large") -> None:
    """Choose a model."""


@bot(services={"llm": Failover("down", "echo")})
async def survivor(session: Session, /, llm: LLM) -> None:
    """Answers although a vendor fails."""
    await converse(session, llm=llm)


async def converse_once(host: Host) -> str:
    """Hold a conversation of one turn, with two actions. Return the session's id."""
    started = await host.start(secret=SECRET)
    stream = ConnectionStream(host.claim(started.token))
    async with Client.connected(stream, version="2.1.0", timeout=10) as client:
        assert await client.ask("a secret word") == "a secret word"
        assert await client.action("bot:report") == "reported"
        with pytest.raises(RequestError):
            await client.action("bot:fail")
        await client.disconnect_bot()
        with anyio.fail_after(5):
            while host.open_sessions:
                await anyio.lowlevel.checkpoint()
    return started.session_id


def names(spans: tuple[ReadableSpan, ...]) -> dict[str, ReadableSpan]:
    """Return the spans by their names."""
    assert len({each.name for each in spans}) == len(spans)
    return {each.name: each for each in spans}


async def test_a_conversation_is_one_trace(exporter: InMemorySpanExporter) -> None:
    """The turn and the actions belong to the session, and the calls of services to the turn."""
    async with Host(parrot, plugins=["opentelemetry"], operator_secret=Secret(SECRET), environ={}) as host:
        id = await converse_once(host)
    spans = names(exporter.get_finished_spans())
    assert set(spans) == {"start", "session", "turn", "chat echo", "bot:report", "bot:fail"}
    session, turn, chat = spans["session"], spans["turn"], spans["chat echo"]
    assert (session.parent, session.attributes) == (None, {"session.id": id})
    for child, parent in ((turn, session), (chat, turn), (spans["bot:report"], session), (spans["bot:fail"], session)):
        assert child.parent is not None
        assert parent.context is not None
        assert (child.parent.span_id, child.parent.trace_id) == (parent.context.span_id, parent.context.trace_id)
    assert turn.attributes == {"rtvi.interrupted": False}
    assert (turn.kind, chat.kind) == (SpanKind.INTERNAL, SpanKind.CLIENT)
    assert chat.attributes is not None
    assert (chat.attributes["gen_ai.operation.name"], chat.attributes["gen_ai.provider.name"]) == ("chat", "echo")
    assert (chat.attributes["gen_ai.conversation.id"], chat.attributes["gen_ai.request.stream"]) == (id, True)
    assert [(each.name, each.attributes) for each in session.events] == [
        ("error", {"error.type": "timeout", "gen_ai.provider.name": "acme"})
    ]
    assert spans["bot:fail"].attributes == {
        "rtvi.service": "bot",
        "rtvi.action": "fail",
        "error.type": "request-failed",
    }
    assert not spans["bot:fail"].status.is_ok


async def test_a_turn_whose_vendor_fails_has_failed(exporter: InMemorySpanExporter) -> None:
    """The span has the conventional name of the vendor. Its function has a separate span."""
    async with Host(parrot, plugins=["opentelemetry"], operator_secret=Secret(SECRET), environ={}) as host:
        started = await host.start(secret=SECRET)
        async with Client.connected(ConnectionStream(host.claim(started.token)), version="2.1.0", timeout=10) as client:
            assert await client.action("bot:lose") == "lost"
    spans = names(exporter.get_finished_spans())
    turn, tool = spans["turn"], spans["execute_tool look_up"]
    assert (turn.status.is_ok, turn.attributes) == (False, {"error.type": "quota", "rtvi.interrupted": False})
    assert [each.attributes for each in turn.events] == [{"error.type": "quota", "gen_ai.provider.name": "gcp.gemini"}]
    assert tool.attributes == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "look_up",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": "call-1",
        "gen_ai.conversation.id": started.session_id,
        "rtvi.cancelled": False,
    }


async def test_the_model_of_a_provider_that_has_failed_is_not_that_of_the_next_one(
    exporter: InMemorySpanExporter,
) -> None:
    """The config has the options of the chosen provider, but another one has answered, and is paid for it."""
    shared: dict[str, Any] = {"plugins": ["opentelemetry"], "operator_secret": Secret(SECRET), "environ": {}}
    async with Host(survivor, modules=[sys.modules[__name__]], **shared) as host:
        started = await host.start(secret=SECRET)
        async with Client.connected(ConnectionStream(host.claim(started.token)), version="2.1.0", timeout=10) as client:
            assert await client.ask("hello") == "hello"
    attributes = names(exporter.get_finished_spans())["chat echo"].attributes
    assert attributes is not None
    assert (attributes["gen_ai.provider.name"], attributes["gen_ai.response.model"]) == ("echo", "echo")
    assert "gen_ai.request.model" not in attributes


async def test_no_span_has_a_word_of_the_conversation(exporter: InMemorySpanExporter) -> None:
    """They do not contain the operator's secret either."""
    async with Host(parrot, plugins=["opentelemetry"], operator_secret=Secret(SECRET), environ={}) as host:
        await converse_once(host)
    text = "".join(each.to_json() for each in exporter.get_finished_spans())
    assert "chat" in text
    assert "secret word" not in text
    assert SECRET not in text


async def test_a_refused_start_has_a_span(exporter: InMemorySpanExporter) -> None:
    """The span has the code of the refusal."""
    async with Host(parrot, plugins=["opentelemetry"], operator_secret=Secret(SECRET), environ={}) as host:
        with pytest.raises(RequestError):
            await host.start()
    (span,) = exporter.get_finished_spans()
    assert (span.name, span.attributes, span.status.is_ok) == ("start", {"error.type": "unauthorized"}, False)


async def test_a_client_that_does_not_come_is_no_error(exporter: InMemorySpanExporter) -> None:
    """Its session has ended as it should."""
    clock = ManualClock()
    async with Host(parrot, plugins=["opentelemetry"], operator_secret=Secret(SECRET), environ={}, clock=clock) as host:
        await host.start(secret=SECRET)
        clock.advance(31)
        with anyio.fail_after(5):
            while host.open_sessions:
                await anyio.lowlevel.checkpoint()
    session = names(exporter.get_finished_spans())["session"]
    assert session.attributes is not None
    assert (session.attributes["rtvi.end_reason"], session.status.is_ok) == ("unclaimed", True)
    assert "error.type" not in session.attributes


async def test_each_part_of_a_resumed_session_has_its_own_span(exporter: InMemorySpanExporter) -> None:
    """This is true even if both are in one process, and the earlier part ends later."""
    shared: dict[str, Any] = {"plugins": ["opentelemetry"], "environ": {}, "store": MemoryStore()}
    shared["operator_secret"] = Secret(SECRET)
    ready = '{"label": "rtvi-ai", "type": "client-ready", "id": "1", "data": {"version": "2.1.0"}}'
    async with Host(parrot, **shared) as first, Host(parrot, **shared) as second:
        old = first.claim((await first.start(secret=SECRET)).token)
        old.receive(ready)
        with anyio.fail_after(5):
            (text,) = [each for each in await old.outgoing() if '"bot-ready"' in str(each)]
            token = json.loads(str(text))["data"]["about"]["resume"]["token"]
            await second.start({"resume": token}, secret=SECRET)
            old.receive(ready)  # the next write of the first host is refused, so its part ends
            while first.open_sessions:
                await anyio.lowlevel.checkpoint()
        sessions = [each for each in exporter.get_finished_spans() if each.name == "session"]
        assert len(sessions) == 1
    sessions = [each for each in exporter.get_finished_spans() if each.name == "session"]
    assert len({each.context.span_id for each in sessions if each.context is not None}) == 2
