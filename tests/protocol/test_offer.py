"""The offer for one client: exactly its grants, described with their limits."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

import pytest
from attrs import define
from attrs.validators import ge, in_, le, max_len
from jsonschema import Draft202012Validator
from typing_extensions import deprecated

from rtvi_plugins import LLM, Doc, Grant, Session, Was, action, bot, options, service
from rtvi_plugins.declare.specs import AnyFunction
from rtvi_plugins.errors import InvalidArguments, NotGranted, RequestError, UnknownAction, UnknownService
from rtvi_plugins.kinds import LLMPiece, LLMRequest, Text
from rtvi_plugins.protocol.offer import Offer, Offers
from rtvi_plugins.registry.grants import Grants

from ..fakes.wire import connected, host_of


@define
class Parrot:
    """Says one word."""

    word: str = ""

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        """Say one word."""
        yield Text(self.word)


@service("llm", "grey")
@asynccontextmanager
async def grey() -> AsyncGenerator[Parrot]:
    """One provider."""
    yield Parrot()


@service("llm", "green")
@asynccontextmanager
async def green() -> AsyncGenerator[Parrot]:
    """Another provider."""
    yield Parrot()


@options(grey)
def teach(
    llm: Parrot,
    /,
    word: Annotated[Literal["hello", "bye"] | str, Doc("What it says."), Was("phrase")] = "hello",
    loudness: Annotated[float, ge(0), le(2), deprecated("Use distance.")] = 1.0,
) -> None:
    """Options of one provider."""
    llm.word = word


@options(green)
def colour(llm: Parrot, /, shade: int = 3) -> None:
    """Set an option of the other provider."""


@action(grey, green, long=True)
async def recite(
    llm: Parrot, session: Session, /, verses: Annotated[int, ge(1), Doc("How many.")], slow: bool = False
) -> str:
    """Recites, verse by verse.

    Not for clients.
    """
    return llm.word * verses


@action(grey)
@deprecated("Use recite.")
async def sing(llm: Parrot, /, texts: Annotated[list[str], Was("lines")]) -> None:
    """Sing."""


@action("bot")
async def sleep(session: Session, /) -> dict[str, Any] | None:
    """Sleep."""
    return None


EVERYTHING = ["llm.word", "llm.loudness", "llm.shade", "llm.provider", "llm:recite", "llm:sing", "bot:sleep"]


def keeper(*grants: str | Grant) -> AnyFunction:
    """A bot with this grant."""

    @bot(services={"llm": ["grey", "green"]}, client=grants, public=True)
    async def keeper(session: Session, /, llm: LLM) -> None: ...

    return keeper


def offers_of(*grants: str | Grant, everything: bool = False) -> Offers:
    """The offers of a bot with this grant."""
    registry = host_of(keeper(*grants)).registry
    return Offers(registry, Grants.of(registry, everything=everything))


def offer_of(*grants: str | Grant, provider: str = "grey") -> Offer:
    """The offer with one of its providers."""
    return offers_of(*grants).get({"llm": provider})


def actions(offer: Offer) -> dict[str, dict[str, Any]]:
    """The described actions by service and name."""
    return {f"{each['service']}:{each['action']}": each for each in json.loads(offer.described_actions)["actions"]}


def described(offer: Offer) -> dict[str, dict[str, Any]]:
    """The described options of the one service, by name."""
    (llm,) = json.loads(offer.described_config)["config"]
    assert llm["name"] == llm["service"] == "llm"
    return {each["name"]: each for each in llm["options"]}


def validator(schema: Any) -> Any:
    """A validator for a description, as a client with JSON Schema has it."""
    return Draft202012Validator(schema)


# ---- what is offered -----------------------------------------------------------------------------------------------


def test_nothing_is_offered_that_was_not_granted() -> None:
    """The service is described nevertheless, without options."""
    offer = offer_of()
    assert (actions(offer), described(offer)) == ({}, {})
    assert offer.options == {"llm": {}}


def test_what_is_offered_depends_on_the_provider() -> None:
    """The grant of an option of another provider has no effect until that provider is chosen."""
    assert set(actions(offer_of(*EVERYTHING))) == {"llm:recite", "llm:sing", "bot:sleep", "bot:cancel_job"}
    assert set(actions(offer_of(*EVERYTHING, provider="green"))) == {"llm:recite", "bot:sleep", "bot:cancel_job"}
    assert list(described(offer_of(*EVERYTHING))) == ["word", "loudness", "provider"]
    assert list(described(offer_of(*EVERYTHING, provider="green"))) == ["shade", "provider"]


def test_a_long_action_brings_the_one_that_cancels_it() -> None:
    """Nobody needs `cancel_job` without a long action."""
    assert set(actions(offer_of("llm:recite"))) == {"llm:recite", "bot:cancel_job"}
    assert set(actions(offer_of("llm:sing"))) == {"llm:sing"}


def test_a_developer_is_offered_everything() -> None:
    """This includes what the bot does not grant. The limits of the bot's grants stay."""
    offer = offers_of(Grant("llm:recite", arguments={"verses": le(3)}), everything=True).get({"llm": "grey"})
    assert {"llm:sing", "llm:recite", "llm:get_context", "bot:sleep"} <= set(actions(offer))
    assert {"word", "messages", "provider"} <= set(described(offer))
    assert actions(offer)["llm:recite"]["arguments"][0]["schema"]["maximum"] == 3


