"""A start request: what only the operator may send, where keys come from, and that no key is ever shown."""

from __future__ import annotations

import json
import logging
import pickle
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

import anyio
import pytest
from attrs.validators import le

from rtvi_plugins import LLM, ProviderError, RequestError, Secret, Session, action, bot, hookimpl, options, service
from rtvi_plugins.errors import (
    Draining,
    InvalidStart,
    MissingKey,
    OperatorOnly,
    Problem,
    StartFailed,
    Unauthorized,
)
from rtvi_plugins.hosting import Limits, ManualClock
from rtvi_plugins.protocol.start_request import StartRequest

from ..fakes import faulty
from ..fakes.faulty import FaultyLLM, refused
from ..fakes.wire import OPERATOR, connected, connection_to, host_of, settle

pytestmark = pytest.mark.anyio

#: Long enough to be found wherever it stands, and like nothing else.
KEY = "key-of-a-test-4711"

#: The keys with which services were opened, and their service options.
opened: list[tuple[str | None, ...]] = []

#: What the key store has, by provider and name.
stored: dict[tuple[str, str], str] = {}


@pytest.fixture(autouse=True)
def fresh() -> None:
    """Nothing is open and the store is empty at the start of each test."""
    opened.clear()
    stored.clear()


@hookimpl
def find_key(provider: str, name: str) -> str | None:
    """The key store of these tests."""
    return stored.get((provider, name))


@service("llm", "keyed")
@asynccontextmanager
async def keyed_llm(
    api_key: Secret, /, base_url: str = "https://keyed.example", retries: int = 2
) -> AsyncGenerator[FaultyLLM]:
    """Needs a key."""
    opened.append((api_key.reveal(), base_url, str(retries)))
    yield FaultyLLM("keyed")


@options(keyed_llm)
def manner(llm: FaultyLLM, /, tone: Literal["mild", "wild"] = "mild", pace: Annotated[float, le(2)] = 1.0) -> None:
    """Set the manner of talking."""


@service("llm", "two-keys")
@asynccontextmanager
async def two_keys_llm(key_id: Secret, key_secret: Secret | None, /) -> AsyncGenerator[FaultyLLM]:
    """A provider with a required key and an optional one."""
    opened.append((key_id.reveal(), key_secret.reveal() if key_secret is not None else None))
    yield FaultyLLM("two-keys")


@service("llm", "leaky")
@asynccontextmanager
async def leaky_llm(api_key: Secret, /) -> AsyncGenerator[FaultyLLM]:
    """A provider that puts its key into every exception, as libraries of vendors do."""
    llm = FaultyLLM("leaky")
    llm.model = api_key.reveal()

    async def die() -> None:
        await llm.dies.wait()
        raise ConnectionError(f"401 for {llm.model}")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(die)
        yield llm
        tasks.cancel_scope.cancel()
        raise ConnectionError(f"cannot say goodbye with {llm.model}")


@service("llm", "unopenable")
@asynccontextmanager
async def unopenable_llm(api_key: Secret, /) -> AsyncGenerator[FaultyLLM]:
    """A provider that fails while opening, with its key in the text."""
    async with refused(f"401 for {api_key.reveal()}"):
        yield FaultyLLM("unopenable")


@options(leaky_llm)
def tune(llm: FaultyLLM, /, tone: str = "mild") -> None:
    """Options that cannot be changed."""
    if tone != "mild":
        raise ValueError(f"{llm.model} may not be {tone}")


@action(leaky_llm)
async def leak(llm: FaultyLLM, /) -> str:
    """Raise an exception with the key."""
    raise RuntimeError(f"401 for {llm.model}")


@action(leaky_llm)
def leak_in_thread(llm: FaultyLLM, /) -> str:
    """Raise an exception with the key, in a thread."""
    raise RuntimeError(f"401 for {llm.model}")


@action(leaky_llm, long=True)
async def leak_long(llm: FaultyLLM, /) -> str:
    """Raise an exception with the key, after a while."""
    raise RuntimeError(f"401 for {llm.model}")


@action(leaky_llm)
async def vendor(llm: FaultyLLM, /) -> str:
    """Raise a `ProviderError`."""
    raise ProviderError("leaky", "auth") from RuntimeError(f"401 for {llm.model}")


