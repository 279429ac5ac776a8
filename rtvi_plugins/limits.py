"""The limits of a session and of a server, each with its error code."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import Final

from attrs import asdict, fields, frozen

from .utils.error_texts import shorten
from .utils.names import nearest

__all__ = ("CENTURY_DAYS", "YEAR_SECONDS", "Limits")

#: The longest time for which something may wait, in seconds, and be kept, in days. Stores and clocks have limits too.
YEAR_SECONDS: Final = 31_536_000
CENTURY_DAYS: Final = 36_500
#: The greatest limit. It is never reached.
_GREATEST: Final = 1_000_000_000_000


@frozen(kw_only=True)
class Limits:
    """The limits of a session and of a server. Times are in seconds, sizes in characters of JSON text.

    `rate` and `burst` allow audio at 100 frames a second, a request every few milliseconds, and 800 short requests at
    once. `deadline` is below the 10 s after which published clients forget a request. The newest of these clients
    send at most 64 KiB by default.

    Every limit is greater than 0. Only times may be `inf`, for no limit. Raise `ValueError` for any other value.
    """

    #: The longest message accepted (`message-too-large`).
    message_size: int = 65_536
    #: The deepest nesting of objects and arrays accepted (`message-too-deep`).
    nesting: int = 64
    #: How many requests of one session may be pending (`busy`).
    in_flight: int = 128
    #: The size of a conversation, in characters of JSON, from which clients can add nothing more (`context-full`).
    context_size: int = 4 * 1024 * 1024
    #: The size of a history that is kept, in characters of JSON, at which its session ends (`session-too-long`).
    history_size: int = 16 * 1024 * 1024
    #: How many background jobs of one session may run (`busy`).
    jobs: int = 16
    #: The units that a session may send (`rate-limited`): `rate` a second in the long run, `burst` at once. A frame
    #: costs one for each 4 KiB, a message another one for each 512 characters or 12 values; each at least one.
    rate: float = 400.0
    burst: int = 1_600
    #: How many seconds of audio a client may send ahead of real time. Further audio is dropped.
    audio_seconds: float = 3.0
    #: How long a client's request may take (`action-timeout`).
    deadline: float = 9.0
    #: How long a function that the LLM calls may take, of the client or of the bot (`function-call-failed`).
    function_seconds: float = 30.0
    #: How long each service may take to open (`start-failed`), and to close.
    open_seconds: float = 15.0
    close_seconds: float = 5.0
    #: How long a closing session waits until the bot's speech was played.
    goodbye_seconds: float = 30.0
    #: The longest session (`session-too-long`), and the longest time without a message (`session-idle`).
    session_seconds: float = 7_200.0
    idle_seconds: float = 600.0
    #: How long a connected client may take to send `client-ready` (`session-idle`). Until then, the bot does not run.
    ready_seconds: float = 60.0
    #: How many messages, and how many characters of them, may wait for a client to read them (`slow-client`).
    outbox: int = 10_000
    outbox_size: int = 16 * 1024 * 1024
    #: How long a started session waits for its client, and how many may wait (`server-full`).
    unclaimed_seconds: float = 30.0
    unclaimed: int = 64
    #: How many unclaimed sessions an address may have (`server-full`). The operator's starts do not count.
    unclaimed_per_address: int = 16
    #: How many sessions a server holds (`server-full`), and how many threads run `def` actions.
    sessions: int = 1_000
    threads: int = 16
    #: How late the event loop may be before the server starts no more sessions (`server-full`), such as 0.1.
    late_seconds: float = inf

    def __attrs_post_init__(self) -> None:
        for each in fields(Limits):
            _check(each.name, getattr(self, each.name), whole=isinstance(each.default, int))

    @classmethod
    def parse(cls, written: Iterable[str]) -> Limits:
        """Return limits from texts like `idle_seconds=60`. Raise `ValueError` for an unknown name or a wrong value."""
        known = asdict(cls())
        chosen: dict[str, int | float] = {}
        for text in written:
            name, _, value = text.partition("=")
            if name not in known:
                near = nearest(name, known)
                hint = f"did you mean {near!r}?" if near else f"use one of {', '.join(known)}."
                raise ValueError(f"There is no limit {name!r}; {hint}")
            chosen[name] = _number(name, value, whole=isinstance(known[name], int))
        return cls(**chosen)  # type: ignore[arg-type]  # each is of the type of its default


def _number(name: str, written: str, *, whole: bool) -> int | float:
    try:
        return int(written) if whole else float(written)
    except ValueError:
        raise ValueError(_not_a_number(name, shorten(repr(written)), whole=whole)) from None


def _check(name: str, value: object, *, whole: bool) -> None:
    """Raise `ValueError` unless a limit can be kept."""
    written = shorten(repr(value))
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        raise ValueError(_not_a_number(name, written, whole=whole))
    if not value > 0:  # NaN is not
        raise ValueError(f"The limit {name} must be greater than 0, not {written}.")
    endless = not whole and name != "rate"
    if value > _GREATEST and not (endless and value == inf):
        what = f"at most {_GREATEST}, or inf for no limit" if endless else f"at most {_GREATEST}"
        raise ValueError(f"The limit {name} must be {what}, not {written}.")


def _not_a_number(name: str, written: str, *, whole: bool) -> str:
    what = "a whole number" if whole else "a number"
    return f"The limit {name} must be {what}, as in {name}=60, not {written}."
