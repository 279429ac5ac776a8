"""The model over a real socket: connections are reused, closed with a left answer, and given up after a time limit."""

from __future__ import annotations

import socket
from contextlib import aclosing
from threading import Event

import anyio
import pytest
from openai_server import KEY, OpenAIServer, Says, calling, chunk, saying

from rtvi_plugins.errors import ProviderError
from rtvi_plugins.kinds import LLMPiece, LLMRequest, Text, ToolCall, Usage
from rtvi_plugins_openai import OpenAILLM, connect

pytestmark = pytest.mark.anyio

HELLO = LLMRequest([{"role": "user", "content": "Hello"}])


async def pieces_of(llm: OpenAILLM) -> list[LLMPiece]:
    """Return the whole answer."""
    async with aclosing(llm.respond(HELLO)) as answer:
        return [piece async for piece in answer]


async def until(event: Event) -> None:
    """Wait for something that happens in the server's thread."""
    assert await anyio.to_thread.run_sync(event.wait, 10)


async def test_a_conversation_over_a_socket(far_llm: OpenAILLM, server: OpenAIServer) -> None:
    """Text, a function call and an error come one after the other, on one connection."""
    server.script = [saying("Good", " day."), calling(("c1", "weather", '{"city": "Köln"}'))]
    usage = Usage(12, 5, model="small-1")
    assert await pieces_of(far_llm) == [Text("Good"), Text(" day."), usage]
    assert await pieces_of(far_llm) == [ToolCall("c1", "weather", {"city": "Köln"}), usage]
    assert await far_llm.list_models() == ["large-1", "small-1"]
    assert len({asked.port for asked in server.asked}) == 1


async def test_a_piece_comes_before_the_answer_is_whole(far_llm: OpenAILLM, server: OpenAIServer) -> None:
    """The bot can begin to speak the first words."""
    server.script = [Says([chunk({"content": "Well"})], "hangs")]
    async with aclosing(far_llm.respond(HELLO)) as answer:
        assert await anext(answer) == Text("Well")
        assert not server.left.is_set()


async def test_closing_the_iterator_drops_the_connection(far_llm: OpenAILLM, server: OpenAIServer) -> None:
    """The vendor stops generating, and stops charging. The next answer uses a new connection."""
    server.script = [Says([chunk({"content": "Well"})], "hangs")]
    async with aclosing(far_llm.respond(HELLO)) as answer:
        await anext(answer)
    await until(server.left)
    assert (await pieces_of(far_llm))[0] == Text("openai ")
    assert len({asked.port for asked in server.asked}) == 2


async def test_cancelling_drops_the_connection(far_llm: OpenAILLM, server: OpenAIServer) -> None:
    """The answer is cancelled while it waits for the next piece."""
    server.script = [Says([chunk({"content": "Well"})], "hangs")]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pieces_of, far_llm)
        await until(server.hanging)
        tasks.cancel_scope.cancel()
    await until(server.left)


async def test_cancelling_between_two_pieces_drops_the_connection(far_llm: OpenAILLM, server: OpenAIServer) -> None:
    """The answer is cancelled while the bot handles the previous piece."""
    server.script = [Says([chunk({"content": "Well"})], "hangs")]
    with anyio.CancelScope() as scope:
        async with aclosing(far_llm.respond(HELLO)) as answer:
            async for _ in answer:
                scope.cancel()
                await anyio.sleep_forever()
    assert scope.cancelled_caught
    await until(server.left)


async def test_a_server_that_falls_silent_is_a_timeout(base_url: str, server: OpenAIServer) -> None:
    """This includes silence after the first piece. The connection is closed."""
    server.script = [Says([chunk({"content": "Well"})], "hangs")]
    async with connect("acme", KEY, base_url=base_url, timeout=0.2) as llm:
        with pytest.raises(ProviderError, match="acme did not answer in time"):
            await pieces_of(llm)
    await until(server.left)


async def test_a_server_that_stays_after_its_last_word_holds_nobody(far_llm: OpenAILLM, server: OpenAIServer) -> None:
    """The answer ended with `[DONE]`. Nothing waits for the end of the connection."""
    server.script = [Says([*saying("Bye").chunks, "[DONE]"], "hangs")]
    with anyio.fail_after(30):
        assert (await pieces_of(far_llm))[0] == Text("Bye")
    await until(server.left)


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    """Nothing listens on the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    async with connect("acme", KEY, base_url=f"http://127.0.0.1:{port}/v1") as llm:
        with pytest.raises(ProviderError, match="acme is not available"):
            await pieces_of(llm)
