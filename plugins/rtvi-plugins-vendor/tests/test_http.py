"""The HTTP client of a service."""

from __future__ import annotations

import gc
import json
import logging
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import anyio
import httpx2
import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from rtvi_plugins.errors import AuthorError, ProviderCategory, ProviderError
from rtvi_plugins.kinds import Audio
from rtvi_plugins.session import Secret
from rtvi_plugins_vendor import Retry, StatusError, VendorHTTP, VendorResponse, connect_http
from rtvi_plugins_vendor import http as http_module
from rtvi_plugins_vendor.testing import Answer, fake_vendor

pytestmark = pytest.mark.anyio

KEY = Secret("key-of-a-test")
AT_ONCE = Retry(times=2, first=0)
SSE = {"content-type": "text/event-stream"}
NO_JSON = b"data: secret\n\ndata: 3\n\n"
EVENTS = b"data: one\n\ndata: two\n\ndata: three\n\n"


@define
class Body(httpx2.AsyncByteStream):
    """A body that arrives in parts. After them, it ends, breaks, or stays silent."""

    parts: Sequence[bytes]
    end: str = "ends"
    closed: bool = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            await anyio.lowlevel.checkpoint()
            yield part
        if self.end == "breaks":
            raise httpx2.ReadError("secret")
        if self.end == "hangs":
            await anyio.sleep_forever()

    async def aclose(self) -> None:
        """Note that the client closed it."""
        self.closed = True


@define
class Vendor:
    """A vendor in memory: each request takes the next answer, and the last one stays."""

    answers: list[Callable[[], httpx2.Response]]
    asked: list[httpx2.Request] = field(factory=list[httpx2.Request])

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return answer()

    def connect(self, **how: Any) -> AbstractAsyncContextManager[VendorHTTP]:
        """Return a client for this vendor."""
        how = {"base_url": "https://acme.test/v1", "retry": AT_ONCE, **how}
        return connect_http("acme", how.pop("key", KEY), transport=httpx2.MockTransport(self), **how)


def refusing(status: int, body: object = None, **headers: str) -> Callable[[], httpx2.Response]:
    """Refuse a request."""
    return partial(httpx2.Response, status, json=body, headers={k.replace("_", "-"): v for k, v in headers.items()})


def answering(body: object) -> Callable[[], httpx2.Response]:
    """Answer with JSON."""
    return partial(httpx2.Response, 200, json=body)


def streaming(body: Body, headers: dict[str, str] = SSE) -> Vendor:
    """Return a vendor that answers with this body."""
    return Vendor([lambda: httpx2.Response(200, headers=headers, stream=body)])


def broken() -> httpx2.Response:
    """Break the connection before it is open."""
    raise httpx2.ConnectError("secret")


# ---- requests --------------------------------------------------------------------------------------------------------


async def test_json_in_both_directions() -> None:
    """The path is relative to the base URL, and the key is in a header."""
    vendor = Vendor([answering({"id": 1})])
    async with vendor.connect() as http:
        assert await http.post("chat", {"text": "Grüße"}) == {"id": 1}
        assert await http.get("models") == {"id": 1}
    sent, got = vendor.asked
    assert (str(sent.url), json.loads(sent.content)) == ("https://acme.test/v1/chat", {"text": "Grüße"})
    assert sent.headers["authorization"] == "Bearer key-of-a-test"
    assert sent.headers["content-type"] == "application/json"
    assert (got.method, got.content, "content-type" in got.headers) == ("GET", b"", False)


async def test_a_file_is_sent_with_the_fields_of_a_form() -> None:
    """A field with several values occurs several times. It is sent again after a failure."""
    async with fake_vendor() as vendor, connect_http("acme", KEY, base_url=vendor.url, retry=AT_ONCE) as http:
        vendor.on("/files", Answer(503), Answer(json={}))
        form, file = {"model": "m", "words[]": ["a", "b"]}, ("speech.wav", "audio/wav", b"RIFF")
        async with http.stream("POST", "files", form=form, file=file) as response:
            assert await response.json() == {}
    bodies = [each.body.decode() for each in vendor.requests]
    assert [body.count("Content-Disposition") for body in bodies] == [4, 4]
    for part in (
        'name="model"\r\n\r\nm\r\n',
        'name="words[]"\r\n\r\nb\r\n',
        'filename="speech.wav"',
        "audio/wav\r\n\r\nRIFF",
    ):
        assert part in bodies[1]


