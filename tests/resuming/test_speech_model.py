"""A conversation with a speech-to-speech model continues in another process."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from rtvi_plugins import VAD, Session, SpeechModel, bot, converse
from rtvi_plugins.hosting import Host, ManualClock
from rtvi_plugins.kinds import SpeechBegan, SpeechEnded, Transcript
from rtvi_plugins.resuming import MemoryStore
from rtvi_plugins.session import Secret
from rtvi_plugins.testing import ScriptedSpeechModel, fake_provider

from ..fakes.providers import RATE, FakeVAD
from ..fakes.visitor import Visitor, visitor
from ..fakes.wire import OPERATOR, settle
from .test_speech import advance, contents, speak

pytestmark = pytest.mark.anyio


@bot(services={"speech": "scripted"}, public=True)
async def talker(session: Session, /, speech: SpeechModel) -> None:
    """A bot whose model finds the utterances."""
    await converse(session, speech=speech)


@bot(services={"speech": "scripted", "vad": "code"}, public=True)
async def watched(session: Session, /, speech: SpeechModel, vad: VAD) -> None:
    """A bot with a VAD."""
    await converse(session, speech=speech, vad=vad)


def host(made: Any, model: ScriptedSpeechModel, store: MemoryStore, clock: ManualClock) -> Host:
    """A host of one of the bots, with this model."""
    modules = [
        fake_provider("speech.scripted", model),
        fake_provider("vad.code", FakeVAD(lambda frame: float(any(frame.data)))),
    ]
    return Host(made, modules=modules, clock=clock, environ={}, operator_secret=Secret(OPERATOR), store=store)


@asynccontextmanager
async def moving(
    made: Any, first: ScriptedSpeechModel, second: ScriptedSpeechModel, store: MemoryStore, clock: ManualClock
) -> AsyncGenerator[tuple[Visitor, Host, Host]]:
    """A client in a session at the first of two hosts with one store. Each host has its own model."""
    async with (
        host(made, first, store, clock) as one,
        host(made, second, store, clock) as other,
        visitor(rate=RATE) as client,
    ):
        await client.start(one)
        yield client, one, other


@pytest.mark.parametrize("made", [talker, watched])
async def test_another_process_answers_what_the_user_had_said(made: Any) -> None:
    """The model had not begun to answer, and another connection to it does not know the words."""
    clock, store, first, second = ManualClock(), MemoryStore(), ScriptedSpeechModel(), ScriptedSpeechModel("Noon.")
    async with moving(made, first, second, store, clock) as (client, _, other):
        await speak(client, clock, 1, 0.5)
        first.hear(SpeechBegan(), Transcript("What time", final=True), Transcript("is it?", final=True), SpeechEnded())
        await speak(client, clock, 0, 1.0)
        await client.resume(other)
        await advance(clock, 2)
        assert contents(client) == ["What time is it?", "Noon."]
        assert client.text() == "Noon."


async def test_an_answer_that_was_cut_short_by_the_move_is_given_once() -> None:
    """The words of the user are in the context already."""
    clock, store = ManualClock(), MemoryStore()
    first, second = ScriptedSpeechModel("A rather long answer to this."), ScriptedSpeechModel("Noon.")
    async with moving(talker, first, second, store, clock) as (client, _, other):
        await speak(client, clock, 0, 0.2)
        first.hear(SpeechBegan(), Transcript("What time is it?", final=True), SpeechEnded())
        await settle()
        await client.resume(other)
        await advance(clock, 2)
        assert contents(client) == ["What time is it?", "Noon."]


async def test_a_planned_end_keeps_words_that_might_still_have_changed() -> None:
    """The user was still speaking."""
    clock, store, first, second = ManualClock(), MemoryStore(), ScriptedSpeechModel(), ScriptedSpeechModel("Noon.")
    store.durable = True
    async with moving(talker, first, second, store, clock) as (client, one, other):
        await speak(client, clock, 1, 0.5)
        first.hear(SpeechBegan(), Transcript("What time is", final=False))
        await settle()
        one.end_sessions()
        await settle()
        await client.resume(other)
        await advance(clock, 2)
        assert contents(client) == ["What time is", "Noon."]
