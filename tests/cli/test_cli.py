"""The `rtvi` command: what it prints, what it says to mistakes, its exit codes, and what it does not import.

This file is also the bot that it is tried on, `tests/cli/test_cli.py:parrot`.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from argparse import ArgumentTypeError
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import anyio
import pytest
from attrs.validators import ge, le, max_len

from rtvi_plugins import LLM, Doc, Grant, ProviderError, Secret, Session, action, bot, converse, options, service
from rtvi_plugins.cli import (
    FAILED,
    INTERRUPTED,
    OK,
    USAGE,
    Failure,
    UsageError,
    guarded,
    read_arguments,
    read_config,
    read_seconds,
    read_services,
    read_value,
)
from rtvi_plugins.kinds import LLMPiece, LLMRequest, Text, ToolCall

#: How long tests wait, in seconds. This file is also a bot's, which cannot import the tests' own modules.
PATIENCE = 60.0
BOT = f"{__file__}:parrot"
RTVI = [sys.executable, "-m", "rtvi_plugins"]

Run: TypeAlias = Callable[..., tuple[int, str, str]]


# ---- the bot -------------------------------------------------------------------------------------------------------


class Repeating:
    """Repeats the last message. Special messages do other things."""

    times = 1

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        last = request.messages[-1]
        said = str(last["content"])
        if last["role"] == "user" and said == "book":
            yield ToolCall("call-1", "book_room", {"nights": 2})
        elif last["role"] == "user" and said == "wave":
            yield ToolCall("call-2", "greet", {"name": "you"})
        elif said == "fail":
            raise ProviderError("repeating", "quota")
        elif said == "forever":
            yield Text("and so on")
            await anyio.sleep_forever()
        else:
            for word in said.split():
                yield Text(f"{word * self.times} ")


@service("llm", "repeating")
@asynccontextmanager
async def repeating() -> AsyncGenerator[Repeating]:
    """A provider that repeats."""
    yield Repeating()


@options(repeating)
def configure(
    llm: Repeating,
    /,
    times: Annotated[int, ge(1), le(3), Doc("How often each word is said.")] = 1,
    voice: Literal["high", "low"] | str = "high",
) -> None:
    """What it sounds like."""
    llm.times = times


@bot(
    services={"llm": ["repeating"]},
    config={"llm": {"tools": [{"name": "book_room"}, {"name": "greet"}]}},
    client=["llm.times", Grant("llm.voice", writable=False), "bot:greet", "bot:count"],
    public=True,
)
async def parrot(session: Session, /, llm: LLM) -> None:
    """Repeats what you say."""
    await converse(session, llm=llm)


@action(parrot)
async def greet(session: Session, /, name: Annotated[str, max_len(20)], loud: bool = False) -> str:
    """Greets somebody by name."""
    return f"Hello {name}{'!' if loud else '.'}"


@action(parrot, long=True)
async def count(session: Session, /, to: int) -> int:
    """Counts in the background."""
    for number in range(to):
        session.progress(number)
    if to < 0:
        raise ValueError("a secret of the author's")
    return to


@action(parrot)
async def stumble(session: Session, /) -> None:
    """Fail."""
    raise ValueError("a secret of the author's")


@action(parrot)
async def hang_up(session: Session, /) -> None:
    """Ends the session."""
    session.close("the bird has flown.")


@service("llm", "locked")
@asynccontextmanager
async def locked(api_key: Secret, /) -> AsyncGenerator[Repeating]:
    """A provider with a key that is missing."""
    yield Repeating()


@bot(services={"llm": "locked"})
async def keyless(session: Session, /, llm: LLM) -> None:
    """A bot that cannot start."""


@bot()
async def broken(session: Session, /) -> None:
    """A bot that raises at the first text."""
    raise ValueError("a secret of the author's")


@bot()
async def deaf(session: Session, /) -> None:
    """A bot without a conversation."""
    await anyio.sleep_forever()


# ---- what tests use ------------------------------------------------------------------------------------------------


def talk(*lines: str, words: tuple[str, ...] = (BOT,)) -> tuple[int, list[str], str]:
    """Pipe lines into a console process. Return the exit code, the lines of stdout, and stderr."""
    done = subprocess.run(
        [*RTVI, "console", *words],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    # A busy machine takes long to import this file.
    err = re.sub(r"WARNING rtvi_plugins: the import of .* takes longer than .*\n", "", done.stderr)
    return done.returncode, [line.strip() for line in done.stdout.splitlines()], err


# ---- help ----------------------------------------------------------------------------------------------------------


def test_help_tells_commands_and_exit_codes(run: Run) -> None:
    """It lists the core's commands, and those of plugins, installed or not. It explains the exit codes."""
    code, out, _ = run("--help")
    assert code == OK
    for word in ("plugins", "describe", "console", "run", "call", "exit codes:", "130"):
        assert word in out


