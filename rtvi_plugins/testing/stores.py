"""Check a store of sessions against what `rtvi_plugins.resuming.SessionStore` promises."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from secrets import token_hex
from typing import Any

import anyio
import anyio.lowlevel
from attrs import define, field

from ..resuming import OWNER, Changes, Fenced, SessionStore

__all__ = ("check_store",)

_SECONDS = 60.0
_PROOF = "token/1"


async def check_store(open_store: Callable[[], SessionStore], *, expires: bool = True) -> None:
    """Check a store. Raise `AssertionError` with the promise that it breaks.

    `open_store` returns a store that was not entered yet. It is called several times: the stores share their records as
    those of several processes would. With `expires=False` it is not checked that a record disappears, which takes two
    seconds.
    """
    async with open_store() as one, open_store() as other:
        for check in _CHECKS:
            await check(_Case(one, other))
        if expires:
            await _expires(_Case(one, other))
    await _survives(open_store)


@define
class _Case:
    """Two stores as two processes have them, and a session that no other case uses."""

    one: SessionStore
    other: SessionStore
    session: str = field(factory=lambda: f"session-{token_hex(8)}")

    async def create(self, texts: Mapping[str, str] = {}, seconds: float = _SECONDS) -> None:
        """Create a record in epoch 1."""
        await self.one.write(self.session, 1, {OWNER: "one", _PROOF: "1", **texts}, seconds)

    async def is_fenced(self, store: SessionStore, epoch: int, changes: Changes | None = None) -> bool:
        """Return whether a write is refused."""
        try:
            await store.write(self.session, epoch, {"a": "written"} if changes is None else changes, _SECONDS)
        except Fenced:
            return True
        return False

    async def state(self) -> dict[str, str]:
        """Claim the record, and return its texts without the owner and the proof."""
        saved = await self.other.claim(self.session, "other", _PROOF)
        assert saved is not None, "claim() returns None for a record that exists"
        return {key: text for key, text in saved.state.items() if key not in (OWNER, _PROOF)}


async def _creates(case: _Case) -> None:
    assert await case.is_fenced(case.one, 1, {"a": "1"}), "a write without an owner creates a record"
    assert await case.is_fenced(case.one, 2, {OWNER: "one"}), "a write of epoch 2 creates a record"
    assert await case.is_fenced(case.one, 1, {OWNER: None}), "a write that removes the owner creates a record"
    assert await case.one.owner(case.session) is None, "owner() returns something for no record"
    assert await case.one.claim(case.session, "other", _PROOF) is None, "claim() returns something for no record"
    await case.create()
    assert await case.other.owner(case.session) == "one", "owner() does not return the text under OWNER"


async def _changes(case: _Case) -> None:
    text = 'Grüße, 你好, 🦆, \\ " \n \0 \x1a \x1a0 \x1a1'
    await case.create({"a": "1", "b": "2", "c": "3"})
    await case.one.write(case.session, 1, {"a": None, "b": text, "never-there": None, "m/0": ""}, _SECONDS)
    await case.one.write(case.session, 1, {}, _SECONDS)
    await case.one.write(case.session, 1, {text: "4", f"{text}5": "5"}, _SECONDS)  # clients choose a part of some keys
    await case.one.write(case.session, 1, {f"{text}5": None}, _SECONDS)
    expected = {"b": text, "c": "3", "m/0": "", text: "4"}
    assert await case.state() == expected, "writes do not put and remove the texts they should"


async def _large(case: _Case) -> None:
    texts = {f"m/{index}": f"{index} " + "x" * 2_000 for index in range(300)}
    await case.create(texts)
    assert await case.state() == texts, "a record of 600 kB comes back changed"


async def _fences(case: _Case) -> None:
    await case.create({"a": "1"})
    saved = await case.other.claim(case.session, "other", _PROOF)
    assert saved is not None, "claim() returns None for a record that exists"
    assert saved.session == case.session, "claim() returns the record of another session"
    assert saved.epoch == 2, "the epoch after the first claim is not 2"
    assert saved.state[OWNER] == "other", "claim() does not set the owner in what it returns"
    assert await case.is_fenced(case.one, 1), "the owner before may still write"
    assert await case.is_fenced(case.one, 1, {OWNER: "one"}), "the owner before may write its address again"
    assert not await case.is_fenced(case.other, 2, {"b": "2"}), "the new owner may not write"
    await case.one.forget(case.session, 1)
    assert await case.one.owner(case.session) == "other", "the owner before may forget the record, or owner() is old"
    again = await case.one.claim(case.session, "one", _PROOF)
    assert again is not None, "claim() returns None for a record that was claimed before"
    assert again.epoch == 3, "the epoch after the second claim is not 3"
    assert (again.state.get("a"), again.state.get("b")) == ("1", "2"), "a refused write has changed something"


async def _proves(case: _Case) -> None:
    await case.create()
    assert await case.other.claim(case.session, "other", "token/2") is None, "claim() accepts a proof that is not a key"
    assert not await case.is_fenced(case.one, 1), "a claim that was refused has changed the epoch"
    await case.one.write(case.session, 1, {_PROOF: None}, _SECONDS)
    assert await case.other.claim(case.session, "other", _PROOF) is None, "claim() accepts a proof that was removed"
    assert await case.one.owner(case.session) == "one", "a claim that was refused has changed the owner"


async def _orders(case: _Case) -> None:
    await case.create()
    async with anyio.create_task_group() as tasks:
        for number in range(100):
            tasks.start_soon(case.one.write, case.session, 1, {"last": str(number)}, _SECONDS)
            await anyio.lowlevel.checkpoint()
    assert await case.state() == {"last": "99"}, "concurrent writes of a session do not take effect in order"


async def _claims_once(case: _Case) -> None:
    await case.create()
    epochs: list[int] = []

    async def claim(store: SessionStore) -> None:
        saved = await store.claim(case.session, "somebody", _PROOF)
        assert saved is not None, "a concurrent claim returns None"
        epochs.append(saved.epoch)

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(claim, case.other if number % 2 else case.one)
    assert sorted(epochs) == list(range(2, 22)), "concurrent claims do not get an epoch each"


async def _is_concurrent(case: _Case) -> None:
    """Many sessions write at once, and each is fenced for itself."""
    await case.create()
    await case.other.claim(case.session, "other", _PROOF)
    others = [_Case(case.one, case.other) for _ in range(50)]
    fenced: list[bool] = []

    async def refused() -> None:
        fenced.append(await case.is_fenced(case.one, 1))

    async with anyio.create_task_group() as tasks:
        for each in others:
            tasks.start_soon(each.create)
            tasks.start_soon(refused)
    assert fenced == [True] * 50, "a write that is fenced is accepted among others"
    owners = [await case.other.owner(each.session) for each in others]
    assert owners == ["one"] * 50, "a write is lost among others that are fenced"


async def _isolates(case: _Case) -> None:
    """A text that a store may refuse, and others at the same time."""
    others = [_Case(case.one, case.other) for _ in range(20)]
    await case.create({"a": "1"})
    refused: list[Exception] = []

    async def write_half_a_character() -> None:
        try:
            await case.one.write(case.session, 1, {"a": "2", "b": "\ud800"}, _SECONDS)
        except Exception as error:
            refused.append(error)

    async with anyio.create_task_group() as tasks:
        for each in others[:10]:
            tasks.start_soon(each.create)
        tasks.start_soon(write_half_a_character)
        for each in others[10:]:
            tasks.start_soon(each.create)
    owners = [await case.other.owner(each.session) for each in others]
    assert owners == ["one"] * 20, "a write is lost because one of another session is refused"
    expected = {"a": "1"} if refused else {"a": "2", "b": "\ud800"}
    assert await case.state() == expected, "a write that is refused has changed something, or one that is not is lost"


async def _forgets(case: _Case) -> None:
    await case.create({"a": "1"})
    await case.one.forget(case.session, 2)
    assert await case.one.owner(case.session) == "one", "forget() removes a record of another epoch"
    await case.one.forget(case.session, 1)
    assert await case.other.owner(case.session) is None, "forget() does not remove the record"
    assert await case.other.claim(case.session, "other", _PROOF) is None, "a record that was forgotten can be claimed"
    assert await case.is_fenced(case.one, 1), "a record that was forgotten can be written"
    await case.create({"b": "2"})
    await case.other.claim(case.session, "other", _PROOF)
    assert await case.state() == {"b": "2"}, "a record has something of one that was forgotten"
    await case.one.forget(case.session)
    assert await case.other.owner(case.session) is None, "forget() without an epoch does not remove the record"
    await case.one.forget(case.session)


async def _reads(case: _Case) -> None:
    other = _Case(case.one, case.other)
    assert await case.one.read(case.session) is None, "read() returns something for no record"
    assert await case.one.read(case.session, ["a"]) is None, "read() of some keys returns something for no record"
    await case.create({"a": "1", "b\0 '\"": "2"})
    await other.create()
    listed = await case.other.sessions()
    assert len(listed) == len(set(listed)), "sessions() lists a session twice"
    assert {case.session, other.session} <= set(listed), "sessions() does not list every record"
    whole = {OWNER: "one", _PROOF: "1", "a": "1", "b\0 '\"": "2"}
    assert await case.other.read(case.session) == whole, "read() does not return all texts"
    some = await case.other.read(case.session, ["a", "b\0 '\"", "never-there"])
    assert some == {"a": "1", "b\0 '\"": "2"}, "read() does not return the texts under the keys"
    assert await case.other.read(case.session, ["never-there"]) == {}, "read() of no known key is not {}"
    assert not await case.is_fenced(case.one, 1), "read() has changed the epoch"
    await case.one.forget(case.session)
    assert case.session not in await case.other.sessions(), "sessions() lists a record that was forgotten"
    assert await case.other.read(case.session) is None, "read() returns a record that was forgotten"


_CHECKS: tuple[Callable[[_Case], Awaitable[None]], ...] = (
    _creates,
    _changes,
    _large,
    _fences,
    _proves,
    _orders,
    _claims_once,
    _is_concurrent,
    _isolates,
    _forgets,
    _reads,
)


async def _expires(case: _Case) -> None:
    renewed = _Case(case.one, case.other)
    for each in (case, renewed):
        await each.create(seconds=1.0)
    begun = time.monotonic()
    await renewed.one.write(renewed.session, 1, {"a": "1"}, _SECONDS)
    while await case.other.owner(case.session) is not None:
        assert time.monotonic() < begun + 5, "a record is still there long after its time"
        await anyio.sleep(0.05)
    assert time.monotonic() > begun + 0.9, "a record disappears before its time"
    assert await case.other.claim(case.session, "other", _PROOF) is None, "a record can be claimed after its time"
    assert await case.other.read(case.session) is None, "read() returns a record after its time"
    assert case.session not in await case.other.sessions(), "sessions() lists a record after its time"
    assert await case.other.owner(renewed.session) == "one", "a write does not keep the record for longer"


async def _survives(open_store: Callable[[], SessionStore]) -> None:
    """A record is there for the next process."""
    async with open_store() as store:
        case = _Case(store, store)
        await case.create({"a": "1"})
        durable: Any = store.durable
        assert isinstance(durable, bool), "durable is not a bool"
    async with open_store() as store:
        case = _Case(store, store, case.session)
        assert not durable or await case.state() == {"a": "1"}, "a durable record is lost when the store is left"
        await store.forget(case.session)
