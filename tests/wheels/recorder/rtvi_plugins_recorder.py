"""Hooks that write what happens as lines of JSON to the file `$RECORDED`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rtvi_plugins import Session, hookimpl

Path(os.environ["IMPORTED"], __name__).touch()


def _write(*facts: Any) -> None:
    with Path(os.environ["RECORDED"]).open("a", encoding="utf-8") as file:
        file.write(f"{json.dumps(facts)}\n")


@hookimpl
def session_opened(session: Session) -> None:
    """A session's services are open."""
    _write("opened")


@hookimpl
def action_started(service: str, action: str, arguments: Mapping[str, Any]) -> None:
    """An action is about to run."""
    _write("action", f"{service}:{action}", dict(arguments))


@hookimpl
def action_finished(service: str, action: str, error: str | None) -> None:
    """An action was answered."""
    _write("answered", f"{service}:{action}", error)


@hookimpl
def config_committed(revision: int, changed: list[str]) -> None:
    """The config has changed."""
    _write("config", sorted(changed))


@hookimpl
def transcript(role: str, text: str) -> None:
    """Something was said."""
    _write("said", role, text)


@hookimpl
def session_closed(reason: str) -> None:
    """A session has ended."""
    _write("closed", reason)