def test_help_imports_nothing_more_than_the_package(tmp_path: Path, distribution: Callable[..., None]) -> None:
    """It imports no plugin, and no module of the core that only a command needs."""
    distribution(
        "loud", "raise RuntimeError", rtvi_plugins={"llm.loud": "loud"}, rtvi_plugins__commands={"x": "loud:x"}
    )
    script = (
        "import sys, rtvi_plugins, argparse; before = set(sys.modules)\n"
        "from rtvi_plugins.__main__ import main; main(['--help'])\n"
        "print('imported', *sorted(set(sys.modules) - before))"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=env, check=True)
    imported = done.stdout.rpartition("imported ")[2].split()
    assert "rtvi_plugins.__main__" in imported
    heavy = ("rtvi_plugins.hosting", "rtvi_plugins.runtime.session_life", "rtvi_plugins.loading", "rtvi_plugins.client")
    assert [name for name in imported if name.partition(".")[0] in ("loud", "anyio", "asyncio")] == []
    shared = {f"rtvi_plugins.cli.{each}" for each in ("command_line", "failures", "parsers")}
    assert [name for name in imported if name.startswith((*heavy, "rtvi_plugins.cli.")) and name not in shared] == []
    assert "  x  " in done.stdout


def test_without_a_command_the_help_is_shown(run: Run) -> None:
    """The help is on stderr, because this is a mistake."""
    code, out, err = run()
    assert (code, out) == (USAGE, "")
    assert err.startswith("usage: rtvi")


# ---- plugins -------------------------------------------------------------------------------------------------------


def rows(out: str, *names: str) -> dict[str, dict[str, Any]]:
    """The rows of `rtvi plugins --json` for these distributions, by their qualified names."""
    return {row["qualified"]: row for row in json.loads(out) if row["distribution"] in names}


LISTS = (("plugins", "--load"), ("plugins",))


def service_text(provider: str) -> str:
    """The text of a module with one service."""
    return (
        "from contextlib import asynccontextmanager\nfrom rtvi_plugins import service\n\n"
        f"@service('llm', {provider!r})\n@asynccontextmanager\nasync def opened():\n    yield None\n"
    )


def test_available_plugins_have_the_command_that_installs_them(run: Run, distribution: Callable[..., None]) -> None:
    """This is true for native and bridged plugins. Installed plugins of other authors are listed too."""
    distribution("acme-bird", rtvi_plugins={"llm.bird": "acme_bird"}, rtvi_plugins__api={"1": "acme_bird"})
    code, out, _ = run("plugins", "--available", "--json")
    listed = {each["name"]: each for each in json.loads(out)}
    assert code == OK
    assert listed["llm.bird"] == {
        "name": "llm.bird",
        "distribution": "acme-bird",
        "bridged": False,
        "install": None,
    }
    assert listed["llm.echo"]["install"] is None
    assert listed["tts.livekit-rime"] == {
        "name": "tts.livekit-rime",
        "distribution": "livekit-plugins-rime",
        "bridged": True,
        "install": "pip install ./plugins/rtvi-plugins-livekit livekit-plugins-rime",
    }
    _, text, _ = run("plugins", "--available")
    assert re.search(r"^tts\.livekit-rime +bridged +pip install \./plugins/rtvi-plugins-livekit", text, re.MULTILINE)
    assert re.search(r"^llm\.bird +installed$", text, re.MULTILINE)


def test_plugins_are_listed_without_being_imported(run: Run, distribution: Callable[..., None]) -> None:
    """Kind, provider, distribution, version and API version come from the metadata."""
    distribution(
        "acme-bird",
        "raise RuntimeError('imported')",
        rtvi_plugins={"llm.bird": "acme_bird", "seeds": "acme_bird"},
        rtvi_plugins__api={"1": "acme_bird"},
    )
    code, out, _ = run("plugins", "--json")
    listed = rows(out, "acme-bird")
    assert code == OK
    assert "acme_bird" not in sys.modules
    assert listed["acme-bird:bird"] == {
        "kind": "llm",
        "provider": "bird",
        "qualified": "acme-bird:bird",
        "ambiguous": False,
        "module": "acme_bird",
        "distribution": "acme-bird",
        "version": "1.0",
        "api": ["1"],
        "broken": None,
        "loaded": False,
        "unnamed": [],
        "bridge": None,
    }
    assert listed["acme-bird:seeds"]["kind"] is None


