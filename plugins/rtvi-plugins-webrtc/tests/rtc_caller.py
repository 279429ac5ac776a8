"""A client of the routes like the published one: an aiortc peer, a data channel, and candidates by PATCH."""

from __future__ import annotations

import asyncio
import json
import math
import re
import sys
from array import array
from collections.abc import Callable
from fractions import Fraction
from itertools import count, pairwise
from statistics import median
from typing import Any, TypeAlias

import httpx2
from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCRtpTransceiver,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame

__all__ = ("PATIENCE", "PEER_LEFT", "Caller", "Message", "Microphone", "hertz_of")

#: How long any one thing may take, in seconds. On this machine connecting takes a tenth of one.
PATIENCE = 60.0

#: What the bot says last. A client disconnects then.
PEER_LEFT = {"type": "signalling", "message": {"type": "peerLeft"}}

Message: TypeAlias = dict[str, Any]

_CANDIDATE = re.compile(r"^a=(candidate:.*?)\r?\n", re.MULTILINE)
_RATE = 48_000


class Microphone(MediaStreamTrack):
    """A tone of `hertz`, 48 kHz, in stereo like that of some browsers, with a frame every 20 ms."""

    kind = "audio"

    def __init__(self, hertz: float) -> None:
        super().__init__()
        self.hertz = hertz
        self.volume = 9000
        self._sent = 0
        self._began: float | None = None

    def mute(self) -> None:
        """Continue in silence."""
        self.volume = 0

    async def recv(self) -> AudioFrame:
        if self.readyState != "live":
            raise MediaStreamError
        loop = asyncio.get_running_loop()
        self._began = loop.time() if self._began is None else self._began
        await asyncio.sleep(max(0.0, self._began + self._sent / _RATE - loop.time()))
        frame = AudioFrame(format="s16", layout="stereo", samples=960)
        frame.planes[0].update(self._samples())
        frame.sample_rate, frame.time_base, frame.pts = _RATE, Fraction(1, _RATE), self._sent
        self._sent += 960
        return frame

    def _samples(self) -> bytes:
        step = 2 * math.pi * self.hertz / _RATE
        values = (round(self.volume * math.sin(step * (self._sent + at))) for at in range(960))
        return array("h", (value for each in values for value in (each, each))).tobytes()


