"""The helpers of `rtvi_plugins.testing`: the session of a client, threads, a scripted LLM, a user who speaks."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from attrs import define

from rtvi_plugins import LLM, STT, TTS, VAD, Session, action, bot, converse, lifespan, options, service
from rtvi_plugins.errors import AuthorError, BotError, PluginError, ProviderError, RequestError
from rtvi_plugins.kinds import ToolCall
from rtvi_plugins.session import Secret
from rtvi_plugins.testing import (
    ManualClock,
    ScriptedLLM,
    call,
    connect,
    fake_provider,
    host_for,
    seconds_heard,
    settle,
    silence,
    speak,
)

pytestmark = pytest.mark.anyio

DONE: list[str] = []


@define
class Order:
    """The order of the customer."""

    dishes: int = 0


@define
class Kitchen:
    """A database for the whole process."""

    file: str


@lifespan
@asynccontextmanager
async def kitchen(file: Secret, /) -> AsyncGenerator[Kitchen]:
    """Open the database."""
    yield Kitchen(file.reveal())


@bot(client=["bot:file"], public=True)
async def cook(session: Session, kitchen: Kitchen, /) -> None:
    """A bot that cooks."""


@action(cook)
async def file(kitchen: Kitchen, /) -> str:
    """Return the file of the database."""
    return kitchen.file


@pytest.mark.parametrize(
    "keys", [{"environ": {"KITCHEN_FILE": "orders.db"}}, {"api_keys": {"kitchen": {"file": "orders.db"}}}]
)
async def test_a_lifespan_gets_its_keys(keys: dict[str, Any]) -> None:
    """They come from the test's environment, not from that of the process, or from `api_keys`."""
    async with connect(cook, **keys) as client:
        assert await client.action("bot:file") == "orders.db"


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"kitchin": {"file": "orders.db"}}, r"api_keys= names 'kitchin'\. Did you mean 'kitchen'\?"),
        ({"kitchen": {"fil": "orders.db"}}, r"gives 'kitchen' the key 'fil'\. Did you mean 'file'\?"),
        ({"kitchen": "orders.db"}, r"gives 'kitchen' the key 'api_key'\. There is file\."),
    ],
)
def test_a_key_that_nothing_takes_is_an_error(keys: dict[str, Any], says: str) -> None:
    """Such a key would have no effect."""
    with pytest.raises(ValueError, match=says):
        host_for(cook, api_keys=keys)


@bot(services={"llm": "vendor"}, functions=["bot:order"], state=Order, public=True, client=["bot:slow", "bot:stuck"])
async def waiter(session: Session[Order], /, llm: LLM) -> None:
    """A bot that takes orders."""
    await converse(session, llm=llm)


@action(waiter)
async def order(session: Session[Order], /, dishes: int) -> str:
    """Order dishes."""
    session.state.dishes += dishes
    return "ordered"


@action(waiter)
async def slow(session: Session[Order], /) -> None:
    """Work in a thread, and then in a thread of the bot's own."""
    await anyio.to_thread.run_sync(time.sleep, 0.02)
    DONE.append("slow")


RELEASE = threading.Event()


@action(waiter)
def stuck() -> None:
    """Wait in a thread of the framework until the test continues."""
    RELEASE.wait(30)
    DONE.append("stuck")


async def test_a_script_answers_and_the_session_can_be_read() -> None:
    """The script has texts, calls and failures. The client has the state of the session."""
    llm = ScriptedLLM("Good day.", ToolCall("1", "order", {"dishes": 2}), ["Two", " dishes."])
    async with connect(waiter, fake_provider("llm.vendor", llm)) as client:
        assert await client.ask("Hello") == "Good day."
        assert await client.ask("Two funghi") == "Two dishes."
        assert client.session.state == Order(dishes=2)
        llm.will(ProviderError("Acme", "rate", retryable=False))
        with pytest.raises(RequestError, match="Acme"):
            await client.ask("Hello")
    assert [each["content"] for each in llm.requests[1].messages if each["role"] == "user"] == ["Hello", "Two funghi"]