@pytest.mark.parametrize("type", ["application/json", "text/html; charset=utf-8"])
async def test_other_content_is_no_audio(type: str) -> None:
    """An error of a proxy would be heard as noise."""
    vendor = streaming(Body([b"<html>"]), {"content-type": type})
    async with vendor.connect() as http, http.stream("GET", "speech") as response:
        with pytest.raises(ProviderError, match="acme is not available"):
            response.audio(24_000)


async def test_the_header_of_the_key_is_the_vendors() -> None:
    """Without a scheme the header is the key alone, and a local server may need no key."""
    vendor = Vendor([answering("ok")])
    async with vendor.connect(key_header="X-API-Key") as http:
        await http.get("models")
    async with vendor.connect(key=None) as http:
        await http.get("models")
    assert vendor.asked[0].headers["x-api-key"] == "key-of-a-test"
    assert "authorization" not in vendor.asked[0].headers
    assert "authorization" not in vendor.asked[1].headers


@pytest.mark.parametrize("key", ["", "two words", "schlüssel", "line\nbreak"])
async def test_an_impossible_key_is_refused(key: str) -> None:
    """The key is refused before a request is sent."""
    with pytest.raises(ProviderError) as failed:
        async with connect_http("acme", Secret(key), base_url="https://acme.test"):
            pytest.fail("it opened")
    assert failed.value.category == "auth"


async def test_a_url_with_a_password_is_refused() -> None:
    """The message does not repeat it."""
    with pytest.raises(ValueError, match="must") as failed:
        async with connect_http("acme", KEY, base_url="https://user:PASSWORD@acme.test"):
            pytest.fail("it opened")
    assert "PASSWORD" not in str(failed.value)


async def test_a_base_url_with_a_query_is_refused() -> None:
    """Its paths could not be appended."""
    with pytest.raises(AuthorError, match="The base URL of acme has a query"):
        async with connect_http("acme", KEY, base_url="https://acme.test/v1?api-version=3"):
            pytest.fail("it opened")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:9"),
        ("HTTPS_PROXY", "ftp://PASSWORD@proxy.test"),
        ("HTTPS_PROXY", "proxy.test:PASSWORD"),
        ("SSL_CERT_FILE", "/nowhere/PASSWORD"),
    ],
)
async def test_an_environment_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    """The error names the variables, and not their values."""
    monkeypatch.setenv(variable, value)
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setattr(http_module, "_tls", httpx2.create_ssl_context)  # without its cache
    with pytest.raises(AuthorError, match=variable) as failed:
        async with connect_http("acme", KEY, base_url="https://acme.test"):
            pytest.fail("it opened")
    assert "PASSWORD" not in "".join(traceback.format_exception(failed.value))


async def test_the_key_appears_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    """It is neither in the log, the error nor the object, although the vendor repeats it."""
    caplog.set_level(logging.DEBUG)
    vendor = Vendor([refusing(401, {"error": "key-of-a-test is wrong"})])
    async with vendor.connect() as http:
        with pytest.raises(StatusError) as failed:
            await http.get("models")
        shown = f"{http!r} {vars(http.client)!r} {failed.value!r} {vars(failed.value)!r}"
    assert "key-of-a-test" not in shown + caplog.text
    assert "acme answered with status 401: auth" in caplog.text


async def test_a_vendor_may_explain_its_refusal() -> None:
    """`categorize` sees the status and the body."""

    def categorize(status: int, body: bytes) -> ProviderCategory:
        return "quota" if status == 429 and b"credit" in body else "unavailable"

    vendor = Vendor([refusing(429, "no credit")])
    async with vendor.connect(categorize=categorize) as http:
        with pytest.raises(StatusError) as failed:
            await http.get("models")
    assert (failed.value.category, len(vendor.asked)) == ("quota", 1)  # waiting does not help, so it asked once


