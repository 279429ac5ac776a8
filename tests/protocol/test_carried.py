"""A value that JSON cannot carry, or that is too long, raises where it is passed, with the path of the bad value."""

from __future__ import annotations

import datetime
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, NamedTuple

import anyio
import anyio.to_thread
import orjson
import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from rtvi_plugins import LLM, STT, TTS, RequestError, Session, action, bot, converse
from rtvi_plugins.context import Context
from rtvi_plugins.errors import InvalidStart, Problem
from rtvi_plugins.events import BotLLMText, UserTranscription
from rtvi_plugins.hosting import Limits
from rtvi_plugins.kinds import STTPiece, STTRequest, Text, ToolCall, Transcript, Usage
from rtvi_plugins.runtime.client_errors import error_json
from rtvi_plugins.session import Say, UserText
from rtvi_plugins.utils.json_values import check_json, json_problem

from ..fakes.conversation import speak
from ..fakes.faulty import faulty
from ..fakes.providers import RATE, Fakes, recognise
from ..fakes.wire import OPERATOR, Wire, connected, host_of, settle


class Score(float):
    """A float subclass, as numpy has."""


class Pair(NamedTuple):
    """A tuple with named fields."""

    left: int
    right: int


class Word(str):
    """A str subclass. The codec writes it as a value, but not as a name."""

    __slots__ = ()


def circle() -> list[Any]:
    """A list that contains itself twice."""
    found: list[Any] = []
    found += [found, found]
    return found


def deep() -> dict[str, Any]:
    """Nested objects."""
    found: dict[str, Any] = {}
    for _ in range(300):
        found = {"in": found}
    return found


#: What JSON cannot carry, and where the bad part of it is.
BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "a large number": (lambda: 2**64, "$"),
    "a small number": (lambda: -(2**63) - 1, "$"),
    "a number without a text": (lambda: 10**5000, "$"),
    "a large number inside": (lambda: {"a": [1, {"b": 2**70}]}, "$.a[1].b"),
    "half a character": (lambda: "\ud83c", "$"),
    "half a character inside": (lambda: [{"text": "ok"}, {"text": "\ude00"}], "$[1].text"),
    "half a character in a name": (lambda: {"a": {"\ud83c": 1}}, "$.a"),
    "a name that is not a string": (lambda: {"a": {1: 2}}, "$.a"),
    "a name that is None": (lambda: {None: 2}, "$"),
    "NaN": (lambda: {"x": float("nan")}, "$.x"),
    "infinity": (lambda: [float("-inf")], "$[0]"),
    "a set": (lambda: {"a": {1, 2}}, "$.a"),
    "bytes": (lambda: [b"x"], "$[0]"),
    "a date": (lambda: {"at": datetime.date(2026, 1, 1)}, "$.at"),
    "a float of another class": (lambda: {"score": Score(0.5)}, "$.score"),
    "a named tuple": (lambda: [Pair(1, 2)], "$[0]"),
    "a name of another class": (lambda: {"a": {Word("red"): 1}}, "$.a"),
    "a circle": (circle, "$"),
    "what is too deep": (deep, "$.in"),
}


@define(eq=False)
class Notes:
    """The values that the functions of this module use, and the exceptions that they got."""

    value: Any = None
    errors: list[str] = field(factory=list[str])


notes = Notes()


@pytest.fixture(params=BAD)
def bad(request: pytest.FixtureRequest) -> str:
    """The path of the bad value that the functions below use."""
    make, path = BAD[request.param]
    notes.value, notes.errors = make(), []
    return path


def attempt(do: Callable[[], object]) -> None:
    """Call something, and keep the exception that it raises."""
    try:
        do()
    except (TypeError, ValueError, RequestError) as error:
        notes.errors.append(f"{type(error).__name__}: {error}")


@action("bot")
async def give(session: Session, /) -> dict[str, Any]:
    """Return the value."""
    return {"value": notes.value}


@action("bot")
def give_from_thread() -> dict[str, Any]:
    """Return the value, from a thread."""
    return {"value": notes.value}


@action("bot", long=True)
async def give_long(session: Session, /) -> dict[str, Any]:
    """Return the value, at the end of a job."""
    attempt(lambda: session.progress(notes.value))
    return {"value": notes.value}


