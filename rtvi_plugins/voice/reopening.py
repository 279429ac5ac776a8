"""When to open a stream of a provider again after it has failed, and whether to report the failure."""

from __future__ import annotations

from typing import Final

from ..errors import ProviderError

__all__ = ("is_reported", "reopening_delay")

#: How long to wait before a stream is opened again, in seconds: the more failures, the longer.
_DELAYS: Final = (0.0, 0.5, 1.0, 2.0, 4.0, 30.0)
#: A temporary failure to open a stream again is reported when it happens so often in a row.
_REPORTED_AFTER: Final = 3


def reopening_delay(failures: int, error: ProviderError | None) -> float:
    """Return how many seconds to wait before a stream is opened again, after so many failures in a row."""
    if error is not None and not error.retryable:
        return _DELAYS[-1]
    delay = _DELAYS[max(0, min(failures, len(_DELAYS)) - 1)]
    return max(delay, (error and error.retry_after) or 0.0)


def is_reported(failures: int, error: ProviderError) -> bool:
    """Return whether the user should know that a stream cannot be opened, after so many failures in a row."""
    return failures == _REPORTED_AFTER or not error.retryable