@action(leaky_llm)
async def die(llm: FaultyLLM, /) -> bool:
    """End the service."""
    llm.dies.set()
    return True


@action("bot")
async def start_data(session: Session, /) -> dict[str, Any]:
    """The application's own fields of the start."""
    return dict(session.start_data)


@bot(services={"llm": ["keyed", "two-keys"]}, client=["bot:start_data", "llm.provider"], public=True)
async def anyones(session: Session, /, llm: LLM) -> None:
    """A bot that anybody may start."""


@bot(services={"llm": "keyed"})
async def mine(session: Session, /, llm: LLM) -> None:
    """A bot that only its operator may start."""


@bot(services={"llm": "keyed"}, public=True)
async def with_options(session: Session, /, llm: LLM) -> None:
    """A bot with an option of its own."""


@options(with_options)
def loudness(session: Session, /, volume: float = 1.0) -> None:
    """Set the volume."""


@service("llm", "choosy")
@asynccontextmanager
async def choosy_llm(api_key: Secret | None, /, address: str = "") -> AsyncGenerator[FaultyLLM]:
    """A provider that refuses a service option, with a sentence for clients."""
    if address:
        raise RequestError(
            f"nobody is at {address} with {api_key.reveal() if api_key else ''}",
            problems=[Problem("$.address", f"{address} is wrong")],
        )
    yield FaultyLLM("choosy")


@options(choosy_llm)
def choose(llm: FaultyLLM, /, voice: str = "ada") -> None:
    """A provider that knows one voice."""
    if voice != "ada":
        raise RequestError(f"there is no voice {voice!r}")


@bot(services={"llm": ["first", "choosy"]}, client=["llm.provider", "llm.voice"])
async def particular(session: Session, /, llm: LLM) -> None:
    """A bot that may use the providers that refuse values."""


LEAKS = "llm:leak llm:leak_in_thread llm:leak_long llm:vendor llm:die".split()


@bot(services={"llm": ["leaky", "unopenable"]}, client=[*LEAKS, "llm.tone", "llm.provider"], public=True)
async def leaking(session: Session, /, llm: LLM) -> None:
    """A bot whose provider shows its key in every failure."""


# ---- who may start, and what only the operator may say -------------------------------------------------------------


async def test_a_bot_that_is_not_public_is_started_with_the_operators_secret_only() -> None:
    """Otherwise anybody could spend the owner's money."""
    async with host_of(mine, environ={"KEYED_API_KEY": KEY}) as host:
        for secret in (None, "", "wrong", OPERATOR + "x"):
            with pytest.raises(Unauthorized):
                await host.start({}, secret=secret)
        assert opened == []
        await host.start({}, secret=OPERATOR)


async def test_a_wrong_secret_is_refused_also_where_none_is_needed() -> None:
    """Somebody who sends a secret wants to be trusted, and must learn that it is wrong."""
    async with host_of(anyones, environ={"KEYED_API_KEY": KEY}) as host:
        with pytest.raises(Unauthorized):
            await host.start({}, secret="wrong")


@pytest.mark.parametrize("field", ["api_keys", "service_options", "defaults", "grants"])
async def test_an_untrusted_start_with_the_operators_fields_is_refused(field: str) -> None:
    """They are not ignored, because the sender expects an effect."""
    async with host_of(anyones, environ={"KEYED_API_KEY": KEY}) as host:
        for value in ({}, None, {"keyed": KEY}):
            with pytest.raises(OperatorOnly) as raised:
                await host.start({field: value})
            assert raised.value.problems[0].path == f"$.{field}"
            assert KEY not in json.dumps(raised.value.to_json())
        assert opened == []


async def test_other_fields_are_the_applications_own() -> None:
    """The bot gets them, but not the fields that the framework reads."""
    body = {
        "config": {},
        "services": {},
        "api_keys": {"keyed": KEY},
        "user": {"name": "Ada"},
        "rtvi_client_version": "0.4.1",
    }
    async with connected(anyones, body=body) as wire:
        data = await wire.result(wire.call("bot:start_data"))
        assert data == {"user": {"name": "Ada"}, "rtvi_client_version": "0.4.1"}


