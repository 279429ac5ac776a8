"""How long tests wait for something that must happen. The limits are long enough for a busy machine."""

from __future__ import annotations

from typing import Final

__all__ = ("PATIENCE",)

#: In seconds. pytest's own limit, in pyproject.toml, is longer.
PATIENCE: Final = 60.0
