"""The Containerfile, without a container: its files exist, its command serves, and its health check passes.

To build an image, a registry of images is needed. The tests of the core install wheels of the same folders into a clean
environment, and serve a bot from it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from processes import running

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[2]
TEXT = (HERE / "Containerfile").read_text()


def words(instruction: str) -> list[str]:
    """Return the words of the only instruction of a kind, which are a JSON array."""
    (found,) = re.findall(rf"^{instruction} (\[.*\])$", TEXT, re.MULTILINE)
    parsed: list[str] = json.loads(found)
    return parsed


def test_the_files_that_it_names_exist() -> None:
    """They are in this folder, and in the checkout."""
    (copied,) = re.findall(r"^COPY ([^-]\S*) ", TEXT, re.MULTILINE)
    (installed,) = re.findall(r"pip install --no-cache-dir (.*)$", TEXT, re.MULTILINE)
    assert (HERE / copied).is_file()
    assert [each for each in installed.split() if not (CHECKOUT / each / "pyproject.toml").is_file()] == []


def test_the_command_serves_and_is_healthy() -> None:
    """Only the program, the address and the port are different here."""
    program, *options = [*words("ENTRYPOINT"), *words("CMD")]
    assert program == "/opt/hotel/.venv/bin/rtvi"
    options[options.index("0.0.0.0")] = "127.0.0.1"
    options[options.index("bot.py")] = str(HERE / "bot.py")
    command = [sys.executable, "-m", "rtvi_plugins", *options, "--port", "0"]
    python, *check = words("HEALTHCHECK CMD")
    assert python == "python"
    with running(command, r"(127\.0\.0\.1:\d+)", RTVI_OPERATOR_SECRET="secret-of-a-test") as address:
        healthy = [each.replace("127.0.0.1:7860", address) for each in check]
        subprocess.run([sys.executable, *healthy], check=True, timeout=50)
    ended = subprocess.run([sys.executable, *healthy], capture_output=True, check=False, timeout=50)
    assert ended.returncode == 1
