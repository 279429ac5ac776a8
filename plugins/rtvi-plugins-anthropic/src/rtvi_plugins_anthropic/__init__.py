"""Anthropic's Claude models for `rtvi_plugins`."""

from __future__ import annotations

from .messages import AnthropicLLM

__all__ = ("AnthropicLLM",)