def test_an_ambiguous_name_is_shown_with_its_qualified_spelling(run: Run, distribution: Callable[..., None]) -> None:
    """Both distributions are shown, each with the name to write."""
    for name in ("one-owl", "two-owl"):
        module = name.replace("-", "_")
        distribution(name, rtvi_plugins={"llm.owl": module}, rtvi_plugins__api={"1": module})
    _, out, _ = run("plugins")
    assert "write 'one-owl:owl'" in out
    assert "write 'two-owl:owl'" in out
    assert all(row["ambiguous"] for row in rows(run("plugins", "--json")[1], "one-owl", "two-owl").values())


def test_load_tells_which_plugins_are_broken(run: Run, distribution: Callable[..., None]) -> None:
    """The reason and its place are shown. The good plugin is not affected. What a plugin prints is not our output."""
    bad, good = "x = 1\nraise KeyError('seeds')", f"print('hello')\n{service_text('good_hen')}"
    distribution("bad-hen", bad, rtvi_plugins={"llm.bad_hen": "bad_hen"}, rtvi_plugins__api={"1": "bad_hen"})
    distribution("good-hen", good, rtvi_plugins={"llm.good_hen": "good_hen"}, rtvi_plugins__api={"1": "good_hen"})
    code, out, _ = run("plugins", "--load", "--json")
    listed = rows(out, "bad-hen", "good-hen")
    assert code == FAILED
    assert (listed["good-hen:good_hen"]["broken"], listed["good-hen:good_hen"]["loaded"]) == (None, True)
    assert not listed["bad-hen:bad_hen"]["loaded"]
    assert listed["bad-hen:bad_hen"]["broken"].startswith("KeyError: 'seeds' (")
    assert listed["bad-hen:bad_hen"]["broken"].endswith("bad_hen.py:2)")


def test_what_was_loaded_is_said_to_be(run: Run, distribution: Callable[..., None]) -> None:
    """A plugin that was not tried is not reported as good."""
    distribution("well-hen", service_text("well"), rtvi_plugins={"llm.well": "well_hen"}, rtvi_plugins__api={"1": "x"})
    tried, listed = ("\n".join(row for row in run(*words)[1].splitlines() if "well-hen" in row) for words in LISTS)
    assert (tried.split()[-1], listed.split()[-1]) == ("loaded", "1")


@pytest.mark.parametrize("name", ["llm.reed_henn", "lmm.reed_hen", "tts.reed_hen"])
def test_load_tells_which_plugins_declare_something_else(
    run: Run, distribution: Callable[..., None], request: pytest.FixtureRequest, name: str
) -> None:
    """A bot that names it would be told the same; the sentence says what there is."""
    module = f"reed_hen_{name.replace('.', '_')}"
    source = service_text("reed_hen")
    distribution(module.replace("_", "-"), source, rtvi_plugins={name: module}, rtvi_plugins__api={"1": module})
    kind, _, provider = name.partition(".")
    code, out, _ = run("plugins", "--load")
    assert code == FAILED
    assert (
        f"it declares no such service: its entry point must name the module in which @service({kind!r}, {provider!r}) "
        f"stands, and that is not {module!r}; it declares llm.reed_hen.\n" in out
    )


def test_load_tells_of_services_that_no_bot_can_name(run: Run, distribution: Callable[..., None]) -> None:
    """The entry point lacks the kind. What else the module declares can be used."""
    api = {"1": "x"}
    distribution("lone-hen", service_text("lone"), rtvi_plugins={"lone": "lone_hen"}, rtvi_plugins__api=api)
    both = {"pair": "pair_hen", "llm.pair": "pair_hen"}
    distribution("pair-hen", service_text("pair"), rtvi_plugins=both, rtvi_plugins__api=api)
    _, out, _ = run("plugins", "--load")
    problem = "plugin lone-hen:lone: it declares the service llm.lone, which no bot can name; call the entry point"
    assert f"{problem} 'llm.lone'.\n" in out
    unnamed = {name: row["unnamed"] for name, row in rows(run("plugins", "--load", "--json")[1], "pair-hen").items()}
    assert unnamed == {"pair-hen:pair": []}


