"""Plugins of other authors are built to wheels, and installed with the core in an otherwise empty environment."""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from typing import Any

import pytest

from rtvi_plugins.client import Client
from rtvi_plugins.errors import NotGranted, UnknownProvider
from rtvi_plugins_client import connect

from ..tools.processes import Process
from ..wheels.scratch import BOTS, Scratch, make_scratch

#: The modules of the four plugins that are not ours.
ACME, BROKEN, RECORDER, SUMS = (f"rtvi_plugins_{name}" for name in ("acme", "broken", "recorder", "sums"))
REASON = "RuntimeError: the model's file is missing"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """The code under test runs in other processes."""
    return "asyncio"


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Scratch:
    """The environment, made once."""
    return make_scratch(tmp_path_factory.mktemp("scratch"))


@pytest.fixture(scope="module")
def desk(scratch: Scratch) -> Generator[Process]:
    """A server whose bot names all working plugins."""
    with scratch.serving("desk", RECORDED=str(scratch.folder / "desk.jsonl")) as process:
        yield process


async def said(client: Client, text: str) -> str:
    """The bot's answer to a message."""
    await client.action(
        "llm:append_to_messages", {"messages": [{"role": "user", "content": text}], "run_immediately": True}
    )
    answer = ""
    async for event in client.events():
        if event.type == "bot-llm-text":
            answer += event.data["text"]
        if event.type == "bot-llm-stopped":
            break
    return answer


def seen_by_python(output: str) -> set[str]:
    """The modules of plugins that Python has read, by `-v`. `-X importtime` does not list all."""
    return set(re.findall(r"\b(rtvi_plugins_\w+)", output))


# ---- listing and loading -------------------------------------------------------------------------------------------


def test_what_runs_is_what_was_installed(scratch: Scratch) -> None:
    """All files of ours in a trace are in the environment, not in the checkout."""
    trace = scratch.rtvi("describe", f"{BOTS}:nobody", "--traceback").stderr
    files = re.findall(r'File "(.+/rtvi_plugins/.+)"', trace)
    assert len(files) > 1
    assert [each for each in files if not each.startswith(f"{scratch.folder}/lib/")] == []


def test_all_plugins_are_listed_and_none_is_imported(scratch: Scratch) -> None:
    """The broken one is listed too, because it was not imported."""
    done = scratch.rtvi("plugins", "--json", PYTHONVERBOSE="1")
    assert done.returncode == 0
    listed = {each["distribution"]: each for each in json.loads(done.stdout)}
    assert {name: (each["kind"], each["provider"], each["version"]) for name, each in listed.items()} == {
        "rtvi-plugins-acme": ("llm", "acme", "1.2.0"),
        "rtvi-plugins-broken": ("llm", "broken", "0.9.1"),
        "rtvi-plugins-recorder": (None, "recorder", "0.1.0"),
        "rtvi-plugins-rules": ("llm", "rules", "0.1.0"),
        "rtvi-plugins-sums": (None, "sums", "0.3.0"),
    }
    assert all((each["broken"], each["loaded"]) == (None, False) for each in listed.values())
    assert scratch.marks() == set()
    assert seen_by_python(done.stderr) == set()


def test_loading_sets_the_broken_one_aside_with_its_reason(scratch: Scratch) -> None:
    """The others are loaded, in any order. The exit code says that one is broken."""
    done = scratch.rtvi("plugins", "--load", "--json", PYTHONVERBOSE="1")
    assert done.returncode == 1
    listed = json.loads(done.stdout)
    assert {each["provider"] for each in listed if each["loaded"]} == {"acme", "recorder", "rules", "sums"}
    reasons = {each["provider"]: each["broken"] for each in listed}
    broken = reasons.pop("broken")
    assert broken.startswith(REASON)
    assert "rtvi_plugins_broken.py:" in broken
    assert set(reasons.values()) == {None}
    assert scratch.marks() == {ACME, BROKEN, RECORDER, SUMS}
    assert {ACME, BROKEN, RECORDER, SUMS} <= seen_by_python(done.stderr)


def test_people_are_told_the_reason_too(scratch: Scratch) -> None:
    """The table is followed by a line about the broken one."""
    done = scratch.rtvi("plugins", "--load")
    *table, last = done.stdout.splitlines()
    assert re.search(r"^llm +broken +rtvi-plugins-broken +0\.9\.1 +1 +broken$", "\n".join(table), re.MULTILINE)
    assert last.startswith(f"llm rtvi-plugins-broken:broken: {REASON}")


