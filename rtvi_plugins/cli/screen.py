"""Print a conversation in a terminal: the bot's words as they come, everything else on separate lines."""

from __future__ import annotations

import codecs
import json
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from math import inf
from threading import Thread
from typing import Any, TextIO, TypeAlias

import anyio
from anyio.from_thread import BlockingPortal
from attrs import define, field

from ..client import EventMessage
from ..utils.log_text import PROSE, escape

__all__ = (
    "Screen",
    "shown",
    "typed_lines",
)


def shown(value: Any) -> str:
    """Return a value as JSON."""
    return json.dumps(value, ensure_ascii=False)


@define
class Screen:
    """Writes whole lines and pieces of lines. An `interactive` one has somebody in front of it, who types lines."""

    out: TextIO
    interactive: bool
    #: The bot's own actions, by which the console carries out the functions of the same names.
    actions: Collection[str] = ()
    #: Whether a failure was shown.
    failed: bool = field(default=False, init=False)
    #: Whether the LLM's words are being shown as they come; then whole sentences of the same are not.
    streaming: bool = False
    _at_start: bool = True

    def text(self, piece: str) -> None:
        """Go on in this line."""
        if piece:
            self._at_start = piece.endswith("\n")
            self.out.write(escape(piece, PROSE))  # what an LLM or a client says must not steer the terminal
            self.out.flush()

    def line(self, text: str) -> None:
        """Print a separate line."""
        self.end_line()
        self.text(f"{text}\n")

    def failure(self, text: str) -> None:
        """Print an error on a separate line."""
        self.failed = True
        self.line(f"! {text}")

    def end_line(self) -> None:
        """Start a new line, unless the cursor is already at the start of one."""
        if not self._at_start:
            self.text("\n")

    def prompt(self) -> None:
        """Print the prompt in an interactive terminal."""
        if self.interactive:
            self.end_line()
            self.text("> ")

    def entered(self) -> None:
        """Note that a line was typed. The cursor is now at the start of a line."""
        self._at_start = self._at_start or self.interactive

    def show(self, event: EventMessage) -> None:
        """Show an event, if people want to see it."""
        if event.type in _SHOWN:
            _SHOWN[event.type](self, event.data or {})


def _started(screen: Screen, data: Any) -> None:
    screen.streaming = True


def _text(screen: Screen, data: Any) -> None:
    screen.text(data["text"])


def _stopped(screen: Screen, data: Any) -> None:
    screen.streaming = False
    screen.end_line()


def _output(screen: Screen, data: Any) -> None:
    if not screen.streaming:
        screen.line(data["text"])


def _interrupted(screen: Screen, data: Any) -> None:
    screen.line("(interrupted)")


def _error(screen: Screen, data: Any) -> None:
    screen.failure(f"{data.get('message') or data.get('error')}")


def _call(screen: Screen, data: Any) -> None:
    name = data["function_name"]
    given = ", ".join(f"{name}={shown(value)}" for name, value in data["arguments"].items())
    carried = f"; the console carries it out by bot:{name}" if name in screen.actions else None
    screen.line(f"(the bot calls {name}({given}){carried or ', which no client is here to carry out'})")


def _message(screen: Screen, data: Any) -> None:
    screen.line(shown(data))


_Show: TypeAlias = "Callable[[Screen, Any], None]"

_SHOWN: Mapping[str, _Show] = {
    "bot-llm-started": _started,
    "bot-llm-text": _text,
    "bot-llm-stopped": _stopped,
    "bot-output": _output,
    "bot-interrupted": _interrupted,
    "error": _error,
    "error-response": _error,
    "llm-function-call-in-progress": _call,
    "server-message": _message,
}


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
