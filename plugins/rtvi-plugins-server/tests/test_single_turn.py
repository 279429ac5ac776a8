"""Actions of a client without a connection: one request, one session, and the two forms of published clients."""

from __future__ import annotations

import json
import sys
from base64 import b64decode
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated, Any, TypeAlias

import anyio
import httpx2
import pytest
from anyio.lowlevel import checkpoint
from attrs import define
from attrs.validators import ge

from rtvi_plugins import LLM, RequestError, Session, action, bot, converse, options, service
from rtvi_plugins.hosting import Host, Limits, ManualClock
from rtvi_plugins.kinds import LLMPiece, LLMRequest, Text
from rtvi_plugins.resuming import MemoryStore
from rtvi_plugins.session import Secret
from rtvi_plugins_server import create_app

pytestmark = pytest.mark.anyio

Serving: TypeAlias = Callable[..., AbstractAsyncContextManager[httpx2.AsyncClient]]
SECRET = {"x-rtvi-operator-secret": "secret-of-a-test"}
EVENTS = {"accept": "text/event-stream"}
#: The services that are open now.
opened: list[object] = []


# ---- the bot -------------------------------------------------------------------------------------------------------


@define
class Parrot:
    """Says its name, and then what the user said last."""

    name: str = "Polly"

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        """Stream the words."""
        for word in (self.name, ": ", str(request.messages[-1].get("content"))):
            await checkpoint()
            yield Text(word)


@service("llm", "parrot")
@asynccontextmanager
async def parrot_llm() -> AsyncGenerator[Parrot]:
    """A parrot."""
    live = Parrot()
    opened.append(live)
    yield live
    opened.remove(live)


@options(parrot_llm)
def configure(llm: Parrot, /, name: str = "Polly") -> None:
    """Set its name."""
    llm.name = name


GRANTED = ["double", "fail", "refuse", "hold", "count", "ask", "hang_up"]


@bot(
    services={"llm": "parrot"},
    client=["llm.name", "llm:append_to_messages", "llm:get_context", *(f"bot:{name}" for name in GRANTED)],
    public=True,
)
async def shop(session: Session, /, llm: LLM) -> None:
    """Greets and answers."""
    await converse(session, llm=llm, greeting="Welcome!")


@bot(services={"llm": "parrot"}, client=["llm:get_context"])
async def office(session: Session, /, llm: LLM) -> None:
    """Strangers may not use it."""
    await converse(session, llm=llm)


@action(shop)
async def double(number: Annotated[int, ge(0)]) -> int:
    """Return twice the number."""
    return 2 * number


@action(shop)
async def fail() -> None:
    """Fails."""
    raise ValueError("the password is hunter2")


@action(shop)
async def refuse() -> None:
    """Refuses."""
    raise RequestError("The shop is closed.")


@action(shop)
async def hold() -> None:
    """Does not end."""
    await anyio.sleep_forever()


@action(shop, long=True)
async def count(session: Session, /, to: int) -> str:
    """Counts."""
    for number in range(to):
        session.progress(number)
        await checkpoint()
    return "é🎈"


@action(shop)
async def ask(session: Session, /) -> str:
    """Ask the client, which cannot be reached."""
    session.context.functions = ({"name": "look", "description": "Looks.", "parameters": {}},)
    assert not session.functions
    return str(await session.call_function("look", {}))


@action(shop)
async def hang_up(session: Session, /) -> None:
    """End the session."""
    session.close()


@action(shop)
async def hidden() -> None:
    """Clients are not granted this action."""


# ---- the client ----------------------------------------------------------------------------------------------------


def host_of(which: Any = shop, **more: Any) -> Host:
    """Return a host of one of the bots above."""
    secret = Secret("secret-of-a-test")
    return Host(which, modules=[sys.modules[__name__]], operator_secret=secret, environ={}, **more)


def call(name: str, id: str = "1", /, **arguments: Any) -> dict[str, Any]:
    """Return the message of an action as published clients make it."""
    service, _, action = name.rpartition(":")
    listed = [{"name": key, "value": value} for key, value in arguments.items()]
    data = {"service": service or "bot", "action": action, "arguments": listed}
    return {"label": "rtvi-ai", "type": "action", "data": data, "id": id}


def nested(levels: int) -> list[Any]:
    """Return an array that nests this deep."""
    return [nested(levels - 1)] if levels > 1 else []


async def run(client: httpx2.AsyncClient, *actions: Any, headers: Mapping[str, str] = {}, **more: Any) -> Any:
    """Post actions, and return the answer."""
    return await client.post("/action", json={**more, "actions": list(actions)}, headers=headers)


