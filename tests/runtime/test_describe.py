"""`Host.describe`: what a start would offer, without starting it."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from rtvi_plugins import LLM, Secret, Session, action, bot, options, service
from rtvi_plugins.errors import InvalidStart, Unauthorized, UnknownProvider
from rtvi_plugins.hosting import Host
from rtvi_plugins.kinds import LLMPiece, LLMRequest, Text

from ..fakes.wire import OPERATOR, host_of


class Parrot:
    """An LLM that says one word."""

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        """Say the word."""
        yield Text("hello")


@service("llm", "free")
@asynccontextmanager
async def free() -> AsyncGenerator[LLM]:
    """A provider that needs no key."""
    yield Parrot()


@service("llm", "paid")
@asynccontextmanager
async def paid(api_key: Secret, spare_key: Secret | None, /) -> AsyncGenerator[Parrot]:
    """A provider that needs one key."""
    yield Parrot()


@options(paid)
def tune(llm: Parrot, /, tone: str = "mild") -> None:
    """Set the tone."""


@bot(services={"voice": ["free", "paid"]}, client=["voice.tone", "voice.provider", "bot:ring"])
async def cage(session: Session, /, voice: LLM) -> None:
    """A bot."""


@action(cage)
async def ring() -> None:
    """Ring the bell."""


def host(environ: dict[str, str] | None = None) -> Host:
    """The host of the bot. It need not be entered for a description."""
    return host_of(cage, sys.modules[__name__], environ=environ)


def described(body: Any = None, environ: dict[str, str] | None = None) -> dict[str, Any]:
    """Describe the bot to its operator."""
    found: dict[str, Any] = json.loads(host(environ).describe(body, secret=OPERATOR))
    return found


def test_a_description_has_the_data_of_three_messages() -> None:
    """The data are those of a session with the default provider."""
    found = described()
    assert [each["action"] for each in found["actions-available"]["actions"]] == ["ring"]
    assert [each["name"] for each in found["config-available"]["config"][0]["options"]] == ["provider"]
    assert found["config"] == {
        "config": [{"service": "voice", "options": [{"name": "provider", "value": "free"}]}],
    }


def test_the_body_decides_as_in_a_start() -> None:
    """The body chooses the provider and sets options."""
    config = [{"service": "voice", "options": [{"name": "tone", "value": "wild"}]}]
    found = described({"services": {"voice": "paid"}, "config": config})
    assert {"name": "tone", "value": "wild"} in found["config"]["config"][0]["options"]


def test_missing_keys_are_named_by_their_variables() -> None:
    """A key may come from the environment or from the body. An optional key is never missing."""
    assert described()["providers"] == {"voice": {"free": [], "paid": ["PAID_API_KEY"]}}
    assert described(environ={"PAID_API_KEY": "k"})["providers"]["voice"]["paid"] == []
    assert described({"api_keys": {"paid": "k"}})["providers"]["voice"]["paid"] == []


def test_a_bot_that_could_not_start_is_not_described() -> None:
    """The errors are the same as those of a start."""
    with pytest.raises(Unauthorized):
        host().describe()
    with pytest.raises(UnknownProvider):
        described({"services": {"voice": "other"}})
    with pytest.raises(InvalidStart, match="nests deeper"):
        described({"config": json.loads("[" * 99 + "]" * 99)})
