"""The provider `deepgram` of the kind `tts`: a connection that speaks one request after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

import anyio
from attrs import define, field, frozen
from attrs.validators import ge, le
from typing_extensions import Doc

from rtvi_plugins import Secret, options, service
from rtvi_plugins.kinds import TTSPiece, TTSRequest, Usage
from rtvi_plugins_vendor import (
    BaseURL,
    Extra,
    ReusedWebSockets,
    Samples,
    Timeout,
    VendorWebSockets,
    WebSocketStream,
    key_check,
    parameters,
    texts_to_speak,
)

from ._service import KEY_PAGE, PATH_OF_KEY, OptOut, connect, failure, is_flux

__all__ = ("DeepgramTTS", "deepgram_tts", "voice")

RATE = 24_000
_FORMAT = {"encoding": "linear16", "sample_rate": RATE}
_CLEAR = {"type": "Clear"}
#: Deepgram accepts 20 flushes in 60 seconds. The end of a request is always flushed. Its first text is flushed at once
#: unless there were this many flushes, and its other texts unless there were half as many: their speech comes later.
_FLUSHES, _SECONDS = 16, 60.0


@frozen
class _API:
    """One of the two APIs that speak."""

    path: str
    #: The type of the message that ends what was flushed.
    end: str
    #: What stops a request, if anything does.
    goodbye: Mapping[str, str] | None
    #: After how many recent flushes the first text is no longer flushed at once.
    flushes: int


_AURA = _API("v1/speak", "Flushed", _CLEAR, _FLUSHES)
#: Flux ignores an interruption of what it has not begun to speak, so its connection is closed. It speaks before the
#: only flush, which is the last message.
_FLUX = _API("v2/speak", "SpeechMetadata", None, 0)


@define(eq=False)
class DeepgramTTS:
    """Deepgram's voices. `fields` are the parameters of the next connection."""

    sockets: VendorWebSockets = field(repr=False)
    fields: Mapping[str, Any] = {}
    _reused: ReusedWebSockets = field(init=False, repr=False)
    _flushed: deque[float] = field(factory=deque[float], init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Use connections again."""
        self._reused = self.sockets.reuse(is_settled=_is_cleared)

    check_key = key_check(PATH_OF_KEY)

    async def synthesize(self, request: TTSRequest, /) -> AsyncGenerator[TTSPiece]:
        """Yield audio as it arrives. Deepgram reports no times of words."""
        if (texts := await texts_to_speak(request.text)) is None:
            return
        samples, sent, api = Samples(RATE), _Sent(), _FLUX if is_flux(self.fields.get("model")) else _AURA
        async with self._reused.open(api.path, params={**_FORMAT, **self.fields}, goodbye=api.goodbye) as stream:
            async with stream.sending(self._messages(texts, api.flushes, sent, stream)):
                while not sent.is_spoken:
                    match await anext(stream):
                        case bytes() as data:
                            for audio in samples.take(data):
                                yield audio
                        case {"type": str(type)} if type == api.end:
                            sent.flushed += 1
                        case {"type": "Error", **about}:
                            raise failure(about.get("variant") or about.get("code"))
                        case _:  # the end of the text, the model, or a warning
                            pass
            stream.finish()
        yield Usage(characters=sent.characters, model=self.fields.get("model"))

    async def _messages(
        self, texts: AsyncIterator[str], allowed: int, sent: _Sent, stream: WebSocketStream
    ) -> AsyncGenerator[dict[str, str]]:
        """Yield each text, and flush it at once if that is allowed, so that it is spoken before the next one comes."""
        waits = False
        async for text in texts:
            sent.characters += len(text)
            yield {"type": "Speak", "text": text if text[-1:].isspace() else f"{text} "}
            waits = self._recent_flushes() >= allowed
            if not waits:
                yield self._flush(sent)
            allowed = min(allowed, _FLUSHES // 2)
        if waits:
            yield self._flush(sent)
        sent.is_all = True
        stream.deliver(None)  # all of it may have been spoken before

    def _flush(self, sent: _Sent) -> dict[str, str]:
        sent.flushes += 1
        self._flushed.append(anyio.current_time())
        return {"type": "Flush"}

    def _recent_flushes(self) -> int:
        while self._flushed and self._flushed[0] < anyio.current_time() - _SECONDS:
            self._flushed.popleft()
        return len(self._flushed)


@define(eq=False)
class _Sent:
    """What was sent for a request."""

    characters: int = 0
    flushes: int = 0
    #: How many flushes Deepgram has finished.
    flushed: int = 0
    is_all: bool = False

    @property
    def is_spoken(self) -> bool:
        return self.is_all and self.flushed == self.flushes


@service("tts", "deepgram", key_page=KEY_PAGE)
@asynccontextmanager
async def deepgram_tts(
    api_key: Secret, /, base_url: BaseURL = "https://api.deepgram.com", timeout: Timeout = 10.0
) -> AsyncGenerator[DeepgramTTS]:
    """Deepgram's voices."""
    async with connect(api_key, base_url, timeout) as sockets:
        yield DeepgramTTS(sockets)


def _is_cleared(message: Any) -> bool:
    match message:
        case {"type": "Cleared"}:
            return True
        case _:
            return False


@options(deepgram_tts)
def voice(
    tts: DeepgramTTS,
    /,
    model: Annotated[
        Literal[
            "aura-2-thalia-en",
            "aura-2-andromeda-en",
            "aura-2-apollo-en",
            "aura-2-arcas-en",
            "aura-2-helena-en",
            "aura-2-draco-en",
            "aura-2-celeste-es",
            "aura-2-julius-de",
            "aura-2-agathe-fr",
            "aura-2-livia-it",
            "aura-2-rhea-nl",
            "aura-2-izanami-ja",
            "flux-alexis-en",
            "flux-haley-en",
        ]
        | str,
        Doc("The voice that speaks. Its name ends with its language."),
    ] = "aura-2-thalia-en",
    speed: Annotated[
        Annotated[float, ge(0.5), le(1.5)] | None,
        Doc(
            "The speed of the speech; 1 is normal. Flux has it in steps of 0.05, and English and Spanish voices of "
            "aura-2 have it from 0.7."
        ),
    ] = None,
    mip_opt_out: OptOut = False,
    extra: Extra = None,
) -> None:
    """Set how the bot speaks. It applies from the next request on, which opens another connection."""
    tts.fields = parameters({"model": model, "speed": speed, "mip_opt_out": mip_opt_out or None}, extra)