def parsed(response: httpx2.Response) -> Sequence[dict[str, Any]]:
    """Return the messages of an answer, read exactly as published clients read them."""
    assert response.status_code == 200, response.text
    if "text/event-stream" not in response.headers["content-type"]:
        return [response.json()]
    *events, rest = response.text.split("\n\n")
    assert rest == ""  # the client forgets an event that has no empty line after it
    decoded = ["".join(line.partition(":")[2].strip() for line in event.split("\n")) for event in events]
    # `atob` makes a character of each byte.
    return [json.loads(b64decode(each).decode("latin-1")) for each in decoded]


def result(response: httpx2.Response, id: str = "1") -> Any:
    """Return the result with an id."""
    (answer,) = (each for each in parsed(response) if each.get("id") == id)
    assert (answer["label"], answer["type"]) == ("rtvi-ai", "action-response"), answer
    return answer["data"]["result"]


def refusal(response: httpx2.Response, id: str = "1") -> dict[str, Any]:
    """Return the data of the error with an id."""
    (answer,) = (each for each in parsed(response) if each.get("id") == id)
    assert (answer["label"], answer["type"]) == ("rtvi-ai", "error-response"), answer
    data: dict[str, Any] = answer["data"]
    return data


async def assert_over(host: Host) -> None:
    """Check that nothing of a session stays."""
    with anyio.fail_after(30):
        while host.open_sessions or opened:
            await checkpoint()


# ---- answers -------------------------------------------------------------------------------------------------------


async def test_no_session_is_resumed(serving: Serving) -> None:
    """The session would end with the response."""
    async with serving(host_of(shop, store=MemoryStore())) as client:
        response = await run(client, call("double", number=1), resume="a.b")
        assert (response.status_code, response.json()["error"]) == (400, "invalid-start")
        assert "$.resume" in response.text


async def test_an_action_that_says_nothing_is_answered_by_one_message(serving: Serving) -> None:
    """It is JSON, and has no greeting. The session has ended."""
    host = host_of()
    async with serving(host) as client:
        response = await run(client, call("double", number=21))
        assert response.headers["content-type"] == "application/json", parsed(response)
        assert response.headers["cache-control"] == "no-store"
        assert result(response) == 42
        await assert_over(host)


async def test_what_the_bot_says_because_of_an_action_is_streamed(serving: Serving) -> None:
    """The stream has the events that a connected client would get, up to the end of the turn."""
    host = host_of()
    async with serving(host) as client:
        messages = [{"role": "user", "content": "naïve 🎈"}]
        response = await run(client, call("llm:append_to_messages", messages=messages, run_immediately=True))
        assert response.headers["content-type"].startswith("text/event-stream")
        assert "content-length" not in response.headers
        assert result(response) is True
        sent = parsed(response)
        said = "".join(each["data"]["text"] for each in sent if each["type"] == "bot-llm-text")
        assert said == "Polly: naïve 🎈"
        assert sent[-1]["type"] in ("bot-llm-stopped", "bot-transcription", "metrics")
        assert {"bot-ready", "Welcome!"}.isdisjoint({each["type"] for each in sent} | {said})
        await assert_over(host)


async def test_a_long_action_is_streamed_to_its_end(serving: Serving) -> None:
    """It has the job, the progress and the result."""
    async with serving(host_of()) as client:
        response = await run(client, call("count", to=2))
        assert list(result(response)) == ["job"]
        messages = [each["data"] for each in parsed(response) if each["type"] == "server-message"]
        assert [each.get("data") for each in messages] == [0, 1, None]
        assert messages[-1]["result"] == "é🎈"


async def test_several_actions_share_a_session(serving: Serving) -> None:
    """Each is answered under its own id, including the invalid ones."""
    async with serving(host_of()) as client:
        messages = [{"role": "user", "content": "remember me"}]
        append = call("llm:append_to_messages", "a", messages=messages)
        response = await run(client, append, call("double", "b", number=-1), call("llm:get_context", "c"))
        assert result(response, "a") is True
        assert refusal(response, "b")["code"] == "invalid-arguments"
        assert "remember me" in json.dumps(result(response, "c"))
        again = await run(client, call("llm:get_context"))
        assert "remember me" not in json.dumps(result(again))


@pytest.mark.parametrize(
    ("accept", "form"), [("text/event-stream", "text/event-stream"), ("application/json", "application/json")]
)
async def test_a_client_may_ask_for_a_form(serving: Serving, accept: str, form: str) -> None:
    """It is a stream of one event, or only the answer of an action that makes the bot speak."""
    host = host_of()
    async with serving(host) as client:
        messages = [{"role": "user", "content": "hi"}]
        for each in (call("double", number=1), call("llm:append_to_messages", messages=messages, run_immediately=True)):
            response = await run(client, each, headers={"accept": accept})
            assert response.headers["content-type"].startswith(form)
            assert result(response) in (2, True)
        await assert_over(host)


