"""`rtvi new`: its folders are complete, can be installed and pass their own tests. Nothing is ever overwritten."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from rtvi_plugins.__main__ import main
from rtvi_plugins.declare.specs import BotSpec, specs_of

from ..tools.patience import PATIENCE
from ..tools.processes import environment

Run: TypeAlias = Callable[..., tuple[int, str, str]]

#: The words after `rtvi new`, the folder, its entry points, and its own test files.
PLUGINS: dict[str, tuple[list[str], str, dict[str, str], list[str]]] = {
    "llm": (
        ["provider", "llm", "my_chat"],
        "rtvi-plugins-my-chat",
        {"llm.my_chat": "rtvi_plugins_my_chat.llm"},
        ["test_llm.py"],
    ),
    "speech": (
        ["provider", "tts", "stt", "voicy"],
        "rtvi-plugins-voicy",
        {"tts.voicy": "rtvi_plugins_voicy.tts", "stt.voicy": "rtvi_plugins_voicy.stt"},
        ["test_tts.py", "test_stt.py"],
    ),
    "actions": (["actions", "diary"], "rtvi-plugins-diary", {"diary": "rtvi_plugins_diary"}, ["test_actions.py"]),
}
FOLDERS = [*(folder for _, folder, _, _ in PLUGINS.values()), "pizzeria"]


def files(folder: Path) -> dict[str, str]:
    """The text of each file in a folder, by its path."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in found}


def leftovers(made: dict[str, str]) -> Iterator[str]:
    """The places where a word of the templates was not replaced."""
    for path, text in made.items():
        found = [word for word in ("acme", ".template") if word in f"{path}\n{text}".lower()]
        yield from (f"{path}: {word}" for word in [*found, *re.findall(r"\bTHE_[A-Z_]+", text)])


@pytest.mark.parametrize("template", PLUGINS)
def test_a_plugin_is_complete(run: Run, tmp_path: Path, template: str) -> None:
    """It has an entry point and an API version, and all files that a published distribution needs."""
    words, folder, entry_points, test_files = PLUGINS[template]
    code, _, err = run("new", *words, "--author", "Ada King")
    assert (code, err) == (0, "")
    made = files(tmp_path / folder)
    module = folder.replace("-", "_")
    assert {
        ".gitignore",
        ".github/workflows/release.yml",
        ".github/workflows/tests.yml",
        "CHANGELOG.md",
        "LICENSE",
        "README.md",
        "pyproject.toml",
        f"src/{module}/__init__.py",
        f"src/{module}/py.typed",
        *(f"tests/{each}" for each in test_files),
        *(("bot.py", "tests/fake_server.py") if words[0] == "provider" else ()),
    } <= {*made}
    assert [*leftovers(made)] == []
    toml: dict[str, Any] = tomllib.loads(made["pyproject.toml"])
    project = toml["project"]
    dev = {re.split("[>=]", each)[0] for each in toml["dependency-groups"]["dev"]}
    needed = {"jsonschema"} if template != "actions" else set[str]()  # by `rtvi check`
    assert dev == {"mypy", "pyright", "pytest", "ruff", "trio"} | needed
    assert project["entry-points"] == {"rtvi_plugins": entry_points, "rtvi_plugins.api": {"1": module}}
    assert (project["name"], project["authors"]) == (folder, [{"name": "Ada King"}])
    assert f"Copyright (c) {date.today().year} Ada King\n" in made["LICENSE"]
    assert all(ast.get_docstring(ast.parse(text)) for path, text in made.items() if path.endswith(".py"))
    checked = f"- run: rtvi check {folder} --level gold --oldest\n" in made[".github/workflows/tests.yml"]
    assert checked is (words[0] == "provider")
    release = made[".github/workflows/release.yml"]
    assert "id-token: write" in release
    assert f"rtvi schema {folder} > new.json" in release
    assert "rtvi schema diff old.json new.json" in release


def test_all_three_kinds_together_are_short(run: Run, tmp_path: Path) -> None:
    """A package with an LLM, a TTS and an STT has fewer than 250 lines of source, so a real one fits in 275."""
    assert run("new", "provider", "llm", "tts", "stt", "trio_of_kinds")[0] == 0
    made = files(tmp_path / "rtvi-plugins-trio-of-kinds")
    source = [text for path, text in made.items() if path.startswith("src/")]
    assert sum(len(each.splitlines()) for each in source) < 250
    assert "chat models, voices and speech recognition" in made["README.md"]


