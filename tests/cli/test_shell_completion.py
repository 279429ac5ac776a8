"""`rtvi completion`: the scripts complete all words, in a real bash, and in other shells that are installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rtvi_plugins.__main__ import main

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def script() -> str:
    """The script for bash."""
    command = [sys.executable, "-m", "rtvi_plugins", "completion", "bash"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def completed(script: str, folder: Path, *words: str) -> set[str]:
    """Return what bash offers for the last of the words after `rtvi`."""
    line = f"COMP_WORDS=(rtvi {' '.join(repr(each) for each in words)}); COMP_CWORD={len(words)}; _rtvi"
    bash = ["bash", "--norc", "-c", f'{script}\n{line}; printf "%s\\n" "${{COMPREPLY[@]}}"']
    done = subprocess.run(bash, cwd=folder, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["d"], {"describe", "doctor"}),
        (["--v"], {"--version"}),
        (["console", "--se"], {"--services", "--service-option"}),
        (["plugins", "--"], {"--help", "--load", "--available", "--json"}),
        (["completion", ""], {"bash", "zsh", "fish"}),
        (["completion", "z"], {"zsh"}),
        (["console", "b"], {"bot.py"}),
        (["console", "bot.py", "--config", "b"], {"bot.py"}),
    ],
)
def test_bash_completes_commands_options_and_files(
    script: str, tmp_path: Path, words: list[str], found: set[str]
) -> None:
    """As a user who presses tab sees it."""
    (tmp_path / "bot.py").touch()
    assert completed(script, tmp_path, *words) == found


def test_the_commands_of_plugins_are_completed(script: str, tmp_path: Path) -> None:
    """Their options and the values of these are completed too."""
    assert completed(script, tmp_path, "ru") == {"run"}
    assert completed(script, tmp_path, "run", "--po") == {"--port"}
    assert completed(script, tmp_path, "run", "bot.py", "--log-level", "w") == {"warning"}
    assert completed(script, tmp_path, "call", "--se") == {"--services", "--secret-env"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_can_read_its_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The shell checks the syntax, if it is installed."""
    assert main(["completion", shell]) == 0
    written = capsys.readouterr().out
    assert "--service-option" in written or "-l service-option" in written
    if shutil.which(shell):
        done = subprocess.run([shell, "-n"], input=written, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_every_command_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    """They are at the end of the help."""
    for words in ([], ["plugins"], ["describe"], ["console"], ["completion"], ["run"], ["call"]):
        assert main([*words, "--help"]) == 0
        _, found, shown = capsys.readouterr().out.partition("\nexamples:\n  ")
        assert found, words
        assert "rtvi" in shown.splitlines()[0]