async def test_a_script_that_ends_is_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    """A missing answer must not count as an empty one. The log says that the script is too short."""
    async with connect(waiter, fake_provider("llm.vendor", ScriptedLLM())) as client:
        with pytest.raises(RequestError) as failed:
            await client.ask("Hello")
    assert failed.value.code == "provider-failed"
    assert "The script of the ScriptedLLM is over: it has no answer to request 1." in caplog.text


VENDOR = '''
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from rtvi_plugins import LLM, Secret, action, options, service


@service("llm", "vendor")
@asynccontextmanager
async def vendor(api_key: Secret, /) -> AsyncGenerator[LLM]:
    """A vendor."""
    raise NotImplementedError
    yield


@options(vendor)
def configure(llm: LLM, /, model: str = "small") -> None:
    """Set the model."""
    llm.model = model


@action(vendor)
async def count_answers(llm: LLM, /) -> int:
    """Count the answers that are left."""
    return len(llm.answers)
'''


@bot(
    services={"llm": "vendor"},
    config={"llm": {"model": "large"}},
    client=["llm.model", "llm:count_answers"],
)
async def caller(session: Session, /, llm: LLM) -> None:
    """Names the options and actions of its provider."""
    await converse(session, llm=llm)


async def test_a_fake_provider_has_the_options_and_actions_of_the_installed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bot may name them, a client may use them, and no key is needed."""
    info = tmp_path / "vendor-1.0.dist-info"
    info.mkdir()
    entry_points = "[rtvi_plugins]\nllm.vendor = vendor_llm\n[rtvi_plugins.api]\n1 = vendor_llm\n"
    (info / "entry_points.txt").write_text(entry_points, "utf-8")
    (tmp_path / "vendor_llm.py").write_text(VENDOR, "utf-8")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "vendor_llm", raising=False)
    async with connect(caller, fake_provider("llm.vendor", ScriptedLLM("Hello."))) as client:
        assert (await client.get_config()).values["llm"] == {"model": "large"}
        assert (await client.update_config({"llm": {"model": "small"}})).values["llm"] == {"model": "small"}
        assert await client.action("llm:count_answers") == 1
        assert await client.ask("Hello?") == "Hello."
        with pytest.raises(RequestError, match="model"):
            await client.update_config({"llm": {"model": 3}})


@service("llm", "own")
@asynccontextmanager
async def own_llm(api_key: Secret, /) -> AsyncGenerator[LLM]:
    """The real provider, in the bot's own module."""
    if api_key:
        raise NotImplementedError
    yield ScriptedLLM()


@options(own_llm)
def configure_own(llm: LLM, /, size: int = 1) -> None:
    """Set the size."""
    raise NotImplementedError


@bot(services={"llm": "own"}, config={"llm": {"size": 2}}, client=["llm.size"])
async def homemade(session: Session, /, llm: LLM) -> None:
    """Has a provider in its own module."""
    await converse(session, llm=llm)


async def test_a_fake_replaces_a_provider_of_the_bots_own_module() -> None:
    """The real one would cost money. The fake has its options, in each host."""
    for answer in ("Hello.", "Good day."):
        async with connect(homemade, fake_provider("llm.own", ScriptedLLM(answer))) as client:
            assert (await client.get_config()).values["llm"] == {"size": 2}
            assert await client.ask("Hello?") == answer


def test_a_fake_that_replaces_nothing_is_an_error() -> None:
    """Otherwise the test would use the real provider."""
    with pytest.raises(ValueError, match=r"'llm\.own', …\) replaces no provider of the bot. There is llm\.vendor\."):
        host_for(waiter, fake_provider("llm.vendor", ScriptedLLM()), fake_provider("llm.own", ScriptedLLM()))
    with pytest.raises(ValueError, match=r"replaces no provider of the bot\. There is none\."):
        host_for(cook, fake_provider("llm.vendor", ScriptedLLM()))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("bot.py", r"'bot\.py' is a text\. Pass the bot's function: from bot import mybot"),
        (sys.modules[__name__], r"is a module\. Pass the function of its bot, as in test_testing\.cook"),
        (len, r"len\(\) is not a bot\. Decorate it with @bot"),
    ],
)
def test_what_is_not_a_bot_is_an_error(given: Any, says: str) -> None:
    """The error says what to pass."""
    with pytest.raises(BotError, match=says):
        host_for(given)


