"""What the STT and the TTS have in common: the service options, and how a vendor's message becomes a failure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any, TypeAlias

from attrs.validators import gt, le
from typing_extensions import Doc

from rtvi_plugins.errors import ProviderError
from rtvi_plugins.security import http_url
from rtvi_plugins.session import Secret
from rtvi_plugins_vendor import VendorWebSockets, connect_websockets

__all__ = (
    "KEY_PAGE",
    "PATH_OF_KEY",
    "PROVIDER",
    "BaseURL",
    "Extra",
    "OptOut",
    "Timeout",
    "connect",
    "failure",
    "parameters",
)

PROVIDER = "deepgram"
KEY_PAGE = "https://console.deepgram.com"
#: It describes the key, and costs nothing.
PATH_OF_KEY = "v1/auth/token"

BaseURL: TypeAlias = Annotated[str, http_url, Doc("The URL of the API, without its version.")]
Timeout: TypeAlias = Annotated[
    float, gt(0), le(60), Doc("How long to wait for the connection, and for each message, in seconds.")
]
OptOut: TypeAlias = Annotated[
    bool, Doc("Keep the data out of Deepgram's Model Improvement Program. It changes the price.")
]
Extra: TypeAlias = Annotated[
    Mapping[str, Any] | None, Doc("Other parameters, with the vendor's names; null omits a parameter.")
]


def connect(api_key: Secret, base_url: str, timeout: float) -> AbstractAsyncContextManager[VendorWebSockets]:
    """Return the WebSockets of a service."""
    return connect_websockets(PROVIDER, api_key, base_url=base_url, key_scheme="Token", timeout=timeout)


def failure(variant: object) -> ProviderError:
    """Return the failure that a message of the type `Error` reports, by its `variant`."""
    return ProviderError(PROVIDER, "bad-request" if variant == "SchemaError" else "unavailable")


def parameters(options: Mapping[str, Any], extra: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the parameters of a connection. Options without a value are left to the vendor."""
    found = {**options, **(extra or {})}
    return {name: value for name, value in found.items() if value is not None and not _is_empty(value)}


def _is_empty(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and not value
