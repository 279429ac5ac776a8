"""AssemblyAI's speech recognition for `rtvi_plugins`."""

from __future__ import annotations
