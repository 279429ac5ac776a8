"""If a provider renames an option, an argument or a service option, bots and operators continue to work."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any

import pytest
from attrs.validators import in_, le, max_len

from rtvi_plugins import LLM, Grant, Session, Was, action, bot, options, service
from rtvi_plugins.errors import BotError, InvalidStart

from ..fakes.faulty import FaultyLLM
from ..fakes.wire import OPERATOR, Wire, connected, host_of


@service("llm", "renamed")
@asynccontextmanager
async def renamed_llm(
    base_url: Annotated[str, Was("endpoint")] = "https://one.example",
) -> AsyncGenerator[FaultyLLM]:
    """A provider that has renamed everything."""
    yield FaultyLLM(base_url)


@service("llm", "other")
@asynccontextmanager
async def other_llm(endpoint: str = "https://other.example") -> AsyncGenerator[FaultyLLM]:
    """A provider that still has an option of the former name."""
    yield FaultyLLM(endpoint)


@options(renamed_llm)
def configure(
    llm: FaultyLLM,
    /,
    model: Annotated[str, Was("engine"), Was("deployment")] = "small",
    temperature: Annotated[float, Was("randomness"), le(2)] = 0.5,
) -> None:
    """Options under new names."""
    llm.model = model


@options(other_llm)
def configure_other(llm: FaultyLLM, /, engine: str = "steam", model: str = "T") -> None:
    """Set other options. Both names have a meaning here."""
    llm.model = f"{engine} {model}"


@action(renamed_llm, other_llm)
async def spell(llm: FaultyLLM, /, text: Annotated[str, Was("words")], times: int = 1) -> str:
    """Return the text and the name of the provider."""
    return f"{llm.name} {llm.model} {text * times}"


def bot_with(**how: Any) -> Any:
    """A bot that uses the former names in one place."""

    @bot(state=None, services={"llm": ["renamed", "other"]}, public=True, plugins=[], **how)
    async def old(session: Session, /, llm: LLM) -> None:
        """A bot that does nothing."""

    return old


def using(bot: Any, **body: Any) -> Any:
    """A session with a bot."""
    return connected(bot, sys.modules[__name__], body=body)


async def values(wire: Wire) -> Mapping[str, Any]:
    """The values of the one service that the client reads."""
    return (await wire.config())["llm"]


ALL = ["llm.model", "llm.temperature", "llm.engine", "llm.provider", "llm:spell"]

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("name", ["model", "engine", "deployment"])
@pytest.mark.parametrize("key", ["llm", "llm.renamed"])
async def test_a_bots_config_may_use_former_names(key: str, name: str) -> None:
    """The config is by service, or by service and provider."""
    async with using(bot_with(config={key: {name: "large"}}, client=ALL)) as wire:
        assert (await values(wire))["model"] == "large"
        assert await wire.result(wire.call("llm:spell", text="a")) == "https://one.example large a"


async def test_a_name_means_what_it_means_to_each_provider() -> None:
    """A name may be the former name of one option, and the present name of another one."""
    async with using(bot_with(config={"llm": {"engine": "big"}}, client=ALL)) as wire:
        assert (await values(wire))["model"] == "big"
        await wire.answer(wire.update(llm={"provider": "other"}))
        config = await values(wire)
        assert (config["engine"], config["model"]) == ("big", "T")


def test_an_option_that_is_named_twice_is_refused() -> None:
    """Otherwise one of the two values would be lost."""
    with pytest.raises(BotError, match=r"sets 'llm.renamed.model' twice, as 'engine' and 'model'"):
        host_of(bot_with(config={"llm.renamed": {"engine": "a", "model": "b"}}), sys.modules[__name__])


def test_a_wrong_value_under_a_former_name_is_refused() -> None:
    """The types are checked as under the present name."""
    with pytest.raises(BotError, match=r"gives 'llm.randomness' a wrong value"):
        host_of(bot_with(config={"llm": {"randomness": "hot"}}), sys.modules[__name__])


def test_an_unknown_name_is_refused_with_the_present_names() -> None:
    """Former names are accepted, but not suggested."""
    with pytest.raises(BotError, match=r"Did you mean 'llm.model'"):
        host_of(bot_with(client=["llm.modell"]), sys.modules[__name__])


async def test_a_bots_grants_may_use_former_names() -> None:
    """The client may set the option within the bounds of the grant, and sees its present name."""
    granted = bot_with(client=[Grant("llm.deployment", in_(["small", "large"])), "llm.randomness", "llm:spell"])
    async with using(granted) as wire:
        assert await values(wire) == {"model": "small", "temperature": 0.5}
        assert (await wire.answer(wire.update(llm={"deployment": "large"})))["type"] == "config"
        assert (await wire.error(wire.update(llm={"model": "huge"})))["code"] == "not-granted"
        assert (await wire.answer(wire.update(llm={"temperature": 1.5})))["type"] == "config"


async def test_a_grant_under_a_former_name_grants_no_other_option_of_the_present_name() -> None:
    """Another provider's option of this name was not granted."""
    async with using(bot_with(client=["llm.engine", "llm.provider"])) as wire:
        assert set(await values(wire)) == {"model", "provider"}
        await wire.answer(wire.update(llm={"provider": "other"}))
        assert set(await values(wire)) == {"engine", "provider"}