@pytest.mark.parametrize(
    ("field", "meant"),
    [
        ("api_key", "api_keys"),
        ("apiKeys", "api_keys"),
        ("api_kyes", "api_keys"),
        ("API-KEYS", "api_keys"),
        ("service", "services"),
        ("serviceOptions", "service_options"),
        ("configs", "config"),
        ("default", "defaults"),
        ("grant", "grants"),
        ("resumes", "resume"),
    ],
)
@pytest.mark.parametrize("secret", [None, OPERATOR])
async def test_a_misspelt_field_is_not_the_applications(field: str, meant: str, secret: str | None) -> None:
    """Otherwise it would have no effect, and the bot would read a key in `start_data`."""
    async with host_of(anyones, environ={"KEYED_API_KEY": KEY}) as host:
        with pytest.raises(InvalidStart) as raised:
            await host.start({field: {"keyed": KEY}, "user": "Ada"}, secret=secret)
        [problem] = raised.value.problems
        assert problem.suggestion == meant
        assert meant in problem.message
        assert KEY not in json.dumps(raised.value.to_json())
        assert opened == []


@pytest.mark.parametrize("name", ["api", "key", "conf", "configuration", "serve", "actions", "room", "user_config"])
async def test_names_that_only_resemble_a_field_are_the_applications(name: str) -> None:
    """Only near misses are refused."""
    async with connected(anyones, body={"api_keys": {"keyed": KEY}, name: 7}) as wire:
        assert await wire.result(wire.call("bot:start_data")) == {name: 7}


@pytest.mark.parametrize("body", [[], "x", 5, True, [{"api_keys": {"keyed": KEY}}], KEY])
async def test_a_body_that_is_no_object_is_refused(body: Any) -> None:
    """The error does not quote it, because it may contain a key."""
    async with host_of(anyones) as host:
        with pytest.raises(InvalidStart) as raised:
            await host.start(body, secret=OPERATOR)
        assert KEY not in json.dumps(raised.value.to_json())


@pytest.mark.parametrize(
    "field",
    [
        {"api_keys": KEY},
        {"api_keys": [KEY]},
        {"api_keys": {"keyed": [KEY]}},
        {"api_keys": {"keyed": {"api_key": {"key": KEY}}}},
        {"api_keys": {"keyed": 4711}},
    ],
)
async def test_keys_of_another_form_are_refused_without_being_quoted(field: dict[str, Any]) -> None:
    """The error has the path of the mistake."""
    async with host_of(anyones) as host:
        with pytest.raises(InvalidStart) as raised:
            await host.start(field, secret=OPERATOR)
        text = json.dumps(raised.value.to_json())
        assert "$.api_keys" in text
        assert KEY not in text
        assert "4711" not in text


@pytest.mark.parametrize(
    ("service_options", "path"),
    [
        ({"llm.nobody": {}}, '$.service_options["llm.nobody"]'),
        ({"llm.keyed": {"base_ulr": "x"}}, '$.service_options["llm.keyed"].base_ulr'),
        ({"llm.keyed": {"retries": "many"}}, '$.service_options["llm.keyed"].retries'),
        ({"llm.keyed": 5}, '$.service_options["llm.keyed"]'),
        (5, "$.service_options"),
    ],
)
async def test_service_options_are_checked(service_options: Any, path: str) -> None:
    """All of them are checked before anything is opened."""
    async with host_of(anyones, environ={"KEYED_API_KEY": KEY}) as host:
        with pytest.raises(InvalidStart) as raised:
            await host.start({"service_options": service_options}, secret=OPERATOR)
        assert [problem.path for problem in raised.value.problems] == [path]
        assert opened == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("llm", "is a service, but service options are set by provider: write 'keyed' or 'llm.keyed'."),
        ("keyyed", "unknown provider 'keyyed'; did you mean 'keyed'?"),
    ],
)
async def test_an_unknown_provider_of_service_options_is_told_the_right_name(name: str, expected: str) -> None:
    """A service's name is not enough: its providers have different service options."""
    async with host_of(anyones, environ={"KEYED_API_KEY": KEY}) as host:
        with pytest.raises(InvalidStart) as raised:
            await host.start({"service_options": {name: {"retries": 1}}}, secret=OPERATOR)
        assert [problem.message for problem in raised.value.problems] == [expected]


