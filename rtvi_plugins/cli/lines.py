"""Lines from stdin, without blocking the event loop and without keeping the process from ending."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from math import inf
from threading import Thread
from typing import Any

import anyio
from anyio.from_thread import BlockingPortal

__all__ = ("typed_lines",)


@asynccontextmanager
async def typed_lines() -> AsyncGenerator[AsyncIterator[str]]:
    """Yield the lines of standard input, typed or piped.

    They are read in a thread that the process does not wait for: nothing can wake a thread that waits for a line. It
    reads the file itself, since an abandoned reader of `sys.stdin` would hold its lock when the interpreter ends.
    """
    write, lines = anyio.create_memory_object_stream[str](inf)
    async with BlockingPortal() as portal, lines:

        def call(function: Callable[..., Any], *arguments: Any) -> None:
            portal.call(function, *arguments)

        Thread(target=_read, args=(call, write.send_nowait, write.close), name="stdin", daemon=True).start()
        yield lines


def _read(call: Callable[..., None], take: Callable[[str], None], end: Callable[[], None]) -> None:
    with suppress(RuntimeError, anyio.BrokenResourceError):  # the console has gone
        for line in _lines(sys.stdin.fileno(), sys.stdin.encoding):
            call(take, line)
        call(end)


def _lines(file: int, encoding: str) -> Any:
    decoder, rest = codecs.getincrementaldecoder(encoding)("replace"), ""
    while data := os.read(file, 65_536):
        *whole, rest = (rest + decoder.decode(data)).split("\n")
        yield from whole
    if rest:
        yield rest
