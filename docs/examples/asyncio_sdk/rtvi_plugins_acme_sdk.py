"""An STT on Acme's SDK, which needs asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated

import acme_sdk
import anyio
from attrs import define
from rtvi_plugins import Doc, ProviderError, Secret, options, service
from rtvi_plugins.errors import ProviderCategory
from rtvi_plugins.kinds import STTPiece, STTRequest, Transcript

CATEGORIES: dict[int, ProviderCategory] = {401: "auth", 402: "quota", 429: "rate", 400: "bad-request"}


@define
class AcmeSTT:
    """Recognises speech with Acme's SDK."""

    acme: acme_sdk.Acme
    language: str = ""

    async def transcribe(self, request: STTRequest, /) -> AsyncGenerator[STTPiece]:
        """Yield each text that the SDK passes to the callback, while audio is sent."""
        heard: asyncio.Queue[Transcript | None] = asyncio.Queue()
        try:
            listener = await self.acme.listen(
                self.language, on_text=lambda text, final: heard.put_nowait(Transcript(text, final))
            )
        except acme_sdk.AcmeError as error:
            raise as_provider_error(error) from None
        sending = asyncio.create_task(send(request, listener))
        sending.add_done_callback(lambda _: heard.put_nowait(None))
        try:
            while (transcript := await heard.get()) is not None:
                yield transcript
            await sending  # raises its failure
        finally:
            with anyio.CancelScope(shield=True):  # an interruption may cancel this generator, also here
                sending.cancel()
                await asyncio.wait([sending])
                await listener.close()


async def send(request: STTRequest, listener: acme_sdk.Listener) -> None:
    """Send the audio, and wait for the last text."""
    try:
        async for audio in request.audio:
            await listener.send(audio.data)
        await listener.finish()
    except acme_sdk.AcmeError as error:
        raise as_provider_error(error) from None


def as_provider_error(error: acme_sdk.AcmeError) -> ProviderError:
    """Return the failure without the text of the SDK, which may contain a key."""
    return ProviderError("acme", CATEGORIES.get(error.status, "unavailable"))


@service("stt", "acme", asyncio_only=True)
@asynccontextmanager
async def acme_stt(api_key: Secret, /) -> AsyncGenerator[AcmeSTT]:
    """Acme's speech recognition, with its SDK."""
    yield AcmeSTT(acme_sdk.Acme(api_key.reveal()))


@options(acme_stt)
def hearing(stt: AcmeSTT, /, language: Annotated[str, Doc("A language tag, such as `en`.")] = "en") -> None:
    """Set the language."""
    stt.language = language
