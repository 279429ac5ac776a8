"""An exception that a plugin raises ends only the call that raised it, whatever its class is."""

from __future__ import annotations

import asyncio
import functools
import json
import signal
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Annotated, Any, cast

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from attrs import define, field

from rtvi_plugins import LLM, STT, TTS, VAD, Session, action, bot, converse, options, service
from rtvi_plugins.errors import InvalidConfig, Problem, ProviderError, RequestError, StartFailed
from rtvi_plugins.hookspecs import HOOKS, hookimpl
from rtvi_plugins.hosting import ManualClock
from rtvi_plugins.kinds import (
    Audio,
    LLMPiece,
    LLMRequest,
    STTPiece,
    STTRequest,
    Text,
    ToolCall,
    Transcript,
    TTSPiece,
    TTSRequest,
)
from rtvi_plugins.session import Listener
from rtvi_plugins.utils.plugin_calls import is_ctrl_c, reraise_control_flow
from rtvi_plugins.voice import TurnTaking, UserTurn

from ..fakes.conversation import speak, wait
from ..fakes.providers import RATE, samples
from ..fakes.wire import OPERATOR, Wire, connected, connection_to, host_of, settle

pytestmark = pytest.mark.anyio


class Panic(BaseException):
    """An exception that `except Exception` does not catch."""


class WithExceptions(Exception):
    """Not an exception group, although it has a field of that name."""

    exceptions = None


def deep_group() -> BaseException:
    """Return a group in a group, nested deeper than Python's limit of recursion."""
    found: BaseException = Panic()
    for _ in range(2_000):
        found = cast(BaseException, BaseExceptionGroup("deep", [found]))
    return found


RAISED: dict[str, Callable[[], BaseException]] = {
    "KeyboardInterrupt": KeyboardInterrupt,
    "SystemExit": SystemExit,
    "GeneratorExit": GeneratorExit,
    "StopIteration": StopIteration,
    "BaseExceptionGroup": lambda: BaseExceptionGroup("several", [KeyboardInterrupt(), Panic()]),
    "an exception with exceptions": WithExceptions,
    "a deep group": deep_group,
}


class Forgetful(RequestError):
    """An error whose `__init__` does not call `super().__init__`."""

    def __init__(self, room: int = 12) -> None:
        self.room = room


class Unsayable(RequestError):
    """An error without a text."""

    def __init__(self) -> None:
        super().__init__("no")

    def __str__(self) -> str:
        raise LookupError

    __repr__ = __str__


class WithoutForm(RequestError):
    """An error without a JSON form."""

    def __init__(self) -> None:
        super().__init__("no")

    def to_json(self) -> dict[str, Any]:
        raise LookupError


class ForgetfulVendor(ProviderError):
    """A vendor's error whose `__init__` does not call `super().__init__`."""

    def __init__(self) -> None:
        pass


class UnsayableVendor(ProviderError):
    """A vendor's error without a text."""

    def __init__(self) -> None:
        super().__init__("acme", "quota")

    def __str__(self) -> str:
        raise LookupError

    __repr__ = __str__


def misplaced_problem() -> BaseException:
    """An error with a problem that is not a `Problem`."""
    return RequestError("no", problems=cast("list[Problem]", ["rooms"]))


#: Errors that a client could read if their authors had not broken them.
BROKEN: dict[str, Callable[[], BaseException]] = {
    each.__name__: each
    for each in (Forgetful, Unsayable, WithoutForm, misplaced_problem, ForgetfulVendor, UnsayableVendor)
}


@define(eq=False)
class Faults:
    """The place where an exception is raised now, and the exception."""

    place: str = ""
    make: Callable[[], BaseException] = RuntimeError
    met: int = 0

    def at(self, place: str) -> None:
        if place == self.place:
            self.met += 1
            raise self.make()


faults = Faults()


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """No exception is raised before or after a test."""
    faults.place, faults.met = "", 0
    yield
    faults.place = ""


