"""What OpenAI's recognition and its voices have in common."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from rtvi_plugins.session import Secret
from rtvi_plugins_vendor import VendorHTTP

from .chat import connect

__all__ = ("KEY_PAGE", "connect_audio")

KEY_PAGE = "https://platform.openai.com/api-keys"


@asynccontextmanager
async def connect_audio(api_key: Secret, base_url: str, timeout: float) -> AsyncGenerator[VendorHTTP]:
    """Yield the HTTP client of a service, which knows OpenAI's errors."""
    async with connect("openai", api_key, base_url=base_url, timeout=timeout) as llm:
        yield llm.http