def test_a_plugin_for_another_api_is_known_before_it_is_imported(run: Run, distribution: Callable[..., None]) -> None:
    """Its metadata says so. Without `--load`, this is not a failure."""
    distribution("old-crow", rtvi_plugins={"llm.crow": "old_crow"}, rtvi_plugins__api={"0": "old_crow"})
    code, out, _ = run("plugins")
    assert code == OK
    assert "llm old-crow:crow: it was built for version 0 of the plugin API, and this is version 1." in out
    assert run("plugins", "--load")[0] == FAILED


# ---- mistakes ------------------------------------------------------------------------------------------------------

SOURCES = {
    "raising.py": "def f():\n    return 1 / 0\n\nf()\n",
    "syntax.py": "x = 1\ndef f(:\n",
    "leaving.py": "import sys\n\nsys.exit(3)\n",
    "importing.py": "import json\nimport no_such_module\n",
    "declaring.py": "from rtvi_plugins import bot\n\n@bot()\nasync def hen(session): ...\n",
    "hens.py": "from circling import hen\n",
    "circling.py": (
        "import hens\nfrom rtvi_plugins import Session, bot\n\n"
        "@bot()\nasync def hen(session: Session, /) -> None: ...\n"
    ),
    "colorsys.py": "from colorsys import rgb_to_hsv\n",
    "relative.py": "from . import hens\n",
    "lacking.py": (
        "from rtvi_plugins import LLM, Session, bot\n\n"
        "@bot(services={'llm': 'no_such'})\nasync def hen(session: Session, /, llm: LLM) -> None: ...\n"
    ),
}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["descrbe", "bot.py"], "There is no command 'descrbe'. Did you mean 'describe'?"),
        (["describe"], "the following arguments are required: BOT"),
        (["describe", "nowhere.py"], "There is no file 'nowhere.py'."),
        (["describe", "no.such:bot"], "There is no module 'no.such'."),
        (["describe", f"{__file__}:parot"], "did you mean 'parrot'?"),
        (["describe", "raising.py"], "ZeroDivisionError: division by zero ({}, line 2)."),
        (["describe", "syntax.py"], "SyntaxError: invalid syntax (syntax.py, line 2)."),
        (["describe", "leaving.py"], "SystemExit: 3 ({}, line 3)."),
        (["describe", "importing.py"], "ModuleNotFoundError: No module named 'no_such_module' ({}, line 2)."),
        (["describe", "circling.py"], "Two modules import each other. In the bot's module, import the other one below"),
        (["describe", "circling.py:hen"], "Two modules import each other. In the bot's module"),
        (["describe", "colorsys.py"], "colorsys.py hides the library 'colorsys'. Rename the file."),
        (["describe", "colorsys.py:hen"], "colorsys.py hides the library 'colorsys'. Rename the file."),
        (["describe", "relative.py"], "Name its module instead, as in package.module:bot."),
        (["describe", "declaring.py"], "hen() ({}:3)"),
        (["describe", "lacking.py"], "No llm provider 'no_such' is installed."),
        (["plugins", "--lod"], "rtvi plugins: error: unrecognized arguments: --lod; did you mean --load?"),
        (["--verison"], "rtvi: error: unrecognized arguments: --verison; did you mean --version?"),
        (["describe", BOT, "--services", "llm"], "'llm' cannot be read. Write service=provider, as in llm=together."),
        (
            ["console", BOT, "--config", "times=2"],
            "'times' does not name an option of a service. Write",
        ),
        (["console", BOT, "--config", "llm.a=2", "--config", "llm.a=3"], "'llm.a' is given twice. Write it once."),
        (["console", BOT, "--timeout", "0"], "--timeout: '0' is not a time. Write a number of seconds, more than 0"),
        (["console", BOT, "--services", "foo=rules"], "unknown service 'foo'"),
        (["console", BOT, "--services", "llm=repeeting"], "did you mean 'repeating'?"),
        (["console", BOT, "--config", "foo.times=2"], "unknown service 'foo'"),
        (["console", BOT, "--config", "llm.foo=1"], "unknown llm option 'foo'"),
        (["console", BOT, "--config", "llm.times=9"], "must be <= 3"),
        (["describe", BOT, "--services", "foo=rules"], "unknown service 'foo'"),
        (["describe", BOT, "--services", "llm=repeeting"], "did you mean 'repeating'? (unknown-provider)"),
    ],
)
def test_a_mistake_is_answered_by_a_sentence(run: Run, tmp_path: Path, words: list[str], sentence: str) -> None:
    """The sentence says what is wrong, where, and what to write instead. The exit code is 2, and stdout is empty."""
    for name, source in SOURCES.items():
        (tmp_path / name).write_text(source, "utf-8")
    code, out, err = run(*words)
    assert (code, out) == (USAGE, "")
    assert sentence.format(tmp_path / words[-1]) in err
    assert "Traceback" not in err


