"""The objects that all sessions of one host share."""

from __future__ import annotations

from pathlib import Path

from attrs import field, frozen

from ..clock import Clock
from ..limits import Limits
from ..protocol.offer import Offers
from ..registry.hooks import Hooks
from .health import Health
from .key_checks import KeyChecks
from .lifespans import OpenLifespans
from .old_names import OldNames
from .threads import Threads

__all__ = ("Shared",)


@frozen(eq=False)
class Shared:
    """The objects that all sessions of one host share."""

    #: What the bot grants to clients.
    offers: Offers
    #: What the bot grants to its LLM.
    functions: Offers
    hooks: Hooks
    limits: Limits
    clock: Clock
    threads: Threads
    lifespans: OpenLifespans
    #: The folder for recordings. None records nothing.
    record: Path | None = None
    old_names: OldNames = field(factory=OldNames)
    key_checks: KeyChecks = field(factory=KeyChecks)
    health: Health = field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "health", Health(self.clock))
