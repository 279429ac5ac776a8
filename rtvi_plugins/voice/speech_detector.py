"""Find where speech starts and stops, from the decision of a VAD about each frame."""

from __future__ import annotations

from typing import Literal, TypeAlias

from attrs import define

from ..session import VADParams

__all__ = ("Change", "SpeechDetector")

#: A change that a frame makes.
Change: TypeAlias = Literal["started", "stopped"]


@define
class SpeechDetector:
    """Counts the seconds of speech or silence in a row. A shorter noise or pause than required changes nothing."""

    speaking: bool = False
    _run: float = 0.0

    def feed(self, speech: bool, seconds: float, params: VADParams, *, at_least: float = 0.0) -> Change | None:
        """Take the next frame. Speech starts after `start_secs`, or after `at_least` seconds if that is more."""
        if speech == self.speaking:
            self._run = 0.0
            return None
        self._run += seconds
        needed = params.stop_secs if self.speaking else max(params.start_secs, at_least)
        if self._run < needed - 1e-9:
            return None
        return self._turn()

    def stop(self) -> Change | None:
        """No more audio arrives: speech stops, if there was any."""
        if self.speaking:
            return self._turn()
        self._run = 0.0
        return None

    def _turn(self) -> Change:
        self.speaking, self._run = not self.speaking, 0.0
        return "started" if self.speaking else "stopped"
