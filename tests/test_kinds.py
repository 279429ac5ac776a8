"""Kinds: those of the framework, and one of a plugin, from its Protocol to the client."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Literal, Protocol, cast, runtime_checkable

import pytest
from attrs import define

from rtvi_plugins import LLM, STT, TTS, VAD, Kind, Session, action, bot, options, service
from rtvi_plugins.errors import StartFailed
from rtvi_plugins.kinds import BUILTIN_KINDS, Audio, Text, Transcript, Word, kind_of

from .fakes.wire import connected, host_of, settle


@runtime_checkable
class Avatar(Protocol):
    """A kind of the test: shows a face."""

    mood: str

    async def show(self, mood: str, /) -> str:
        """Show the face. Return what is seen."""
        ...


AVATAR = Kind("avatar", Avatar)


@define
class Cat:
    """Shows the face of a cat."""

    fur: str = "grey"
    mood: str = "calm"

    async def show(self, mood: str, /) -> str:
        """Show the face of a cat."""
        self.mood = mood
        return f"a {mood} {self.fur} cat"


@service(AVATAR, "cat")
@asynccontextmanager
async def cat(fur: str = "grey") -> AsyncGenerator[Cat]:
    """A provider with a cat."""
    yield Cat(fur)


@service(AVATAR, "fish")
@asynccontextmanager
async def fish() -> AsyncGenerator[Any]:
    """A provider whose object shows nothing."""
    yield object()


@options(AVATAR)
def manner(avatar: Avatar, /, mood: Literal["calm", "cross"] = "calm") -> None:
    """Set how it looks."""
    avatar.mood = mood


@action(AVATAR)
async def look(avatar: Avatar, session: Session, /, mood: str | None = None) -> str:
    """Show a face."""
    return await avatar.show(mood or str(session.config("face")["mood"]))


seen: list[str] = []


@bot(services={"face": ["cat", "fish"]}, client=["face.mood", "face.provider", "face:look", "bot:face_of"], public=True)
async def shower(session: Session, /, face: Avatar) -> None:
    """A bot that shows a face when the client is ready."""
    seen.append(await face.show("glad"))


@action(shower)
async def face_of(session: Session, /) -> str:
    """Return which provider shows the face."""
    return session.providers["face"]


def test_a_kind_is_known_by_its_protocol() -> None:
    """The built-in kinds are always known, and a plugin's kind by the variable beside the Protocol."""
    assert [cast(Kind, kind_of(each)).name for each in (LLM, TTS, STT, VAD)] == ["llm", "tts", "stt", "vad"]
    assert kind_of(Avatar) is AVATAR
    assert kind_of(Cat) is None
    assert kind_of(None) is None
    assert all(name == kind.name for name, kind in BUILTIN_KINDS.items())


def test_audio_knows_how_long_it_is_and_does_not_print_itself() -> None:
    """It counts 16-bit samples of each channel."""
    assert Audio(b"\0" * 32_000, 16_000).seconds == 1.0
    assert Audio(b"\0" * 32_000, 8_000, channels=2).seconds == 1.0
    assert repr(Audio(b"\0" * 32_000, 16_000)) == "Audio(data=<32000 bytes>, rate=16000, channels=1)"


@pytest.mark.anyio
async def test_a_plugins_kind_works_from_end_to_end() -> None:
    """It is opened, given to the bot, described, set and called, under the name that the bot gives the service."""
    seen.clear()
    body: dict[str, Any] = {
        "service_options": {"cat": {"fur": "black"}},
        "config": [{"service": "face", "options": []}],
    }
    async with connected(shower, body=body) as wire:
        assert seen == ["a glad black cat"]
        described = (await wire.answer(wire.send("describe-config")))["data"]["config"]
        assert [(each["name"], [one["name"] for one in each["options"]]) for each in described] == [
            ("face", ["mood", "provider"]),
        ]
        actions = (await wire.answer(wire.send("describe-actions")))["data"]["actions"]
        assert [(each["service"], each["action"]) for each in actions] == [("face", "look"), ("bot", "face_of")]
        await wire.answer(wire.update(face={"mood": "cross"}))
        assert await wire.result(wire.call("face:look")) == "a cross black cat"
        assert await wire.result(wire.call("face:look", mood="sad")) == "a sad black cat"
        assert await wire.result(wire.call("bot:face_of")) == "cat"


@pytest.mark.anyio
async def test_a_service_that_is_not_of_its_kind_does_not_start() -> None:
    """A type checker would have reported this to its author."""
    async with host_of(shower) as host:
        with pytest.raises(StartFailed, match=r"The service 'face' \(fish\) does not implement its kind\."):
            await host.start({"services": {"face": "fish"}})


@pytest.mark.anyio
async def test_a_session_cannot_be_switched_to_what_is_not_of_its_kind() -> None:
    """The session continues with the old provider."""
    async with connected(shower) as wire:
        assert (await wire.error(wire.update(face={"provider": "fish"})))["code"] == "start-failed"
        await settle()
        assert await wire.result(wire.call("bot:face_of")) == "cat"
        assert await wire.result(wire.call("face:look")) == "a calm grey cat"


@pytest.mark.parametrize(
    ("piece", "fields", "sentence"),
    [
        (Text, {"text": None}, "text must be a str."),
        (Word, {"text": 5}, "text must be a str."),
        (Word, {"text": None}, "text must be a str."),
        (Word, {"start": -0.1}, "start must be a number of seconds from 0."),
        (Word, {"start": "1"}, "start must be a number of seconds from 0."),
        (Word, {"start": float("nan")}, "start must be a number of seconds from 0."),
        (Word, {"end": float("inf")}, "end must be a number of seconds from 0 or None."),
        (Transcript, {"text": None}, "text must be a str."),
        (Transcript, {"final": "false"}, "final must be True or False."),
        (Transcript, {"language": 7}, "language must be a str or None."),
        (Transcript, {"words": ["one"]}, "words must be a list or tuple of Word."),
        (Transcript, {"words": None}, "words must be a list or tuple of Word."),
        (Transcript, {"speaker": 0}, "speaker must be a str or None."),
        (Transcript, {"confidence": 7}, "confidence must be a number from 0 to 1 or None."),
        (Transcript, {"confidence": True}, "confidence must be a number from 0 to 1 or None."),
        (Transcript, {"ends_turn": 1}, "ends_turn must be True, False or None."),
        (Transcript, {"utterance": -1}, "utterance must be a whole number from 0 or None."),
    ],
)
def test_a_piece_refuses_a_wrong_field(piece: Any, fields: dict[str, Any], sentence: str) -> None:
    """The error has the piece, the field and the author's line."""
    more: dict[type, dict[str, Any]] = {Word: {"start": 0.0}, Transcript: {"final": True}}
    good: dict[str, Any] = {"text": "one", **more.get(piece, {})}
    with pytest.raises(ValueError, match=rf"^{piece.__name__}\({next(iter(fields))}=") as caught:
        piece(**{**good, **fields})
    assert str(caught.value).endswith(sentence)
    assert f"({__file__}:" in str(caught.value)


def test_the_text_of_a_refused_piece_is_not_shown() -> None:
    """It may be a text of the user."""
    words: Any = "a secret"
    with pytest.raises(ValueError, match=r"Transcript\(words=<str>\)") as caught:
        Transcript("one", True, words=words)
    assert "secret" not in str(caught.value)


def test_pieces_of_speech_accept_the_ends_of_their_ranges() -> None:
    """This includes whole numbers."""
    assert Word("one", 0, 0).end == 0
    assert [Transcript("", False, confidence=each, utterance=0).confidence for each in (0, 1)] == [0, 1]
