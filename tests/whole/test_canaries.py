"""No secret is where it does not belong: `rtvi run` with the keys of ten tenants, failures, a kill -9 and a resume.

Every secret is a canary, a random text that is searched for in all that the processes write and send.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from secrets import token_hex
from typing import Any, cast

import httpx2
import pytest
from attrs import define, field
from websockets.sync.client import ClientConnection, connect

from ..tools.patience import PATIENCE
from ..tools.processes import Process, environment, running

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals"),
]

BOT = """
import os
import sys
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx2
from attrs import define
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from opentelemetry.trace import set_tracer_provider

from rtvi_plugins import LLM, Secret, Session, action, bot, converse, service
from rtvi_plugins.kinds import LLMPiece, LLMRequest, Text

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=open(os.environ["SPANS"], "a"))))
set_tracer_provider(provider)


@define
class Naive:
    key: Secret

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        headers = {"authorization": f"Bearer {self.key.reveal()}"}
        async with httpx2.AsyncClient(headers=headers, trust_env=False) as http:
            answer = await http.post(f"{os.environ['VENDOR']}/naive", json={"messages": list(request.messages)})
        if answer.is_error:
            raise RuntimeError(f"{self.key.reveal()} is refused: {answer.text}")
        yield Text(answer.json()["text"])


@service("llm", "naive")
@asynccontextmanager
async def naive(api_key: Secret, /) -> AsyncGenerator[Naive]:
    "Quotes the key in its errors, as a careless author does."
    yield Naive(api_key)


@bot(services={"llm": ["openai", "naive"]}, client=["bot:stumble"])
async def clerk(session: Session, /, llm: LLM) -> None:
    "Takes orders."
    await converse(session, llm=llm)


def own_environment() -> dict[str, str]:
    return {name: os.environ[name] for name in os.environ["SHOWN"].split()}


def fail() -> None:
    print("printed:", *own_environment().values(), file=sys.stderr)
    raise RuntimeError(f"in a thread: {own_environment()}")


@action(clerk)
async def stumble() -> None:
    "Fail with what the test has put into the environment."
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    raise RuntimeError(f"in an action: {own_environment()}")
"""
CRASH = """
import os

raise RuntimeError("at import: " + " ".join(os.environ[each] for each in os.environ["SHOWN"].split()))
"""

#: The environment's secrets; the others are the tenants' keys.
OPENAI, NAIVE, OPERATOR = "OPENAI_API_KEY", "NAIVE_API_KEY", "RTVI_OPERATOR_SECRET"
#: What a user says to make the vendor fail.
BREAK = "break"


# ---- canaries ------------------------------------------------------------------------------------------------------


def make_canary() -> str:
    """Return a new secret."""
    return f"sk-{token_hex(20)}"


def forms_of(secret: str) -> list[bytes]:
    """Return the forms in which a secret counts as found. Half of it is enough."""
    text = secret.encode()
    return [text[:20].lower(), text[-20:].lower(), base64.b64encode(text)[:-4].lower(), text.hex().encode()]


def hits(secrets: Mapping[str, str], places: Mapping[str, str | bytes]) -> list[tuple[str, str]]:
    """Return every secret that is found, with its place."""
    texts = {name: (each.encode() if isinstance(each, str) else each).lower() for name, each in places.items()}
    return [
        (label, place)
        for label, secret in secrets.items()
        for place, text in texts.items()
        if any(form in text for form in forms_of(secret))
    ]


# ---- the vendor ----------------------------------------------------------------------------------------------------


@define
class Asked:
    """A request that arrived: its key, and everything that was in it."""

    path: str
    key: str
    content: str
    whole: str


@define
class Vendor:
    """A server that speaks OpenAI's chat API, and quotes the key when it fails."""

    url: str = ""
    asked: list[Asked] = field(factory=list[Asked])

    def answer(self, path: str, headers: str, key: str, body: str) -> tuple[int, str, str]:
        """Return status, content type and body."""
        if not body:
            return 200, "application/json", '{"object": "list", "data": [{"id": "gpt-6-luna"}]}'
        said = str(json.loads(body)["messages"][-1]["content"])
        self.asked.append(Asked(path, key, said, f"{path}\n{headers}\n{body}"))
        if BREAK in said:
            text = f"The key {key} ({base64.b64encode(key.encode()).decode()}, {key[:-12]}) of {body} is refused."
            status = 401 if len(self.asked) % 2 else 400
            return status, "application/json", json.dumps({"error": {"message": text, "code": key, "type": key}})
        if path == "/naive":
            return 200, "application/json", json.dumps({"text": f"heard: {said}"})
        delta = {"index": 0, "delta": {"role": "assistant", "content": f"heard: {said}"}, "finish_reason": "stop"}
        chunk = {"id": "1", "object": "chat.completion.chunk", "model": "gpt-6-luna", "choices": [delta]}
        return 200, "text/event-stream", f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n"