@pytest.fixture(params=RAISED)
def raised(request: pytest.FixtureRequest) -> str:
    """The exceptions that are raised."""
    faults.make = RAISED[request.param]
    return str(request.param)


# ---- a plugin that raises everywhere ---------------------------------------------------------------------------------


@define(eq=False)
class Live:
    """A service that fits every kind."""

    calls: list[str] = field(factory=list[str])

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        try:
            faults.at("llm")
            await anyio.lowlevel.checkpoint()
            text = str(request.messages[-1]["content"])
            if text == "call":
                yield ToolCall("1", "act", {})
            else:
                yield Text(f"You said {text}. ")
                faults.at("llm, later")
        finally:
            faults.at("llm, closing")

    async def synthesize(self, request: TTSRequest, /) -> AsyncGenerator[TTSPiece]:
        async for text in request.text:
            faults.at("tts")
            yield samples(7, 0.05 * len(text), RATE)

    async def transcribe(self, request: STTRequest, /) -> AsyncGenerator[STTPiece]:
        async for _ in request.audio:
            faults.at("stt")
        yield Transcript("hello", final=True)

    def speech_probability(self, frame: Audio, /) -> float:
        faults.at("vad")
        return float(any(frame.data))


@asynccontextmanager
async def _opened() -> AsyncGenerator[Live]:
    faults.at("opening")
    yield Live()
    faults.at("closing")


@service("llm", "raising")
@asynccontextmanager
async def raising_llm() -> AsyncGenerator[Live]:
    """An LLM."""
    async with _opened() as live:
        yield live


@service("llm", "other")
@asynccontextmanager
async def other_llm() -> AsyncGenerator[Live]:
    """Another LLM."""
    yield Live()


@service("tts", "raising")
@asynccontextmanager
async def raising_tts() -> AsyncGenerator[Live]:
    """A TTS."""
    yield Live()


@service("stt", "raising")
@asynccontextmanager
async def raising_stt() -> AsyncGenerator[Live]:
    """An STT."""
    yield Live()


@service("vad", "raising")
@asynccontextmanager
async def raising_vad() -> AsyncGenerator[Live]:
    """A VAD."""
    yield Live()


def picky(instance: object, attribute: object, value: object) -> None:
    """A validator that raises."""
    faults.at("validator")


@options(raising_llm)
def configure(llm: Live, /, model: Annotated[str, picky] = "small") -> None:
    """Options that raise."""
    faults.at("options")
    if model == "large":
        faults.at("large options")


@action("bot")
async def act(session: Session, /) -> str:
    """An action on the event loop."""
    await anyio.lowlevel.checkpoint()
    faults.at("action")
    return "done"


@action("bot")
def act_in_thread() -> str:
    """An action in a thread."""
    faults.at("action in a thread")
    return "done"


@action("bot", long=True)
async def act_long(session: Session, /) -> str:
    """A long action."""
    faults.at("long action")
    return "done"


def _hook(name: str) -> Callable[..., Any]:
    def found() -> Any:
        faults.at(name)

    found.__name__ = name
    return hookimpl(found)


#: The hooks that no session of these tests calls.
NOT_CALLED = ("server_routes", "provider_changed", "error_reported")

module = ModuleType("raising_hooks")
for each in HOOKS:
    setattr(module, each, _hook(each))


class Hearing(Listener):
    """A listener that raises."""

    def hear(self, audio: Audio) -> None:
        faults.at("listener")

    def microphone(self, enabled: bool) -> None:
        if enabled:
            faults.at("microphone")


async def end_of_turn(turn: UserTurn) -> float:
    """An end-of-turn policy that raises."""
    faults.at("end of turn")
    return 0.0


ACTIONS = ["bot:act", "bot:act_in_thread", "bot:act_long", "llm.model", "llm:get_context", "tts:interrupt"]


@bot(
    services={"llm": "raising", "tts": "raising", "stt": "raising", "vad": "raising"},
    client=ACTIONS,
    functions=["bot:act"],
    public=True,
)
async def talking(session: Session, /, llm: LLM, tts: TTS, stt: STT, vad: VAD) -> None:
    """A bot that holds a conversation."""
    await converse(session, llm=llm, tts=tts, stt=stt, vad=vad, taking=TurnTaking(end_of_turn=end_of_turn))


