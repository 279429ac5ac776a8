"""The alternatives of a service: which provider serves one use of it, such as a turn, and which one if that fails."""

from __future__ import annotations

from typing import Final, final

from attrs import define, field

from ..errors import ProviderError
from ..session import Alternatives
from .failover import Failovers

__all__ = ("alternatives_of",)


def alternatives_of(failovers: Failovers, service: str | None) -> Alternatives:
    """Return the alternatives of a service of a session, for one use of it."""
    if service is None or failovers.choice(service).seconds is None:
        return _NO_ALTERNATIVES
    return _SessionAlternatives(failovers, service)


@final
class _NoAlternatives(Alternatives):
    """Those of a service with one provider."""

    @property
    def exist(self) -> bool:
        return False

    @property
    def seconds(self) -> float | None:
        return None

    async def choose(self) -> None:
        pass

    async def failed(self, error: ProviderError, *, replace: bool = True) -> bool:
        return False

    def answered(self) -> None:
        pass


#: They have no state, so all uses of all services share them.
_NO_ALTERNATIVES: Final = _NoAlternatives()

#: Another vendor would not accept such a request either. And a client can make one at will.
_OF_THE_REQUEST: Final = "bad-request"
#: An empty answer says nothing about the vendor.
_OF_THE_ANSWER: Final = "no-answer"


@final
@define(eq=False)
class _SessionAlternatives(Alternatives):
    """Those of a service of one session, for one use of it."""

    _all: Failovers
    _service: str
    #: The providers that have failed in this use.
    _tried: set[str] = field(factory=set[str])
    _has_begun: bool = False

    @property
    def exist(self) -> bool:
        return True

    @property
    def seconds(self) -> float | None:
        choice, present = self._all.choice(self._service), self._label
        return choice.seconds if any(each not in self._tried and each != present for each in choice.labels) else None

    @property
    def _label(self) -> str:
        return self._all.present(self._service).provider.label

    async def choose(self) -> None:
        """Let the first provider serve that works. Within one use, only a failure changes it."""
        every, service = self._all, self._service
        if self._has_begun and self._label not in self._tried:
            return
        self._has_begun = True
        if every.health.is_good and service not in every.serving and every.applied.live[service].is_up:
            return
        for label in self._untried():
            if every.may_use(service, label) and await every.use(service, label, is_last=False):
                return

    async def failed(self, error: ProviderError, *, replace: bool = True) -> bool:
        """Note the failure, and let the next provider serve: one that works, or else any that has not failed here."""
        if error.category == _OF_THE_REQUEST:
            return False
        every, service = self._all, self._service
        self._tried.add(self._label)
        every.why[service] = error.category
        if error.category != _OF_THE_ANSWER:
            every.health.failed(every.used_of(service, self._label), error)
        while replace and (left := self._untried()):
            label = next((each for each in left if every.may_use(service, each)), left[0])
            if await every.use(service, label, is_last=len(left) == 1):
                return True
            self._tried.add(label)
        return False

    def answered(self) -> None:
        if not self._all.health.is_good:
            self._all.health.worked(self._all.used_of(self._service, self._label))

    def _untried(self) -> list[str]:
        return [each for each in self._all.choice(self._service).labels if each not in self._tried]
