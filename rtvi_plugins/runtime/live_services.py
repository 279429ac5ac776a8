"""The open services of one session, and those that were replaced and are closed once no turn uses them."""

from __future__ import annotations

import anyio
from anyio.abc import TaskGroup
from attrs import define, field

from .services import Opener, OpenService
from .session_core import SessionCore

__all__ = ("LiveServices",)


@define(eq=False)
class LiveServices:
    """The open services of one session."""

    core: SessionCore
    opener: Opener = field(init=False)
    #: The services with the providers that clients see, by name. The dict is replaced and not changed, once it is full.
    open: dict[str, OpenService] = field(factory=dict[str, OpenService])
    _retired: list[OpenService] = field(factory=list[OpenService])
    _changing: anyio.Lock | None = None

    def begin(self, keepers: TaskGroup) -> None:
        """Prepare to open services. `keepers` are the tasks that hold them open."""
        start, shared = self.core.start, self.core.shared
        options, seconds = start.service_options, shared.limits.open_seconds
        self.opener = Opener(keepers, start.keys, options, shared.lifespans, seconds, start.hide, shared.key_checks)

    @property
    def lock(self) -> anyio.Lock:
        """Return the lock that is held while services open, so that changes are made one after the other."""
        if self._changing is None:  # a lock is made in an event loop
            self._changing = anyio.Lock()
        return self._changing

    def replace(self, service: str, opened: OpenService) -> None:
        self.open = {**self.open, service: opened}

    def retire(self, opened: OpenService) -> None:
        """Close a replaced service, once the current turn no longer uses it."""
        turn, tasks = self.core.turns.current, self.core.tasks
        if (turn is not None and opened in turn.live.values()) or tasks is None:
            self._retired.append(opened)
        else:
            tasks.start_soon(opened.close, self.core.shared.limits.close_seconds)

    def close_retired(self) -> None:
        retired, self._retired = self._retired, []
        for opened in retired:
            self.retire(opened)

    async def close(self) -> None:
        """Close all services, the one that was opened last first. One that takes too long is cancelled."""
        for opened in [each for each in reversed(self.opener.opened) if not each.abandoned]:
            await opened.close(self.core.shared.limits.close_seconds)

    @property
    def unclosed(self) -> list[str]:
        """Return the names of services that were cancelled because they took too long, and still run."""
        return [each.name for each in self.opener.opened if each.abandoned] if hasattr(self, "opener") else []