@action("bot")
async def give_number(session: Session, /) -> int:
    """Return a number that JSON has not."""
    return 2**70


@action("bot")
async def give_text(session: Session, /) -> str:
    """Return text that JSON has not."""
    return "\ud83c"


@action("bot")
async def send(session: Session, /) -> bool:
    """Send the value in every possible way."""
    attempt(lambda: session.send(notes.value))
    attempt(lambda: session.remember({"role": "user", "content": [{"type": "text", "text": notes.value}]}))
    try:
        await session.call_function("look", {"at": notes.value})
    except (TypeError, RequestError) as error:
        notes.errors.append(f"{type(error).__name__}: {error}")
    return True


@action("bot")
async def refuse_at_length(session: Session, /) -> str:
    """Refuse with a sentence that is too long to send."""
    raise RequestError("no " * 20_000)


@action("bot")
async def fine(session: Session, /) -> str:
    """Return a valid result."""
    return "fine"


@action("bot")
async def raise_unsendable(session: Session, /) -> str:
    """Raise an error that cannot be sent."""
    error = RequestError("Not today.")
    error.code = notes.value
    raise error


OWN = "give give_from_thread give_long give_number give_text send fine raise_unsendable refuse_at_length".split()


@bot(
    services={"llm": "scripted", "tts": "spell", "stt": "script"},
    client=[*(f"bot:{each}" for each in OWN), "llm:get_context", "llm.messages", "llm.run_on_config"],
    functions=["bot:give", "bot:give_number", "bot:give_text", "bot:fine", "bot:refuse_at_length"],
    public=True,
)
async def giver(session: Session, /, llm: LLM, tts: TTS, stt: STT) -> None:
    """A bot that holds a conversation."""
    await converse(session, llm=llm, tts=tts, stt=stt)


def giving(fakes: Fakes, **how: Any) -> Any:
    """A session with this bot."""
    return connected(giver, fakes, **how)


async def goes_on(wire: Wire) -> None:
    """Check that the session still answers."""
    assert [each for each in wire.data_of("error") if each["fatal"]] == []
    assert await wire.result(wire.call("bot:fine")) == "fine"


# ---- results -------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["give", "give_from_thread"])
async def test_a_result_that_json_cannot_carry_is_an_invalid_result(bad: str, name: str) -> None:
    """The answer has the path. The session continues."""
    fakes = Fakes()
    async with giving(fakes) as wire:
        id = wire.call(f"bot:{name}")
        while not wire.answers(id):
            await anyio.to_thread.run_sync(lambda: None)
            await settle()
        error = await wire.error(id)
        assert error["code"] == "invalid-result"
        path = error["details"][0]["path"]
        assert path.startswith(f"$.value{bad[1:]}") or path == "$"
        await goes_on(wire)


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["give_number", "give_text"])
async def test_a_bare_value_that_json_cannot_carry_is_an_invalid_result(name: str) -> None:
    """This is true also if the class of the result is the declared one."""
    fakes = Fakes()
    async with giving(fakes) as wire:
        error = await wire.error(wire.call(f"bot:{name}"))
        assert (error["code"], error["details"][0]["path"]) == ("invalid-result", "$")
        await goes_on(wire)


@pytest.mark.anyio
async def test_a_job_fails_with_a_result_that_json_cannot_carry(bad: str) -> None:
    """Its progress raises at the author's line."""
    fakes = Fakes()
    async with giving(fakes) as wire:
        wire.call("bot:give_long")
        await settle()
        (end,) = wire.data_of("server-message")
        assert (end["status"], end["code"]) == ("failed", "invalid-result")
        assert [each.partition(":")[0] for each in notes.errors] == ["TypeError"]
        await goes_on(wire)


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["give", "give_number", "give_text"])
async def test_the_llm_reads_that_a_function_gave_what_json_cannot_carry(name: str) -> None:
    """The turn continues with this text, and the LLM may repeat it."""
    notes.value = {"room": 2**70}
    fakes = Fakes([ToolCall("1", name, {})], [Text("It failed.")])
    async with giving(fakes) as wire:
        wire.send("send-text", {"content": "go", "options": {"audio_response": False}})
        await settle()
        (result,) = [each["content"] for each in fakes.requests[1].messages if each["role"] == "tool"]
        assert "returned what JSON cannot carry: $" in str(result)
        assert wire.data_of("error") == []
        await goes_on(wire)


