"""Delay the requests of an address that sends very many, so that the requests of others do not wait for them."""

from __future__ import annotations

from typing import Final

__all__ = ("RequestRate",)

#: How many seconds' worth of requests an address may send at once.
_BURST_SECONDS: Final = 2.0


class RequestRate:
    """A limit for the requests of each address in a second."""

    def __init__(self, per_second: float) -> None:
        self._interval = 1 / per_second
        #: When the next request of an address is due, if its requests were spread evenly.
        self._due: dict[str, float] = {}

    def delay(self, address: str, now: float) -> float:
        """Count a request. Return for how many seconds it must wait."""
        due = max(self._due.get(address, 0.0), now - _BURST_SECONDS)
        self._due[address] = due + self._interval
        return max(0.0, due - now)

    def forget(self, now: float) -> None:
        """Forget the addresses that have not sent requests for a while."""
        self._due = {address: due for address, due in self._due.items() if due > now - _BURST_SECONDS}
