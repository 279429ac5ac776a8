"""Typed lines with editing, history and completion: the standard library's readline, where Python has it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from ..utils.log_text import PROSE, escape

__all__ = ("LineEditor", "line_editor")

#: How many lines the history keeps.
_HISTORY: Final = 1_000


def line_editor(complete: Callable[[str], list[str]]) -> LineEditor | None:
    """Return an editor for the terminal of this process. Without a terminal or readline, there is none."""
    try:
        import readline
        import termios
    except ImportError:  # Windows, or a Python that was built without them
        return None
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM") == "dumb":
        return None
    return LineEditor(readline, termios, complete)


def _history_file() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "rtvi" / "console_history"


class LineEditor:
    """Reads lines. `complete` returns the words that the last word of a line may become.

    `read` may be abandoned in its thread; `close` then makes the terminal as it was.
    """

    def __init__(self, readline: Any, termios: Any, complete: Callable[[str], list[str]]) -> None:
        self._readline, self._termios = readline, termios
        self._complete_line = complete
        self._found: list[str] = []
        self._settings = termios.tcgetattr(sys.stdin.fileno())
        readline.set_completer(self._complete)
        readline.set_completer_delims(" ")
        is_libedit = "libedit" in (readline.__doc__ or "")
        readline.parse_and_bind("bind ^I rl_complete" if is_libedit else "tab: complete")
        readline.set_history_length(_HISTORY)
        with suppress(OSError):  # none yet
            readline.read_history_file(_history_file())

    def _complete(self, word: str, state: int) -> str | None:
        if state == 0:
            line = self._readline.get_line_buffer()[: self._readline.get_endidx()]
            try:
                self._found = self._complete_line(line)
            except Exception:  # an exception here would be printed into the line
                self._found = []
        return self._found[state] if state < len(self._found) else None

    def read(self, prompt: str) -> str:
        """Read a line. Raise `EOFError` at the end of the input."""
        return input(prompt)

    @property
    def typed(self) -> str:
        """Return what was typed of the present line, without anything that steers the terminal."""
        return escape(self._readline.get_line_buffer(), PROSE)

    def close(self) -> None:
        """Save the history, and give the terminal back."""
        self._termios.tcsetattr(sys.stdin.fileno(), self._termios.TCSADRAIN, self._settings)
        path = _history_file()
        with suppress(OSError):  # a folder that cannot be written to
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))  # it has what was said to bots
            self._readline.write_history_file(path)