# ---- what a bot sends ----------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_what_a_bot_sends_fails_at_its_own_line(bad: str) -> None:
    """Each exception has the path of the bad value, and nothing is sent."""
    fakes = Fakes()
    async with giving(fakes) as wire:
        assert await wire.result(wire.call("bot:send"))
        assert [each.partition(":")[0] for each in notes.errors] == ["TypeError"] * 3
        assert all("JSON cannot carry this: $" in each for each in notes.errors)
        assert bad in notes.errors[0]
        assert wire.data_of("server-message") == []
        assert wire.data_of("llm-function-call-in-progress") == []
        await goes_on(wire)


@pytest.mark.anyio
async def test_an_event_that_json_cannot_carry_fails_at_the_authors_line() -> None:
    """The exception has the path in the event's data."""
    async with connected(emitting) as wire:
        await settle()
        assert notes.errors == [
            "TypeError: JSON cannot carry this: $.text: the text holds '\\ud83c', half of a surrogate pair.",
            "TypeError: JSON cannot carry this: $.text: the text holds '\\ud83c', half of a surrogate pair.",
            "TypeError: JSON cannot carry this: $.text: the text holds '\\ud83c', half of a surrogate pair.",
            "TypeError: JSON cannot carry this: $.text: the text holds '\\ud83c', half of a surrogate pair.",
        ]
        assert (await wire.answer(wire.send("get-config", {})))["type"] == "config"


@bot(public=True)
async def emitting(session: Session, /) -> None:
    """Emit and submit values that cannot be sent."""
    notes.errors = []
    for event in (BotLLMText("\ud83c"), UserTranscription("\ud83c", "now")):
        attempt(lambda event=event: session.emit(event))  # type: ignore[misc]
    for each in (Say("\ud83c"), UserText("\ud83c")):
        attempt(lambda each=each: session.submit(each))  # type: ignore[misc]


@pytest.mark.anyio
async def test_an_error_that_cannot_be_sent_is_answered_by_its_sentence(bad: str) -> None:
    """The client gets an answer."""
    fakes = Fakes()
    async with giving(fakes) as wire:
        assert (await wire.error(wire.call("bot:raise_unsendable")))["error"] == "Not today."
        await goes_on(wire)


def test_the_context_refuses_what_json_cannot_carry(bad: str) -> None:
    """Every way to change it is tried. The context does not change."""
    context = Context()
    context.append({"role": "user", "content": "hello"})
    message: Any = {"role": "user", "content": notes.value}
    point = context.reserve()
    changes: Sequence[Callable[[], object]] = [
        lambda: context.append(message),
        lambda: context.insert(point, message),
        lambda: context.amend(context.messages[0], notes.value),
        lambda: context.replace([message]),
        lambda: setattr(context, "functions", ({"name": "f", "parameters": {"x": notes.value}},)),
    ]
    for change in changes:
        with pytest.raises(TypeError, match="JSON cannot carry this"):
            change()
    assert context.to_json() == {"messages": [{"role": "user", "content": "hello"}], "tools": []}


# ---- what providers yield ------------------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize("argument", [2**70, float("nan"), "\ud83c", [float("inf")], {"\ud83c": 1}])
async def test_the_llm_reads_that_its_arguments_cannot_be_carried(argument: Any) -> None:
    """The bot has not failed, and the function is not called."""
    fakes = Fakes([ToolCall("1", "fine", {"n": argument})], [Text("Again.")])
    async with giving(fakes) as wire:
        wire.send("send-text", {"content": "go", "options": {"audio_response": False}})
        await settle()
        (result,) = [each["content"] for each in fakes.requests[1].messages if each["role"] == "tool"]
        assert "cannot carry: $.arguments.n" in str(result)
        assert wire.data_of("error") == []
        await goes_on(wire)