async def test_what_the_application_sends_besides_starts_the_session(serving: Serving) -> None:
    """This includes services, config, and the application's own fields."""
    async with serving(host_of()) as client:
        config = [{"service": "llm", "options": [{"name": "name", "value": "Jacquot"}]}]
        messages = [{"role": "user", "content": "hi"}]
        response = await run(
            client,
            call("llm:append_to_messages", messages=messages, run_immediately=True),
            config=config,
            services={"llm": "parrot"},
            conversation_id="7",
            rtvi_client_version="0.4.1",
        )
        said = [each["data"]["text"] for each in parsed(response) if each["type"] == "bot-llm-text"]
        assert "".join(said) == "Jacquot: hi"


# ---- failures of an action -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [{}, EVENTS, {"accept": "application/json"}])
@pytest.mark.parametrize(
    ("message", "code"),
    [
        (call("fail"), "action-failed"),
        (call("refuse"), "request-failed"),
        (call("double", number="1"), "invalid-arguments"),
        (call("ask"), "function-call-failed"),
        (call("dubble"), "unknown-action"),
        (call("shop:double"), "unknown-service"),
        (call("hidden"), "not-granted"),
        (call("hang_up"), "session-closed"),
        ({**call("double"), "data": None}, "invalid-arguments"),
        ({**call("double"), "label": "other"}, "invalid-message"),
        ({**call("double"), "data": "x" * 70_000}, "message-too-large"),
        ({**call("double"), "data": nested(70)}, "message-too-deep"),
        ({**call("double"), "data": nested(300)}, "message-too-deep"),  # deeper than the codec can write
    ],
)
async def test_a_failed_action_is_answered_under_its_id(
    serving: Serving, message: Any, code: str, headers: Mapping[str, str]
) -> None:
    """As in a live session: a published client rejects its promise with code and sentence."""
    host = host_of()
    async with serving(host) as client:
        error = refusal(await run(client, message, headers=headers))
        assert error["code"] == code
        assert "hunter2" not in json.dumps(error)
        await assert_over(host)


async def test_an_action_that_does_not_end_is_answered_at_its_deadline(serving: Serving) -> None:
    """Its session ends as well."""
    clock = ManualClock()
    host = host_of(clock=clock, limits=Limits(deadline=3))
    async with serving(host) as client, anyio.create_task_group() as tasks:

        async def pass_time() -> None:
            while not host.open_sessions:
                await checkpoint()
            await anyio.wait_all_tasks_blocked()
            clock.advance(3)

        tasks.start_soon(pass_time)
        assert refusal(await run(client, call("hold")))["code"] == "action-timeout"
        await assert_over(host)


async def test_every_action_is_answered_also_after_the_end_of_the_session(serving: Serving) -> None:
    """A client that sends far too much ends its session. Actions that were not handled are answered, too."""
    host = host_of(limits=Limits(in_flight=100, burst=3, rate=1))
    async with serving(host) as client:
        ids = [f"n{number}" for number in range(100)]
        response = await run(client, *(call("double", id, number=1) for id in ids))
        assert {refusal(response, id)["code"] for id in ids[10:]} <= {"rate-limited", "session-closed"}
        assert refusal(response, ids[-1])["code"] == "session-closed"
    async with serving(host_of(limits=Limits(in_flight=100))) as client:
        too_many = await run(client, *(call("double", f"n{number}", number=1) for number in range(101)))
        assert (too_many.status_code, too_many.json()["details"][0]["path"]) == (400, "$.actions")


# ---- failures of the start -----------------------------------------------------------------------------------------


async def test_it_is_authorised_like_a_start(serving: Serving) -> None:
    """If the bot is not public, the operator's secret is required. The error is the same as that of a start."""
    host = host_of(office)
    async with serving(host) as client:
        for headers in ({}, {"x-rtvi-operator-secret": "wrong"}):
            response = await run(client, call("llm:get_context"), headers=headers)
            start = await client.post("/connect", json={}, headers=headers)
            assert (response.status_code, response.json()) == (start.status_code, start.json())
            assert response.status_code == 401
        assert "messages" in result(await run(client, call("llm:get_context"), headers=SECRET))


async def test_a_client_may_not_say_what_only_the_operator_may(serving: Serving) -> None:
    """This is the same as in a start."""
    async with serving(host_of()) as client:
        response = await run(client, call("double", number=1), api_keys={"parrot": "k"})
        assert (response.status_code, response.json()["error"]) == (403, "operator-only")


async def test_a_server_that_drains_or_is_full_runs_none(serving: Serving) -> None:
    """Single-turn actions count as sessions."""
    host = host_of(limits=Limits(sessions=1))
    async with serving(host) as client:
        await client.post("/start")
        assert (await run(client, call("double", number=1))).json()["error"] == "server-full"
        host.drain()
        assert (await run(client, call("double", number=1))).json()["error"] == "draining"