@bot(services={"llm": "raising"}, client=ACTIONS[:-1], public=True)
async def listening(session: Session, /, llm: LLM) -> None:
    """A bot that raises, plays or listens."""
    faults.at("bot")
    with session.listening(Hearing()):
        async for _ in session.inputs():
            async with session.turn() as turn:
                turn.on_heard(lambda seconds: faults.at("on_heard"))
                turn.play(samples(7, 0.2))
                faults.at("turn")
                await turn.played()


@bot(services={"llm": ["raising", "other"]}, client=[*ACTIONS[:3], "bot:act_at_once", "llm.provider"], public=True)
async def turning(session: Session, /, llm: LLM) -> None:
    """A bot with two LLMs."""
    await anyio.sleep_forever()


async def goes_on(wire: Wire) -> None:
    """Check that the session and its host still answer."""
    faults.place = ""
    assert await wire.result(wire.call("bot:act")) == "done"


# ---- each place ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["action", "action in a thread"])
async def test_an_action_fails_alone(raised: str, place: str) -> None:
    """Its request is answered, and the session continues."""
    async with connected(talking) as wire:
        faults.place = place
        name = "bot:act" if place == "action" else "bot:act_in_thread"
        id = wire.call(name)
        while not wire.answers(id):
            await anyio.to_thread.run_sync(lambda: None)  # behind the thread of the action
        assert (await wire.error(id))["code"] == "action-failed"
        await goes_on(wire)


@pytest.mark.parametrize("name", BROKEN)
async def test_an_error_for_the_client_that_its_author_broke_is_answered(name: str) -> None:
    """An action, a long action, a function of the LLM, options and the opening of a service: each one fails alone."""
    faults.make = BROKEN[name]
    async with connected(talking) as wire:
        faults.place = "action"
        assert "error" in await wire.error(wire.call("bot:act"))
        wire.send("send-text", {"content": "call", "options": {"audio_response": False}})
        await settle()
        assert faults.met > 1
        faults.place = "long action"
        wire.call("bot:act_long")
        await settle()
        assert [each["status"] for each in wire.data_of("server-message")] == ["failed"]
        faults.place = "large options"
        assert (await wire.error(wire.update(llm={"model": "large"})))["code"] == "apply-failed"
        faults.place = "llm"
        wire.send("send-text", {"content": "hello", "options": {"audio_response": False}})
        await settle()
        assert len(wire.data_of("error")) == 1
        for place in ("opening", "options"):
            faults.place = place
            with pytest.raises(RequestError) as refused:
                async with connection_to(wire.host, wire.clock):
                    pass
            assert refused.value.code != "internal-error"
        await goes_on(wire)


def cancelling_its_task() -> BaseException:
    """Cancel the task in which the plugin's function runs. The task is not the plugin's own."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    return Panic()


@pytest.mark.parametrize("place", ["options", "large options", *(each for each in HOOKS if each not in NOT_CALLED)])
async def test_a_function_cannot_cancel_the_task_that_calls_it(place: str, anyio_backend_name: str) -> None:
    """It can cancel neither the session's task nor the transport's, which is the test's own task here."""
    if anyio_backend_name == "trio":
        return
    faults.make = cancelling_its_task
    async with connected(talking, module) as wire:
        faults.place = place
        try:
            async with connection_to(wire.host, wire.clock) as other:
                other.send("client-ready", {"version": "2.1.0"})
                other.send("send-text", {"content": "hello", "options": {"audio_response": False}})
                await settle()
                await other.answer(other.update(llm={"model": "large"}))
                assert await other.result(other.call("bot:act")) == "done"
                other.connection.close()
                await settle()
        except RequestError:  # options that cannot be set at the start
            assert place == "options"
        assert place == "find_key" or faults.met
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling()
        await goes_on(wire)