class Caller:
    """One client, with one peer connection at a time."""

    def __init__(self, http: httpx2.AsyncClient, *, microphone: Microphone | None = None) -> None:
        self.http = http
        self.microphone = microphone
        self.url = ""
        self.started: Message = {}
        self.answer: Message = {}
        self.pc_id: str | None = None
        self.received: list[Message] = []
        #: Of what the bot said, one of the two channels, at 48 kHz.
        self.heard = array("h")
        self.frames = 0
        #: Sessions that have ended, by whatever cause.
        self.ended = 0
        self.pc = RTCPeerConnection()
        self.channel: RTCDataChannel | None = None
        self._ids = count()
        self._news = asyncio.Event()
        self._left: list[RTCPeerConnection] = []
        self._hearing: list[asyncio.Task[None]] = []
        self._leaving: asyncio.Task[None] | None = None

    async def start(self, body: Message | None = None) -> None:
        """POST the start, and build the address for offers from its answer."""
        response = await self.http.post("/webrtc/start", json=body or {})
        self.started = response.json()
        self.url = f"/webrtc/sessions/{self.started['sessionId']}/api/offer"

    # ---- offers ----------------------------------------------------------------------------------------------------

    async def make_offer(self, *, lines: int = 3, restart: bool = False) -> Message:
        """Make a new peer connection, and the body that offers it. `lines` of media, as published clients have them."""
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        for kind, direction in [("audio", "sendrecv"), ("video", "sendrecv"), ("video", "sendonly")][:lines]:
            self.pc.addTransceiver(kind, direction)
        if self.microphone is not None and lines:
            self.pc.getTransceivers()[0].sender.replaceTrack(self.microphone)
        self.channel = self.pc.createDataChannel("chat", ordered=True)
        self.channel.on("open", self._tell)
        self.channel.on("close", self._tell)
        self.channel.on("message", self._take)
        self.pc.on("connectionstatechange", self._tell)
        self.pc.on("track", self._on_track)
        return await self.renew_offer(restart=restart)

    async def renew_offer(self, *, restart: bool = False) -> Message:
        """Return a new offer for the current peer connection."""
        await self.pc.setLocalDescription(await self.pc.createOffer())
        sdp = self.pc.localDescription.sdp
        return {"sdp": sdp, "type": "offer", "pc_id": self.pc_id, "restart_pc": restart}

    async def post(self, body: Message) -> httpx2.Response:
        """POST an offer without its candidates. The answer is not applied."""
        sdp = _CANDIDATE.sub("", body["sdp"]).replace("a=end-of-candidates\r\n", "")
        return await self.http.post(self.url, json={**body, "sdp": sdp})

    async def accept(self, response: httpx2.Response) -> None:
        """Apply the answer to an offer."""
        assert response.status_code == 200, response.text
        self.answer = response.json()
        self.pc_id = self.answer["pc_id"]
        await self.pc.setRemoteDescription(RTCSessionDescription(self.answer["sdp"], self.answer["type"]))

    async def patch(self, sdp: str) -> httpx2.Response:
        """PATCH the candidates of an offer, as a browser does when it finds them later."""
        found = [{"candidate": each, "sdp_mid": "0", "sdp_mline_index": 0} for each in _CANDIDATE.findall(sdp)]
        return await self.http.patch(self.url, json={"pc_id": self.pc_id, "candidates": found})

    async def connect(self, *, lines: int = 3, restart: bool = False) -> None:
        """Send an offer, apply the answer, send the candidates, and wait until texts can be sent."""
        offer = await self.make_offer(lines=lines, restart=restart)
        await self.accept(await self.post(offer))
        assert (await self.patch(offer["sdp"])).json() == {"status": "success"}
        await self.opened()

    async def opened(self) -> None:
        """Wait until texts can be sent."""
        await self.until(lambda: self.channel is not None and self.channel.readyState == "open")

    async def restart(self, *, lines: int = 3) -> None:
        """Make a new peer connection for the session, and close the old one."""
        self._left.append(self.pc)
        await self.connect(lines=lines, restart=True)
        await self._left[-1].close()

    async def lose(self) -> None:
        """Lose the connection, as a network failure does, without a message to the bot on the channel."""
        assert self.pc.sctp is not None
        self._left.append(self.pc)
        await self.pc.sctp.transport.stop()

    # ---- texts -----------------------------------------------------------------------------------------------------

    def say(self, message: Message | str) -> None:
        """Send a text, or a message as JSON."""
        assert self.channel is not None
        self.channel.send(message if isinstance(message, str) else json.dumps(message))

    def tell_track(self, index: int, enabled: bool) -> None:
        """Report that a track was switched."""
        status = {"type": "trackStatus", "receiver_index": index, "enabled": enabled}
        self.say({"type": "signalling", "message": status})

    async def ready(self) -> None:
        """Act like a connected client: report the tracks and send client-ready. Wait for the bot."""
        for index in range(3):
            self.tell_track(index, index == 0)
        about = {"version": "2.1.0", "about": {"library": "a test"}}
        self.say({"label": "rtvi-ai", "type": "client-ready", "id": "ready", "data": about})
        await self.message("bot-ready")

    async def call(self, name: str, **arguments: Any) -> Message:
        """Call one of the bot's actions. Return the answer, or the error."""
        id = f"call-{next(self._ids)}"
        listed = [{"name": key, "value": value} for key, value in arguments.items()]
        self.say(
            {
                "label": "rtvi-ai",
                "type": "action",
                "id": id,
                "data": {"service": "bot", "action": name, "arguments": listed},
            }
        )
        return await self.answer_to(id)

    async def answer_to(self, id: str) -> Message:
        """Return the answer to the message with this id."""
        return await self.find(lambda message: message.get("id") == id)

    async def message(self, type: str) -> Message:
        """Return the first message of a type."""
        return await self.find(lambda message: message.get("type") == type)

    async def find(self, fits: Callable[[Message], bool]) -> Message:
        """Return the first message that fits, when it has arrived."""
        await self.until(lambda: any(map(fits, self.received)))
        return next(filter(fits, self.received))

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until a condition is true, which a message, a frame or a change of state can make true."""
        async with asyncio.timeout(PATIENCE):
            while not true():
                self._news.clear()
                await self._news.wait()

    def _take(self, text: Any) -> None:
        message: Message = json.loads(text)
        self.received.append(message)
        if message == PEER_LEFT:
            self._leaving = asyncio.create_task(self.pc.close())
        self._tell()

    def tell_end(self) -> None:
        """Report that a session has ended."""
        self.ended += 1
        self._tell()

    def _tell(self) -> None:
        self._news.set()

    # ---- sound -----------------------------------------------------------------------------------------------------

    def _on_track(self, track: MediaStreamTrack) -> None:
        if track.kind == "audio":
            self._hearing.append(asyncio.create_task(self._hear(track)))

    async def _hear(self, track: Any) -> None:
        try:
            while True:
                frame: AudioFrame = await track.recv()
                samples = array("h", bytes(frame.planes[0])[: 4 * frame.samples])
                self.heard.extend(samples[::2])
                self.frames += 1
                self._tell()
        except MediaStreamError:
            return

    def loud(self) -> array[int]:
        """Return the audio that was heard, from the first loud sample to the last."""
        places = [place for place, sample in enumerate(self.heard) if abs(sample) > 1000]
        return self.heard[places[0] : places[-1] + 1] if places else array("h")

    # ---- the end ---------------------------------------------------------------------------------------------------

    @property
    def answered_lines(self) -> list[tuple[str, str]]:
        """Return the kind and direction of each media line of the answer."""
        directions = re.findall(r"^a=(sendrecv|sendonly|recvonly|inactive)", self.answer["sdp"], re.MULTILINE)
        return list(zip(re.findall(r"^m=(audio|video)", self.answer["sdp"], re.MULTILINE), directions, strict=True))

    @property
    def voice(self) -> RTCRtpTransceiver:
        """Return transceiver 0."""
        return self.pc.getTransceivers()[0]

    async def close(self) -> None:
        """Close what is open."""
        for each in (*self._left, self.pc):
            await each.close()
        for task in self._hearing:
            task.cancel()
        await asyncio.gather(*self._hearing, return_exceptions=True)


def hertz_of(samples: array[int], rate: int) -> float:
    """Return the pitch of a tone, by the median time between two rises through zero. Gaps and clicks do not matter."""
    assert sys.byteorder == "little"
    rises = [place for place, (last, this) in enumerate(pairwise(samples)) if last < 0 <= this]
    periods = [later - earlier for earlier, later in pairwise(rises)]
    return rate / median(periods) if periods else 0.0
