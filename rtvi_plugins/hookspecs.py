"""The hooks: plain functions that observe all sessions of a bot. Services, options and actions need no hooks.

A plugin marks a function with `hookimpl`. It takes any of the hook's arguments. Hooks are called on the event loop and
must not block. If a hook raises, no answer changes; the exception is logged to `rtvi_plugins`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, overload

import pluggy

from .errors import DeclarationError
from .events import Event
from .session import Session
from .utils.error_texts import replaced_by, where

__all__ = (
    "HOOKS",
    "PROJECT",
    "action_finished",
    "action_started",
    "config_committed",
    "error_reported",
    "event_emitted",
    "find_key",
    "hookimpl",
    "hookspec",
    "provider_changed",
    "server_routes",
    "session_closed",
    "session_opened",
    "start_finished",
    "transcript",
)

#: The name under which pluggy knows the hooks.
PROJECT = "rtvi_plugins"

#: Marks the hooks themselves, in this module.
hookspec = pluggy.HookspecMarker(PROJECT)

_mark = pluggy.HookimplMarker(PROJECT)
F = TypeVar("F", bound=Callable[..., Any])


@overload
def hookimpl(function: F, /) -> F: ...
@overload
def hookimpl(**keywords: Any) -> Callable[[F], F]: ...
def hookimpl(function: Callable[..., Any] | None = None, /, **keywords: Any) -> Any:
    """Mark a plugin's function that implements a hook. The keywords are those of pluggy's `HookimplMarker`."""

    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        replaced = replaced_by(function) if inspect.isfunction(function) else None
        if replaced is not None and hasattr(replaced, f"{PROJECT}_impl"):
            raise DeclarationError(
                function,
                f"has the name of {where(replaced)}, which is lost. Do both in one function, or rename one and write "
                f"@hookimpl(specname={function.__name__!r}) above it.",
            )
        _check_keywords(function, keywords)
        return _mark(function, **keywords)

    return declare if function is None else declare(function)


def _check_keywords(function: Callable[..., Any], keywords: Mapping[str, Any]) -> None:
    known = [each for each in inspect.signature(_mark).parameters if each != "function"]
    for each in keywords:
        if each not in known:
            listed = ", ".join(f"{name}=" for name in known)
            raise DeclarationError(function, f"@hookimpl has no argument {each}=; it has {listed}.")
    if not isinstance(specname := keywords.get("specname"), str | None):
        raise DeclarationError(function, f"@hookimpl takes specname= as a name, not {specname!r}.")


@hookspec
def session_opened(session: Session) -> None:
    """Called when the services of a session are open, and before its client connects."""


@hookspec
def session_closed(session: Session, reason: str) -> None:
    """Called when a session has ended and its services are closed.

    `reason` is the code of an error, `unclaimed` if no client came, `not-resumed` if it did not come back, or empty.
    """


@hookspec
def action_started(session: Session, service: str, action: str, arguments: Mapping[str, Any], call: int) -> None:
    """Called before an action runs, with its checked arguments. `call` is the same in its `action_finished`."""


@hookspec
def action_finished(session: Session, service: str, action: str, error: str | None, call: int) -> None:
    """Called when an action has been answered. `error` is the code of its failure, or None."""


@hookspec
def config_committed(session: Session, revision: int, changed: Sequence[str]) -> None:
    """Called when the config has changed. `changed` contains the names of options, such as "llm.model"."""


@hookspec
def provider_changed(session: Session, service: str, provider: str, chosen: str, category: str | None) -> None:
    """Called when another provider of a `Failover` serves. `category` is the reason.

    `category` is None if the chosen provider serves again. Also called when the client becomes ready while another
    provider serves.
    """


@hookspec
def transcript(session: Session, role: str, text: str, interrupted: bool) -> None:
    """Called when the user (role "user") or the bot ("assistant") has said something."""


@hookspec
def event_emitted(session: Session, event: Event) -> None:
    """Called for each event of a conversation, such as `Metrics`, whether or not the client has a message for it.

    Many come for each answer: one for each piece of text and each spoken word. None comes for audio.
    """


@hookspec
def error_reported(session: Session, code: str, provider: str | None, category: str | None) -> None:
    """Called when the client is sent an error that belongs to no request. `code` is the error's code.

    If a vendor has failed, `provider` and `category` are those of its `ProviderError`. Otherwise both are None.
    """


@hookspec
def start_finished(seconds: float, error: str | None) -> None:
    """Called when a start was accepted or refused, after `seconds`. `error` is the code of the refusal, or None."""


@hookspec
def find_key(provider: str, name: str) -> str | None:
    """Return a provider's key by the name of its parameter. The first result that is not None counts."""
    return None


@hookspec
def server_routes(host: Any) -> Sequence[Any]:
    """Return routes for the server, as Starlette's `BaseRoute`s. They need no session.

    `host` is the bot's `Host`. With `host`, a route may start and claim sessions, as a transport does.
    """
    return ()


#: The names of all hooks, in the order of this module.
HOOKS = tuple(name for name, function in globals().copy().items() if hasattr(function, f"{PROJECT}_spec"))
