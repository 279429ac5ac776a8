"""What every test of this distribution may use: a server, and models that use it in process or over a socket."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import httpx2
import pytest

from rtvi_plugins_openai import OpenAILLM, connect

sys.path.append(str(Path(__file__).parent))  # for openai_server, which is a program of its own too

from openai_server import KEY, OpenAIServer, serve


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Async tests run on both backends."""
    return str(request.param)


@pytest.fixture
def server() -> OpenAIServer:
    """Return a server that accepts one key."""
    return OpenAIServer(key=KEY.reveal())


@pytest.fixture
async def llm(server: OpenAIServer, anyio_backend: str) -> AsyncGenerator[OpenAILLM]:
    """Open a model on that server, in process."""
    transport = httpx2.ASGITransport(server.app)
    async with connect("openai", KEY, base_url="http://server/v1", transport=transport) as model:
        model.model = "small-1"
        yield model


@pytest.fixture
def base_url(server: OpenAIServer) -> Generator[str]:
    """Return the server's address, on a real socket."""
    with serve(server) as url:
        yield url


@pytest.fixture
async def far_llm(base_url: str, anyio_backend: str) -> AsyncGenerator[OpenAILLM]:
    """Open a model on that server, over a real socket."""
    async with connect("openai", KEY, base_url=base_url) as model:
        model.model = "small-1"
        yield model
