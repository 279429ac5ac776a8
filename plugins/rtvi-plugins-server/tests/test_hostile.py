"""Hostile clients of a real `rtvi run`: how much is taken, answered, logged and kept. Counted, not timed.

`nox -s hostile` measures what a polite client feels of the same.
"""

from __future__ import annotations

import json
import re
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

import pytest
from attrs import define
from live import PATIENCE
from websockets.frames import Frame, Opcode

from rtvi_plugins.kinds import Audio
from rtvi_plugins_server._protobuf import encode

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="descriptors are counted in /proc")

DESK: Final = Path(__file__).with_name("desk.py")
#: The most that a flood gets rid of, in bytes: what is on its way while the server closes counts as well.
_MOST: Final = 20_000_000
#: Another client of this machine, as the server sees it.
POLITE: Final = "127.0.0.2"
READY: Final = b'{"label": "rtvi-ai", "type": "client-ready", "id": "0", "data": {"version": "2.1.0"}}'


def frame(opcode: Opcode, data: bytes = b"", *, fin: bool = True) -> bytes:
    """Return a frame of a client."""
    return Frame(opcode, data, fin).serialize(mask=True)


@define(eq=False)
class Served:
    """A running server, as it can be observed from outside."""

    port: int
    pid: int
    log: Path

    @property
    def descriptors(self) -> int:
        """Return how many descriptors it has open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    @property
    def children(self) -> int:
        """Return how many processes it has started."""
        return len(Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split())

    @property
    def lines(self) -> int:
        """Return how many lines it has logged."""
        return self.log.read_text().count("\n")

    def connect(self, address: str = "127.0.0.1", *, buffer: int | None = None) -> socket.socket:
        """Connect from an address of this machine."""
        made = socket.socket()
        if buffer is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        made.settimeout(PATIENCE)
        made.bind((address, 0))
        made.connect(("127.0.0.1", self.port))
        return made

    def post(self, body: bytes = b"{}", address: str = "127.0.0.1") -> tuple[int, bytes]:
        """Return the answer to a start."""
        client = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE, source_address=(address, 0))
        client.request("POST", "/start", body)
        try:
            answer = client.getresponse()
            return answer.status, answer.read()
        finally:
            client.close()

    def session(
        self, address: str = "127.0.0.1", *, binary: bool = False, buffer: int | None = None
    ) -> tuple[socket.socket, bytes]:
        """A session whose bot is ready, and what came already. It waits while its address may start none."""
        ends = time.monotonic() + PATIENCE
        while (found := self.post(address=address))[0] == 429 and time.monotonic() < ends:
            time.sleep(0.2)
        assert found[0] == 200, found
        made = self.connect(address, buffer=buffer)
        made.sendall(
            f"GET /ws?token={json.loads(found[1])['token']} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            "".encode()
        )
        ready = frame(Opcode.BINARY, encode(READY.decode(), 1)) if binary else frame(Opcode.TEXT, READY)
        made.sendall(ready)
        seen = b""
        while b"bot-ready" not in seen:
            more = made.recv(65_536)
            assert more, seen
            seen += more
        return made, seen

    def is_polite_to_others(self) -> bool:
        """Return whether another client is served: a session, a request and its answer."""
        made, _ = self.session(POLITE)
        arguments = [{"name": "a", "value": 1}, {"name": "b", "value": 2}]
        made.sendall(message("action", {"service": "bot", "action": "add", "arguments": arguments}))
        seen = b""
        while b"action-response" not in seen and (more := made.recv(65_536)):
            seen += more
        made.close()
        return b'"result":3' in seen

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition is true."""
        ends = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < ends, (self.descriptors, self.log.read_text()[-2000:])
            time.sleep(0.1)


@contextmanager
def serving(folder: Path, *, descriptors: int | None = None) -> Generator[Served]:
    """Run the desk with at most this many descriptors."""
    log = folder / "log"

    def limit() -> None:
        if descriptors is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

    command = [sys.executable, "-m", "rtvi_plugins", "run", f"{DESK}:desk", "--port", "0"]
    with (
        log.open("w") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, cwd=folder, preexec_fn=limit) as process,
    ):
        assert process.stdout is not None
        found = re.search(rb"http://127\.0\.0\.1:(\d+)", process.stdout.readline())
        assert found, log.read_text()
        try:
            yield Served(int(found[1]), process.pid, log)
        finally:
            process.terminate()
            process.wait(PATIENCE)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    """Run a server for all the floods."""
    with serving(tmp_path_factory.mktemp("served")) as found:
        assert found.is_polite_to_others()  # what is opened once is open now
        yield found


