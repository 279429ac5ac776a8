"""Every installed LiveKit plugin (`livekit-plugins-*`) as a provider of `rtvi_plugins`."""

from __future__ import annotations

from .declare import livekit

__all__ = ("livekit",)
