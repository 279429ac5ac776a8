"""How long tests wait for what must come: a guard against hanging, long enough for a machine that is busy."""

from __future__ import annotations

from typing import Final

__all__ = ("PATIENCE",)

#: In seconds. pytest's own limit, in pyproject.toml, is longer.
PATIENCE: Final = 60.0
