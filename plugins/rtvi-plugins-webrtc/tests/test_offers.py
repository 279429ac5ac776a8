"""The answers to offers and candidates: valid, repeated, foreign and broken ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias

import aioice.ice
import httpx2
import pytest
from rtc_bots import desk
from rtc_caller import Caller, Message

from rtvi_plugins.hosting import Host, Limits
from rtvi_plugins_server import create_app
from rtvi_plugins_webrtc import _ice

Calling: TypeAlias = Callable[..., AbstractAsyncContextManager[Caller]]
HOST_CANDIDATE = "candidate:1 1 udp 2122260223 192.0.2.9 50000 typ host generation 0 ufrag {ufrag} network-id 1"


def assert_readable(response: httpx2.Response, status: int, code: str) -> str:
    """Check what published clients read of a failure, and return its sentence."""
    body = response.json()
    assert (response.status_code, body["error"]) == (status, code), response.text
    assert body["info"] == body["detail"] != ""
    return str(body["detail"])


# ---- starting --------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_start_answers_an_id(host: Host, calling: Calling) -> None:
    """There is only the id, which must not be cached. By default, there are no ICE servers."""
    async with calling(host) as caller:
        response = await caller.http.post("/webrtc/start")
        assert list(response.json()) == ["sessionId"]
        assert response.headers["cache-control"] == "no-store"


@pytest.mark.anyio
async def test_a_start_is_checked_as_any(host: Host, calling: Calling) -> None:
    """What the bot does not offer is refused before a session exists."""
    async with calling(host) as caller:
        refused = await caller.http.post("/webrtc/start", json={"services": {"llm": "acme"}})
        assert_readable(refused, 400, "unknown-service")


@pytest.mark.anyio
async def test_an_address_can_have_few_sessions_that_are_not_connected(calling: Calling) -> None:
    """An offer is no client yet. A session that was connected does not count, and a token that is refused is kept."""
    host = Host(desk, environ={}, limits=Limits(unclaimed_per_address=1))
    async with calling(host) as connected:
        await connected.connect()
        first, other = Caller(connected.http), Caller(connected.http)
        try:
            await first.start()
            assert (await first.post(await first.make_offer())).status_code == 200
            await other.start()
            offer = await other.make_offer()
            for _ in range(2):
                assert_readable(await other.post(offer), 503, "server-full")
        finally:
            await first.close()
            await other.close()


@pytest.mark.anyio
async def test_the_client_is_told_the_operators_servers(
    host: Host, calling: Calling, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What RTVI_ICE_SERVERS lists is in the answer to a start."""
    monkeypatch.setenv("RTVI_ICE_SERVERS", '[{"urls": "stun:127.0.0.1:9"}]')
    async with calling(host) as caller:
        assert caller.started["iceConfig"] == {"iceServers": [{"urls": "stun:127.0.0.1:9"}]}


