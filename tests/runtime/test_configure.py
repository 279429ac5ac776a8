"""What a bot sets in its own session: options, providers, and tasks beside it."""

from __future__ import annotations

import copy
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

import anyio
import pytest
from attrs import define, field
from attrs.validators import ge, le

from rtvi_plugins import VAD, Kind, RequestError, Session, action, bot, hookimpl, options, service
from rtvi_plugins.client import Client
from rtvi_plugins.errors import AuthorError, BotError
from rtvi_plugins.kinds import Audio
from rtvi_plugins.session import VADParams
from rtvi_plugins.testing import connect

pytestmark = pytest.mark.anyio


@runtime_checkable
class Voice(Protocol):
    """A kind of the test."""

    name: str
    settings: dict[str, Any]


VOICE = Kind("configured-voice", Voice)


@define
class LiveVoice:
    """A voice that keeps the values that it was set to."""

    name: str
    settings: dict[str, Any] = field(factory=dict[str, Any])


@service(VOICE, "first")
@asynccontextmanager
async def first(base_url: str = "") -> AsyncGenerator[LiveVoice]:
    """A provider with two options."""
    yield LiveVoice("first")


@service(VOICE, "second")
@asynccontextmanager
async def second() -> AsyncGenerator[LiveVoice]:
    """A provider with one option."""
    yield LiveVoice("second")


@options(first)
def manner(
    voice: LiveVoice, /, language: Literal["en", "de"] = "en", speed: Annotated[float, ge(0.5), le(2)] = 1.0
) -> None:
    """How the first one speaks."""
    voice.settings = {"language": language, "speed": speed}


@options(first, last=True)
def mood(voice: LiveVoice, /, mood: str = "calm", tags: Sequence[str] = ()) -> None:
    """A group whose value `first` cannot always accept."""
    if mood == "angry":
        raise RequestError("It is never angry.")


@options(second)
def pitch(voice: LiveVoice, /, pitch: float = 0.5) -> None:
    """How the second one speaks."""
    voice.settings = {"pitch": pitch}


class Ear:
    """A VAD."""

    def speech_probability(self, audio: Audio, /) -> float:
        """Return that nobody speaks."""
        return 0.0


@service("vad", "ear")
@asynccontextmanager
async def ear() -> AsyncGenerator[Ear]:
    """A VAD that hears nothing."""
    yield Ear()


@bot(
    services={"voice": ["first", "second"], "ear": "ear"},
    client=["voice.language", "bot:set", "bot:voice", "bot:read"],
    public=True,
)
async def speaker(session: Session, /, voice: Voice, ear: VAD) -> None:
    """A bot that sets its own options when asked to."""


@action(speaker)
async def set(session: Session, /, config: Mapping[str, Mapping[str, Any]], interrupt: bool = False) -> str:
    """Set options of several services. Return the error for the author."""
    try:
        await session.configure(config, interrupt=interrupt)
    except (AuthorError, RequestError) as error:
        return f"{type(error).__name__}: {error}"
    return "done"


@action(speaker)
async def voice(session: Session, /) -> list[Any]:
    """Return the provider of the voice and the values of its options."""
    return [session.providers["voice"], session.config("voice")]


@action(speaker)
async def read(session: Session, /) -> dict[str, Any]:
    """Return the whole config."""
    return dict(session.config())


BEFORE: dict[str, Any] = {"language": "en", "speed": 1.0, "mood": "calm", "tags": []}


async def test_a_bot_sets_options_that_no_client_may_set() -> None:
    """All options of one call are set, and the client receives those that it may read."""
    async with connect(speaker) as client:
        assert await client.action("bot:set", config={"voice": {"language": "de", "speed": 2}}) == "done"
        assert await client.action("bot:voice") == ["first", {**BEFORE, "language": "de", "speed": 2}]
        pushed = [event.data async for event in _until(client, "config")][-1]
        assert (pushed["revision"], pushed["applies"], pushed["config"][0]["options"]) == (
            2,
            "now",
            [{"name": "language", "value": "de"}],
        )


async def _until(client: Client, type: str) -> AsyncGenerator[Any]:
    async for event in client.events():
        yield event
        if event.type == type:
            return


