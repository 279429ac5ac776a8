"""A caller who talks to a bot over WebRTC and a bad network: an aiortc peer whose microphone is always on."""

from __future__ import annotations

import asyncio
import json
from array import array
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from fractions import Fraction
from typing import Any

import httpx2
from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from attrs import define, field
from av import AudioFrame

from ..tools.flite import RATE, speech
from ..tools.inbox import Inbox
from .path import LossyPath, lossy_path, without_candidates

__all__ = ("Caller", "calling")

_FRAME = RATE // 50  # samples of 20 ms
_LOUD = 500


class _Microphone(MediaStreamTrack):
    """The audio of utterances, and silence between them, in frames of 20 ms."""

    kind = "audio"

    def __init__(self, to_say: deque[bytes]) -> None:
        super().__init__()
        self._to_say = to_say
        self._sent = 0
        self._began = asyncio.get_running_loop().time()

    async def recv(self) -> AudioFrame:
        if self.readyState != "live":
            raise MediaStreamError
        await asyncio.sleep(max(0.0, self._began + self._sent / RATE - asyncio.get_running_loop().time()))
        frame = AudioFrame(format="s16", layout="mono", samples=_FRAME)
        frame.planes[0].update(self._to_say.popleft() if self._to_say else bytes(2 * _FRAME))
        frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), self._sent
        self._sent += _FRAME
        return frame


@define(eq=False)
class Caller:
    """One client, with one peer connection at a time, each over a path of its own."""

    http: httpx2.AsyncClient
    seed: int
    inbox: Inbox = field(factory=Inbox)
    #: Frames of the bot's audio in which something can be heard.
    loud_frames: int = 0
    paths: list[LossyPath] = field(factory=list[LossyPath])
    _offers: str = ""
    _pc_id: str | None = None
    _peer: RTCPeerConnection | None = None
    _channel: RTCDataChannel | None = None
    _to_say: deque[bytes] = field(factory=deque[bytes])
    _stack: AsyncExitStack = field(factory=AsyncExitStack)
    _hearing: list[asyncio.Task[None]] = field(factory=list[asyncio.Task[None]])
    _ids: int = 0

    # ---- connecting ------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start a session."""
        body = (await self.http.post("/webrtc/start", json={})).raise_for_status().json()
        self._offers = f"/webrtc/sessions/{body['sessionId']}/api/offer"

    async def connect(self, *, restart: bool = False) -> None:
        """Offer a new peer connection, and wait until texts can be sent. The earlier one is closed."""
        before, path = self._peer, await self._stack.enter_async_context(lossy_path(f"{self.seed} {len(self.paths)}"))
        self.paths.append(path)
        peer = self._peer = self._make_peer()
        await peer.setLocalDescription(await peer.createOffer())
        offer = peer.localDescription.sdp
        await self._offer(path, offer, restart=restart)
        if before is not None:
            await before.close()
        await self.inbox.until(lambda: self._is_open, "an open data channel")

    async def _offer(self, path: LossyPath, offer: str, *, restart: bool) -> None:
        """Send an offer without candidates, which follow after the answer, as the published client does."""
        assert self._peer is not None
        body = {"sdp": without_candidates(offer), "type": "offer", "pc_id": self._pc_id, "restart_pc": restart}
        answer = (await self.http.post(self._offers, json=body)).raise_for_status().json()
        self._pc_id = answer["pc_id"]
        candidate = {"candidate": path.for_server(offer), "sdp_mid": "0", "sdp_mline_index": 0}
        description = RTCSessionDescription(path.for_client(answer["sdp"]), "answer")
        (await self.http.patch(self._offers, json={"pc_id": self._pc_id, "candidates": [candidate]})).raise_for_status()
        await self._peer.setRemoteDescription(description)

    def _make_peer(self) -> RTCPeerConnection:
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        for kind, direction in (("audio", "sendrecv"), ("video", "sendrecv")):
            peer.addTransceiver(kind, direction)
        peer.getTransceivers()[0].sender.replaceTrack(_Microphone(self._to_say))
        self._channel = peer.createDataChannel("chat", ordered=True)
        self._channel.on("open", self.inbox.notice)
        self._channel.on("message", self._take)
        peer.on("track", self._on_track)
        return peer

    @property
    def _is_open(self) -> bool:
        return self._channel is not None and self._channel.readyState == "open"

    def _take(self, text: str) -> None:
        self.inbox.take(json.loads(text))

    # ---- to the bot ------------------------------------------------------------------------------------------------

    def send(self, type: str, data: Any) -> str:
        """Send a message, and return its id."""
        assert self._channel is not None
        self._ids += 1
        self._channel.send(json.dumps({"label": "rtvi-ai", "type": type, "id": f"call-{self._ids}", "data": data}))
        return f"call-{self._ids}"

    async def ready(self) -> None:
        """Send `client-ready`, and wait for the bot."""
        self.send("client-ready", {"version": "2.1.0", "about": {"library": "a test"}})
        await self.inbox.find("bot-ready")

    async def call(self, service: str, action: str, **arguments: Any) -> Any:
        """Return the result of an action."""
        listed = [{"name": name, "value": value} for name, value in arguments.items()]
        id = self.send("action", {"service": service, "action": action, "arguments": listed})
        await self.inbox.until(lambda: any(each.get("id") == id for each in self.inbox.received), f"an answer to {id}")
        answer = next(each for each in self.inbox.received if each.get("id") == id)
        assert answer["type"] == "action-response", answer
        return answer["data"]["result"]

    def say(self, text: str) -> None:
        """Say something aloud."""
        sound = speech(text)
        for at in range(0, len(sound), 2 * _FRAME):
            self._to_say.append(sound[at : at + 2 * _FRAME].ljust(2 * _FRAME, b"\0"))

    # ---- from the bot ----------------------------------------------------------------------------------------------

    def _on_track(self, track: MediaStreamTrack) -> None:
        if track.kind == "audio":
            self._hearing.append(asyncio.create_task(self._hear(track)))

    async def _hear(self, track: Any) -> None:
        try:
            while True:
                frame: AudioFrame = await track.recv()
                samples = array("h", bytes(frame.planes[0])[: 4 * frame.samples])
                self.loud_frames += max(map(abs, samples)) > _LOUD
                self.inbox.notice()
        except MediaStreamError:
            return

    async def heard(self, seconds: float) -> None:
        """Wait until this much more of the bot was heard."""
        wanted = self.loud_frames + round(seconds * 50)
        await self.inbox.until(lambda: self.loud_frames >= wanted, f"{seconds} s of audio")

    # ---- the end ---------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Leave."""
        if self._peer is not None:
            await self._peer.close()
        for task in self._hearing:
            task.cancel()
        await asyncio.gather(*self._hearing, return_exceptions=True)
        await self._stack.aclose()


@asynccontextmanager
async def calling(url: str, seed: int) -> AsyncGenerator[Caller]:
    """A caller who is connected to the bot of a server."""
    async with httpx2.AsyncClient(base_url=url, timeout=30) as http:
        caller = Caller(http, seed)
        try:
            await caller.start()
            await caller.connect()
            await caller.ready()
            yield caller
        finally:
            await caller.close()
