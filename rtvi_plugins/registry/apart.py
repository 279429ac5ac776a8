"""Import a plugin in a process of its own. One that hangs, ends its process or crashes affects nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, Final

from ..utils.diagnostics import shorten
from .installed import EntryPoint, Installed

__all__ = ("LONGEST_IMPORT", "find_entry", "run_apart")

#: A plugin that is not imported by then hangs, in seconds.
LONGEST_IMPORT: Final = 60.0


def run_apart(code: str, entry: EntryPoint, timeout: float = LONGEST_IMPORT) -> dict[str, Any] | str:
    """Run Python code that reads the `path` of this process and the entry point from stdin, as JSON.

    Return the JSON object that it prints, or why it has printed none.
    """
    sent = json.dumps({"path": sys.path, "name": entry.name, "distribution": entry.distribution})
    command = [sys.executable, "-c", code]
    try:
        done = subprocess.run(command, input=sent, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        return f"its import takes more than {timeout:g} seconds"
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        last = (done.stderr.strip().splitlines() or ["nothing on stderr"])[-1]
        return f"its import ended the process with exit code {done.returncode} ({shorten(last)})"
    return found


def find_entry(installed: Installed, sent: Mapping[str, Any]) -> EntryPoint:
    """Return the entry point that `run_apart` has sent, in the process that it has started."""
    return next(
        each for each in installed.entries if (each.name, each.distribution) == (sent["name"], sent["distribution"])
    )
