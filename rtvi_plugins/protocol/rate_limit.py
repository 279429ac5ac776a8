"""The rate limit of a session, and of an address: a token bucket that charges each frame by its size and its work.

The bucket gains `Limits.rate` units a second and holds at most `Limits.burst`. A message that finds too few units is
rejected and charged all the same, so a client that does not slow down gets into debt. A debt of twice the burst counts
as a flood.
"""

from __future__ import annotations

import math
from typing import Final

from ..limits import Limits

__all__ = ("AddressRates", "Rate", "frame_units", "text_units")

#: How many characters of a message, and how many values in it, cost one unit. Checking 6,000 small objects takes up to
#: 15 ms, in which the event loop does nothing else. Such a message costs more than half a burst, so that no two follow
#: each other.
_CHARACTERS_PER_UNIT: Final = 512

_VALUES_PER_UNIT: Final = 12

#: How many bytes of a frame, and how many characters of an answer, cost one unit.
_BYTES_PER_UNIT: Final = 4_096

#: The extra cost of each problem in a message: most problems need a search for the nearest name.
_UNITS_PER_PROBLEM: Final = 4.0

#: The greatest possible debt, and the debt that counts as a flood, in bursts.
_LARGEST_DEBT: Final = 3.0

_FLOOD_DEBT: Final = 2.0

#: The cost of a start request without its body, and how many addresses are remembered.
_UNITS_PER_START: Final = 4.0

_ADDRESSES: Final = 4_096


class Rate:
    """The bucket of one session or one address."""

    __slots__ = ("_burst", "_filled", "_per_second", "_units", "flooded")

    def __init__(self, limits: Limits, now: float) -> None:
        self._per_second, self._burst = limits.rate, float(limits.burst)
        self._units, self._filled = self._burst, now
        #: Whether the client kept sending for so long after it was rejected that its session has to end.
        self.flooded = False

    @property
    def in_debt(self) -> bool:
        """Return whether the last charge was more than the bucket contained."""
        return self._units < 0

    def take(self, units: float, now: float) -> bool:
        """Charge this many units. Return False if there were not enough."""
        left = self._units + (now - self._filled) * self._per_second
        self._filled = now
        if left > self._burst:
            left = self._burst
        # A message that costs more than the bucket can hold passes when the bucket is half full.
        enough = left >= units or left >= self._burst / 2
        self._units = max(left - units, -_LARGEST_DEBT * self._burst)
        if not enough and self._units <= -_FLOOD_DEBT * self._burst:
            self.flooded = True
        return enough

    def take_text(self, text: str, now: float) -> bool:
        """Charge a message. Return False if it has to be rejected."""
        return self.take(text_units(text), now)

    def take_frame(self, size: int, now: float) -> bool:
        """Charge a frame of this many bytes. Return False if there were not enough units."""
        return self.take(frame_units(size), now)

    def charge(self, units: float) -> None:
        """Charge for work that was done. This delays the next message, but is never a flood."""
        self._units = min(self._units, max(self._units - units, -self._burst))

    def charge_answer(self, length: int) -> None:
        """Charge for an answer of this many characters. A short answer is free."""
        if length > _BYTES_PER_UNIT:
            self.charge(length / _BYTES_PER_UNIT)

    def charge_problems(self, count: int) -> None:
        """Charge for a rejected message with this many problems."""
        self.charge(_UNITS_PER_PROBLEM * max(1, count))


class AddressRates:
    """The buckets of the addresses that start sessions. Only the most recent addresses are remembered."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._known: dict[str, Rate] = {}

    def take(self, address: str, size: int, now: float) -> bool:
        """Charge a request with a body of `size` bytes. Return False if its address sent too much."""
        rate = self._known.pop(address, None) or Rate(self._limits, now)
        self._known[address] = rate  # the most recent come last
        if len(self._known) > _ADDRESSES:
            del self._known[next(iter(self._known))]
        return rate.take(_UNITS_PER_START + size / _CHARACTERS_PER_UNIT, now)

    def empty(self, address: str, now: float) -> None:
        """Make an address wait, because one of its sessions ended as a flood."""
        self.take(address, 0, now)
        self._known[address].charge(math.inf)


def text_units(text: str) -> float:
    """Return the cost of a message: by its length, or by its values if they are many and small."""
    if len(text) <= _CHARACTERS_PER_UNIT:
        return 1.0
    values = text.count(",") + text.count("{") + text.count("[")
    return max(len(text) / _CHARACTERS_PER_UNIT, values / _VALUES_PER_UNIT)


def frame_units(size: int) -> float:
    """Return the cost of a frame of this many bytes, whatever its content."""
    return size / _BYTES_PER_UNIT if size > _BYTES_PER_UNIT else 1.0