def test_what_cannot_be_done_is_a_failure(run: Run) -> None:
    """The command line is correct, but the session does not start. The exit code is 1."""
    code, _, err = run("console", f"{__file__}:keyless")
    assert code == FAILED
    assert err.endswith("(missing-key)\n")


def test_traceback_shows_all(run: Run, tmp_path: Path) -> None:
    """The flag may be in any place. The sentence comes last."""
    (tmp_path / "raising.py").write_text(SOURCES["raising.py"], "utf-8")
    for words in (["--traceback", "describe", "raising.py"], ["describe", "raising.py", "--traceback"]):
        code, _, err = run(*words)
        assert code == USAGE
        assert "Traceback (most recent call last)" in err
        assert err.splitlines()[-1].startswith("rtvi: raising.py cannot be imported: ZeroDivisionError")


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (UsageError("No."), USAGE),
        (Failure("No."), FAILED),
        (ExceptionGroup("group", [ExceptionGroup("group", [UsageError("No.")])]), USAGE),
        (ConnectionRefusedError("refused"), FAILED),
        (ExceptionGroup("group", [ValueError("a"), ValueError("b")]), FAILED),
        (KeyboardInterrupt(), INTERRUPTED),
        (BaseExceptionGroup("group", [KeyboardInterrupt()]), INTERRUPTED),
        (GeneratorExit("No."), FAILED),
        (SystemExit(None), OK),
        (SystemExit(7), 7),
        (SystemExit("goodbye"), USAGE),
    ],
)
def test_whatever_is_raised_becomes_an_exit_code(
    capsys: pytest.CaptureFixture[str], raised: BaseException, code: int
) -> None:
    """And at most one sentence."""

    def fail() -> int:
        raise raised

    assert guarded(fail) == code
    assert capsys.readouterr().err.count("\n") <= 1


@pytest.mark.skipif(sys.platform == "win32", reason="there is no shell to close a stream")
@pytest.mark.parametrize(("words", "code"), [(["plugins"], OK), (["console", BOT], OK), (["nothing"], USAGE)])
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_like_the_null_device(words: list[str], code: int, closed: str) -> None:
    """A command reads nothing from it, and what it writes there is lost."""
    command = ["sh", "-c", f'exec "$@" {closed}', "sh", *RTVI, *words]
    done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=PATIENCE, check=False)
    assert (done.returncode, b"NoneType" in done.stderr) == (code, False)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no shell to close a stream")
def test_a_file_does_not_take_the_place_of_a_closed_stream(tmp_path: Path) -> None:
    """A child process would write its output into the file."""
    script = (
        "import os, sys; from rtvi_plugins.cli import guarded\n"
        "def run():\n"
        "    with open(sys.argv[1], 'w') as file:\n"
        "        os.system('echo printed')\n"
        "    return 0\n"
        "guarded(run)"
    )
    file = tmp_path / "file"
    subprocess.run(["sh", "-c", 'exec "$@" >&- 2>&-', "sh", sys.executable, "-c", script, str(file)], check=True)
    assert file.read_text() == ""


# ---- values --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "type", "value"),
    [
        ("5", "number", 5),
        ("5", None, 5),
        ("5", "string", "5"),
        ("true", "bool", True),
        ("true", "string", "true"),
        ('"5"', None, "5"),
        ("hello you", None, "hello you"),
        ("", None, ""),
        ('{"a": [1]}', "object", {"a": [1]}),
        ("NaN", "number", "NaN"),
        ("null", None, None),
    ],
)
def test_a_value_is_json_unless_it_is_meant_for_a_string(text: str, type: str | None, value: Any) -> None:
    """A value that is not JSON is text."""
    assert read_value(text, type) == value


