"""A vendor for the conformance kit: it answers and fails over HTTP as `rtvi_plugins.testing.SCRIPTS` say.

::

    def acme_vendor() -> AbstractAsyncContextManager[ScriptedVendor]:
        return scripted_vendor("/v1/chat", [FIRST_EVENT, OTHER_EVENTS], refuse=refusal, base="/v1")

    await check_providers(acme, vendor=acme_vendor)
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from attrs import define, field

from .testing import Answer, FakeRequest, FakeVendor, fake_vendor

__all__ = ("EVENT_STREAM", "ScriptedVendor", "scripted_vendor")

#: The headers of server-sent events.
EVENT_STREAM: Mapping[str, str] = {"content-type": "text/event-stream"}
_REFUSALS = (401, 402, 429, 400, 500)
#: The kit takes a new task of an open connection, which is the vendor's, for one that the provider left behind.
_LAST = {"connection": "close"}


@define(eq=False)
class ScriptedVendor:
    """A fake vendor that follows one script. It has the members that `check_providers` needs."""

    vendor: FakeVendor
    service_options: Mapping[str, Any]
    _path: str
    _answers: Mapping[str, Answer] = field(repr=False)

    def script(self, *names: str) -> None:
        """Follow these scripts, one for each request from now on. The last one stays."""
        self.vendor.on(self._path, *(self._answers[each] for each in names))

    async def wait_until_left(self) -> None:
        """Return when the client has left the last request."""
        await self.vendor.requests[-1].outcome()


@asynccontextmanager
async def scripted_vendor(
    path: str,
    parts: Sequence[bytes],
    *,
    refuse: Callable[[int, FakeRequest], object],
    headers: Mapping[str, str] = EVENT_STREAM,
    malformed: bytes = b"data: no JSON\n\n",
    base: str = "",
    timeout: float = 0.4,
) -> AsyncGenerator[ScriptedVendor]:
    """Run a vendor that answers at `path` with `parts`.

    - `parts`: the answer. The first part must contain the first piece, and not the whole answer.
    - `refuse`: returns the JSON of a refusal from its status. Quote the key of the request in it, as vendors do.
    - `headers`: the headers of the answer. `malformed` is its body in the script of this name.
    - `base`, `timeout`: the service option `base_url` is the URL of the vendor and `base`; `timeout` is in seconds.
    """
    async with fake_vendor() as vendor:
        headers = {**headers, **_LAST}
        answers = {
            "answer": Answer(parts=parts, headers=headers),
            "cut": Answer(parts=parts[:1], headers=headers, end="cut"),
            "malformed": Answer(parts=[malformed], headers=headers),
            "silent": Answer(wait=math.inf),
            "hang": Answer(parts=parts[:1], headers=headers, end="hang"),
            **{str(status): _refusal(status, refuse) for status in _REFUSALS},
        }
        scripted = ScriptedVendor(vendor, {"base_url": vendor.url + base, "timeout": timeout}, path, answers)
        scripted.script("answer")
        yield scripted


def _refusal(status: int, refuse: Callable[[int, FakeRequest], object]) -> Answer:
    headers = {"retry-after": "7"} if status == 429 else {}
    return Answer(status, json=lambda request: refuse(status, request), headers={**headers, **_LAST})
