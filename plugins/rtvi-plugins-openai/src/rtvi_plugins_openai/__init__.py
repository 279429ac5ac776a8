"""OpenAI's and Together's chat models, and every server that speaks the same API, for `rtvi_plugins`."""

from __future__ import annotations

from .chat import OpenAILLM, connect

__all__ = ("OpenAILLM", "connect")