@pytest.mark.parametrize("end", ["breaks", "hangs"])
async def test_the_status_counts_if_the_explanation_does_not_arrive(end: str) -> None:
    """It says why the vendor refuses, and the header how long to wait. A broken connection would say neither."""
    body = Body([b'{"error":'], end)
    vendor = Vendor([lambda: httpx2.Response(429, headers={"retry-after": "60"}, stream=body)])
    with anyio.fail_after(5.0):
        async with vendor.connect() as http:
            with pytest.raises(StatusError) as failed:
                await http.get("models")
    assert (failed.value.category, failed.value.retry_after, body.closed) == ("rate", 60.0, True)


async def test_a_url_that_is_too_long_is_a_bad_request() -> None:
    """A client that chooses a long name causes it, so it is no failure of the vendor."""
    vendor = Vendor([answering({})])
    async with vendor.connect() as http:
        with pytest.raises(ProviderError) as failed:
            await http.get("x" * 70_000)
    assert (failed.value.category, failed.value.retryable, vendor.asked) == ("bad-request", False, [])


async def test_an_answer_that_is_no_json_is_a_failure() -> None:
    """An example is the page of a proxy."""
    async with Vendor([partial(httpx2.Response, 200, text="<html>")]).connect() as http:
        with pytest.raises(ProviderError) as failed:
            await http.get("models")
    assert failed.value.category == "unavailable"


# ---- retries ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [broken, refusing(429), refusing(503, retry_after="0")])
async def test_a_temporary_failure_is_tried_again(fault: Callable[[], httpx2.Response]) -> None:
    """Such failures are a lost connection, 429 and 5xx."""
    vendor = Vendor([fault, fault, answering("ok")])
    async with vendor.connect() as http:
        assert await http.post("chat", {"text": "Hello"}) == "ok"
    assert [json.loads(each.content) for each in vendor.asked] == [{"text": "Hello"}] * 3


@pytest.mark.parametrize(
    ("fault", "category", "asked"),
    [
        (broken, "unavailable", 3),
        (refusing(500), "unavailable", 3),
        (refusing(400), "bad-request", 1),
        (refusing(401), "auth", 1),
        (refusing(408), "timeout", 1),
        (refusing(429, retry_after="60"), "rate", 1),
    ],
)
async def test_retries_are_bounded(fault: Callable[[], httpx2.Response], category: str, asked: int) -> None:
    """Their number is limited. There is none where it cannot help, or where the vendor asks for too long a wait."""
    vendor = Vendor([fault])
    async with vendor.connect() as http:
        with pytest.raises(ProviderError) as failed:
            await http.get("models")
    assert (failed.value.category, len(vendor.asked)) == (category, asked)