async def test_one_call_sets_options_of_several_services() -> None:
    """The client receives one config."""
    changes = {"voice": {"language": "de"}, "ear": {"params": {"stop_secs": 1.5}}}
    async with connect(speaker) as client:
        assert await client.action("bot:set", config=changes) == "done"
        config = await client.action("bot:read")
        assert (config["voice"]["language"], config["ear"]["params"]["stop_secs"]) == ("de", 1.5)
        assert (await client.get_config()).revision == 2


@pytest.mark.parametrize(
    ("changes", "problems"),
    [
        ({"voice": {"languages": "de"}}, ["$.voice.languages: unknown voice option 'languages'; did you mean"]),
        ({"voice": {"language": "fr", "speed": 9, "mod": "x"}}, ["voice.language: ", "voice.speed: ", "'mood'"]),
        ({"voice": {"speed": 2, "base_url": "x"}}, ["'voice.base_url' is a service option: only the operator sets it"]),
        ({"voice": {"provider": "other"}}, ["unknown voice provider 'other'; known: first, second."]),
        ({"voice": {"pitch": 0.1}}, ["unknown voice option 'pitch'"]),
        ({"voice.frist": {"language": "de"}}, ["unknown voice provider 'frist'; did you mean 'first'?"]),
        ({"voice.frist": {}}, ["$[\"voice.frist\"]: unknown voice provider 'frist'"]),
        (
            {"voice.vioce": {}, "vioce": {}},
            ["$.vioce: unknown service 'vioce'; did you mean 'voice'?", "provider 'vioce'"],
        ),
        ({"voice.first": {"speed": 9}}, ['$["voice.first"].speed: voice.speed: ']),
        ({"voice.first": {"provider": "second"}}, ["unknown voice.first option 'provider'"]),
        ({"voice.second": {"ptch": 0.1}}, ["unknown voice.second option 'ptch'; did you mean"]),
        ({"voice.second": {"pitch": "x"}, "voice": {"speed": 2}}, ["voice.second.pitch: "]),
        ({"vioce": {"language": "de"}}, ["unknown service 'vioce'; did you mean 'voice'?"]),
    ],
)
async def test_mistakes_of_the_bot_change_nothing(changes: Any, problems: list[str]) -> None:
    """The author reads all mistakes at once."""
    async with connect(speaker) as client:
        answer = await client.action("bot:set", config=changes)
        assert answer.startswith("BotError: session.configure(): ")
        assert [each for each in problems if each not in answer] == []
        assert await client.action("bot:voice") == ["first", BEFORE]
        assert (await client.get_config()).revision == 1


async def test_options_of_one_provider_count_while_it_is_in_use() -> None:
    """They override the options of the service. Options of another provider are only checked."""
    changes = {"voice.first": {"speed": 2}, "voice": {"speed": 1.5, "language": "de"}, "voice.second": {"pitch": 0.1}}
    async with connect(speaker) as client:
        assert await client.action("bot:set", config=changes) == "done"
        assert await client.action("bot:voice") == ["first", {**BEFORE, "language": "de", "speed": 2}]
        changes = {"voice.second": {"pitch": 0.2}, "voice": {"provider": "second"}, "voice.first": {"speed": 1}}
        assert await client.action("bot:set", config=changes) == "done"
        assert await client.action("bot:voice") == ["second", {"pitch": 0.2}]


async def test_a_value_that_a_service_refuses_changes_nothing() -> None:
    """Options that were set before it get their old values again."""
    async with connect(speaker) as client:
        answer = await client.action("bot:set", config={"voice": {"language": "de", "mood": "angry"}})
        assert (
            answer
            == "ApplyFailed: The options of 'voice' could not be set; the old ones are still used. It is never angry."
        )
        assert await client.action("bot:voice") == ["first", BEFORE]


async def test_the_option_provider_switches_the_provider() -> None:
    """The other options in the same call are options of the new provider."""
    async with connect(speaker) as client:
        assert await client.action("bot:set", config={"voice": {"provider": "second", "pitch": 0.9}}) == "done"
        assert await client.action("bot:voice") == ["second", {"pitch": 0.9}]


# ---- in a turn -------------------------------------------------------------------------------------------------------

seen: list[Any] = []


