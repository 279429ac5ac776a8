"""Let a fake vendor fail in every way, and see what the provider makes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, get_args

import anyio
from attrs import define

from ..client import Client
from ..declare.specs import ProviderSpec
from ..errors import ProviderCategory, ProviderError, RequestError
from ..utils.control_flow import reraise_control_flow
from ..utils.diagnostics import unwrap_group
from .faults import FAULTS, Vendor
from .operations import OPERATIONS, Operation
from .streams import Found, describe_failure, first_piece
from .visible import error_shows_key

__all__ = ("VendorCheck",)

#: How long a provider may take to notice a failure, and to leave a vendor, in seconds.
_NOTICE_SECONDS: Final = 5.0
_LEAVE_SECONDS: Final = 2.0


@define
class VendorCheck:
    """The check of one provider against its failing vendor."""

    vendor: Vendor
    open: Callable[[Mapping[str, Any]], AbstractAsyncContextManager[tuple[Client, Any]]]
    found: Found
    spec: ProviderSpec

    async def run(self) -> None:
        """Try each failure, and an interruption."""
        operation = OPERATIONS.get(self.spec.kind)
        if operation is None:
            return
        for script, (rule, categories) in FAULTS.items():
            await self._fail(operation, script, rule, categories)
        await self._interrupt(operation)

    async def _fail(self, operation: Operation, script: str, rule: str, categories: tuple[str, ...]) -> None:
        async with self.vendor() as fake:
            fake.script(script)
            try:
                with anyio.move_on_after(_NOTICE_SECONDS):
                    async with self.open(fake.service_options) as (_, live):
                        await self._expect(operation, live, rule, categories)
                    return
            except RequestError as error:  # the service did not open
                self._judge(error, rule, categories)
                return
        self.found(rule, f"it has not noticed the failure within {_NOTICE_SECONDS:g} s")

    async def _expect(self, operation: Operation, live: Any, rule: str, categories: tuple[str, ...]) -> None:
        try:
            count = len([piece async for piece in operation.start(live)])
        except BaseException as error:
            reraise_control_flow(error, anyio.get_cancelled_exc_class())
            self._judge(error, rule, categories)
        else:
            self.found(rule, f"it raises nothing, and yields {count} pieces")

    def _judge(self, raised: BaseException, rule: str, categories: tuple[str, ...]) -> None:
        if error_shows_key(raised):
            self.found("P210", f"{type(raised).__name__} shows the key, in its text or its traceback")
        error = unwrap_group(raised)
        category = _category(error)
        if category is None:
            self.found(rule, f"{describe_failure(error)}, which is no ProviderError")
        elif category not in categories:
            self.found(rule, f"its category is {category}, not {' or '.join(categories)}")

    async def _interrupt(self, operation: Operation) -> None:
        async with self.vendor() as fake:
            fake.script("hang")
            async with self.open(fake.service_options) as (_, live):
                stream = operation.start(live)
                if not await first_piece(stream):
                    self.found("P203", "the vendor has sent a piece and goes on, and the provider yields none")
                    return
                with anyio.CancelScope(shield=True):
                    await stream.aclose()
                with anyio.move_on_after(_LEAVE_SECONDS) as patience:
                    await fake.wait_until_left()
                if patience.cancelled_caught:
                    self.found("P229", f"{_LEAVE_SECONDS:g} s after the stream was closed, the vendor still waits")


def _category(error: BaseException) -> str | None:
    """Return the category of a failure. A service that did not open has only the sentence of its failure."""
    if isinstance(error, ProviderError):
        return error.category
    sentences = {each: str(ProviderError("", each)).strip() for each in get_args(ProviderCategory)}
    found = [each for each, sentence in sentences.items() if sentence in str(error)]
    return found[0] if isinstance(error, RequestError) and found else None
