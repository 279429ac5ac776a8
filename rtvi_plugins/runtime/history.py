"""Keep what happened in a session: what was said, which actions were called, and how the config changed.

Each entry is a JSON object under a key of its own in the session's record. The entry of an action is written before the
action begins, and again when it has ended. Only the history is left of a record when its session has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Literal

from attrs import define, field

from ..declare.to_json import to_json
from ..protocol.codec import encode_json
from ..resuming import HISTORY
from .saving import Saver

__all__ = ("History",)

#: A value whose JSON is longer is left out, in characters.
_LONGEST_KEPT: Final = 65_536


@define(eq=False)
class History:
    """Writes the history of one session."""

    saver: Saver
    #: Returns the time of day.
    wall_clock: Callable[[], float]
    #: The size that the entries may have, in characters of JSON.
    most: int
    #: Called once, when they have more.
    on_full: Callable[[], object]
    #: How many entries there are, and their size.
    _entry_count: int = field(default=0, init=False)
    _history_size: int = field(default=0, init=False)
    _is_full: bool = field(default=False, init=False)

    def started(self, bot: str, providers: Mapping[str, str], start_data: Mapping[str, Any]) -> None:
        """Add the beginning of the session. `start_data` has the application's own fields of the start request."""
        self._add_entry("started", bot=bot, providers=dict(providers), start=_json_to_keep(start_data) or {})

    def resumed(self, record: Mapping[str, str]) -> None:
        sizes = {int(key.removeprefix(HISTORY)): len(text) for key, text in record.items() if key.startswith(HISTORY)}
        self._entry_count, self._history_size = max(sizes, default=-1) + 1, sum(sizes.values())
        self._add_entry("resumed")

    def said(self, role: str, text: str, interrupted: bool) -> None:
        self._add_entry("said", role=role, text=text, interrupted=interrupted)

    def configured(self, by: Literal["client", "bot"], changed: Mapping[str, Any], revision: int) -> None:
        self._add_entry(
            "config", by=by, changed={name: _json_to_keep(value) for name, value in changed.items()}, revision=revision
        )

    def action(self, action: str, arguments: Mapping[str, Any]) -> Callable[[str], None]:
        """Add an action that the client calls. Return a function, to be called with "ok" or the code of its error."""
        return self._begin_entry("action", by="client", action=action, arguments=_json_to_keep(arguments))

    def function(
        self, function: str, arguments: Mapping[str, Any], run_by: Literal["client", "bot"]
    ) -> Callable[[str], None]:
        """Add a function that the bot or its LLM calls. Return a function, to be called with its outcome."""
        return self._begin_entry(
            "function", by="bot", function=function, run_by=run_by, arguments=_json_to_keep(arguments)
        )

    def ended(self, code: str) -> str:
        """Return the last entry. `code` says why the session has ended, as in `SessionEnd.code`."""
        return encode_json({"at": self._now(), "type": "ended", "code": code})

    def _begin_entry(self, type: str, **fields: Any) -> Callable[[str], None]:
        return partial(self._end_entry, *self._add_entry(type, **fields))

    def _end_entry(self, key: str, entry: str, outcome: str) -> None:
        more = encode_json({"outcome": outcome, "ended": self._now()})
        self._history_size += len(more)
        self.saver.note_text(key, f"{entry[:-1]},{more[1:]}")

    def _add_entry(self, type: str, **fields: Any) -> tuple[str, str]:
        """Add an entry. Return its key and its text."""
        key, text = f"{HISTORY}{self._entry_count}", encode_json({"at": self._now(), "type": type, **fields})
        self._entry_count += 1
        self._history_size += len(text)
        self.saver.note_text(key, text)
        # Without the entries that follow, a client could hide what it does. So the session ends.
        if self._history_size > self.most and not self._is_full:
            self._is_full = True
            self.on_full()
        return key, text

    def _now(self) -> str:
        return datetime.fromtimestamp(self.wall_clock(), UTC).isoformat(timespec="milliseconds")


def _json_to_keep(value: Any) -> Any:
    """Return the JSON form of a value. Return None if it is too long for a history, or if JSON cannot carry it."""
    try:
        form = to_json(value)
        return form if len(encode_json(form)) <= _LONGEST_KEPT else None
    except (TypeError, ValueError, RecursionError):
        return None