class SmallReads(threading.Thread):
    """Reads everything that a server sends, until it closes."""

    def __init__(self, made: socket.socket) -> None:
        super().__init__(daemon=True)
        self.made, self.seen = made, bytearray()
        self.start()

    def run(self) -> None:
        with suppress(OSError):
            while more := self.made.recv(65_536):
                self.seen += more


def flood(served: Served, data: bytes, *, first: bytes = b"", binary: bool = False) -> bytes:
    """Send the same frames until the server closes. Return what it sent."""
    made, _ = served.session(binary=binary)
    reader = SmallReads(made)
    sent, piece = 0, data * max(1, 16_384 // len(data))
    with suppress(OSError):
        made.sendall(first)
        while sent < _MOST:
            made.sendall(piece)
            sent += len(piece)
    assert sent < _MOST, "the server takes whatever comes"
    reader.join(PATIENCE)
    assert not reader.is_alive()
    made.close()
    return bytes(reader.seen)


def message(type: str, data: object = None) -> bytes:
    """Return the frame of an RTVI message."""
    return frame(Opcode.TEXT, json.dumps({"label": "rtvi-ai", "type": type, "id": "1", "data": data}).encode())


_BAD_AUDIO = frame(Opcode.BINARY, encode(Audio(bytes(640), 1), 1))
FLOODS: dict[str, tuple[bytes, bool]] = {
    "empty binary frames": (frame(Opcode.BINARY), True),
    "empty texts": (frame(Opcode.TEXT), False),
    "empty objects": (frame(Opcode.TEXT, b"{}"), False),
    "no JSON": (frame(Opcode.TEXT, b"[" * 50), False),
    "audio that is refused": (_BAD_AUDIO, True),
    "pings": (frame(Opcode.PING, bytes(125)), False),
    "pongs": (frame(Opcode.PONG), False),
    "one message in empty fragments": (frame(Opcode.CONT, fin=False), False),
    "requests": (message("describe-actions"), False),
    "unknown actions": (message("action", {"service": "bot", "action": "ad", "arguments": []}), False),
    "long configs": (message("update-config", {"config": dict.fromkeys(map(str, range(3_000)))}), False),
}


@pytest.mark.parametrize(("data", "binary"), FLOODS.values(), ids=FLOODS)
def test_a_flood_is_taken_answered_and_logged_in_part_and_ends_its_session(
    served: Served, data: bytes, binary: bool
) -> None:
    """The number of answers is bounded, nothing is kept, and others are served."""
    descriptors, lines = served.descriptors, served.lines
    fragment = data.startswith(frame(Opcode.CONT, fin=False)[:1])
    seen = flood(served, data, first=frame(Opcode.TEXT, fin=False) if fragment else b"", binary=binary)
    assert seen.count(b"error-response") <= 2_500
    assert len(seen) < 2_000_000
    assert served.is_polite_to_others()
    served.until(lambda: served.descriptors <= descriptors)
    assert served.lines - lines <= 5
    assert served.children == 0


def test_clients_that_stop_reading_do_not_outlive_their_sessions(served: Served) -> None:
    """The server closes their sockets, although the clients do not."""
    descriptors, lines = served.descriptors, served.lines
    with ExitStack() as held:
        for _ in range(10):
            made, _ = served.session(buffer=4_096)
            held.callback(made.close)
            made.settimeout(2)
            with suppress(OSError):
                for _ in range(5_000):
                    made.sendall(message("describe-actions") * 10)
        served.until(lambda: served.descriptors <= descriptors)
        assert served.is_polite_to_others()
    assert served.lines - lines <= 15


def test_a_megabyte_of_unknown_names_gets_a_short_answer(served: Served) -> None:
    """The next one, immediately after it, is not even read."""
    body = json.dumps({"config": {f"service{number:06}": {} for number in range(45_000)}}).encode()
    status, answer = served.post(body, "127.0.0.3")
    assert status == 400
    assert len(answer) < 20_000
    assert served.post(body, "127.0.0.3")[0] == 429
    assert served.is_polite_to_others()


def test_one_address_cannot_start_all_the_sessions_that_may_wait(served: Served) -> None:
    """Other clients can start theirs."""
    found = [served.post(address="127.0.0.4")[0] for _ in range(64)]
    assert found.count(200) < 64
    assert set(found) <= {200, 429, 503}
    assert served.is_polite_to_others()


def test_a_server_without_descriptors_logs_little_and_continues(tmp_path: Path) -> None:
    """It accepts connections again when there are free descriptors."""
    with serving(tmp_path, descriptors=64) as served, ExitStack() as held:
        for _ in range(100):
            with suppress(OSError):
                held.enter_context(served.connect())
        time.sleep(1.0)
        held.close()
        served.until(lambda: served.descriptors < 40)
        assert served.is_polite_to_others()
        assert served.lines <= 10
