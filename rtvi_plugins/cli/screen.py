"""Print a conversation in a terminal: the bot's words as they come, everything else on separate lines.

Colours are used in a terminal only, and not if NO_COLOR is set.
"""

from __future__ import annotations

import codecs
import json
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from math import inf
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final, TextIO

import anyio
from anyio.from_thread import BlockingPortal
from attrs import define, field

from ..client import EventMessage
from ..utils.log_text import PROSE, escape
from .line_editor import LineEditor

__all__ = ("Screen", "has_colours", "shown", "typed_lines")

_PROMPT: Final = "> "
#: The codes of colours: for errors, for notes, and for the prompt.
_RED, _DIM, _CYAN = "31", "2", "36"


def has_colours(out: TextIO) -> bool:
    """Return whether colours may be written: to a terminal, unless NO_COLOR is set or it is a dumb one."""
    return out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def shown(value: Any) -> str:
    """Return a value as JSON."""
    return json.dumps(value, ensure_ascii=False)


@define
class Screen:
    """Writes whole lines and pieces of lines. An `interactive` one has somebody in front of it, who types lines."""

    out: TextIO
    interactive: bool
    #: The bot's own actions, by which the console runs the functions of the same names.
    actions: Collection[str] = ()
    colours: bool = False
    #: Reads the lines, if they can be edited.
    editor: LineEditor | None = None
    #: The prompts that the editor is to show.
    prompts: SimpleQueue[str] = field(factory=SimpleQueue[str], init=False)
    #: Whether a failure was shown.
    failed: bool = field(default=False, init=False)
    #: Whether the LLM's words are being shown as they come; then whole sentences of the same are not.
    streaming: bool = False
    _at_start: bool = True
    #: Whether somebody is typing a line.
    _asking: bool = field(default=False, init=False)

    def text(self, piece: str, colour: str = "") -> None:
        """Continue this line."""
        if piece:
            self._at_start = piece.endswith("\n")
            printable = escape(piece, PROSE)  # what an LLM or a client says must not control the terminal
            self.out.write(f"\x1b[{colour}m{printable}\x1b[0m" if colour and self.colours else printable)
            self.out.flush()

    def line(self, text: str, colour: str = "") -> None:
        """Print a separate line."""
        self.end_line()
        self.text(text, colour)
        self.text("\n")

    def note(self, text: str) -> None:
        """Print something that nobody said, on a separate line."""
        self.line(text, _DIM)

    def failure(self, text: str) -> None:
        """Print an error on a separate line."""
        self.failed = True
        self.line(f"! {text}", _RED)

    def end_line(self) -> None:
        """Start a new line, unless the cursor is already at the start of one."""
        if not self._at_start:
            self.text("\n")

    def prompt(self) -> None:
        """Print the prompt in an interactive terminal."""
        if not self.interactive:
            return
        self.end_line()
        self._asking = True
        if self.editor is None:
            self.text(_PROMPT, _CYAN)
            return
        self._at_start = False
        # The editor must know which characters take no space.
        self.prompts.put(f"\001\x1b[{_CYAN}m\002{_PROMPT}\001\x1b[0m\002" if self.colours else _PROMPT)

    def entered(self) -> None:
        """Note that a line was typed. The cursor is now at the start of a line."""
        self._asking = False
        self._at_start = self._at_start or self.interactive

    def show(self, event: EventMessage) -> None:
        """Show an event, if people want to see it."""
        data: Any = event.data or {}
        match event.type:
            case "user-transcription" if data["final"] and data["text"]:
                self.line(f"you: {data['text']}", _CYAN)
            case "bot-llm-started":
                self.end_line()
                self.streaming = True
            case "bot-llm-text":
                self.text(data["text"])
            case "bot-llm-stopped":
                self.streaming = False
                self.end_line()
            # A sentence is sent again when it is heard.
            case "bot-output" if not self.streaming and data["spoken_status"] == "new":
                self.line(data["text"])
            case "bot-interrupted":
                self.note("(interrupted)")
            case "error" | "error-response":
                self.failure(f"{data.get('message') or data.get('error')}")
            case "llm-function-call-in-progress":
                self._show_call(data["function_name"], data["arguments"])
            case "server-message":
                self.line(shown(data))
            case _:
                return
        if self._asking and self._at_start:  # the bot speaks without being asked while somebody types
            self.text(_PROMPT, _CYAN)
            self.text(self.editor.typed if self.editor is not None else "")

    def _show_call(self, function: str, arguments: Mapping[str, Any]) -> None:
        given = ", ".join(f"{name}={shown(value)}" for name, value in arguments.items())
        is_own = function in self.actions
        who = f"; the console runs it by bot:{function}" if is_own else ", which no connected client can run"
        self.note(f"(the bot calls {function}({given}){who})")


@asynccontextmanager
async def typed_lines(screen: Screen) -> AsyncGenerator[AsyncIterator[str]]:
    """Yield the lines of standard input, typed or piped. With an editor, it reads one for each prompt.

    They are read in a thread that the process does not wait for: nothing can wake a thread that waits for a line. It
    reads the file itself, since an abandoned reader of `sys.stdin` would hold its lock when the interpreter ends.
    """
    write, lines = anyio.create_memory_object_stream[str](inf)
    editor = screen.editor
    async with BlockingPortal() as portal, lines:

        def read() -> None:
            with suppress(RuntimeError, anyio.BrokenResourceError):  # the console has gone
                for line in _piped_lines() if editor is None else _edited_lines(editor, screen.prompts):
                    portal.call(write.send_nowait, line)
                portal.call(write.close)

        Thread(target=read, name="stdin", daemon=True).start()
        try:
            yield lines
        finally:
            if editor is not None:
                editor.close()


def _edited_lines(editor: LineEditor, prompts: SimpleQueue[str]) -> Iterator[str]:
    with suppress(EOFError):
        while True:
            yield editor.read(prompts.get())


def _piped_lines() -> Iterator[str]:
    decoder, rest = codecs.getincrementaldecoder(sys.stdin.encoding)("replace"), ""
    while piped := os.read(sys.stdin.fileno(), 65_536):
        *whole, rest = (rest + decoder.decode(piped)).split("\n")
        yield from whole
    if rest:
        yield rest
