"""`rtvi sessions`: list the sessions in a store, and show, export and delete what they have left there."""

from __future__ import annotations

import json
import sys
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Any, Final, Literal

import anyio
from attrs import frozen

from ..resuming import ENDED, HISTORY, SessionStore, Unreadable
from ..stores import entered, open_store
from ..utils.log_text import clean
from .command_line import read_arguments
from .description_text import table_lines
from .failures import FAILED, OK, Failure, UsageError

__all__ = ("run",)

_UNREADABLE: Final = "The record of session {id} is not JSON. If the store is encrypted, set RTVI_STORE_KEY to its key."
_MISSING: Final = "No session {id} is in the store. What is there: rtvi sessions list"
_NO_HISTORY: Final = "Nothing is kept of session {id}: its server runs without --keep-days."


@frozen
class StoredSession:
    """A session in the store. It is lost if its process has ended without it, and its client has not come back.

    `start` has the application's own fields of its start request. `problem` is why the record cannot be read.
    """

    id: str
    state: Literal["live", "ended", "lost", "unreadable"]
    started: str = ""
    ended: str = ""
    start: Mapping[str, Any] = {}
    problem: str = ""


def run(chosen: Namespace) -> int:
    """List, show, export or delete sessions."""
    if chosen.what in ("show", "delete") and not chosen.ids and not chosen.where:
        raise UsageError(f"Name the sessions: rtvi sessions {chosen.what} ID. `rtvi sessions list` lists the ids.")
    if chosen.live and chosen.what != "delete":
        raise UsageError("--live is for `rtvi sessions delete`.")
    if chosen.json and chosen.what != "list":
        raise UsageError("--json is for `rtvi sessions list`. What `rtvi sessions export` writes is JSON.")
    if "://" not in chosen.store and not Path(chosen.store).exists():
        raise UsageError(f"There is no file {chosen.store}. Name the store as for `rtvi run --resume`, with --store.")
    return anyio.run(_run, chosen)


async def _run(chosen: Namespace) -> int:
    async with entered(open_store(chosen.store)) as store:
        texts = {word.partition("=")[0]: "string" for word in chosen.where}
        sessions, missing = await _find(store, chosen.ids, read_arguments(chosen.where, texts))
        # Another operator may have deleted one of those that are named. The others are shown or deleted all the same.
        problems = [_MISSING.format(id=id) for id in missing]
        problems += [each.problem for each in sessions if each.problem and chosen.what != "delete"]
        match chosen.what:
            case "list":
                sys.stdout.write(_json(sessions) if chosen.json else _table(sessions))
            case "delete":
                # Nobody knows to whom an unreadable record belongs, so it is deleted only by its id.
                states = ["ended", "lost", *(["live"] if chosen.live else [])]
                states += ["unreadable"] if chosen.live and not chosen.where else []
                problems += await _delete(store, sessions, states) if sessions or not missing else []
            case _:
                write = _show if chosen.what == "show" else _export
                for session in sessions:
                    if session.problem:
                        continue
                    try:
                        await write(store, session)
                    except (Failure, Unreadable) as error:  # the others can be written
                        problems.append(str(error))
    sys.stderr.write("".join(f"rtvi: {clean(each)}\n" for each in problems))
    return FAILED if problems else OK


async def _find(
    store: SessionStore, ids: Sequence[str], where: Mapping[str, str]
) -> tuple[list[StoredSession], list[str]]:
    """Return the sessions with these ids, or all, oldest first; and the ids that are not there."""
    sessions, missing = list[StoredSession](), list[str]()
    for id in dict.fromkeys(ids or await store.sessions()):
        # No id of ours has other characters, and not every store can look for them.
        session = await _read_session(store, id) if id.isascii() else None
        if session is not None:
            sessions.append(session)
        elif ids:
            missing.append(id)
    matching = [each for each in sessions if all(_has(each.start, name, text) for name, text in where.items())]
    unreadable = [each for each in sessions if each.problem and where]
    return sorted([*matching, *unreadable], key=lambda each: (each.started, each.id)), missing


def _has(start: Mapping[str, Any], name: str, text: str) -> bool:
    """Return whether a start request has a field with this value. One that is not there has no value, not even null."""
    return name in start and text == (start[name] if isinstance(start[name], str) else json.dumps(start[name]))


