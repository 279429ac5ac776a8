"""The frames between the processes."""

from __future__ import annotations

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtvi_plugins_espeak._protocol import Kind, encode, pack_word, read_frames, unpack_word

FRAMES = st.tuples(st.sampled_from(Kind), st.integers(0, 2**32 - 1), st.binary(max_size=300))


@given(st.lists(FRAMES), st.binary(max_size=8))
def test_frames_are_read_as_they_were_written(frames: list[tuple[Kind, int, bytes]], rest: bytes) -> None:
    """A frame that is cut off is none."""
    assert list(read_frames(BytesIO(b"".join(encode(*each) for each in frames) + rest))) == frames


def test_a_payload_without_end_is_rejected() -> None:
    """It is not waited for."""
    with pytest.raises(ValueError, match="is too long"):
        list(read_frames(BytesIO(b"\xff" * 20)))


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_a_word_has_a_position_and_a_sample(position: int, sample: int) -> None:
    """Both come back."""
    assert unpack_word(pack_word(position, sample)) == (position, sample)


def test_a_word_before_the_beginning_is_at_the_beginning() -> None:
    """Words that espeak makes up itself have the position 0, where others count from 1."""
    assert unpack_word(pack_word(-1, -5)) == (0, 0)
