"""The user's audio for a vendor that finds the utterances itself: all of it, also silence."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from ..clock import Timer
from ..kinds import Audio, Pause
from ..session import Listener, Session
from .turn_state import SpokenTurn
from .turn_taking import TurnTaking

__all__ = ("ContinuousAudio",)

#: After so many seconds without audio, the microphone is off. A shorter gap is the network's.
_GAP_SECONDS: Final = 0.5


class ContinuousAudio(Listener):
    """Passes all audio of the microphone to `send`, and a `Pause` when the microphone is off."""

    def __init__(
        self,
        session: Session,
        taking: TurnTaking,
        state: SpokenTurn,
        send: Callable[[Audio | Pause], None],
        on_close: Callable[[], None],
    ) -> None:
        self._session = session
        self._taking = taking
        self._state = state
        self._send = send
        self._on_close = on_close
        self._last_audio = -math.inf
        self._timer: Timer | None = None

    def hear(self, audio: Audio) -> None:
        if self._state.bot_has_turn and not self._taking.interruptible:
            return
        self._last_audio = self._session.clock.now()
        if self._timer is None:
            self._wait()
        self._send(audio)

    def microphone(self, enabled: bool) -> None:
        if not enabled:
            self._pause()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._on_close()

    def _wait(self) -> None:
        self._timer = self._session.clock.call_at(self._last_audio + _GAP_SECONDS, self._check)

    def _check(self) -> None:
        self._timer = None
        if self._session.clock.now() >= self._last_audio + _GAP_SECONDS - 1e-6:
            self._pause()
        else:
            self._wait()

    def _pause(self) -> None:
        """Report that no audio follows, once until there is more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._last_audio > -math.inf:
            self._last_audio = -math.inf
            self._send(Pause())
