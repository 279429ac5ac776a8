"""A session and the client that it talks to over WebRTC, through as many peer connections as the network needs."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from contextlib import suppress
from typing import Any, Final, cast

import anyio
import orjson
from attrs import frozen

from rtvi_plugins.errors import MessageTooLarge, report
from rtvi_plugins.hosting import Connection
from rtvi_plugins.kinds import Audio

from ._bodies import Offer, Trickle
from ._ice import IceServers
from ._peer import Listener, Peer, TooLong
from ._sound import RATE
from .errors import NoSuchSession

__all__ = ("Link", "Patience")

log = logging.getLogger("rtvi_plugins.webrtc")

_MICROPHONE: Final = 0
_PEER_LEFT: Final = '{"type": "signalling", "message": {"type": "peerLeft"}}'
# A signalling message has some hundred characters. RTVI messages are not read twice.
_SIGNALLING: Final = '"signalling"'
_LONGEST_SIGNALLING: Final = 1_000


@frozen
class Patience:
    """How long what may be waited for, in seconds.

    A published client takes an interruption of 5 s before it restarts, and repeats a failed restart after 2 s.
    """

    #: For a new peer connection to be connected.
    connect: float = 20.0
    #: For a restart, once a peer connection is lost.
    restart: float = 10.0
    #: For any sign of a client that sends pings, one each second.
    quiet: float = 10.0
    #: For the client to leave, once it is told that the bot has left.
    goodbye: float = 1.5
    #: How often to look.
    look: float = 1.0


class Link:
    """One session's side of WebRTC. `run` carries it until it ends, and ends it when the client is gone."""

    def __init__(self, connection: Connection, servers: IceServers, patience: Patience, *, outbox_size: int) -> None:
        #: Names the peer connection in requests. It stays the same when there is a new one.
        self.pc_id = secrets.token_urlsafe(12)
        self._connection = connection
        self._servers = servers
        self._patience = patience
        self._outbox_size = outbox_size
        self._listener = Listener(self._take_text, self._take_audio, self._changed)
        self._peer: Peer | None = None
        self._offers = asyncio.Lock()
        self._changes = asyncio.Event()
        self._closing: set[asyncio.Task[None]] = set()
        self._waiting: deque[str] = deque()
        self._waiting_size = 0
        #: Whether the session has sound, once its first offer has decided that.
        self._audible: bool | None = None
        self._over = False
        self._lost: float | None = None
        self._pinged = False
        self._sign = asyncio.get_running_loop().time()

    # ---- offers ----------------------------------------------------------------------------------------------------

    async def offer(self, offer: Offer) -> dict[str, str]:
        """The answer to an offer: the first, one that repeats it or starts anew, or one that changes what there is.

        `NoSuchSession` if it is about another peer connection, or the session is over; `InvalidOffer` for a bad one.
        """
        async with self._offers:
            self._check(offer)
            if self._peer is not None and offer.pc_id is not None and not offer.restart:
                sdp = await self._peer.answer(offer.sdp)
            else:
                sdp = await self._begin(offer.sdp)
        return {"sdp": sdp, "type": "answer", "pc_id": self.pc_id}

    def _check(self, offer: Offer) -> None:
        self._check_open()
        if offer.pc_id is not None:
            self._check_id(offer.pc_id)
        # Who has not learnt the id never got an answer, and cannot be the one that is connected.
        elif self._peer is not None and self._peer.was_connected:
            raise NoSuchSession("This session is connected; to restart it, send the pc_id that the answer told.")

    def _check_open(self) -> None:
        if self._over or self._connection.closed:
            raise NoSuchSession("The session has ended; start again.")

    def _check_id(self, pc_id: str) -> None:
        if pc_id != self.pc_id:
            raise NoSuchSession("The session has no peer connection with this pc_id.")

    async def _begin(self, sdp: str) -> str:
        peer = Peer(self._listener, self._servers.own, sound=self._audible is not False)
        try:
            answer = await peer.answer(sdp)
        except BaseException:
            self._dismiss(peer)
            raise
        if self._over:
            self._dismiss(peer)
            raise NoSuchSession("The session has ended; start again.")
        if self._audible is None:
            self._audible = peer.has_audio
            if self._audible:
                self._connection.open_audio(RATE, on_interrupt=self._hush)
        if self._peer is not None:
            self._dismiss(self._peer)
        self._peer, self._lost, self._pinged = peer, None, False
        return answer

    def _dismiss(self, peer: Peer) -> None:
        task = asyncio.create_task(peer.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def add(self, trickle: Trickle) -> None:
        """Try more addresses of the client. `NoSuchSession` if they are those of another peer connection."""
        self._check_open()
        self._check_id(trickle.pc_id)
        if self._peer is not None:
            await self._peer.add(trickle.candidates)

    # ---- from the client -------------------------------------------------------------------------------------------

    def _take_text(self, text: str) -> None:
        self._sign = asyncio.get_running_loop().time()
        if not self._connection.charge(len(text)):
            return
        if text.startswith("ping"):
            self._pinged = True
        elif _SIGNALLING in text[:_LONGEST_SIGNALLING] and (told := _signalling(text)) is not None:
            self._signalled(told)
        else:
            self._connection.receive(text)

    def _signalled(self, told: dict[str, Any]) -> None:
        if told.get("type") == "trackStatus" and told.get("receiver_index") == _MICROPHONE:
            self._connection.microphone(told.get("enabled") is True)

    def _take_audio(self, audio: Audio) -> None:
        self._sign = asyncio.get_running_loop().time()
        if self._connection.charge(len(audio.data)):
            self._connection.receive_audio(audio)

    # ---- to the client ---------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Carry what the session says until it has ended, then say goodbye. Never raises."""
        try:
            await self._run()
        except Exception as error:
            report("a WebRTC session", error)

    async def _run(self) -> None:
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._watch)
                await self._carry()
                group.cancel_scope.cancel()
        finally:
            self._over = True
            self._connection.disconnected()
            with anyio.CancelScope(shield=True):
                await self._leave()

    async def _carry(self) -> None:
        while items := await self._connection.outgoing():
            for item in items:
                if isinstance(item, str):
                    self._waiting.append(item)
                    self._waiting_size += len(item)
                elif self._peer is not None:
                    self._peer.play(item)
            self._flush()
            if self._waiting_size > self._outbox_size:
                log.warning("a client does not take what is sent to it, and is given up")
                return

    def _hush(self) -> None:
        if self._peer is not None:
            self._peer.hush()

    def _changed(self) -> None:
        self._changes.set()
        if self._peer is not None and self._peer.left and not self._connection.closed:
            log.info("a client has left")
            self._connection.disconnected()
        self._flush()

    def _flush(self) -> None:
        """Send what the client takes now. While it restarts, texts wait and sound is lost."""
        while self._waiting and self._peer is not None and self._peer.has_room:
            self._send(self._peer)

    def _send(self, peer: Peer) -> None:
        text = self._waiting.popleft()
        self._waiting_size -= len(text)
        try:
            peer.send(text)
        except TooLong as error:
            log.warning("a message was not sent: %s", error)
            self._apologise(peer, text)

    def _apologise(self, peer: Peer, text: str) -> None:
        instead = _apology(text)
        try:
            if instead is not None:
                peer.send(instead)
        except TooLong:  # whoever can be told nothing would wait for ever
            log.warning("a client accepts no text that is long enough for an answer, and is given up")
            self._connection.close("the client accepts no text that is long enough for an answer", now=True)

    async def _leave(self) -> None:
        peer = self._peer
        if peer is not None and peer.open:
            while self._waiting:
                self._send(peer)
            with suppress(TooLong):
                peer.send(_PEER_LEFT)
            with anyio.move_on_after(self._patience.goodbye):
                while peer.open:
                    self._changes.clear()
                    await self._changes.wait()
        if peer is not None:
            self._dismiss(peer)
        await asyncio.gather(*self._closing)

    # ---- whether the client is there -------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """End the session once the client is gone for good."""
        while True:
            await anyio.sleep(self._patience.look)
            if self._gone(asyncio.get_running_loop().time()):
                log.info("a client is gone: its peer connection was lost, and it has not come back")
                return self._connection.disconnected()

    def _gone(self, now: float) -> bool:
        if self._peer is not None and self._peer.connected and not self._is_quiet(now):
            self._lost = None
            return False
        if self._lost is None:
            self._lost = now
        is_new = self._peer is not None and not self._peer.was_connected
        return now - self._lost >= (self._patience.connect if is_new else self._patience.restart)

    def _is_quiet(self, now: float) -> bool:
        # aiortc takes half a minute to notice that nobody is there; a client that pings shows it by neither ping nor
        # sound.
        return self._pinged and now - self._sign >= self._patience.quiet


def _signalling(text: str) -> dict[str, Any] | None:
    """What a signalling message tells; None for any other message."""
    if len(text) > _LONGEST_SIGNALLING:
        return None
    try:
        found: Any = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(found, dict):
        return None
    envelope = cast("dict[str, Any]", found)
    if envelope.get("type") != "signalling" or "label" in envelope:
        return None
    told: Any = envelope.get("message")
    return cast("dict[str, Any]", told) if isinstance(told, dict) else {}


def _apology(text: str) -> str | None:
    """The answer in place of one that is too long for the client, so that the request does not wait for ever."""
    message: dict[str, Any] = orjson.loads(text)
    if not isinstance(id := message.get("id"), str):
        return None
    sentence = "The answer is longer than this client accepts over WebRTC; ask for less, or use the WebSocket."
    data = MessageTooLarge(sentence).to_json()
    return orjson.dumps({"label": "rtvi-ai", "type": "error-response", "id": id, "data": data}).decode()