@pytest.mark.anyio
async def test_a_usage_that_json_cannot_carry_ends_nothing() -> None:
    """The valid parts are sent."""
    fakes = Fakes([Text("Hello."), Usage(prompt_tokens=2**70, completion_tokens=-5, model="large\ud83c")])
    async with giving(fakes) as wire:
        wire.send("send-text", {"content": "go", "options": {"audio_response": False}})
        await settle()
        (tokens,) = [each["tokens"][0] for each in wire.data_of("metrics") if "tokens" in each]
        assert (tokens["completion_tokens"], tokens["model"]) == (0, "large?")
        assert wire.data_of("error") == []
        await goes_on(wire)


@pytest.mark.anyio
async def test_a_transcript_with_half_a_character_is_heard() -> None:
    """The rest is the text of the user."""

    async def transcribe(request: STTRequest) -> AsyncGenerator[STTPiece]:
        async for piece in recognise(request):
            assert isinstance(piece, Transcript)
            yield Transcript(piece.text.replace(" ", " \ud83c"), final=piece.final)

    fakes = Fakes([Text("Hi.")], stt=transcribe)
    async with giving(fakes, audio=RATE) as wire:
        await speak(wire, 1, 0.5)
        wire.connection.microphone(False)
        await speak(wire, 0, 1)
        assert "hello ?there" in [each["text"] for each in wire.data_of("user-transcription")]
        assert wire.data_of("error") == []
        await goes_on(wire)


# ---- what a start carries ------------------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize("field", ["config", "defaults", "grants"])
async def test_a_start_with_what_json_cannot_carry_is_refused(bad: str, field: str) -> None:
    """Its values would be sent to the client. The error has the path, but not the value."""
    if bad == "$":
        notes.value = {"in": notes.value} if not isinstance(notes.value, list) else {"in": 2**64}
    async with host_of(giver, Fakes()) as host:
        with pytest.raises(InvalidStart) as refused:
            await host.start({field: {"llm": {"messages": notes.value}}}, secret=OPERATOR)
    assert "JSON cannot carry" in str(refused.value) or "deeper" in str(refused.value)


# ---- what is too long ----------------------------------------------------------------------------------------------


LONG = Limits(outbox_size=20_000)


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["give", "give_from_thread"])
async def test_a_result_that_is_longer_than_the_outbox_is_an_invalid_result(name: str) -> None:
    """The client reads, so it must not count as a slow client."""
    notes.value = "x" * 20_001
    fakes = Fakes()
    async with giving(fakes, limits=LONG) as wire:
        id = wire.call(f"bot:{name}")
        while not wire.answers(id):
            await anyio.to_thread.run_sync(lambda: None)
            await settle()
        assert (await wire.error(id))["code"] == "invalid-result"
        await goes_on(wire)


@pytest.mark.anyio
async def test_results_that_fit_are_all_sent_to_a_client_that_reads() -> None:
    """This is true also if several of them wait to be sent."""
    notes.value = "x" * 15_000
    fakes = Fakes()
    async with giving(fakes, limits=LONG) as wire:
        ids = [wire.call("bot:give"), wire.call("bot:give")]
        await settle()
        assert [(await wire.result(id))["value"] for id in ids] == [notes.value] * 2
        await goes_on(wire)


@pytest.mark.anyio
async def test_a_job_whose_result_is_too_long_fails() -> None:
    """Its progress raises at the author's line too."""
    notes.value, notes.errors = "x" * 20_001, []
    fakes = Fakes()
    async with giving(fakes, limits=LONG) as wire:
        wire.call("bot:give_long")
        await settle()
        assert [each["code"] for each in wire.data_of("server-message")] == ["invalid-result"]
        assert [each.partition(":")[0] for each in notes.errors] == ["ValueError"]
        await goes_on(wire)


@pytest.mark.anyio
async def test_a_message_that_is_too_long_fails_at_the_authors_line() -> None:
    """The session continues."""
    notes.value, notes.errors = "x" * 20_001, []
    fakes = Fakes()
    async with giving(fakes, limits=LONG) as wire:
        await wire.result(wire.call("bot:send"))
        assert [each.partition(":")[0] for each in notes.errors] == ["ValueError", "FunctionCallFailed"]
        error = await wire.error(wire.call("llm:get_context"))  # the message was remembered
        assert error["code"] == "invalid-result"
        await goes_on(wire)


