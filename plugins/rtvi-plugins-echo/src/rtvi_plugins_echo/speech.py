"""The provider `echo` of kind `speech`: hears how long you speak, and answers in tones."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated

from attrs import define, field
from attrs.validators import ge, le

from rtvi_plugins import Doc, options, service
from rtvi_plugins.kinds import (
    Added,
    AnswerEnded,
    Audio,
    FunctionResult,
    Pause,
    Respond,
    SpeechBegan,
    SpeechEnded,
    SpeechPiece,
    SpeechRequest,
    Text,
    Transcript,
    Typed,
    Usage,
    Word,
)

from .llm import last_said
from .tone import loudness, tone

__all__ = ("EchoSpeechModel", "configure", "echo_speech", "listen")

#: How much sound begins an utterance, and how much silence ends it, in seconds.
_BEGINS: float = 0.1
_ENDS: float = 0.5


@define
class EchoSpeechModel:
    """Repeats in tones what the user writes, and how long they speak. `sample_rate` in Hz."""

    sample_rate: int = 16000
    pitch: float = 440.0
    seconds_per_word: float = 0.1
    threshold: float = 0.02
    #: The texts of the next utterances.
    script: deque[str] = field(factory=deque[str])

    async def converse(self, request: SpeechRequest, /) -> AsyncGenerator[SpeechPiece]:
        """Answer each utterance and each text at once, with all of the audio."""
        last, ear = last_said(request.messages), _Ear(self.threshold)
        async for item in request.input:
            answer: str | None = None
            match item:
                case Audio():
                    before = ear.speaking
                    ear.hear(item)
                    if request.endpointing and ear.speaking and not before:
                        yield SpeechBegan()
                    elif request.endpointing and before and not ear.speaking:
                        yield SpeechEnded()
                        answer = last = self._said(ear)
                case Pause():
                    if request.endpointing and ear.speaking:
                        yield SpeechEnded()
                    if ear.speaking or not request.endpointing:
                        answer = last = self._said(ear)
                case Typed(text):
                    answer = last = text
                case Added(message):
                    last = last_said([message]) or last
                case Respond(say):
                    answer = say or last
                case FunctionResult(_, result, respond):
                    answer = result if respond else None
                case _:  # `Heard`: an answer has always ended
                    pass
            if isinstance(item, Audio | Pause) and answer is not None:
                yield Transcript(answer, final=True)
            if answer is not None:
                for piece in self._speak(answer):
                    yield piece

    def _said(self, ear: _Ear) -> str:
        seconds = ear.take()
        return self.script.popleft() if self.script else f"I heard {seconds:.4g} seconds of audio."

    def _speak(self, text: str) -> Iterator[SpeechPiece]:
        yield Text(text)
        for number, word in enumerate(text.split()):
            yield Word(word, number * self.seconds_per_word)
            yield tone(self.pitch, self.seconds_per_word, self.sample_rate)
        yield Usage(characters=len(text), model="echo")
        yield AnswerEnded()


@define
class _Ear:
    """An energy gate."""

    threshold: float
    speaking: bool = False
    _seconds: float = 0.0
    #: How many seconds of sound there were while it was silent, or of silence while there was sound.
    _run: float = 0.0

    def hear(self, audio: Audio) -> None:
        """Note whether somebody speaks."""
        self._seconds += audio.seconds
        if (loudness(audio) >= self.threshold) is self.speaking:
            self._run = 0.0
            return
        self._run += audio.seconds
        if self._run < (_ENDS if self.speaking else _BEGINS) - 1e-6:
            return
        if not self.speaking:
            self._seconds = self._run
        self.speaking, self._run = not self.speaking, 0.0

    def take(self) -> float:
        """Return the length of the utterance, which is over."""
        seconds, self._seconds, self._run, self.speaking = self._seconds, 0.0, 0.0, False
        return seconds


@service("speech", "echo")
@asynccontextmanager
async def echo_speech(
    sample_rate: Annotated[int, ge(8000), le(48000), Doc("The sample rate of the audio, in Hz.")] = 16000,
) -> AsyncGenerator[EchoSpeechModel]:
    """Speaks with you in tones."""
    yield EchoSpeechModel(sample_rate)


@options(echo_speech)
def configure(
    model: EchoSpeechModel,
    /,
    pitch: Annotated[float, ge(50), le(4000), Doc("Frequency of the tone, in Hz.")] = 440.0,
    seconds_per_word: Annotated[float, ge(0.01), le(2), Doc("Length of the tone for a word, in seconds.")] = 0.1,
) -> None:
    """Set the sound of the tones."""
    model.pitch, model.seconds_per_word = pitch, seconds_per_word


@options(echo_speech)
def listen(
    model: EchoSpeechModel,
    /,
    threshold: Annotated[
        float, ge(0.001), le(0.5), Doc("The loudness from which sound is speech; 1 is full scale.")
    ] = 0.02,
    script: Annotated[Sequence[str], Doc("The texts to hear, one for each utterance.")] = (),
) -> None:
    """Set what is heard. After the last text, the seconds of audio are heard."""
    model.threshold, model.script = threshold, deque(script)