def test_two_fakes_of_one_provider_are_an_error() -> None:
    """One of them would have no effect."""
    with pytest.raises(AuthorError, match=r"'llm\.vendor' is declared twice"):
        host_for(waiter, fake_provider("llm.vendor", ScriptedLLM()), fake_provider("llm.vendor", ScriptedLLM()))


def test_a_fake_provider_needs_a_kind_and_a_provider() -> None:
    """The error has both."""
    with pytest.raises(AuthorError, match=r"such as 'llm\.openai'"):
        fake_provider("openai", ScriptedLLM())
    with pytest.raises(AuthorError):
        fake_provider("llama.openai", ScriptedLLM())


async def test_settle_waits_for_threads() -> None:
    """This includes threads that the bot starts, and threads of `def` actions."""
    DONE.clear()
    RELEASE.clear()
    timer = threading.Timer(0.02, RELEASE.set)
    async with (
        connect(waiter, fake_provider("llm.vendor", ScriptedLLM()), clock=ManualClock()) as client,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(client.action, "bot:slow")
        await settle()
        assert DONE == ["slow"]
        tasks.start_soon(client.action, "bot:stuck")
        timer.start()
        await settle()
        assert DONE == ["slow", "stuck"]
        timer.join()


@bot(services={"llm": "vendor", "stt": "echo", "tts": "echo", "vad": "echo"}, public=True)
async def listener(session: Session, /, llm: LLM, stt: STT, tts: TTS, vad: VAD) -> None:
    """A bot that listens and speaks."""
    await converse(session, llm=llm, stt=stt, tts=tts, vad=vad)


async def test_a_user_speaks_and_hears_the_answer() -> None:
    """Silence in the bot's audio does not count."""
    clock, llm = ManualClock(), ScriptedLLM("One two three.")
    async with connect(listener, fake_provider("llm.vendor", llm), clock=clock, audio=True) as client:
        await settle()
        await speak(client, clock, 1.0)
        assert llm.requests == []
        await silence(client, clock, 2.0)
        assert [each["text"] for each in client.received("bot-transcription")] == ["One two three."]
        assert 0.2 <= seconds_heard(client) <= 0.4


async def test_a_client_without_audio_hears_nothing() -> None:
    """It gets the answer as text."""
    llm = ScriptedLLM("One two three.")
    async with connect(listener, fake_provider("llm.vendor", llm)) as client:
        assert await client.ask("hello") == "One two three."
        assert client.received("bot-transcription") == [{"text": "One two three."}]
        assert seconds_heard(client) == 0


async def test_a_user_who_cannot_be_heard_is_an_error() -> None:
    """Otherwise a test that expects silence would pass."""
    clock, llm = ManualClock(), ScriptedLLM()
    async with connect(listener, fake_provider("llm.vendor", llm), clock=clock) as client:
        for says in (speak, silence):
            with pytest.raises(RuntimeError, match=r"audio=True"):
                await says(client, clock, 1.0)
    async with connect(listener, fake_provider("llm.vendor", llm), audio=True) as client:
        with pytest.raises(ValueError, match=r"clock=clock"):
            await speak(client, clock, 1.0)


async def test_a_host_has_several_calls() -> None:
    """Each call has its own line."""
    clock, llm = ManualClock(), ScriptedLLM("One two three.")
    async with (
        host_for(listener, fake_provider("llm.vendor", llm), clock=clock) as host,
        call(host) as line,
        call(host) as other,
    ):
        await settle()
        await speak(line, clock, 1.0)
        await silence(line, clock, 2.0)
        assert 0.2 <= seconds_heard(line) <= 0.4
        assert seconds_heard(other) == 0


async def test_a_session_of_a_test_may_have_plugins_and_be_recorded(tmp_path: Path) -> None:
    """`connect` passes both to the host."""
    keys = {"kitchen": {"file": "orders.db"}}
    with pytest.raises(PluginError, match="no-such-plugin"):
        async with connect(cook, api_keys=keys, plugins=["no-such-plugin"]):
            raise AssertionError("it has started")
    async with connect(cook, api_keys=keys, record=tmp_path, audio=True):
        await settle()
    assert {each.suffix async for each in anyio.Path(tmp_path).iterdir()} == {".jsonl", ".wav"}
