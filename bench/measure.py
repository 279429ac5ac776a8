"""Time operations and weigh processes. Standard library only: it also runs in the environments of peers."""

from __future__ import annotations

import gc
import os
import statistics
import subprocess
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

#: The core that measures, and the core that produces the load.
MEASURED, LOADING = 0, 1

Repeat = Callable[[int], Awaitable[object]]


def pin(core: int) -> None:
    """Stay on one core, if the system supports this and has that many."""
    if hasattr(os, "sched_setaffinity") and core in os.sched_getaffinity(0):
        os.sched_setaffinity(0, {core})


def unpin() -> None:
    """Use all cores again, and so do the processes that are started from now on."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, range(os.cpu_count() or 1))


async def cpu_us(repeat: Repeat, *, seconds: float = 0.25, samples: int = 5) -> float:
    """Microseconds of CPU time for one of the operations of which `repeat(n)` does n: the median of the samples."""
    count = await _count(repeat, seconds)
    gc.collect()
    return statistics.median([await _sample(repeat, count) for _ in range(samples)]) * 1e6


async def _count(repeat: Repeat, seconds: float) -> int:
    """How many operations take about as long as this, once they are warm."""
    count = 16
    while (took := await _sample(repeat, count) * count) < seconds / 4:
        count *= 4
    return max(16, int(count * seconds / took))


async def _sample(repeat: Repeat, count: int) -> float:
    began = time.process_time()
    await repeat(count)
    return (time.process_time() - began) / count


def resident_kb(pid: int | str = "self") -> float:
    """Return the memory that a process really holds, in kB, or 0 if the system does not report it."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return 0.0
    return next((float(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")), 0.0)


def cpu_seconds_of(pid: int) -> float:
    """Return the CPU time of all threads of another process, or 0 if the system does not report it."""
    return _scheduled(pid, 0)


def waited_seconds_of(pid: int) -> float:
    """Return how long another process had work but no core, or 0 if the system does not report it."""
    return _scheduled(pid, 1)


def descendants(pid: int) -> list[int]:
    """The processes that a process has started, and those that they have."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):  # it has ended since it was listed
            continue
    family = [pid]
    for each in family:
        family += [child for child, parent in parents.items() if parent == each]
    return family[1:]


def proportional_kb(pid: int) -> float:
    """The memory of another process, with its share of what it has in common with others, in kB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _scheduled(pid: int, column: int) -> float:
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        return sum(int((each / "schedstat").read_text().split()[column]) for each in threads) / 1e9
    except OSError:
        return 0.0


def process_ms(command: Sequence[str], *, times: int = 5, **environment: str) -> float:
    """Milliseconds of CPU time that a command takes from its start to its end: the median of a few runs.

    It runs once before that, so that it finds its files in memory and its bytecode written. `RuntimeError` if it fails.
    """
    with TemporaryDirectory(prefix="rtvi-bench-") as folder:
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        given = {**inherited, "PYTHONPYCACHEPREFIX": folder, **environment}
        return statistics.median([_process_ms(command, given, folder) for _ in range(times + 1)][1:])


def _process_ms(command: Sequence[str], environment: dict[str, str], folder: str) -> float:
    # In a folder of its own: from the repository's, Python would take the package there, not the installed one.
    process = subprocess.Popen(
        command, env=environment, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {said[-500:]}")
    return (usage.ru_utime + usage.ru_stime) * 1e3
