"""The resources that a running process holds: threads, children, files, sockets and memory. It needs Linux."""

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
    """The amount of each resource. Children that ended without being waited for count. Sockets are files, too."""

    threads: int
    children: int
    files: int
    sockets: int
    memory_kib: int

    def more_than(self, before: Gauges) -> dict[str, int]:
        """Return the resources of which there is more than before. Memory is excluded: no allocator returns it all."""
        names = ("threads", "children", "files", "sockets")
        more = {name: getattr(self, name) - getattr(before, name) for name in names}
        return {name: number for name, number in more.items() if number > 0}


def read_gauges(pid: int) -> Gauges:
    """Return what the process holds now."""
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
    """Return the parent's id, or None if the process has ended since it was listed."""
    try:
        status = process.joinpath("status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    found = re.search(r"^PPid:\t(\d+)$", status, re.MULTILINE)
    return int(found[1]) if found else None
