"""The two threads of the helper process, without espeak."""

from __future__ import annotations

import os
from threading import Thread

from rtvi_plugins_espeak._protocol import Decoder, Frame, Kind, encode
from rtvi_plugins_espeak.worker import Desk, Output


def filled(*frames: Frame, noise: bytes = b"") -> Desk:
    """A desk that has read these frames from a pipe, to its end."""
    source, sink = os.pipe()
    try:
        os.write(sink, b"".join(map(encode, frames)) + noise)
        os.close(sink)
        desk = Desk()
        desk.fill(source)
    finally:
        os.close(source)
    return desk


def test_requests_are_taken_in_order_until_the_pipe_ends() -> None:
    """The end of the pipe is the end of the work: what was asked for is not wanted any more."""
    desk = Desk()
    orders = [Frame(Kind.SPEAK, id, b"{}") for id in (1, 2)]
    for order in orders:
        desk.take(order)
    assert [desk.next(), desk.next()] == orders
    assert filled(*orders).next() is None


def test_what_was_given_up_is_passed_over() -> None:
    """Also when it is being said: it is asked for each piece of audio."""
    desk = Desk()
    for frame in (Frame(Kind.SPEAK, 1), Frame(Kind.SPEAK, 2), Frame(Kind.CANCEL, 1)):
        desk.take(frame)
    assert not desk.wants(1)
    assert desk.wants(2)
    assert desk.next() == Frame(Kind.SPEAK, 2)
    desk.take(Frame(Kind.CANCEL, 2))
    assert not desk.wants(2)


def test_noise_ends_the_work() -> None:
    """After it nothing can be understood."""
    assert filled(noise=b"\xff" * 20).next() is None


def test_replies_wait_for_company_but_not_for_long() -> None:
    """The first batch is small and later ones grow; a reply that is awaited takes along all that waited."""
    source, sink = os.pipe()
    os.set_blocking(source, False)
    sizes: list[int] = []
    output, frame = Output(sink), Frame(Kind.AUDIO, 1, bytes(1000))
    try:
        for _ in range(20):
            output.send_soon(frame)
            sizes += _read(source)
        output.send(Frame(Kind.DONE, 1))
        last = Decoder().feed(os.read(source, 100_000))
        assert sizes == [5045, 9081]
        assert [each.kind for each in last] == [Kind.AUDIO] * 6 + [Kind.DONE]
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
    frame, read = Frame(Kind.AUDIO, 1, bytes(500_000)), list[Frame]()
    writer = Thread(target=Output(sink).send, args=[frame])
    writer.start()
    decoder = Decoder()
    while not read:
        read += decoder.feed(os.read(source, 10_000))
    writer.join()
    os.close(source)
    os.close(sink)
    assert read == [frame]