@pytest.mark.anyio
async def test_servers_that_cannot_be_read_start_nothing(
    host: Host, calling: Calling, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The operator reads why in the log; the client that it is the operator's matter."""
    async with calling(host) as caller:
        monkeypatch.setenv("RTVI_ICE_SERVERS", "stun.example")
        transport = httpx2.ASGITransport(create_app(host))
        async with httpx2.AsyncClient(transport=transport, base_url=caller.http.base_url) as http:
            assert_readable(await http.post("/webrtc/start"), 500, "internal-error")
    assert "RTVI_ICE_SERVERS is not JSON" in caplog.text


@pytest.mark.anyio
async def test_a_machine_without_a_network_says_so(
    host: Host, calling: Calling, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the loopback alone neither a session nor a peer connection is begun."""

    def none(**_: bool) -> list[str]:
        return []

    async with calling(host) as caller:
        monkeypatch.setattr(_ice, "get_host_addresses", none)
        assert "network address" in assert_readable(await caller.http.post("/webrtc/start"), 503, "no-network")
        offer = await caller.make_offer()
        monkeypatch.setattr(aioice.ice, "get_host_addresses", none)
        assert_readable(await caller.post(offer), 503, "no-network")


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["trio"])
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "start"), ("POST", "sessions/anything/api/offer"), ("PATCH", "sessions/anything/api/offer")],
)
async def test_on_trio_every_route_says_what_it_needs(host: Host, method: str, path: str) -> None:
    """The reason is that the loop is not asyncio's."""
    transport = httpx2.ASGITransport(create_app(host))
    async with host, httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:7860") as http:
        refused = await http.request(method, f"/webrtc/{path}", json={})
        assert "asyncio" in assert_readable(refused, 501, "needs-asyncio")


# ---- offers ----------------------------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize("lines", [1, 2, 3])
async def test_every_media_line_is_answered(host: Host, calling: Calling, lines: int) -> None:
    """The first line carries sound in both directions. Video is accepted, but carries nothing."""
    async with calling(host) as caller:
        await caller.connect(lines=lines)
        expected = [("audio", "sendrecv"), ("video", "inactive"), ("video", "inactive")]
        assert caller.answered_lines == expected[:lines]
        assert caller.voice.currentDirection == "sendrecv"


@pytest.mark.anyio
async def test_an_offer_that_is_repeated_gets_the_same_session(host: Host, calling: Calling) -> None:
    """A client that has not got the answer knows no pc_id. It gets a new answer, and connects."""
    async with calling(host) as caller:
        lost = await caller.post(await caller.make_offer())
        await caller.pc.close()
        await caller.connect(restart=True)
        await caller.ready()
        assert (caller.pc_id, host.open_sessions) == (lost.json()["pc_id"], 1)


@pytest.mark.anyio
async def test_two_offers_at_once_are_of_one_session(host: Host, calling: Calling) -> None:
    """An impatient client gets only one session."""
    async with calling(host) as caller:
        offer = await caller.make_offer()
        answers = await asyncio.gather(caller.post(offer), caller.post(offer))
        assert [each.status_code for each in answers] == [200, 200]
        assert len({each.json()["pc_id"] for each in answers}) == host.open_sessions == 1


@pytest.mark.anyio
async def test_a_first_offer_may_be_mended(host: Host, calling: Calling) -> None:
    """An unusable offer does not use up the session."""
    async with calling(host) as caller:
        assert_readable(await caller.http.post(caller.url, json={"sdp": "v=0", "type": "offer"}), 400, "invalid-offer")
        await caller.connect()
        await caller.ready()


@pytest.mark.anyio
async def test_only_who_knows_the_id_of_the_connection_may_restart(host: Host, calling: Calling) -> None:
    """The session's id alone is not enough to take it over from the connected client."""
    async with calling(host) as caller:
        await caller.connect()
        stranger = Caller(caller.http)
        offer = await stranger.make_offer(restart=True)
        for guess in (None, "", "another"):
            for restart in (True, False):
                body = {**offer, "pc_id": guess, "restart_pc": restart}
                assert_readable(await caller.post(body), 404, "unknown-session")
        await stranger.close()
        foreign = await caller.http.patch(caller.url, json={"pc_id": "another", "candidates": []})
        assert_readable(foreign, 404, "unknown-session")
        await caller.ready()


@pytest.mark.anyio
@pytest.mark.parametrize("restart", [True, False])
async def test_offers_that_come_too_fast_are_refused(calling: Calling, restart: bool) -> None:
    """Each makes the server work, whatever it is for. The session continues."""
    host = Host(desk, environ={}, limits=Limits(rate=0.001, burst=200))
    async with calling(host) as caller:
        await caller.connect()
        await caller.ready()
        offer = {**await caller.renew_offer(), "restart_pc": restart, "sdp": "v=0"}
        while (refused := await caller.post(offer)).status_code == 400:
            pass
        assert_readable(refused, 429, "rate-limited")
        assert_readable(await caller.http.patch(caller.url, json={"candidates": []}), 429, "rate-limited")
        assert (await caller.call("add", a=2, b=3))["data"] == {"result": 5}


@pytest.mark.anyio
async def test_an_unknown_session_is_not_found(host: Host, calling: Calling) -> None:
    """This applies to an id that never existed, and to one whose session has ended."""
    async with calling(host) as caller:
        offer = await caller.make_offer()
        never = "/webrtc/sessions/never/api/offer"
        assert_readable(await caller.http.post(never, json=offer), 404, "unknown-session")
        assert_readable(await caller.http.patch(never, json={"pc_id": "a", "candidates": []}), 404, "unknown-session")
        await caller.accept(await caller.post(offer))
        await caller.patch(offer["sdp"])
        await caller.opened()
        await caller.ready()
        await caller.call("hang_up")
        await caller.until(lambda: caller.pc.connectionState == "closed")
        await caller.until(lambda: caller.ended == 1)
        assert_readable(await caller.post(await caller.make_offer(restart=True)), 404, "unknown-session")


BROKEN: dict[str, Any] = {
    "": "not JSON",
    "{": "not JSON",
    "[]": "not a JSON object",
    '{"sdp": "v=0"}': "$.type",
    '{"sdp": "v=0", "type": "answer"}': "$.type",
    '{"type": "offer"}': "$.sdp",
    '{"sdp": 5, "type": "offer"}': "$.sdp",
    '{"sdp": "hello", "type": "offer"}': "one data channel",
    '{"sdp": "v=0", "type": "offer", "restart_pc": "yes"}': "$.restart_pc",
    '{"sdp": "v=0", "type": "offer", "pc_id": 7}': "$.pc_id",
}


@pytest.mark.anyio
async def test_a_broken_offer_is_told_what_is_wrong(host: Host, calling: Calling) -> None:
    """The client gives up immediately, and its developer can read the reason."""
    async with calling(host) as caller:
        for body, reason in BROKEN.items():
            refused = await caller.http.post(caller.url, content=body)
            assert reason in assert_readable(refused, 400, "invalid-offer")
        assert_readable(await caller.http.post(caller.url, content=" " * 300_000), 413, "message-too-large")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("line", "instead", "reason"),
    [
        ("a=setup:", None, "no fingerprint and setup"),
        ("a=fingerprint:", None, "no fingerprint and setup"),
        ("a=ice-ufrag:", None, "no ice-ufrag"),
        ("a=sendrecv", None, "no direction"),
        ("a=group:BUNDLE", None, "not bundled"),
        ("a=group:BUNDLE", "a=group:BUNDLE 0 1 2 3 9", "not bundled"),
        ("a=rtcp-mux", None, "RTCP mux"),
        ("a=rtpmap:96 opus", "a=rtpmap:96 lyra/48000/2", "Opus"),
        ("m=application", None, "one data channel"),
        ("m=audio", "m=audio x", "not a session description"),
        ("m=audio", "m=text 9 UDP/TLS/RTP/SAVPF 96", "of a kind that is not known"),
        ("m=audio", "m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "one data channel"),
        ("a=mid:1", "a=mid:0", "not bundled"),
        ("a=mid:1", "a=mid", "not bundled"),
    ],
)
async def test_a_description_that_cannot_be_used_is_refused(
    host: Host, calling: Calling, line: str, instead: str | None, reason: str
) -> None:
    """What aiortc would stumble over later is refused as what it is."""
    async with calling(host) as caller:
        offer = await caller.make_offer()
        kept = (instead if each.startswith(line) else each for each in offer["sdp"].split("\r\n"))
        sdp = "\r\n".join(each for each in kept if each is not None)
        assert reason in assert_readable(await caller.post({**offer, "sdp": sdp}), 400, "invalid-offer")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("line", "instead", "reason"),
    [
        ("m=audio", "m=text 9 UDP/TLS/RTP/SAVPF 96", "of a kind that is not known"),
        ("a=mid:0", "a=mid:9", "repeat the media lines"),
        ("a=rtcp-mux", None, "RTCP mux"),
    ],
)
async def test_a_changed_offer_that_cannot_be_used_changes_nothing(
    host: Host, calling: Calling, line: str, instead: str | None, reason: str
) -> None:
    """It is refused as what it is; the session goes on, and takes a good one."""
    async with calling(host) as caller:
        await caller.connect()
        await caller.ready()
        offer = await caller.renew_offer()
        kept = (instead if each.startswith(line) else each for each in offer["sdp"].split("\r\n"))
        sdp = "\r\n".join(each for each in kept if each is not None)
        sdp = sdp.replace("BUNDLE 0", "BUNDLE 9") if instead == "a=mid:9" else sdp
        assert reason in assert_readable(await caller.post({**offer, "sdp": sdp}), 400, "invalid-offer")
        assert (await caller.call("add", a=2, b=3))["data"] == {"result": 5}
        await caller.accept(await caller.post(offer))


@pytest.mark.anyio
@pytest.mark.parametrize("lines", [0, 1])
async def test_a_changed_offer_keeps_its_media_lines(host: Host, calling: Calling, lines: int) -> None:
    """An offer with fewer lines is refused. The session continues, and accepts a good offer."""
    async with calling(host) as caller:
        await caller.connect()
        await caller.ready()
        fewer = Caller(caller.http)
        offer = await fewer.make_offer(lines=lines)
        refused = await caller.post({**offer, "pc_id": caller.pc_id})
        await fewer.close()
        assert "repeat the media lines" in assert_readable(refused, 400, "invalid-offer")
        assert (await caller.call("add", a=2, b=3))["data"] == {"result": 5}
        await caller.accept(await caller.post(await caller.renew_offer()))


# ---- candidates ------------------------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("candidates", "reason"),
    [
        (None, "$.candidates"),
        ({}, "$.candidates"),
        ([5], "$.candidates[0]"),
        ([{"candidate": 5, "sdp_mid": "0"}], "$.candidates[0].candidate"),
        ([{"candidate": HOST_CANDIDATE}], "$.candidates[0]: write sdp_mid"),
        ([{"candidate": "candidate:1 1 udp", "sdp_mid": "0"}], "not an ICE candidate"),
        ([{"candidate": HOST_CANDIDATE.replace("50000", "many"), "sdp_mid": "0"}], "not an ICE candidate"),
    ],
)
async def test_broken_candidates_are_told_what_is_wrong(
    host: Host, calling: Calling, candidates: Any, reason: str
) -> None:
    """They are refused with the place of the mistake."""
    async with calling(host) as caller:
        await caller.connect()
        refused = await caller.http.patch(caller.url, json={"pc_id": caller.pc_id, "candidates": candidates})
        assert reason in assert_readable(refused, 400, "invalid-offer")
        assert_readable(await caller.http.patch(caller.url, json={"candidates": []}), 400, "invalid-offer")


