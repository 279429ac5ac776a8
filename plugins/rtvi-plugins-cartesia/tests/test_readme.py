"""The README lists every option."""

from __future__ import annotations

from pathlib import Path

from rtvi_plugins_cartesia.stt import cartesia_stt, recognition
from rtvi_plugins_cartesia.tts import cartesia_tts, speech
from rtvi_plugins_vendor.provider_tests import undocumented_options

README = Path(__file__).parents[1] / "README.md"


def test_the_readme_tells_every_option() -> None:
    """Each option is listed with its default, if that is a text."""
    assert undocumented_options(README, cartesia_stt, recognition, cartesia_tts, speech) == []
