"""Check what an operator passes to `Host`."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from typing import Final

from ..errors import AuthorError
from ..limits import CENTURY_DAYS, YEAR_SECONDS, Limits
from ..registry.registry import Registry
from ..resuming import SessionStore
from ..session import Secret
from ..utils.error_texts import where

__all__ = ("check_watch", "log_cut_deadlines", "operator_secrets", "saving")

log = logging.getLogger("rtvi_plugins")

#: A day, in seconds.
_DAY: Final = 86_400.0
#: The fewest characters of an operator's secret.
_SHORTEST_SECRET: Final = 16


def operator_secrets(given: Secret | Sequence[Secret] | None, *, dev: bool) -> tuple[Secret, ...]:
    """Return the valid secrets. Raise `AuthorError` if the first can be guessed, except in development mode.

    The others are being replaced, so they may be short.
    """
    listed = (given,) if isinstance(given, Secret) else given or ()
    valid = tuple(each for each in listed if each)
    if not dev and valid and (length := len(valid[0].reveal())) < _SHORTEST_SECRET:
        raise AuthorError(
            f"The operator's secret has {length} characters, so it can be guessed. It needs {_SHORTEST_SECRET} or "
            "more. Make one: openssl rand -hex 32"
        )
    return valid


def saving(
    store: SessionStore | None, address: str, resume_seconds: float, keep_days: float
) -> tuple[SessionStore | None, str, float, float]:
    """Return the fields of `Shared` that say how sessions are saved. Raise `AuthorError` for invalid arguments."""
    if not 0 < resume_seconds <= YEAR_SECONDS:
        raise AuthorError(
            f"resume_seconds= is a number of seconds above 0, as in 60, at most {YEAR_SECONDS} (a year), not "
            f"{resume_seconds!r}."
        )
    if not 0 <= keep_days <= CENTURY_DAYS:
        raise AuthorError(
            f"keep_days= is a number of days, as in 30, at most {CENTURY_DAYS}, or 0 to keep nothing, not "
            f"{keep_days!r}."
        )
    if keep_days and store is None:
        raise AuthorError("keep_days= keeps the history of sessions in a store. Pass store= too.")
    return store, address, resume_seconds, keep_days * _DAY


def check_watch(seconds: float | None) -> float | None:
    """Return after how many seconds the log names code that blocks. Raise `AuthorError` for an invalid number."""
    if seconds is not None and not 0 < seconds <= YEAR_SECONDS:
        raise AuthorError(
            f"watch= is a number of seconds above 0, as in 0.5, at most {YEAR_SECONDS} (a year), not {seconds!r}."
        )
    return seconds


def log_cut_deadlines(registry: Registry, limits: Limits, granted: Collection[str], functions: Collection[str]) -> None:
    """Log the bot's own actions whose deadline is later than a limit.

    There is one limit for calls of clients, which may call `granted`, and one for the LLM, which may call `functions`.
    """
    limited = (("clients", granted, "deadline"), ("the LLM", functions, "function_seconds"))
    for action in registry.own_actions:
        name = f"{action.service}:{action.name}"
        long = "" if name in functions else "long=True, or "  # no function can be long
        for callers, names, limit in limited:
            seconds: float = getattr(limits, limit)
            if name in names and action.deadline is not None and action.deadline > seconds:
                log.warning(
                    "%s has deadline=%g, but the limit %s ends calls of %s after %g s. Write %sdeadline=%g or less.",
                    *(where(action.function), action.deadline, limit, callers, seconds, long, seconds),
                )
