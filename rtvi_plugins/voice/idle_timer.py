"""Ask silent users whether they are still there."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define

from ..clock import Clock, Timer

__all__ = ("IdleTimer",)


@define(eq=False)
class IdleTimer:
    """Calls `ask` when the user has said nothing for `seconds`, once until `user_answered`; never if that is None."""

    clock: Clock
    seconds: float | None
    ask: Callable[[], None]
    is_user_active: Callable[[], bool]
    #: When the user's silence began; None while the bot has its turn.
    _since: float | None = None
    _asked: bool = False
    _timer: Timer | None = None

    def start(self) -> None:
        """Measure the user's silence from now on, because the bot has finished."""
        self._since = self.clock.now()
        self.resume()

    def resume(self) -> None:
        """Start the timer again after a noise. Noises without end delay the question by `seconds` at most."""
        self.pause()
        if self.seconds is None or self._since is None or self._asked or self.is_user_active():
            return
        due = min(self.clock.now(), self._since + self.seconds) + self.seconds
        self._timer = self.clock.call_at(due, self._ask)

    def pause(self) -> None:
        """Pause the timer, because there is sound. It may be only noise."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def stop(self) -> None:
        """Stop the timer, because the bot has something to do."""
        self.pause()
        self._since = None

    def user_answered(self) -> None:
        """Allow another question, because the user has answered."""
        self._asked = False

    def _ask(self) -> None:
        self._asked = True
        self.ask()
