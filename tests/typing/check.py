"""Compare both type checkers with `reject.py`: each marked line has an error, and no other line has one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
REJECT = HERE / "reject.py"
STRICT = {"typeCheckingMode": "strict", "include": [REJECT.name], "pythonVersion": "3.11"}


def marked() -> set[int]:
    """Return the lines that are marked as wrong."""
    lines = REJECT.read_text("utf-8").splitlines()
    return {number for number, line in enumerate(lines, 1) if "  # rejected: " in line}


def flagged_by_pyright() -> set[int]:
    """Return the lines on which pyright reports an error."""
    project = HERE / ".reject.json"
    project.write_text(json.dumps(STRICT))
    try:
        found = json.loads(output("pyright", "--outputjson", "--project", str(project)))
    finally:
        project.unlink()
    return {each["range"]["start"]["line"] + 1 for each in found["generalDiagnostics"] if each["severity"] == "error"}


def flagged_by_mypy() -> set[int]:
    """Return the lines on which mypy reports an error."""
    found = output("mypy", "--strict", "--config-file=", "--no-error-summary", REJECT.name)
    return {int(line) for line in re.findall(rf"^{REJECT.name}:(\d+): error:", found, re.MULTILINE)}


def output(checker: str, *arguments: str) -> str:
    """Return a checker's output. Errors in it are expected."""
    command = [sys.executable, "-m", checker, *arguments]
    return subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False).stdout


def main() -> int:
    """Compare, and print each line on which a checker and the file differ."""
    wanted, differences = marked(), 0
    for checker, flagged in {"pyright": flagged_by_pyright(), "mypy": flagged_by_mypy()}.items():
        for line in sorted(wanted ^ flagged):
            verb = "misses the mistake on" if line in wanted else "flags without a mark"
            print(f"{checker} {verb} {REJECT.name}:{line}")
            differences += 1
    print(f"{len(wanted)} mistakes, {differences} differences")
    return bool(differences or not wanted)


if __name__ == "__main__":
    sys.exit(main())
