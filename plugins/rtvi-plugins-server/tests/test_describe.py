"""`POST /describe` describes what a start would offer, with the grants, authorisation and errors of a start."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated, Any, TypeAlias

import httpx2
import pytest
from attrs.validators import in_, le

from rtvi_plugins import LLM, Grant, Session, action, bot, options, service
from rtvi_plugins.hosting import Host
from rtvi_plugins.kinds import LLMPiece, LLMRequest, Text
from rtvi_plugins.limits import Limits
from rtvi_plugins.session import Secret

pytestmark = pytest.mark.anyio

Serving: TypeAlias = Callable[..., AbstractAsyncContextManager[httpx2.AsyncClient]]
SECRET = {"x-rtvi-operator-secret": "secret-of-a-test"}

opened: list[str] = []


class Terse:
    """An LLM that says one word."""

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        """Say the word."""
        yield Text("Yes.")


@service("llm", "terse")
@asynccontextmanager
async def terse() -> AsyncGenerator[LLM]:
    """Needs no key."""
    opened.append("terse")
    yield Terse()


@service("llm", "paid")
@asynccontextmanager
async def paid(api_key: Secret, organisation: Secret | None, /) -> AsyncGenerator[Terse]:
    """Needs a key."""
    opened.append("paid")
    yield Terse()


@options(paid)
def configure(llm: Terse, /, heat: Annotated[float, le(2)] = 0.5) -> None:
    """Set its randomness."""


@service("llm", "hidden")
@asynccontextmanager
async def hidden(api_key: Secret, /) -> AsyncGenerator[LLM]:
    """No client may choose it."""
    yield Terse()


@bot(
    services={"brain": ["terse", "paid", "hidden"]},
    config={"brain": {"heat": 1.5}},
    client=[Grant("brain.provider", in_(["terse", "paid"])), Grant("brain.heat", le(1)), "bot:ring"],
    public=True,
)
async def guide(session: Session, /, brain: LLM) -> None:
    """Guides visitors."""


@action(guide)
async def ring(times: int = 1) -> str:
    """Ring the bell."""
    return "ding" * times


@action(guide)
async def unlock() -> None:
    """Unlock the door. Clients are not granted this action."""


@pytest.fixture
def guided() -> Callable[..., Host]:
    """Return a function that makes a host of the guide."""

    def make(environ: dict[str, str] | None = None, limits: Limits | None = None) -> Host:
        modules = [sys.modules[__name__]]
        secret = Secret("secret-of-a-test")
        return Host(guide, modules=modules, environ=environ or {}, operator_secret=secret, limits=limits)

    return make


async def describe(host: Host, serving: Serving, body: Any = None, **headers: str) -> dict[str, Any]:
    """Return the description for a start with this body."""
    async with serving(host) as client:
        answer = await client.post("/describe", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    described: dict[str, Any] = answer.json()
    return described


def option_names(described: dict[str, Any]) -> list[str]:
    """Return the options of the only service."""
    return [each["name"] for each in described["config-available"]["config"][0]["options"]]


async def test_only_what_the_client_is_granted_is_described(guided: Callable[..., Host], serving: Serving) -> None:
    """No service is opened for it, and no session is counted."""
    opened.clear()
    host = guided()
    described = await describe(host, serving)
    assert [each["action"] for each in described["actions-available"]["actions"]] == ["ring"]
    assert option_names(described) == ["provider"]
    assert (opened, host.open_sessions) == ([], 0)


async def test_the_chosen_provider_decides_about_the_options(guided: Callable[..., Host], serving: Serving) -> None:
    """Values and defaults are those that the session would start with, and the limits of the grant are described."""
    described = await describe(guided(), serving, {"services": {"brain": "paid"}})
    assert option_names(described) == ["heat", "provider"]
    heat, _ = described["config-available"]["config"][0]["options"]
    assert (heat["default"], heat["schema"]["maximum"], heat["schema"]["allOf"]) == (1.5, 2, [{"maximum": 1}])
    values = described["config"]["config"][0]["options"]
    assert values == [{"name": "heat", "value": 1.5}, {"name": "provider", "value": "paid"}]


async def test_the_keys_that_a_provider_lacks_are_named(guided: Callable[..., Host], serving: Serving) -> None:
    """They are named only for providers that the client may choose. An optional key does not count as missing."""
    described = await describe(guided(), serving)
    assert described["providers"] == {"brain": {"terse": [], "paid": ["PAID_API_KEY"]}}
    described = await describe(guided({"PAID_API_KEY": "key-of-a-test"}), serving)
    assert described["providers"]["brain"]["paid"] == []
    assert "key-of-a-test" not in str(described)


async def test_the_keys_of_a_trusted_request_count(guided: Callable[..., Host], serving: Serving) -> None:
    """They are the keys that the start would use."""
    body = {"api_keys": {"paid": "key-of-a-test"}}
    described = await describe(guided(), serving, body, **SECRET)
    assert described["providers"]["brain"]["paid"] == []
    assert "key-of-a-test" not in str(described)


async def test_a_bot_that_is_not_public_is_described_to_its_operator(
    make_host: Callable[..., Host], serving: Serving
) -> None:
    """Everybody else is refused, as for a start."""
    async with serving(make_host("office")) as client:
        assert (await client.post("/describe")).status_code == 401
        assert (await client.post("/describe", headers=SECRET)).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ("{", 400, "invalid-start"),
        ('{"services": {"llm": "terse"}}', 400, "unknown-service"),
        ('{"services": {"brain": "hidden"}}', 400, "unknown-provider"),
        ('{"api_keys": {"paid": "key-of-a-test"}}', 403, "operator-only"),
        ('{"config": ' + "[" * 99 + "]" * 99 + "}", 400, "invalid-start"),
    ],
)
async def test_a_body_that_could_not_start_a_session_is_refused(
    guided: Callable[..., Host], serving: Serving, body: str, status: int, code: str
) -> None:
    """With the error of a start."""
    async with serving(guided()) as client:
        answer = await client.post("/describe", content=body)
    assert (answer.status_code, answer.json()["error"]) == (status, code)


async def test_other_pages_may_not_ask(guided: Callable[..., Host], serving: Serving) -> None:
    """The Origin header is checked as for other requests."""
    async with serving(guided()) as client:
        answer = await client.post("/describe", headers={"origin": "https://evil.example"})
    assert (answer.status_code, answer.json()["error"]) == (403, "origin-refused")


async def test_descriptions_count_as_starts(guided: Callable[..., Host], serving: Serving) -> None:
    """The number per address is limited."""
    async with serving(guided(limits=Limits(rate=1, burst=2))) as client:
        statuses = [(await client.post("/describe")).status_code for _ in range(4)]
    assert (statuses[0], statuses[-1]) == (200, 429)