@pytest.mark.parametrize(
    ("start", "code"),
    [
        ({"services": {"llm": "other"}}, "unknown-provider"),
        ({"services": {"voice": "x"}}, "unknown-service"),
        ({"config": {"llm": {"nome": "x"}}}, "unknown-option"),
        ({"config": {"llm": {"name": 3}}}, "invalid-config"),
    ],
)
async def test_a_start_that_asks_for_what_cannot_be_fails_the_actions(
    serving: Serving, start: Mapping[str, Any], code: str
) -> None:
    """Under their ids, because published clients show nothing of an answer that is not 2xx."""
    async with serving(host_of()) as client:
        assert refusal(await run(client, call("double", number=1), **start))["code"] == code
        both = await run(client, call("double", "a"), call("double", "b"), **start)
        assert [refusal(both, id)["code"] for id in "ab"] == [code, code]
        assert refusal(await run(client, call("double"), headers=EVENTS, **start))["code"] == code


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "$.actions"),
        ({"actions": {}}, "$.actions"),
        ({"actions": []}, "$.actions"),
        ({"actions": [3]}, "$.actions[0]"),
        ({"actions": [call("double"), {**call("double", "2"), "type": "disconnect-bot"}]}, "$.actions[1]"),
        ({"actions": [{**call("double"), "id": 7}]}, "$.actions[0].id"),
        ({"actions": [{**call("double"), "id": "x" * 257}]}, "$.actions[0].id"),
        ({"actions": [call("double"), call("double")]}, "$.actions[1].id"),
    ],
)
async def test_what_cannot_be_answered_is_refused(serving: Serving, body: Any, path: str) -> None:
    """The error has the place of the mistake, and comes before a session is started."""
    host = host_of()
    async with serving(host) as client:
        response = await client.post("/action", json=body)
        assert (response.status_code, response.json()["error"]) == (400, "invalid-start")
        assert response.json()["details"][0]["path"] == path


async def test_a_page_may_send_it(serving: Serving) -> None:
    """The request has the header that published clients add, and follows a preflight."""
    async with serving(host_of(), origins="https://app.example") as client:
        asked = {"origin": "https://app.example", "access-control-request-method": "POST"}
        preflight = await client.options("/action", headers=asked)
        assert "cache-control" in preflight.headers["access-control-allow-headers"]
        response = await run(client, call("double", number=1), headers={"origin": "https://app.example"})
        assert response.headers["access-control-allow-origin"] == "https://app.example"


# ---- the client goes, or reads nothing -----------------------------------------------------------------------------


def scope_of(body: bytes) -> Any:
    """Return a request as an ASGI server passes it on."""
    headers = [(b"host", b"127.0.0.1"), (b"content-length", str(len(body)).encode())]
    return {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": "/action", "raw_path": b"/action", "query_string": b"", "root_path": "", "headers": headers,
        "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1),
    }  # fmt: skip


class Peer:
    """The client's end of a request: what it sends first, and when it leaves."""

    def __init__(self, *actions: Any) -> None:
        body = json.dumps({"actions": actions}).encode()
        self.scope = scope_of(body)
        self.gone = anyio.Event()
        self.stalled = anyio.Event()
        self._asked = [{"type": "http.request", "body": body}]

    async def receive(self) -> Any:
        if self._asked:
            return self._asked.pop()
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        """Discard the message."""
        self.stalled.set()
        await anyio.sleep_forever()


async def test_a_client_that_breaks_off_ends_its_session() -> None:
    """It leaves before anything was answered."""
    host, peer = host_of(), Peer(call("hold"))
    app = create_app(host)
    async with host, anyio.create_task_group() as tasks:
        tasks.start_soon(app, peer.scope, peer.receive, peer.send)
        while not opened:
            await checkpoint()
        await anyio.wait_all_tasks_blocked()
        peer.gone.set()
        await assert_over(host)


async def test_a_client_that_does_not_read_is_waited_for_no_longer_than_its_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The request ends although nothing of its answer could be sent."""
    monkeypatch.setattr("rtvi_plugins_server._single_turn._STALLED_SECONDS", 0)
    clock = ManualClock()
    host, peer = host_of(clock=clock), Peer(call("count", to=3))
    app = create_app(host)
    with anyio.fail_after(30):
        async with host, anyio.create_task_group() as tasks:
            tasks.start_soon(app, peer.scope, peer.receive, peer.send)
            await peer.stalled.wait()
            await anyio.wait_all_tasks_blocked()
            clock.advance(Limits().session_seconds)
    assert host.open_sessions == 0
