"""The objects that all sessions of one host share."""

from __future__ import annotations

from pathlib import Path

from attrs import Factory, field, frozen

from ..clock import Clock
from ..limits import Limits
from ..protocol.offer import Offers
from ..registry.hooks import Hooks
from ..resuming import SessionStore
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
    #: The store in which sessions are saved, the address under which other processes know this one, and how long a
    #: session waits for a client that has lost its connection. Without a store nothing is saved.
    store: SessionStore | None = None
    address: str = ""
    resume_seconds: float = 60.0
    #: How long the store keeps the history of a session that has ended. 0 keeps none.
    history_seconds: float = 0.0
    old_names: OldNames = field(factory=OldNames)
    key_checks: KeyChecks = field(factory=KeyChecks)
    health: Health = field(default=Factory(lambda self: Health(self.clock), takes_self=True))