@bot(services={"voice": ["first", "second"]}, client=["voice.language"], public=True)
async def in_turns(session: Session, /, voice: Voice) -> None:
    """A bot that sets an option in the middle of a turn, and looks at the live service."""
    seen.clear()
    async with session.turn():
        await session.configure("voice", language="de")
        seen.append((session.config("voice")["language"], voice.settings["language"]))
    seen.append((session.config("voice")["language"], voice.settings["language"]))
    async with session.turn() as turn:
        await session.configure("voice", language="en", interrupt=True)
    seen.append((turn.interrupted, voice.settings["language"]))
    async with session.turn():
        await session.switch("voice", "second")
        seen.append((session.providers["voice"], voice.name))
    seen.append((session.providers["voice"], voice.name))
    session.close(now=True)


async def test_a_change_within_a_turn_waits_for_its_end() -> None:
    """With `interrupt`, it does not wait."""
    async with connect(in_turns) as client:
        async for _ in client.events():
            pass
    assert seen == [("de", "en"), ("de", "de"), (True, "en"), ("second", "first"), ("second", "second")]


# ---- hooks and tasks -------------------------------------------------------------------------------------------------


@bot(services={"voice": "first"}, client=["voice.language"], public=True)
async def hooked(session: Session, /, voice: Voice) -> None:
    """A bot whose options are set by a hook."""


@hookimpl
def session_opened(session: Session) -> None:
    """Set an option before the client connects."""
    if list(session.providers) == ["voice"] and session.start_data.get("language"):
        session.start_soon(set_language, session, session.start_data["language"])


async def set_language(session: Session, language: str) -> None:
    """Set the language."""
    await session.configure("voice", language=language)


async def test_a_hook_sets_options() -> None:
    """The client receives no message before the session is ready for it. Its config has the new value."""
    async with connect(hooked, operator={"language": "de"}) as client:
        assert (await client.get_config()).values == {"voice": {"language": "de"}}
        assert (await client.get_config()).revision == 2


async def test_a_failure_beside_the_bot_is_logged_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The log tells the author what is wrong."""
    caplog.set_level(logging.ERROR, "rtvi_plugins")
    async with connect(hooked, operator={"language": "fr"}) as client:
        assert (await client.get_config()).values == {"voice": {"language": "en"}}
    assert "set_language()" in caplog.text
    assert "session.configure(): $.voice.language: voice.language: " in caplog.text


async def test_the_end_of_the_session_cancels_its_tasks() -> None:
    """The session also starts no more tasks."""
    ended = anyio.Event()
    held: list[Session] = []

    async def wait() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    @bot(public=True)
    async def waiting(session: Session, /) -> None:
        """A bot that leaves a task behind."""
        held.append(session)
        session.start_soon(wait)

    async with connect(waiting) as client:
        await client.get_config()
    assert ended.is_set()
    with pytest.raises(RequestError, match="has ended"):
        held[0].start_soon(wait)
    with pytest.raises(RequestError, match="has ended"):
        await held[0].configure({})


# ---- reading ---------------------------------------------------------------------------------------------------------


@bot(services={"ear": "ear", "voice": "first"}, public=True)
async def reader(session: Session, /, ear: VAD, voice: Voice) -> None:
    """A bot that tries to write to its config."""
    seen.clear()
    for change in CHANGES:
        with pytest.raises(TypeError, match=r"read-only. Change it with await session.configure"):
            change(session.config())
    with pytest.raises(BotError, match="did you mean 'voice'"):
        session.config("vioce")
    with pytest.raises(TypeError, match=r"\$.voice.mood"):
        await session.configure("voice", mood=object())
    own: Any = copy.deepcopy(session.config("voice"))
    own["tags"].append("x")
    await session.configure("ear", params=VADParams(stop_secs=2.0))
    await session.configure({"voice": own})
    own["tags"].append("y")
    seen.append((session.config("voice")["tags"], session.config("ear")["params"]["stop_secs"]))
    session.close(now=True)


def _set_option(config: Any) -> None:
    config["voice"]["mood"] = "x"


def _remove_service(config: Any) -> None:
    del config["voice"]


def _set_part(config: Any) -> None:
    config["ear"]["params"]["stop_secs"] = 9


def _append(config: Any) -> None:
    config["voice"]["tags"].append("x")


CHANGES = [_set_option, _remove_service, _set_part, _append]


async def test_the_config_is_read_only() -> None:
    """The parts of the config are read-only too. A copy can be changed, and does not change with the config."""
    async with connect(reader) as client:
        async for _ in client.events():
            pass
    assert seen == [(["x"], 2.0)]
