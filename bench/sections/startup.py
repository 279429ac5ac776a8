"""What a process pays before it does anything: the import, and the command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from installed import folder_of
from measure import process_ms
from peers.environments import python_of
from table import Rounds, Row, middle, of_peer, of_rounds, over

IMPORT_MS, HELP_MS, PLUGINS_MS = 60.0, 150.0, 50.0

_RTVI_PROCESSOR = "from pipecat.processors.frameworks.rtvi import RTVIProcessor"
#: What a bot of a peer imports, and where.
_IMPORTS = {
    "starlette": ("fastapi", "from starlette.applications import Starlette"),
    "FastAPI": ("fastapi", "from fastapi import FastAPI"),
    "fastmcp": ("fastmcp", "from fastmcp import FastMCP"),
    "livekit-agents": ("livekit", "from livekit.agents import Agent, AgentSession, function_tool"),
    "pipecat 0.0.60": ("pipecat060", f"from pipecat.pipeline.task import PipelineTask; {_RTVI_PROCESSOR}"),
    "pipecat 1.14.0": ("pipecat_latest", f"from pipecat.pipeline.worker import PipelineWorker; {_RTVI_PROCESSOR}"),
}
_SCRIPT = Path(sys.executable).with_name("rtvi")
_RTVI = [str(_SCRIPT)] if _SCRIPT.exists() else [sys.executable, "-m", "rtvi_plugins"]


def _python(code: str) -> dict[str, float]:
    return {"ms": process_ms([sys.executable, "-c", code])}


def _of_peer(environment: str, code: str) -> dict[str, float]:
    """Its import, and its own environment's bare interpreter."""
    python = str(python_of(environment))
    return {"bare": process_ms([python, "-c", "pass"]), "ms": process_ms([python, "-c", code])}


def _rtvi(*words: str) -> dict[str, float]:
    return {"ms": process_ms([*_RTVI, *words])}


def _listing(*, load: bool) -> dict[str, float]:
    with folder_of(plugins=100, others=0) as folder:
        return {"ms": process_ms([*_RTVI, "plugins", *(["--load"] if load else [])], PYTHONPATH=_path(folder))}


def _path(folder: str) -> str:
    return os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))


STARTED = {name: environment for name, (environment, _) in _IMPORTS.items()}
CASES: dict[str, Callable[[], dict[str, float]]] = {
    "bare": lambda: _python("pass"),
    "import": lambda: _python("import rtvi_plugins"),
    "hosting": lambda: _python("import rtvi_plugins.hosting"),
    "help": lambda: _rtvi("--help"),
    "plugins": lambda: _listing(load=False),
    "plugins, loaded": lambda: _listing(load=True),
    **{name: partial(_of_peer, *how) for name, how in _IMPORTS.items()},
}


def rows(rounds: Rounds) -> list[Row]:
    listing = over(rounds, "plugins", "help", "ms")
    return [
        Row("import rtvi_plugins, over a bare interpreter", over(rounds, "import", "bare", "ms"), "ms", IMPORT_MS),
        Row("import rtvi_plugins.hosting, over a bare interpreter", over(rounds, "hosting", "bare", "ms"), "ms"),
        Row("rtvi --help", middle(rounds, "help", "ms"), "ms", HELP_MS),
        Row("rtvi plugins with 100 installed, over --help", listing, "ms", PLUGINS_MS),
        Row("the same with --load, over --help", over(rounds, "plugins, loaded", "help", "ms"), "ms"),
        *(_peer_row(rounds, name, environment) for name, environment in STARTED.items()),
    ]


def _peer_row(rounds: Rounds, name: str, environment: str) -> Row:
    def times(cases: Mapping[str, Mapping[str, float]]) -> float:
        return (cases[name]["ms"] - cases[name]["bare"]) / (cases["import"]["ms"] - cases["bare"]["ms"])

    took = of_rounds(rounds, lambda cases: cases[name]["ms"] - cases[name]["bare"])
    detail = f"{took:,.0f} ms over a bare interpreter"
    return of_peer(environment, Row(f"import, ahead of {name}", of_rounds(rounds, times), "x", detail=detail))
