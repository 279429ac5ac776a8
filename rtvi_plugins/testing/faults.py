"""What the conformance kit needs from a fake of a vendor, and the failures that it asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable

__all__ = ("FAULTS", "SCRIPTS", "UNFINISHED", "FakeVendor", "Vendor")


@runtime_checkable
class FakeVendor(Protocol):
    """A fake of a vendor, on this machine. `service_options` lead the provider to it, as in `{"base_url": "http://…"}`.

    Give the provider a short timeout there too, if it has one. `end_event` says whether the vendor's API marks the end
    of an answer, as with a last event. An answer of plain audio has none: it ends where the connection ends it.
    """

    service_options: Mapping[str, Any]
    end_event: bool

    def script(self, name: str, /) -> None:
        """Follow one of the `SCRIPTS` for all requests from now on."""
        ...

    async def wait_until_left(self) -> None:
        """Return when the provider has left the answer of the script "hang": closed its connection, or cancelled it."""
        ...


#: Opens a fake vendor for one check: an async context manager function without parameters.
Vendor: TypeAlias = Callable[[], AbstractAsyncContextManager[FakeVendor]]

#: What a fake vendor must be able to do.
SCRIPTS: Final[Mapping[str, str]] = {
    "answer": "answer the request",
    "401": "refuse the key, and quote it in the body, as vendors do",
    "402": "refuse, because the account has no credit",
    "429": "refuse, with retry-after",
    "400": "refuse the request",
    "500": "fail",
    "cut": "begin the answer, and cut the connection",
    "unfinished": "begin the answer, and end it without an error, but also without the vendor's end event",
    "malformed": "send an answer that is not in the vendor's format",
    "silent": "accept the request, and send nothing",
    "hang": "send the first piece of the answer, and then nothing until the provider leaves",
}

#: The rule of each failure, and the categories that it may have.
FAULTS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "401": ("P221", ("auth",)),
    "402": ("P222", ("quota",)),
    "429": ("P223", ("rate",)),
    "400": ("P224", ("bad-request",)),
    "500": ("P225", ("unavailable",)),
    "cut": ("P226", ("unavailable",)),
    "malformed": ("P227", ("unavailable", "bad-request")),
    "silent": ("P228", ("timeout",)),
}

#: The failure of which only a vendor with an end event is capable.
UNFINISHED: Final = ("unfinished", "P232", ("unavailable",))
