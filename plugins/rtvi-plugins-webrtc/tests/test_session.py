"""A session over WebRTC: texts, sound, restarts, and every way in which it can end."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias

import pytest
from av import Packet
from rtc_bots import parrot
from rtc_caller import PEER_LEFT, Caller, Message, Microphone, hertz_of

from rtvi_plugins.hosting import Host
from rtvi_plugins_webrtc import routes
from rtvi_plugins_webrtc._audio_track import BotTrack
from rtvi_plugins_webrtc._session import Timeouts

pytestmark = pytest.mark.anyio

Calling: TypeAlias = Callable[..., AbstractAsyncContextManager[Caller]]


def typed(text: str) -> Message:
    """Return what a client sends when its user types."""
    return {"label": "rtvi-ai", "type": "send-text", "id": "typed", "data": {"content": text, "options": {}}}


# ---- texts -----------------------------------------------------------------------------------------------------


async def test_texts_go_both_ways(host: Host, calling: Calling) -> None:
    """A connected client calls an action, and gets an answer."""
    async with calling(host) as caller:
        await caller.connect()
        await caller.ready()
        assert (await caller.call("add", a=2, b=3))["data"] == {"result": 5}


async def test_pings_are_taken_for_what_they_are(host: Host, calling: Calling) -> None:
    """A ping is not JSON. It is not answered, and no warning is logged."""
    async with calling(host) as caller:
        await caller.connect()
        caller.say("ping: 1753900000000")
        await caller.ready()
        assert [each["type"] for each in caller.received] == ["bot-ready"]


async def test_a_client_may_ask_whether_it_is_connected(host: Host, calling: Calling) -> None:
    """A ping in the form of signalling is answered by a pong."""
    async with calling(host) as caller:
        await caller.connect()
        await caller.ready()
        caller.say({"type": "signalling", "message": {"type": "ping"}})
        await caller.find(lambda each: each == {"type": "signalling", "message": {"type": "pong"}})


async def test_what_is_no_message_is_answered_as_anywhere(host: Host, calling: Calling) -> None:
    """Broken JSON is answered, and so is a message that only looks like signalling."""
    async with calling(host) as caller:
        await caller.connect()
        await caller.ready()
        caller.say('{"type": "signalling"')
        assert (await caller.answer_to(""))["data"]["code"] == "invalid-message"
        caller.say({"label": "rtvi-ai", "type": "signalling", "id": "s", "data": {}})
        assert (await caller.answer_to("s"))["data"]["code"] == "unknown-message"


async def test_the_microphone_is_told_of(host: Host, calling: Calling) -> None:
    """The bot gets the first track's state, but not those of camera and screen, nor signals of other kinds."""
    async with calling(host) as caller:
        await caller.connect()
        await caller.ready()
        caller.say({"type": "signalling", "message": "nothing"})
        caller.tell_track(0, False)
        caller.tell_track(1, False)
        caller.tell_track(2, False)
        caller.tell_track(0, True)
        await caller.find(lambda each: each.get("data") == {"microphone": True})
        states = [each["data"]["microphone"] for each in caller.received if "microphone" in each.get("data", {})]
        assert states[-2:] == [False, True]
        assert states.count(False) == 1


async def test_a_long_answer_arrives_whole(host: Host, calling: Calling) -> None:
    """An answer of many times the size of a packet is assembled again."""
    async with calling(host) as caller:
        await caller.connect()
        await caller.ready()
        assert (await caller.call("fill", size=200_000))["data"]["result"] == "x" * 200_000


async def test_an_answer_that_is_too_long_is_refused(host: Host, calling: Calling) -> None:
    """The client gets an error, because the answer is longer than it accepts. The session continues."""
    async with calling(host) as caller:
        await caller.connect()
        await caller.ready()
        answer = await caller.call("fill", size=300_000)
        assert (answer["type"], answer["data"]["code"]) == ("error-response", "message-too-large")
        assert (await caller.call("add", a=2, b=3))["data"] == {"result": 5}


async def test_a_client_that_takes_no_answer_ends_its_own_session(
    host: Host, calling: Calling, caplog: pytest.LogCaptureFixture
) -> None:
    """One to which not even the refusal can be sent is given up, with a reason; the other sessions go on."""
    async with calling(host) as caller:
        await caller.connect()
        await caller.ready()
        deaf = Caller(caller.http)
        await deaf.start()
        assert host.open_sessions == 2
        offer = await deaf.make_offer()
        sdp = re.sub(r"a=max-message-size:\d+", "a=max-message-size:10", offer["sdp"])
        await deaf.accept(await deaf.post({**offer, "sdp": sdp}))
        await deaf.patch(offer["sdp"])
        await deaf.opened()
        deaf.say({"label": "rtvi-ai", "type": "client-ready", "id": "ready", "data": {"version": "2.1.0"}})
        await caller.until(lambda: caller.ended == 1)
        await deaf.until(lambda: deaf.channel is not None and deaf.channel.readyState == "closed")
        assert deaf.received == []
        assert (await caller.call("add", a=2, b=3))["data"] == {"result": 5}
        await deaf.close()
    assert "its session ends" in caplog.text
    assert "raised" not in caplog.text


