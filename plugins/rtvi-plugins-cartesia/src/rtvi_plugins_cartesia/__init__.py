"""Cartesia's voices and speech recognition for `rtvi_plugins`."""

from __future__ import annotations