@pytest.mark.parametrize(
    ("kinds", "services"),
    [
        (["llm"], {"llm": "my_own"}),
        (["tts"], {"llm": "rules", "tts": "my_own"}),
        (["stt"], {"llm": "rules", "stt": "my_own", "vad": "silero"}),
        (["stt", "tts", "llm"], {"llm": "my_own", "stt": "my_own", "tts": "my_own", "vad": "silero"}),
    ],
)
def test_a_plugin_has_a_bot_that_uses_it(run: Run, tmp_path: Path, kinds: list[str], services: dict[str, str]) -> None:
    """Its other services work without a key. It grants the options of the plugin."""
    code, out, _ = run("new", "provider", *kinds, "my_own")
    assert code == 0
    folder = tmp_path / "rtvi-plugins-my-own"
    text = (folder / "bot.py").read_text("utf-8")
    names: dict[str, Any] = {}
    exec(compile(text, "bot.py", "exec"), names)
    (spec,) = specs_of(names["assistant"])
    assert isinstance(spec, BotSpec)
    assert spec.services == {name: (provider,) for name, provider in services.items()}
    assert {re.split("[.:]", each.name)[0] for each in spec.grants} == {*kinds}
    needed = {f"rtvi-plugins-{each}" for each in services.values() if each != "my_own"}
    assert all(each in out for each in [*needed, "rtvi-plugins-server"])
    server = (folder / "tests" / "fake_server.py").read_text("utf-8")
    assert all(f"from {kind}_vendor import" in server for kind in kinds)
    assert all(f"--service-option {kind}.base_url=" in (folder / "README.md").read_text("utf-8") for kind in kinds)


def test_a_bot_is_complete(run: Run, tmp_path: Path) -> None:
    """A bot is an application: it has tests, but no workflow that publishes it."""
    assert run("new", "bot", "pizzeria")[0] == 0
    made = files(tmp_path / "pizzeria")
    assert {*made} == {
        ".gitignore",
        ".github/workflows/tests.yml",
        "README.md",
        "pizzeria.py",
        "pyproject.toml",
        "tests/test_bot.py",
    }
    assert [*leftovers(made)] == []
    assert tomllib.loads(made["pyproject.toml"])["project"]["name"] == "pizzeria"


def test_the_next_steps_are_printed(run: Run) -> None:
    """They are commands, with the distributions that are needed."""
    code, out, err = run("new", "provider", "llm", "my_chat")
    assert (code, err) == (0, "")
    for step in ("cd rtvi-plugins-my-chat", "rtvi-plugins-vendor", "--editable . --group dev", "-m pytest"):
        assert step in out
    assert "rtvi console pizzeria.py" in run("new", "bot", "pizzeria")[1]


def test_the_author_is_optional(run: Run, tmp_path: Path) -> None:
    """Without an author, the licence names the authors of the distribution."""
    run("new", "actions", "diary")
    assert "The rtvi-plugins-diary authors" in files(tmp_path / "rtvi-plugins-diary")["LICENSE"]


def test_an_authors_name_may_look_like_a_word_of_the_templates(run: Run, tmp_path: Path) -> None:
    """A word in the name is not replaced."""
    run("new", "actions", "diary", "--author", "Acme Ltd, THE_YEAR")
    assert "Acme Ltd, THE_YEAR\n" in files(tmp_path / "rtvi-plugins-diary")["LICENSE"]


@pytest.mark.parametrize("author", ["", "  ", 'Ada "the" King', "Ada\nKing", "Ada\\"])
def test_an_author_that_cannot_be_written_is_refused(run: Run, tmp_path: Path, author: str) -> None:
    """No folder is made."""
    code, _, err = run("new", "actions", "diary", "--author", author)
    assert (code, "--author 'Ada King'" in err) == (2, True)
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(("words", "folder"), [*((words, folder) for words, folder, _, _ in PLUGINS.values())])
def test_an_existing_folder_is_never_changed(run: Run, tmp_path: Path, words: list[str], folder: str) -> None:
    """An empty folder is not changed either."""
    (tmp_path / folder).mkdir()
    code, _, err = run("new", *words)
    assert (code, f"{folder} exists already" in err) == (2, True)
    assert [*(tmp_path / folder).iterdir()] == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["provider", "llm", "My-Vendor"], "Write my_vendor."),
        (["provider", "llm", "../acme"], "Write acme."),
        (["provider", "llm", "1st"], "begins with a letter"),
        (["provider", "llm", "a_name_that_is_much_too_long"], "at most 20 characters"),
        (["provider", "llm", ""], "is not a name"),
        (["provider", "llm", "rules"], "'rtvi_plugins_rules' already"),
        (["actions", "llm"], "names a service of the framework"),
        (["bot", "json"], "'json' already"),
        (["bot", "class"], "'class' already"),
        (["bot", "order"], "use the name 'order'"),
        (["bot", "int"], "use the name 'int'"),
        (["bot", "str"], "use the name 'str'"),
        (["bot", "tests"], "use the name 'tests'"),
        (["provider", "chat", "acme"], "rtvi new provider llm acme"),
        (["provider", "llm"], "rtvi new provider llm acme"),
        (["provider", "llm", "llm", "acme"], "rtvi new provider llm acme"),
        ([], "rtvi new bot pizzeria"),
    ],
)
def test_a_mistake_makes_nothing(run: Run, tmp_path: Path, words: list[str], says: str) -> None:
    """The error says what to write instead, and no folder is made."""
    code, out, err = run("new", *words)
    assert (code, out, says in err) == (2, "", True), err
    assert [*tmp_path.iterdir()] == []


