"""What the front and a worker write to each other, over a socket of their own.

The front sends the numbers of all workers with each connection that it hands over. A worker reports how busy it is and
whether it accepts more sessions, and once the line with which the server announces itself.
"""

from __future__ import annotations

import os
import re
import socket
import struct
from collections.abc import Iterable, MutableMapping
from typing import Final

from attrs import frozen

__all__ = ("LONGEST", "NUMBER", "VARIABLE", "Place", "Report", "prefix_of", "read_keys", "write_keys")

#: Set for a worker: its number, and the descriptor of the socket to the front.
VARIABLE: Final = "RTVI_WORKER"
#: The longest message, in bytes.
LONGEST: Final = 4096

_FORM: Final = struct.Struct("<I?IQ")

#: The beginning of the paths of any worker.
NUMBER: Final = re.compile(r"^/w\d{1,9}(?=/)", re.ASCII)


def prefix_of(key: int) -> str:
    """Return the beginning of the paths of a worker."""
    return f"/w{key}"


def write_keys(keys: Iterable[int]) -> bytes:
    """Return the numbers of workers as one message, which is never empty."""
    return b"+" + b" ".join(b"%d" % key for key in keys)[: LONGEST - 1]


def read_keys(data: bytes) -> tuple[int, ...]:
    """Return the numbers of workers in a message."""
    return tuple(map(int, data[1:].split()))


@frozen
class Report:
    """What a worker reports: how many sessions it has, whether it accepts more, and perhaps its announcement.

    `connections` are open now. `taken` were handed over in all: those that the front has handed over since are not in
    the other numbers yet.
    """

    open_sessions: int
    accepts: bool
    announcement: str = ""
    connections: int = 0
    taken: int = 0

    def to_bytes(self) -> bytes:
        numbers = _FORM.pack(self.open_sessions, self.accepts, self.connections, self.taken)
        return (numbers + self.announcement.encode())[:LONGEST]

    @classmethod
    def from_bytes(cls, data: bytes) -> Report:
        open_sessions, accepts, connections, taken = _FORM.unpack_from(data)
        return cls(open_sessions, accepts, data[_FORM.size :].decode(errors="replace"), connections, taken)


@frozen
class Place:
    """The place of this process among the workers: its number, and the socket to the front."""

    key: int
    control: socket.socket

    @classmethod
    def take(cls, environ: MutableMapping[str, str]) -> Place | None:
        """Return the place that the front has given to this process; None if it is not a worker.

        The variable is removed: the processes that this one starts are not workers.
        """
        if (written := environ.pop(VARIABLE, None)) is None:
            return None
        key, descriptor = map(int, written.split(":"))
        os.set_inheritable(descriptor, False)
        return cls(key, socket.socket(fileno=descriptor))