async def test_the_known_providers_are_those_with_service_options() -> None:
    """A bot's own options have none."""
    async with host_of(with_options, environ={"KEYED_API_KEY": KEY}) as host:
        with pytest.raises(InvalidStart) as raised:
            await host.start({"service_options": {"zzzzzz": {}}}, secret=OPERATOR)
        assert raised.value.problems[0].message == "unknown provider 'zzzzzz'; known: keyed, llm.keyed."


#: What an operator may have written in the wrong place.
SENT = ["http://user:PASSWORD@host/v1", KEY, f"Bearer {KEY}", "PASSWORD of mine", "PASSWORD" * 20]


#: The bodies of starts with it in every place.
BODIES: list[Callable[[str], Any]] = [
    lambda sent: {"service_options": {"llm.keyed": {"retries": sent}}},
    lambda sent: {"service_options": {"llm.keyed": {"base_url": [sent]}}},
    lambda sent: {"service_options": {"llm.keyed": {"address": sent}}},
    lambda sent: {"service_options": {"llm.keyed": {sent: sent}}},
    lambda sent: {"service_options": {"llm.keyed": sent}},
    lambda sent: {"service_options": {sent: {}}},
    lambda sent: {"service_options": [sent]},
    lambda sent: {"service_options": sent},
    lambda sent: {"defaults": {"llm": {"tone": sent}}},
    lambda sent: {"defaults": {"llm": {"pace": sent}}},
    lambda sent: {"defaults": {"llm": {"pace": {sent: sent}}}},
    lambda sent: {"defaults": {"llm": {"messages": sent}}},
    lambda sent: {"defaults": {"llm": {"messages": [{"role": sent, "content": sent}, {sent: sent}]}}},
    lambda sent: {"defaults": {"llm": {"tools": [{"name": 5, "parameters": {sent: sent}}]}}},
    lambda sent: {"defaults": {"llm": {sent: sent}}},
    lambda sent: {"defaults": {"llm": sent}},
    lambda sent: {"defaults": {sent: {}}},
    lambda sent: {
        "defaults": [{"service": sent, "options": [{"name": sent}]}, {"service": "llm", "options": [{"name": sent}]}]
    },
    lambda sent: {"defaults": [sent, {"service": "llm", "options": sent}]},
    lambda sent: {"defaults": sent},
    lambda sent: {"grants": sent},
    lambda sent: {"grants": [sent]},
    lambda sent: {"grants": [{"name": sent}, {"name": "llm.pace", "le": sent, sent: 1, "matches": sent}]},
    lambda sent: {"grants": [{"name": "llm.pace", "arguments": sent}]},
    lambda sent: {"grants": [{"name": "llm.pace", "arguments": {"pace": sent, sent: {sent: sent}}}]},
    lambda sent: {"api_keys": {sent: 5}},
    lambda sent: {"api_keys": {sent: {sent: [sent]}}},
    lambda sent: {"api_keys": sent},
    lambda sent: {"api_keys": [sent]},
    lambda sent: sent,
    lambda sent: [sent],
]


@pytest.mark.parametrize("body", BODIES)
async def test_a_refused_start_does_not_repeat_what_the_operator_sent(body: Callable[[str], Any]) -> None:
    """A proxy passes the refusal on to the page. It says where the mistake is, and what is expected."""
    async with host_of(mine, environ={"KEYED_API_KEY": KEY}) as host:
        for sent in SENT:
            with pytest.raises(InvalidStart) as raised:
                await host.start(body(sent), secret=OPERATOR)
            text = json.dumps(raised.value.to_json()) + str(raised.value)
            assert "$" in text
            assert "PASSWORD" not in text
            assert KEY not in text


@pytest.mark.parametrize(
    "url",
    ["http://user:PASSWORD@host/v1", "HTTPS://PASSWORD@host", " wss://user:PASSWORD@host", "http:\\\\u:PASSWORD@h"],
)
async def test_a_service_option_holds_no_url_with_a_password(url: str) -> None:
    """This is true for every provider, also if its author has not thought of it."""
    async with host_of(mine, environ={"KEYED_API_KEY": KEY}) as host:
        with pytest.raises(InvalidStart, match="must not contain a user name or password") as raised:
            await host.start({"service_options": {"keyed": {"base_url": url}}}, secret=OPERATOR)
        assert raised.value.problems[0].path == "$.service_options.keyed.base_url"
        assert "PASSWORD" not in json.dumps(raised.value.to_json())
        assert opened == []
        await host.start({"service_options": {"keyed": {"base_url": "https://host/a@b?c=d@e"}}}, secret=OPERATOR)


