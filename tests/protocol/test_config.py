"""How the values of options are set, read, and changed."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import anyio
import anyio.lowlevel
import pytest
from attrs.validators import ge, le

from rtvi_plugins import LLM, TTS, Grant, Session, Was, action, bot, options, service
from rtvi_plugins.errors import (
    InvalidConfig,
    InvalidStart,
    NotGranted,
    Problem,
    StartFailed,
    UnknownProvider,
    UnknownService,
)
from rtvi_plugins.protocol.config import ConfigChange, ConfigChanges
from rtvi_plugins.session import RunLLM, UserText

from ..fakes.faulty import FaultyLLM, QuietTTS, faulty
from ..fakes.wire import OPERATOR, Wire, connected, host_of, settle

pytestmark = pytest.mark.anyio

#: What was called, in order.
calls: list[str] = []

#: Services that take no style any more.
stuck: list[FaultyLLM] = []


@pytest.fixture(autouse=True)
def fresh() -> None:
    """A new record for each test."""
    calls.clear()
    stuck.clear()


@service("llm", "one")
@asynccontextmanager
async def one_llm() -> AsyncGenerator[FaultyLLM]:
    """A provider."""
    calls.append("open one")
    yield FaultyLLM("one")
    calls.append("close one")


@service("llm", "two")
@asynccontextmanager
async def two_llm() -> AsyncGenerator[FaultyLLM]:
    """Another provider."""
    calls.append("open two")
    yield FaultyLLM("two")
    calls.append("close two")


@service("tts", "voice")
@asynccontextmanager
async def voice_tts() -> AsyncGenerator[QuietTTS]:
    """A TTS."""
    yield QuietTTS()


@options(one_llm, two_llm)
def model(
    llm: FaultyLLM,
    /,
    model: Annotated[str, Was("engine")] = "small",
    temperature: Annotated[float, ge(0), le(2)] = 0.5,
) -> None:
    """What both have."""
    calls.append(f"{llm.name} model={model} temperature={temperature:g}")
    if model == "breaks":
        raise RuntimeError("no such model")
    llm.model = model


@options(one_llm)
def style(llm: FaultyLLM, /, style: str = "plain") -> None:
    """Options of the first provider. "once" refuses to be set a second time, and every later value."""
    calls.append(f"style={style}")
    if style == "once":
        stuck.append(llm)
    if any(each is llm for each in stuck):
        raise RuntimeError("neither forth nor back")


@options(two_llm)
def depth(llm: FaultyLLM, /, depth: int = 1) -> None:
    """Options of the second provider. 13 cannot be set."""
    calls.append(f"depth={depth}")
    if depth == 13:
        raise RuntimeError("unlucky")


@options(voice_tts)
def speed(tts: QuietTTS, /, speed: float = 1.0) -> None:
    """Set the speed of the speech."""
    calls.append(f"speed={speed:g}")
    if speed > 9:
        raise InvalidConfig([Problem("$.speed", "nobody understands that")])


@action("llm")
async def who(llm: LLM, /) -> str:
    """Return the provider that answers."""
    return f"{getattr(llm, 'name')} {getattr(llm, 'model')}"  # noqa: B009 - not of the kind


CLIENT: list[str | Grant] = [
    *"llm.model llm.style llm.depth llm.provider llm.messages llm.run_on_config".split(),
    *"tts.speed llm:who tts:interrupt".split(),
    Grant("llm.temperature", le(1.0)),
]


@bot(services={"llm": ["one", "two"], "tts": "voice"}, client=CLIENT, public=True)
async def talkative(session: Session, /, llm: LLM, tts: TTS) -> None:
    """A bot that repeats each input. An input "long" lasts until it is interrupted."""
    async for each in session.inputs():
        if isinstance(each, RunLLM):
            calls.append("run")
            continue
        async with session.turn() as turn:
            calls.append(f"turn {turn.number}")
            try:
                if isinstance(each, UserText) and each.text == "long":
                    await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):  # as one whose player has to stop first
                    for _ in range(10):
                        await anyio.lowlevel.checkpoint()


@bot(
    services={"llm": ["one", "two"]},
    config={"llm": {"model": "of the bot", "temperature": 0.1}, "llm.two": {"model": "of the bot for two"}},
    client=["llm.provider", Grant("llm.model", writable=False), "llm.temperature", "llm:who"],
    public=True,
)
async def layered(session: Session, /, llm: LLM) -> None:
    """A bot with defaults of its own."""


@bot(
    services={"llm": "one"},
    config={"llm": {"temperature": 1.0, "tools": ({"name": "find", "parameters": {"10": 1.0, "2": 0}},)}},
    client=[Grant("llm.temperature", writable=False), Grant("llm.tools", writable=False)],
    public=True,
)
async def ordered(session: Session, /, llm: LLM) -> None:
    """A bot with values that JavaScript writes in another way."""


async def start_turn(wire: Wire) -> None:
    """Let the bot say something long."""
    wire.send("send-text", {"content": "long", "options": {}})
    await settle()


# ---- reading what was sent -----------------------------------------------------------------------------------------


async def test_all_problems_of_an_update_are_reported_at_once() -> None:
    """Each problem has its path, and the nearest name if there is one."""
    sent = [
        {"service": "llm", "options": [{"name": "modle", "value": "x"}, {"name": "temperature", "value": "hot"}]},
        {"service": "vad", "options": [{"name": "model", "value": 1}]},
        {"service": "tts", "options": [{"name": "speed"}, {"value": 1}]},
        "tts",
    ]
    async with connected(talkative) as wire:
        error = await wire.error(wire.send("update-config", {"config": sent}))
        assert error["code"] == "invalid-config"
        assert sorted(each["path"] for each in error["details"]) == [
            "$.data.config[0].options[0].name",
            "$.data.config[0].options[1].value",
            "$.data.config[1].service",
            "$.data.config[2].options[0]",
            "$.data.config[2].options[1]",
            "$.data.config[3]",
        ]
        assert "model" in [each.get("suggestion") for each in error["details"]]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"nobody": {"model": "x"}}, "unknown-service"),
        ({"llm": {"nothing": 1}}, "unknown-option"),
        ({"llm": {"provider": "three"}}, "unknown-provider"),
        ({"llm": {"provider": ["two"]}}, "unknown-provider"),
        ({"llm": {"temperature": 1.5}}, "not-granted"),
        ({"llm": {"temperature": 2.5}}, "invalid-config"),
        ({"llm": {"temperature": True}}, "invalid-config"),
        ({"llm": {"initial_messages": []}}, "not-granted"),
        ({"llm": {"model": "x", "engine": "y"}}, "invalid-config"),
        ({"llm": {"depth": 2}}, "unknown-option"),
    ],
)
async def test_a_mistake_has_the_code_of_its_kind(change: dict[str, Any], code: str) -> None:
    """The config has not changed."""
    async with connected(talkative) as wire:
        before = await wire.config()
        assert (await wire.error(wire.update(**change)))["code"] == code
        assert await wire.config() == before


@pytest.mark.parametrize("data", [None, {}, [], {"config": None}, {"config": "x"}, {"config": [], "interrupt": "yes"}])
async def test_an_update_of_another_form_is_refused(data: Any) -> None:
    """The error says what is expected."""
    async with connected(talkative) as wire:
        error = await wire.error(wire.send("update-config", data))
        assert error["code"] in ("invalid-arguments", "invalid-config")
        assert "expected" in error["error"]


async def test_a_config_may_be_sent_as_an_object_too() -> None:
    """The object has values by service and option."""
    async with connected(talkative) as wire:
        await wire.answer(wire.send("update-config", {"config": {"llm": {"model": "large"}}}))
        assert (await wire.config())["llm"]["model"] == "large"


async def test_a_former_name_is_still_accepted() -> None:
    """The option is set under its present name."""
    async with connected(talkative) as wire:
        await wire.answer(wire.update(llm={"engine": "large"}))
        config = (await wire.config())["llm"]
        assert config["model"] == "large"
        assert "engine" not in config


# ---- revision and what is read -------------------------------------------------------------------------------------


async def test_the_revision_counts_what_was_committed() -> None:
    """A refused update does not count, and neither does one that could not be applied."""
    async with connected(talkative) as wire:
        revisions: list[int] = []
        for change in ({"model": "a"}, {"temperature": "hot"}, {"model": "breaks"}, {"model": "b"}):
            await wire.answer(wire.update(llm=change))
            revisions.append((await wire.answer(wire.send("get-config", {})))["data"]["revision"])
        assert revisions == [2, 2, 2, 3]


async def test_every_service_is_listed_with_what_may_be_read() -> None:
    """Options that were not granted are missing. A service without options has an empty list."""
    async with connected(layered) as wire:
        assert await wire.config() == {"llm": {"provider": "one", "model": "of the bot", "temperature": 0.1}}


async def test_a_read_only_value_may_be_sent_back_as_it_is() -> None:
    """Clients that change one option send the whole config."""
    async with connected(layered) as wire:
        whole = (await wire.answer(wire.send("get-config", {})))["data"]["config"]
        answer = await wire.answer(wire.send("update-config", {"config": whole}))
        assert answer["type"] == "config"
        error = await wire.error(wire.update(llm={"model": "mine"}))
        assert error["code"] == "not-granted"


async def test_a_value_may_be_sent_back_as_javascript_writes_it() -> None:
    """JavaScript writes 1.0 as 1, and moves names that are numbers to the front."""
    async with connected(ordered) as wire:
        assert (await wire.config())["llm"]["temperature"] == 1.0
        calls.clear()
        sent = {"temperature": 1, "tools": [{"name": "find", "parameters": {"2": 0, "10": 1}}]}
        assert (await wire.answer(wire.update(llm=sent)))["type"] == "config"
        assert calls == []
        sent["tools"] = [{"name": "find", "parameters": {"2": False, "10": True}}]
        assert (await wire.error(wire.update(llm=sent)))["code"] == "not-granted"


async def test_a_value_outside_of_the_grant_may_be_sent_back_while_it_is_in_force() -> None:
    """The operator has set a value that the client may not set."""
    defaults = [{"service": "llm", "options": [{"name": "temperature", "value": 1.5}]}]
    async with connected(talkative, body={"defaults": defaults}) as wire:
        assert (await wire.answer(wire.update(llm={"temperature": 1.5})))["type"] == "config"
        assert (await wire.error(wire.update(llm={"temperature": 1.6})))["code"] == "not-granted"


# ---- order ---------------------------------------------------------------------------------------------------------


async def test_groups_are_set_in_the_order_in_which_they_were_sent() -> None:
    """The services keep their order, and so do the options."""
    async with connected(talkative) as wire:
        calls.clear()
        await wire.answer(wire.update(tts={"speed": 2}, llm={"style": "grand", "model": "large"}))
        assert calls == ["speed=2", "style=grand", "one model=large temperature=0.5"]


async def test_a_group_is_called_once_with_all_its_values_and_only_when_one_has_changed() -> None:
    """Values that are sent back unchanged set nothing."""
    async with connected(talkative) as wire:
        calls.clear()
        await wire.answer(wire.update(llm={"temperature": 0.9, "style": "plain", "model": "large"}))
        assert calls == ["one model=large temperature=0.9"]


async def test_run_on_config_comes_last() -> None:
    """Its position in the message does not matter."""
    async with connected(talkative) as wire:
        calls.clear()
        await wire.answer(wire.update(llm={"run_on_config": True, "model": "large"}, tts={"speed": 3}))
        assert calls == ["one model=large temperature=0.5", "speed=3", "run"]


async def test_run_on_config_counts_at_the_start() -> None:
    """The bot speaks first, once the services are set up and the client is ready."""
    async with connected(talkative, body={"config": {"llm": {"run_on_config": True}}}) as wire:
        assert calls.count("run") == 1
        assert wire.received[0]["type"] == "bot-ready"


# ---- the turn's edge -----------------------------------------------------------------------------------------------


async def test_an_update_is_deferred_to_the_turn_boundary() -> None:
    """It is answered as committed at once, and set when the turn has ended, before the next one begins."""
    async with connected(talkative) as wire:
        await start_turn(wire)
        answer = await wire.answer(wire.update(llm={"model": "large"}))
        assert answer["data"]["applies"] == "next-turn"
        assert (await wire.config())["llm"]["model"] == "large"
        wire.send("send-text", {"content": "next", "options": {}})
        await settle()
        assert calls[-3:] == ["turn 1", "one model=large temperature=0.5", "turn 2"]


async def test_an_update_that_interrupts_is_set_at_once() -> None:
    """The turn is interrupted first."""
    async with connected(talkative) as wire:
        await start_turn(wire)
        answer = await wire.answer(wire.update(interrupt=True, llm={"model": "large"}))
        assert answer["data"]["applies"] == "now"
        assert calls[-1] == "one model=large temperature=0.5"
        assert len(wire.data_of("bot-interrupted")) == 1


async def test_two_updates_of_one_turn_are_set_in_their_order() -> None:
    """The values are those after both updates."""
    async with connected(talkative) as wire:
        await start_turn(wire)
        wire.update(llm={"style": "grand"})
        wire.update(llm={"model": "large"})
        await settle()
        calls.clear()
        wire.call("tts:interrupt")
        await settle()
        assert calls == ["style=grand", "one model=large temperature=0.5"]


async def test_a_deferred_update_that_fails_does_not_undo_a_later_one() -> None:
    """Only the values that could not be set are taken back."""
    async with connected(talkative) as wire:
        await start_turn(wire)
        wire.update(llm={"model": "breaks"})
        wire.update(tts={"speed": 3})
        await settle()
        wire.call("tts:interrupt")
        await settle()
        config = await wire.config()
        assert (config["llm"]["model"], config["tts"]["speed"]) == ("small", 3)
        assert calls[-1] == "speed=3"
        assert [(each["code"], each["fatal"]) for each in wire.data_of("error")] == [("apply-failed", False)]
        assert not wire.connection.closed


async def test_a_waiting_value_that_was_replaced_is_never_set() -> None:
    """At the end of the turn, each group is set once, with the values that the config has then."""
    async with connected(talkative) as wire:
        await start_turn(wire)
        for model in ("breaks", "large"):
            wire.update(llm={"model": model})
        await settle()
        calls.clear()
        wire.call("tts:interrupt")
        await settle()
        assert calls == ["one model=large temperature=0.5"]
        assert wire.data_of("error") == []


async def test_of_two_waiting_updates_only_the_one_that_fails_is_taken_back_whole() -> None:
    """At the end of the turn, an update is all or nothing too. Another update of the same group stays."""
    async with connected(talkative) as wire:
        await start_turn(wire)
        wire.update(llm={"model": "breaks"}, tts={"speed": 3})
        wire.update(llm={"temperature": 0.9})
        await settle()
        wire.call("tts:interrupt")
        await settle()
        config = await wire.config()
        assert (config["llm"]["model"], config["llm"]["temperature"], config["tts"]["speed"]) == ("small", 0.9, 1)
        assert [each for each in calls if each.startswith("one")][-1] == "one model=small temperature=0.9"
        assert [each["code"] for each in wire.data_of("error")] == ["apply-failed"]


async def test_a_switch_that_interrupts_makes_deferred_changes_first() -> None:
    """Afterwards, no deferred change is made to the new provider."""
    async with connected(talkative) as wire:
        await start_turn(wire)
        wire.update(llm={"temperature": 0.9})
        await settle()
        await wire.answer(wire.update(interrupt=True, llm={"provider": "two", "temperature": 0.1}))
        assert (await wire.config())["llm"]["temperature"] == 0.1
        assert [each for each in calls if each.startswith("two")] == ["two model=small temperature=0.1"]


async def test_deferred_changes_are_made_before_an_update_that_interrupts() -> None:
    """A deferred value that cannot be set is taken back. The next update does not end the session."""
    async with connected(talkative) as wire:
        await start_turn(wire)
        await wire.answer(wire.update(llm={"model": "breaks"}))
        wire.update(interrupt=True, llm={"temperature": 0.9})
        await settle()
        assert not wire.connection.closed
        assert (await wire.config())["llm"]["model"] == "small"


# ---- what cannot be applied ----------------------------------------------------------------------------------------


@bot(services={"llm": "one", "tts": "voice"}, config={"tts": {"speed": 10}}, client=["tts.speed"], public=True)
async def hasty(session: Session, /, llm: LLM, tts: TTS) -> None:
    """A bot whose default speed is too high."""


async def test_a_value_that_a_provider_refuses_is_no_error_of_the_servers(caplog: pytest.LogCaptureFixture) -> None:
    """The client is told why. The log has no error."""
    async with connected(talkative) as wire:
        error = await wire.error(wire.update(tts={"speed": 10}))
        assert "nobody understands that" in error["error"]
    with pytest.raises(StartFailed, match="nobody understands that"):
        async with connected(hasty, body={"config": {"tts": {"speed": 11}}}):
            pass
    assert caplog.messages == []


async def test_a_default_of_the_bot_that_a_provider_rejects_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Clients get the error too, but cannot correct it."""
    with pytest.raises(StartFailed):
        async with connected(hasty):
            pass
    assert [each for each in caplog.messages if "'tts' could not be set. $.speed: nobody understands that" in each]


