"""The published harness runs the scenarios against the receptionist, which is served by a real process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from processes import rtvi_run

HERE = Path(__file__).parent
RECEPTIONIST = HERE.parent / "receptionist" / "bot.py"
#: The environment of the harness, made by `nox -s evaluation`.
HARNESS = HERE.parents[2] / ".nox" / "harness" / ("Scripts" if sys.platform == "win32" else "bin") / "python"

#: Speech takes its time, and recognising it takes more on a busy machine.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def server() -> Generator[str]:
    """The address at which the receptionist's WebSocket listens."""
    with rtvi_run(RECEPTIONIST, "--dev", "--plugin", "eval") as address:
        yield f"{address.replace('http', 'ws')}/ws"


def evaluate(server: str, scenarios: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a file of scenarios. The harness writes its logs into `folder`."""
    if not HARNESS.exists():
        pytest.fail("The harness is not installed. Run `nox -s evaluation`.")
    command = [str(HARNESS), "-m", "pipecat.evals", "run", str(scenarios), "--bot-url", server, "--verbose"]
    # The spoken scenarios import offline_speech.
    env = {**os.environ, "PYTHONPATH": str(HERE), "PIPECAT_EVALS_CACHE_DIR": str(folder / "voices")}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=230)


def logs_in(folder: Path) -> str:
    """Return what the harness noted, for the report of a failure."""
    return "\n".join(path.read_text() for path in sorted(folder.rglob("*.eval.log")))


@pytest.mark.parametrize(("name", "count"), [("receptionist", 7), ("interruption", 1), ("spoken", 3)])
def test_the_scenarios_pass(server: str, tmp_path: Path, name: str, count: int) -> None:
    """Scenarios are typed and spoken, with function calls, contexts, interruptions and latencies."""
    done = evaluate(server, HERE / f"{name}.yaml", tmp_path)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{logs_in(tmp_path)}"
    assert f"{count}/{count} passed" in done.stdout


#: Each asks for something that the receptionist does not do.
WRONG = """\
name: wrong
scenarios:
  - name: text
    turns:
      - user: "What does a night cost?"
        expect:
          - {event: response, text_contains: "70 euros", within_ms: 1500}
  - name: argument
    turns:
      - user: "Book a room for three nights under Robert."
        expect: [{event: response}]
      - user: "Yes."
        expect:
          - {event: function_call, within_ms: 1500, calls: [{name: book_room, args: {nights: 2}}]}
  - name: context
    context: [{role: user, content: "My name is Ada."}]
    turns:
      - user: "Book a room for three nights."
        expect:
          - {event: response, text_contains: "for Robert", within_ms: 1500}
"""


def test_scenarios_can_fail(server: str, tmp_path: Path) -> None:
    """Each expectation is compared with what the bot did."""
    (tmp_path / "wrong.yaml").write_text(WRONG)
    done = evaluate(server, tmp_path / "wrong.yaml", tmp_path)
    assert done.returncode != 0, done.stdout
    assert re.search(r"0/3 passed, 3 failed", done.stdout), done.stdout
