"""`PiperTTS`: text to speech by Piper, one sentence at a time, with the times of its words."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping

from attrs import define, field

from rtvi_plugins.kinds import Audio, TTSPiece, TTSRequest, Usage, Word

from ._helper import PiperHelper, Spoken
from ._text import parts
from ._voices import VoiceFiles

__all__ = ("PiperTTS",)

#: The length of a piece of audio. A transport can stop between two.
_PIECE_SECONDS = 0.03


@define(eq=False)
class PiperTTS:
    """Speech for one session. `speaker` is None for voices of one speaker."""

    voices: Mapping[str, VoiceFiles]
    voice: VoiceFiles
    helper: PiperHelper = field(repr=False)
    speed: float = 1.0
    speaker: int | None = None

    async def synthesize(self, request: TTSRequest, /) -> AsyncGenerator[TTSPiece]:
        """Yield the speech of each sentence when it is made: each word, then the audio in which it begins.

        Options that change meanwhile apply to the next request. Raise `ProviderError` if the helper process fails.
        """
        voice, speed, speaker = self.voice, self.speed, self.speaker
        characters = begun = 0
        async for text in request.text:
            characters += len(text)
            for part in parts(text):
                spoken = await self.helper.speak(voice, part, speed=speed, speaker=speaker)
                for piece in _pieces(spoken, voice.rate, begun):
                    yield piece
                begun += len(spoken.pcm) // 2
        yield Usage(characters=characters, model=f"piper {voice.name}")


def _pieces(spoken: Spoken, rate: int, begun: int) -> Iterator[TTSPiece]:
    """Yield the words and the audio of a part that begins at this sample."""
    words, size = list(spoken.words), round(rate * _PIECE_SECONDS)
    for first in range(0, max(len(spoken.pcm) // 2, 1), size):
        is_last = 2 * (first + size) >= len(spoken.pcm)
        while words and (words[0][1] < first + size or is_last):
            word, start = words.pop(0)
            yield Word(word, (begun + start) / rate)
        if data := spoken.pcm[2 * first : 2 * (first + size)]:
            yield Audio(data, rate)