async def test_what_was_set_before_the_failure_is_set_back() -> None:
    """Options are set back in the order in which they were set."""
    async with connected(talkative) as wire:
        calls.clear()
        error = await wire.error(wire.update(tts={"speed": 3}, llm={"model": "breaks"}))
        assert error["code"] == "apply-failed"
        assert calls == [
            "speed=3",
            "one model=breaks temperature=0.5",
            "speed=1",
            "one model=small temperature=0.5",
        ]


async def test_a_fresh_service_replaces_one_that_will_not_go_back() -> None:
    """The broken service is closed."""
    async with connected(talkative) as wire:
        await wire.answer(wire.update(llm={"model": "large"}))
        calls.clear()
        wire.update(llm={"style": "once"})
        await settle()
        assert calls[:2] == ["style=once", "style=plain"]
        assert sorted(calls[2:]) == ["close one", "one model=large temperature=0.5", "open one", "style=plain"]
        assert await wire.result(wire.call("llm:who")) == "one large"
        assert not wire.connection.closed


# ---- another provider ----------------------------------------------------------------------------------------------


async def test_a_granted_provider_can_be_switched_to() -> None:
    """The new provider is open and set before the old one is closed. The config is that of the new one."""
    async with connected(talkative) as wire:
        calls.clear()
        answer = await wire.answer(wire.update(llm={"provider": "two", "depth": 3}))
        assert answer["type"] == "config"
        assert calls == ["open two", "two model=small temperature=0.5", "depth=3", "close one"]
        assert set((await wire.config())["llm"]) == {
            "model",
            "temperature",
            "depth",
            "provider",
            "messages",
            "run_on_config",
        }
        assert await wire.result(wire.call("llm:who")) == "two small"


