"""Helpers for the tests of a provider of speech: the user's audio, what an STT yields, and the options in a README.

::

    UTTERANCE = [*frames(tone(1.024, 16_000)), *[SILENCE] * 3]

    async def test_a_session(stt: AcmeSTT) -> None:
        assert outline(await listen(stt, UTTERANCE, UTTERANCE)) == ["One.", Usage, Settled, "Two.", Usage, Settled]
"""

from __future__ import annotations

import inspect
import math
from array import array
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import anyio
import anyio.lowlevel

from rtvi_plugins.kinds import (
    AnswerEnded,
    Audio,
    ListenPiece,
    ListenRequest,
    Pause,
    Settled,
    SpeechInput,
    SpeechModel,
    SpeechPiece,
    SpeechRequest,
    STTPiece,
    STTRequest,
    Transcript,
)
from rtvi_plugins.session import Secret
from rtvi_plugins.voice.provider_streams import Feed

if TYPE_CHECKING:  # it needs packages that the other helpers do without
    from .scripts import SocketVendor

__all__ = (
    "SILENCE",
    "Utterances",
    "answer_of",
    "conversation",
    "feed_of",
    "frames",
    "is_loud",
    "listen",
    "listen_until",
    "microphone",
    "one_by_one",
    "outline",
    "tone",
    "transcribe",
    "undocumented_options",
)

T = TypeVar("T")

#: A frame of 32 ms at 16 kHz, as a session sends them.
SILENCE = Audio(bytes(1024), 16_000)


class _STT(Protocol):
    def transcribe(self, request: STTRequest, /) -> AsyncGenerator[STTPiece]: ...

    def listen(self, request: ListenRequest, /) -> AsyncGenerator[ListenPiece]: ...


# ---- the user's audio ------------------------------------------------------------------------------------------------


def tone(seconds: float, rate: int) -> bytes:
    """Return a tone of 440 Hz as 16-bit PCM; `rate` in Hz."""
    count = round(seconds * rate)
    return array("h", [round(8000 * math.sin(2 * math.pi * 440 * n / rate)) for n in range(count)]).tobytes()


def frames(pcm: bytes) -> list[Audio]:
    """Return the frames of 32 ms of 16-bit PCM at 16 kHz."""
    return [Audio(pcm[at : at + 1024], 16_000) for at in range(0, len(pcm), 1024)]


def is_loud(pcm: bytes) -> bool:
    """Return whether 16-bit PCM is sound, as `tone` is, and not silence."""
    return max(map(abs, array("h", pcm)), default=0) > 500


async def one_by_one(*items: T) -> AsyncGenerator[T]:
    """Yield the items. Other tasks run before each one."""
    for item in items:
        await anyio.lowlevel.checkpoint()
        yield item


async def microphone(*items: Audio | Pause) -> AsyncGenerator[Audio | Pause]:
    """Yield the items, and then silence without end."""
    for item in items:
        await anyio.lowlevel.checkpoint()
        yield item
    while True:
        await anyio.sleep(0.001)
        yield SILENCE


class Utterances(AsyncIterator[Audio | Pause]):
    """Utterances with a pause after each one. The next one begins when the test sets `settled`. Then nothing comes."""

    def __init__(self, *utterances: Sequence[Audio]) -> None:
        self.settled = anyio.Event()
        self.settled.set()
        self._items: list[list[Audio | Pause]] = [[*each, Pause()] for each in utterances]

    async def __anext__(self) -> Audio | Pause:
        await self.settled.wait()
        if not self._items:
            await anyio.sleep_forever()
        item = self._items[0].pop(0)
        if isinstance(item, Pause):
            self._items.pop(0)
            self.settled = anyio.Event()
        return item


def feed_of(*items: T) -> Feed[T]:
    """Return the input of a speech-to-speech model. `add` of it adds more."""
    feed = Feed[T]()
    feed.add(*items)
    return feed


# ---- what a provider yields ------------------------------------------------------------------------------------------


