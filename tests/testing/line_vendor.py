"""A vendor that speaks lines over TCP, a fake of it, and providers that do everything right.

A request is a line with the key. The answer is a line with a status, then a line for each piece of text, and "END". A
refusal may have the seconds to wait after the status. A client that sends "listen" after the key gets an answer for
each line "pause".

`JSONVendor` has a JSON object in place of each text and of "END".
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any, ClassVar

import anyio
from anyio.abc import ByteStream, SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream
from attrs import define, field

from rtvi_plugins import ProviderError, Secret
from rtvi_plugins.errors import ProviderCategory
from rtvi_plugins.kinds import (
    ListenPiece,
    ListenRequest,
    LLMPiece,
    LLMRequest,
    Pause,
    Settled,
    STTPiece,
    STTRequest,
    Text,
    Transcript,
)

__all__ = (
    "JSONLLM",
    "JSONSTT",
    "JSONService",
    "JSONVendor",
    "LineLLM",
    "LineSTT",
    "LineService",
    "LineVendor",
    "json_vendor",
    "line_vendor",
)


@define(eq=False)
class LineVendor:
    """A fake of the vendor."""

    service_options: Mapping[str, Any] = field(factory=dict[str, Any])
    end_event: bool = True
    name: str = "answer"
    left: anyio.Event = field(factory=anyio.Event)

    def script(self, name: str, /) -> None:
        """Follow a script from now on."""
        self.name = name

    async def wait_until_left(self) -> None:
        """Wait until the client has closed its connection."""
        await self.left.wait()

    def line(self, text: str) -> str:
        """Return the line for a text, or for the end."""
        return text

    async def serve(self, stream: SocketStream) -> None:
        """Answer one request, unless the client leaves."""
        with suppress(anyio.IncompleteRead, anyio.BrokenResourceError):
            await self._serve(stream)

    async def _serve(self, stream: SocketStream) -> None:
        async with stream:
            lines = BufferedByteReceiveStream(stream)
            key = (await lines.receive_until(b"\n", 1_000)).decode()
            key, _, listens = key.partition(" ")
            for number, line in enumerate(self._answer(key)):
                if listens and line == "Hello ":
                    await lines.receive_until(b"\n", 1_000)
                await stream.send(f"{self.line(line) if number else line}\n".encode())
            if self.name == "cut":
                await stream.send(b"the")
            while listens and self.name == "answer":
                await lines.receive_until(b"\n", 1_000)
                await stream.send(f"{self.line('Hello again.')}\n{self.line('END')}\n".encode())
            if self.name in ("hang", "silent"):
                with anyio.move_on_after(30):
                    await _until_closed(lines)
                    self.left.set()

    def _answer(self, key: str) -> list[str]:
        match self.name:
            case "answer":
                return ["200", "Hello ", "there.", "END"]
            case "cut" | "unfinished":
                return ["200", "Hello "]
            case "hang":
                return ["200", "Hello "]
            case "malformed":
                return ["certainly", "Hello "]
            case "silent":
                return []
            case "429":
                return ["429 7", f"no: {key}"]
            case status:
                return [status, f"no: {key}"]


@define(eq=False)
class JSONVendor(LineVendor):
    """A fake of a vendor that sends JSON. Its messages can be changed."""

    change: Callable[[Any], Any] = lambda message: message

    def change_messages(self, change: Callable[[Any], Any], /) -> None:
        """Change all messages from now on."""
        self.change = change

    def line(self, text: str) -> str:
        """Return the message for a text, or for the end."""
        part = {"type": "text", "about": {"parts": 1}, "parts": [{"text": text}]}
        return json.dumps(self.change({"type": "end", "usage": {"words": 2}} if text == "END" else part))


async def _until_closed(lines: BufferedByteReceiveStream) -> None:
    try:
        await lines.receive(1)
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return


@asynccontextmanager
async def line_vendor() -> AsyncGenerator[LineVendor]:
    """Serve a fake vendor on a free port of this machine."""
    async with _serving(LineVendor()) as vendor:
        yield vendor


@asynccontextmanager
async def json_vendor() -> AsyncGenerator[LineVendor]:
    """Serve a fake vendor that sends JSON."""
    async with _serving(JSONVendor()) as vendor:
        yield vendor


@asynccontextmanager
async def _serving(vendor: LineVendor) -> AsyncGenerator[LineVendor]:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)
    vendor.service_options = {"port": port, "timeout": 0.4}
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, vendor.serve)
        yield vendor
        tasks.cancel_scope.cancel()


class LineService:
    """The base of the providers of this vendor."""

    categories: ClassVar[dict[str, ProviderCategory]] = {
        "401": "auth",
        "402": "quota",
        "429": "rate",
        "400": "bad-request",
        "500": "unavailable",
    }

    def __init__(self, key: Secret, port: int, timeout: float) -> None:
        self.key, self.port, self.timeout = key, port, timeout

    async def line(self, lines: BufferedByteReceiveStream) -> str:
        """Read a line."""
        try:
            with anyio.fail_after(self.timeout):
                return (await lines.receive_until(b"\n", 1_000)).decode()
        except TimeoutError:
            raise ProviderError("line", "timeout") from None
        except (anyio.IncompleteRead, anyio.BrokenResourceError):
            return self.cut() if lines.buffer else self.ended()

    def text(self, line: str) -> str:
        """Return the text of a line, or "END"."""
        return line

    def check(self, status: str, stream: ByteStream) -> None:
        """Refuse a status other than 200."""
        status, _, wait = status.partition(" ")
        if status != "200":
            category = self.categories.get(status, "unavailable")
            raise ProviderError("line", category, retry_after=float(wait) if wait else None)

    def cut(self) -> str:
        """Return the line that ends the answer, or raise. The connection ended within a line."""
        raise ProviderError("line", "unavailable") from None

    def ended(self) -> str:
        """Do the same for a connection that ended after a whole line."""
        raise ProviderError("line", "unavailable") from None


class LineLLM(LineService):
    """An LLM of this vendor."""

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        """Yield the answer. The vendor cannot write JSON."""
        if request.answer_schema is not None:
            raise ProviderError("line", "bad-request")
        async with await anyio.connect_tcp("127.0.0.1", self.port) as stream:
            await stream.send(f"{self.key.reveal()}\n".encode())
            lines = BufferedByteReceiveStream(stream)
            self.check(await self.line(lines), stream)
            while (text := self.text(await self.line(lines))) != "END":
                yield Text(text)


class LineSTT(LineService):
    """An STT of this vendor. It takes one utterance, or all of a session over one connection."""

    async def transcribe(self, request: STTRequest, /) -> AsyncGenerator[STTPiece]:
        """Yield the text of an utterance."""
        async for _ in request.audio:
            pass
        async with await anyio.connect_tcp("127.0.0.1", self.port) as stream:
            await stream.send(f"{self.key.reveal()}\n".encode())
            lines = BufferedByteReceiveStream(stream)
            self.check(await self.line(lines), stream)
            while (text := self.text(await self.line(lines))) != "END":
                yield Transcript(text, final=True)

    async def listen(self, request: ListenRequest, /) -> AsyncGenerator[ListenPiece]:
        """Yield the text of each utterance, and that it is settled."""
        async with await anyio.connect_tcp("127.0.0.1", self.port) as stream:
            await stream.send(f"{self.key.reveal()} listen\n".encode())
            lines = BufferedByteReceiveStream(stream)
            self.check(await self.line(lines), stream)
            async for each in request.audio:
                if isinstance(each, Pause):
                    await stream.send(b"pause\n")
                    async with aclosing(self.settle(lines)) as pieces:
                        async for piece in pieces:
                            yield piece

    async def settle(self, lines: BufferedByteReceiveStream) -> AsyncGenerator[ListenPiece]:
        """Yield the answer to a pause."""
        while (text := self.text(await self.line(lines))) != "END":
            yield Transcript(text, final=True)
        yield Settled()


class JSONService:
    """What the providers of `JSONVendor` have in common."""

    words: int = 0

    def text(self, line: str) -> str:
        """Return the text of a message, or "END"."""
        try:
            return Text(self.read(json.loads(line))).text
        except (AttributeError, LookupError, TypeError, ValueError):
            raise ProviderError("line", "unavailable") from None

    def read(self, message: Any) -> str:
        """Return the text of a message. Raise any exception if it is malformed."""
        if message["type"] == "end":
            self.words += message["usage"]["words"]
            return "END"
        return str.join("", [each["text"] for each in message["parts"]])


class JSONLLM(JSONService, LineLLM):
    """An LLM of this vendor."""


class JSONSTT(JSONService, LineSTT):
    """An STT of this vendor."""
