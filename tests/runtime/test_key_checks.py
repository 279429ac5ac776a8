"""Keys are checked when the process starts: which keys, how often, and what a session does with the result."""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from attrs import define, field

from rtvi_plugins import LLM, TTS, Failover, ProviderError, Secret, Session, bot, service
from rtvi_plugins.errors import DeclarationError, MissingKey, StartFailed
from rtvi_plugins.hosting import Host
from rtvi_plugins.kinds import LLMPiece, LLMRequest, Text, TTSPiece, TTSRequest
from rtvi_plugins.runtime import keys

from ..fakes.wire import OPERATOR, host_of, settle

pytestmark = pytest.mark.anyio

ENVIRON = {"ACME_API_KEY": "made-up-by-a-test"}
REFUSED = "acme does not accept the key in ACME_API_KEY: make one at https://acme.example/keys."


@define
class Vendor:
    """The vendor's answer to keys, and how often it was asked."""

    #: The exception for each key.
    error: Exception | None = None
    #: The vendor answers once this is set.
    gate: anyio.Event | None = None
    asked: list[str] = field(factory=list[str])
    open: int = 0


vendor = Vendor()


@pytest.fixture(autouse=True)
def fresh() -> None:
    """A vendor that accepts each key."""
    vendor.error, vendor.gate, vendor.open = None, None, 0
    vendor.asked.clear()


@define
class Acme:
    """An LLM and a TTS that can check their key."""

    key: str

    async def check_key(self) -> None:
        """Ask the vendor."""
        vendor.asked.append(self.key)
        if vendor.gate is not None:
            await vendor.gate.wait()
        if vendor.error is not None:
            raise vendor.error

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        """Say nothing."""
        yield Text("hello")

    async def synthesize(self, request: TTSRequest, /) -> AsyncGenerator[TTSPiece]:
        """Say nothing."""
        for piece in list[TTSPiece]():
            yield piece


@asynccontextmanager
async def opened(key: Secret) -> AsyncGenerator[Acme]:
    """Note that a service is open."""
    vendor.open += 1
    try:
        yield Acme(key.reveal())
    finally:
        vendor.open -= 1


@service("llm", "acme", key_page="https://acme.example/keys")
@asynccontextmanager
async def acme_llm(api_key: Secret, /) -> AsyncGenerator[Acme]:
    """A provider that checks its key."""
    async with opened(api_key) as live:
        yield live


@service("tts", "acme", key_page="https://acme.example/keys")
@asynccontextmanager
async def acme_tts(api_key: Secret, /) -> AsyncGenerator[Acme]:
    """A provider with the same key."""
    async with opened(api_key) as live:
        yield live


@service("llm", "plain")
@asynccontextmanager
async def plain() -> AsyncGenerator[Acme]:
    """A provider that needs no key."""
    yield Acme("")


@bot(services={"llm": "acme", "tts": "acme"}, public=True)
async def talker(session: Session, /, llm: LLM, tts: TTS) -> None:
    """A bot with two services that have one key."""


@bot(services={"llm": Failover("acme", "plain")}, public=True)
async def double(session: Session, /, llm: LLM) -> None:
    """A bot with a provider that takes over."""


def host_with(which: Any = talker, environ: Any = ENVIRON) -> Host:
    """A host with the key of the test."""
    return host_of(which, sys.modules[__name__], environ=environ)


