"""Bot files: a bot without Python, and the errors for mistakes in one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from rtvi_plugins import bot_file
from rtvi_plugins.__main__ import main
from rtvi_plugins.bot_file import load_bot_file
from rtvi_plugins.cli import OK, USAGE
from rtvi_plugins.errors import AuthorError, BotError, RequestError
from rtvi_plugins.loading import bot_spec
from rtvi_plugins.testing import connect, host_for

Write: TypeAlias = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a bot file into the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "modules", dict(sys.modules))

    def put(text: str) -> Path:
        Path("porter.toml").write_text(text, "utf-8")
        return Path("porter.toml")

    return put


WHOLE = """
name = "night_porter"
description = "Opens the door."
prompt = "You are a porter."
greeting = "Good evening."
client = ["tts:say", { name = "llm:get_context" },
          { name = "llm.times", maximum = 5, writable = true },
          { name = "bot:say_back", arguments = { text = { maxLength = 3 }, times = { enum = [1, 2] } } }]
functions = ["bot:say_back"]
plugins = ["echo"]
public = true

[services]
llm = ["echo", "rules"]
voice = { kind = "tts", providers = "echo" }

[config."llm.echo"]
times = 2

[turn_taking]
interruptible = false

[env.production]
public = false
greeting = "Hello."
client = []
services.llm = "echo"
config."llm.echo".prefix = "You said: "
"""


def test_a_bot_file_declares_a_bot(write: Write) -> None:
    """Everything that `@bot` takes can be written."""
    spec = bot_spec(load_bot_file(write(WHOLE.replace('"tts:say"', '"voice:say"'))))
    assert (spec.name, spec.doc, spec.public, spec.plugins) == ("night_porter", "Opens the door.", True, ("echo",))
    assert spec.services == {"llm": ("echo", "rules"), "voice": ("echo",)}
    assert spec.kinds == {"llm": "llm", "voice": "tts"}
    assert [each.name for each in spec.grants] == ["voice:say", "llm:get_context", "llm.times", "bot:say_back"]
    assert [each.name for each in spec.functions] == ["bot:say_back"]
    prompt = {"messages": [{"role": "system", "content": "You are a porter."}]}
    assert spec.config == {"llm.echo": {"times": 2}, "llm": prompt}


def test_an_environment_changes_it(write: Write) -> None:
    """Tables are merged, and other values are replaced."""
    spec = bot_spec(load_bot_file(write(WHOLE), "production"))
    assert (spec.public, spec.grants, spec.services["llm"]) == (False, (), ("echo",))
    assert spec.config["llm.echo"] == {"times": 2, "prefix": "You said: "}
    assert spec.services["voice"] == ("echo",)


def test_the_mark_that_editors_of_windows_write_is_ignored(write: Write) -> None:
    """TOML does not allow it."""
    assert bot_spec(load_bot_file(write('\ufeffservices = { llm = "echo" }'))).name == "porter"


def test_the_name_is_that_of_the_file(write: Write) -> None:
    """The file may also contain a name."""
    assert bot_spec(load_bot_file(write('services = { llm = "echo" }'))).name == "porter"


@pytest.mark.anyio
async def test_it_talks(write: Write) -> None:
    """It greets, answers, and respects its grants."""
    bot = load_bot_file(write(WHOLE.replace('"tts:say"', '"voice:say"').replace("times = 2", "")))
    async with connect(bot) as client:
        assert await client.action("bot:say_back", text="abc", times=2) == "abc abc"
        with pytest.raises(RequestError, match="3"):
            await client.action("bot:say_back", text="abcd")
        with pytest.raises(RequestError):
            await client.action("bot:say_back", text="abc", times=3)
        assert await client.ask("hello") == "hello"
        (greeting, *_) = (await client.action("llm:get_context"))["messages"][1:]
        assert greeting == {"role": "assistant", "content": "Good evening."}


@pytest.mark.anyio
async def test_a_speech_to_speech_model_takes_the_place_of_the_llm(write: Write) -> None:
    """The prompt is the model's first message."""
    text = 'prompt = "You are a porter."\nclient = ["speech:get_context"]\nservices = { speech = "echo" }'
    async with connect(load_bot_file(write(text))) as client:
        await client.ask("hello")
        messages = (await client.action("speech:get_context"))["messages"]
    assert [each["content"] for each in messages] == ["You are a porter.", "hello", "hello"]