async def test_a_wait_can_be_interrupted() -> None:
    """A cancelled request is not sent again."""
    vendor = Vendor([refusing(503)])
    async with (
        vendor.connect(retry=Retry(times=1, first=3600, longest=3600)) as http,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(http.get, "models")
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert len(vendor.asked) == 1


def test_waits_grow_to_a_limit() -> None:
    """A vendor can ask for another wait."""
    retry = Retry(times=4, first=0.5, longest=1.5)
    assert [retry.wait(attempt) for attempt in range(5)] == [0.5, 1.0, 1.5, 1.5, None]
    assert [retry.wait(0, asked) for asked in (0.0, 1.2, 1.6)] == [0.0, 1.2, None]


async def read_events(http: VendorHTTP, into: list[str]) -> None:
    """Read the data of all events."""
    async with http.stream("POST", "chat", json={}) as response:
        async for event in response.events():
            into.append(event.data)  # noqa: PERF401 - what was read before a failure stays


async def test_what_was_read_is_not_repeated() -> None:
    """A stream that breaks fails, although nothing was refused."""
    vendor = streaming(Body([EVENTS], "breaks"))
    async with vendor.connect() as http:
        read: list[str] = []
        with pytest.raises(ProviderError) as failed:
            await read_events(http, read)
    assert (read, failed.value.category, len(vendor.asked)) == (["one", "two", "three"], "unavailable", 1)


# ---- streams ---------------------------------------------------------------------------------------------------------


async def leave_after(count: int, response: VendorResponse) -> list[str]:
    """Read some events, and leave the rest."""
    read: list[str] = []
    async for event in response.events():
        read.append(event.data)
        if len(read) == count:
            break
    return read


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("parts", [[EVENTS], [EVENTS[i : i + 1] for i in range(len(EVENTS))]])
async def test_a_reader_may_leave_anywhere(count: int, parts: Sequence[bytes]) -> None:
    """The response is closed, and nothing is left to the garbage collector, which would be a warning on trio."""
    body = Body(parts)
    async with streaming(body).connect() as http, http.stream("POST", "chat", json={}) as response:
        assert await leave_after(count, response) == ["one", "two", "three"][:count]
    assert body.closed
    gc.collect()


async def test_a_reader_may_be_cancelled() -> None:
    """It is cancelled while it waits for a silent vendor."""
    body = Body([EVENTS], "hangs")
    async with streaming(body).connect() as http, anyio.create_task_group() as tasks:

        async def read() -> None:
            async with http.stream("POST", "chat", json={}) as response:
                await leave_after(4, response)

        tasks.start_soon(read)
        await anyio.wait_all_tasks_blocked()
        assert not body.closed
        tasks.cancel_scope.cancel()
    assert body.closed
    gc.collect()


async def read_json(*parts: bytes, type: str = SSE["content-type"]) -> list[object]:
    """Return the names and values of the events of an answer."""
    async with (
        streaming(Body(parts), {"content-type": type}).connect() as http,
        http.stream("POST", "chat", json={}) as response,
    ):
        return [each async for each in response.json_events()]


async def test_events_with_json_are_read() -> None:
    """Events have names. The word with which some vendors end the stream is not JSON."""
    assert await read_json(b'event: text\ndata: {"a": 1}\n\n', b"data: []\n\ndata: [DONE]\n\ndata: {}\n\n") == [
        ("text", {"a": 1}),
        ("message", []),
    ]


async def test_events_without_data_are_left_out() -> None:
    """Servers send them to keep a connection open, or say how long to wait before connecting again."""
    parts = (b"retry: 3000\n\n", b"id: 1\n\n", b"event: ping\n\n", b"data:\n\n", b'data: {"a": 1}\n\n')
    assert await read_json(*parts) == [("message", {"a": 1})]


@pytest.mark.parametrize("charset", ["utf-8", "latin-1", "hex", "idna", "undefined", "unicode_escape", "utf-16"])
async def test_events_are_utf_8_whatever_the_vendor_says(charset: str) -> None:
    """As their standard says. Python has encodings that cannot be used here. A byte order mark is left out."""
    data = b'\xef\xbb\xbfdata: "Gr\xc3\xbc\xc3\x9fe \\u0041"\n\n'
    assert await read_json(data, type=f"text/event-stream; charset={charset}") == [("message", "Grüße A")]


async def test_an_event_without_json_is_a_failure_of_the_vendor() -> None:
    """Nothing of its text is in the error, and the response is closed."""
    with pytest.raises(ProviderError) as failed:
        await read_json(b"data: 1\n\n", NO_JSON)
    assert failed.value.category == "unavailable"
    assert "secret" not in "".join(traceback.format_exception(failed.value))
    gc.collect()


async def test_a_provider_may_be_closed() -> None:
    """The framework closes a provider's generator at a `yield` when the user interrupts."""
    body = Body([EVENTS], "hangs")

    async def respond(http: VendorHTTP) -> AsyncIterator[str]:
        async with http.stream("POST", "chat", json={}) as response:
            async for event in response.events():
                yield event.data

    async with streaming(body).connect() as http:
        pieces = respond(http)
        assert await anext(pieces) == "one"
        await pieces.aclose()  # type: ignore[attr-defined]
        assert body.closed
    gc.collect()


async def test_a_cancelled_request_takes_no_place_in_the_pool() -> None:
    """After a hundred cancelled requests, no other request could begin."""
    async with fake_vendor() as vendor, connect_http("acme", KEY, base_url=vendor.url) as http:
        vendor.on("/", Answer(parts=[b"a", b"b"], pause=30))
        with anyio.CancelScope() as scope:
            async with http.stream("GET", ""):
                scope.cancel()
                await anyio.lowlevel.checkpoint()
        client: Any = http.client
        assert client._transport._pool._requests == []
        assert client._transport._pool.connections == []


async def test_leaving_closes_a_real_connection() -> None:
    """So the vendor stops generating and charging."""
    async with fake_vendor() as vendor, connect_http("acme", KEY, base_url=vendor.url) as http:
        vendor.on("/chat", Answer(parts=[b"data: one\n\n"], headers=SSE, end="hang"))
        async with http.stream("POST", "chat", json={}) as response:
            assert await leave_after(1, response) == ["one"]
        assert await vendor.requests[0].outcome() == "left"


async def test_a_connection_is_kept_until_the_next_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """To open one takes longer than anything else before the first word of an answer."""
    times = [0.0]
    monkeypatch.setattr("httpcore2._async.http11.time", SimpleNamespace(monotonic=lambda: times[-1]))
    async with fake_vendor() as vendor, connect_http("acme", KEY, base_url=vendor.url) as http:
        vendor.on("/chat", Answer(json={}))
        for seconds in (0.0, 40.0, 100.0):
            times.append(seconds)
            await http.post("chat", {})
    assert [each.connection for each in vendor.requests] == [1, 1, 2]


async def test_the_rest_can_be_read() -> None:
    """A connection whose response was read can be reused. A failure while reading the rest is ignored."""
    for end in ("ends", "breaks"):
        body = Body([EVENTS, EVENTS], end)
        async with streaming(body).connect() as http, http.stream("POST", "chat", json={}) as response:
            await leave_after(1, response)
            await response.finish()
            assert response.raw.is_stream_consumed
    async with Vendor([answering(1)]).connect() as http, http.stream("GET", "models") as response:
        await response.finish()  # nothing was read


async def test_other_content_is_no_stream_of_events() -> None:
    """A proxy's page is a failure, and JSON can be distinguished from a stream."""
    for kind, is_json in (("text/html", False), ("application/json; charset=utf-8", True)):
        async with streaming(Body([b"{}"]), {"content-type": kind}).connect() as http:
            async with http.stream("GET", "chat") as response:
                assert response.is_json == is_json
            with pytest.raises(ProviderError):
                await read_events(http, [])


async def test_lines_and_the_start_of_a_body() -> None:
    """Lines come without their line endings, and a body is cut at the requested length."""
    async with streaming(Body([b"a", b"b\r\nc\n", b"d"])).connect() as http:
        async with http.stream("GET", "lines") as response:
            assert [line async for line in response.lines()] == ["ab", "c", "d"]
        async with http.stream("GET", "lines") as response:
            assert await response.read(3) == b"ab\r"
        async with http.stream("GET", "lines") as response:
            assert await response.read() == b"ab\r\nc\nd"


def chunked(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """Divide data into parts, of which some may be empty."""
    at = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(at)]


LINES = st.lists(st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"])), min_size=1, max_size=3)


@given(
    st.lists(LINES, max_size=4),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.lists(st.integers(0, 200), max_size=20),
    st.sampled_from(["asyncio", "trio"]),
)
def test_events_do_not_depend_on_the_parts(messages: list[list[str]], end: str, cuts: list[int], backend: str) -> None:
    """Any division gives the same events, even inside a character or between CR and LF."""
    text = "".join("".join(f"data: {line}{end}" for line in lines) + end for lines in messages)
    vendor = streaming(Body(chunked(f": hello{end}{text}".encode(), cuts)))

    async def read() -> list[str]:
        async with vendor.connect() as http, http.stream("GET", "chat") as response:
            return [event.data async for event in response.events()]

    assert anyio.run(read, backend=backend) == ["\n".join(lines) for lines in messages]


@given(st.binary(max_size=60), st.integers(1, 2), st.lists(st.integers(0, 60), max_size=20))
def test_audio_has_whole_samples(data: bytes, channels: int, cuts: list[int]) -> None:
    """For any division, each piece has whole frames. Only half a frame at the end is lost."""

    async def read() -> list[Audio]:
        vendor = streaming(Body(chunked(data, cuts)), {"content-type": "audio/pcm"})
        async with vendor.connect() as http, http.stream("GET", "speech") as response:
            return [piece async for piece in response.audio(24000, channels)]

    pieces = anyio.run(read)
    size = 2 * channels
    assert b"".join(each.data for each in pieces) == data[: len(data) // size * size]
    assert all(each.data and len(each.data) % size == 0 for each in pieces)
    assert {(each.rate, each.channels) for each in pieces} <= {(24000, channels)}
