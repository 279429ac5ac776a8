"""The README tells every option."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rtvi_plugins_assemblyai.stt import assemblyai_stt, recognition

README = Path(__file__).parents[1].joinpath("README.md").read_text("utf-8")


def test_the_readme_tells_every_option() -> None:
    """With its default, if that is a text."""
    functions: list[Callable[..., Any]] = [assemblyai_stt, recognition]
    parameters = [each for function in functions for each in inspect.signature(function).parameters.values()]
    sent = {each.name: each.default for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD}
    assert [name for name in sent if f"| `{name}` |" not in README] == []
    assert [each for each in sent.values() if isinstance(each, str) and f"`{each}`" not in README] == []
