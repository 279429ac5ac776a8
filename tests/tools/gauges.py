"""What a process holds, read from outside while it runs: its threads, children, files, sockets and memory (Linux)."""

from __future__ import annotations

import os
import re
from pathlib import Path

from attrs import frozen

__all__ = ("Gauges", "read_gauges")

_PROC = Path("/proc")
_PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024


@frozen
class Gauges:
    """How much of each. Children that have ended and were not waited for count; sockets are files, too."""

    threads: int
    children: int
    files: int
    sockets: int
    memory_kib: int

    def more_than(self, before: Gauges) -> dict[str, int]:
        """What there is more of than before, and how much; memory is left out, for no allocator gives all back."""
        names = ("threads", "children", "files", "sockets")
        more = {name: getattr(self, name) - getattr(before, name) for name in names}
        return {name: number for name, number in more.items() if number > 0}


def read_gauges(pid: int) -> Gauges:
    """What the process has now."""
    files = _files(pid)
    return Gauges(
        threads=len(list(_PROC.joinpath(str(pid), "task").iterdir())),
        children=sum(_parent(each) == pid for each in _PROC.glob("[0-9]*")),
        files=len(files),
        sockets=sum(each.startswith("socket:") for each in files),
        memory_kib=int(_PROC.joinpath(str(pid), "statm").read_text().split()[1]) * _PAGE_KIB,
    )


def _files(pid: int) -> list[str]:
    found: list[str] = []
    for each in _PROC.joinpath(str(pid), "fd").iterdir():
        try:
            found.append(str(each.readlink()))
        except FileNotFoundError:  # closed since it was listed
            continue
    return found


def _parent(process: Path) -> int | None:
    """None for a process that has ended since it was listed."""
    try:
        status = process.joinpath("status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    found = re.search(r"^PPid:\t(\d+)$", status, re.MULTILINE)
    return int(found[1]) if found else None
