"""What the STT and the TTS have in common."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Annotated, TypeAlias

from typing_extensions import Doc

from rtvi_plugins.errors import ProviderError
from rtvi_plugins.session import Secret
from rtvi_plugins_vendor import VendorWebSockets, connect_websockets

__all__ = ("KEY_PAGE", "PATH_OF_KEY", "PROVIDER", "OptOut", "connect", "failure", "is_flux")

PROVIDER = "deepgram"
KEY_PAGE = "https://console.deepgram.com"
#: It describes the key, and costs nothing.
PATH_OF_KEY = "v1/auth/token"
#: How the codes of errors begin that are about what was sent.
_REFUSED = ("SchemaError", "MESSAGE-", "DATA-", "BIG-")

OptOut: TypeAlias = Annotated[
    bool, Doc("Keep the data out of Deepgram's Model Improvement Program. It changes the price.")
]


def connect(api_key: Secret, base_url: str, timeout: float) -> AbstractAsyncContextManager[VendorWebSockets]:
    """Return the WebSockets of a service."""
    return connect_websockets(PROVIDER, api_key, base_url=base_url, key_scheme="Token", timeout=timeout)


def is_flux(model: object) -> bool:
    """Return whether a model is of the series Flux, which has other APIs: `v2/listen` and `v2/speak`."""
    return str(model).startswith("flux-")


def failure(code: object) -> ProviderError:
    """Return the failure that a message of the type `Error` reports, by its `variant` or `code`."""
    refused = str(code).startswith(_REFUSED)
    return ProviderError(PROVIDER, "bad-request" if refused else "unavailable")
