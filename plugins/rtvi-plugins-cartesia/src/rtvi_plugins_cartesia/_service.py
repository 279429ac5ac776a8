"""What the TTS and the STT have in common."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from rtvi_plugins.errors import ProviderError
from rtvi_plugins.session import Secret
from rtvi_plugins_vendor import VendorWebSockets, category_of_status, connect_websockets

__all__ = ("KEY_PAGE", "PATH_OF_KEY", "PROVIDER", "VERSION", "connect", "failure")

PROVIDER = "cartesia"
KEY_PAGE = "https://play.cartesia.ai/keys"
#: A list that costs nothing.
PATH_OF_KEY = "voices?limit=1"
#: The version of the API that this package was written for.
VERSION: Mapping[str, str] = {"Cartesia-Version": "2026-08-14"}


def connect(api_key: Secret, base_url: str, timeout: float) -> AbstractAsyncContextManager[VendorWebSockets]:
    """Return the WebSockets of a service."""
    return connect_websockets(PROVIDER, api_key, base_url=base_url, timeout=timeout)


def failure(message: Mapping[str, Any]) -> ProviderError:
    """Return the failure that a message of the type `error` reports."""
    status = message.get("status_code")
    return ProviderError(PROVIDER, category_of_status(status if isinstance(status, int) else 500))