@pytest.mark.parametrize("place", ["action", "long action", "closing"])
async def test_a_task_that_a_plugin_cancels_ends_nothing_else(place: str, anyio_backend_name: str) -> None:
    """The other requests of the session are answered. On trio, a function cannot cancel a task like this."""
    if anyio_backend_name == "trio":
        return
    faults.make = cancelling_its_task
    async with connected(turning) as wire:
        faults.place = place
        for name in ("bot:act", "bot:act_long"):
            assert len(wire.answers(wire.call(name))) <= 1
        await settle()
        await wire.answer(wire.update(llm={"provider": "other"}))
        await settle()
        assert faults.met
        assert not wire.connection.closed
        await goes_on(wire)


@action("bot")
async def act_at_once(session: Session, /) -> str:
    """An action that never waits."""
    faults.at("action at once")
    return "done"


async def test_an_action_that_cancels_its_task_without_waiting_ends_nothing_else(anyio_backend_name: str) -> None:
    """It does not cancel the next action either."""
    if anyio_backend_name == "trio":
        return
    faults.make = cancelling_its_task
    async with connected(turning) as wire:
        await goes_on(wire)  # from now on, a task is there in whose name actions are begun
        for _ in range(3):
            faults.place = "action at once"
            wire.call("bot:act_at_once")
            faults.place = ""
            await goes_on(wire)
        assert faults.met == 3
        assert not wire.connection.closed


async def test_a_session_that_a_plugin_cancels_ends_alone(anyio_backend_name: str) -> None:
    """A transport calls the session from a callback. The session's own task then sets its options."""
    if anyio_backend_name == "trio":
        return
    faults.make = cancelling_its_task
    async with connected(talking) as wire:
        async with connection_to(wire.host, wire.clock) as other:
            other.send("client-ready", {"version": "2.1.0"})
            await settle()
            faults.place = "large options"
            asyncio.get_running_loop().call_soon(lambda: other.update(llm={"model": "large"}))
            await settle()
            assert faults.met
        await goes_on(wire)


async def test_a_long_action_fails_alone(raised: str) -> None:
    """The client is told that the job has failed."""
    async with connected(talking) as wire:
        faults.place = "long action"
        wire.call("bot:act_long")
        await settle()
        assert [each["status"] for each in wire.data_of("server-message")] == ["failed"]
        await goes_on(wire)


async def test_a_function_of_the_llm_fails_alone(raised: str) -> None:
    """The turn continues."""
    async with connected(talking) as wire:
        faults.place = "action"
        wire.send("send-text", {"content": "call", "options": {"audio_response": False}})
        await settle()
        assert faults.met
        assert wire.data_of("error") == []
        await goes_on(wire)


async def test_options_are_taken_back_alone(raised: str) -> None:
    """This is true for changes at once, and at the end of a turn."""
    async with connected(listening, audio=RATE) as wire:
        faults.place = "large options"
        assert (await wire.error(wire.update(llm={"model": "large"})))["code"] == "apply-failed"
        wire.send("send-text", {"content": "hello", "options": {}})
        await settle()
        assert (await wire.answer(wire.update(llm={"model": "large"})))["data"]["applies"] == "next-turn"
        await wait(wire, 1)
        assert [each["code"] for each in wire.data_of("error")] == ["apply-failed"]
        assert (await wire.config())["llm"]["model"] == "small"
        await goes_on(wire)


async def test_a_service_that_cannot_be_set_back_ends_its_session_alone(raised: str) -> None:
    """Another session of the host continues."""
    async with connected(talking) as wire:
        async with connection_to(wire.host, wire.clock) as other:
            other.send("client-ready", {"version": "2.1.0"})
            faults.place = "options"
            assert (await other.error(other.update(llm={"model": "large"})))["code"] == "apply-failed"
            await settle()
            assert [each["code"] for each in other.data_of("error")] == ["start-failed"]
        await goes_on(wire)


