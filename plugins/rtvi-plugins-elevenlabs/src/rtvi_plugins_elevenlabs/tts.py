"""The provider `elevenlabs` of the kind `tts`: one connection for a session, and a context for each request."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal
from uuid import uuid4

import anyio
from attrs import define, field
from attrs.validators import deep_iterable, ge, le
from typing_extensions import Doc

from rtvi_plugins import Secret, options, service
from rtvi_plugins.errors import ProviderCategory, ProviderError
from rtvi_plugins.kinds import Audio, TTSPiece, TTSRequest, Usage, Word
from rtvi_plugins_vendor import (
    BaseURL,
    Extra,
    Samples,
    SharedWebSocket,
    Timeout,
    VendorWebSockets,
    WebSocketStream,
    category_of_close,
    category_of_status,
    connect_websockets,
    malformed_answers,
    parameters,
    texts_to_speak,
)

from ._apis import API, api_for
from ._words import Words

__all__ = ("ElevenLabsTTS", "elevenlabs_tts", "speech")

PROVIDER = "elevenlabs"
RATE = 24_000
#: How often a context that waits for text is kept open. "Text to Dialogue" closes it after 20 seconds.
_ALIVE_SECONDS = 8.0
#: The categories of errors whose close code says less.
_CATEGORIES: Mapping[str, ProviderCategory] = {
    "invalid_api_key": "auth",
    "missing_permissions": "auth",
    "quota_exceeded": "quota",
    "max_active_conversations": "rate",
    "too_many_concurrent_requests": "rate",
    "concurrent_limit_exceeded": "rate",
    "rate_limit_exceeded": "rate",
    "system_busy": "rate",
    "input_timeout_exceeded": "unavailable",  # the connection was idle for too long, and the next one may succeed
}


@define(eq=False)
class ElevenLabsTTS:
    """ElevenLabs' voices. `settings` are those of the voice, and `fields` the parameters of a connection."""

    sockets: VendorWebSockets = field(repr=False)
    voice_id: str = ""
    settings: Mapping[str, Any] = {}
    fields: Mapping[str, Any] = {}
    _shared: SharedWebSocket = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Share one connection."""
        self._shared = self.sockets.share("", route=_context_of)

    async def check_key(self) -> None:
        """Raise `ProviderError` if ElevenLabs does not know the key."""
        await self.sockets.check_key("v1/user", categorize=_category_of_refusal)

    async def synthesize(self, request: TTSRequest, /) -> AsyncGenerator[TTSPiece]:
        """Yield audio and words as they arrive."""
        if (texts := await texts_to_speak(request.text)) is None:
            return
        api = api_for(self.voice_id, self.settings, self.fields)
        self._shared.move(api.path, params=api.params)
        speech = _Speech(uuid4().hex)
        close = {"context_id": speech.context, "close_context": True}
        async with (
            self._shared.open(speech.context, goodbye=close) as stream,
            stream.sending(speech.messages(texts, api, stream)),
            stream.sending(speech.keep_alive(api)),
        ):
            while not speech.is_over:
                for piece in speech.read(await anext(stream)):
                    yield piece
            stream.finish()
        yield Usage(characters=speech.characters, model=self.fields.get("model_id"))


def _context_of(message: Any) -> object:
    match message:
        case {"contextId": str(context)} | {"context_id": str(context)} if context:
            return context
        case _:  # an error of the connection has no context, and goes to all requests
            return None


def _category_of_refusal(status: int, body: bytes) -> ProviderCategory:
    # A key that may only speak is valid, but is refused here with 401 too.
    return "bad-request" if b"missing_permissions" in body else category_of_status(status)


@define(eq=False)
class _Speech:
    """One request."""

    context: str
    characters: int = 0
    is_over: bool = False
    _all_sent: anyio.Event = field(factory=anyio.Event)
    _samples: Samples = field(factory=lambda: Samples(RATE))
    _words: Words = field(factory=Words)

    async def messages(
        self, texts: AsyncIterator[str], api: API, stream: WebSocketStream
    ) -> AsyncGenerator[dict[str, Any]]:
        """Yield what opens the context, each text, and what closes the context once all is spoken."""
        context = {"context_id": self.context}
        yield {**context, **api.begin()}
        async for text in texts:
            self.characters += len(text)
            for message in api.say(text if text[-1:].isspace() else f"{text} "):
                yield {**context, **message}
        for message in api.end():
            yield {**context, **message}
        if api.closes_once:
            stream.finish()
        self._all_sent.set()
        yield {**context, "close_context": True}

    async def keep_alive(self, api: API) -> AsyncGenerator[dict[str, Any]]:
        """Yield what keeps the context open, until all texts are sent."""
        while not self._all_sent.is_set():
            with anyio.move_on_after(_ALIVE_SECONDS):
                await self._all_sent.wait()
            if not self._all_sent.is_set():
                yield {"context_id": self.context, **api.keep_alive()}

    def read(self, message: Any) -> list[Audio | Word]:
        """Return the pieces of a message."""
        pieces: list[Audio | Word] = []
        with malformed_answers(PROVIDER):
            if message.get("error"):
                raise _failure(message)
            # The times of a message count from the start of its own audio.
            pieces += self._words.take(message.get("alignment") or {}, self._samples.seconds)
            pieces += self._samples.take(message.get("audio") or "")
            if message.get("isFinal") or message.get("is_final"):
                if not self._all_sent.is_set():  # the rest of the text would be lost
                    raise ProviderError(PROVIDER, "unavailable")
                self.is_over = True
                pieces += self._words.end()
        return pieces


def _failure(message: Mapping[str, Any]) -> ProviderError:
    code = message.get("code")
    by_code = category_of_close(code) if isinstance(code, int) else None
    return ProviderError(PROVIDER, _CATEGORIES.get(str(message["error"])) or by_code or "unavailable")


@service("tts", "elevenlabs", key_page="https://elevenlabs.io/app/settings/api-keys")
@asynccontextmanager
async def elevenlabs_tts(
    api_key: Secret, /, base_url: BaseURL = "https://api.elevenlabs.io", timeout: Timeout = 10.0
) -> AsyncGenerator[ElevenLabsTTS]:
    """ElevenLabs' voices."""
    async with connect_websockets(
        PROVIDER, api_key, base_url=base_url, key_header="xi-api-key", timeout=timeout
    ) as sockets:
        yield ElevenLabsTTS(sockets)


