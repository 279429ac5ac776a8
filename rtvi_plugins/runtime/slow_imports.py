"""Import the slow alternatives of a bot in a thread, once its server has started.

The start has checked that they are installed. Other mistakes in them are found and logged here. Then nobody can choose
them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from ..errors import AuthorError, StartFailed, report
from ..protocol.codec import encode_json
from ..registry.hooks import Hooks
from ..registry.registry import Registry
from ..utils.plugin_calls import reraise_control_flow

__all__ = ("Postponed",)

log = logging.getLogger("rtvi_plugins")


class Postponed:
    """The providers of one bot that are imported after the start, each with its service."""

    def __init__(
        self,
        providers: Collection[tuple[str, str]],
        compose: Callable[[], tuple[Registry, Hooks]],
        use: Callable[[Registry, Hooks], None],
    ) -> None:
        self.providers = providers
        self._compose_registry = compose
        self._use_registry = use
        self._import_over: anyio.Event | None = None
        self._import_scope: anyio.CancelScope | None = None
        self._is_imported = False

    def load_now(self) -> None:
        """Import them in this thread. Raise `AuthorError` for a mistake. Call it before the event loop runs."""
        if self.providers and not self._is_imported:
            self._use_registry(*self._compose_registry())
            self._is_imported = True

    def begin(self, tasks: TaskGroup) -> None:
        """Begin to import them in a thread. A mistake is logged."""
        if self.providers and not self._is_imported:
            self._import_over, self._import_scope = anyio.Event(), anyio.CancelScope()
            tasks.start_soon(self._import_in_thread, self._import_over, self._import_scope)

    def abandon(self) -> None:
        """Stop waiting for the thread."""
        if self._import_scope is not None:
            self._import_scope.cancel()

    async def _import_in_thread(self, over: anyio.Event, scope: anyio.CancelScope) -> None:
        try:
            with scope:
                self._use_registry(*await anyio.to_thread.run_sync(self._compose_registry, abandon_on_cancel=True))
                self._is_imported = True
        except AuthorError as error:
            log.error("%s cannot be chosen. %s", ", ".join(self._provider_names()), error)
        except BaseException as error:
            reraise_control_flow(error, anyio.get_cancelled_exc_class())
            report(f"the import of {', '.join(self._provider_names())}", error)
        finally:
            over.set()

    def _provider_names(self) -> list[str]:
        return sorted(f"{service}.{label}" for service, label in self.providers)

    def are_named(self, value: object) -> bool:
        """Return whether a value, such as the body of a start, names one of them."""
        if not self.providers or self._is_imported:
            return False
        text = encode_json(value)
        return any(f'{label}"' in text for _, label in self.providers)

    async def wait_for(self, body: object) -> None:
        """Wait until they are imported, if the body of a start names one. Raise `StartFailed` if that failed."""
        if self._import_over is not None and self.are_named(body):
            await self._import_over.wait()
            if not self._is_imported:
                raise StartFailed("A provider that the start names could not be imported. The log says why.")

    async def wait(self) -> None:
        if self._import_over is not None:
            await self._import_over.wait()
