"""The registry of a bot: names are declared once, providers override kinds, and the bot's own values are checked."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, cast

import pytest
from attrs import define
from attrs.validators import ge, in_, max_len

from rtvi_plugins import LLM, Grant, Session, Was, action, bot, options, service
from rtvi_plugins.declare.specs import AnyFunction, ProviderSpec, Spec, specs_of
from rtvi_plugins.errors import AuthorError, BotError, DeclarationError
from rtvi_plugins.kinds import LLMPiece, LLMRequest, Text
from rtvi_plugins.loading import bot_spec
from rtvi_plugins.registry.assemble import build
from rtvi_plugins.registry.grants import known_grants
from rtvi_plugins.registry.registry import Registry
from rtvi_plugins.utils.error_texts import where


@define
class Parrot:
    """Says one word."""

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        """The word."""
        yield Text("hello")


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


@options(grey, green)
def feed(llm: Parrot, /, seeds: Annotated[int, ge(1)] = 3) -> None:
    """Set an option that both providers have."""


@options(grey)
def teach(llm: Parrot, /, word: Annotated[str, Was("phrase")] = "hello", tone: str = "own") -> None:
    """Set options of one provider. The second one overrides an option of the kind."""


@options("llm")
def general(session: Session, /, tone: str = "kind", phrase: bool = False) -> None:
    """Set options of every LLM."""


@action("llm")
async def fly(session: Session, /, far: int = 1) -> str:
    """An action of every LLM."""
    return "kind"


@action("llm")
async def sit(session: Session, /) -> None:
    """An action of every LLM that no provider overrides."""


async def fly_of_grey(llm: Parrot, /) -> str:
    """An action of one provider, which overrides that of the kind."""
    return "own"


fly_of_grey.__name__ = "fly"
action(grey)(fly_of_grey)

DECLARED: list[AnyFunction] = [grey, green, feed, teach, general, fly, sit, fly_of_grey]


def registry_of(function: AnyFunction, *more: AnyFunction) -> Registry:
    """The registry of a bot whose service `llm` has both providers."""
    specs: list[Spec] = [spec for each in (*DECLARED, *more, function) for spec in specs_of(each)]
    services = {spec.provider: spec for spec in specs if isinstance(spec, ProviderSpec)}
    named = bot_spec(function)
    return build(
        named, {name: {each: services[each] for each in named.services[name]} for name in named.services}, specs
    )


def bot_with(config: Any = None, client: Any = ()) -> AnyFunction:
    """A bot with both providers."""

    @bot(services={"llm": ["grey", "green"]}, config=config, client=client)
    async def keeper(session: Session, /, llm: LLM) -> None: ...

    return keeper


# ---- who offers what -----------------------------------------------------------------------------------------------


def test_the_first_provider_is_the_default() -> None:
    """Providers have the order in which the bot names them."""
    registry = registry_of(bot_with())
    assert list(registry.services["llm"].providers) == ["grey", "green"]
    assert registry.services["llm"].default == "grey"


def test_a_provider_offers_its_own_and_its_kinds() -> None:
    """If a function is declared on several providers, each one offers it."""
    providers = registry_of(bot_with()).services["llm"].providers
    assert list(providers["grey"].options) == ["seeds", "word", "tone", "phrase"]
    assert list(providers["green"].options) == ["seeds", "tone", "phrase"]
    assert set(providers["grey"].actions) == set(providers["green"].actions) == {"fly", "sit"}


def test_what_a_provider_declares_comes_before_its_kinds() -> None:
    """This is true for options and actions. Another provider keeps those of the kind."""
    providers = registry_of(bot_with()).services["llm"].providers
    tones = {label: provider.options["tone"][0].default for label, provider in providers.items()}
    assert tones == {"grey": "own", "green": "kind"}
    assert providers["grey"].actions["fly"].function is fly_of_grey
    assert providers["green"].actions["fly"].function is fly


def test_a_group_sets_what_nobody_overrides() -> None:
    """The group of the kind sets its other options."""
    providers = registry_of(bot_with()).services["llm"].providers
    left = {label: provider.effective(provider.kind_groups[0]) for label, provider in providers.items()}
    assert left == {"grey": ("phrase",), "green": ("tone", "phrase")}


def test_a_present_name_is_not_a_former_one() -> None:
    """If a name is the former name of one option and the present name of another, it means the second one."""
    providers = registry_of(bot_with()).services["llm"].providers
    assert providers["grey"].former_names == {}

    @options(green)
    def renamed(llm: Parrot, /, colour: Annotated[str, Was("hue")] = "green") -> None: ...

    providers = registry_of(bot_with(), renamed).services["llm"].providers
    assert providers["green"].former_names == {"hue": "colour"}


def test_a_bots_own_actions_are_its_own() -> None:
    """Actions of another bot are not offered. Actions of every bot are."""
    keeper, other = bot_with(), bot_with()

    @action(keeper)
    async def count(session: Session, /) -> None: ...

    @action(other)
    async def lose(session: Session, /) -> None: ...

    @action("bot")
    async def sleep(session: Session, /) -> None: ...

    assert {service: set(each) for service, each in registry_of(keeper, count, lose, sleep).actions.items()} == {
        "bot": {"count", "sleep"}
    }


# ---- names that are declared twice ---------------------------------------------------------------------------------


def refused(function: AnyFunction, *more: AnyFunction, family: type[AuthorError] = DeclarationError) -> str:
    """The error for the author."""
    with pytest.raises(family) as raised:
        registry_of(function, *more)
    return str(raised.value)


def test_an_option_that_is_declared_twice_is_refused_with_both_places() -> None:
    """They may be on one provider or on one kind. The error has file and line of each."""

    @options(grey)
    def again(llm: Parrot, /, word: str = "") -> None: ...

    @options("llm")
    def general_again(session: Session, /, tone: str = "") -> None: ...

    for first, second in ((teach, again), (general, general_again)):
        message = refused(bot_with(), second)
        assert "is declared twice" in message
        assert where(first) in message
        assert where(second) in message
        assert len(re.findall(r"test_registry\.py:\d+", message)) == 2


def test_an_action_that_is_declared_twice_is_refused_with_both_places() -> None:
    """They may be on a provider, a kind, or a bot."""
    keeper = bot_with()

    def declared(target: Any) -> Any:
        async def sing(session: Session, /) -> None: ...

        return cast("Any", action)(target)(sing)

    for target in (grey, "llm", keeper):
        one, other = declared(target), declared(target)
        message = refused(keeper, one, other)
        assert "the action 'sing'" in message
        assert message.count(where(one)) == 2  # both are made at the same line


def test_the_option_provider_is_the_frameworks_own() -> None:
    """It switches the provider of a service."""

    @options(grey)
    def choose(llm: Parrot, /, provider: str = "") -> None: ...

    assert f"{where(choose)} declares the option 'provider'" in refused(bot_with(), choose)


def test_a_former_name_is_declared_once_as_any_name() -> None:
    """Otherwise it would mean one option, and be ignored as the former name of the other one."""

    @options(grey)
    def takes_a_present_name(llm: Parrot, /, grain: Annotated[str, Was("seeds")] = "") -> None: ...

    @options(grey)
    def takes_a_former_name(llm: Parrot, /, text: Annotated[str, Was("phrase")] = "") -> None: ...

    @options(grey)
    def takes_ours(llm: Parrot, /, label: Annotated[str, Was("provider")] = "") -> None: ...

    assert "the option 'seeds' of 'llm.grey' is declared twice" in refused(bot_with(), takes_a_present_name)
    assert "the option 'phrase' of 'llm.grey' is declared twice" in refused(bot_with(), takes_a_former_name)
    assert f"{where(takes_ours)} declares the option 'provider'" in refused(bot_with(), takes_ours)


# ---- what a bot says of itself -------------------------------------------------------------------------------------

CONFIGS: list[tuple[Any, str]] = [
    ({"lm": {"seeds": 1}}, "config= names 'lm'. Did you mean 'llm'?"),
    ({"llm.grei": {"seeds": 1}}, "config= names the provider 'llm.grei'. Did you mean 'grey'?"),
    ({"llm": {"seds": 1}}, "config= names the option 'llm.seds'. Did you mean 'seeds'?"),
    ({"llm.green": {"word": "a"}}, "config= names the option 'llm.green.word'."),
    ({"llm": {"seeds": 0}}, "config= gives 'llm.seeds' a wrong value: must be >= 1, got 0."),
    ({"llm.grey": {"word": 3}}, "config= gives 'llm.grey.word' a wrong value: expected a string, got the number 3."),
]


@pytest.mark.parametrize(("config", "message"), CONFIGS)
def test_a_bots_config_that_fits_nothing_is_refused(config: Any, message: str) -> None:
    """The error has the bot's line and the nearest name."""
    keeper = bot_with(config)
    text = refused(keeper, family=BotError)
    assert text.startswith(where(keeper))
    assert message in text