def test_words_become_services_config_and_arguments() -> None:
    """A value may contain more of the separators."""
    assert read_services(["llm=acme", "tts=other"]) == {"llm": "acme", "tts": "other"}
    config = {"llm": {"model": "7", "temperature": 0.5}, "tts": {"voice": "a=b"}}
    words = ["llm.model=7", "llm.temperature=0.5", "tts.voice=a=b"]
    assert read_config(words, {"llm.model": "string"}) == config
    assert read_arguments(["a=1", "b=1"], {"a": "string"}) == {"a": "1", "b": 1}


def test_seconds_are_more_than_none() -> None:
    """The text "inf" means no limit."""
    assert (read_seconds("0.5"), read_seconds("inf")) == (0.5, float("inf"))
    for text in ("0", "-1", "nan", "soon", "", "1e300"):
        with pytest.raises(ArgumentTypeError, match="more than 0 and at most 31536000"):
            read_seconds(text)


# ---- commands of plugins -------------------------------------------------------------------------------------------


def test_a_plugin_brings_a_command(run: Run, distribution: Callable[..., None]) -> None:
    """The command gets the words after its name, and its exit code is ours."""
    source = "def wave(argv):\n    print('waving', argv)\n    return 5\n"
    distribution("wing-one", source, rtvi_plugins__commands={"wave": "wing_one:wave"})
    code, out, _ = run("wave", "--fast", "a=1")
    assert (code, out) == (5, "waving ['--fast', 'a=1']\n")


def test_what_a_command_raises_is_told_in_a_sentence(run: Run, distribution: Callable[..., None]) -> None:
    """The sentence has the place in the plugin's code."""
    source = "def wave(argv):\n    raise ValueError('no wings')\n"
    distribution("wing-two", source, rtvi_plugins__commands={"wave": "wing_two:wave"})
    code, _, err = run("wave")
    assert code == FAILED
    assert err.startswith("rtvi: ValueError: no wings (")
    assert "wing_two.py, line 2)" in err


def test_help_names_the_package_of_a_command(run: Run, distribution: Callable[..., None]) -> None:
    """To know more, it would have to import the plugin."""
    distribution("wing-help", "", rtvi_plugins__commands={"flap": "wing_help.commands:flap", "hop": "wing_help:hop"})
    out = run("--help")[1]
    for word, says in {
        "flap": "from the package wing_help",
        "hop": "from the package wing_help",
        "top": "show the live sessions of a bot that is being served",
    }.items():
        assert f"  {word:<20}  {says}\n" in out


@pytest.mark.parametrize("source", ["raise ImportError('no feathers')", ""], ids=["raises", "lacks the function"])
def test_a_broken_command_is_told_in_a_sentence(
    run: Run, distribution: Callable[..., None], request: pytest.FixtureRequest, source: str
) -> None:
    """The installation is at fault, not the request."""
    name = f"wing-three{len(source)}"
    distribution(name, source, rtvi_plugins__commands={"wave": f"{name.replace('-', '_')}:wave"})
    code, _, err = run("wave")
    assert code == USAGE
    assert err.startswith("rtvi: The command 'wave' cannot be used: ")


@pytest.mark.parametrize(
    ("word", "brought", "installed"),
    [
        ("run", "rtvi-plugins-server", ("server",)),
        ("call", "rtvi-plugins-client", ("client",)),
        ("top", "rtvi-plugins-monitor", ("server", "monitor")),  # the monitor needs the server
    ],
)
def test_a_command_of_ours_that_is_not_installed_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, run: Run, word: str, brought: str, installed: tuple[str, ...]
) -> None:
    """It names the distribution, which `--help` does too."""
    monkeypatch.setattr("rtvi_plugins.registry.distribution_metadata.commands", dict[str, str])
    code, _, err = run(word, "bot.py")
    assert code == USAGE
    folders = " ".join(f"./plugins/rtvi-plugins-{each}" for each in installed)
    hint = f"in the checkout of rtvi-plugins, run: pip install {folders}"
    assert err == f"rtvi: 'rtvi {word}' comes with {brought}, which is not installed; {hint}\n"
    assert f"({hint})" in run("--help")[1]


# ---- console -------------------------------------------------------------------------------------------------------


def test_a_conversation_can_be_piped_in() -> None:
    """Each line is answered before the next one is sent. The last line needs no line end."""
    code, lines, err = talk("hello there", "", "how are you")
    assert (code, lines, err) == (OK, ["hello there", "how are you"], "")


