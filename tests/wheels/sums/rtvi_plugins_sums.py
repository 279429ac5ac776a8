"""An action for any bot."""

from __future__ import annotations

import os
from pathlib import Path

from rtvi_plugins import action

Path(os.environ["IMPORTED"], __name__).touch()


@action("bot")
async def add(numbers: list[int]) -> int:
    """Return the sum of these numbers."""
    return sum(numbers)