async def test_a_wrong_value_is_reported_by_its_path_and_what_is_expected() -> None:
    """So the operator can correct it."""
    body = {"service_options": {"llm.keyed": {"retries": "many"}}, "defaults": {"llm": {"pace": 9}}}
    async with host_of(mine, environ={"KEYED_API_KEY": KEY}) as host:
        with pytest.raises(InvalidStart) as raised:
            await host.start(body, secret=OPERATOR)
    assert [(each.path, each.message) for each in raised.value.problems] == [
        ('$.service_options["llm.keyed"].retries', "expected a whole number, got a string."),
        ("$.defaults.llm.pace", "expected a number that must be <= 2."),
    ]


async def test_a_providers_error_is_sent_without_the_operators_strings(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """When it opens, when its options are set, and at a switch; the log has them."""
    keys = {"api_keys": {"choosy": KEY}, "service_options": {"choosy": {"address": "http://inside.example/PASSWORD"}}}
    async with host_of(particular, faulty) as host:
        for more in (keys, {"defaults": {"llm.choosy": {"voice": "PASSWORD of mine"}}}):
            with pytest.raises(RequestError) as raised:
                await host.start({"services": {"llm": "choosy"}, **more}, secret=OPERATOR)
            text = json.dumps(raised.value.to_json()) + repr(raised.value)
            assert "nobody is at … with …" in text or "there is no voice '…'" in text
            assert "PASSWORD" not in text
            assert KEY not in text
        with pytest.raises(RequestError, match="there is no voice 'bob'"):
            await host.start({"services": {"llm": "choosy"}, "config": {"llm": {"voice": "bob"}}}, secret=OPERATOR)
    assert "http://inside.example/PASSWORD" in caplog.text
    async with connected(particular, faulty, body=keys) as wire:
        error = await wire.error(wire.update(llm={"provider": "choosy"}))
        assert "nobody is at …" in error["error"]
        assert "PASSWORD" not in json.dumps(error)


async def test_service_options_reach_the_service() -> None:
    """Options that are not sent keep their defaults."""
    body = {"api_keys": {"keyed": KEY}, "service_options": {"llm.keyed": {"base_url": "https://other.example"}}}
    async with connected(anyones, body=body):
        assert opened == [(KEY, "https://other.example", "2")]


async def test_all_problems_of_a_start_are_reported_at_once() -> None:
    """There are problems of keys, service options and defaults."""
    body = {
        "api_keys": {"keyed": 5},
        "service_options": {"llm.keyed": {"retries": "many"}},
        "defaults": {"vad": {"x": 1}},
        "grants": ["llm.tonne"],
    }
    async with host_of(anyones) as host:
        with pytest.raises(InvalidStart) as raised:
            await host.start(body, secret=OPERATOR)
        paths = [problem.path.partition("[")[0] for problem in raised.value.problems]
        assert paths == ["$.api_keys.keyed", "$.service_options", "$.defaults.vad", "$.grants"]


CLIENTS_FIELDS: list[tuple[Any, Any, list[str]]] = [
    ({"llm": "x"}, {"other": {"a": 1}}, ["$.services.llm", "$.config.other"]),
    ({"x": "x"}, {"llm": {"tonne": 1}}, ["$.services.x", "$.config.llm.tonne"]),
    ([], [{"service": "llm"}, {"service": "other"}], ["$.services", "$.config[1].service"]),
    # the provider is unknown, so its options cannot be checked
    ({"llm": "x"}, {"llm": {"tonne": 1}}, ["$.services.llm"]),
    ({"llm": {}}, [{"service": "llm", "options": 5}, {"service": {}}], ["$.services.llm", "$.config[1].service"]),
    ({"llm": "x"}, 5, ["$.services.llm", "$.config"]),
    ({"llm": "x"}, None, ["$.services.llm"]),
]


@pytest.mark.parametrize(("services", "config", "paths"), CLIENTS_FIELDS)
async def test_all_problems_of_a_clients_fields_are_reported_at_once(
    services: Any, config: Any, paths: list[str]
) -> None:
    """There are problems of services and of the config."""
    async with host_of(anyones, environ={"KEYED_API_KEY": KEY}) as host:
        with pytest.raises(RequestError) as raised:
            await host.start({"services": services, "config": config})
        assert [problem.path for problem in raised.value.problems] == paths


async def test_a_host_that_drains_starts_nothing_new() -> None:
    """Sessions that are open continue."""
    async with host_of(anyones, environ={"KEYED_API_KEY": KEY}) as host:
        started = await host.start({})
        host.drain()
        with pytest.raises(Draining):
            await host.start({})
        assert not host.claim(started.token).closed


# ---- where keys come from ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "environ", "store", "expected"),
    [
        ({"keyed": "start"}, "environment", "store", "start"),
        ({"keyed": {"api_key": "start"}}, "environment", "store", "start"),
        ({}, "environment", "store", "environment"),
        ({"other": "start"}, "environment", "store", "environment"),
        ({}, None, "store", "store"),
    ],
)
async def test_keys_come_from_the_start_then_the_environment_then_the_store(
    sent: Mapping[str, Any], environ: str | None, store: str, expected: str
) -> None:
    """The first that has one."""
    stored["keyed", "api_key"] = store
    async with host_of(anyones, environ={"KEYED_API_KEY": environ} if environ else {}) as host:
        await host.start({"api_keys": sent}, secret=OPERATOR)
        assert opened[0][0] == expected


