"""The payloads of frames."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rtvi_plugins_espeak._protocol import pack_word, unpack_word


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_a_word_has_a_position_and_a_sample(position: int, sample: int) -> None:
    """Both are decoded unchanged."""
    assert unpack_word(pack_word(position, sample)) == (position, sample)


def test_a_word_before_the_beginning_is_at_the_beginning() -> None:
    """Words that espeak adds itself have the position 0. Other positions count from 1."""
    assert unpack_word(pack_word(-1, -5)) == (0, 0)
