"""What the STT and the TTS have in common."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Annotated, TypeAlias

from typing_extensions import Doc

from rtvi_plugins.errors import ProviderError
from rtvi_plugins.session import Secret
from rtvi_plugins_vendor import VendorWebSockets, connect_websockets

__all__ = ("KEY_PAGE", "PATH_OF_KEY", "PROVIDER", "OptOut", "connect", "failure")

PROVIDER = "deepgram"
KEY_PAGE = "https://console.deepgram.com"
#: It describes the key, and costs nothing.
PATH_OF_KEY = "v1/auth/token"

OptOut: TypeAlias = Annotated[
    bool, Doc("Keep the data out of Deepgram's Model Improvement Program. It changes the price.")
]


def connect(api_key: Secret, base_url: str, timeout: float) -> AbstractAsyncContextManager[VendorWebSockets]:
    """Return the WebSockets of a service."""
    return connect_websockets(PROVIDER, api_key, base_url=base_url, key_scheme="Token", timeout=timeout)


def failure(variant: object) -> ProviderError:
    """Return the failure that a message of the type `Error` reports, by its `variant`."""
    return ProviderError(PROVIDER, "bad-request" if variant == "SchemaError" else "unavailable")
