"""Options that the services of most vendors have, and the parameters of a request that are made from options."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from typing import Annotated, Any, TypeAlias

from attrs.validators import gt, le
from typing_extensions import Doc

from rtvi_plugins.security import http_url

__all__ = ("BaseURL", "Extra", "Timeout", "parameters")

BaseURL: TypeAlias = Annotated[str, http_url, Doc("The URL of the API, without its version.")]
Timeout: TypeAlias = Annotated[
    float, gt(0), le(60), Doc("How long to wait for the connection, and for each message, in seconds.")
]
Extra: TypeAlias = Annotated[
    Mapping[str, Any] | None, Doc("Other parameters, with the vendor's names; null omits a parameter.")
]


def parameters(options: Mapping[str, Any], extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the parameters of a request. None and empty lists, objects and texts are left out."""
    return {name: value for name, value in {**options, **(extra or {})}.items() if not _is_empty(value)}


def _is_empty(value: object) -> bool:
    return value is None or (isinstance(value, Sized) and not len(value))
