"""The echo as a VAD."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtvi_plugins.kinds import VAD, Audio
from rtvi_plugins_echo.tone import loudness, tone
from rtvi_plugins_echo.vad import EchoVAD, configure, echo_vad


@pytest.mark.anyio
async def test_it_opens_as_a_vad() -> None:
    """The service needs no key, no framework and no network."""
    async with echo_vad() as vad:
        assert isinstance(vad, VAD)


def test_silence_is_no_speech_and_a_loud_tone_is() -> None:
    """It compares loudness with a threshold."""
    vad = EchoVAD()
    assert vad.speech_probability(Audio(b"\0\0" * 320, 16000)) == 0
    assert vad.speech_probability(tone(440, 0.02, 16000)) == 1


def test_the_threshold_is_where_speech_is_as_likely_as_not() -> None:
    """The option is the loudness of speech."""
    frame, vad = tone(440, 0.02, 16000), EchoVAD()
    configure(vad, threshold=loudness(frame))
    assert vad.speech_probability(frame) == 0.5


@given(st.binary(max_size=2000), st.floats(min_value=0.001, max_value=0.5))
def test_a_probability_is_between_0_and_1(data: bytes, threshold: float) -> None:
    """This is true for any bytes, including an odd number of them."""
    assert 0 <= EchoVAD(threshold).speech_probability(Audio(data, 16000)) <= 1
