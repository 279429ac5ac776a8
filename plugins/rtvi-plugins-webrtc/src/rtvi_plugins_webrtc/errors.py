"""The errors of this transport, with the HTTP status that makes a published client do the right thing.

After a 4xx it gives up at once. After a 5xx or a broken connection it repeats the offer up to three times.
"""

from __future__ import annotations

from rtvi_plugins.errors import RequestError, UnknownSession

__all__ = ("InvalidOffer", "NeedsAsyncio", "NoNetwork", "NoSuchSession")


class InvalidOffer(RequestError):
    """The offer or the candidates are invalid, or RTVI cannot run over the connection that they describe."""

    code = "invalid-offer"


class NoSuchSession(UnknownSession):
    """No session has this id, or its peer connection has another id."""

    status = 404


class NoNetwork(RequestError):
    """This machine has no network address for WebRTC."""

    code = "no-network"
    status = 503


class NeedsAsyncio(RequestError):
    """The app runs on an event loop other than asyncio."""

    code = "needs-asyncio"
    status = 501
