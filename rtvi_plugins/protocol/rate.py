"""The rate limit of a session, and of an address: every frame is charged by its size, and by the work that it causes.

A bucket of units fills at `Limits.rate` units a second, up to `Limits.burst`. What finds too little in it is refused
and charged all the same, so a client that goes on sends itself into debt. A debt of twice the burst is a flood.
"""

from __future__ import annotations

import math
from typing import Final

from ..limits import Limits

__all__ = ("Rate", "Rates", "answer_units", "frame_units", "text_units")

#: Characters of a message that one unit pays for, and values in it: to check 6,000 small objects takes 20 ms.
_TEXT: Final = 512
_VALUES: Final = 30
#: Bytes of a frame, and characters of an answer, that one unit pays for.
_BYTES: Final = 4_096
#: What each problem in a message costs besides: most of them take a search for the nearest name.
_PROBLEM: Final = 4.0
#: The greatest debt, and the one that is a flood, in bursts.
_DEBT: Final = 3.0
_FLOOD: Final = 2.0
#: What a start costs besides its body, and how many addresses are remembered.
_START: Final = 4.0
_ADDRESSES: Final = 4_096


class Rate:
    """What one session, or one address, may still send."""

    __slots__ = ("_burst", "_filled", "_per_second", "_units", "flooded")

    def __init__(self, limits: Limits, now: float) -> None:
        self._per_second, self._burst = limits.rate, float(limits.burst)
        self._units, self._filled = self._burst, now
        #: Whether the client went on for so long after it was refused that its session is to end.
        self.flooded = False

    @property
    def in_debt(self) -> bool:
        """Whether more was sent than the bucket held, when it was last charged."""
        return self._units < 0

    def take(self, units: float, now: float) -> bool:
        """Charge this many units; False if there were not enough."""
        left = self._units + (now - self._filled) * self._per_second
        self._filled = now
        if left > self._burst:
            left = self._burst
        # A message that costs more than the bucket can hold passes when the bucket is half full.
        enough = left >= units or left >= self._burst / 2
        self._units = max(left - units, -_DEBT * self._burst)
        if not enough and self._units <= -_FLOOD * self._burst:
            self.flooded = True
        return enough

    def add(self, units: float) -> None:
        """Charge for work that was done. It delays what comes next; it makes no flood."""
        self._units = min(self._units, max(self._units - units, -self._burst))

    def add_problems(self, count: int) -> None:
        """Charge for a message that was read in vain."""
        self.add(_PROBLEM * max(1, count))


class Rates:
    """What each address may still send to start sessions. Of very many addresses, the latest are remembered."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._known: dict[str, Rate] = {}

    def take(self, address: str, size: int, now: float) -> bool:
        """Charge a request with a body of `size` bytes; False if its address sent too much."""
        rate = self._known.pop(address, None) or Rate(self._limits, now)
        self._known[address] = rate  # the latest stand last
        if len(self._known) > _ADDRESSES:
            del self._known[next(iter(self._known))]
        return rate.take(_START + size / _TEXT, now)

    def empty(self, address: str, now: float) -> None:
        """Let an address wait: a session of its has ended as a flood."""
        self.take(address, 0, now)
        self._known[address].add(math.inf)


def text_units(text: str) -> float:
    """What a message costs, besides its frame: by its length, or by the values in it where they are many and small."""
    if len(text) <= _TEXT:
        return 1.0
    values = text.count(",") + text.count("{") + text.count("[")
    return max(len(text) / _TEXT, values / _VALUES)


def frame_units(size: int) -> float:
    """What a frame of this many bytes costs, whatever it holds."""
    return size / _BYTES if size > _BYTES else 1.0


def answer_units(length: int) -> float:
    """What an answer of this many characters costs: nothing, if it is short."""
    return length / _BYTES if length > _BYTES else 0.0
