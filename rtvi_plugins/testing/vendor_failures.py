"""Let a fake vendor fail in every way, and check how the provider reacts.

A `FakeVendor` is what the conformance kit needs from the fake of a vendor, and the `FAULTS` are the failures that it
asks for.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, Final, Protocol, TypeAlias, get_args, runtime_checkable

import anyio
from attrs import define

from ..client import Client
from ..declare.specs import ProviderSpec
from ..errors import ProviderCategory, ProviderError, RequestError
from ..kinds import ListeningSTT
from ..utils.error_texts import unwrap_group
from ..utils.plugin_calls import reraise_control_flow
from .damaged_answers import ChangesMessages, Damage, DamagedAnswers
from .interruptions import describe_failure
from .key_leaks import error_shows_key
from .operations import CONVERSING, LISTENING, OPERATIONS, Conversation, Operation, Talk
from .results import Findings
from .streams import first_piece

__all__ = ("FAULTS", "SCRIPTS", "UNFINISHED", "FakeVendor", "Vendor", "VendorCheck")


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


#: An answer with a damaged field may have any of them, because the field may be the status of an error.
_ALL_CATEGORIES: Final = get_args(ProviderCategory)

#: How long a provider may take to notice a failure, and to leave a vendor, in seconds.
_NOTICE_SECONDS: Final = 5.0

_LEAVE_SECONDS: Final = 2.0

#: The longest time that a fake vendor asks to wait, in seconds.
_LONGEST_WAIT: Final = 3600.0


@define
class VendorCheck:
    """The check of one provider against its failing vendor."""

    vendor: Vendor
    open: Callable[[Mapping[str, Any]], AbstractAsyncContextManager[tuple[Client, Any]]]
    findings: Findings
    spec: ProviderSpec

    async def run(self) -> None:
        """Try each failure, and an interruption."""
        operation = OPERATIONS.get(self.spec.kind)
        if operation is None:
            return
        async with anyio.create_task_group() as tasks:  # a silent vendor leaves the processor idle
            tasks.start_soon(self._damage_answers, operation)
            await self._fail_in_every_way(operation)
        has_end_event = await self._end_early(operation)
        can_listen = await self._interrupt(operation)
        if can_listen and not self.findings.broken.keys() & {"P201", "P202", "P241"}:
            await self._interrupt(LISTENING)
            await self._cut_while_listening()
            if has_end_event and "P242" not in self.findings.broken:
                await self._end_early_while_listening()

    async def _fail_in_every_way(self, operation: Operation) -> None:
        for script, (rule, categories) in FAULTS.items():
            self.findings.tried(rule)
            await self._fail(operation, script, rule, categories)
        if "P228" not in self.findings.broken:  # a vendor can also fall silent later
            await self._fail(operation, "hang", FAULTS["silent"][0], ("timeout", "unavailable"))

    async def _end_early(self, operation: Operation) -> bool:
        """End an answer before its end event. Return whether the API of the vendor has one."""
        script, rule, categories = UNFINISHED
        async with self.vendor() as fake:
            end_event: bool | None = getattr(fake, "end_event", None)  # an older fake does not have it
        if end_event is None:
            self.findings.skipped[rule] = "the fake of the vendor does not say whether an answer has an end event"
        elif end_event:
            self.findings.tried(rule)
            await self._fail(operation, script, rule, categories)
        return bool(end_event)

    async def _fail(self, operation: Operation, script: str, rule: str, categories: tuple[str, ...]) -> None:
        for _ in range(2):  # a machine that is too busy looks like a provider that waits, but not twice
            if await self._is_noticed(operation, script, rule, categories):
                return
        self.findings.found(rule, f"it has not noticed the failure within {_NOTICE_SECONDS:g} s")

    async def _is_noticed(self, operation: Operation, script: str, rule: str, categories: tuple[str, ...]) -> bool:
        """Return whether a failure becomes an exception in time. Judge that exception."""
        async with self.vendor() as fake:
            fake.script(script)
            try:
                with anyio.move_on_after(_NOTICE_SECONDS):
                    async with self.open(fake.service_options) as (_, live):
                        await self._expect(operation, live, rule, categories)
                    return True
            except RequestError as error:  # the service did not open
                self._judge(error, rule, categories)
                return True
        return False

    async def _expect(self, operation: Operation, live: Any, rule: str, categories: tuple[str, ...]) -> None:
        try:
            count = len([piece async for piece in operation.start(live)])
        except BaseException as error:
            reraise_control_flow(error, anyio.get_cancelled_exc_class())
            self._judge(error, rule, categories)
        else:
            self.findings.found(rule, f"it raises nothing, and yields {count} pieces")

    async def _damage_answers(self, operation: Operation) -> None:
        """Damage good answers, one field at a time, if the fake of the vendor can do so."""
        rule, _ = FAULTS["malformed"]
        async with self.vendor() as fake:
            if not isinstance(fake, ChangesMessages):
                return
            fake.script("answer")
            listens = False

            @asynccontextmanager
            async def opened() -> AsyncGenerator[Any]:
                nonlocal listens
                async with self.open(fake.service_options) as (_, live):
                    listens = isinstance(live, ListeningSTT)
                    yield live

            def judge(error: BaseException, damage: Damage) -> bool:
                self._judge(error, rule, _ALL_CATEGORIES, f"after {damage}, ")
                return rule not in self.findings.broken

            await DamagedAnswers(fake, opened, _called_once(operation), judge).run()
            if listens:
                await DamagedAnswers(fake, opened, _called_once(LISTENING), judge).run()

    def _judge(self, raised: BaseException, rule: str, categories: Collection[str], when: str = "") -> None:
        if error_shows_key(raised):
            self.findings.found("P210", f"{type(raised).__name__} shows the key, in its text or its traceback")
        error = unwrap_group(raised)
        category = _category(error)
        if isinstance(error, ProviderError) and category == "rate" and rule == FAULTS["429"][0]:
            self.findings.tried("P230")
            if error.retry_after is None:
                self.findings.found("P230", "its retry_after is None, and the vendor has sent retry-after")
            elif not 0 < error.retry_after <= _LONGEST_WAIT:
                self.findings.found("P230", f"its retry_after is {error.retry_after:g}, which cannot be seconds")
        if category is None:
            self.findings.found(rule, f"{when}{describe_failure(error)}, which is not a ProviderError")
        elif category not in categories:
            self.findings.found(rule, f"its category is {category}, not {' or '.join(categories)}")

    async def _interrupt(self, operation: Operation) -> bool:
        """Close a stream whose vendor continues. Return whether the service can also `listen`."""
        self.findings.tried("P203", "P229")
        async with self._opened("hang") as (fake, live):
            stream = operation.start(live)
            if not await first_piece(stream):
                self.findings.found("P203", "the vendor has sent a piece and continues, and the provider yields none")
                return False
            with anyio.CancelScope(shield=True):
                await stream.aclose()
            with anyio.move_on_after(_LEAVE_SECONDS) as patience:
                await fake.wait_until_left()
            if patience.cancelled_caught:
                what = f"{_LEAVE_SECONDS:g} s after the stream was closed, the vendor still waits"
                self.findings.found("P229", what)
            return isinstance(live, ListeningSTT)

    @asynccontextmanager
    async def _opened(self, script: str) -> AsyncGenerator[tuple[FakeVendor, Any]]:
        """Open the provider at a fake that follows a script."""
        async with self.vendor() as fake:
            fake.script(script)
            async with self.open(fake.service_options) as (_, live):
                yield fake, live

    async def _cut_while_listening(self) -> None:
        """Cut the connection of `listen`, and call it again."""
        self.findings.tried("P242")
        with suppress(RequestError):  # the service may fail to open
            async with self._opened("cut") as (fake, live):
                if (problem := await self._listen(live)) is None:
                    self.findings.found("P242", "it raises nothing when its connection is cut")
                elif not isinstance(problem, ProviderError):
                    what = f"it raises {type(problem).__name__}, not a ProviderError, when its connection is cut"
                    self.findings.found("P242", what)
                else:
                    fake.script("answer")
                    if (problem := await self._listen(live)) is not None:
                        self.findings.found("P242", f"called again, {describe_failure(problem)}")

    async def _end_early_while_listening(self) -> None:
        script, rule, _ = UNFINISHED
        with suppress(RequestError):  # the service may fail to open
            async with self._opened(script) as (_, live):
                problem = await self._listen(live)
                if not isinstance(problem, ProviderError):
                    what = "nothing" if isinstance(problem, TimeoutError | None) else type(problem).__name__
                    self.findings.found(rule, f"`listen` raises {what}")

    async def _listen(self, live: Any) -> BaseException | None:
        """Call `listen`. Return why it has not settled both utterances."""
        conversation = Conversation()
        try:
            with anyio.fail_after(_NOTICE_SECONDS):
                async for _ in LISTENING.start(live, conversation):
                    pass
        except BaseException as error:
            reraise_control_flow(error, anyio.get_cancelled_exc_class())
            return unwrap_group(error)
        return None if conversation.is_over else TimeoutError()


def _called_once(operation: Operation) -> Callable[[Any], AsyncIterator[Any]]:
    """Return a function that calls an operation with the shortest request that is answered."""
    requests: Mapping[str, Callable[[], Any]] = {
        LISTENING.method: lambda: Conversation(utterances=1),
        CONVERSING.method: lambda: Talk(turns=1),
    }
    request = requests.get(operation.method, operation.request)
    return lambda live: operation.start(live, request())


def _category(error: BaseException) -> str | None:
    """Return the category of a failure. A service that did not open has only the sentence of its failure."""
    if isinstance(error, ProviderError):
        return error.category
    sentences = {each: str(ProviderError("", each)).strip() for each in get_args(ProviderCategory)}
    found = [each for each, sentence in sentences.items() if sentence in str(error)]
    return found[0] if isinstance(error, RequestError) and found else None
