"""Options of a bot itself, under the service "bot" or a name of their own."""

from __future__ import annotations

import json
from typing import Annotated, Any

import pytest
from attrs.validators import ge, le

from rtvi_plugins import Session, Was, action, bot, options
from rtvi_plugins.errors import BotError
from rtvi_plugins.loading import compose
from rtvi_plugins.registry.installed_plugins import Installed
from rtvi_plugins.testing import connect

from ..fakes.wire import OPERATOR, connected, host_of

pytestmark = pytest.mark.anyio

applied: list[tuple[str, Any]] = []


@bot(
    config={"call": {"volume": 0.5}},
    client=["call.volume", "call.muted", "bot.tone", "call:hang_up", "bot:whisper"],
)
async def agent(session: Session, /) -> None:
    """A bot with options of its own, and without services."""


@options(agent, service="call")
def levels(
    session: Session,
    /,
    volume: Annotated[float, ge(0), le(2), Was("loudness")] = 1.0,
    muted: bool = False,
) -> None:
    """How the call sounds."""
    applied.append((session.id, (volume, muted)))


@options(agent)
def manner(session: Session, /, tone: str = "kind", secret: str = "") -> None:
    """How the bot talks."""
    applied.append((session.id, tone))


@action(agent, service="call")
async def hang_up(session: Session, /) -> str:
    """An action under the same service name."""
    return "hung up"


@action(agent)
async def whisper(session: Session, /) -> None:
    """Let the bot set its own options."""
    await session.configure("call", volume=0.25)


@pytest.fixture(autouse=True)
def forget() -> None:
    """Start each test without applied values."""
    applied.clear()


async def test_the_bot_is_no_provider_of_its_options() -> None:
    """`session.providers` lists what a client or the operator can choose."""
    async with connect(agent) as client:
        assert client.session.providers == {}


async def test_options_of_a_bot_are_set_at_the_start_and_on_change() -> None:
    """The function gets all values of the group, like the options of a kind."""
    async with connected(agent) as wire:
        assert [each for _, each in applied] == [(0.5, False), "kind"]
        changed = await wire.answer(wire.update(call={"muted": True}))
        assert changed["data"]["applies"] == "now"
        assert [each for _, each in applied][2:] == [(0.5, True)]


async def test_clients_see_options_of_a_bot_by_service() -> None:
    """They are in the config and in its description, as far as they are granted."""
    async with connected(agent) as wire:
        assert await wire.config() == {"call": {"volume": 0.5, "muted": False}, "bot": {"tone": "kind"}}
        described = (await wire.answer(wire.send("describe-config", {})))["data"]["config"]
        assert {each["name"]: [one["name"] for one in each["options"]] for each in described} == {
            "call": ["volume", "muted"],
            "bot": ["tone"],
        }
        assert await wire.result(wire.call("call:hang_up")) == "hung up"


async def test_options_of_a_bot_are_validated_and_granted() -> None:
    """An update changes all options or none."""
    async with connected(agent) as wire:
        refused = await wire.error(wire.update(call={"volume": 3}, bot={"secret": "x"}))
        assert [each["path"] for each in refused["details"]] == [
            "$.data.config[0].options[0].value",
            "$.data.config[1].options[0].name",
        ]
        assert (await wire.error(wire.update(call={"provider": "bot"})))["code"] == "not-granted"
        assert len(applied) == 2


async def test_a_start_sets_options_of_a_bot() -> None:
    """They come from the client's config, also under a former name, and from the operator's defaults."""
    body = {"config": {"call": {"loudness": 2}}, "defaults": {"bot": {"secret": "s", "tone": "rough"}}}
    async with connected(agent, body=body) as wire:
        assert await wire.config() == {"call": {"volume": 2, "muted": False}, "bot": {"tone": "rough"}}


async def test_the_bot_sets_its_own_options() -> None:
    """It sets them like options of its services."""
    async with connected(agent, body={"grants": ["call.volume", "bot:whisper"]}) as wire:
        await wire.result(wire.call("bot:whisper"))
        assert await wire.config() == {"call": {"volume": 0.25}, "bot": {}}


async def test_nobody_chooses_a_provider_of_a_bots_options() -> None:
    """There is no provider to choose. The description of a start request shows none."""
    async with host_of(agent) as host:
        offered = json.loads(host.describe({}, secret=OPERATOR))
        assert offered["providers"] == {}
        assert [each["name"] for each in offered["config-available"]["config"]] == ["call", "bot"]


def test_defaults_of_a_bots_options_are_checked() -> None:
    """They are checked when the bot is loaded."""

    @bot(config={"bot": {"tone": 5}})
    async def wrong(session: Session, /) -> None: ...

    def tone(session: Session, /, tone: str = "") -> None: ...

    tone.__module__ = "of_every_bot"
    module = type(pytest)("of_every_bot")
    vars(module)["tone"] = options("bot")(tone)
    with pytest.raises(BotError, match=r"config= gives 'bot.tone' a wrong value"):
        compose(wrong, Installed(()), (module,))
