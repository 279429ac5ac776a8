"""Google's Gemini models for `rtvi_plugins`."""

from __future__ import annotations

from .gemini import GoogleLLM

__all__ = ("GoogleLLM",)
