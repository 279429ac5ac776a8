"""A resume that fails changes nothing: the owner of the session continues, and the client may try again."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Collection, Generator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from attrs import define, field

from rtvi_plugins import LLM, Session, action, bot, converse
from rtvi_plugins.errors import RequestError
from rtvi_plugins.hosting import Host, Limits, ManualClock
from rtvi_plugins.resuming import MemoryStore, SessionStore
from rtvi_plugins.session import Secret
from rtvi_plugins.stores import open_store

from ..fakes.providers import Fakes
from ..fakes.visitor import Visitor, visitor
from ..fakes.wire import OPERATOR, settle
from ..tools.databases import store_in

pytestmark = pytest.mark.anyio


@define
class Notes:
    """The notes of a client."""

    texts: list[str] = field(factory=list[str])


@bot(services={"llm": "scripted"}, client=["bot:note"], state=Notes, public=True)
async def noter(session: Session[Notes], /, llm: LLM) -> None:
    """A bot that keeps notes."""
    await converse(session, llm=llm)


@action(noter)
async def note(session: Session[Notes], /, text: str) -> list[str]:
    """Keep a note, and return all notes."""
    session.state.texts.append(text)
    return session.state.texts


class Unreachable(Fakes):
    """Providers that cannot be opened in this process."""

    @asynccontextmanager
    async def opening(self, name: str) -> AsyncGenerator[None]:
        """Fail."""
        await anyio.lowlevel.checkpoint()
        if name:
            raise ConnectionError(name)
        yield


def host(store: SessionStore, *, address: str, limits: Limits | None = None, reaches: bool = True) -> Host:
    """A host, as one process has it."""
    secret = Secret(OPERATOR)
    return Host(
        noter,
        modules=[Fakes() if reaches else Unreachable()],
        clock=ManualClock(),
        environ={},
        operator_secret=secret,
        store=store,
        address=address,
        limits=limits,
    )


@pytest.fixture(
    scope="module",
    params=[
        "memory",
        "sqlite",
        pytest.param("redis", marks=pytest.mark.slow),
        pytest.param("postgres", marks=pytest.mark.slow),
    ],
)
def make_store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Callable[[], SessionStore]]:
    """Makes stores that share their records."""
    if request.param == "memory":
        store = MemoryStore()
        yield lambda: store
        return
    with store_in(tmp_path_factory.mktemp("store"), request.param) as place:
        yield lambda: open_store(place, environ={})


async def refusal(client: Visitor, where: Host) -> RequestError:
    """Return the error with which a resume is refused."""
    with pytest.raises(RequestError) as raised:
        await where.start({"resume": client.token}, secret=OPERATOR)
    return raised.value


async def test_a_service_that_does_not_open(make_store: Callable[[], SessionStore]) -> None:
    """The owner, which only seemed to be lost, continues. Then a third process resumes it with the same token."""
    async with (
        host(make_store(), address="one") as one,
        host(make_store(), address="two", reaches=False) as two,
        host(make_store(), address="three") as three,
        visitor() as client,
    ):
        await start(client, one)
        assert await result(client, "a") == ["a"]
        for _ in range(2):
            error = await refusal(client, two)
            assert (error.code, error.retryable) == ("start-failed", True)
        assert await two.owner_of({"resume": client.token}) == "one"
        assert await result(client, "b") == ["a", "b"]
        assert two.open_sessions == 0
        await resume(client, three)
        assert await result(client, "c") == ["a", "b", "c"]


async def test_a_record_that_cannot_be_read(make_store: Callable[[], SessionStore]) -> None:
    """It may be from another release. Nothing is claimed, and a process that can read it resumes it."""
    store = make_store()
    async with host(make_store(), address="one") as one, host(store, address="two") as two, visitor() as client:
        await start(client, one)
        id = client.token.partition(".")[0]
        saved = await store.read(id, ["start", "inputs"])
        assert saved is not None
        for key in saved:
            await store.write(id, 1, {key: "[from the future]"}, 60)
            error = await refusal(client, two)
            assert (error.code, error.retryable) == ("start-failed", True)
            await store.write(id, 1, {key: saved[key]}, 60)
        assert await result(client, "a") == ["a"]
        await resume(client, two)
        assert await result(client, "b") == ["a", "b"]


async def test_a_start_that_another_release_refuses(caplog: pytest.LogCaptureFixture) -> None:
    """The log says why, the client may try again elsewhere, and it reads nothing of what only the operator may send."""
    store = MemoryStore()
    async with host(store, address="one") as one, host(store, address="two") as two, visitor() as client:
        await start(client, one)
        id = client.token.partition(".")[0]
        sent = {"body": {"service_options": {"llm.scripted": {"region": "eu"}}}, "trusted": True}
        await store.write(id, 1, {"start": json.dumps(sent)}, 60)
        error = await refusal(client, two)
        assert (error.code, error.retryable) == ("start-failed", True)
        assert "region" not in json.dumps(error.to_json())
        assert await result(client, "a") == ["a"]
    (line,) = caplog.messages
    assert line.startswith(f"session {id} cannot be resumed, its start request is refused: ")
    assert "region" in line


@pytest.mark.parametrize("full", [True, False])
async def test_a_process_that_admits_nobody(full: bool) -> None:
    """The process has reached its limit of sessions, or is ending."""
    store = MemoryStore()
    async with (
        host(store, address="one") as one,
        host(store, address="two", limits=Limits(sessions=1)) as two,
        visitor() as client,
        visitor() as other,
    ):
        await start(client, one)
        await start(other, two)
        if not full:
            two.drain()
        error = await refusal(client, two)
        assert (error.code, error.retryable) == ("server-full" if full else "draining", True)
        assert await result(client, "a") == ["a"]


class Late(MemoryStore):
    """Calls a function after a record was read, as if another process wrote to it meanwhile."""

    then: Callable[[], Any] | None = None
    reads = 0

    async def read(self, session: str, keys: Collection[str] | None = None) -> Mapping[str, str] | None:
        """Read, and let the other process write."""
        found = await super().read(session, keys)
        self.reads += 1
        if self.then is not None:
            then, self.then = self.then, None
            await then()
        return found


async def test_an_owner_that_writes_until_the_claim() -> None:
    """No write is lost: the resume starts again, and reads the record that the owner has written last."""
    store = Late()
    async with host(store, address="one") as one, host(store, address="two") as two, visitor() as client:
        await start(client, one)
        store.then = lambda: result(client, "a")
        await resume(client, two)
        assert store.reads == 2
        assert await result(client, "b") == ["a", "b"]


class Down(MemoryStore):
    """A store that does not answer, or does not answer reads."""

    reads = False

    async def read(self, session: str, keys: Collection[str] | None = None) -> Mapping[str, str] | None:
        """Fail."""
        if self.reads:
            return await super().read(session, keys)
        raise OSError("no route to the store")

    async def claim(self, session: str, owner: str, proof: str) -> Any:
        """Fail."""
        raise OSError("no route to the store")


async def test_a_store_that_is_down_is_reported_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """The number of guessed tokens does not matter. Each client may try again."""
    store, clock = Down(), ManualClock()
    secret = Secret(OPERATOR)
    one = Host(noter, modules=[Fakes()], clock=clock, operator_secret=secret, store=store)
    async with one, visitor() as client:
        client.token = "a.b"
        for _ in range(2):
            for _ in range(50):
                assert (await refusal(client, one)).code == "store-unavailable"
            clock.advance(61)
    lines = [each.message for each in caplog.records]
    assert lines == [
        "the store of sessions raised OSError",
        "the store of sessions (49 more like this since the last such line) raised OSError",
    ]


async def test_a_claim_that_fails() -> None:
    """The session is closed here, and its owner continues."""
    store = Down()
    store.reads = True
    async with host(store, address="one") as one, host(store, address="two") as two, visitor() as client:
        await start(client, one)
        assert (await refusal(client, two)).code == "store-unavailable"
        await settle()
        assert two.open_sessions == 0
        assert await result(client, "a") == ["a"]


# ---- real stores work in threads, so what they do takes a while ------------------------------------------------------


async def start(client: Visitor, where: Host) -> None:
    """Start a session, and wait for `bot-ready`."""
    await client.start(where)
    await until(lambda: client.ready is not None)


async def result(client: Visitor, text: str) -> Any:
    """Note a text, and return the answer."""
    id = client.call("bot:note", text=text)
    await until(lambda: id in client.answers)
    return await client.answer(id)


async def resume(client: Visitor, where: Host) -> None:
    """Resume the session, and wait for `bot-ready`."""
    before = client.ready
    await client.resume(where)
    await until(lambda: client.ready is not before)


async def until(is_true: Callable[[], bool]) -> None:
    """Wait until the work of a thread is visible."""
    with anyio.fail_after(20):
        while not is_true():  # noqa: ASYNC110 - a thread sets no event
            await anyio.sleep(0.002)


class FailsOnce(MemoryStore):
    """A store whose first claim fails, after a while."""

    failed = False

    async def claim(self, session: str, owner: str, proof: str) -> Any:
        """Fail once."""
        await settle()
        if not self.failed:
            self.failed = True
            raise OSError("no route to the store")
        return await super().claim(session, owner, proof)


async def test_resumes_that_wait_for_one_that_fails() -> None:
    """They go on one after the other, and the session is opened once more only."""
    store, codes = FailsOnce(), list[str]()
    async with host(store, address="one") as one, host(store, address="two") as two, visitor() as client:
        await start(client, one)

        async def try_to_resume() -> None:
            try:
                await two.start({"resume": client.token}, secret=OPERATOR)
            except RequestError as error:
                codes.append(error.code)
            else:
                codes.append("")

        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(try_to_resume)
        assert (sorted(codes), two.open_sessions) == (["", "", "", "store-unavailable"], 1)