def test_offers_are_made_once_and_shared() -> None:
    """Offers with the narrower grants of one session are not shared."""
    offers = offers_of(*EVERYTHING)
    assert offers.get({"llm": "grey"}) is offers.get({"llm": "grey"})
    assert offers.get({"llm": "grey"}) is not offers.get({"llm": "green"})
    narrower = offers.grants.narrowed([Grant("llm.word", writable=False)])
    own = offers.get({"llm": "grey"}, narrower)
    assert own is not offers.get({"llm": "grey"})
    assert (list(described(own)), actions(own)) == (["word"], {})


# ---- how it is described -------------------------------------------------------------------------------------------


def test_an_option_is_described_with_all_there_is_to_say() -> None:
    """There are name, type, default, documentation, JSON Schema, and whether it may be set."""
    options = described(offer_of("llm.word", Grant("llm.loudness", writable=False), "llm.provider"))
    assert options["word"] == {
        "name": "word",
        "type": "string",
        "required": False,
        "default": "hello",
        "description": "What it says.",
        "schema": {"anyOf": [{"enum": ["hello", "bye"]}, {"type": "string"}]},
        "writable": True,
    }
    assert (options["loudness"]["writable"], options["loudness"]["deprecated"]) == (False, "Use distance.")
    assert options["provider"]["schema"] == {"enum": ["grey", "green"]}


def test_an_action_is_described_with_all_there_is_to_say() -> None:
    """There are typed arguments, a typed result, and the first paragraph of the docstring."""
    described_actions = actions(offer_of(*EVERYTHING))
    assert described_actions["llm:recite"] == {
        "service": "llm",
        "action": "recite",
        "arguments": [
            {
                "name": "verses",
                "type": "number",
                "required": True,
                "description": "How many.",
                "schema": {"type": "integer", "minimum": 1},
            },
            {
                "name": "slow",
                "type": "bool",
                "required": False,
                "default": False,
                "description": "",
                "schema": {"type": "boolean"},
            },
        ],
        "result": "string",
        "result_schema": {"type": "string"},
        "description": "Recites, verse by verse.",
        "long": True,
    }
    assert described_actions["llm:sing"]["deprecated"] == "Use recite."
    assert "long" not in described_actions["llm:sing"]
    assert described_actions["bot:sleep"]["result"] == "object"


