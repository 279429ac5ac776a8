"""What OpenAI's recognition and its voices have in common."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from rtvi_plugins.session import Secret
from rtvi_plugins_vendor import Retry, VendorHTTP, connect_http

from ._failures import categorize

__all__ = ("KEY_PAGE", "connect_audio")

KEY_PAGE = "https://platform.openai.com/api-keys"


def connect_audio(api_key: Secret, base_url: str, timeout: float) -> AbstractAsyncContextManager[VendorHTTP]:
    """Yield the HTTP client of a service, which knows OpenAI's errors."""
    # The framework asks again itself, and at once, or asks another provider.
    return connect_http(
        "openai", api_key, base_url=base_url, timeout=timeout, categorize=categorize, retry=Retry(times=0)
    )
