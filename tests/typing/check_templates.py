"""Run the checks of its own workflow on what `rtvi new` makes: ruff with names of any length, and type checkers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

WHAT = (["provider", "llm", "tts", "stt"], ["actions"], ["bot"])
#: The type checkers look at the first name. A long or short name may change the formatting and the order of imports.
NAMES = ("my_chat", "a_name_of_20_letters", "zz")
RUFF = (["ruff", "check", "--no-cache"], ["ruff", "format", "--check", "--no-cache"])
TYPES = (["mypy"], ["pyright"])


def make(where: Path, words: list[str], name: str) -> Path:
    """Make one folder."""
    where.mkdir(parents=True)
    subprocess.run(
        [sys.executable, "-m", "rtvi_plugins", "new", *words, name], cwd=where, check=True, stdout=subprocess.DEVNULL
    )
    return next(where.iterdir())


def passes(command: list[str], folder: Path, cache: Path) -> bool:
    """Run a checker as the workflow does, but without installing the folder. Print the mistakes that it finds."""
    source = str(folder / "src")
    env = {**os.environ, "MYPYPATH": source, "MYPY_CACHE_DIR": str(cache), "MYPY_FORCE_COLOR": "0"}
    more = ["--pythonpath", sys.executable] if command == ["pyright"] else []
    line = [sys.executable, "-m", *command, *more]
    done = subprocess.run(line, cwd=folder, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{folder.name}: {' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.returncode == 0


def main() -> int:
    """Make and check all of them."""
    checked = failed = 0
    with TemporaryDirectory() as made:
        for name in NAMES:
            for words in WHAT:
                folder = make(Path(made, name, words[-1]), words, name)
                for command in (*RUFF, *(TYPES if name == NAMES[0] else ())):
                    checked += 1
                    failed += not passes(command, folder, Path(made, "cache"))
    print(f"{checked} checks of what `rtvi new` makes, {failed} failed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
