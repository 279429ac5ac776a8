"""What the packages of the vendors cost before they do anything: `imports.py CONTESTANT`, in its environment.

It prints, for each vendor, what the import takes and what is installed for it: over the core of the contestant, which a
bot has in any case, and over a bare interpreter. An environment has all vendors, and ours has what the tests need: what
is not installed for this vendor cannot be imported.
"""

from __future__ import annotations

import json
import os
import sys
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from packaging.requirements import Requirement
from vendors.workload import SERVICES

_BARE = "pass"
#: What a bot imports without any vendor, what is installed for it, what a vendor adds to both.
_CONTESTANTS = {
    "native": ("import rtvi_plugins", "rtvi-plugins", "import rtvi_plugins_{vendor}.{kind}", "rtvi-plugins-{vendor}"),
    "bridge": (
        "import rtvi_plugins",
        "rtvi-plugins",
        "from rtvi_plugins_livekit.declare import declare; declare('{kind}', '{vendor}')",
        "rtvi-plugins-livekit livekit-plugins-{vendor}",
    ),
    "livekit": (
        "import livekit.agents",
        "livekit-agents",
        "from livekit.plugins.{vendor} import {KIND}",
        "livekit-plugins-{vendor}",
    ),
    "pipecat": (
        "from pipecat.pipeline.worker import PipelineWorker",
        "pipecat-ai",
        "import pipecat.services.{vendor}.{kind}",
        "pipecat-ai[{vendor}]",
    ),
}
_WEIGH = "; print([line.split()[1] for line in open('/proc/self/status') if line.startswith('VmRSS')][0])"


def weigh(code: str) -> tuple[float, float]:
    """Return the milliseconds of CPU time of a process that runs this, and its memory in MB."""
    reading, writing = os.pipe()
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-c", code + _WEIGH],
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_DUP2, writing, 1),
            (os.POSIX_SPAWN_CLOSE, reading),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ],
    )
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read().split()
    _, status, usage = os.wait4(pid, 0)
    if status or not said:
        raise RuntimeError(f"this failed: {code}")
    return (usage.ru_utime + usage.ru_stime) * 1e3, int(said[-1]) / 1e3


# ---- what is installed -----------------------------------------------------------------------------------------------


def closure(*needs: str) -> dict[str, float]:
    """Return the distributions that these need, with the size of each in MB."""
    found: dict[str, float] = {}
    waiting = [(Requirement(each).name, frozenset(Requirement(each).extras)) for each in needs]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            dist = distribution(name)
        except PackageNotFoundError:
            continue
        found[_plain(dist.metadata["Name"])] = _size(dist)
        for text in dist.requires or ():
            need = Requirement(text)
            if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                waiting.append((need.name, frozenset(need.extras)))
    return found


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")


def hiding(installed: dict[str, float]) -> str:
    """Return code that makes all modules of other distributions impossible to import, such as trio beside anyio."""
    hidden = [
        module
        for module, owners in packages_distributions().items()
        if module.isidentifier() and not any(_plain(each) in installed for each in owners)
    ]
    return f"import sys; [sys.modules.setdefault(each, None) for each in {hidden!r}]; "


def _size(dist: Any) -> float:
    told = dist.read_text("direct_url.json")
    url: dict[str, Any] = json.loads(told) if told else {}
    if url.get("dir_info", {}).get("editable"):
        folder = Path(urlsplit(str(url["url"])).path)
        package = folder / "src" if (folder / "src").is_dir() else folder / dist.metadata["Name"].replace("-", "_")
        files = [each for each in package.rglob("*") if each.is_file() and "__pycache__" not in each.parts]
        return sum(each.stat().st_size for each in files) / 1e6
    files = [Path(str(dist.locate_file(each))) for each in dist.files or () if "__pycache__" not in str(each)]
    return sum(each.stat().st_size for each in files if each.is_file()) / 1e6


def main(contestant: str) -> dict[str, dict[str, float]]:
    """Weigh all vendors."""
    core, distributions, code, needs = _CONTESTANTS[contestant]
    # So that all bytecode is written, and the files are in memory.
    weigh("; ".join([core, *(code.format(vendor=each, kind=kind, KIND=kind.upper()) for each, kind in SERVICES)]))
    bare_ms, bare_mb = weigh(_BARE)
    had = closure(distributions)
    core_ms, core_mb = weigh(hiding(had) + core)
    found: dict[str, dict[str, float]] = {}
    for vendor in dict.fromkeys(vendor for vendor, _ in SERVICES):
        kinds = [kind for each, kind in SERVICES if each == vendor]
        imports = [code.format(vendor=vendor, kind=each, KIND=each.upper()) for each in kinds]
        have = closure(distributions, *needs.format(vendor=vendor).split())
        ms, mb = weigh(hiding(have) + "; ".join([core, *imports]))
        found[vendor] = {
            "ms": ms - core_ms,
            "mb": mb - core_mb,
            "disk_mb": sum(size for name, size in have.items() if name not in had),
            "whole_ms": ms - bare_ms,
            "whole_mb": mb - bare_mb,
            "whole_disk_mb": sum(have.values()),
        }
    return found


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
