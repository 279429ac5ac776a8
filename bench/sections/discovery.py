"""Find 100 plugins among 300 other distributions, and load one of them."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from installed import folder_of
from table import Rounds, Row, middle, ratio

PLUGINS, OTHERS = 100, 300
_TIMES = 7
#: The plugins that pluggy loads are not ours: it would not accept two entry points of a real plugin for one module.
_GROUP, _EMPTY = "bench_plugins", '"""Has no hooks."""\n'


def _by_metadata() -> int:
    from importlib.metadata import entry_points

    return len(entry_points(group="rtvi_plugins"))


def _by_us() -> int:
    from rtvi_plugins.registry.installed_plugins import discover

    return len(discover())


def _load_one() -> int:
    from rtvi_plugins.registry.installed_plugins import Installed

    installed = Installed()
    installed.load(installed.provider("llm", "made050"))
    return len(installed.entries)


def _by_pluggy() -> int:
    """It loads what it finds; a module that was loaded before would cost nothing."""
    from pluggy import PluginManager

    for name in [name for name in sys.modules if name.startswith("rtvi_plugins_made")]:
        del sys.modules[name]
    return PluginManager(_GROUP).load_setuptools_entrypoints(_GROUP)


def _measured(find: Callable[[], Any], **source: str) -> dict[str, float]:
    with folder_of(PLUGINS, OTHERS, **source) as folder:
        sys.path.append(folder)
        assert find() >= PLUGINS
        return {"ms": statistics.median(_took(find) for _ in range(_TIMES))}


def _took(find: Callable[[], Any]) -> float:
    began = time.process_time()
    find()
    return (time.process_time() - began) * 1e3


CASES: dict[str, Callable[[], dict[str, float]]] = {
    "importlib.metadata": partial(_measured, _by_metadata),
    "ours": partial(_measured, _by_us),
    "ours, one loaded": partial(_measured, _load_one),
    "pluggy": partial(_measured, _by_pluggy, source=_EMPTY, group=_GROUP),
}


def rows(rounds: Rounds) -> list[Row]:
    listed = (
        f"{middle(rounds, 'ours', 'ms'):.1f} ms, importlib.metadata {middle(rounds, 'importlib.metadata', 'ms'):.1f} ms"
    )
    return [
        Row(
            f"list {PLUGINS} plugins among {OTHERS} others, over importlib.metadata",
            ratio(rounds, "ours", "importlib.metadata", "ms"),
            "x",
            1.0,
            detail=listed,
        ),
        Row("list them and look one up again", middle(rounds, "ours, one loaded", "ms"), "ms"),
        Row(
            "list them, ahead of pluggy, which loads them all",
            ratio(rounds, "pluggy", "ours", "ms"),
            "x",
            detail=f"{middle(rounds, 'pluggy', 'ms'):.1f} ms for empty modules",
        ),
    ]
