"""The model over a real socket: connections are used again, dropped when an answer is, and given up on in time."""

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
    """The whole answer."""
    async with aclosing(llm.respond(HELLO)) as answer:
        return [piece async for piece in answer]


async def until(event: Event) -> None:
    """Wait for what happens in the server's thread."""
    assert await anyio.to_thread.run_sync(event.wait, 10)


async def test_a_conversation_over_a_socket(far_llm: OpenAILLM, server: OpenAIServer) -> None:
    """Text, a function call and an error, in turn, on one connection."""
    server.script = [saying("Good", " day."), calling(("c1", "weather", '{"city": "Köln"}'))]
    usage = Usage(12, 5, model="small-1")
    assert await pieces_of(far_llm) == [Text("Good"), Text(" day."), usage]
    assert await pieces_of(far_llm) == [ToolCall("c1", "weather", {"city": "Köln"}), usage]
    assert await far_llm.list_models() == ["large-1", "small-1"]
    assert len({asked.port for asked in server.asked}) == 1


async def test_a_piece_comes_before_the_answer_is_whole(far_llm: OpenAILLM, server: OpenAIServer) -> None:
    """Speaking can begin with the first words."""
    server.script = [Says([chunk({"content": "Well"})], "hangs")]
    async with aclosing(far_llm.respond(HELLO)) as answer:
        assert await anext(answer) == Text("Well")
        assert not server.left.is_set()


async def test_closing_the_iterator_drops_the_connection(far_llm: OpenAILLM, server: OpenAIServer) -> None:
    """The vendor stops, and stops counting; the next answer finds a connection of its own."""
    server.script = [Says([chunk({"content": "Well"})], "hangs")]
    async with aclosing(far_llm.respond(HELLO)) as answer:
        await anext(answer)
    await until(server.left)
    assert (await pieces_of(far_llm))[0] == Text("openai ")
    assert len({asked.port for asked in server.asked}) == 2


async def test_cancelling_drops_the_connection(far_llm: OpenAILLM, server: OpenAIServer) -> None:
    """In the middle of waiting for the next piece."""
    server.script = [Says([chunk({"content": "Well"})], "hangs")]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pieces_of, far_llm)
        await until(server.hanging)
        tasks.cancel_scope.cancel()
    await until(server.left)


async def test_cancelling_between_two_pieces_drops_the_connection(far_llm: OpenAILLM, server: OpenAIServer) -> None:
    """While the bot is busy with the piece before."""
    server.script = [Says([chunk({"content": "Well"})], "hangs")]
    with anyio.CancelScope() as scope:
        async with aclosing(far_llm.respond(HELLO)) as answer:
            async for _ in answer:
                scope.cancel()
                await anyio.sleep_forever()
    assert scope.cancelled_caught
    await until(server.left)


async def test_a_server_that_falls_silent_is_a_timeout(base_url: str, server: OpenAIServer) -> None:
    """After the first piece, too; and the connection is dropped."""
    server.script = [Says([chunk({"content": "Well"})], "hangs")]
    async with connect("acme", KEY, base_url=base_url, timeout=0.2) as llm:
        with pytest.raises(ProviderError, match="acme did not answer in time"):
            await pieces_of(llm)
    await until(server.left)


async def test_a_server_that_stays_after_its_last_word_holds_nobody(far_llm: OpenAILLM, server: OpenAIServer) -> None:
    """The answer ended with `[DONE]`, whatever becomes of the connection."""
    server.script = [Says([*saying("Bye").chunks, "[DONE]"], "hangs")]
    with anyio.fail_after(30):
        assert (await pieces_of(far_llm))[0] == Text("Bye")
    await until(server.left)


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    """Nobody listens at the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    async with connect("acme", KEY, base_url=f"http://127.0.0.1:{port}/v1") as llm:
        with pytest.raises(ProviderError, match="acme is not available"):
            await pieces_of(llm)
