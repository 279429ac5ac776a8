"""One persona hands the conversation over to another: another prompt, functions, voice, and recogniser."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from attrs import define

from rtvi_plugins import LLM, STT, TTS, VAD, Session, action, bot, converse, options, service
from rtvi_plugins.errors import AuthorError
from rtvi_plugins.kinds import STTPiece, STTRequest, Text, ToolCall, Transcript, TTSPiece, TTSRequest
from rtvi_plugins.session import Persona, RunLLM, Say

from ..fakes.conversation import said, shown, silence, speak, wait, write
from ..fakes.providers import RATE, WAIT, Fakes, samples
from ..fakes.wire import Wire, connected, settle

pytestmark = pytest.mark.anyio

RECEPTION = {"role": "system", "content": "You are the receptionist."}
SALES = Persona(
    "You sell rooms.", functions=["bot:book", "back"], config={"tts": {"voice": "low"}, "stt": {"language": "de"}}
)
GREETER = Persona("You greet.", greeting=Say("Sales speaking.", interruptible=False))
PERSONAS: dict[str, Callable[[], Persona]] = {
    "sales": lambda: SALES,
    "greeter": lambda: GREETER,
    "wrong": lambda: Persona("You sell.", functions=["bok"]),
    "invalid": lambda: Persona("You sell.", config={"tts": {"voice": 5}}),
    "language": lambda: Persona(config=SALES.config),
}

#: The sentences that were spoken, each with its voice; and the languages of the recogniser.
SPOKEN: list[tuple[str, str]] = []
HEARD: list[str] = []


@define
class Voice:
    """Speaks each sentence for 0.2 s."""

    voice: str = "high"

    async def synthesize(self, request: TTSRequest, /) -> AsyncGenerator[TTSPiece]:
        """Note the voice."""
        async for text in request.text:
            SPOKEN.append((self.voice, text))
            yield samples(1, 0.2)


@define
class Ear:
    """Hears one sentence."""

    language: str = "en"

    async def transcribe(self, request: STTRequest, /) -> AsyncGenerator[STTPiece]:
        """Note the language."""
        async for _ in request.audio:
            pass
        HEARD.append(self.language)
        yield Transcript("hello", final=True)


@service("tts", "voices")
@asynccontextmanager
async def voices() -> AsyncGenerator[Voice]:
    """A TTS with several voices."""
    yield Voice()


@options(voices)
def set_voice(tts: Voice, /, voice: str = "high") -> None:
    """Set the voice."""
    tts.voice = voice


@service("stt", "ear")
@asynccontextmanager
async def ear() -> AsyncGenerator[Ear]:
    """A recogniser."""
    yield Ear()


@options(ear)
def set_language(stt: Ear, /, language: str = "en") -> None:
    """Set the language."""
    stt.language = language


@bot(
    services={"llm": "scripted", "stt": "ear", "tts": "voices", "vad": "code"},
    config={"llm": {"messages": [RECEPTION]}},
    functions=["bot:book", "bot:transfer", "bot:back"],
    client=["bot:transfer", "llm:get_context", "tts.voice"],
    public=True,
)
async def hotel(session: Session, /, llm: LLM, stt: STT, tts: TTS, vad: VAD) -> None:
    """A bot with several personas."""
    await converse(session, llm=llm, stt=stt, tts=tts, vad=vad)


@action(hotel)
async def book() -> str:
    """Book."""
    return "booked"


@action(hotel)
async def transfer(session: Session, /, to: str, keep: bool = True, interrupt: bool = False) -> str:
    """Hand over to another persona."""
    await session.hand_over(PERSONAS[to](), keep_context=keep, interrupt=interrupt)
    return "a colleague takes over"


@action(hotel)
async def back(session: Session, /) -> str:
    """Hand over to the first persona."""
    await session.hand_over(Persona("You are the receptionist.", functions=["transfer"]))
    return "the receptionist takes over"


def calling(fakes: Fakes, *, audio: int | None = RATE) -> Any:
    """A session."""
    SPOKEN.clear()
    HEARD.clear()
    return connected(hotel, fakes, sys.modules[__name__], audio=audio)


def ask_for(wire: Wire, to: str, **arguments: Any) -> str:
    """Let the client ask for a persona."""
    return wire.call("bot:transfer", to=to, **arguments)


def prompts(fakes: Fakes, request: int) -> list[str]:
    """The system messages of a request to the LLM."""
    return [str(each["content"]) for each in fakes.requests[request].messages if each["role"] == "system"]


def offered(fakes: Fakes, request: int) -> list[str]:
    """The functions of a request to the LLM."""
    return [each["name"] for each in fakes.requests[request].functions]


async def test_the_llm_hands_over_in_one_call() -> None:
    """Text before the call is spoken with the old voice. The other persona answers in a turn of its own."""
    call = ToolCall("1", "transfer", {"to": "sales"})
    fakes = Fakes([Text("I connect you."), call], [Text("Sales here.")])
    async with calling(fakes) as wire:
        await write(wire)
        await wait(wire, 1.0)
        assert SPOKEN == [("high", "I connect you."), ("low", "Sales here.")]
        assert [prompts(fakes, 0), prompts(fakes, 1)] == [["You are the receptionist."], ["You sell rooms."]]
        assert [offered(fakes, 0), offered(fakes, 1)] == [["book", "transfer", "back"], ["book", "back"]]
        assert [each["interrupted"] for each in wire.data_of("bot-turn-ended")] == [False, False]
        assert await said(wire) == [
            ("system", "You sell rooms."),
            ("user", "go"),
            ("assistant", "I connect you."),
            ("tool", "a colleague takes over"),
            ("assistant", "Sales here."),
        ]


async def test_a_persona_can_hand_back() -> None:
    """Its call is one that the other persona does not have."""
    call, again = ToolCall("1", "transfer", {"to": "sales"}), ToolCall("2", "back", {})
    fakes = Fakes([call], [again], [Text("Reception.")])
    async with calling(fakes) as wire:
        await write(wire)
        await wait(wire, 1.0)
        assert [prompts(fakes, each) for each in range(3)] == [
            [RECEPTION["content"]],
            ["You sell rooms."],
            [RECEPTION["content"]],
        ]
        assert offered(fakes, 2) == ["transfer"]
        assert shown(wire) == ["Reception."]


async def test_the_conversation_can_be_dropped() -> None:
    """The other persona does not get the earlier conversation."""
    call = ToolCall("1", "transfer", {"to": "sales", "keep": False})
    fakes = Fakes([Text("I connect you."), call], [Text("Sales here.")])
    async with calling(fakes) as wire:
        await write(wire)
        await wait(wire, 1.0)
        assert [dict(each) for each in fakes.requests[1].messages] == [{"role": "system", "content": "You sell rooms."}]
        assert await said(wire) == [("system", "You sell rooms."), ("assistant", "Sales here.")]


async def test_the_recogniser_follows() -> None:
    """It changes with the next turn, like the voice. A persona without a prompt keeps the prompt."""
    fakes = Fakes([Text("Hello.")], [Text("Hallo.")], [Text("Ja.")])
    async with calling(fakes) as wire:
        await speak(wire, 1, 0.5)
        await silence(wire, 1.5)
        await wire.result(ask_for(wire, "language"))
        await silence(wire, 0.5)
        await speak(wire, 1, 0.5)
        await silence(wire, 1.5)
        assert HEARD == ["en", "de"]
        assert SPOKEN == [("high", "Hello."), ("low", "Hallo."), ("low", "Ja.")]
        assert prompts(fakes, 2) == ["You are the receptionist."]


async def test_a_persona_may_begin_with_a_text_of_its_own() -> None:
    """Then the LLM is not asked."""
    fakes = Fakes()
    async with calling(fakes, audio=None) as wire:
        await wire.result(ask_for(wire, "greeter"))
        await settle()
        assert shown(wire) == ["Sales speaking."]
        assert fakes.requests == []
        assert (await said(wire))[0] == ("system", "You greet.")


async def test_a_user_who_waits_for_an_answer_gets_one() -> None:
    """The new persona answers the waiting text. It does not start another turn."""
    fakes = Fakes([Text("Once upon a time. "), WAIT], [Text("Sales here.")])
    async with calling(fakes) as wire:
        session = wire.connection.session
        session.submit(RunLLM())
        await session.hand_over(Persona("You sell rooms."))
        await wait(wire, 0.5)
        assert len(fakes.requests) == 1
        assert prompts(fakes, 0) == ["You sell rooms."]


@pytest.mark.parametrize("interrupt", [False, True])
async def test_a_client_may_hand_over_while_the_bot_speaks(interrupt: bool) -> None:
    """The bot's turn ends first, or at once with `interrupt`."""
    fakes = Fakes([Text("Once upon a time. "), WAIT], [Text("Sales here.")])
    async with calling(fakes) as wire:
        await write(wire)
        await wait(wire, 0.3)
        await wire.result(ask_for(wire, "sales", interrupt=interrupt))
        await wait(wire, 1.0)
        assert SPOKEN[1:] == ([("low", "Sales here.")] if interrupt else [])
        assert wire.data_of("bot-turn-ended") == ([{"interrupted": True}, {"interrupted": False}] if interrupt else [])