def test_no_half_of_a_folder_is_left(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An example is a full disk."""
    write = Path.write_text

    def failing(path: Path, *arguments: Any, **more: Any) -> int:
        if path.name == "pyproject.toml":
            raise OSError(28, "No space left on device")
        return write(path, *arguments, **more)

    monkeypatch.setattr(Path, "write_text", failing)
    code, _, err = run("new", "actions", "diary")
    assert (code, "No space left on device" in err) == (1, True)
    assert [*tmp_path.iterdir()] == []


# ---- installed -------------------------------------------------------------------------------------------------------


def done(*command: str | Path, cwd: Path) -> str:
    """Run a command to its end, and return its output. It must succeed."""
    ran = subprocess.run(
        list(map(str, command)),
        env=environment(),
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * PATIENCE,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def install(python: Path, folders: Sequence[Path], wheels: Path) -> None:
    """Build a wheel of each folder with what is installed here, and install all of them."""
    for each in folders:
        done(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", wheels, cwd=each)
    found = sorted(wheels.glob("*.whl"))
    assert len(found) == len(folders)
    done(python, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", *found, cwd=wheels)


def answered_by_the_fake(python: Path, folder: Path) -> str:
    """Return what bot.py prints in the console. tests/fake_server.py replaces the vendor, at a free port."""
    serve = "import anyio, fake_server; fake_server.PORT = 0; anyio.run(fake_server.main)"
    with subprocess.Popen(
        [python, "-uc", serve], cwd=folder / "tests", env=environment(), stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            url = re.search(r"http://[\d.:]+\d", server.stdout.readline())
            assert url is not None
            return subprocess.run(
                [python, "-m", "rtvi_plugins", "console", "bot.py", "--service-option", f"llm.base_url={url[0]}"],
                cwd=folder,
                env={**environment(), "MY_CHAT_API_KEY": "any"},
                input="Hello?\n",
                capture_output=True,
                text=True,
                check=True,
                timeout=PATIENCE,
            ).stdout
        finally:
            server.terminate()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_new_package_installs_and_passes_its_own_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network is needed: the environment has the packages of this one, and the new distributions."""
    monkeypatch.chdir(tmp_path)
    for words, _, _, _ in PLUGINS.values():
        assert main(["new", *words]) == 0
    assert main(["new", "bot", "pizzeria"]) == 0
    done(sys.executable, "-m", "venv", "env", cwd=tmp_path)
    python = tmp_path / "env" / "bin" / "python"
    here = sysconfig.get_path("purelib")
    for site in (tmp_path / "env").glob("lib/python*/site-packages"):
        (site / "here.pth").write_text(f"import site; site.addsitedir({here!r})\n", "utf-8")
    install(python, [tmp_path / each for each in FOLDERS], tmp_path / "wheels")
    entries = json.loads(done(python, "-m", "rtvi_plugins", "plugins", "--load", "--json", cwd=tmp_path))
    ours = {(each["distribution"], each["module"]): each for each in entries if each["distribution"] in FOLDERS}
    assert {*ours} == {(folder, module) for _, folder, entry, _ in PLUGINS.values() for module in entry.values()}
    assert [each["broken"] for each in ours.values()] == [None] * len(ours)
    assert all(each["loaded"] for each in ours.values())
    for folder in FOLDERS:
        rules = ["--deselect", "tests/test_rules.py"] if folder == FOLDERS[0] else []  # `rtvi check` runs them below
        output = done(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *rules, cwd=tmp_path / folder)
        assert " passed" in output
        assert "failed" not in output
        assert "skipped" not in output
    done(python, "-m", "rtvi_plugins", "check", "rtvi-plugins-my-chat", "--level", "gold", cwd=tmp_path / FOLDERS[0])
    assert "Hello there." in answered_by_the_fake(python, tmp_path / FOLDERS[0])
    schema = json.loads(done(python, "-m", "rtvi_plugins", "schema", "rtvi-plugins-my-chat", cwd=tmp_path))
    assert [*schema["plugins"]["llm.my_chat"]["actions"]] == ["llm:list_models"]