async def test_a_validator_refuses_the_value_alone(raised: str) -> None:
    """The request is answered."""
    async with connected(talking) as wire:
        faults.place = "validator"
        assert (await wire.error(wire.update(llm={"model": "large"})))["code"] == "invalid-config"
        await goes_on(wire)


@pytest.mark.parametrize("reason", ["half \ud800 of a character", Unsayable()], ids=["surrogate", "no text"])
async def test_a_validator_whose_reason_cannot_be_sent_refuses_the_value_alone(reason: object) -> None:
    """In a request and in a start."""
    faults.make = lambda: ValueError(reason)
    async with connected(talking) as wire:
        faults.place = "validator"
        assert (await wire.error(wire.update(llm={"model": "large"})))["code"] == "invalid-config"
        with pytest.raises(InvalidConfig) as refused:
            await wire.host.start({"config": {"llm": {"model": "large"}}}, secret=OPERATOR)
        json.dumps(refused.value.to_json(), ensure_ascii=False).encode()
        await goes_on(wire)


@pytest.mark.parametrize("place", ["opening", "options"])
async def test_a_start_fails_alone(raised: str, place: str) -> None:
    """Another session of the host continues."""
    async with connected(talking) as wire:
        faults.place = place
        with pytest.raises(StartFailed):
            await wire.host.start({}, secret=OPERATOR)
        await goes_on(wire)


async def test_a_service_that_fails_while_it_closes_fails_alone(raised: str) -> None:
    """The session ends nevertheless, and another one continues."""
    async with connected(talking) as wire:
        async with connection_to(wire.host, wire.clock) as other:
            faults.place = "closing"
            other.connection.close()
            await settle()
        assert faults.met
        assert wire.host.open_sessions == 1
        await goes_on(wire)


@pytest.mark.slow
@pytest.mark.parametrize("hook", [each for each in HOOKS if each not in NOT_CALLED])
async def test_a_hook_fails_alone(raised: str, hook: str) -> None:
    """The event that the hook observes happens nevertheless."""
    async with connected(talking, module) as wire:
        faults.place = hook
        async with connection_to(wire.host, wire.clock) as other:
            other.send("client-ready", {"version": "2.1.0"})
            other.send("send-text", {"content": "hello", "options": {"audio_response": False}})
            await settle()
            assert (await other.answer(other.update(llm={"model": "large"})))["type"] == "config"
            assert await other.result(other.call("bot:act")) == "done"
            other.connection.close()
            await settle()
        await goes_on(wire)


@pytest.mark.parametrize("place", ["bot", "turn"])
async def test_a_bot_ends_its_own_session_alone(raised: str, place: str) -> None:
    """The client is told, and another session continues."""
    clock = ManualClock()
    async with host_of(listening, clock=clock) as host, connection_to(host, clock) as other:
        other.connection.open_audio(RATE)
        other.send("client-ready", {"version": "2.1.0"})
        await settle()
        async with connection_to(host, clock) as one:
            faults.place = place
            one.connection.open_audio(RATE)
            one.send("client-ready", {"version": "2.1.0"})
            one.send("send-text", {"content": "hello", "options": {}})
            await settle()
            assert [(each["code"], each["fatal"]) for each in one.data_of("error")] == [("bot-failed", True)]
        await goes_on(other)


async def test_a_cancellation_that_nobody_asked_for_is_a_failure_of_the_bot(anyio_backend_name: str) -> None:
    """The client is told, as about any other failure."""
    if anyio_backend_name != "asyncio":
        return  # trio does not let anybody raise one
    faults.make = anyio.get_cancelled_exc_class()
    async with connected(listening, ready=False) as wire:
        faults.place = "bot"
        wire.send("client-ready", {"version": "2.1.0"})
        await settle()
        assert [each["code"] for each in wire.data_of("error")] == ["bot-failed"]


