"""The helpers for the tests of providers find mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtvi_plugins.kinds import ListenPiece, Pause, Settled, SpeechBegan, Transcript
from rtvi_plugins_vendor.provider_tests import (
    SILENCE,
    Utterances,
    frames,
    is_loud,
    outline,
    tone,
    undocumented_options,
)

pytestmark = pytest.mark.anyio


def test_frames() -> None:
    """They have 32 ms each, like silence, and are loud."""
    speech = frames(tone(0.064, 16_000))
    assert [len(each.data) for each in [*speech, SILENCE]] == [1024] * 3
    assert [is_loud(each.data) for each in [*speech, SILENCE]] == [True, True, False]


async def test_the_next_utterance_waits_until_the_one_before_is_settled() -> None:
    """It starts after the pause."""
    audio = Utterances([SILENCE], [SILENCE])
    assert [await anext(audio), await anext(audio)] == [SILENCE, Pause()]
    assert not audio.settled.is_set()
    audio.settled.set()
    assert await anext(audio) == SILENCE


def test_an_outline_has_final_texts_and_types() -> None:
    """Interim transcripts, and a final one without a text, are left out."""
    final: list[ListenPiece] = [Transcript("One.", True), Transcript("", True)]
    assert outline([SpeechBegan(), Transcript("One", False), *final, Settled()]) == [SpeechBegan, "One.", Settled]


def test_undocumented_options(tmp_path: Path) -> None:
    """The result has the options that the README lacks, and their defaults. The key is not an option."""

    def service(api_key: str, /, model: str = "small", *, speed: float = 1.0) -> None: ...

    def options(service: object, /, voice: str = "ada", rate: int = 7) -> None: ...

    readme = tmp_path / "README.md"
    readme.write_text("| `model` | `small` |\n| `rate` | 7 |\n", "utf-8")
    assert undocumented_options(readme, service, options) == ["voice", "ada"]
