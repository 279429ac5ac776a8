"""The provider `echo` of kind `vad`: takes what is loud for speech."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated

from attrs import define
from attrs.validators import ge, le

from rtvi_plugins import Doc, options, service
from rtvi_plugins.kinds import Audio

from .tone import loudness

__all__ = ("EchoVAD", "configure", "echo_vad")


@define
class EchoVAD:
    """An energy gate: right about silence, and wrong about every noise."""

    threshold: float = 0.02

    def speech_probability(self, frame: Audio, /) -> float:
        """A half at the threshold, one from twice the threshold on."""
        return min(1.0, loudness(frame) / (2 * self.threshold))


@service("vad", "echo")
@asynccontextmanager
async def echo_vad() -> AsyncGenerator[EchoVAD]:
    """Takes what is loud for speech."""
    yield EchoVAD()


@options(echo_vad)
def configure(
    vad: EchoVAD,
    /,
    threshold: Annotated[float, ge(0.001), le(0.5), Doc("The loudness of speech, where 1 is full scale.")] = 0.02,
) -> None:
    """How loud speech is."""
    vad.threshold = threshold
