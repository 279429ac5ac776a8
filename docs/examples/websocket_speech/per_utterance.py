"""An STT with a connection for each utterance, for a vendor that closes it then."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from attrs import define
from rtvi_plugins import ProviderError
from rtvi_plugins.kinds import STTPiece, STTRequest, Transcript
from rtvi_plugins_vendor import VendorWebSockets, audio_messages


@define
class AcmeSTT:
    """Sends audio and receives transcripts at the same time."""

    sockets: VendorWebSockets

    async def transcribe(self, request: STTRequest, /) -> AsyncGenerator[STTPiece]:
        """Recognise one utterance. Acme's last message says that it is done."""
        sent = audio_messages(request.audio, end={"type": "end"})
        async with self.sockets.open("v1/listen", params={"rate": 16_000}) as stream, stream.sending(sent):
            async for message in stream:
                match message:
                    case {"text": str(text), "final": bool(final)}:
                        yield Transcript(text, final)
                    case {"type": "done"}:
                        return
                    case _:
                        raise ProviderError("acme", "unavailable")
        raise ProviderError("acme", "unavailable")  # half an utterance