async def test_a_switch_keeps_the_options_of_the_kind_and_begins_the_providers_own_afresh() -> None:
    """Options of the kind belong to the session."""
    async with connected(talkative) as wire:
        said = [{"role": "user", "content": "hello"}]
        await wire.answer(wire.update(llm={"model": "large", "messages": said}))
        await wire.answer(wire.update(llm={"provider": "two"}))
        config = (await wire.config())["llm"]
        assert (config["messages"], config["model"]) == (said, "small")


async def test_a_switch_in_a_turn_leaves_the_turn_its_provider() -> None:
    """The old provider is closed at the end of the turn."""
    async with connected(talkative) as wire:
        await start_turn(wire)
        answer = await wire.answer(wire.update(llm={"provider": "two"}))
        assert answer["data"]["applies"] == "next-turn"
        assert "close one" not in calls
        wire.call("tts:interrupt")
        await settle()
        assert calls[-1] == "close one"


@pytest.mark.parametrize("change", [{"provider": "two", "depth": 13}, {"provider": "two", "model": "breaks"}])
async def test_a_switch_that_fails_changes_nothing_and_leaves_nothing_open(change: dict[str, Any]) -> None:
    """The new service is closed again, and the old one continues."""
    async with connected(talkative) as wire:
        before = await wire.config()
        assert (await wire.error(wire.update(llm=change)))["code"] == "apply-failed"
        assert await wire.config() == before
        assert calls[-1] == "close two"
        assert await wire.result(wire.call("llm:who")) == "one small"


