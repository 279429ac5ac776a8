"""The real nginx, with the configuration of the page, in front of a real server. Both listen on loopback only."""

from __future__ import annotations

import json
import shutil
import ssl
from base64 import b64decode
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trustme
from attrs import frozen

from processes import free_port, nginx, node_program, rtvi_run, with_values

HERE = Path(__file__).parent

BOT = '''
import anyio
from rtvi_plugins import LLM, Session, action, bot, converse

released = anyio.Event()


@bot(services={"llm": "rules"}, client=["llm.name", "bot:book_room", "bot:wait", "bot:release"], public=True)
async def receptionist(session: Session, /, llm: LLM) -> None:
    """A receptionist you can type to."""
    await converse(session, llm=llm)


@action(receptionist)
async def book_room(session: Session, /, nights: int) -> str:
    """Book a room."""
    return f"A-{nights}"


@action(receptionist)
async def wait(session: Session, /) -> str:
    """Send a message, and wait until another request comes."""
    session.send("waiting")
    await released.wait()
    return "released"


@action(receptionist)
async def release(session: Session, /) -> None:
    """Let the others continue."""
    released.set()
'''

#: What every published client of 1.x does, in the program of the page "Connect a client".
PROGRAM = """
import { talk } from "./example.mjs";
let answer = "";
const heard = new Promise((resolve) => globalThis.heard = resolve);
const { client, booking } = await talk(%r, (text) => (answer += text).includes("Ada") && globalThis.heard());
await heard;
await client.disconnect();
console.log(booking);
process.exit(0);
"""


@frozen
class Site:
    """The address of nginx, who signed its certificate, and its log."""

    url: str
    authority: Path
    log: Path

    def client(self, address: str = "127.0.0.1") -> httpx2.Client:
        """Return an HTTP client that connects from this address."""
        verify = ssl.create_default_context(cafile=str(self.authority))
        transport = httpx2.HTTPTransport(verify=verify, local_address=address)
        return httpx2.Client(base_url=self.url, transport=transport, timeout=50)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Generator[Site]:
    """Run the bot, and nginx in front of it."""
    folder = tmp_path_factory.mktemp("nginx")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "authority.pem")
    certificate = authority.issue_cert("localhost")
    certificate.cert_chain_pems[0].write_to_path(folder / "site.pem")
    certificate.private_key_pem.write_to_path(folder / "site.key")
    (folder / "bot.py").write_text(BOT)
    port = free_port()
    url = f"https://localhost:{port}"
    options = (
        "--public-url",
        url,
        "--proxy",
        "127.0.0.1",
        "--limit",
        "unclaimed_per_address=1",
        "--drain-seconds",
        "0",
    )
    with rtvi_run(folder / "bot.py", *options) as bot:
        values = {
            "127.0.0.1:7860": bot.removeprefix("http://"),
            "443 ssl": f"127.0.0.1:{port} ssl",
            "bots.hotel.example;": "localhost;",
            "/etc/ssl/certs/bots.hotel.example.pem": "site.pem",
            "/etc/ssl/private/bots.hotel.example.key": "site.key",
            "/var/log/nginx/hotel-bot.log": "site.log",
        }
        with nginx(folder, with_values((HERE / "nginx.conf").read_text(), values)):
            yield Site(url, folder / "authority.pem", folder / "site.log")


def test_a_published_client_talks_through_nginx(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It starts over HTTPS and talks over a WebSocket with TLS. The log shows both, but not the token."""
    monkeypatch.setenv("NODE_EXTRA_CA_CERTS", str(site.authority))
    clients = HERE.parent / "clients"
    shutil.copy(clients / "transport.mjs", tmp_path)
    shutil.copy(clients / "pipecat_client.mjs", tmp_path / "example.mjs")
    names = "PipecatClient, RTVIMessage, Transport"
    printed = node_program(tmp_path, PROGRAM % site.url, "rtvi-client-1", "@pipecat-ai/client-js", names)
    assert printed.endswith("A-2\n")
    with site.client() as http:
        assert http.get("/health").status_code == 200  # the log has a line for the WebSocket when it has ended
    log = site.log.read_text()
    assert '"GET /ws" 101' in log
    assert "token" not in log


def test_messages_pass_as_they_come(site: Site) -> None:
    """The first message of a stream arrives while the action waits for another request."""
    with site.client() as http, http.stream("POST", "/action", json=action("wait"), headers=EVENTS) as stream:
        lines = stream.iter_lines()
        assert next(messages(lines))["data"] == "waiting"
        http.post("/action", json=action("release")).raise_for_status()
        assert next(messages(lines))["data"]["result"] == "released"


EVENTS = {"accept": "text/event-stream"}


def action(name: str) -> object:
    """Return the body of a request that calls an action without a connection."""
    data = {"service": "bot", "action": name, "arguments": list[object]()}
    return {"actions": [{"label": "rtvi-ai", "type": "action", "id": "1", "data": data}]}


def messages(lines: Iterator[str]) -> Iterator[Any]:
    """Yield the messages of an event stream."""
    return (json.loads(b64decode(line.removeprefix("data: "))) for line in lines if line)


def test_a_client_is_counted_by_its_own_address(site: Site) -> None:
    """A header that it sends itself does not change this."""
    with site.client("127.0.0.2") as one, site.client("127.0.0.3") as other:
        assert one.post("/start").status_code == 200
        refused = one.post("/start", headers={"x-forwarded-for": "127.0.0.4"})
        assert (refused.status_code, refused.json()["error"]) == (503, "server-full")
        assert other.post("/start").status_code == 200


def test_the_bot_itself_refuses_a_long_body(site: Site) -> None:
    """Its error is JSON, which clients can read. That of nginx is a page."""
    with site.client() as http:
        refused = http.post("/start", content=b" " * 1_500_000, headers={"content-type": "application/json"})
    assert (refused.status_code, refused.json()["error"]) == (413, "message-too-large")
