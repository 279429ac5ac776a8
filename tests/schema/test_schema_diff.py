"""`rtvi schema`: the changes in `changes.json` get the class of their label, and real declarations are compared."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rtvi_plugins.__main__ import main
from rtvi_plugins.cli.schema_diff import compare

CHANGES: list[dict[str, Any]] = json.loads(Path(__file__).with_name("changes.json").read_text("utf-8"))


def api(at: str, part: Any) -> dict[str, Any]:
    """Put a part of an API into a complete one."""
    if at == "action":
        at, part = "actions", {"llm:say": part}
    if at == "actions":
        at, part = "plugin", {"actions": part}
    return {"rtvi_schema": 1, "plugins": {"llm.acme": part} if at == "plugin" else part}


def test_there_are_a_hundred_labelled_changes() -> None:
    """Each class has several."""
    assert len({each["name"] for each in CHANGES}) == len(CHANGES) >= 100
    for level in ("breaking", "compatible", "documentation"):
        assert sum(each["level"] == level for each in CHANGES) >= 8


@pytest.mark.parametrize("case", CHANGES, ids=[each["name"] for each in CHANGES])
def test_a_labelled_change_is_classed_as_its_label_says(case: dict[str, Any]) -> None:
    """The most serious difference has the class of the label, comes first, and has the path."""
    old, new = api(case["at"], case["old"]), api(case["at"], case["new"])
    first = compare(old, new)[0]
    assert first.level == case["level"]
    assert first.path.endswith(case["path"])
    assert first.sentence.endswith(".")
    assert compare(old, old) == compare(new, new) == []


# ---- the command ---------------------------------------------------------------------------------------------------

SOURCE = '''
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Literal

from rtvi_plugins import LLM, Secret, action, options, service, Was


@service("llm", "acme")
@asynccontextmanager
async def acme(api_key: Secret, /, base_url: str = "https://acme.example") -> AsyncGenerator[LLM]:
    """Acme's models."""
    raise NotImplementedError
    yield


@options(acme)
def configure(llm: LLM, /, model: Literal["small"] | str = "small", OPTION = 1) -> None:
    """Set the model."""


@action(acme)
async def list_models(llm: LLM, /) -> RESULT:
    """List the models."""
    raise NotImplementedError
'''


def written(folder: Path, option: str, result: str) -> str:
    """Install a version of a distribution. Return the file with its API, made in a process of its own."""
    info = folder / "acme-1.0.dist-info"
    info.mkdir(parents=True)
    points = "[rtvi_plugins]\nllm.acme = acme_llm\n[rtvi_plugins.api]\n1 = acme_llm\n"
    (info / "entry_points.txt").write_text(points, "utf-8")
    text = SOURCE.replace("OPTION", option).replace("RESULT", result)
    (folder / "acme_llm.py").write_text(text, "utf-8")
    start = f"import sys; sys.path.insert(0, {str(folder)!r}); from rtvi_plugins.__main__ import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", start, "schema", "acme"], capture_output=True, text=True, check=True)
    file = folder / "api.json"
    file.write_text(done.stdout, "utf-8")
    return str(file)


@pytest.mark.slow
def test_two_versions_of_a_real_plugin_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code is 1 for a breaking change."""
    first = written(tmp_path / "first", "seed: int", "list[str]")
    found = json.loads(Path(first).read_text("utf-8"))
    plugin = found["plugins"]["llm.acme"]
    assert (found["distribution"], found["version"]) == ("acme", "1.0")
    assert plugin["keys"] == {"api_key": {"required": True}}
    assert list(plugin["service_options"]) == ["base_url"]
    assert list(plugin["options"]) == ["llm.model", "llm.seed"]
    assert list(plugin["actions"]) == ["llm:list_models"]

    renamed = written(tmp_path / "second", 'start: Annotated[int, Was("seed")]', "list[str]")
    assert main(["schema", "diff", first, first]) == 0
    assert capsys.readouterr().out == "No differences.\n"
    assert main(["schema", "diff", first, renamed]) == 0
    assert "It is now 'llm.start'; the former name is still accepted." in capsys.readouterr().out

    broken = written(tmp_path / "third", "seed: int", "list[int]")
    assert main(["schema", "diff", first, broken, "--json"]) == 1
    levels = [each["level"] for each in json.loads(capsys.readouterr().out)]
    assert levels == ["breaking", "compatible"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["diff", "old.json"], "rtvi schema diff OLD NEW"),
        (["diff", "gone.json", "gone.json"], "cannot be read"),
        (["diff", "other.json", "other.json"], "is not the API"),
        (["no-such-distribution"], "No distribution 'no-such-distribution'"),
    ],
)
def test_schemas_that_cannot_be_compared_are_refused(
    words: list[str], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what to write instead."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.json").write_text("[]", "utf-8")
    assert main(["schema", *words]) == 2
    assert why in capsys.readouterr().err
