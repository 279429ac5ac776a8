"""What a process pays before it does anything: the import, and the command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from installed import folder_of
from measure import process_ms
from table import Rounds, Row, middle, over

IMPORT_MS, HELP_MS, PLUGINS_MS = 60.0, 150.0, 50.0

_SCRIPT = Path(sys.executable).with_name("rtvi")
_RTVI = [str(_SCRIPT)] if _SCRIPT.exists() else [sys.executable, "-m", "rtvi_plugins"]


def _python(code: str) -> dict[str, float]:
    return {"ms": process_ms([sys.executable, "-c", code])}


def _rtvi(*words: str) -> dict[str, float]:
    return {"ms": process_ms([*_RTVI, *words])}


def _listing(*, load: bool) -> dict[str, float]:
    with folder_of(plugins=100, others=0) as folder:
        return {"ms": process_ms([*_RTVI, "plugins", *(["--load"] if load else [])], PYTHONPATH=_path(folder))}


def _path(folder: str) -> str:
    return os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))


CASES: dict[str, Callable[[], dict[str, float]]] = {
    "bare": lambda: _python("pass"),
    "import": lambda: _python("import rtvi_plugins"),
    "hosting": lambda: _python("import rtvi_plugins.hosting"),
    "help": lambda: _rtvi("--help"),
    "plugins": lambda: _listing(load=False),
    "plugins, loaded": lambda: _listing(load=True),
}


def rows(rounds: Rounds) -> list[Row]:
    listing = over(rounds, "plugins", "help", "ms")
    return [
        Row("import rtvi_plugins, over a bare interpreter", over(rounds, "import", "bare", "ms"), "ms", IMPORT_MS),
        Row("import rtvi_plugins.hosting, over a bare interpreter", over(rounds, "hosting", "bare", "ms"), "ms"),
        Row("rtvi --help", middle(rounds, "help", "ms"), "ms", HELP_MS),
        Row("rtvi plugins with 100 installed, over --help", listing, "ms", PLUGINS_MS),
        Row("the same with --load, over --help", over(rounds, "plugins, loaded", "help", "ms"), "ms"),
    ]
