"""The unit file: systemd accepts it, and its command serves."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.request import urlopen

from processes import running

HERE = Path(__file__).parent
UNIT = HERE / "hotel-bot.service"


def settings() -> Mapping[str, str]:
    """Return the settings of the section [Service]."""
    section = UNIT.read_text().replace("\\\n", " ").partition("[Service]\n")[2].partition("[")[0]
    return dict(re.findall(r"^(\w+)=(.*)$", section, re.MULTILINE))


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """It warns about unknown names and values. The program must exist, so it is one that exists here."""
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/hotel/.venv/bin/rtvi", sys.executable))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False, timeout=50)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_command_serves() -> None:
    """Only the paths and the port are different here."""
    program, run, bot, *options = shlex.split(settings()["ExecStart"])
    assert (program, run, bot) == ("/opt/hotel/.venv/bin/rtvi", "run", "/opt/hotel/bot.py")
    command = [sys.executable, "-m", "rtvi_plugins", "run", str(HERE / "bot.py"), "--port", "0", *options]
    with (
        running(command, r"(http://\S+)", RTVI_OPERATOR_SECRET="secret-of-a-test") as address,
        urlopen(f"{address}/health", timeout=50) as health,
    ):
        assert health.status == 200


def test_systemd_waits_until_the_last_session_has_ended() -> None:
    """Otherwise it kills the server while people talk."""
    drain = re.search(r"--drain-seconds (\d+)", settings()["ExecStart"])
    assert drain is not None
    assert int(settings()["TimeoutStopSec"]) > int(drain[1])