@pytest.mark.anyio
async def test_the_llm_reads_that_a_result_is_too_long() -> None:
    """It is a text, as for any other failure."""
    notes.value = "x" * 20_001
    fakes = Fakes([ToolCall("1", "give", {})], [Text("Too long.")])
    async with giving(fakes, limits=LONG) as wire:
        wire.send("send-text", {"content": "go", "options": {"audio_response": False}})
        await settle()
        (result,) = [each["content"] for each in fakes.requests[1].messages if each["role"] == "tool"]
        assert "at most 10000 are sent" in str(result)
        await goes_on(wire)


@pytest.mark.anyio
async def test_a_refusal_that_is_too_long_is_shortened() -> None:
    """The client and the LLM get the shortened text."""
    fakes = Fakes([ToolCall("1", "refuse_at_length", {})], [Text("It was refused.")])
    async with giving(fakes, limits=LONG) as wire:
        error = await wire.error(wire.call("bot:refuse_at_length"))
        assert len(error["error"]) == 4000
        wire.send("send-text", {"content": "go", "options": {"audio_response": False}})
        await settle()
        (result,) = [each["content"] for each in fakes.requests[1].messages if each["role"] == "tool"]
        assert len(str(result)) < 4100
        await goes_on(wire)


def test_an_error_that_is_too_long_to_send_keeps_both_ends_of_its_sentence() -> None:
    """The other fields are left out."""
    error = RequestError(f"First {'x' * 9_000} last.", problems=[Problem("$", "y" * 900)] * 9)
    form = error_json(error, 1_000)
    assert form == {"error": form["error"], "code": "request-failed", "retryable": False}
    assert (form["error"][:5], form["error"][-5:], len(form["error"])) == ("First", "last.", 1_000)


@pytest.mark.anyio
@pytest.mark.parametrize("version", ["2.1.0", None])
async def test_a_config_that_is_too_long_is_answered_with_an_error(version: str | None) -> None:
    """Every request for it gets the error."""
    long = [{"role": "user", "content": "x" * 20_001}]
    body = {"defaults": {"llm": {"messages": long}}}
    fakes = Fakes()
    async with giving(fakes, limits=LONG, body=body, version=version, ready=version is not None) as wire:
        if version is None:
            assert (await wire.error(wire.send("client-ready", {})))["code"] == "invalid-result"
            return
        for type in ("get-config", "update-config"):
            data = {"config": {"llm": {"run_on_config": False}}}
            assert (await wire.error(wire.send(type, data)))["code"] == "invalid-result"
        await goes_on(wire)


@pytest.mark.anyio
async def test_descriptions_that_are_too_long_are_answered_with_an_error() -> None:
    """An operator may set a limit that is smaller than a description."""
    fakes = Fakes()
    async with giving(fakes, limits=Limits(outbox_size=600)) as wire:
        for type in ("describe-actions", "describe-config"):
            assert (await wire.error(wire.send(type, {})))["code"] == "invalid-result"
        await goes_on(wire)


# ---- the check itself ----------------------------------------------------------------------------------------------

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(max_size=2)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3),
    max_leaves=10,
)


@given(values)
def test_what_the_check_lets_pass_is_read_as_it_was_written(value: Any) -> None:
    """For a refused value, the path leads to the bad value, or to the object with the bad name."""
    found = json_problem(value)
    if found is None:
        assert orjson.loads(orjson.dumps(value)) == value
        return
    with pytest.raises(TypeError, match="JSON cannot carry this"):
        check_json(value)


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["return_huge", "return_half", "return_deep", "return_circle", "return_infinity"])
async def test_a_hook_reads_the_failure_that_the_client_reads(name: str) -> None:
    """If the result of an action cannot be sent, the action has failed."""
    from ..registry.test_hooks import plugin

    seen: list[Any] = []

    def action_finished(action: str, error: str | None) -> None:
        seen.append((action, error))

    async with connected(faulty, plugin("seeing", action_finished)) as wire:
        assert (await wire.error(wire.call(f"bot:{name}")))["code"] == "invalid-result"
    assert seen == [(name, "invalid-result")]