def test_the_console_obeys_its_commands() -> None:
    """Options are set and actions are called, with the declared types. After a mistake, the conversation continues.

    The exit code of a piped conversation with a mistake is a failure.
    """
    code, lines, _ = talk(
        "/set llm.times=2",
        "hello",
        "/set llm.times=9",
        "/call bot:greet name=5 loud=true",
        "/call bot:greet naame=5",
        "/call greet",
        "/wave",
        '/call "',
        "/quit now",
        "never said",
    )
    assert code == FAILED
    assert lines[:2] == ["llm.times = 2", "hellohello"]
    assert "must be <= 3" in lines[2]
    assert lines[3] == '"Hello 5!"'
    assert "did you mean 'name'?" in lines[4]
    assert lines[5].startswith("! Write /call service:action")
    assert lines[6].startswith("! There is no command '/wave'")
    assert lines[7].startswith("! The line cannot be read")
    assert len(lines) == 8


def test_objects_and_arrays_need_no_quotes_in_the_console() -> None:
    """They are JSON, with spaces and quotes within. Quotes as in a shell still work."""
    call = "/call llm:append_to_messages messages="
    code, lines, _ = talk(
        call + '[{"role": "user", "content": "it\'s me"}]',
        call + """'[{"role": "user", "content": "and me"}]'""",
        '/call bot:greet name="{you} there" loud=true',
        call + '[{"role": "user"}',
        "/call llm:get_context",
    )
    assert lines[:3] == ["true", "true", '"Hello {you} there!"']
    assert lines[3].startswith("! ")
    assert '"it\'s me"' in lines[4]
    assert code == FAILED


def test_the_console_shows_what_there_is() -> None:
    """It shows everything, because the user has the bot's file."""
    _, lines, _ = talk("/help", "/actions", "/config")
    assert "bot:hang_up() -> null" in lines
    assert "llm.times = 1" in lines
    assert any(line.startswith("/quit") for line in lines)


def test_a_function_that_the_bot_calls_is_answered_with_an_error() -> None:
    """A line shows the call. The LLM gets the error as the result, and continues."""
    code, lines, _ = talk("book", "thanks")
    assert code == OK
    assert lines[0] == "(the bot calls book_room(nights=2), which no connected client can run)"
    assert "book_room was not run" in lines[1]
    assert lines[2] == "thanks"


def test_a_function_that_is_an_action_of_the_bots_is_run() -> None:
    """The line names the action. The LLM gets its result, and continues."""
    code, lines, _ = talk("wave")
    assert code == OK
    assert lines == ['(the bot calls greet(name="you"); the console runs it by bot:greet)', "Hello you."]


def test_an_action_that_raises_says_why() -> None:
    """The terminal is the author's. With `--traceback`, the place is shown too."""
    code, lines, err = talk("/call bot:stumble")
    assert code == FAILED
    assert lines == ["! The action 'bot:stumble' failed."]
    assert err.endswith("raised ValueError: a secret of the author's (--traceback shows where)\n")
    _, lines, err = talk("/call bot:stumble", words=(BOT, "--traceback"))
    assert lines == ["! The action 'bot:stumble' failed."]
    assert "secret of the author's" in err
    assert "--traceback shows" not in err


def test_a_vendors_failure_is_a_line() -> None:
    """The conversation continues. For piped input, the exit code is a failure."""
    code, lines, _ = talk("fail", "hello")
    assert (code, lines) == (FAILED, ["! repeating has no quota left for this account.", "hello"])


def test_services_and_config_are_given_at_the_start() -> None:
    """An invalid one ends the console before it begins."""
    assert talk("hi", words=(BOT, "--services", "llm=repeating", "--config", "llm.times=3"))[:2] == (OK, ["hihihi"])
    code, lines, err = talk("hi", words=(BOT, "--config", "llm.times=9"))
    assert (code, lines) == (USAGE, [])
    assert err.endswith("(invalid-config)\n")


def test_the_end_of_the_session_is_the_end_of_the_console() -> None:
    """If the bot closes the session, this is not a failure."""
    code, lines, _ = talk("/call bot:hang_up", "never said")
    assert (code, lines) == (OK, ["The session has ended: the bird has flown."])


def test_a_bot_that_raises_is_a_failure() -> None:
    """The log says which and why. Only `--traceback` shows where."""
    code, lines, err = talk("hello", words=(f"{__file__}:broken",))
    assert (code, lines) == (FAILED, ["! The bot failed, and the session is over."])
    assert f"({__file__}:" in err
    assert err.endswith("raised ValueError: a secret of the author's (--traceback shows where)\n")
    assert "secret of the author's" in talk("hello", words=(f"{__file__}:broken", "--traceback"))[2]


