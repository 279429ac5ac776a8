"""The frames between the processes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtvi_plugins_espeak._protocol import Decoder, Frame, Kind, ProtocolError, encode, pack_word, unpack_word

IDS = st.integers(0, 2**32 - 1)
FRAMES = st.builds(Frame, st.sampled_from(Kind), IDS, st.binary(max_size=300))


@given(st.lists(FRAMES), st.lists(st.integers(1, 50), min_size=1))
def test_frames_arrive_as_they_were_sent_however_they_are_cut(frames: list[Frame], sizes: list[int]) -> None:
    """A pipe keeps no boundaries."""
    stream, decoder, read = b"".join(map(encode, frames)), Decoder(), list[Frame]()
    while stream:
        for size in sizes:
            read += decoder.feed(stream[:size])
            stream = stream[size:]
    assert read == frames


@given(st.binary(min_size=9, max_size=200))
def test_noise_is_refused_or_is_frames(noise: bytes) -> None:
    """Whatever comes, there is an end to it: what was read is what was sent, and nothing is waited for for ever."""
    decoder, read = Decoder(), list[Frame]()
    try:
        read += decoder.feed(noise)
    except ProtocolError:
        return
    assert noise.startswith(b"".join(map(encode, read)))


def test_a_payload_without_end_is_refused() -> None:
    """Neither end makes one, nor waits for one."""
    with pytest.raises(ProtocolError, match="is longer than"):
        encode(Frame(Kind.AUDIO, 1, bytes(2**20 + 1)))
    with pytest.raises(ProtocolError, match="no frame begins with"):
        list(Decoder().feed(b"\xff\xff\xff\xff\x06\0\0\0\1"))


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_a_word_has_a_position_and_a_sample(position: int, sample: int) -> None:
    """Both come back."""
    assert unpack_word(pack_word(position, sample)) == (position, sample)


def test_a_word_before_the_beginning_is_at_the_beginning() -> None:
    """What espeak makes up itself has a position of 0, where others count from 1."""
    assert unpack_word(pack_word(-1, -5)) == (0, 0)
