"""The provider `echo` of kind `vad`: treats loud sound as speech."""

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
    """An energy gate: it recognises silence, and treats every noise as speech."""

    threshold: float = 0.02

    def speech_probability(self, frame: Audio, /) -> float:
        """Return 0.5 at the threshold, and 1 from twice the threshold on."""
        return min(1.0, loudness(frame) / (2 * self.threshold))


@service("vad", "echo")
@asynccontextmanager
async def echo_vad() -> AsyncGenerator[EchoVAD]:
    """Treats loud sound as speech."""
    yield EchoVAD()


@options(echo_vad)
def configure(
    vad: EchoVAD,
    /,
    threshold: Annotated[
        float, ge(0.001), le(0.5), Doc("The loudness from which sound is speech; 1 is full scale.")
    ] = 0.02,
) -> None:
    """Set the minimum loudness of speech."""
    vad.threshold = threshold
