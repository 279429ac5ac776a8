"""A session with a WebRTC client, over one peer connection after the other if the network needs it."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from contextlib import suppress
from typing import Any, Final

import anyio
from attrs import frozen

from rtvi_plugins.errors import report
from rtvi_plugins.hosting import Connection
from rtvi_plugins.kinds import Audio

from ._audio_track import RATE
from ._bodies import Offer, Trickle
from ._ice import IceServers
from ._peer import Listener, Peer, TooLong
from ._signalling import PONG, peer_left, read_signalling, too_long_response
from .errors import NoSuchSession

__all__ = ("Timeouts", "WebRTCSession")

log = logging.getLogger("rtvi_plugins.webrtc")

_MICROPHONE: Final = 0


@frozen
class Timeouts:
    """The times to wait, in seconds.

    A published client restarts after an interruption of 5 s, and repeats a failed restart after 2 s.
    """

    #: For a new peer connection to be connected.
    connect: float = 20.0
    #: For a restart, once a peer connection is lost.
    restart: float = 10.0
    #: For anything from a client that sends pings, one each second.
    quiet: float = 10.0
    #: For the client to disconnect, after `peerLeft` was sent.
    goodbye: float = 1.5
    #: How often the client's state is checked.
    check: float = 1.0


class WebRTCSession:
    """Connects one session to its WebRTC client. `run` ends with the session, and ends it when the client is gone."""

    def __init__(
        self,
        connection: Connection,
        servers: IceServers,
        timeouts: Timeouts,
        *,
        outbox_size: int,
        address: str | None = None,
    ) -> None:
        #: The address that has claimed the session, if known, and whether its client was ever connected.
        self.address, self.was_connected = address, False
        #: Names the peer connection in requests. It stays the same when there is a new one.
        self.pc_id = secrets.token_urlsafe(12)
        self._connection = connection
        self._servers = servers
        self._timeouts = timeouts
        self._outbox_size = outbox_size
        self._listener = Listener(self._take_text, self._take_audio, self._changed)
        self._peer: Peer | None = None
        self._offers = asyncio.Lock()
        self._changes = asyncio.Event()
        self._closing: set[asyncio.Task[None]] = set()
        self._waiting: deque[str] = deque()
        self._waiting_size = 0
        #: Whether the session has audio, which its first offer decides.
        self._has_audio: bool | None = None
        self._over = False
        self._lost: float | None = None
        self._pinged = False
        self._heard_from = asyncio.get_running_loop().time()

    # ---- offers ----------------------------------------------------------------------------------------------------

    async def offer(self, offer: Offer) -> dict[str, str]:
        """Answer an offer: the first one, a repeated one, a restart, or one that changes the connection.

        Raise `NoSuchSession` if it names another peer connection or the session has ended, and `InvalidOffer`.
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
        # Every client that got an answer has the id. So this is another client than the connected one.
        elif self._peer is not None and self._peer.was_connected:
            raise NoSuchSession("This session is connected; to restart it, send the pc_id from the answer.")

    def _check_open(self) -> None:
        if self._over or self._connection.closed:
            raise NoSuchSession("The session has ended; start again.")

    def _check_id(self, pc_id: str) -> None:
        if pc_id != self.pc_id:
            raise NoSuchSession("The session has no peer connection with this pc_id.")

    async def _begin(self, sdp: str) -> str:
        peer = Peer(self._listener, self._servers.for_aiortc, audio=self._has_audio is not False)
        try:
            answer = await peer.answer(sdp)
        except BaseException:
            self._close_later(peer)
            raise
        if self._over:
            self._close_later(peer)
            raise NoSuchSession("The session has ended; start again.")
        if self._has_audio is None:
            self._has_audio = peer.has_audio
            if self._has_audio:
                self._connection.open_audio(RATE, on_interrupt=self._drop_audio)
        if self._peer is not None:
            self._close_later(self._peer)
        self._peer, self._lost, self._pinged = peer, None, False
        return answer

    def _close_later(self, peer: Peer) -> None:
        task = asyncio.create_task(peer.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def add(self, trickle: Trickle) -> None:
        """Try more addresses of the client. Raise `NoSuchSession` if they belong to another peer connection."""
        self._check_open()
        self._check_id(trickle.pc_id)
        if self._peer is not None:
            await self._peer.add(trickle.candidates)

    # ---- from the client -------------------------------------------------------------------------------------------

    def _take_text(self, text: str) -> None:
        self._heard_from = asyncio.get_running_loop().time()
        if not self._connection.charge(len(text)):
            return
        if text.startswith("ping"):
            self._pinged = True
        elif (message := read_signalling(text)) is not None:
            self._signalled(message)
        else:
            self._connection.receive(text)

    def _signalled(self, message: dict[str, Any]) -> None:
        if message.get("type") == "ping":
            self._pinged = True
            if self._peer is not None and self._peer.has_room:  # otherwise enough else is under way
                self._peer.send(PONG)
            return
        if message.get("type") == "trackStatus" and message.get("receiver_index") == _MICROPHONE:
            self._connection.microphone(message.get("enabled") is True)

    def _take_audio(self, audio: Audio) -> None:
        self._heard_from = asyncio.get_running_loop().time()
        if self._connection.charge(len(audio.data)):
            self._connection.receive_audio(audio)

    # ---- to the client ---------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Send what the session says until it has ended, then disconnect. Never raises."""
        try:
            await self._run()
        except Exception as error:
            report("a WebRTC session", error)

    async def _run(self) -> None:
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._cancel_when_gone, group.cancel_scope)
                await self._send_all()
                group.cancel_scope.cancel()
        finally:
            self._over = True
            self._connection.disconnected()
            with anyio.CancelScope(shield=True):
                await self._disconnect()

    async def _send_all(self) -> None:
        while items := await self._connection.outgoing():
            for item in items:
                if isinstance(item, str):
                    self._waiting.append(item)
                    self._waiting_size += len(item)
                elif self._peer is not None:
                    self._peer.play(item)
            self._flush()
            if self._waiting_size > self._outbox_size:
                log.warning("a client does not read what is sent to it; its session ends")
                return

    def _drop_audio(self) -> None:
        if self._peer is not None:
            self._peer.drop_audio()

    def _changed(self) -> None:
        self._changes.set()
        self.was_connected = self.was_connected or (self._peer is not None and self._peer.was_connected)
        if self._peer is not None and self._peer.left and not self._connection.closed:
            log.info("a client has left")
            self._connection.disconnected(left=True)
        self._flush()

    def _flush(self) -> None:
        """Send as much as the client accepts now. While it restarts, texts wait and audio is lost."""
        while self._waiting and self._peer is not None and self._peer.has_room:
            self._send(self._peer)

    def _send(self, peer: Peer) -> None:
        text = self._waiting.popleft()
        self._waiting_size -= len(text)
        try:
            peer.send(text)
        except TooLong as error:
            log.warning("a message was not sent: %s", error)
            self._send_instead(peer, text)

    def _send_instead(self, peer: Peer, text: str) -> None:
        instead = too_long_response(text)
        try:
            if instead is not None:
                peer.send(instead)
        except TooLong:  # the client would wait for ever
            log.warning("a client accepts no text that is long enough for an answer; its session ends")
            self._connection.close("the client accepts no text that is long enough for an answer", now=True)

    async def _disconnect(self) -> None:
        peer = self._peer
        if peer is not None and peer.open:
            while self._waiting:
                self._send(peer)
            with suppress(TooLong):
                peer.send(peer_left(self._connection.close_code))
            with anyio.move_on_after(self._timeouts.goodbye):
                while peer.open:
                    self._changes.clear()
                    await self._changes.wait()
        if peer is not None:
            self._close_later(peer)
        await asyncio.gather(*self._closing)

    # ---- whether the client is there -------------------------------------------------------------------------------

    async def _cancel_when_gone(self, scope: anyio.CancelScope) -> None:
        """End this when the client is gone. It may come back, in a `WebRTCSession` of its own."""
        while True:
            await anyio.sleep(self._timeouts.check)
            if self._gone(asyncio.get_running_loop().time()):
                log.info("a client is gone: its peer connection was lost, and it did not restart")
                return scope.cancel()

    def _gone(self, now: float) -> bool:
        if self._peer is not None and self._peer.connected and not self._is_quiet(now):
            self._lost = None
            return False
        if self._lost is None:
            self._lost = now
        is_new = self._peer is not None and not self._peer.was_connected
        return now - self._lost >= (self._timeouts.connect if is_new else self._timeouts.restart)

    def _is_quiet(self, now: float) -> bool:
        # aiortc takes half a minute to notice a lost client. A client that sends pings is lost when it sends neither
        # pings nor audio.
        return self._pinged and now - self._heard_from >= self._timeouts.quiet
