"""The two threads of the helper process, without espeak."""

from __future__ import annotations

import os
from io import BytesIO
from threading import Thread

from rtvi_plugins_espeak._protocol import Kind, encode, read_frames
from rtvi_plugins_espeak.worker import Output, RequestQueue


def filled(*frames: bytes, noise: bytes = b"") -> RequestQueue:
    """A queue that has read these frames to their end."""
    queue = RequestQueue()
    queue.fill(BytesIO(b"".join(frames) + noise))
    return queue


def test_requests_are_carried_out_in_order_until_the_stream_ends() -> None:
    """The end of the stream cancels what still waits."""
    queue = RequestQueue()
    for id in (1, 2):
        queue.add(Kind.SPEAK, id, b"{}")
    assert [queue.next(), queue.next()] == [(1, b"{}"), (2, b"{}")]
    assert filled(*(encode(Kind.SPEAK, id, b"{}") for id in (1, 2))).next() is None


def test_a_cancelled_request_is_skipped() -> None:
    """A request that runs is asked for at each piece of audio."""
    queue = RequestQueue()
    for kind, id in ((Kind.SPEAK, 1), (Kind.SPEAK, 2), (Kind.CANCEL, 1)):
        queue.add(kind, id)
    assert not queue.wants(1)
    assert queue.wants(2)
    assert queue.next() == (2, b"")
    queue.add(Kind.CANCEL, 2)
    assert not queue.wants(2)


def test_noise_ends_the_work() -> None:
    """Nothing after it can be read."""
    assert filled(noise=b"\xff" * 20).next() is None


def test_replies_wait_for_company_but_not_for_long() -> None:
    """The first batch is small and later ones grow; a reply that is awaited takes along all that waited."""
    source, sink = os.pipe()
    os.set_blocking(source, False)
    sizes: list[int] = []
    output, frame = Output(sink), encode(Kind.AUDIO, 1, bytes(1000))
    try:
        for _ in range(20):
            output.send_soon(frame)
            sizes += _read(source)
        output.send(encode(Kind.DONE, 1))
        last = read_frames(BytesIO(os.read(source, 100_000)))
        assert sizes == [5045, 9081]
        assert [kind for kind, _, _ in last] == [Kind.AUDIO] * 6 + [Kind.DONE]
    finally:
        os.close(source)
        os.close(sink)


def _read(source: int) -> list[int]:
    """The size of what can be read now, if anything."""
    try:
        return [len(os.read(source, 100_000))]
    except BlockingIOError:
        return []


def test_a_reply_longer_than_the_pipe_is_written_whole() -> None:
    """Its reader may be slow."""
    source, sink = os.pipe()
    frame, read = encode(Kind.AUDIO, 1, bytes(500_000)), b""
    writer = Thread(target=Output(sink).send, args=[frame])
    writer.start()
    while len(read) < len(frame):
        read += os.read(source, 10_000)
    writer.join()
    os.close(source)
    os.close(sink)
    assert read == frame
