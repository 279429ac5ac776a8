"""The bounds of a session and of a server, each with its error code."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import asdict, frozen

from .utils.diagnostics import nearest

__all__ = ("Limits",)


@frozen(kw_only=True)
class Limits:
    """What a session may use. Times in seconds, sizes in characters of JSON text.

    `rate` and `burst` leave room for audio at 100 frames a second, a request every few milliseconds, and 800 short
    requests at once. `deadline` is below the 10 s after which published clients forget a request. 64 KiB is what
    the newest of them sends at most by default.
    """

    #: The longest message accepted (`message-too-large`).
    message_size: int = 65_536
    #: The deepest nesting of objects and arrays accepted (`message-too-deep`).
    nesting: int = 64
    #: Requests of one session that may wait for their answer (`busy`).
    in_flight: int = 128
    #: Long actions of one session that may run (`busy`).
    jobs: int = 16
    #: Units a second that a session may send in the long run, and at once (`rate-limited`). A frame costs one unit for
    #: each 4 KiB, a message another one for each 512 characters or 30 values, at least one each.
    rate: float = 400.0
    burst: int = 1_600
    #: How far ahead of real time a client may send audio, in seconds of it. More is dropped.
    audio_seconds: float = 3.0
    #: The time for an answer (`action-timeout`).
    deadline: float = 9.0
    #: The time a client has to answer a function call (`function-call-failed`).
    function_seconds: float = 30.0
    #: The time that each service has to open (`start-failed`), and to close.
    open_seconds: float = 15.0
    close_seconds: float = 5.0
    #: The time that what is being said has to be heard when the session is closed.
    goodbye_seconds: float = 30.0
    #: The longest session (`session-too-long`), and the longest silence of a client (`session-idle`).
    session_seconds: float = 7_200.0
    idle_seconds: float = 600.0
    #: Messages, and characters of them, that may wait for a client to read them (`slow-client`).
    outbox: int = 10_000
    outbox_size: int = 16 * 1024 * 1024
    #: The time a started session waits to be claimed, and how many may wait (`server-full`).
    unclaimed_seconds: float = 30.0
    unclaimed: int = 64
    #: How many of them one address may have started, unless the operator did (`server-full`).
    unclaimed_per_address: int = 16
    #: Sessions that a server holds (`server-full`), and threads for actions that are plain functions.
    sessions: int = 1_000
    threads: int = 16

    @classmethod
    def parse(cls, written: Iterable[str]) -> Limits:
        """Limits from texts like `idle_seconds=60`. `ValueError` with a sentence for a name or value that is none."""
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
        value = int(written) if whole else float(written)
    except ValueError:
        what = "a whole number" if whole else "a number"
        raise ValueError(f"The limit {name} is {what}, as in {name}=60; {written!r} is none.") from None
    if not value > 0:
        raise ValueError(f"The limit {name} is more than 0; {written!r} is not.")
    return value