async def test_many_answers_arrive_in_order(host: Host, calling: Calling) -> None:
    """Answers above the number that may be sent at the same time wait."""
    async with calling(host) as caller:
        await caller.connect()
        await caller.ready()
        results = await asyncio.gather(*(caller.call("fill", size=40_000 + each) for each in range(10)))
        assert [len(each["data"]["result"]) for each in results] == list(range(40_000, 40_010))


# ---- sound -----------------------------------------------------------------------------------------------------


async def test_the_bot_is_heard_at_its_pitch(host: Host, calling: Calling) -> None:
    """All audio of the bot comes on the first transceiver, neither too fast nor too slow."""
    async with calling(host) as caller:
        await caller.connect()
        await caller.ready()
        caller.say(typed("440"))
        await caller.message("bot-stopped-speaking")
        frames = caller.frames
        await caller.until(lambda: caller.frames > frames + 25)
        loud = caller.loud()
        assert hertz_of(loud, 48_000) == pytest.approx(440, rel=0.02)
        assert len(loud) / 48_000 == pytest.approx(0.5, abs=0.1)


async def test_what_was_cut_short_is_not_heard(host: Host, calling: Calling, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames that are still in the track at an interruption are not sent after the message about it."""
    let, recv = asyncio.Event(), BotTrack.recv

    async def recv_when_let(track: BotTrack) -> Packet[Any]:
        await let.wait()
        return await recv(track)

    monkeypatch.setattr(BotTrack, "recv", recv_when_let)
    async with calling(host) as caller:
        await caller.connect()
        await caller.ready()
        caller.say(typed("440"))
        await caller.message("bot-started-speaking")
        await caller.call("hush")
        await caller.message("bot-interrupted")
        let.set()
        await caller.until(lambda: caller.frames > 20)
        assert len(caller.loud()) == 0


async def test_the_bot_hears_the_user(host: Host, calling: Calling) -> None:
    """The microphone's tone reaches the bot at its pitch."""
    async with calling(host, microphone=Microphone(300)) as caller:
        await caller.connect()
        await caller.ready()
        message = await caller.find(lambda each: abs(each.get("data", {}).get("hertz", 0) - 300) < 9)
        assert message["data"]["rate"] == 16_000


async def test_a_conversation_is_spoken(calling: Calling) -> None:
    """The bot hears what is said into the microphone, and its answer is heard."""
    microphone = Microphone(300)
    async with calling(Host(parrot, environ={}), microphone=microphone) as caller:
        await caller.connect()
        await caller.ready()
        await caller.message("user-started-speaking")
        microphone.mute()
        await caller.message("user-transcription")
        await caller.message("bot-stopped-speaking")
        assert hertz_of(caller.loud(), 48_000) == pytest.approx(440, rel=0.02)


async def test_a_client_may_do_without_media(host: Host, calling: Calling) -> None:
    """A data channel is enough for a conversation in text."""
    async with calling(host) as caller:
        await caller.connect(lines=0)
        await caller.ready()
        assert (await caller.call("add", a=2, b=3))["data"] == {"result": 5}


async def test_sound_is_decided_by_the_first_offer(host: Host, calling: Calling) -> None:
    """Audio that is offered later in a session without sound carries nothing, and the answer says so."""
    async with calling(host, microphone=Microphone(300)) as caller:
        await caller.connect(lines=0)
        await caller.ready()
        caller.pc.addTransceiver("audio", "sendrecv")
        await caller.accept(await caller.post(await caller.renew_offer()))
        assert caller.answered_lines == [("audio", "inactive")]
        await caller.restart()
        assert caller.answered_lines[0] == ("audio", "inactive")
        assert (await caller.call("has_sound"))["data"] == {"result": False}


async def test_a_restart_may_bring_sound_back(host: Host, calling: Calling) -> None:
    """After a restart without sound, another restart with sound brings it back."""
    async with calling(host, microphone=Microphone(300)) as caller:
        await caller.connect()
        await caller.ready()
        await caller.restart(lines=0)
        caller.microphone = Microphone(300)
        await caller.restart()
        assert caller.answered_lines[0] == ("audio", "sendrecv")
        await caller.find(lambda each: abs(each.get("data", {}).get("hertz", 0) - 300) < 9)


# ---- restarts --------------------------------------------------------------------------------------------------


async def test_a_restart_keeps_the_session(host: Host, calling: Calling) -> None:
    """After a restart while the bot speaks, the session continues without another client-ready."""
    async with calling(host, microphone=Microphone(300)) as caller:
        await caller.connect()
        await caller.ready()
        known = caller.pc_id
        caller.say(typed("440"))
        await caller.message("bot-started-speaking")
        caller.microphone = Microphone(500)
        await caller.restart()
        assert (await caller.call("add", a=2, b=3))["data"] == {"result": 5}
        await caller.message("bot-stopped-speaking")
        await caller.find(lambda each: abs(each.get("data", {}).get("hertz", 0) - 500) < 10)
        assert (caller.pc_id, host.open_sessions) == (known, 1)


async def test_texts_wait_for_a_restart(host: Host, calling: Calling) -> None:
    """Messages are kept while the client cannot be reached, and sent when it can."""
    async with calling(host) as caller:
        await caller.connect()
        await caller.ready()
        caller.say(typed("440"))
        await caller.message("bot-started-speaking")
        await caller.lose()
        await caller.connect(restart=True)
        await caller.message("bot-stopped-speaking")


async def test_a_lost_client_may_restart(hasty: None, host: Host, calling: Calling) -> None:
    """A client that returns in time finds its session."""
    async with calling(host) as caller:
        await caller.connect()
        await caller.ready()
        await caller.lose()
        await caller.connect(restart=True)
        assert (await caller.call("add", a=2, b=3))["data"] == {"result": 5}


async def test_a_changed_offer_is_applied_to_what_there_is(host: Host, calling: Calling) -> None:
    """A new offer for the same peer connection keeps the connection."""
    async with calling(host) as caller:
        await caller.connect(lines=2)
        await caller.ready()
        before = caller.answer
        caller.pc.addTransceiver("video", "sendonly")
        await caller.accept(await caller.post(await caller.renew_offer()))
        assert caller.answer["pc_id"] == before["pc_id"]
        assert [kind for kind, _ in caller.answered_lines] == ["audio", "video", "video"]
        assert (await caller.call("add", a=2, b=3))["data"] == {"result": 5}


# ---- the end ---------------------------------------------------------------------------------------------------


async def test_the_client_is_told_that_the_bot_has_left(host: Host, calling: Calling) -> None:
    """When the bot ends a session, peerLeft is the last message, after everything else."""
    async with calling(host) as caller:
        await caller.connect()
        await caller.ready()
        await caller.call("hang_up")
        await caller.find(lambda each: each == PEER_LEFT)
        assert caller.received[-1] == PEER_LEFT
        await caller.until(lambda: caller.pc.connectionState == "closed")


async def test_a_server_that_ends_says_goodbye(host: Host, calling: Calling) -> None:
    """When the server ends, a connected client gets all answers and a last message, and does not wait."""
    async with calling(host) as caller:
        await caller.connect()
        await caller.ready()
        data: Message = {"service": "bot", "action": "dawdle", "arguments": []}
        caller.say({"label": "rtvi-ai", "type": "action", "id": "waits", "data": data})
        assert (await caller.call("add", a=2, b=3))["data"] == {"result": 5}
    assert caller.received[-2]["id"] == "waits"
    assert caller.received[-2]["data"]["code"] == "session-closed"
    assert caller.received[-1] == {"type": "signalling", "message": {"type": "peerLeft", "code": 1012}}


@pytest.mark.parametrize("closing", ["channel", "pc"])
async def test_a_client_that_disconnects_is_gone_at_once(
    closing: str, host: Host, calling: Calling, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It closes its channel, or all of its connection; nobody waits for it to come back."""
    monkeypatch.setattr(routes, "Timeouts", lambda: Timeouts(restart=1_000, quiet=1_000, check=1_000))
    async with calling(host) as caller:
        await caller.connect()
        await caller.ready()
        closed = getattr(caller, closing).close()
        if closed is not None:
            await closed
        await caller.until(lambda: caller.ended == 1)


async def test_a_client_that_is_lost_is_gone(hasty: None, host: Host, calling: Calling) -> None:
    """Its session ends if it has not returned in time."""
    async with calling(host) as caller:
        await caller.connect()
        await caller.ready()
        await caller.lose()
        await caller.until(lambda: caller.ended == 1)


async def test_the_end_of_a_replaced_connection_ends_nothing(host: Host, calling: Calling) -> None:
    """A client that has restarted closes its old connection."""
    async with calling(host) as caller:
        await caller.connect()
        await caller.ready()
        await caller.restart()
        assert (await caller.call("add", a=2, b=3))["data"] == {"result": 5}
        assert (caller.ended, host.open_sessions) == (0, 1)


async def test_a_client_that_falls_silent_is_gone(hasty: None, host: Host, calling: Calling) -> None:
    """If a client that sent pings stops, the server does not wait for ICE to notice it."""
    async with calling(host) as caller:
        await caller.connect()
        await caller.ready()
        caller.say("ping: 1753900000000")
        await caller.until(lambda: caller.ended == 1)


async def test_a_client_that_never_connects_is_gone(hasty: None, host: Host, calling: Calling) -> None:
    """An offer alone does not keep a session open."""
    async with calling(host) as caller:
        assert (await caller.post(await caller.make_offer())).status_code == 200
        await caller.until(lambda: caller.ended == 1)
