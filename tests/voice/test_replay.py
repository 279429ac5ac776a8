"""A replayable stream: each reader starts at the first item, and waits for later ones."""

from __future__ import annotations

import anyio
import pytest

from rtvi_plugins.voice.provider_streams import ReplayableStream

from ..fakes.wire import settle

pytestmark = pytest.mark.anyio


async def test_items_are_read_as_they_come_until_the_last() -> None:
    """A reader waits for items that have not come yet."""
    stream, read = ReplayableStream[int]([1]), list[int]()

    async def follow() -> None:
        read.extend([item async for item in stream.read(read.append)])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(follow)
        await settle()
        assert read == [1]
        stream.append(2)
        stream.append(3)
        await settle()
        assert read == [1, 2, 3]
        stream.end()
    assert read == [1, 2, 3, 1, 2, 3]


async def test_every_reader_reads_from_the_first() -> None:
    """Also a reader that starts after the end, and also if another reader has stopped early."""
    stream = ReplayableStream[str](["a", "b"], ended=True)
    first = stream.read()
    assert await anext(first) == "a"
    assert [item async for item in stream.read()] == ["a", "b"]
    assert [item async for item in stream.read()] == ["a", "b"]
    assert await anext(first) == "b"


async def test_a_callback_gets_each_item_just_before_it_gets_it() -> None:
    """It is not called for items that the reader has not asked for."""
    taken = list[int]()
    reader = ReplayableStream([1, 2, 3], ended=True).read(taken.append)
    assert taken == []
    assert await anext(reader) == 1
    assert taken == [1]


async def test_waiting_for_a_length_returns_whether_it_is_reached() -> None:
    """All tasks that wait are woken at once."""
    stream, outcomes = ReplayableStream[int](), list[tuple[int, bool]]()

    async def wait_for(number: int) -> None:
        outcomes.append((number, await stream.wait_for_length(number)))

    async with anyio.create_task_group() as tasks:
        for number in (1, 2, 2, 3):
            tasks.start_soon(wait_for, number)
        await settle()
        assert outcomes == []
        stream.append(7)
        await settle()
        assert outcomes == [(1, True)]
        stream.append(7)
        await settle()
        assert outcomes == [(1, True), (2, True), (2, True)]
        stream.end()
    assert outcomes[3] == (3, False)


async def test_what_is_reached_already_is_not_waited_for() -> None:
    """Nobody waits for a length that will never be reached."""
    assert await ReplayableStream([1]).wait_for_length(1)
    assert await ReplayableStream[int]().wait_for_length(0)
    assert not await ReplayableStream([1], ended=True).wait_for_length(2)


async def test_the_end_is_waited_for_whatever_comes_before_it() -> None:
    """An item does not end the wait."""
    stream, over = ReplayableStream[int](), anyio.Event()

    async def wait_for_the_end() -> None:
        await stream.wait_for_end()
        over.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait_for_the_end)
        for item in range(3):
            await settle()
            stream.append(item)
        await settle()
        assert not over.is_set()
        stream.end()
    assert over.is_set()
    await stream.wait_for_end()


async def test_a_reader_that_is_cancelled_leaves_the_others_alone() -> None:
    """A reader that waits at the same time still gets the next item."""
    stream, read = ReplayableStream[int](), list[int]()
    scope = anyio.CancelScope()

    async def give_up() -> None:
        with scope:
            await stream.wait_for_length(1)

    async def follow() -> None:
        read.append(await anext(stream.read()))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(give_up)
        tasks.start_soon(follow)
        await settle()
        scope.cancel()
        await settle()
        stream.append(5)
    assert (scope.cancelled_caught, read) == (True, [5])
