"""The client with a scripted peer: every request returns or raises, whatever the peer does."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from anyio.abc import ObjectStream
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from anyio.streams.stapled import StapledObjectStream

from rtvi_plugins.client import Client, EventMessage, InvalidAnswer, NoAnswer, open_client
from rtvi_plugins.errors import CATALOGUE, InvalidArguments, Problem, RequestError, SessionClosed

pytestmark = pytest.mark.anyio


class Peer:
    """The other end of the connection. `heard` is the next message of the client, `say` sends one back."""

    def __init__(self, sink: MemoryObjectSendStream[str], source: MemoryObjectReceiveStream[str]) -> None:
        self._sink = sink
        self._source = source

    async def heard(self, type: str | None = None) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(await self._source.receive())
        assert type in (None, message["type"])
        return message

    async def say(self, type: str, data: Any = None, id: str | None = None, *, label: str = "rtvi-ai") -> None:
        await self.say_text(json.dumps({"label": label, "type": type, "id": id, "data": data}))

    async def say_text(self, text: str) -> None:
        await self._sink.send(text)

    async def greet(self, library: str = "test") -> None:
        ready = await self.heard("client-ready")
        await self.say("bot-ready", {"version": "2.1.0", "about": {"library": library}}, ready["id"])

    def leave(self) -> None:
        self._sink.close()


@asynccontextmanager
async def meeting(
    *, timeout: float = 10.0, version: str = "2.1.0", library: str = "test"
) -> AsyncGenerator[tuple[Client, Peer]]:
    """A client and its peer, introduced to each other."""
    sink, heard = anyio.create_memory_object_stream[str](1000)
    said, source = anyio.create_memory_object_stream[str](1000)
    with sink, heard, said, source:
        peer = Peer(sink, source)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(peer.greet, library)
            async with open_client(StapledObjectStream(said, heard), timeout=timeout, version=version) as client:
                yield client, peer


async def outcome(asked: Awaitable[Any], into: list[Any]) -> None:
    """The result of a request, or the exception that it raises."""
    try:
        into.append(await asked)
    except RequestError as error:
        into.append(error)


def call_anything(client: Client) -> Awaitable[Any]:
    """Send a request whose answer has a result."""
    return client.action("bot:anything")


# ---- answers -------------------------------------------------------------------------------------------------------


async def test_the_client_introduces_itself_and_knows_the_bot() -> None:
    """`client-ready` has the version and the name of the client. What the bot says about itself is kept."""
    async with meeting() as (client, _):
        assert client.bot.version == "2.1.0"
        assert client.bot.data["about"] == {"library": "test"}


async def test_an_answer_resolves_the_request_of_its_id() -> None:
    """Two requests that are answered in reverse order get their own answers."""
    results: list[Any] = []
    async with meeting() as (client, peer), anyio.create_task_group() as tasks:
        tasks.start_soon(outcome, client.action("bot:first"), results)
        first = await peer.heard("action")
        tasks.start_soon(outcome, client.action("bot:second"), results)
        second = await peer.heard("action")
        await peer.say("action-response", {"result": 2}, second["id"])
        await anyio.wait_all_tasks_blocked()
        await peer.say("action-response", {"result": 1}, first["id"])
        await anyio.wait_all_tasks_blocked()
    assert results == [2, 1]


async def test_arguments_are_sent_by_name() -> None:
    """An action is sent as the published clients send it. Arguments may be a mapping or keywords."""
    async with meeting() as (client, peer), anyio.create_task_group() as tasks:
        tasks.start_soon(outcome, client.action("tts:say", {"text": "hi"}, interrupt=True), list[Any]())
        message = await peer.heard("action")
        arguments = [{"name": "text", "value": "hi"}, {"name": "interrupt", "value": True}]
        assert message["data"] == {"service": "tts", "action": "say", "arguments": arguments}
        await peer.say("action-response", {"result": None}, message["id"])


async def test_an_argument_may_be_named_like_the_time_to_wait() -> None:
    """Then it is sent in the mapping."""
    async with meeting() as (client, peer), anyio.create_task_group() as tasks:
        tasks.start_soon(outcome, client.action("bot:wait", {"timeout": 3.0}), list[Any]())
        message = await peer.heard("action")
        assert message["data"]["arguments"] == [{"name": "timeout", "value": 3.0}]
        await peer.say("action-response", {"result": None}, message["id"])


@pytest.mark.parametrize("name", ["bot.roll", "roll", "bot:", ":roll", ""])
async def test_an_action_is_named_with_its_service(name: str) -> None:
    """Nothing is sent. The error says how to write it."""
    async with meeting() as (client, _):
        with pytest.raises(ValueError, match=r"Write the service and the action, as in action\('tts:say'\), not"):
            await client.action(name)


async def test_arguments_and_options_are_mappings() -> None:
    """Nothing is sent. The error says how to write them."""
    wrong: Any = 3
    async with meeting() as (client, _):
        with pytest.raises(TypeError, match=r"as in action\('bot:roll', nights=2\), not 3"):
            await client.action("bot:roll", wrong)
        for values in (wrong, {"llm": wrong}):
            with pytest.raises(TypeError, match=r"Write the options by service, as in update_config"):
                await client.update_config(values)


@pytest.mark.parametrize("code", CATALOGUE)
async def test_a_refusal_is_raised_as_the_error_of_its_code(code: str) -> None:
    """Every code is raised as its class, with the sentence, the details and `retryable`."""
    results: list[Any] = []
    problem = Problem("$.data", "is wrong", "right")
    body = {"error": "No.", "code": code, "retryable": True, "details": [problem.to_json()]}
    async with meeting() as (client, peer), anyio.create_task_group() as tasks:
        tasks.start_soon(outcome, client.get_config(), results)
        await peer.say("error-response", body, (await peer.heard())["id"])
    error = results[0]
    assert type(error) is CATALOGUE[code]
    assert (error.message, error.retryable, error.problems) == ("No.", True, (problem,))


@pytest.mark.parametrize("data", [None, "no", 5, [], {}, {"error": 5, "code": 6, "details": 7}, {"code": "new-code"}])
async def test_a_refusal_that_says_little_is_raised_all_the_same(data: Any) -> None:
    """Whatever an error-response contains, it is raised as a `RequestError`."""
    results: list[Any] = []
    async with meeting() as (client, peer), anyio.create_task_group() as tasks:
        tasks.start_soon(outcome, client.get_config(), results)
        await peer.say("error-response", data, (await peer.heard())["id"])
    assert type(results[0]) is RequestError


@pytest.mark.parametrize(
    "data", [None, "yes", 5, [], {}, {"config": 5}, {"config": [5]}, {"config": [{"service": "x"}]}]
)
@pytest.mark.parametrize("ask", [Client.get_config, call_anything])
async def test_an_answer_that_is_none_is_an_error(ask: Callable[[Client], Awaitable[Any]], data: Any) -> None:
    """An answer without its content raises `InvalidAnswer`, not a `KeyError`."""
    results: list[Any] = []
    async with meeting() as (client, peer), anyio.create_task_group() as tasks:
        tasks.start_soon(outcome, ask(client), results)
        await peer.say("action-response", data, (await peer.heard())["id"])
    assert type(results[0]) is InvalidAnswer


async def test_what_json_cannot_carry_is_not_sent() -> None:
    """The error is raised at once, and the next request works."""
    results: list[Any] = []
    async with meeting() as (client, peer), anyio.create_task_group() as tasks:
        with pytest.raises(TypeError):
            await client.action("bot:take", thing=object())
        tasks.start_soon(outcome, client.action("bot:take", thing=1), results)
        await peer.say("action-response", {"result": "taken"}, (await peer.heard())["id"])
    assert results == ["taken"]


async def test_fifty_requests_at_once_each_get_their_own_answer() -> None:
    """They are answered in reverse order, and each one gets its own answer."""
    results: dict[int, Any] = {}
    async with meeting() as (client, peer), anyio.create_task_group() as tasks:

        async def ask(number: int) -> None:
            results[number] = await client.action("bot:echo", number=number)

        for number in range(50):
            tasks.start_soon(ask, number)
        for message in reversed([await peer.heard("action") for _ in range(50)]):
            await peer.say("action-response", {"result": message["data"]["arguments"][0]["value"]}, message["id"])
    assert results == {number: number for number in range(50)}


# ---- early, late and missing answers -------------------------------------------------------------------------------


class Hasty(ObjectStream[str]):
    """Answers each message while it is being sent. `send` returns only after the answer was received."""

    def __init__(self) -> None:
        self._sink, self._source = anyio.create_memory_object_stream[str]()

    async def send(self, item: str) -> None:
        message = json.loads(item)
        await self._sink.send(json.dumps({**message, "type": "answer", "data": {"result": "early", "version": "1"}}))
        await anyio.wait_all_tasks_blocked()

    async def receive(self) -> str:
        return await self._source.receive()

    async def send_eof(self) -> None:
        self._sink.close()

    async def aclose(self) -> None:
        self._sink.close()
        self._source.close()


async def test_an_answer_may_come_before_the_request_has_been_sent() -> None:
    """A transport that returns late from `send` loses no answer."""
    async with open_client(Hasty()) as client:
        assert await client.action("bot:hurry") == "early"


async def test_a_missing_answer_is_an_error_in_the_callers_time() -> None:
    """`NoAnswer` names the request, and is retryable."""
    async with meeting() as (client, _):
        with pytest.raises(NoAnswer, match=r"'action' within 0\.01 s") as raised:
            await client.action("bot:wait", timeout=0.01)
    assert raised.value.retryable


async def test_a_late_or_second_answer_is_dropped() -> None:
    """It is not an event, and not the answer to another request."""
    results: list[Any] = []
    async with meeting() as (client, peer), anyio.create_task_group() as tasks:
        with pytest.raises(NoAnswer):
            await client.action("bot:wait", timeout=0.01)
        late = await peer.heard()
        await peer.say("action-response", {"result": "late"}, late["id"])
        tasks.start_soon(outcome, client.action("bot:next"), results)
        asked = await peer.heard()
        await peer.say("action-response", {"result": "right"}, asked["id"])
        await peer.say("action-response", {"result": "again"}, asked["id"])
        await peer.say("bot-llm-started")
        assert (await anext(client.events())).type == "bot-llm-started"
    assert results == ["right"]


async def test_a_bot_that_never_gets_ready_is_an_error() -> None:
    """`open_client` itself raises `NoAnswer`."""
    sink, heard = anyio.create_memory_object_stream[str]()
    said, source = anyio.create_memory_object_stream[str](1)
    with sink, source, pytest.raises(NoAnswer, match="client-ready"):
        async with open_client(StapledObjectStream(said, heard), timeout=0.01):
            pytest.fail("nobody said bot-ready")


# ---- the end -------------------------------------------------------------------------------------------------------


async def test_the_end_of_the_connection_answers_who_waits() -> None:
    """When the connection ends, pending and later requests raise `SessionClosed`."""
    results: list[Any] = []
    async with meeting() as (client, peer), anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(outcome, client.get_config(), results)
        await anyio.wait_all_tasks_blocked()
        peer.leave()
        await anyio.wait_all_tasks_blocked()
        assert [type(each) for each in results] == [SessionClosed] * 3
        with pytest.raises(SessionClosed):
            await client.get_config()
        with pytest.raises(SessionClosed):
            await client.send_text("hello?")


async def test_leaving_answers_who_waits_elsewhere() -> None:
    """A task that outlives the client does not hang in a request or in its events."""
    results: list[Any] = []

    async def read(client: Client) -> None:
        results.extend([event async for event in client.events()])

    async with anyio.create_task_group() as tasks, meeting() as (client, peer):
        tasks.start_soon(outcome, client.get_config(), results)
        tasks.start_soon(read, client)
        await peer.heard("get-config")
    assert [type(each) for each in results] == [SessionClosed]


async def test_leaving_at_once_answers_who_waits() -> None:
    """A request that is made when the client is being left gets an answer too."""
    results: list[Any] = []
    async with anyio.create_task_group() as tasks, meeting() as (client, _):
        tasks.start_soon(outcome, client.get_config(), results)
    assert [type(each) for each in results] == [SessionClosed]


async def test_what_is_raised_inside_comes_out_as_it_is() -> None:
    """An exception of the caller is not put into a group, so `except InvalidArguments` works."""
    sink, heard = anyio.create_memory_object_stream[str](1)

    class Ready(StapledObjectStream[str]):
        """A bot that is ready at once."""

        async def send(self, item: str) -> None:
            answer = {**json.loads(item), "type": "bot-ready", "data": {"version": "2.1.0"}}
            sink.send_nowait(json.dumps(answer))

    with sink, pytest.raises(InvalidArguments):
        async with open_client(Ready(sink, heard)):
            raise InvalidArguments([Problem("$", "is wrong")])


# ---- garbage -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["", "no json", "[]", "5", "null", '"text"', "{", "[" * 1000, '{"type": "x"}', '{"label": "other"}']
)
async def test_what_is_no_message_harms_nobody(text: str) -> None:
    """It is dropped, and the next answer arrives."""
    results: list[Any] = []
    async with meeting() as (client, peer), anyio.create_task_group() as tasks:
        await peer.say_text(text)
        tasks.start_soon(outcome, client.action("bot:go"), results)
        await peer.say("action-response", {"result": "on"}, (await peer.heard())["id"])
    assert results == ["on"]


async def test_garbage_does_not_keep_a_caller_waiting() -> None:
    """If only invalid messages come, the request ends at its timeout."""
    async with meeting() as (client, peer):
        await peer.say_text("nonsense")
        with pytest.raises(NoAnswer):
            await client.action("bot:go", timeout=0.01)


# ---- events --------------------------------------------------------------------------------------------------------


async def test_a_client_waits_for_an_event() -> None:
    """Events before it are skipped, and later ones are kept."""
    async with meeting() as (client, peer):
        for type in ("bot-llm-started", "bot-turn-ended", "server-message"):
            await peer.say(type, {"of": type})
        assert await client.wait_for("bot-turn-ended") == EventMessage("bot-turn-ended", {"of": "bot-turn-ended"})
        assert (await client.wait_for("server-message")).type == "server-message"


async def test_no_client_waits_for_ever_for_an_event() -> None:
    """The wait ends at its timeout, or with the connection. The error lists the events that came."""
    async with meeting() as (client, peer):
        with pytest.raises(NoAnswer, match=r"No event 'metrics' came within 0.01 s. No other came."):
            await client.wait_for("metrics", timeout=0.01)
        await peer.say("server-message")
        await peer.say("bot-llm-started")
        await peer.say("server-message")
        peer.leave()
        with pytest.raises(SessionClosed, match=r"These came: server-message, bot-llm-started\."):
            await client.wait_for("metrics")


async def test_events_come_in_order_and_end_with_the_connection() -> None:
    """Events from before the end are read. Then the iterator ends."""
    async with meeting() as (client, peer):
        await peer.say("bot-llm-text", {"text": "one"})
        await peer.say("server-message", [1], "an-id-of-the-bot")
        peer.leave()
        events = [event async for event in client.events()]
        assert events == [EventMessage("bot-llm-text", {"text": "one"}), EventMessage("server-message", [1])]


async def test_each_event_is_given_once_and_every_reader_ends() -> None:
    """Two readers share the events, and both end with the connection."""
    heard: list[EventMessage] = []
    async with meeting() as (client, peer):

        async def read() -> None:
            heard.extend([event async for event in client.events()])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            tasks.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            await peer.say("one")
            await peer.say("two")
            await anyio.wait_all_tasks_blocked()
            peer.leave()
    assert sorted(event.type for event in heard) == ["one", "two"]


async def test_a_refused_text_is_an_event() -> None:
    """`send_text` waits for no answer, so its refusal is an event."""
    async with meeting() as (client, peer):
        await client.send_text("hi", run_immediately=False)
        message = await peer.heard("send-text")
        assert message["data"]["content"] == "hi"
        await peer.say("error-response", {"error": "No."}, message["id"])
        peer.leave()
        assert [event.type async for event in client.events()] == ["error-response"]


# ---- functions -----------------------------------------------------------------------------------------------------

CALL = {"tool_call_id": "call-1", "function_name": "look_up", "arguments": {"what": "rooms"}}
OLD_CALL = {"tool_call_id": "call-1", "function_name": "look_up", "args": {"what": "rooms"}}


@pytest.mark.parametrize(
    ("type", "call"), [("llm-function-call-in-progress", CALL), ("llm-function-call", OLD_CALL)], ids=["new", "old"]
)
async def test_a_function_is_run_and_its_result_told(type: str, call: dict[str, Any]) -> None:
    """The result has the id of the call, and the names of the client's generation."""

    async def look_up(arguments: Mapping[str, Any]) -> Any:
        return [arguments["what"]]

    async with meeting() as (client, peer):
        client.register_function("look_up", look_up)
        await peer.say(type, call)
        message = await peer.heard("llm-function-call-result")
    payload = {
        "tool_call_id": "call-1",
        "function_name": "look_up",
        "arguments": {"what": "rooms"},
        "result": ["rooms"],
    }
    assert message["data"] == payload


