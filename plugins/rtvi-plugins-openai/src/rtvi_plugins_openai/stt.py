"""The provider `openai` of kind `stt`. It recognises an utterance when its audio has ended."""

from __future__ import annotations

import io
import wave
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

from attrs import define, field
from attrs.validators import ge, le
from typing_extensions import Doc

from rtvi_plugins import Secret, options, service
from rtvi_plugins.errors import ProviderError
from rtvi_plugins.kinds import Audio, STTPiece, STTRequest, Transcript, Usage
from rtvi_plugins_vendor import VendorHTTP, key_check, malformed_answers

from ._audio import KEY_PAGE, connect_audio
from ._failures import category_of
from .llm import BaseURL, Timeout

__all__ = ("OpenAISTT", "openai_stt", "recognition")


@define(eq=False)
class OpenAISTT:
    """OpenAI's transcription. `fields` are the fields of the next request, with the vendor's names."""

    http: VendorHTTP = field(repr=False)
    fields: Mapping[str, str | Sequence[str]] = {}

    check_key = key_check("models")

    async def transcribe(self, request: STTRequest, /) -> AsyncGenerator[STTPiece]:
        """Yield interim transcripts as the vendor writes them, then the final one and the usage.

        Raise `ProviderError` if the vendor fails. Closing the iterator, or cancelling, closes the connection.
        """
        sound = [each async for each in request.audio]
        if not sound:
            return
        answer = _Answer(self.http.provider, sum(each.seconds for each in sound), str(self.fields["model"]))
        form = {**self.fields, "response_format": "json", "stream": "true"}
        file = ("audio.wav", "audio/wav", _wav(sound))
        async with self.http.stream("POST", "audio/transcriptions", form=form, file=file) as response:
            if response.is_json:  # a model that does not stream
                with malformed_answers(self.http.provider):
                    pieces = answer.end(await response.json())
                for piece in pieces:
                    yield piece
                return
            async for _, event in response.json_events():
                with malformed_answers(self.http.provider):
                    pieces = answer.take(event)
                for piece in pieces:
                    yield piece
            await response.finish()
        if not answer.done:
            raise ProviderError(self.http.provider, "unavailable")


@define
class _Answer:
    provider: str
    seconds: float
    model: str
    done: bool = False
    _text: str = ""

    def take(self, event: Mapping[str, Any]) -> list[STTPiece]:
        """Return the pieces of an event."""
        match event["type"]:
            case "transcript.text.delta":
                self._text += event["delta"]
                return [Transcript(self._text.strip(), final=False)]
            case "transcript.text.done":
                return self.end(event)
            case "error":
                raise ProviderError(self.provider, category_of(event.get("error", event)))
            case _:
                return []

    def end(self, body: Mapping[str, Any]) -> list[STTPiece]:
        """Return the final transcript, and the usage. Models count tokens, or the length of the audio."""
        self.done = True
        usage: Mapping[str, Any] = body.get("usage") or {}
        languages: Sequence[Mapping[str, str]] = body.get("languages") or [{}]
        return [
            Transcript(body["text"].strip(), final=True, language=languages[0].get("code")),
            Usage(
                usage.get("input_tokens", 0),
                usage.get("output_tokens", 0),
                model=self.model,
                seconds=usage.get("seconds", self.seconds),
            ),
        ]


def _wav(sound: Sequence[Audio]) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(sound[0].channels)
        writer.setsampwidth(2)
        writer.setframerate(sound[0].rate)
        writer.writeframes(b"".join(each.data for each in sound))
    return file.getvalue()


# ---- the provider ----------------------------------------------------------------------------------------------------


@service("stt", "openai", key_page=KEY_PAGE)
@asynccontextmanager
async def openai_stt(
    api_key: Secret, /, base_url: BaseURL = "https://api.openai.com/v1", timeout: Timeout = 30.0
) -> AsyncGenerator[OpenAISTT]:
    """OpenAI's speech recognition, or any server with OpenAI's transcription API."""
    async with connect_audio(api_key, base_url, timeout) as http:
        yield OpenAISTT(http)


@options(openai_stt)
def recognition(
    stt: OpenAISTT,
    /,
    model: Annotated[
        Literal["gpt-transcribe", "gpt-4o-transcribe", "gpt-4o-mini-transcribe", "whisper-1"] | str,
        Doc("The model that recognises speech."),
    ] = "gpt-transcribe",
    language: Annotated[str | None, Doc("The language of the speech, such as `en`. By default, any.")] = None,
    languages: Annotated[
        Sequence[str], Doc("Languages that the user may speak, such as `en` and `de`. Only for gpt-transcribe.")
    ] = (),
    prompt: Annotated[str | None, Doc("A text that shows the model the style and the subject of the speech.")] = None,
    keywords: Annotated[Sequence[str], Doc("Words that are likely to occur. Only for gpt-transcribe.")] = (),
    temperature: Annotated[
        Annotated[float, ge(0), le(1)] | None,
        Doc("Higher values give more varied transcripts. By default, the model's own."),
    ] = None,
) -> None:
    """Set the options of the recognition. Options that are not set are not sent."""
    wanted: dict[str, str | Sequence[str] | None] = {
        "model": model,
        "language": language,
        "languages[]": [*languages] or None,
        "prompt": prompt,
        "keywords[]": [*keywords] or None,
        "temperature": None if temperature is None else str(temperature),
    }
    stt.fields = {name: value for name, value in wanted.items() if value is not None}
