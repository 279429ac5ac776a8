"""Helpers for the tests of commands: run one in this process, and install distributions for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from rtvi_plugins.__main__ import main

Run: TypeAlias = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs a command line in this process, and returns the exit code, stdout and stderr. It runs in tmp_path."""
    monkeypatch.syspath_prepend(tmp_path)  # so that the test leaves sys.path as it was  # pyright: ignore[reportUnknownMemberType]
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        code = main(words)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.fixture
def distribution(tmp_path: Path) -> Callable[..., None]:
    """Installs a distribution into tmp_path: its metadata, its entry points by group, and one module."""

    def install(name: str, source: str = "", version: str = "1.0", **groups: dict[str, str]) -> None:
        info = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        sections = [
            f"[{group.replace('__', '.')}]\n" + "\n".join(f"{key} = {value}" for key, value in entries.items())
            for group, entries in groups.items()
        ]
        (info / "entry_points.txt").write_text("\n\n".join(sections), "utf-8")
        (tmp_path / f"{name.replace('-', '_')}.py").write_text(source, "utf-8")

    return install