async def test_a_key_of_one_session_is_not_anothers() -> None:
    """It is used only in the session of its start."""
    async with host_of(anyones) as host:
        await host.start({"api_keys": {"keyed": KEY}}, secret=OPERATOR)
        with pytest.raises(MissingKey):
            await host.start({})


async def test_a_provider_may_need_several_keys_and_do_without_some() -> None:
    """Each key has its own name in the start and in the environment."""
    body = {"services": {"llm": "two-keys"}, "api_keys": {"two-keys": {"key_id": "start"}}}
    async with host_of(anyones, environ={"TWO_KEYS_KEY_SECRET": "environment"}) as host:
        await host.start(body, secret=OPERATOR)
    async with host_of(anyones) as host:
        await host.start(body, secret=OPERATOR)
    assert opened == [("start", "environment"), ("start", None)]


async def test_a_key_that_the_provider_does_not_take_is_refused() -> None:
    """It would have no effect, as with a service option. One server may send keys of providers of other bots."""
    sent = {"keyed": {"api_kee": KEY}, "two-keys": {"key_id": KEY, KEY + "/": KEY}, "of-another-bot": {"any": KEY}}
    async with host_of(anyones) as host:
        with pytest.raises(InvalidStart) as raised:
            await host.start({"api_keys": sent}, secret=OPERATOR)
        first, second = raised.value.problems
        assert (first.path, first.suggestion) == ("$.api_keys.keyed.api_kee", "api_key")
        assert second.message == "unknown key of two-keys; known: key_id, key_secret."
        assert KEY not in json.dumps(raised.value.to_json())
        assert opened == []


async def test_a_missing_key_refuses_the_start_and_is_named() -> None:
    """So the operator knows which key is needed."""
    async with host_of(anyones) as host:
        with pytest.raises(MissingKey, match=r"keyed.*api_key"):
            await host.start({})
        await settle()
        assert host.open_sessions == 0


async def test_a_switch_uses_the_keys_of_the_start() -> None:
    """They stay with the session. If one is missing, the switch is refused, and the session continues."""
    body = {"api_keys": {"keyed": KEY, "two-keys": {"key_id": "other"}}}
    async with connected(anyones, body=body) as wire:
        assert (await wire.answer(wire.update(llm={"provider": "two-keys"})))["type"] == "config"
        assert opened[-1] == ("other", None)
    async with connected(anyones, body={"api_keys": {"keyed": KEY}}) as wire:
        assert (await wire.error(wire.update(llm={"provider": "two-keys"})))["code"] == "missing-key"
        assert (await wire.config())["llm"]["provider"] == "keyed"


# ---- no key is ever shown ------------------------------------------------------------------------------------------


def test_a_secret_does_not_show_itself() -> None:
    """All ways to print it are tried."""
    secret = Secret(KEY)
    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret!r:>40}",
        f"{secret}",
        f"{[secret]}",
        f"{vars_of(secret)}",
    ]
    assert not [each for each in shown if KEY in each]
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    assert secret.reveal() == KEY