async def test_a_turn_that_runs_may_still_call_its_functions() -> None:
    """The LLM is not asked again in it: the prompt would be new and the voice old."""
    fakes = Fakes([ToolCall("1", "transfer", {"to": "sales"}), ToolCall("2", "book", {})], [Text("Sales here.")])
    async with calling(fakes) as wire:
        await write(wire)
        await wait(wire, 1.0)
        assert [text for role, text in await said(wire) if role == "tool"] == ["a colleague takes over", "booked"]
        assert SPOKEN == [("low", "Sales here.")]


@pytest.mark.parametrize("name", ["wrong", "invalid"])
async def test_nothing_changes_if_a_persona_is_invalid(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """An unknown function is a mistake of the author. An invalid option is an error of the request."""
    fakes = Fakes()
    async with calling(fakes, audio=None) as wire:
        before = await said(wire)
        await wire.error(ask_for(wire, name))
        assert await said(wire) == before
        assert wire.connection.session.persona is None
        assert len(wire.connection.session.functions) == 3
        assert shown(wire) == []
    if name == "wrong":
        assert "unknown function 'bok'; did you mean 'book'?" in caplog.text


def test_a_function_is_named_as_in_the_bot_or_without_its_prefix() -> None:
    """`"bot:order"` and `"order"` are the same function."""
    assert Persona(functions=["bot:book", "back"]) == Persona(functions=["book", "bot:back"])


def test_functions_are_a_list_of_names() -> None:
    """A mistake is reported at its line."""
    with pytest.raises(AuthorError, match="give a list of the functions' names"):
        Persona(functions="book")
    with pytest.raises(AuthorError, match="give a list of the functions' names"):
        Persona(functions=[5])  # type: ignore[list-item]
