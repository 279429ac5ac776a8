"""What this transport refuses, with the HTTP status that makes a published client do the right thing.

A 4xx makes it give up at once, a 5xx or a broken connection makes it repeat the offer up to three times.
"""

from __future__ import annotations

from rtvi_plugins.errors import RequestError, UnknownSession

__all__ = ("InvalidOffer", "NeedsAsyncio", "NoNetwork", "NoSuchSession")


class InvalidOffer(RequestError):
    """The offer or the candidates cannot be read, or describe a connection that RTVI cannot run over."""

    code = "invalid-offer"


class NoSuchSession(UnknownSession):
    """No session has this id, or its peer connection has another one."""

    status = 404


class NoNetwork(RequestError):
    """This machine has no address that a peer could reach."""

    code = "no-network"
    status = 503


class NeedsAsyncio(RequestError):
    """The app runs on an event loop other than asyncio."""

    code = "needs-asyncio"
    status = 501