def test_former_names_are_accepted_and_not_described() -> None:
    """The description has only present names."""
    offer = offer_of(*EVERYTHING)
    text = offer.described_actions + offer.described_config
    assert "phrase" not in text
    assert "lines" not in text
    assert offer.action("llm", "sing", "$").binder.bind({"lines": ["la"]}, "$") == {"texts": ["la"]}


def test_what_is_narrowed_is_described_as_narrow_as_it_is() -> None:
    """The bounds of the grant and of the author are both there: a value must be within both."""
    offer = offer_of(
        Grant("llm.word", in_(["hello"])),
        Grant("llm.loudness", le(1.0)),
        Grant("llm:recite", arguments={"verses": le(3), "slow": in_([False])}),
        Grant("llm:sing", arguments={"texts": max_len(2)}),
    )
    options, described_actions = described(offer), actions(offer)
    schemas = [each["schema"] for each in (options["loudness"], *described_actions["llm:recite"]["arguments"])]
    loud, verses, slow = map(validator, schemas)
    assert [loud.is_valid(value) for value in (-0.1, 0.5, 1.5, 2.5)] == [False, True, False, False]
    assert [verses.is_valid(value) for value in (0, 3, 4)] == [False, True, False]
    assert [slow.is_valid(value) for value in (False, True)] == [True, False]
    assert not validator(options["word"]["schema"]).is_valid("bye")
    assert described_actions["llm:sing"]["arguments"][0]["schema"]["maxItems"] == 2


def test_a_grant_that_is_wider_widens_nothing() -> None:
    """Neither the description nor the accepted values become wider."""
    offer = offer_of(Grant("llm.loudness", le(9.0)))
    schema = validator(described(offer)["loudness"]["schema"])
    assert [schema.is_valid(value) for value in (1.5, 2.5)] == [True, False]


# ---- looking up ----------------------------------------------------------------------------------------------------

REFUSALS: list[tuple[Any, Any, type[RequestError], str]] = [
    ("lm", "recite", UnknownService, "did you mean 'llm'?"),
    ("llm", "recit", UnknownAction, "did you mean 'recite'?"),
    ("llm", "sing", NotGranted, "the bot does not grant 'llm:sing' to this client."),
    ("llm", "word", UnknownAction, "unknown llm action 'word'"),
    (None, "recite", InvalidArguments, "expected an object with the strings service and action."),
    ("llm", ["recite"], InvalidArguments, "expected an object with the strings"),
    ({}, {}, InvalidArguments, "expected an object with the strings"),
]


@pytest.mark.parametrize(("service", "name", "family", "message"), REFUSALS)
def test_an_action_that_is_not_offered_is_refused(
    service: Any, name: Any, family: type[RequestError], message: str
) -> None:
    """With the nearest of those that are offered, or that it is not granted."""
    with pytest.raises(family) as raised:
        offer_of("llm:recite").action(service, name, "$.data")
    assert message in raised.value.message


def test_an_unknown_name_tells_nothing_of_what_is_not_granted() -> None:
    """The error does not even contain a name."""
    with pytest.raises(UnknownAction) as raised:
        offer_of("llm:recite").action("llm", "sng", "$.data")
    assert "sing'" not in raised.value.message


@pytest.mark.anyio
@pytest.mark.parametrize("version", [None, "2.1.0"])
async def test_both_generations_read_the_same_description(version: str | None) -> None:
    """It is a message of its own, or inside of a server response."""
    async with connected(keeper(*EVERYTHING), version=version) as wire:
        offer = offer_of(*EVERYTHING)
        for type, data in {
            "describe-actions": offer.described_actions,
            "describe-config": offer.described_config,
        }.items():
            plain = await wire.answer(wire.send(type))
            inside = await wire.answer(wire.send("client-message", {"t": type, "d": {}}))
            assert plain["data"] == json.loads(data)
            assert inside["data"] == {"t": type, "d": json.loads(data)}
