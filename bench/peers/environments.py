"""Which peers there are, and the environment of each, in the folder that `RTVI_BENCH_PEERS` names."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

FOLDER = "RTVI_BENCH_PEERS"
_ROOT = Path(__file__).resolve().parents[2]
#: The packages of vendors that are compared.
_VENDORS = ("anthropic", "assemblyai", "cartesia", "deepgram", "elevenlabs", "google", "openai")


@dataclass(frozen=True)
class Peer:
    """The name of a peer in the table, and what pip installs for it."""

    name: str
    needs: tuple[str, ...]


#: By the name of its environment, which is also the name of its module in this package.
PEERS = {
    # Our bridge runs on the same versions of LiveKit's plugins as they do alone, so it is installed beside them.
    "livekit_vendors": Peer(
        "LiveKit's plugins 1.8.9",
        (
            "livekit-agents==1.8.9",
            *(f"livekit-plugins-{each}==1.8.9" for each in _VENDORS),
            *(str(_ROOT / each) for each in (".", "plugins/rtvi-plugins-vendor", "plugins/rtvi-plugins-livekit")),
            "packaging",
            "uvloop==0.23.0",  # as our server has it
        ),
    ),
    "pipecat_vendors": Peer("pipecat's services 1.14.0", (f"pipecat-ai[{','.join(_VENDORS)}]==1.14.0", "packaging")),
    "pipecat060": Peer("pipecat 0.0.60", ("pipecat-ai[websocket]==0.0.60",)),
    "pipecat0108": Peer("pipecat 0.0.108", ("pipecat-ai[websocket]==0.0.108",)),
    "pipecat_latest": Peer("pipecat 1.14.0", ("pipecat-ai[websocket]==1.14.0",)),
    "fastmcp": Peer("fastmcp 4.1.2", ("fastmcp==4.1.2",)),
    "livekit": Peer("livekit-agents 1.8.9", ("livekit-agents==1.8.9",)),
    "fastapi": Peer(
        "FastAPI 0.165.0",
        (
            "fastapi==0.165.0",
            "starlette==1.10.0",
            "pydantic==2.14.3",
            "uvicorn==0.54.0",
            "websockets==17.4",
            "httptools==0.9.0",
            "uvloop==0.23.0",
        ),
    ),
}


def python_of(environment: str, folder: str | None = None) -> Path | None:
    """The interpreter of an environment, in this folder or the one that is named; `None` where there is none."""
    python = Path(folder or os.environ.get(FOLDER, os.devnull), environment, "bin", "python").absolute()
    return python if python.exists() else None


def named(*environments: str) -> dict[str, str]:
    """These environments by the names of their peers."""
    return {PEERS[each].name: each for each in environments}