# ---- a bot that is served ------------------------------------------------------------------------------------------


def test_a_bot_imports_what_it_names_and_nothing_else(scratch: Scratch) -> None:
    """The broken plugin does not affect it. All others are imported before a client connects."""
    scratch.marks()
    with scratch.serving("desk", RECORDED=str(scratch.folder / "unused.jsonl")):
        assert scratch.marks() == {ACME, RECORDER, SUMS}


@pytest.mark.anyio
async def test_a_client_chooses_the_provider(desk: Process) -> None:
    """It uses `services` of its start. By default, the first provider answers."""
    async with connect(desk.matched, services={"llm": "acme"}) as client:
        assert await said(client, "Good morning") == "acme-small heard: Good morning"
    async with connect(desk.matched) as client:
        assert "acme" not in await said(client, "Good morning")


@pytest.mark.anyio
async def test_a_client_sets_the_option_of_the_provider(desk: Process) -> None:
    """It does so at the start, and later."""
    async with connect(desk.matched, services={"llm": "acme"}, config={"llm": {"model": "acme-large"}}) as client:
        assert await said(client, "One") == "acme-large heard: One"
        await client.update_config({"llm": {"model": "acme-2030"}})
        assert await said(client, "Two") == "acme-2030 heard: Two"


@pytest.mark.anyio
async def test_a_client_cannot_choose_what_the_bot_does_not_name(desk: Process) -> None:
    """It is not enough that it is installed."""
    with pytest.raises(UnknownProvider, match="broken"):
        async with connect(desk.matched, services={"llm": "broken"}):
            pass


@pytest.mark.anyio
async def test_actions_are_described_from_the_plugins_code(desk: Process) -> None:
    """Names, types, bounds, defaults and docs are those of the functions."""
    async with connect(desk.matched, services={"llm": "acme"}) as client:
        described = {f"{each['service']}:{each['action']}": each for each in await client.describe_actions()}
    assert described.keys() == {"llm:list_models", "llm:append_to_messages", "llm:run", "bot:add"}
    listing, adding = described["llm:list_models"], described["bot:add"]
    assert (listing["description"], listing["result"]) == ("Return the models that Acme has.", "array")
    (at_most,) = listing["arguments"]
    assert (at_most["name"], at_most["type"], at_most["default"]) == ("at_most", "number", 10)
    assert at_most["schema"] == {"type": "integer", "minimum": 1, "maximum": 10}
    assert [(each["name"], each["type"], each["required"]) for each in adding["arguments"]] == [
        ("numbers", "array", True)
    ]
    assert (adding["description"], adding["result"]) == ("Return the sum of these numbers.", "number")


@pytest.mark.anyio
async def test_config_is_described_from_the_plugins_code(desk: Process) -> None:
    """The option of acme is there with acme, and not with a provider that lacks it."""
    async with connect(desk.matched, services={"llm": "acme"}) as client:
        (service,) = await client.describe_config()
    (model,) = service["options"]
    assert (model["name"], model["type"], model["default"]) == ("model", "string", "acme-small")
    assert (model["description"], model["writable"]) == ("The model that answers.", True)
    assert "acme-large" in json.dumps(model["schema"])
    async with connect(desk.matched, services={"llm": "rules"}) as client:
        assert [each["options"] for each in await client.describe_config()] == [[]]


@pytest.mark.anyio
async def test_an_actions_only_plugin_acts(desk: Process) -> None:
    """Its action is one of the bot."""
    async with connect(desk.matched) as client:
        assert await client.action("bot:add", {"numbers": [1, 2, 39]}) == 42


@pytest.mark.anyio
async def test_an_action_of_a_provider_is_there_with_that_provider(desk: Process) -> None:
    """The action of acme works with acme."""
    async with connect(desk.matched, services={"llm": "acme"}) as client:
        assert await client.action("llm:list_models", {"at_most": 1}) == ["acme-small"]
        with pytest.raises(NotGranted):
            await client.action("llm:get_context")


def test_the_command_of_a_plugin_calls_an_action(scratch: Scratch, desk: Process) -> None:
    """`rtvi call` is from the client's wheel, and calls the server."""
    done = scratch.rtvi("call", desk.matched, "llm:list_models", "--services", "llm=acme")
    assert (done.returncode, json.loads(done.stdout), done.stderr) == (0, ["acme-small", "acme-large"], "")


