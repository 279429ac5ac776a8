"""OpenAI's chat models, and those of others with the same API, for `rtvi_plugins`."""

from __future__ import annotations

from .chat import OpenAILLM, connect

__all__ = ("OpenAILLM", "connect")
