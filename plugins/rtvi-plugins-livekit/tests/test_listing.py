"""LiveKit's plugins are listed from their files, without LiveKit and without importing them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rtvi_plugins_livekit.listing import installed, providers


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of LiveKit's plugins in a path that has nothing else."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    return tmp_path / "livekit" / "plugins"


def put(folder: Path, plugin: str, text: str) -> None:
    """Install a plugin."""
    (folder / plugin).mkdir(parents=True)
    (folder / plugin / "__init__.py").write_text(text, "utf-8")


def test_a_plugin_has_the_kinds_whose_classes_it_has(folder: Path) -> None:
    """The classes may be imported or defined, but not only mentioned."""
    put(folder, "acme", "from .stt import STT\nfrom .tts import TTS, ChunkedStream\n__all__ = ['LLM']\n")
    put(folder, "bird", "class LLM: ...\n")
    put(folder, "renamed", "from .speech import Recogniser as STT\n")
    assert installed() == {"acme": ["stt", "tts"], "bird": ["llm"], "renamed": ["stt"]}


def test_what_is_no_provider_of_ours_is_not_listed(folder: Path) -> None:
    """LiveKit's voice activity detection and turn detector may be used with LiveKit Agents only."""
    put(folder, "silero", "from .vad import VAD\n")
    put(folder, "turn_detector", "from .multilingual import MultilingualModel\n")
    put(folder, "broken", "from . import (\n")
    assert installed() == {}


def test_each_kind_of_each_plugin_is_a_provider(folder: Path) -> None:
    """Its name says where it comes from. All of them have the same limits."""
    put(folder, "acme", "raise RuntimeError('imported')\nfrom .stt import STT\nfrom .tts import TTS\n")
    found = list(providers())
    assert [each.name for each in found] == ["stt.livekit-acme", "tts.livekit-acme"]
    assert all("asyncio, not trio" in each.note for each in found)


def test_without_plugins_there_is_no_provider(folder: Path) -> None:
    """The package alone adds no provider."""
    assert list(providers()) == []