async def test_a_call_is_run_once() -> None:
    """A call that comes again runs nothing. After the bot has ended it, its id may be used again."""
    runs: list[Any] = []

    async def look_up(arguments: Mapping[str, Any]) -> Any:
        runs.append(arguments)

    async with meeting() as (client, peer):
        client.register_function("look_up", look_up)
        await peer.say("llm-function-call-in-progress", CALL)
        await peer.say("llm-function-call-in-progress", CALL)
        await peer.heard("llm-function-call-result")
        await peer.say("llm-function-call-in-progress", CALL)
        await anyio.wait_all_tasks_blocked()
        assert len(runs) == 1
        await peer.say("llm-function-call-stopped", {"tool_call_id": "call-1", "cancelled": False})
        await peer.say("llm-function-call-in-progress", CALL)
        await peer.heard("llm-function-call-result")
    assert len(runs) == 2


async def test_a_call_that_the_bot_gives_up_is_cancelled() -> None:
    """The function stops, and no result is sent."""
    stopped = anyio.Event()

    async def wait(arguments: Mapping[str, Any]) -> Any:
        try:
            await anyio.sleep_forever()
        finally:
            stopped.set()

    async with meeting() as (client, peer):
        client.register_function("look_up", wait)
        await peer.say("llm-function-call-in-progress", CALL)
        await anyio.wait_all_tasks_blocked()
        await peer.say("llm-function-call-stopped", {"tool_call_id": "call-1", "cancelled": True})
        await stopped.wait()
        await client.send_text("next")
        assert (await peer.heard())["type"] == "send-text"