@pytest.mark.slow
@pytest.mark.parametrize("place", ["listener", "microphone", "on_heard"])
async def test_a_callback_fails_alone(raised: str, place: str) -> None:
    """The code that called it continues."""
    async with connected(listening, audio=RATE) as wire:
        faults.place = place
        wire.connection.microphone(True)
        wire.send("send-text", {"content": "hello", "options": {}})
        await speak(wire, 1, 0.1)
        await wait(wire, 1)
        assert faults.met
        assert not wire.connection.closed
        await goes_on(wire)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["llm", "llm, later", "llm, closing", "tts", "stt", "vad", "end of turn"])
async def test_what_a_provider_streams_fails_the_turn_alone(raised: str, place: str) -> None:
    """The session continues."""
    async with connected(talking, audio=RATE) as wire:
        faults.place = place
        for _ in range(2):
            await speak(wire, 1, 0.5)
            await speak(wire, 0, 1.5)
        assert faults.met
        assert [each for each in wire.data_of("error") if each["fatal"]] == []
        await goes_on(wire)
        if place != "vad":
            wire.received.clear()
            await speak(wire, 1, 0.5)
            await speak(wire, 0, 4)
            assert "You said hello." in str(wire.data_of("bot-output"))


async def test_a_call_that_is_due_fails_alone(raised: str) -> None:
    """The other calls of the same moment are made."""
    clock, made = ManualClock(), list[str]()
    faults.place = "timer"
    clock.call_at(clock.now() + 1, lambda: faults.at("timer"))
    clock.call_at(clock.now() + 1, lambda: made.append("next"))
    clock.advance(1)
    assert made == ["next"]


async def test_a_task_of_a_transport_fails_alone(raised: str) -> None:
    """The host continues."""

    async def transport() -> None:
        await anyio.lowlevel.checkpoint()
        faults.at("transport")

    async with connected(talking) as wire:
        faults.place = "transport"
        wire.host.start_soon(transport)
        await settle()
        await goes_on(wire)


# ---- a Ctrl-C of the operator ----------------------------------------------------------------------------------------


def caught(run: Callable[[], object]) -> BaseException:
    """The exception that a call raises."""
    try:
        run()
    except BaseException as error:
        return error
    raise AssertionError("it raises nothing")


def wait_for_ctrl_c() -> None:
    """What a plugin may be doing when the operator presses Ctrl-C."""
    signal.raise_signal(signal.SIGINT)
    for _ in range(1000):
        pass


def interrupt(number: int, frame: object) -> None:
    """A handler of SIGINT, as event loops have it."""
    raise KeyboardInterrupt


class Loop:
    """An event loop whose handler is a method."""

    def interrupt(self, number: int, frame: object, task: str = "") -> None:
        raise KeyboardInterrupt


HANDLERS: dict[str, Any] = {
    "Python's": signal.default_int_handler,
    "a function": interrupt,
    "a method": Loop().interrupt,
    "a partial": functools.partial(Loop().interrupt, task="main"),
}


@pytest.fixture(params=HANDLERS)
def handler(request: pytest.FixtureRequest) -> Iterator[None]:
    """A function that turns SIGINT into an exception."""
    before = signal.signal(signal.SIGINT, HANDLERS[request.param])
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("handler")
def test_a_ctrl_c_is_told_from_an_interrupt_that_a_plugin_raises() -> None:
    """Any handler may turn the signal into an exception, alone or in a group."""
    faults.place, faults.make = "plugin", KeyboardInterrupt
    pressed, raised = caught(wait_for_ctrl_c), caught(lambda: faults.at("plugin"))
    assert (is_ctrl_c(pressed), is_ctrl_c(raised)) == (True, False)
    assert is_ctrl_c(BaseExceptionGroup("both", [raised, pressed]))
    assert not is_ctrl_c(BaseExceptionGroup("one", [raised]))
    assert caught(lambda: reraise_control_flow(pressed)) is pressed
    reraise_control_flow(raised)


def test_a_generator_that_is_closed_is_not_contained() -> None:
    """It must end at that place."""
    found: list[bool] = []

    def generator() -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            found.append(caught(functools.partial(reraise_control_flow, error)) is error)
            raise

    running = generator()
    next(running)
    cast(Any, running).close()
    assert found == [True]