def vars_of(value: object) -> list[str]:
    """The attributes of an object, as a debugger or a crash reporter sees them."""
    return [repr(getattr(value, name, None)) for name in dir(value) if name != "reveal"]


async def test_a_key_is_in_no_log_message_error_or_repr_whatever_fails(caplog: pytest.LogCaptureFixture) -> None:
    """A session with a known key has every failure. Then all visible texts are searched for the key."""
    caplog.set_level(logging.DEBUG)
    clock, shown = ManualClock(), list[str]()
    async with host_of(leaking, limits=Limits(session_seconds=100.0), clock=clock) as host:
        body = {"api_keys": {"leaky": KEY, "unopenable": KEY}}
        for refused in ({"services": {"llm": "unopenable"}}, {"config": {"llm": {"tone": "wild"}}}):
            with pytest.raises(StartFailed) as raised:
                await host.start({**body, **refused}, secret=OPERATOR)
            shown += [repr(raised.value), json.dumps(raised.value.to_json()), *causes(raised.value)]
        async with connection_to(host, clock, body) as wire:
            wire.send("client-ready", {})
            for name in LEAKS[:-1]:
                wire.call(name)
            wire.update(llm={"tone": "wild"})
            wire.update(llm={"provider": "unopenable"})
            await settle()
            shown += [repr(wire.connection), repr(host), repr(vars(wire.connection.session)), repr(vars(host))]
            wire.call("llm:die")
            await settle()
            wire.call("llm:leak")
            clock.advance(100.0)
            await settle()
            shown.append(json.dumps(wire.received))
            assert len(wire.data_of("error-response")) >= 5
    assert "leak()" in caplog.text
    assert not [text for text in (*shown, caplog.text) if KEY in text]


async def test_what_a_start_said_is_in_no_repr() -> None:
    """The values of the operator are not in a `repr`, and neither is the token of the session."""
    said: Any = "PASSWORD"
    assert "PASSWORD" not in repr(
        StartRequest({"llm": "acme"}, {"llm": ["acme"]}, said, said, said, said, said, said, said)
    )
    async with host_of(leaking) as host:
        started = await host.start({"api_keys": {"leaky": KEY}}, secret=OPERATOR)
        assert started.token not in repr(started)


def causes(error: BaseException) -> list[str]:
    """The exceptions that a crash report would print: all causes and contexts."""
    behind = [each for each in (error.__cause__, None if error.__suppress_context__ else error.__context__) if each]
    return [repr(error), *(text for each in behind for text in causes(each))]


async def test_a_refused_start_does_not_carry_the_exception_behind_it() -> None:
    """A traceback of the refusal contains no text of a provider."""
    async with host_of(leaking) as host:
        with pytest.raises(RequestError) as raised:
            await host.start({"services": {"llm": "unopenable"}, "api_keys": {"unopenable": KEY}}, secret=OPERATOR)
        assert not [text for text in causes(raised.value) if KEY in text]


async def test_bounds_of_an_operators_grant_that_do_not_apply_are_refused_where_they_stand() -> None:
    """The error does not repeat the bounds."""
    grants = ["llm.tone", {"name": "llm.tone", "le": 5}, {"name": "llm.pace", "matches": "PASSWORD"}]
    async with host_of(mine, environ={"KEYED_API_KEY": KEY}) as host:
        with pytest.raises(InvalidStart) as raised:
            await host.start({"grants": grants}, secret=OPERATOR)
    assert [(each.path, each.message) for each in raised.value.problems] == [
        ("$.grants[1]", "narrows 'llm.tone', but it has bounds that do not apply to its type."),
        ("$.grants[2]", "narrows 'llm.pace', but it has bounds that do not apply to its type."),
    ]


def undecorated() -> None:
    """No action."""


async def test_an_operators_grant_of_a_function_without_a_decorator_does_not_show_its_file() -> None:
    """Only the bot's author can decorate it, so the error lists what can be granted."""
    async with host_of(mine, environ={"KEYED_API_KEY": KEY}) as host:
        with pytest.raises(InvalidStart) as raised:
            await host.start({"grants": ["bot:undecorated"]}, secret=OPERATOR)
    (problem,) = raised.value.problems
    assert problem.message.startswith("grants 'bot:undecorated'. There is ")
    assert __file__ not in problem.message
