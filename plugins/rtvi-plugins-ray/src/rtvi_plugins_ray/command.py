"""`rtvi run --on ray`: serve a bot on the Ray cluster that this machine belongs to, or on one of its own."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from types import FrameType
from typing import Any, Final

import ray
from ray import serve

from rtvi_plugins.cli import OK, UsageError
from rtvi_plugins.hosting import Limits

from .serving import Settings, build, has_several_nodes

__all__ = ("run",)

_Ray: Any = ray
_Serve: Any = serve

#: Options of `rtvi run` that workers of Ray do not have.
_UNKNOWN: Final = ("dev", "record", "env", "service_option", "proxy", "resume_sync")
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


def run(chosen: argparse.Namespace) -> int:
    """Serve until a signal ends the bot, and let its sessions end. `chosen` are the options of `rtvi run`."""
    for name in _UNKNOWN:
        if getattr(chosen, name, None):
            raise UsageError(f"--{name.replace('_', '-')} does not work with --on ray; leave it out.")
    listen, address = _places(chosen.host, chosen.public_url)
    settings = Settings(
        store=chosen.resume,
        resume_seconds=chosen.resume_seconds,
        keep_days=chosen.keep_days,
        address=address,
        listen=listen,
        origins=tuple(chosen.origin),
        plugins=tuple(chosen.plugin),
        limits=Limits.parse(chosen.limit),
        drain_seconds=chosen.drain_seconds,
    )
    _Ray.init(address="auto" if _has_cluster() else None, namespace="rtvi", logging_level="ERROR")
    try:
        if chosen.host in _LOOPBACK and chosen.public_url is None and has_several_nodes():
            raise UsageError(
                f"--host {chosen.host} is reached from one machine only, and this Ray cluster has several; write "
                "--host 0.0.0.0, or name proxies on the nodes with --public-url."
            )
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


def _places(host: str, public_url: str | None) -> tuple[str, str]:
    """Return where each worker listens, and the address that it announces, as `Settings` has them.

    A loopback address reaches the workers of one machine. Otherwise each worker is at the address of its node.
    """
    listen = host if host in _LOOPBACK else "{ip}"
    if public_url is None:
        return listen, f"http://{f'[{listen}]' if ':' in listen else listen}:{{port}}"
    try:
        has_port = public_url.format(ip="", port="") != public_url.format(ip="", port="1")
    except (IndexError, KeyError, ValueError):
        has_port = False
    if not has_port:
        raise UsageError(
            f"--public-url {public_url} does not lead to one worker: each has a port of its own. Write {{port}} for "
            "it, and {ip} for the node, as in https://{ip}.bots.example/{port}."
        )
    return listen, public_url


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