def test_a_lifespan_that_does_not_open_is_a_failure(tmp_path: Path) -> None:
    """The error names it, before the conversation begins."""
    (tmp_path / "bot.py").write_text(
        "from collections.abc import AsyncGenerator\nfrom contextlib import asynccontextmanager\n"
        "from rtvi_plugins import Session, bot, lifespan\n"
        "@lifespan\n@asynccontextmanager\nasync def pool() -> AsyncGenerator[None]:\n    raise OSError\n    yield\n"
        "@bot()\nasync def needy(session: Session, /) -> None: ...\n"
    )
    code, lines, err = talk("hello", words=(str(tmp_path / "bot.py"),))
    assert (code, lines) == (USAGE, [])
    assert err.endswith("of the bot needy cannot open: it raised OSError.\n")


def test_a_bot_that_does_not_answer_is_given_up() -> None:
    """The time is that of `--timeout`."""
    code, lines, _ = talk("hello", words=(f"{__file__}:deaf", "--timeout", "0.2"))
    assert code == FAILED
    assert lines == ["! The bot has been silent for 0.2 s."]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send")
def test_ctrl_c_interrupts_the_answer_and_then_leaves() -> None:
    """The first one interrupts, and the conversation continues. If the bot is silent, the console ends with 130."""
    command = [*RTVI, "console", BOT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("forever\n")
        assert process.stdout.read(len("and so on")) == "and so on"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "\n"
        assert process.stdout.readline() == "(interrupted)\n"
        process.stdin.write("/call bot:greet name=you\n")
        assert process.stdout.readline() == '"Hello you."\n'
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == INTERRUPTED  # while stdin is still open


# ---- call ----------------------------------------------------------------------------------------------------------


@contextmanager
def served() -> Generator[str]:
    """The base URL of a server with the bot, in a process of its own."""
    script = "import sys; from rtvi_plugins_server.command import run; sys.exit(run(sys.argv[1:]))"
    command = [sys.executable, "-c", script, BOT, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().partition(" on ")[2].split()[0]
        finally:
            process.terminate()
            process.wait(PATIENCE)


@pytest.fixture(scope="module")
def url() -> Generator[str]:
    """One server for the tests of `rtvi call`."""
    with served() as url:
        yield url


@pytest.fixture
def call(url: str, capsys: pytest.CaptureFixture[str]) -> Run:
    """Calls an action of the served bot."""
    from rtvi_plugins_client.command import call

    def run(*words: str) -> tuple[int, str, str]:
        code = guarded(lambda: call([url, *words]))
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_call_prints_the_result_as_json(call: Run) -> None:
    """A value for a string stays a string."""
    assert call("bot:greet", "name=5", "loud=true") == (OK, '"Hello 5!"\n', "")


def test_call_takes_options_anywhere(call: Run) -> None:
    """Options may also come before the arguments."""
    assert call("bot:greet", "--timeout", "5", "name=you", "--config", "llm.times=2", "loud=true")[:2] == (
        OK,
        '"Hello you!"\n',
    )


def test_call_tells_what_the_server_refuses(call: Run) -> None:
    """The error has the code, and says what to write instead."""
    code, out, err = call("bot:gret")
    assert (code, out) == (FAILED, "")
    assert "did you mean 'greet'?" in err
    assert err.endswith("(unknown-action)\n")
    assert call("bot:greet", "name=you", "--services", "llm=other")[2].endswith("(unknown-provider)\n")
    assert call("bot:greet", "name=you", "--config", "llm.voice=low")[2].endswith("(not-granted)\n")


def test_call_waits_for_what_continues_in_the_background(call: Run) -> None:
    """Progress is printed to stderr, and the result to stdout. A failure is an exit code."""
    assert call("bot:count", "to=3") == (OK, "3\n", "0\n1\n2\n")
    code, out, err = call("bot:count", "to=-1")
    assert (code, out) == (FAILED, "")
    assert err == "rtvi: The action 'bot:count' failed.\n"


def test_call_needs_the_right_secret(call: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The secret comes from the environment, and is not printed."""
    monkeypatch.setenv("SECRET_OF_A_TEST", "secret-of-a-test")
    code, _, err = call("bot:greet", "name=you", "--secret-env", "SECRET_OF_A_TEST")
    assert code == FAILED
    assert err.endswith("(unauthorized)\n")
    assert "secret-of-a-test" not in err
