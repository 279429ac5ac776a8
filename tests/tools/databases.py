"""Real database servers on this machine, started as the tests of the stores' own distributions start them."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = ("store_in",)

_PLUGINS = Path(__file__).parents[2] / "plugins"


def store_in(folder: Path, kind: str) -> AbstractContextManager[str]:
    """Return the value of `--resume`: a SQLite file, or the URL of a server that runs during the block."""
    match kind:
        case "redis":
            server = _module("redis")
            return _serving(server, folder, server.free_port())
        case "postgres":
            return _serving(_module("postgres"))
        case _:
            return nullcontext(str(folder / "sessions.db"))


def _module(name: str) -> Any:
    folder = str(_PLUGINS / f"rtvi-plugins-{name}" / "tests")
    if folder not in sys.path:
        sys.path.append(folder)
    return import_module(f"{name}_server")


def _serving(server: Any, *arguments: Any) -> AbstractContextManager[str]:
    serving: AbstractContextManager[str] = server.serving(*arguments)
    return serving