@pytest.mark.parametrize(("ours", "theirs"), [("model", "engine"), ("engine", "model"), ("engine", "deployment")])
async def test_an_operators_grants_may_use_former_names(ours: str, theirs: str) -> None:
    """They narrow the bot's grants, whatever name each of them uses."""
    granted = bot_with(client=[Grant(f"llm.{ours}", in_(["small", "large"])), "llm.temperature"])
    grants = [{"name": f"llm.{theirs}", "in": ["large", "huge"]}]
    async with using(granted, grants=grants) as wire:
        assert await values(wire) == {"model": "small"}
        assert (await wire.answer(wire.update(llm={"model": "large"})))["type"] == "config"
        assert (await wire.error(wire.update(llm={"model": "small"})))["code"] == "not-granted"
        assert (await wire.error(wire.update(llm={"model": "huge"})))["code"] == "not-granted"


async def test_grants_of_arguments_may_use_former_names() -> None:
    """The bot and the operator may use them, and both bounds apply."""
    granted = bot_with(client=[Grant("llm:spell", arguments={"words": max_len(5)})])
    grants = [{"name": "llm:spell", "arguments": {"words": {"min_len": 2}, "times": {"le": 2}}}]
    async with using(granted, grants=grants) as wire:
        assert str(await wire.result(wire.call("llm:spell", words="abc"))).endswith("abc")
        for text in ("abcdef", "a"):
            for name in ("text", "words"):
                assert (await wire.error(wire.call("llm:spell", **{name: text})))["code"] == "not-granted"


async def test_functions_of_the_llm_may_be_narrowed_by_former_names() -> None:
    """The LLM reads the present name, with the bound."""

    @bot(
        services={"llm": ["renamed", "other"]},
        functions=[Grant("llm:spell", arguments={"words": max_len(5)})],
        public=True,
    )
    async def calling(session: Session, /, llm: LLM) -> None:
        """A bot that shows its functions."""
        session.send(list(session.functions))

    async with using(calling) as wire:
        await wire.answer(wire.send("get-config", {}))
        (functions,) = wire.data_of("server-message")
        assert functions[0]["parameters"]["properties"]["text"]["maxLength"] == 5


@pytest.mark.parametrize("key", ["llm", "llm.renamed"])
async def test_an_operators_defaults_may_use_former_names(key: str) -> None:
    """The defaults are by service, or by service and provider."""
    async with using(bot_with(client=ALL), defaults={key: {"engine": "large"}}) as wire:
        assert (await values(wire))["model"] == "large"


async def test_an_operators_service_options_may_use_former_names() -> None:
    """One provider has renamed the option, and another one has not."""
    for start in ({"renamed": {"endpoint": "https://a"}}, {"llm.renamed": {"endpoint": "https://a"}}):
        async with using(bot_with(client=ALL), service_options=start) as wire:
            assert str(await wire.result(wire.call("llm:spell", text="x"))).startswith("https://a ")


@pytest.mark.parametrize(
    "body",
    [
        {"defaults": {"llm.renamed": {"engine": "a", "model": "b"}}},
        {"service_options": {"renamed": {"endpoint": "https://a", "base_url": "https://b"}}},
    ],
)
async def test_a_value_that_the_operator_sends_twice_is_a_problem(body: dict[str, Any]) -> None:
    """Otherwise one of the two values would be lost."""
    async with host_of(bot_with(), sys.modules[__name__]) as host:
        with pytest.raises(InvalidStart, match="already, under another name"):
            await host.start(body, secret=OPERATOR)


async def test_a_former_name_of_a_service_option_is_the_operators_too() -> None:
    """A client that sends it is refused, as under the present name."""
    async with host_of(bot_with(), sys.modules[__name__]) as host:
        with pytest.raises(Exception, match="only the operator may send this"):
            await host.start({"endpoint": "https://evil.example"})