async def transcribe(stt: _STT, utterance: Sequence[Audio]) -> list[STTPiece]:
    """Return all pieces of one utterance."""
    async with aclosing(one_by_one(*utterance)) as audio:
        return [piece async for piece in stt.transcribe(STTRequest(audio))]


async def listen(stt: _STT, *utterances: Sequence[Audio]) -> list[ListenPiece]:
    """Return all pieces of a session with these utterances, up to the last `Settled`."""
    audio, pieces = Utterances(*utterances), list[ListenPiece]()
    async with aclosing(stt.listen(ListenRequest(audio))) as stream:
        async for piece in stream:
            pieces.append(piece)
            if isinstance(piece, Settled):
                audio.settled.set()
                if pieces.count(Settled()) == len(utterances):
                    break
    return pieces


async def listen_until(stt: _STT, last: type, count: int, *items: Audio | Pause) -> list[ListenPiece]:
    """Return the pieces of a session in which the vendor finds the utterances, until `count` of type `last` came."""
    pieces: list[ListenPiece] = []
    async with (
        aclosing(microphone(*items)) as audio,
        aclosing(stt.listen(ListenRequest(audio, endpointing=True))) as stream,
    ):
        async for piece in stream:
            pieces.append(piece)
            if len([each for each in pieces if isinstance(each, last)]) == count:
                break
    return pieces


def outline(pieces: Sequence[ListenPiece]) -> list[object]:
    """Return the texts of the final transcripts, and the types of the other pieces, without interim transcripts."""
    return [
        each.text if isinstance(each, Transcript) else type(each)
        for each in pieces
        if not isinstance(each, Transcript) or (each.final and each.text)
    ]


async def answer_of(pieces: AsyncIterator[SpeechPiece]) -> list[SpeechPiece]:
    """Return the pieces of a speech-to-speech model, up to the end of its next answer."""
    found: list[SpeechPiece] = []
    async for piece in pieces:
        found.append(piece)
        if piece == AnswerEnded():
            break
    return found


@asynccontextmanager
async def conversation(
    vendor: AbstractAsyncContextManager[SocketVendor],
    service: Callable[..., AbstractAsyncContextManager[object]],
    options: Sequence[Callable[[Any], None]],
    *items: SpeechInput,
    timeout: float = 4.0,
    **request: Any,
) -> AsyncGenerator[tuple[Any, Feed[SpeechInput], SocketVendor]]:
    """Let a speech-to-speech model converse, for at most 20 s. Yield its pieces, its input and the vendor.

    - `items`: the input. More of it can be added.
    - `vendor`: runs the fake of the vendor.
    - `service`: opens the service, with the key "key-of-a-test". `timeout` is its timeout in seconds.
    - `options`: sets the options of the service to their defaults.
    - `request`: the other fields of `SpeechRequest`.
    """
    feed = feed_of(*items)
    async with vendor as fake:
        about = {**fake.service_options, "timeout": timeout}
        async with service(Secret("key-of-a-test"), **about) as speech:
            for each in options:
                each(speech)
            assert isinstance(speech, SpeechModel)
            stream: Any = speech.converse(SpeechRequest(feed, **request))
            async with aclosing(stream) as pieces:
                with anyio.fail_after(20):
                    yield pieces, feed, fake


# ---- a README --------------------------------------------------------------------------------------------------------


def undocumented_options(readme: Path, *functions: Callable[..., Any]) -> list[str]:
    """Return the options of services, and the texts that are their defaults, that a README does not show.

    An option begins a row of a table: ``| `name` |``. A default may stand anywhere: `` `default` ``.
    """
    text = readme.read_text("utf-8")
    parameters = [each for function in functions for each in inspect.signature(function).parameters.values()]
    sent = [each for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD]
    names = [each.name for each in sent if f"| `{each.name}` |" not in text]
    return names + [each.default for each in sent if isinstance(each.default, str) and f"`{each.default}`" not in text]
