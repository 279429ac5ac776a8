"""One model: audio to text. Everything here blocks; CTranslate2 releases Python's lock meanwhile."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from typing import Any, Protocol, cast

import numpy as np
from attrs import define, frozen
from numpy.typing import NDArray
from tokenizers import Tokenizer

from ._features import RATE, features
from ._models import ModelFiles
from ._text import SWEAR_WORDS, spoken_tokens, without_repeats

__all__ = ("AUTO", "NOTHING", "Heard", "Recogniser", "load")

#: The language that means: detect it.
AUTO = "auto"

#: Seconds of silence after the audio. The model was trained on 30 s, and 30 s take five times as long as the audio of
#: a usual utterance and 2 s. With less than 2 s it repeats itself more often.
_SILENCE = 2.0

#: Above this probability of no speech, nothing was said. The models say "you" to silence, with 0.69 to 0.99. Two
#: hundred spoken sentences had at most 0.53.
_NO_SPEECH = 0.57

#: Below this mean logarithm of the words' probability, nothing was said either, unless the probability of no speech is
#: at most this: whoever surely spoke, as in "Three nights, please", expects an answer, even to words that are wrong.
_LEAST_SCORE, _SURELY_SPEECH = -1.4, 0.4

#: Below this level (of 32768) the audio is silent, and no model is asked.
_SILENT = 10

#: The longest text, in tokens: a sentence has up to 6 for each second.
_TOKENS, _TOKENS_PER_SECOND, _MOST_TOKENS = 16, 7, 440

#: The longest prompt, in tokens: half of what the model takes, less one. Of a longer one, the end is used.
_MOST_PROMPT = 223

#: How many alternatives the final transcript is chosen from. It makes one word in thirty more right.
_BEAM = 3


class _Result(Protocol):
    sequences_ids: list[list[int]]
    scores: list[float]
    no_speech_prob: float


class _Whisper(Protocol):
    """The methods that are used of CTranslate2's class, which has no types."""

    is_multilingual: bool
    n_mels: int

    def encode(self, features: Any, *, to_cpu: bool) -> Any: ...
    def detect_language(self, features: Any) -> list[list[tuple[str, float]]]: ...
    def generate(self, features: Any, prompts: list[list[int]], **options: Any) -> list[_Result]: ...


@frozen
class Heard:
    """What was said, as text, and in which language. The language is None for an empty text."""

    text: str
    language: str | None


#: What is heard in silence.
NOTHING = Heard("", None)


@define(eq=False)
class Recogniser:
    """A loaded model. Several threads may use it at once."""

    name: str
    _model: _Whisper
    _tokenizer: Tokenizer
    #: The languages that the model knows, each as in `en`.
    languages: Sequence[str]
    _swear_words: Sequence[int]

    def recognise(self, pcm: bytes, *, language: str, final: bool, swear_words: bool, prompt: str = "") -> Heard:
        """Return what is said in at most 28 s of audio (16 kHz, mono, s16le). With `final`, take more care and time.

        The words of `prompt`, which is like text that was said before, become more likely.
        """
        samples = np.frombuffer(pcm, np.int16)
        if not len(samples) or int(np.abs(samples.astype(np.int32)).max()) < _SILENT:
            return NOTHING
        encoded = self._encode(samples.astype(np.float32) / np.float32(32768))
        if language == AUTO:
            language = self._detect(encoded)
        return self._generate(encoded, len(samples) / RATE, language, final, swear_words, prompt)

    def _encode(self, samples: NDArray[np.float32]) -> Any:
        heard = features(samples, _SILENCE, self._model.n_mels)
        return self._model.encode(_ctranslate2().StorageView.from_array(heard[None]), to_cpu=False)

    def _detect(self, encoded: Any) -> str:
        if not self._model.is_multilingual:
            return "en"
        token, _ = self._model.detect_language(encoded)[0][0]
        return token.strip("<|>")

    def _generate(
        self, encoded: Any, seconds: float, language: str, final: bool, swear_words: bool, prompt: str
    ) -> Heard:
        task = (f"<|{language}|>", "<|transcribe|>") if self._model.is_multilingual else ()
        begin = [*self._before(prompt), *(self._token(each) for each in ("<|startoftranscript|>", *task))]
        [result] = self._model.generate(
            encoded,
            [begin],
            beam_size=_BEAM if final else 1,
            max_length=min(len(begin) + _TOKENS + int(_TOKENS_PER_SECOND * seconds), _MOST_TOKENS),
            suppress_tokens=[-1, *(() if swear_words else self._swear_words)],
            return_scores=True,
            return_no_speech_prob=True,
        )
        if not _is_speech(result):
            return NOTHING
        end, first_time = self._token("<|endoftext|>"), self._token("<|notimestamps|>") + 1
        tokens = list(spoken_tokens(result.sequences_ids[0], end, first_time, seconds))
        text = without_repeats(self._tokenizer.decode(tokens).strip())
        return Heard(text, language) if any(each.isalnum() for each in text) else NOTHING

    def _before(self, prompt: str) -> list[int]:
        """Return the tokens of a prompt, as of text before the audio."""
        if not prompt.strip():
            return []
        words = self._tokenizer.encode(f" {prompt.strip()}", add_special_tokens=False).ids
        return [self._token("<|startofprev|>"), *words[-_MOST_PROMPT:]]

    def _token(self, text: str) -> int:
        token = self._tokenizer.token_to_id(text)
        if token is None:
            raise ValueError(f"The tokenizer of the Whisper model {self.name!r} has no {text}.")
        return token


def _is_speech(result: _Result) -> bool:
    unlikely = result.scores[0] < _LEAST_SCORE and result.no_speech_prob > _SURELY_SPEECH
    return result.no_speech_prob <= _NO_SPEECH and not unlikely


def load(files: ModelFiles) -> Recogniser:
    """Load a model. Raise `ValueError` or `RuntimeError` if its files are not a Whisper model's."""
    # Each utterance has one thread, so that several are recognised at once; the weights are shared.
    model: _Whisper = _ctranslate2().models.Whisper(
        files.name,
        device="cpu",
        compute_type="int8",
        intra_threads=1,
        inter_threads=os.cpu_count() or 1,
        files=dict(files.files),
    )
    tokenizer = Tokenizer.from_buffer(files.tokenizer)
    return Recogniser(files.name, model, tokenizer, _languages(model, tokenizer), _swear_words(tokenizer))


def _languages(model: _Whisper, tokenizer: Tokenizer) -> Sequence[str]:
    """Return the languages of a model, which are tokens of two or three letters."""
    if not model.is_multilingual:
        return ["en"]
    tokens = [token[2:-2] for token in tokenizer.get_vocab() if token.startswith("<|") and token.endswith("|>")]
    return sorted(each for each in tokens if each.isalpha() and len(each) in (2, 3))


def _swear_words(tokenizer: Tokenizer) -> Sequence[int]:
    """Return the tokens that are a whole swear word. Longer words are several tokens, each of which has other uses."""
    forms = [form for word in SWEAR_WORDS for each in (word, word.capitalize()) for form in (each, f" {each}")]
    encoded = [tokenizer.encode(form, add_special_tokens=False).ids for form in forms]
    return sorted({ids[0] for ids in encoded if len(ids) == 1})


def _ctranslate2() -> Any:
    """Import CTranslate2, which takes 0.3 s, when it is needed. It has no types."""
    return cast("Any", importlib.import_module("ctranslate2"))
