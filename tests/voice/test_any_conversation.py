"""Random conversations: the state machine refuses no event, and the bot always answers."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator
from typing import Any

import anyio
import pytest

from rtvi_plugins.kinds import LLMPiece, LLMRequest, STTPiece, STTRequest, Text, ToolCall, TTSPiece, TTSRequest
from rtvi_plugins.session import Say
from rtvi_plugins.voice import TurnTaking, UserTurn
from rtvi_plugins.voice.turn_state import TRANSITIONS, BotState, Event, SpokenTurn

from ..fakes.conversation import failures, said, silence, speak, types, wait, write
from ..fakes.providers import NOISE, Fakes, recognise, spell
from ..fakes.wire import Wire

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

CONVERSATIONS = 24
STEPS = 25
HAPPENINGS = "speak speak noise noise long silence silence off gap write cough cough cough say interrupt notice".split()


def slow(dice: random.Random, clock: list[Wire]) -> dict[str, Any]:
    """An LLM, a TTS and a policy that take random times, also to close."""

    async def pause(seconds: float) -> None:
        if clock and seconds:
            passed = anyio.Event()
            clock[0].clock.call_at(clock[0].clock.now() + seconds, passed.set)
            await passed.wait()

    async def respond(request: LLMRequest) -> AsyncGenerator[LLMPiece]:
        try:
            await pause(dice.choice([0.0, 0.3, 1.0, 2.0]))
            if dice.random() < 0.2 and clock and request.messages[-1]["role"] == "user":
                yield ToolCall(f"{len(request.messages)}-{dice.random()}", "look", {})
            else:
                yield Text("A sentence. And another one.")
        finally:
            with anyio.CancelScope(shield=True):
                await pause(dice.choice([0.0, 0.0, 1.5, 3.0]))

    async def synthesize(request: TTSRequest) -> AsyncGenerator[TTSPiece]:
        async for text in request.text:
            await pause(dice.choice([0.0, 0.0, 1.0]))
            yield spell(text)

    async def transcribe(request: STTRequest) -> AsyncGenerator[STTPiece]:
        async for piece in recognise(request):
            await pause(dice.choice([0.0, 0.0, 0.7]))
            yield piece

    async def end_of_turn(turn: UserTurn) -> float:
        await pause(dice.choice([0.0, 0.0, 0.2]))
        return dice.choice([0.0, 0.0, 0.4])

    taking = TurnTaking(
        end_of_turn=end_of_turn,
        interruptible=dice.random() < 0.9,
        longest_turn_seconds=dice.choice([1.0, 60.0]),
        idle_seconds=4.0,
        idle_text="Hello?",
    )
    return {"llm": respond, "tts": synthesize, "stt": transcribe, "taking": taking}


async def happen(wire: Wire, dice: random.Random) -> None:
    """Let the user, the client or an action do one thing."""
    match dice.choice(HAPPENINGS):
        case "speak":
            await speak(wire, dice.choice([1, 2, 4]), dice.choice([0.1, 0.3, 0.5]))
        case "noise":
            await speak(wire, NOISE, dice.choice([0.1, 0.3, 0.5]))
        case "long":
            await speak(wire, dice.choice([1, NOISE]), 1.4)
        case "silence":
            await silence(wire, dice.choice([0.2, 0.6, 1.5]))
        case "off":
            wire.connection.microphone(False)
            await wait(wire, 0.1)
            wire.connection.microphone(True)
        case "gap":
            await wait(wire, dice.choice([0.2, 0.6]))
        case "write":
            await write(wire)
        case "cough":
            await speak(wire, dice.choice([1, 2]), 0.4)
            await silence(wire, 0.6)
            await speak(wire, NOISE, 0.3)
            await silence(wire, dice.choice([0.6, 4.0]))
            await speak(wire, dice.choice([0, 1, NOISE]), 0.3)
        case "say":
            wire.call("tts:say", text="News.")
        case "interrupt":
            wire.call("tts:interrupt")
        case _:
            wire.connection.session.submit(Say("A notice.", interruptible=False))
    answer_functions(wire)


def answer_functions(wire: Wire) -> None:
    """Let the client run the functions that it is asked for."""
    ended = {each["tool_call_id"] for each in wire.data_of("llm-function-call-stopped")}
    for each in wire.data_of("llm-function-call-in-progress"):
        if each["tool_call_id"] in ended:
            continue
        call: dict[str, Any] = {
            "function_name": "look",
            "tool_call_id": each["tool_call_id"],
            "arguments": {},
            "result": "ok",
        }
        wire.send("llm-function-call-result", call)


async def converse_at_random(seed: int) -> None:
    """Hold one conversation. At its end the user is answered and asked, and nothing is left open."""
    dice, wires = random.Random(seed), list[Wire]()
    fakes = Fakes(**slow(dice, wires))
    async with fakes.session() as wire:
        wires.append(wire)
        for _ in range(STEPS):
            await happen(wire, dice)
        wires.clear()  # from now on, nothing takes its time
        for _ in range(16):
            await silence(wire, 0.5)
            answer_functions(wire)
        assert types(wire).count("user-started-speaking") == types(wire).count("user-stopped-speaking")
        before = len(await said(wire))
        await write(wire, "Are you there?")
        await silence(wire, 8.0)
        messages = await said(wire)
        assert (messages[before][0], messages[-1]) == ("user", ("assistant", "Hello?")), messages
        assert failures(wire) == []
        assert not wire.connection.closed


@pytest.mark.slow
async def test_any_conversation_continues(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The state machine refuses no event, and each of the bot's transitions occurs in one of them."""
    occurred = set[tuple[BotState, Event]]()
    process = SpokenTurn.process

    def note(turn: SpokenTurn, event: Event) -> None:
        occurred.add((turn.bot, event))
        process(turn, event)

    monkeypatch.setattr(SpokenTurn, "process", note)
    for seed in range(CONVERSATIONS):
        await converse_at_random(seed)
        assert caplog.messages == [], seed
    assert {(state, event) for state in BotState for event in TRANSITIONS[state]} - occurred == set()