@options(elevenlabs_tts)
def speech(
    tts: ElevenLabsTTS,
    /,
    model_id: Annotated[
        Literal[
            "eleven_flash_v2_5",
            "eleven_v4_turbo",
            "eleven_v4",
            "eleven_v3_conversational",
            "eleven_v3",
            "eleven_multilingual_v2",
            "eleven_flash_v2",
            "eleven_turbo_v2_5",
        ]
        | str,
        Doc("The model that speaks. Those of the series 3 and 4 do not use all of these options."),
    ] = "eleven_flash_v2_5",
    voice_id: Annotated[
        Literal["JBFqnCBsd6RMkjVDRZzb", "EXAVITQu4vr4xnSDxMaL", "cgSgspJ2msm6clMCkdW9"] | str,
        Doc("The id of the voice. The suggested ones are George, Sarah and Jessica."),
    ] = "JBFqnCBsd6RMkjVDRZzb",
    language_code: Annotated[
        Literal["en", "de", "es", "fr", "hi", "it", "ja", "ko", "nl", "pl", "pt", "zh"] | str | None,
        Doc("The language to speak, for models that accept one. By default, that of the text."),
    ] = None,
    stability: Annotated[
        Annotated[float, ge(0), le(1)] | None, Doc("How even the voice is. Low values are more emotional.")
    ] = None,
    similarity_boost: Annotated[
        Annotated[float, ge(0), le(1)] | None, Doc("How close the voice is to the recorded one.")
    ] = None,
    style: Annotated[Annotated[float, ge(0), le(1)] | None, Doc("How strongly the style is exaggerated.")] = None,
    use_speaker_boost: Annotated[bool | None, Doc("Sound more like the recorded speaker, which takes longer.")] = None,
    speed: Annotated[Annotated[float, ge(0.7), le(1.2)] | None, Doc("The speed of the speech; 1 is normal.")] = None,
    apply_text_normalization: Annotated[
        Literal["auto", "on", "off"] | None, Doc("Whether to spell out numbers and the like. By default, auto.")
    ] = None,
    enable_ssml_parsing: Annotated[bool, Doc("Read SSML tags in the text.")] = False,
    enable_logging: Annotated[bool, Doc("Let ElevenLabs keep the texts. Only some plans can turn it off.")] = True,
    seed: Annotated[
        Annotated[int, ge(0), le(4_294_967_295)] | None, Doc("Seed for repeatable speech, as far as possible.")
    ] = None,
    auto_mode: Annotated[bool, Doc("Speak each text at once. Texts are whole sentences, so this is best.")] = True,
    chunk_length_schedule: Annotated[
        Sequence[float],
        deep_iterable([ge(50), le(500)]),
        Doc("Without `auto_mode`: after how many characters each part of the text is spoken."),
    ] = (),
    extra: Extra = None,
) -> None:
    """Set how the bot speaks. The values apply from the next request on. That request may open another connection."""
    tts.voice_id = voice_id
    tts.settings = parameters(
        {
            "voice_settings": parameters(
                {
                    "stability": stability,
                    "similarity_boost": similarity_boost,
                    "style": style,
                    "use_speaker_boost": use_speaker_boost,
                    "speed": speed,
                }
            ),
            "generation_config": parameters({"chunk_length_schedule": list(chunk_length_schedule)}),
        }
    )
    tts.fields = parameters(
        {
            "model_id": model_id,
            "language_code": language_code,
            "apply_text_normalization": apply_text_normalization,
            "enable_ssml_parsing": enable_ssml_parsing or None,
            "enable_logging": None if enable_logging else False,
            "seed": seed,
            "auto_mode": auto_mode or None,
        },
        extra,
    )