async def test_a_switch_whose_kind_options_fail_at_the_turn_boundary_keeps_the_session_whole() -> None:
    """The config in the message fits the provider that is used."""
    async with connected(talkative) as wire:
        await start_turn(wire)
        await wire.answer(wire.update(llm={"provider": "two"}, tts={"speed": 2}))
        wire.call("tts:interrupt")
        await settle()
        config = await wire.config()
        assert config["llm"]["provider"] == "two"
        assert (await wire.answer(wire.update(llm={"depth": 2})))["type"] == "config"


# ---- the layers of values ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, ("one", "of the bot", 0.1)),
        ({"services": {"llm": "two"}}, ("two", "of the bot for two", 0.1)),
        ({"defaults": {"llm": {"model": "of the operator"}}}, ("one", "of the operator", 0.1)),
        ({"defaults": {"llm.two": {"model": "for two"}}, "services": {"llm": "two"}}, ("two", "for two", 0.1)),
        ({"config": {"llm": {"temperature": 0.3}}}, ("one", "of the bot", 0.3)),
        ({"config": {"llm": {"provider": "two"}}}, ("two", "of the bot for two", 0.1)),
    ],
)
async def test_values_come_from_the_provider_the_bot_the_operator_and_the_client(
    body: dict[str, Any], expected: tuple[str, str, float]
) -> None:
    """Each over those before it."""
    async with connected(layered, body=body) as wire:
        llm = (await wire.config())["llm"]
        assert (llm["provider"], llm["model"], llm["temperature"]) == expected
        assert await wire.result(wire.call("llm:who")) == f"{expected[0]} {expected[1]}"


