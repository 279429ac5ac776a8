"""Providers of several vendors. A test lets each of them fail, in every way and at every moment."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any, Final

import anyio
import anyio.lowlevel
from attrs import define

from rtvi_plugins import Secret, action, options, service
from rtvi_plugins.errors import ProviderError
from rtvi_plugins.kinds import (
    Audio,
    LLMPiece,
    LLMRequest,
    STTPiece,
    STTRequest,
    Text,
    ToolCall,
    Transcript,
    TTSPiece,
    TTSRequest,
)

from .providers import LINES, lines_in, spell

__all__ = ("EMPTY", "HANG", "LATE", "MUTE", "Vendors", "calling", "failure")

#: What a vendor does instead of failing: nothing, until it is left.
HANG: Final = "hang"
#: What a voice does instead of failing: it reads the text, and makes no audio.
MUTE: Final = "mute"
#: The same, with a piece of audio that has no samples.
EMPTY: Final = "empty"
#: What a voice does that works: it begins to speak when it has all of the text.
LATE: Final = "late"
#: What a vendor does: it raises an error, does one of the above, or waits for an event. With "" it works. With a list,
#: each request takes the next one.
Fault = Exception | str | anyio.Event | list[Any]


def failure(category: Any, **more: Any) -> ProviderError:
    """A failure of a vendor."""
    return ProviderError("vendor", category, **more)


@define(eq=False)
class _LLM:
    name: str
    vendors: Vendors
    style: str = ""

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        self.vendors.requests.append(request)
        await self.vendors.ask(self.name, self.vendors.before)
        if (pieces := self.vendors.pieces.pop(self.name, None)) is not None:
            for piece in pieces:
                yield piece
        else:
            yield Text(f"{self.name} answers{self.style}.")
        await self.vendors.fail(self.vendors.after.get(self.name))


@define(eq=False)
class _TTS:
    name: str
    vendors: Vendors

    async def synthesize(self, request: TTSRequest, /) -> AsyncGenerator[TTSPiece]:
        await self.vendors.ask(self.name, self.vendors.before)
        late: list[Audio] = []
        async for text in request.text:
            if (fault := self.vendors.before.get(self.name)) in (MUTE, EMPTY):
                if fault == EMPTY:
                    yield Audio(b"", 24_000)
                continue
            self.vendors.texts.append((self.name, text))
            if fault == LATE:
                late.append(spell(text + " "))
                continue
            yield spell(text + " ")
            await self.vendors.fail(self.vendors.after.get(self.name))
        for audio in late:
            yield audio


@define(eq=False)
class _STT:
    name: str
    vendors: Vendors

    async def transcribe(self, request: STTRequest, /) -> AsyncGenerator[STTPiece]:
        found: list[int] = []
        await self.vendors.ask(self.name, self.vendors.before)
        async for audio in request.audio:
            for number in lines_in(audio):
                if found[-1:] != [number]:
                    found.append(number)
                    yield Transcript(LINES[number].split()[0], final=False)
        await self.vendors.fail(self.vendors.after.get(self.name))
        yield Transcript(" ".join(LINES[number] for number in found), final=True)


class _VAD:
    def speech_probability(self, frame: Audio, /) -> float:
        heard = array("h", frame.data)
        return float(sum(1 for each in heard if each) > len(heard) / 2)


class Vendors(ModuleType):
    """The module of the providers `llm.a` to `llm.d`, of `tts.a`, `tts.b`, `stt.a`, `stt.b` and `vad.code`.

    `llm.c` needs a key.
    """

    def __init__(self) -> None:
        super().__init__("fake_vendors")
        #: What each does before its first output, and after it, by name such as "llm.a".
        self.before, self.after = dict[str, Fault](), dict[str, Fault]()
        #: What each does when it is opened.
        self.opening = dict[str, Fault]()
        #: Pieces that an LLM yields once, in place of its name.
        self.pieces = dict[str, list[LLMPiece]]()
        #: Who was asked, in order, and how many of each are open.
        self.asked, self.open = list[str](), Counter[str]()
        self.requests, self.texts = list[LLMRequest](), list[tuple[str, str]]()
        for name in ("a", "b", "d"):
            self._llm(name)
        self._keyed()
        for name in ("a", "b"):
            self._provider("tts", name, _TTS(f"tts.{name}", self))
            self._provider("stt", name, _STT(f"stt.{name}", self))
        self._provider("vad", "code", _VAD())

    def was_asked(self) -> list[str]:
        """The providers that were asked since the last call."""
        found = list(self.asked)
        self.asked.clear()
        return found

    async def ask(self, name: str, faults: dict[str, Fault]) -> None:
        """Note that a vendor was asked, and do what the test wants."""
        self.asked.append(name)
        await anyio.lowlevel.checkpoint()
        await self.fail(faults.get(name))

    async def fail(self, fault: Fault | None) -> None:
        """Fail as the test wants."""
        if isinstance(fault, list):
            return await self.fail(fault.pop(0) if fault else "")
        if isinstance(fault, Exception):
            raise fault
        if isinstance(fault, anyio.Event):
            await fault.wait()
        if fault == HANG:
            await anyio.sleep_forever()

    @asynccontextmanager
    async def _opened(self, name: str, live: object) -> AsyncGenerator[Any]:
        await self.fail(self.opening.get(name))
        self.open[name] += 1
        try:
            yield live
        finally:
            self.open[name] -= 1

    def _llm(self, name: str) -> None:
        @asynccontextmanager
        async def open_llm() -> AsyncGenerator[_LLM]:
            """A provider with a model of the vendor."""
            async with self._opened(f"llm.{name}", _LLM(f"llm.{name}", self)) as live:
                yield live

        open_llm.__module__ = self.__name__
        declared = service("llm", name)(open_llm)
        vars(self)[f"llm_{name}"] = declared

        def style(llm: _LLM, /, style: str = "") -> None:
            """Set how it answers."""
            llm.style = style

        style.__module__ = self.__name__
        vars(self)[f"style_{name}"] = options(declared)(style)

        async def whoami(llm: _LLM, /) -> str:
            """Return the name of the vendor."""
            return llm.name

        whoami.__module__ = self.__name__
        vars(self)[f"whoami_{name}"] = action(declared)(whoami)

    def _keyed(self) -> None:
        @asynccontextmanager
        async def open_keyed(api_key: Secret, /) -> AsyncGenerator[_LLM]:
            """A provider that needs a key."""
            async with self._opened("llm.c", _LLM("llm.c", self)) as live:
                yield live

        open_keyed.__module__ = self.__name__
        self.llm_c = service("llm", "c")(open_keyed)

    def _provider(self, kind: Any, name: str, live: Any) -> None:
        @asynccontextmanager
        async def open_service() -> AsyncGenerator[Any]:
            """A provider that is made for a test."""
            async with self._opened(f"{kind}.{name}", live) as found:
                yield found

        declare: Any = service
        open_service.__module__ = self.__name__
        vars(self)[f"{kind}_{name}"] = declare(kind, name)(open_service)


def calling(name: str) -> list[LLMPiece]:
    """An answer that calls a function."""
    return [ToolCall("call-1", name, {}, extra={"signature": "of a vendor"})]
