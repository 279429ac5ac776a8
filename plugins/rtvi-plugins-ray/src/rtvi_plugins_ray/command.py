"""`rtvi run --on ray`: serve a bot on the Ray cluster that this machine belongs to, or on one of its own."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from types import FrameType
from typing import Any

import ray
from ray import serve

from rtvi_plugins.cli import OK
from rtvi_plugins.hosting import Limits

from .serving import Settings, build

__all__ = ("run",)

_Ray: Any = ray
_Serve: Any = serve


def run(chosen: argparse.Namespace) -> int:
    """Serve until a signal ends the bot, and let its sessions end. `chosen` are the options of `rtvi run`."""
    settings = Settings(
        store=chosen.resume,
        resume_seconds=chosen.resume_seconds,
        keep_days=chosen.keep_days,
        address=chosen.public_url or "http://{ip}:{port}",
        listen=chosen.host if chosen.host == "127.0.0.1" else "{ip}",
        origins=tuple(chosen.origin),
        plugins=tuple(chosen.plugin),
        limits=Limits.parse(chosen.limit),
        drain_seconds=chosen.drain_seconds,
    )
    _Ray.init(address="auto" if _has_cluster() else None, namespace="rtvi", logging_level="ERROR")
    try:
        _Serve.start(http_options={"host": chosen.host, "port": chosen.port})
        workers = (chosen.workers, chosen.workers)
        _Serve.run(build(chosen.bot, settings, workers=workers), name="bot", route_prefix="/")
        sys.stdout.write(f"RTVI bot {chosen.bot} on http://{chosen.host}:{chosen.port}, on a Ray cluster\n")
        sys.stdout.flush()
        _until_signal()
        _Serve.delete("bot")
    finally:
        _Ray.shutdown()
    return OK


def _has_cluster() -> bool:
    """Return whether a Ray cluster runs, which this machine belongs to."""
    return bool(_Ray._private.services.find_gcs_addresses())


def _until_signal() -> None:
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    ended.wait()
