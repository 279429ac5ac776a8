"""Make the environments of the peers: `python bench/install_peers.py FOLDER [environment …]`, 3.5 GB in all."""

from __future__ import annotations

import argparse
import subprocess
import sys
import venv
from pathlib import Path

from peers.environments import FOLDER, PEERS, python_of


def main() -> int | str:
    parser = argparse.ArgumentParser(description="Install each peer into an environment of its own, with pip.")
    parser.add_argument("folder", help=f"where they go; {FOLDER} names it to the benchmarks")
    parser.add_argument("environments", nargs="*", metavar="environment", help=f"of {', '.join(PEERS)}; all if none")
    arguments = parser.parse_args()
    if unknown := set(arguments.environments) - set(PEERS):
        parser.error(f"there is no peer {', '.join(sorted(unknown))}; there is {', '.join(PEERS)}")
    failed = [each for each in arguments.environments or PEERS if not install(arguments.folder, each)]
    return f"not installed: {', '.join(failed)}" if failed else 0


def install(folder: str, environment: str) -> bool:
    """Make an environment if there is none, and let pip install what belongs in it."""
    print(f"{environment}: {' '.join(PEERS[environment].needs)}", file=sys.stderr)
    if python_of(environment, folder) is None:
        venv.create(Path(folder, environment), with_pip=True)
    pip = [str(python_of(environment, folder)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    return subprocess.run([*pip, *PEERS[environment].needs], check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
