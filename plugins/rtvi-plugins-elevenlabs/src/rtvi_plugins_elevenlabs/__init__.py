"""ElevenLabs' voices for `rtvi_plugins`."""

from __future__ import annotations
