"""Building blocks for providers of `rtvi_plugins` that call a vendor over HTTP."""

from __future__ import annotations

from .failures import StatusError, category_of_close, category_of_status, retry_after, transport_failures
from .http import Retry, VendorHTTP, VendorResponse, connect_http

__all__ = (
    "Retry",
    "StatusError",
    "VendorHTTP",
    "VendorResponse",
    "category_of_close",
    "category_of_status",
    "connect_http",
    "retry_after",
    "transport_failures",
)