@pytest.mark.anyio
async def test_a_hook_hears_what_happens(scratch: Scratch) -> None:
    """It gets everything from the opening of a session to its end, in order."""
    recorded = scratch.folder / "recorded.jsonl"
    with scratch.serving("desk", RECORDED=str(recorded)) as process:
        async with connect(process.matched, services={"llm": "acme"}) as client:
            assert await client.action("bot:add", {"numbers": [1, 2]}) == 3
            await client.update_config({"llm": {"model": "acme-large"}})
            await said(client, "Good evening")
    facts: list[Any] = [json.loads(line) for line in recorded.read_text("utf-8").splitlines()]
    assert facts[0] == ["opened"]
    assert facts[-1][0] == "closed"
    heard = [
        ["action", "bot:add", {"numbers": [1, 2]}],
        ["answered", "bot:add", None],
        ["config", ["llm.model"]],
        ["said", "user", "Good evening"],
        ["said", "assistant", "acme-large heard: Good evening"],
    ]
    assert [each for each in facts if each in heard] == heard


# ---- bots that cannot be had ---------------------------------------------------------------------------------------


#: What follows the name of a bot in the sentence that refuses it.
REFUSED = {
    "needs_broken": (
        r"names the provider 'broken' for 'llm'\. The plugin 'llm\.broken' of rtvi-plugins-broken 0\.9\.1 "
        rf"cannot be used: {REASON} \(\S+rtvi_plugins_broken\.py:\d+\)"
    ),
    "either": (
        r"names the provider 'acme' for 'llm'\. Several distributions offer the llm provider 'acme'\. "
        r"Write 'rtvi-plugins-acme:acme' or 'rtvi-plugins-bazaar:acme'\."
    ),
    "needs_outdated": (
        r"names the provider 'outdated' for 'llm'\. The plugin 'llm\.outdated' of rtvi-plugins-outdated 0\.0\.1 "
        r"cannot be used: it was built for version 0 of the plugin API, and this is version 1\. Update the plugin\."
    ),
}


@pytest.mark.parametrize("bot", REFUSED)
def test_a_bot_that_cannot_be_had_is_refused_with_a_sentence(scratch: Scratch, bot: str) -> None:
    """The server does not start. One line says what to do, and the exit code is 2."""
    done = scratch.rtvi("run", f"{BOTS}:{bot}", "--port", "0", trouble=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(rf"rtvi: The bot '{bot}' {REFUSED[bot]}\n", done.stderr)


def test_a_misspelled_plugin_is_refused_with_the_nearest_name(scratch: Scratch) -> None:
    """The error has the same form."""
    done = scratch.rtvi("run", f"{BOTS}:misspelled", "--port", "0")
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"rtvi: .*No plugin 'summs' is installed\. Did you mean 'sums'\?\n", done.stderr)


def test_a_plugin_for_another_api_is_not_even_imported(scratch: Scratch) -> None:
    """Its metadata has the version. `rtvi plugins` shows it without an import."""
    scratch.marks()
    assert scratch.rtvi("run", f"{BOTS}:needs_outdated", "--port", "0", trouble=True).returncode == 2
    listed = json.loads(scratch.rtvi("plugins", "--json", trouble=True).stdout)
    (broken,) = [each["broken"] for each in listed if each["provider"] == "outdated"]
    assert "built for version 0 of the plugin API" in broken
    assert scratch.marks() == set()


def test_an_ambiguous_name_is_an_error_only_for_bots_that_use_it(scratch: Scratch) -> None:
    """It is listed with its qualified name."""
    with scratch.serving("plain", trouble=True):
        pass
    listed = scratch.rtvi("plugins", trouble=True).stdout
    assert "write 'rtvi-plugins-acme:acme'" in listed
    assert "write 'rtvi-plugins-bazaar:acme'" in listed


@pytest.mark.anyio
async def test_qualified_names_tell_two_providers_apart(scratch: Scratch) -> None:
    """One bot may have both, and its client chooses."""
    with scratch.serving("both", trouble=True) as process:
        async with connect(process.matched, services={"llm": "rtvi-plugins-bazaar:acme"}) as client:
            assert await said(client, "Hello") == "the bazaar heard it"
        async with connect(process.matched) as client:
            assert await said(client, "Hello") == "acme-small heard: Hello"
