"""The command line with which this process was started, for a child that does the same."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

__all__ = ("run_again",)

#: As this process was started: `python -m` would put the working folder in front.
_PYTHON: Final = (sys.executable, *(("-P",) if sys.path[:1] not in ([""], [str(Path.cwd())]) else ()))


def run_again(argv: Sequence[str]) -> list[str]:
    """Return the command of a child that runs `rtvi run` with these words."""
    traceback = ["--traceback"] if "--traceback" in sys.argv else []
    return [*_PYTHON, "-m", "rtvi_plugins", *traceback, "run", *argv]