LLM = 'services = { llm = "echo" }\n'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("services = ", "porter.toml is not TOML: Invalid value (at end of document). Write a text in quotes, and"),
        ("services:\n  llm: echo", "(at line 1, column 9). Write key = value, as in prompt = "),
        ('{"services": {}}', "(at line 1, column 1). Write key = value, as in prompt = "),
        (LLM + "public = True", "Write a text in quotes, and true or false in small letters."),
        (LLM + "prompt = 'It's'", "Write each key on a line of its own, and a text with an apostrophe in double"),
        ('name = "a"\nname = "b"', "Write each key once."),
        ("[services]\n[services]", "Write each table once."),
        ('prompt = "a\nb"', 'Write a text of several lines between """ and """.'),
        ('prompt = "C:\\data"', "Write \\\\ for a backslash, or put the text in single quotes."),
        ('services = { llm = "echo",\n }', "Write a table in braces on one line, without a comma at its end."),
        ('services = { llm = "echo"\n', "Write a table in braces on one line, without a comma at its end."),
        ('services = "echo"', "porter.toml: services: expected a table, got the string 'echo'"),
        (
            '[services]\nllm = "echo"\npublic = true',
            "services.public: expected a string or an array or a table, got true. It is a key of the file: write it",
        ),
        (
            LLM + "[config]\npublic = true",
            "config.public: expected a table, got true. It is a key of the file: write it above the first [table].",
        ),
        (
            LLM + "[env]\npublic = true",
            "env.public: expected a table, got true. It is a key of the file: write it",
        ),
        (
            '[services]\nllm = "echo"\nprompt = "x"',
            "'prompt' is not a kind of a conversation. It is a key of the file: write it above the first [table].",
        ),
        (
            LLM + "[turn_taking]\nidle_seconds = 9\npublic = true",
            "idle_text. It is a key of the file: write it above the first [table].",
        ),
        ("", 'porter.toml: services: a conversation needs an llm or a speech service. Write llm = "rules".'),
        ('nmae = "x"\n' + LLM, "porter.toml: nmae: unknown field 'nmae'; did you mean 'name'?"),
        (
            "services = { llm = 3 }",
            "services.llm: expected a string or an array or a table, got the number 3",
        ),
        (
            'services = { llm = "echo", speech = "echo" }',
            "porter.toml: services.llm: a speech service replaces llm. Remove one of them.",
        ),
        (
            'services = { speech = "echo" }\nfiller = "One moment."',
            "porter.toml: filler: a speech-to-speech model cannot say a sentence while it waits. Remove it.",
        ),
        ("services = { llm = [] }", "porter.toml: services names no provider for 'llm'."),
        ('services = { llm = ["echo", "echo"] }', "porter.toml: services names 'echo' for 'llm' twice. Remove one."),
        (
            'services = { llm = "echo", face = "x" }',
            "porter.toml: services.face: 'face' is not a kind of a conversation. Write face = {kind = \"llm\"",
        ),
        (
            'services = { llm = "echo", a = { kind = "face", providers = "x" } }',
            "porter.toml: services.a: 'face' is not a kind of a conversation. Kinds: llm, stt, tts, vad, speech.",
        ),
        (
            'services = { llm = "echo", b = { kind = "llm", providers = "x" } }',
            "porter.toml: services.b: a conversation can have only one llm. Remove the others.",
        ),
        (
            'services = { llm = "echo", v = { kind = "vad", providers = "echo" } }',
            "services.v: the user is not heard",
        ),
        ("services.llm.failover = ['echo']", "services.llm: failover takes two providers or more, each by its name"),
        ("services.llm = { failover = ['echo', 'rules'], seconds = 0 }", "failover takes seconds= as a number above 0"),
        ("services.llm.failovr = ['echo']", "services.llm.failovr: unknown field 'failovr'; did you mean 'failover'?"),
        ('services = { llm = "echo", "a b" = "x" }', "porter.toml: services.a b: a service's name has letters,"),
        (LLM + "turn_taking.idle_second = 3", "turn_taking.idle_second: unknown field 'idle_second'; did you mean"),
        (LLM + "turn_taking.idle_seconds = -3", "porter.toml: turn_taking: TurnTaking(idle_seconds=-3): give a finite"),
        (LLM + 'client = "llm.times"', "porter.toml: client: expected an array"),
        (LLM + 'client = [{ name = "llm.times", maxmum = 3 }]', "client[0].maxmum: unknown field 'maxmum'; did you"),
        (LLM + 'client = ["llm.timse"]', "porter.toml: client grants 'llm.timse'. Did you mean 'llm.times'?"),
        (LLM + 'functions = ["bot:dance"]', "porter.toml: functions"),
        (LLM + "config.llm.times = 11", "porter.toml: config gives 'llm.times' a wrong value"),
        (LLM + "config.lmm.delay = 1", "porter.toml: config names 'lmm'. Did you mean 'llm'?"),
        (LLM + "config.llm.times = 2020-01-01", "porter.toml: config.llm.times: expected a JSON value"),
        (LLM + 'prompt = "x"\nconfig.llm.messages = []', "porter.toml: prompt: config.llm.messages is given too."),
        (LLM + "env.production.pubic = true", "porter.toml: env.production.pubic: unknown field 'pubic'; did you mean"),
        (LLM + "env.production.env = {}", "porter.toml: env.production.env: unknown field 'env'"),
        (LLM + 'plugins = ["ecko"]', "No plugin 'ecko' is installed"),
        (LLM + 'plugins = ["nothing.py"]', "porter.toml: plugins: There is no file"),
        (LLM + 'plugins = ["/nothing.py"]', "porter.toml: plugins: '/nothing.py' is absolute. Put the file into"),
        ('services = { llm = "ecko" }', "The bot 'porter' names the provider 'ecko' for 'llm'."),
    ],
)
def test_a_mistake_is_told_with_file_and_key(text: str, problem: str, write: Write) -> None:
    """The words are those of `@bot`. The nearest name is suggested."""
    path = write(text)
    with pytest.raises(AuthorError) as raised:
        host_for(load_bot_file(path))
    assert problem in str(raised.value)