def test_a_bots_config_may_name_what_one_provider_has() -> None:
    """The option is used for this provider only."""
    registry_of(bot_with({"llm": {"word": "a"}, "llm.green": {"seeds": 2}}))


GRANTS: list[tuple[Any, str]] = [
    ("llm.seds", "client= grants 'llm.seds'. Did you mean 'llm.seeds'?"),
    ("llm:fli", "client= grants 'llm:fli'. Did you mean 'llm:fly'?"),
    ("tts:say", "client= grants 'tts:say'."),
    ("bot:nothing", "client= grants 'bot:nothing'."),
    ("lm.seeds", "client= grants 'lm.seeds'. Did you mean 'llm.seeds'?"),
    ("llm:seeds", "client= grants 'llm:seeds'. Did you mean 'llm.seeds'?"),
    ("seeds", "client= grants 'seeds'. Did you mean 'llm.seeds'?"),
    ("llm.*", "client= grants 'llm.*'. There are no wildcards: name each. There is llm."),
    ("tts:say", "There is no service 'tts' with anything to grant. There is "),
    (Grant("llm:fly", arguments={"fr": in_([1])}), "narrows the argument 'fr' of 'llm:fly'."),
]


@pytest.mark.parametrize(("grant", "message"), GRANTS)
def test_a_grant_that_names_nothing_is_refused(grant: Any, message: str) -> None:
    """The error has the bot's line and the nearest name."""
    keeper = bot_with(client=[grant])
    text = refused(keeper, family=BotError)
    assert text.startswith(where(keeper))
    assert message in text


