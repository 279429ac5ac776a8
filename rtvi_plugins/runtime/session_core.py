"""What the parts of one session work with, and what all sessions of a host share."""

from __future__ import annotations

from pathlib import Path

from anyio.abc import TaskGroup
from attrs import Factory, define, field, frozen

from ..clock import Clock, Timer
from ..limits import Limits
from ..protocol.config import SessionConfig
from ..protocol.offer import Offers
from ..protocol.old_names import OldNames
from ..protocol.start_request import StartRequest
from ..protocol.state_machine import RTVIProtocol
from ..registry.hooks import Hooks
from ..resuming import SessionStore
from ..session import Session
from ..voice.recording import Recorder
from .action_threads import Threads
from .audio_input import AudioInput
from .history import History
from .keys import KeyChecks
from .lifespans import OpenLifespans
from .outbox import Outbox
from .provider_health import Health
from .saving import Saver
from .turns import Turns
from .worker_tasks import Workers

__all__ = ("SessionCore", "Shared")


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


@define(eq=False)
class SessionCore:
    """The objects that all parts of one session share.

    They are not attributes of the session, so a plugin that sets an attribute on its session replaces none of them.
    """

    session: Session
    start: StartRequest
    shared: Shared
    config: SessionConfig
    protocol: RTVIProtocol
    outbox: Outbox
    turns: Turns
    #: The tasks of the session, while it runs, and the workers among them.
    tasks: TaskGroup | None = None
    workers: Workers = field(init=False)
    #: The user's audio, if the client's transport carries any.
    audio_input: AudioInput | None = None
    recorder: Recorder | None = None
    #: Writes the session's record, once it is saved.
    saver: Saver | None = None
    #: What happened in the session, if the operator wants it.
    history: History | None = None
    #: The timers of `Session.call_after`.
    timers: list[Timer] = field(factory=list[Timer])
    #: Whether the client is sent the arguments of the functions that the bot runs.
    reports_functions: bool = False