@pytest.mark.parametrize("table", ["[env.production]\npublic = 3", "[[client]]\nname = 3"])
def test_a_wrong_value_of_a_key_that_is_in_its_place_is_not_called_misplaced(table: str, write: Write) -> None:
    """An environment has the keys of a file, and a grant has a name."""
    path = write(LLM + table)
    with pytest.raises(BotError, match=r"got the number 3$"):
        load_bot_file(path)


@pytest.mark.parametrize(
    ("services", "choices"),
    [
        ('llm.failover = ["rules", "echo"]', {"llm": [("rules", "echo")]}),
        ('llm = [{ failover = ["rules", "echo"], seconds = 2.5 }, "kind"]', {"llm": [("rules", "echo"), ("kind",)]}),
        ('brain = { kind = "llm", providers = { failover = ["rules", "echo"] } }', {"brain": [("rules", "echo")]}),
        ('brain = { kind = "llm", providers = ["kind"] }', {"brain": [("kind",)]}),
    ],
)
def test_a_provider_may_have_others_that_take_over(
    services: str, choices: dict[str, list[tuple[str, ...]]], write: Write
) -> None:
    """As a `Failover` in Python."""
    spec = bot_spec(load_bot_file(write(f"[services]\n{services}")))
    assert {name: [each.labels for each in found] for name, found in spec.choices.items()} == choices
    seconds = None if "failover" not in services else 2.5 if "seconds" in services else 10.0
    assert next(each.seconds for found in spec.choices.values() for each in found) == seconds


def test_an_environment_that_is_not_there_is_told(write: Write) -> None:
    """The nearest name is suggested."""
    with pytest.raises(BotError, match=r"porter.toml has no \[env.prodution\]; did you mean 'production'\?"):
        load_bot_file(write(WHOLE), "prodution")
    with pytest.raises(BotError, match=r"porter.toml has no \[env.x\]; it has no environments."):
        load_bot_file(write(LLM), "x")
    with pytest.raises(BotError, match=r"There is no file 'nowhere.toml'."):
        load_bot_file("nowhere.toml")


def test_the_reference_lists_all_keys() -> None:
    """It lists no other keys."""
    page = (Path(__file__).parents[1] / "docs" / "reference" / "bot-file.md").read_text("utf-8")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    listed = [key.strip("` ") for row in rows for key in row.split(",")]
    keys = [*bot_file.BotFile.__annotations__, *bot_file.GrantTable.__annotations__]
    assert sorted(listed) == sorted(keys)


# ---- commands ------------------------------------------------------------------------------------------------------


def test_commands_take_bot_files(
    write: Write, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the environment of `--env`, or else of the variable."""
    write(WHOLE.replace('"tts:say"', '"voice:say"'))
    monkeypatch.delenv("RTVI_ENV", raising=False)
    assert main(["describe", "porter.toml"]) == OK
    assert "voice:say" in capsys.readouterr().out
    assert main(["describe", "porter.toml", "--env", "production"]) == OK
    assert "voice:say" not in capsys.readouterr().out
    monkeypatch.setenv("RTVI_ENV", "production")
    assert main(["describe", "porter.toml"]) == OK
    assert "voice:say" not in capsys.readouterr().out
    monkeypatch.setenv("RTVI_ENV", " ")
    assert main(["describe", "porter.toml"]) == OK
    assert "voice:say" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["bot.yaml", "bot.yml", "bot.json", "BOT.TOML"])
def test_a_file_in_another_language_is_no_bot_file(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It would be taken for the name of a module."""
    assert main(["describe", name]) == USAGE
    problem = f"{name} is not a bot file. A bot file is in TOML, and its name ends in .toml."
    assert problem in capsys.readouterr().err


def test_a_file_that_is_not_utf_8_is_told(write: Write) -> None:
    """The error says how to save it."""
    path = write("")
    Path(path).write_bytes('prompt = "ä"'.encode("latin-1"))
    with pytest.raises(BotError, match=r"porter.toml is not TOML: byte 10 is not UTF-8\. Save the file"):
        load_bot_file(path)


def test_other_bots_have_no_environments(capsys: pytest.CaptureFixture[str]) -> None:
    """Bots in Python read their own environment variables."""
    assert main(["describe", "bot.py", "--env", "production"]) == USAGE
    assert (
        "--env chooses the environment of a bot file, and bot.py is not a bot file. Write one, as in bot.toml."
        in capsys.readouterr().err
    )