async def test_defaults_of_no_service_are_told_the_services_first() -> None:
    """The services come before the providers, because a bot may have many providers."""
    async with host_of(talkative) as host:
        with pytest.raises(InvalidStart, match=r"names no service of this bot; known: llm, tts, llm\.one"):
            await host.start({"defaults": {"nobody": {"x": 1}}}, secret=OPERATOR)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"services": {"llm": "three"}}, UnknownProvider),
        ({"services": {"nobody": "one"}}, UnknownService),
        ({"services": {"llm": {}}}, UnknownProvider),
        ({"services": []}, InvalidConfig),
        ({"config": {"llm": {"model": "mine"}}}, NotGranted),
        ({"config": 5}, InvalidConfig),
    ],
)
async def test_a_start_with_a_wrong_config_is_refused(body: dict[str, Any], error: type[Exception]) -> None:
    """The services and the config of a start come from the client, whoever sends the request."""
    async with host_of(layered) as host:
        for secret in (None, OPERATOR):
            with pytest.raises(error):
                await host.start(body, secret=secret)
        assert calls == []


async def test_a_change_that_is_refused_leaves_the_conversation_as_it_was() -> None:
    """If the messages were set back, the conversation would start again, and the user's words would be lost."""
    async with connected(faulty) as wire:
        messages = [{"role": "user", "content": "I want a room"}]
        assert await wire.result(wire.call("llm:append_to_messages", messages=messages))
        before = await wire.result(wire.call("llm:get_context"))
        update = wire.update(llm={"messages": [{"role": "system", "content": "Begin anew."}], "pace": "vendor"})
        assert (await wire.error(update))["code"] == "apply-failed"
        assert await wire.result(wire.call("llm:get_context")) == before
        assert messages[0] in before["messages"]


