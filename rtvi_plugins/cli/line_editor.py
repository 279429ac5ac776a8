"""Typed lines with editing, history and completion: the standard library's readline, where Python has it.

A line that is typed into the console may continue with commands, actions, arguments, options and their values.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from attrs import define

from ..utils.log_text import PROSE, escape

__all__ = ("Completions", "LineEditor", "action_name", "line_editor")


@define
class Completions:
    """The words of one session. `actions` and `options` are its descriptions, as clients receive them."""

    commands: Collection[str]
    actions: Sequence[Mapping[str, Any]] = ()
    options: Sequence[Mapping[str, Any]] = ()

    def of(self, line: str) -> list[str]:
        """Return what the last word of a line may become. A word that is complete ends with a space."""
        *before, word = line.split(" ")
        return [each for each in self._candidates([each for each in before if each], word) if each.startswith(word)]

    def _candidates(self, before: Sequence[str], word: str) -> Iterable[str]:
        match before:
            case []:
                return [f"{each} " for each in self.commands] if word else []
            case ["/call"]:
                return [f"{action_name(each)} " for each in self.actions]
            case ["/call", action, *given]:
                arguments = next((each["arguments"] for each in self.actions if action_name(each) == action), ())
                return _assignments({argument["name"]: argument for argument in arguments}, given, word)
            case ["/set", *given]:
                options = {
                    f"{service['name']}.{each['name']}": each for service in self.options for each in service["options"]
                }
                return _assignments(options, given, word)
            case _:
                return []


def action_name(action: Mapping[str, Any]) -> str:
    """Return the name by which a described action is called, such as `tts:say`."""
    return f"{action['service']}:{action['action']}"


def _assignments(described: Mapping[str, Mapping[str, Any]], given: Sequence[str], word: str) -> Iterator[str]:
    """Yield `name=` for each name that is not given yet, or `name=value` for the known values of a name."""
    name, sign, _ = word.partition("=")
    if sign:
        values = _values(described[name]) if name in described else ()
        yield from (f"{name}={shlex.quote(each)} " for each in values)
    else:
        taken = {each.partition("=")[0] for each in given}
        yield from (f"{each}=" for each in described if each not in taken)


def _values(described: Mapping[str, Any]) -> list[str]:
    """Return the values that a description lists, as they are typed."""
    if described.get("type") == "bool":
        return ["true", "false"]
    schema = described.get("schema", {})
    listed = [each for member in (schema, *schema.get("anyOf", ())) for each in member.get("enum", ())]
    return [each for each in listed if isinstance(each, str)]


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
        """Return what was typed of the present line, without anything that controls the terminal."""
        return escape(self._readline.get_line_buffer(), PROSE)

    def close(self) -> None:
        """Save the history, and restore the terminal."""
        self._termios.tcsetattr(sys.stdin.fileno(), self._termios.TCSADRAIN, self._settings)
        path = _history_file()
        with suppress(OSError):  # a folder that cannot be written to
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))  # it has what was said to bots
            self._readline.write_history_file(path)
