"""The hooks: what cuts across all bots. Plain functions that observe; declaring services or actions needs none.

A plugin marks a function with `hookimpl` and takes as many of the hook's arguments as it wants. Hooks are called on
the event loop and must not block. One that raises changes no answer; it is reported in the log of `rtvi_plugins`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pluggy

from .session import Session

__all__ = (
    "HOOKS",
    "PROJECT",
    "action_finished",
    "action_started",
    "config_committed",
    "find_key",
    "hookimpl",
    "hookspec",
    "server_routes",
    "session_closed",
    "session_opened",
    "transcript",
)

#: The name under which pluggy knows the hooks.
PROJECT = "rtvi_plugins"

#: Marks the hooks themselves, in this module; and the functions of plugins that implement one.
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def session_opened(session: Session) -> None:
    """The services of a session are open; no client has come yet."""


@hookspec
def session_closed(session: Session, reason: str) -> None:
    """A session has ended and its services are closed. `reason` is an error code, or empty for a plain goodbye."""


@hookspec
def action_started(session: Session, service: str, action: str, arguments: Mapping[str, Any]) -> None:
    """An action is about to run, with arguments that were checked."""


@hookspec
def action_finished(session: Session, service: str, action: str, error: str | None) -> None:
    """An action has been answered: `error` is the code of its failure, or None."""


@hookspec
def config_committed(session: Session, revision: int, changed: Sequence[str]) -> None:
    """The config has changed; `changed` names the options, as in "llm.model"."""


@hookspec
def transcript(session: Session, role: str, text: str, interrupted: bool) -> None:
    """Something was said: by the user (role "user") or the bot ("assistant")."""


@hookspec
def find_key(provider: str, name: str) -> str | None:
    """The key store: a provider's key by the name of its parameter. The first answer that is not None counts."""
    return None


@hookspec
def server_routes(host: Any) -> Sequence[Any]:
    """Routes that a server is to add, as Starlette's `BaseRoute`s. They are reached without a session.

    `host` is the `Host` whose sessions they may start and claim, as a transport of its own does.
    """
    return ()


#: The names of all hooks.
HOOKS = (
    "session_opened",
    "session_closed",
    "action_started",
    "action_finished",
    "config_committed",
    "transcript",
    "find_key",
    "server_routes",
)