async def _read_session(store: SessionStore, id: str) -> StoredSession | None:
    try:
        texts = await store.read(id, (f"{HISTORY}0", "time", ENDED))
        if texts is None:
            return None
        first, times, last = (_read(id, texts.get(key, "{}")) for key in (f"{HISTORY}0", "time", ENDED))
    except Unreadable as error:
        return StoredSession(id, "unreadable", problem=str(error))
    is_lost = times.get("until", inf) < time.time()
    state: Literal["live", "ended", "lost"] = "ended" if last else "lost" if is_lost else "live"
    return StoredSession(id, state, first.get("at", ""), last.get("at", ""), first.get("start", {}))


def _read(id: str, text: str) -> Mapping[str, Any]:
    try:
        read: Mapping[str, Any] = json.loads(text)
    except ValueError:
        raise Unreadable(_UNREADABLE.format(id=id)) from None
    return read


async def _history(store: SessionStore, id: str) -> list[Mapping[str, Any]]:
    """Return the entries of a session's history, in order."""
    texts = await store.read(id)
    if texts is None:  # it was deleted meanwhile, or has expired
        raise Failure(_MISSING.format(id=id))
    numbered = sorted((key for key in texts if key.startswith(HISTORY)), key=lambda key: int(key.removeprefix(HISTORY)))
    return [_read(id, texts[key]) for key in (*numbered, ENDED) if key in texts]


# ---- deleting ------------------------------------------------------------------------------------------------------


async def _delete(store: SessionStore, sessions: Sequence[StoredSession], states: Sequence[str]) -> list[str]:
    """Delete the sessions in one of these states. Return what to say of the others."""
    kept = [each for each in sessions if each.state not in states]
    for each in sessions:
        if each not in kept:
            await store.forget(each.id)
    sys.stdout.write(f"{len(sessions) - len(kept)} deleted.\n")
    if not kept:
        return []
    listed = ", ".join(f"{each.id} ({each.state})" for each in kept)
    hint = "With --live, a live session ends and is deleted. So is one that cannot be read, if you name it by its id."
    return [f"Not deleted: {listed}. {hint}"]


# ---- printing ------------------------------------------------------------------------------------------------------


def _table(sessions: Sequence[StoredSession]) -> str:
    if not sessions:
        return "The store has no such sessions.\n"
    rows = [("SESSION", "STATE", "STARTED (UTC)", "ENDED (UTC)", "START REQUEST")]
    rows += [(each.id, each.state, _time(each.started), _time(each.ended), _values(each.start)) for each in sessions]
    return "".join(f"{clean(line)}\n" for line in table_lines(rows))


def _json(sessions: Sequence[StoredSession]) -> str:
    rows = [
        {"session": each.id, "state": each.state, "started": each.started or None, "ended": each.ended or None}
        | {"start": each.start}
        for each in sessions
    ]
    return f"{_json_text(rows, indent=2)}\n"


def _json_text(value: Any, *, indent: int | None = None) -> str:
    r"""Return JSON that controls no terminal and fits into every file: what does not print is written as `\u202e`."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each == "\n" else json.dumps(each)[1:-1] for each in text)


async def _export(store: SessionStore, session: StoredSession) -> None:
    for entry in await _history(store, session.id):
        sys.stdout.write(f"{_json_text({'session': session.id, **entry})}\n")


async def _show(store: SessionStore, session: StoredSession) -> None:
    entries = await _history(store, session.id)
    if not entries:
        raise Failure(_NO_HISTORY.format(id=session.id))
    sys.stdout.write(f"session {session.id} ({session.state}), times in UTC\n")
    for each in entries:
        sys.stdout.write(f"{_time(each['at'])}  {clean(_line(each))}\n")


def _line(entry: Mapping[str, Any]) -> str:
    """Return one entry of a history for people."""
    match entry["type"]:
        case "said":
            return f"{entry['role']}{' (interrupted)' if entry['interrupted'] else ''}: {entry['text']}"
        case "action" | "function":
            name, outcome = entry.get("action") or entry["function"], entry.get("outcome", "outcome unknown")
            call = f"{entry['by']} calls {name} {_values(entry['arguments'])}".rstrip()
            return f"{call}: {outcome}"
        case "config":
            return f"{entry['by']} sets {_values(entry['changed'])}"
        case "started":
            return f"started {entry['bot']} with {_values(entry['providers'])} {_values(entry['start'])}".rstrip()
        case "ended":
            return f"ended {entry['code']}".rstrip()
        case other:
            return str(other)


def _values(values: Mapping[str, Any] | None) -> str:
    if values is None:
        return "(too long to be kept)"
    return " ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in values.items())


def _time(at: str) -> str:
    """Return an ISO 8601 time for people, to the second."""
    return at[:19].replace("T", " ") or "-"