async def test_deferred_changes_are_not_made_to_a_later_provider() -> None:
    """After a change of the first provider's options and a switch, the second one gets only values of the config."""
    async with connected(faulty) as wire:
        wire.send("send-text", {"content": "long"})
        await settle()
        assert (await wire.answer(wire.update(llm={"model": "large"})))["data"]["applies"] == "next-turn"
        answer = await wire.answer(wire.update(llm={"provider": "second", "model": "deeper"}))
        assert answer["data"]["applies"] == "next-turn"
        assert await wire.result(wire.call("tts:interrupt"))
        await settle()
        assert await wire.result(wire.call("llm:name")) == "second deeper"
        config = (await wire.answer(wire.send("get-config", {})))["data"]
        assert {each["name"]: each["value"] for each in config["config"][0]["options"]}["model"] == "deeper"
        assert (await wire.answer(wire.update(llm={"model": "deeper"})))["data"]["revision"] == config["revision"] + 1


@pytest.mark.parametrize("options", [{"temperature": 0.9}, {"provider": "two"}], ids=["option", "provider"])
async def test_a_change_is_prepared_once(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """This is true also if it opens a service, unless something else changes the config meanwhile."""
    prepared: list[object] = []
    prepare = ConfigChanges.prepare

    def counted(changes: ConfigChanges, *args: Any) -> ConfigChange:
        prepared.append(args)
        return prepare(changes, *args)

    monkeypatch.setattr(ConfigChanges, "prepare", counted)
    async with connected(talkative) as wire:
        assert (await wire.answer(wire.update(llm=options)))["type"] == "config"
        assert len(prepared) == 1