@pytest.mark.parametrize("result", [KeyError("a secret"), object()], ids=["raises", "not JSON"])
async def test_a_function_that_fails_is_told_without_its_text(result: Any) -> None:
    """The LLM reads only that it failed, and the name of the exception. The client continues."""

    async def look_up(arguments: Mapping[str, Any]) -> Any:
        if isinstance(result, Exception):
            raise result
        return result

    async with meeting() as (client, peer):
        client.register_function("look_up", look_up)
        await peer.say("llm-function-call-in-progress", CALL)
        error = (await peer.heard("llm-function-call-result"))["data"]["result"]["error"]
    assert error.startswith("the function failed: ")
    assert "secret" not in error


async def test_a_function_that_nobody_runs_is_an_event_alone() -> None:
    """It is answered only if a function is registered for all others."""
    others: list[str] = []

    async def other(name: str, arguments: Mapping[str, Any]) -> Any:
        others.append(name)
        return {"error": "unknown"}

    async with meeting() as (client, peer):
        await peer.say("llm-function-call-in-progress", CALL)
        assert (await anext(client.events())).type == "llm-function-call-in-progress"
        client.register_other_functions(other)
        await peer.say("llm-function-call-in-progress", {**CALL, "tool_call_id": "call-2"})
        message = await peer.heard()
    assert message["data"]["tool_call_id"] == "call-2"
    assert others == ["look_up"]


@pytest.mark.parametrize("data", [None, [], {}, {"tool_call_id": 5}, {"function_name": "look_up"}])
async def test_a_call_without_an_id_is_an_event_alone(data: Any) -> None:
    """A call that cannot be answered is not run."""
    runs: list[Any] = []

    async def look_up(arguments: Mapping[str, Any]) -> Any:
        runs.append(arguments)

    async with meeting() as (client, peer):
        client.register_function("look_up", look_up)
        await peer.say("llm-function-call-in-progress", data)
        peer.leave()
        assert [event.data async for event in client.events()] == [data]
    assert runs == []


async def test_a_function_may_still_run_when_the_bot_goes() -> None:
    """Its result can no longer be sent, and no error is raised."""
    go = anyio.Event()

    async def look_up(arguments: Mapping[str, Any]) -> Any:
        await go.wait()

    async with meeting() as (client, peer):
        client.register_function("look_up", look_up)
        await peer.say("llm-function-call-in-progress", CALL)
        await anyio.wait_all_tasks_blocked()
        peer.leave()
        await anyio.wait_all_tasks_blocked()
        go.set()
        await anyio.wait_all_tasks_blocked()
        assert client.closed