@pytest.mark.anyio
async def test_candidates_that_are_of_no_use_do_no_harm(
    host: Host, calling: Calling, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of the list, one of an older connection, and a name that cannot be looked up, are taken as they come."""

    async def no_sockets(subscriber: object) -> None:
        raise OSError("the port is taken")

    monkeypatch.setattr(aioice.ice, "get_or_create_mdns_protocol", no_sockets)
    async with calling(host) as caller:
        offer = await caller.make_offer()
        await caller.accept(await caller.post(offer))
        ufrag = caller.voice.receiver.transport.transport.iceGatherer.getLocalParameters().usernameFragment
        useless: list[Message] = [
            {"candidate": "", "sdp_mid": "0", "sdp_mline_index": 0},
            {"candidate": HOST_CANDIDATE.format(ufrag="older"), "sdp_mid": "0", "sdp_mline_index": 0},
            {"candidate": HOST_CANDIDATE.format(ufrag=ufrag).replace("192.0.2.9", "abc.local"), "sdp_mid": "0"},
            {"candidate": HOST_CANDIDATE.format(ufrag=ufrag).replace("udp", "tcp"), "sdp_mline_index": 0},
        ]
        for _ in range(30):
            taken = await caller.http.patch(caller.url, json={"pc_id": caller.pc_id, "candidates": useless})
            assert taken.json() == {"status": "success"}
        await caller.opened()
        await caller.ready()
