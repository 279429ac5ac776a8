"""Which providers of this process fail: shared by all sessions, so that a new one need not find out again.

A provider that fails is left out for a while: for `_FIRST_PAUSE` seconds, and twice as long after each further failure.
Then one session at a time tries it. Once it has begun an answer, all sessions use it again. If it then fails in the
middle of this answer, this counts as a further failure. A provider with other keys or service options counts as another
one: if one user's key is refused, others can still use the provider.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from attrs import define, frozen

from ..clock import Clock
from ..declare.specs import AnyFunction
from ..errors import ProviderError

__all__ = ("Health", "Used")

#: How long a provider is left out after its first failure, and at most, in seconds.
_FIRST_PAUSE: Final = 5.0

_LONGEST_PAUSE: Final = 300.0

#: The same after a failure that does not pass by itself: a refused key, or an account without money.
_FIRST_PAUSE_OF_ACCOUNT: Final = 60.0

_CATEGORIES_OF_ACCOUNT: Final = ("auth", "quota")

#: How long after its pause a provider that nobody has tried is forgotten, in seconds.
_FORGET_SECONDS: Final = 300.0

#: How long a session may try a provider before another one may, in seconds.
_TRIAL_SECONDS: Final = 30.0

#: The most failing providers that are remembered. There are so many only if many users bring their own keys.
_MOST_FAILING: Final = 1_000

log = logging.getLogger("rtvi_plugins")


@frozen
class Used:
    """A provider as a session uses it."""

    #: Such as "llm.openai".
    name: str
    function: AnyFunction
    #: A hash of its keys and service options.
    fingerprint: int
    #: Whether the keys are those of the process, and no user's own.
    has_shared_keys: bool


@define(eq=False)
class _Failing:
    """A provider that fails."""

    category: str
    #: The times until which it is left out, and until which a session tries it, on the clock of the host.
    until: float
    failures: int = 0
    tried_until: float = 0.0
    #: The value of `Health.noted` at its last failure, and whether the vendor has said then how long to wait.
    last: int = 0
    must_wait: bool = False


class Health:
    """The providers that fail. All others work, as far as anybody knows."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failing: dict[Used, _Failing] = {}
        #: How many failures of all providers were noted. It orders the failures and the uses.
        self.noted = 0

    @property
    def is_good(self) -> bool:
        return not self._failing

    def may_use(self, used: Used) -> bool:
        """Return whether a provider works, or may be tried again now."""
        failing, now = self._find(used), self._clock.now()
        return failing is None or (failing.until <= now and failing.tried_until <= now)

    def _find(self, used: Used) -> _Failing | None:
        failing = self._failing.get(used)
        if failing is not None and failing.until + _FORGET_SECONDS < self._clock.now():
            del self._failing[used]
            return None
        return failing

    def category(self, used: Used) -> str | None:
        """Return why a provider was left out last; None if it works."""
        failing = self._find(used)
        return None if failing is None else failing.category

    def begin(self, used: Used) -> None:
        """Note that a session uses a provider now. Others do not try it meanwhile if it fails."""
        if (failing := self._failing.get(used)) is not None:
            failing.tried_until = self._clock.now() + _TRIAL_SECONDS

    def opened(self, used: Used) -> None:
        """Note that a provider could be opened. Only its use shows whether it works."""
        if (failing := self._failing.get(used)) is not None:
            failing.tried_until = 0.0

    def failed(self, used: Used, error: ProviderError, before: int = 0) -> None:
        """Note a failure. Several sessions that fail at once count as one.

        `before` is what `worked` has returned for the same use: the answer with which it worked was not whole.
        """
        now, failing = self._clock.now(), self._find(used)
        if failing is None:
            if len(self._failing) >= _MOST_FAILING:
                del self._failing[next(iter(self._failing))]
            failing = self._failing[used] = _Failing(error.category, now)
        elif failing.until > now and failing.failures > before:
            failing.tried_until = 0.0  # it was asked in its pause, because the others fail too
            return
        self.noted += 1
        failing.failures, failing.category = max(failing.failures, before) + 1, error.category
        first = _FIRST_PAUSE_OF_ACCOUNT if error.category in _CATEGORIES_OF_ACCOUNT else _FIRST_PAUSE
        pause = max(first * 2.0 ** min(failing.failures - 1, 10), error.retry_after or 0.0)
        pause = min(pause, _LONGEST_PAUSE)
        failing.until, failing.tried_until, failing.last = now + pause, 0.0, self.noted
        failing.must_wait = error.retry_after is not None
        if used.has_shared_keys:
            log.warning("The provider %s fails (%s). It is left out for %g s.", used.name, error.category, pause)

    def worked(self, used: Used, began: int) -> int:
        """Note that a provider has begun to answer. Return how often it had failed, or 0.

        `began` is the value of `noted` when the use began. If the use began before the last failure, it ends no pause
        for which the vendor has asked. It ends others: a busy vendor that answers nearly all requests does work.
        """
        failing = self._failing.get(used)
        if failing is None or (failing.must_wait and failing.last > began):
            return 0
        del self._failing[used]
        if used.has_shared_keys:
            log.warning("The provider %s works again.", used.name)
        return failing.failures

    def report(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the providers that fail, by name: the category, and in how many seconds it is tried again.

        Those with a user's own key are left out. Of several with other service options, the first to fail counts.
        """
        now, found = self._clock.now(), dict[str, Mapping[str, Any]]()
        for used in list(self._failing):
            each = self._find(used)
            if each is not None and used.has_shared_keys:
                again = round(max(0.0, each.until - now), 1)
                facts = {"category": each.category, "failures": each.failures, "retry_seconds": again}
                found.setdefault(used.name, facts)
        return found
