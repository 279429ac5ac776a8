"""List the installed LiveKit plugins without importing any of them, or LiveKit itself."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rtvi_plugins.bridges import BridgedProvider

__all__ = ("CLASSES", "NOTE", "distribution", "providers")

#: The class of a plugin that provides a kind.
CLASSES: Mapping[str, str] = {"llm": "LLM", "stt": "STT", "tts": "TTS"}

NOTE = (
    "these providers run LiveKit's plugins. They need asyncio, not trio. Their options have no bounds, because LiveKit "
    "declares none. An STT waits 0.3 s after each utterance for more text."
)


def providers() -> Iterator[BridgedProvider]:
    """List a provider for each class `LLM`, `STT` and `TTS` of each installed LiveKit plugin."""
    for plugin, kinds in installed().items():
        for kind in kinds:
            yield BridgedProvider(f"{kind}.livekit-{plugin}", partial(_declare, kind, plugin), NOTE, slow=True)


def _declare(kind: str, plugin: str) -> Sequence[Callable[..., Any]]:
    from .declare import declare  # it imports LiveKit

    return declare(kind, plugin)


def distribution(plugin: str) -> str:
    """Return the name of a plugin's distribution, by its name below `livekit.plugins`."""
    # "livekit-plugins-minimax" belongs to somebody else.
    return "livekit-plugins-minimax-ai" if plugin == "minimax" else f"livekit-plugins-{plugin.replace('_', '-')}"


def installed() -> dict[str, list[str]]:
    """Return the kinds of each plugin, by its name below `livekit.plugins`.

    They are read from the names that its `__init__.py` imports or defines.
    """
    found: dict[str, list[str]] = {}
    for folder in dict.fromkeys(sys.path):
        for file in sorted(Path(folder or ".", "livekit", "plugins").glob("*/__init__.py")):
            names = _names(file)
            if kinds := [kind for kind, cls in CLASSES.items() if cls in names]:
                found.setdefault(file.parent.name, kinds)
    return found


def _names(file: Path) -> set[str]:
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):  # its import will say what is wrong
        return set()
    imported = [each for node in tree.body if isinstance(node, ast.ImportFrom) for each in node.names]
    defined = (node.name for node in tree.body if isinstance(node, ast.ClassDef))
    return {each.asname or each.name for each in imported} | set(defined)
