"""Where speech starts and stops, from the decision about each frame."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtvi_plugins.session import VADParams
from rtvi_plugins.voice.user_audio import Change, SpeechDetector

FRAME = 0.032
PARAMS = VADParams(start_secs=0.1, stop_secs=0.2)


def fed(detector: SpeechDetector, frames: str, *, at_least: float = 0.0) -> list[tuple[int, Change]]:
    """Feed frames, `#` for speech and `.` for silence. Return the changes, each with its frame."""
    changes: list[tuple[int, Change]] = []
    for number, frame in enumerate(frames, 1):
        change = detector.feed(frame == "#", FRAME, PARAMS, at_least=at_least)
        if change is not None:
            changes.append((number, change))
    return changes


def test_speech_begins_and_ends_after_the_seconds_that_are_asked_for() -> None:
    """Four frames are the first with 0.1 s, and seven the first with 0.2 s."""
    assert fed(SpeechDetector(), "." * 5 + "#" * 10 + "." * 10) == [(9, "started"), (22, "stopped")]


@pytest.mark.parametrize("frames", ["###.###.###.", "#.#.#.#.#.#.", "............"])
def test_a_noise_that_is_too_short_begins_nothing(frames: str) -> None:
    """Speech must last without a gap."""
    detector = SpeechDetector()
    assert fed(detector, frames) == []
    assert not detector.speaking


def test_a_pause_that_is_too_short_ends_nothing() -> None:
    """Each word starts the count again."""
    detector = SpeechDetector()
    assert fed(detector, "####" + "......#" * 5) == [(4, "started")]
    assert detector.speaking


def test_more_may_be_asked_for_than_the_vad_does() -> None:
    """It is so while the bot speaks. Less than the VAD's own time is not possible."""
    assert fed(SpeechDetector(), "#" * 12, at_least=0.3) == [(10, "started")]
    assert fed(SpeechDetector(), "#" * 12, at_least=0.01) == [(4, "started")]


def test_with_nothing_asked_for_the_first_frame_begins_speech() -> None:
    """Push-to-talk does this."""
    detector = SpeechDetector()
    assert detector.feed(True, FRAME, VADParams(start_secs=0.0)) == "started"


def test_sums_of_frames_that_are_not_exact_do_not_cost_a_frame() -> None:
    """Ten frames of 32 ms are 0.32 s, although the sum of floats is slightly less."""
    params = VADParams(start_secs=0.32, stop_secs=0.32)
    detector = SpeechDetector()
    assert [detector.feed(True, FRAME, params) for _ in range(10)][-1] == "started"
    assert [detector.feed(False, FRAME, params) for _ in range(10)][-1] == "stopped"


def test_the_end_of_the_audio_is_the_end_of_the_speech() -> None:
    """If there was no speech, nothing changes. A count that has started begins again."""
    detector = SpeechDetector()
    assert detector.stop() is None
    fed(detector, "####")
    assert detector.stop() == "stopped"
    assert detector.stop() is None
    assert fed(detector, "###") == []
    assert detector.stop() is None
    assert fed(detector, "####") == [(4, "started")]


def test_a_detector_may_begin_within_speech() -> None:
    """Its first change is then the end."""
    assert fed(SpeechDetector(speaking=True), "###.......") == [(10, "stopped")]


@given(frames=st.text("#.", max_size=100))
def test_beginnings_and_ends_take_turns(frames: str) -> None:
    """A beginning comes with a frame of speech, and an end with a frame of silence."""
    changes = fed(SpeechDetector(), frames)
    assert [change for _, change in changes] == ["started", "stopped"] * (len(changes) // 2) + ["started"] * (
        len(changes) % 2
    )
    assert all(frames[number - 1] == ("#" if change == "started" else ".") for number, change in changes)