@pytest.mark.parametrize("environ", [{}, ENVIRON])
async def test_the_missing_keys_of_default_providers_are_logged_at_the_start(
    environ: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """At level INFO, because each start request may bring them. The log says where they are made."""
    caplog.set_level(logging.INFO, "rtvi_plugins")
    async with host_with(environ=environ):
        pass
    text = (
        "has no key in this process. Set ACME_API_KEY, or send it with each start request. Keys are made at "
        "https://acme.example/keys."
    )
    logged = [each.getMessage() for each in caplog.records]
    assert logged == ([] if environ else [f"llm.acme {text}", f"tts.acme {text}"])


async def test_a_refused_key_is_named_once() -> None:
    """It is named once although two services have it. The services are closed again."""
    vendor.error = ProviderError("acme", "auth")
    async with host_with() as host:
        assert await host.check_keys() == [REFUSED]
        assert (len(vendor.asked), vendor.open) == (2, 0)


@pytest.mark.parametrize(
    "error", [None, ProviderError("acme", "unavailable"), ProviderError("acme", "quota"), LookupError("a bug")]
)
async def test_any_other_answer_is_no_refusal(error: Exception | None) -> None:
    """Sessions start, and do not ask the vendor again."""
    vendor.error = error
    async with host_with() as host:
        assert await host.check_keys() == []
        vendor.asked.clear()
        await host.start()
        assert vendor.asked == []


async def test_a_vendor_that_does_not_answer_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a moment, its key counts as valid."""
    monkeypatch.setattr(keys, "_VENDOR_SECONDS", 0.01)
    vendor.gate = anyio.Event()
    async with host_with() as host:
        assert await host.check_keys() == []
        await host.start()


async def test_without_its_key_nobody_is_asked() -> None:
    """The error of a start names the missing key, and the page where keys are made."""
    async with host_with(environ={}) as host:
        assert await host.check_keys() == []
        assert vendor.asked == []
        with pytest.raises(MissingKey, match=r"set ACME_API_KEY.* Keys are made at https://acme.example/keys\."):
            await host.start()


async def test_a_session_with_a_refused_key_asks_again() -> None:
    """The key may have become valid."""
    vendor.error = ProviderError("acme", "auth")
    async with host_with() as host:
        await host.check_keys()
        with pytest.raises(StartFailed, match=r"'llm' \(acme\) could not be opened. acme does not accept the key in"):
            await host.start()
        assert vendor.open == 0
        vendor.error = None
        await host.start()
        vendor.asked.clear()
        await host.start()
        assert vendor.asked == []


async def test_a_refused_key_is_the_reason_why_another_provider_takes_over() -> None:
    """The operator sees it, and no session asks the vendor again within a minute."""
    vendor.error = ProviderError("acme", "auth")
    async with host_with(double) as host:
        await host.check_keys()
        await host.start()
        assert host.failing_providers["llm.acme"]["category"] == "auth"


async def test_a_session_with_a_key_of_its_own_is_not_concerned() -> None:
    """The refused key is the one of the process, not the one of the session."""
    vendor.error = ProviderError("acme", "auth")
    async with host_with() as host:
        await host.check_keys()
        vendor.asked.clear()
        await host.start({"api_keys": {"acme": "another-key-of-a-test"}}, secret=OPERATOR)
        assert vendor.asked == []


async def test_a_session_that_starts_meanwhile_waits_for_the_check() -> None:
    """So it does not fail in the first call."""
    vendor.error, vendor.gate = ProviderError("acme", "auth"), anyio.Event()
    failed: list[StartFailed] = []

    async def start() -> None:
        try:
            await host.start()
        except StartFailed as error:
            failed.append(error)

    async with host_with() as host, anyio.create_task_group() as tasks:
        tasks.start_soon(host.check_keys)
        await settle()
        tasks.start_soon(start)
        await settle()
        assert failed == []
        vendor.gate.set()
        await settle()
        assert len(failed) == 1
        assert len(vendor.asked) == 2


async def test_a_refused_key_lets_the_next_provider_start() -> None:
    """This is true for a `Failover`."""
    vendor.error = ProviderError("acme", "auth")
    async with host_with(double) as host:
        assert await host.check_keys() == [REFUSED]
        await host.start()
        assert list(host.failing_providers) == ["llm.acme"]


@pytest.mark.parametrize(
    ("page", "sentence"),
    [
        ("acme.example/keys", "key_page= is the URL of a page, as in 'https://acme.example/keys', not 'acme.example/k"),
        ("http://acme.example", "key_page= is the URL of a page"),
        ("https://acme.example/a b", "key_page= is the URL of a page"),
        (3, "key_page= is the URL of a page"),
        ("https://acme.example/keys", "has a key_page=, but takes no key."),
    ],
)
def test_a_mistake_in_the_page_surfaces_at_import(page: Any, sentence: str) -> None:
    """Users would see it."""
    with pytest.raises(DeclarationError) as raised:
        service("llm", "acme", key_page=page)(plain_service)
    assert sentence in str(raised.value)


@asynccontextmanager
async def plain_service() -> AsyncGenerator[Acme]:
    """A service that takes no key."""
    yield Acme("")


def test_a_mistyped_argument_gets_the_right_name() -> None:
    """The other decorators do the same."""
    declare: Any = service
    with pytest.raises(DeclarationError, match="no argument keypage=; did you mean key_page="):
        declare("llm", "acme", keypage="x")(plain_service)
