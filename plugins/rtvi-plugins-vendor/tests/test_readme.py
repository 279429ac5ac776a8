"""The code of the README runs."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest

import rtvi_plugins_vendor
import rtvi_plugins_vendor.testing
from rtvi_plugins.kinds import Text, Transcript
from rtvi_plugins.session import Secret
from rtvi_plugins_vendor.testing import Answer, FakeSocket, fake_vendor

pytestmark = pytest.mark.anyio

README = Path(__file__).parents[1].joinpath("README.md").read_text("utf-8")
HTTP, WEBSOCKET, TESTS = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
NAMES = {**vars(rtvi_plugins_vendor), **vars(rtvi_plugins_vendor.testing), "Secret": Secret}


def function(code: str, url: str = "", **names: object) -> Any:
    """Return a function with this code. Its vendor is at `url`."""
    namespace: dict[str, Any] = {**NAMES, "api_key": Secret("key-of-a-test"), **names}
    code = code.replace("https://api.acme.example", url)
    exec(f"async def run():\n{indent(code, '    ')}", namespace)
    return namespace["run"]()


async def test_http() -> None:
    """The code reads the events of a response."""
    async with fake_vendor() as vendor:
        vendor.on("/v1/chat", Answer(parts=[b"data: Hello\n\n"], headers={"content-type": "text/event-stream"}))
        pieces = function(HTTP, vendor.url, messages=[], Text=Text)
        assert [piece async for piece in pieces] == [Text("Hello")]


async def test_websocket() -> None:
    """The code reads the transcripts of an utterance."""

    async def listen(socket: FakeSocket) -> None:
        assert await anext(socket) == b"audio"
        await socket.send({"text": "Hello", "final": True})

    async def frames(request: object) -> AsyncIterator[bytes]:
        yield b"audio"

    async with fake_vendor() as vendor:
        vendor.on("/v1/listen", listen)
        pieces = function(WEBSOCKET, vendor.url, frames=frames, request=None, Transcript=Transcript)
        assert [piece async for piece in pieces] == [Transcript("Hello", True)]


async def test_testing() -> None:
    """The code runs the vendor for tests."""
    await function(TESTS)