@contextmanager
def a_vendor() -> Generator[Vendor]:
    """Serve the vendor on a free port of this machine."""
    vendor = Vendor()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            size = int(self.headers.get("content-length") or 0)
            key = str(self.headers.get("authorization")).removeprefix("Bearer ")
            made = vendor.answer(self.path, str(self.headers), key, self.rfile.read(size).decode())
            status, type, text = made
            self.send_response(status)
            self.send_header("content-type", type)
            self.send_header("content-length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: Any) -> None:
            """Write nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        vendor.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield vendor
        finally:
            server.shutdown()
            thread.join()


# ---- the tenants ---------------------------------------------------------------------------------------------------


@define
class Tenant:
    """A customer of the operator, whose session has its own key. `received` is everything that its client got."""

    name: str
    provider: str
    key: str = field(factory=make_canary)
    socket: ClientConnection | None = None
    token: str = ""
    received: list[str] = field(factory=list[str])
    sent: int = 0

    @property
    def word(self) -> str:
        """Return a word that only this tenant's user says."""
        return f"marmalade-for-{self.name}"

    def start(self, sockets: ExitStack, url: str, secret: str, body: Mapping[str, Any]) -> None:
        """Start or resume the session, and wait until the bot is ready. The socket is closed with `sockets`."""
        headers = {"x-rtvi-operator-secret": secret}
        answer = httpx2.post(f"{url}/start", json=body, headers=headers, timeout=PATIENCE, trust_env=False)
        self.received.append(f"{answer.headers}\n{answer.text}")
        started = answer.json()
        address = f"{started['wsUrl']}?token={started['token']}"
        self.socket = sockets.enter_context(connect(address, open_timeout=PATIENCE, proxy=None))
        self.send("client-ready", {"version": "2.1.0"})
        self.token = self.until(lambda message: message["type"] == "bot-ready")["data"]["about"]["resume"]["token"]

    def send(self, type: str, data: Mapping[str, Any]) -> None:
        """Send a message."""
        assert self.socket is not None
        self.sent += 1  # a request that is sent again after a resume would not be run again
        self.socket.send(json.dumps({"label": "rtvi-ai", "type": type, "id": str(self.sent), "data": data}))

    def until(self, fits: Callable[[Any], bool]) -> Any:
        """Wait for a message, and return it."""
        assert self.socket is not None
        while True:
            text = cast(str, self.socket.recv(timeout=PATIENCE))
            self.received.append(text)
            if fits(message := json.loads(text)):
                return message

    def say(self, text: str) -> None:
        """Say something, and wait for the end of the answer."""
        self.send("send-text", {"content": f"{text} {self.word}"})
        self.until(lambda message: message["type"] == ("error" if BREAK in text else "bot-llm-stopped"))

    def stumble(self) -> None:
        """Call an action that fails."""
        self.send("action", {"service": "bot", "action": "stumble", "arguments": []})
        self.until(lambda message: message["type"] == "error-response")


# ---- the operator --------------------------------------------------------------------------------------------------


@define
class Operator:
    """Runs the bot, and keeps everything that can be read afterwards, by place."""

    folder: Path
    vendor: Vendor
    secrets: Mapping[str, str]
    places: dict[str, str | bytes] = field(factory=dict[str, "str | bytes"])

    @property
    def environ(self) -> Mapping[str, str]:
        """Return the environment of the processes. `NOTE` is not a secret."""
        own = {"VENDOR": self.vendor.url, "SPANS": str(self.folder / "spans"), "NOTE": "a note of the operator"}
        own["SHOWN"] = " ".join([*self.secrets, "NOTE"])
        return environment(**self.secrets, **own, XDG_CONFIG_HOME=str(self.folder))

    @contextmanager
    def run(self, form: str) -> Generator[Process]:
        """Run a process that logs in this form."""
        command = [sys.executable, "-m", "rtvi_plugins", "--traceback", "run", "bot.py", "--port", "0"]
        command += [
            "--resume",
            "sessions.db",
            "--keep-days",
            "1",
            "--drain-seconds",
            "0",
            "--log-level",
            "debug",
            "--log-format",
            form,
        ]
        command += ["--plugin", "monitor", "--plugin", "opentelemetry"]
        command += ["--service-option", f"llm.openai.base_url={self.vendor.url}/v1"]
        with running(command, r"(http://127\.0\.0\.1:\d+)", env=self.environ, cwd=self.folder) as process:
            yield process
        self.places[f"{form} log"] = process.said

    def look(self, when: str, url: str) -> None:
        """Keep what the server shows, and what it has written."""
        headers = {"x-rtvi-operator-secret": self.secrets[OPERATOR]}
        for path in ("metrics", "sessions"):
            answer = httpx2.get(f"{url}/{path}", headers=headers, timeout=PATIENCE, trust_env=False)
            assert answer.status_code == 200
            self.places[f"/{path} {when}"] = answer.text
        self.look_at_files(when)

    def look_at_files(self, when: str) -> None:
        """Keep the files of the store, and the spans."""
        files = [*self.folder.glob("sessions.db*"), self.folder / "spans"]
        self.places |= {f"{each.name} {when}": each.read_bytes() for each in files}

    def export(self) -> None:
        """Keep what is known about the sessions, as an operator exports it."""
        command = [sys.executable, "-m", "rtvi_plugins", "sessions", "export"]
        done = subprocess.run(
            command, env=self.environ, cwd=self.folder, capture_output=True, text=True, timeout=PATIENCE, check=True
        )
        self.places["export"] = done.stdout

    def crash(self) -> None:
        """Run a bot that cannot be imported."""
        (self.folder / "crash.py").write_text(CRASH)
        command = [sys.executable, "-m", "rtvi_plugins", "--traceback", "run", "crash.py"]
        done = subprocess.run(
            command, env=self.environ, cwd=self.folder, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert done.returncode != 0
        self.places["crash"] = done.stdout + done.stderr


def test_no_secret_is_where_it_does_not_belong(tmp_path: Path) -> None:
    """No secret is in the store, the logs, the metrics, the spans, messages to clients or the output of a crash."""
    (tmp_path / "bot.py").write_text(BOT)
    tenants = [Tenant(f"tenant{number}", ("openai", "naive")[number % 2]) for number in range(10)]
    with a_vendor() as vendor, ExitStack() as sockets:
        operator = Operator(tmp_path, vendor, {name: make_canary() for name in (OPENAI, NAIVE, OPERATOR)})
        with operator.run("text") as process:
            for each in tenants:
                body = {"services": {"llm": each.provider}, "api_keys": {each.provider: each.key}}
                each.start(sockets, process.matched, operator.secrets[OPERATOR], body)
                each.say("hello")
                each.say(BREAK)
                each.say("again")
                each.stumble()
            operator.look("before the kill", process.matched)
            os.kill(process.pid, signal.SIGKILL)
        operator.look_at_files("after the kill")
        first = list(vendor.asked)
        vendor.asked.clear()
        with operator.run("json") as process:
            for each in tenants:
                each.start(sockets, process.matched, operator.secrets[OPERATOR], {"resume": each.token})
                each.say("back")
                each.say(BREAK)
                each.stumble()
            operator.look("after the resume", process.matched)
        operator.look_at_files("at the end")
        operator.export()
        operator.crash()
    places = {**operator.places, **{f"messages to {each.name}": "\n".join(each.received) for each in tenants}}
    secrets = {**operator.secrets, **{each.name: each.key for each in tenants}}
    check_vendor(first, tenants, secrets, {each.name: each.key for each in tenants})
    # Keys are not stored: the process that resumes a session has its own.
    names = {"openai": OPENAI, "naive": NAIVE}
    check_vendor(vendor.asked, tenants, secrets, {each.name: secrets[names[each.provider]] for each in tenants})
    check_search(places, tenants, secrets)
    assert hits(secrets, places) == []


def check_vendor(
    asked: list[Asked], tenants: list[Tenant], secrets: Mapping[str, str], keys: Mapping[str, str]
) -> None:
    """Each request has the key of its own session, and no other secret. Every session has sent some."""
    for each in tenants:
        own = [one for one in asked if each.word in one.whole]
        assert len(own) >= 2
        assert {one.key for one in own} == {keys[each.name]}
        others = {name: secret for name, secret in secrets.items() if secret != keys[each.name]}
        assert hits(others, {str(number): one.whole for number, one in enumerate(own)}) == []
        assert not any(other.word in one.whole for one in own for other in tenants if other is not each)
    assert sum(any(each.word in one.whole for each in tenants) for one in asked) == len(asked)


def sessions_in(text: str | bytes) -> list[str]:
    """Return the ids of the live sessions."""
    return [each["id"] for each in json.loads(text)["sessions"]]


def check_search(places: Mapping[str, str | bytes], tenants: list[Tenant], secrets: Mapping[str, str]) -> None:
    """Check that the expected text is found in each place, so that a secret would be found too."""
    for label, secret in secrets.items():
        assert hits({label: secret}, {"x": f"a{secret.upper()}b"}) == [(label, "x")]
    stored = b"".join(cast(bytes, text) for name, text in places.items() if name.startswith("sessions.db"))
    for each in tenants:
        assert each.word.encode() in stored
        assert f"heard: hello {each.word}" in str(places[f"messages to {each.name}"])
    history = [json.loads(line) for line in str(places["export"]).splitlines()]
    assert len({each["session"] for each in history}) == len(tenants)
    outcomes = [each["outcome"] for each in history if each["type"] == "action"]
    assert outcomes == ["action-failed"] * 2 * len(tenants)
    assert all(f"heard: hello {each.word}" in str(places["export"]) for each in tenants)
    for name in ("text log", "json log", "crash"):
        assert "a note of the operator" in str(places[name])  # so the environment was written
    for id in sessions_in(places["/sessions after the resume"]):
        assert f'"session": "{id}"' in str(places["json log"])
    for name in ("text log", "json log"):
        for words in ("printed:", "in a thread:", "in an action:", "is refused:"):
            assert words in str(places[name])
    for when in ("before the kill", "after the resume"):
        assert "rtvi_errors_total{" in str(places[f"/metrics {when}"])
        assert len(sessions_in(places[f"/sessions {when}"])) == len(tenants)
    assert b"chat" in cast(bytes, places["spans at the end"])