def undecorated() -> None:
    """No action."""


@pytest.mark.parametrize("grant", ["bot:undecorated", "undecorated"])
def test_a_grant_of_a_function_without_a_decorator_says_so(grant: str) -> None:
    """The error has the line of the function, and the line to write above it."""
    text = refused(bot_with(client=[grant]), family=BotError)
    assert text.endswith(f"grants {grant!r}, but {where(undecorated)} is no action. Write @action(keeper) above it.")


def test_many_names_are_not_all_listed() -> None:
    """If no name is similar, some names are listed, of the same service if possible, and the number of the others."""
    options = [f"{service}.option_{n}" for service in ("llm", "tts") for n in range(10)]
    assert known_grants("llm:zzz", options) == f"There is {', '.join(options[:8])} and 2 more."


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("bot:sp", "There is bot:inc."),
        ("llm:sya", "Did you mean 'llm:say'?"),
        ("llm:zzz", "There is llm:say."),
        ("llm.zzz", "There is llm.omit."),
        ("bot.tone", "There is bot:inc."),
    ],
)
def test_only_the_name_after_the_service_is_compared(name: str, says: str) -> None:
    """Names of one service would be similar for the service alone. Options and actions are not mixed."""
    assert known_grants(name, ["bot:inc", "llm.omit", "llm:say"]) == says


def test_a_grant_may_name_what_one_provider_has() -> None:
    """It may also name the provider, or an argument of one of two actions."""
    narrowed = Grant("llm:fly", arguments={"far": in_([1])})
    registry_of(bot_with(client=["llm.word", "llm.provider", "llm:sit", narrowed]))


def test_everything_that_is_wrong_with_a_bot_is_reported_at_once() -> None:
    """Each problem of its config and its grants is on a line of its own, which begins with the bot's place."""
    keeper = bot_with(
        {"lm": {}, "llm": {"seds": 1, "seeds": 10**20}},
        client=["llm.seds", "llm:fli", Grant("llm.seeds", max_len(3)), Grant("llm:fly", arguments={"far": max_len(1)})],
    )
    lines = refused(keeper, family=BotError).splitlines()
    assert all(each.startswith(where(keeper)) for each in lines)
    assert [each.removeprefix(where(keeper)).partition(". ")[0].strip() for each in lines] == [
        "config= names 'lm'",
        "config= names the option 'llm.seds'",
        "config= gives 'llm.seeds' a wrong value: the number 100000000000000000000 has more than 64 bits.",
        "client= grants 'llm.seds'",
        "client= grants 'llm:fli'",
        "client= narrows 'llm.seeds', but it has max_len(3), which applies to strings, arrays and objects, not to int.",
        "client= narrows the argument 'far' of 'llm:fly', but it has max_len(1), which applies to strings, arrays and objects, not to int.",  # noqa: E501
    ]


@options(grey, green)
def remember(llm: Parrot, /, habits: Sequence[dict[str, Any]] = ()) -> None:
    """Set an option of both providers, for values of any type."""


def circular() -> dict[str, Any]:
    """An object that contains itself twice."""
    value: dict[str, Any] = {}
    value["one"] = value["other"] = value
    return value


def repeated() -> dict[str, Any]:
    """Sixty objects that are repeated so often that they cannot be counted."""
    value: dict[str, Any] = {}
    for _ in range(60):
        value = {"one": value, "other": value}
    return value


@pytest.mark.parametrize("make", [circular, repeated])
def test_a_default_that_cannot_be_written_as_json_is_rejected_at_once(make: Callable[[], dict[str, Any]]) -> None:
    """Otherwise the check against the option's type would not end."""
    text = refused(bot_with({"llm": {"habits": [make()]}}), remember, family=BotError)
    assert "config= gives 'llm.habits' a wrong value: " in text
