"""One peer connection: its media lines, its data channel, and how it stands. A session may have several, one by one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Final

from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpSender,
    RTCRtpTransceiver,
    RTCSessionDescription,
    rtcsctptransport,
)
from aiortc.exceptions import OperationError
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.sdp import SessionDescription
from attrs import frozen

from rtvi_plugins.errors import report
from rtvi_plugins.kinds import Audio

from ._bodies import Candidate
from ._sdp import CHANNEL, candidates_in, read_sdp, ufrags_in, without_candidates
from ._sound import BotTrack, heard
from .errors import InvalidOffer, NoNetwork

__all__ = ("Listener", "Peer", "TooLong")

log = logging.getLogger("rtvi_plugins.webrtc")

# With the headers of SCTP, DTLS, UDP and IPv6 a longer chunk overruns an MTU of 1280 bytes, and some paths drop it.
_CHUNK_BYTES: Final = 1_100
# Texts that are handed to SCTP before it has sent them; the rest waits with us, where a restart does not lose it.
_BUFFERED_BYTES: Final = 65_536
# A client knows a handful; each costs a socket's attention.
_MOST_CANDIDATES: Final = 64
_CLOSE_SECONDS: Final = 5.0
# aiortc's search for a way to the peer looks each 20 ms whether it is still wanted, also after it was closed.
_NOTICE_SECONDS: Final = 0.05

rtcsctptransport.USERDATA_MAX_LENGTH = min(rtcsctptransport.USERDATA_MAX_LENGTH, _CHUNK_BYTES)


class TooLong(Exception):
    """A text is longer than the client accepts."""


@frozen
class Listener:
    """Who is told what comes in, and that the peer may have changed: connected, closed, ready for more texts."""

    text: Callable[[str], None]
    audio: Callable[[Audio], None]
    changed: Callable[[], None]


class Peer:
    """A peer connection with one client, the answering side. Needs a running asyncio loop.

    With `sound`, audio goes both ways on the first audio line of the first offer. All other media stay inactive.
    """

    def __init__(self, listener: Listener, servers: Sequence[RTCIceServer], *, sound: bool) -> None:
        # Without a list, aiortc would ask a STUN server of its own choice.
        config = RTCConfiguration(iceServers=list(servers), bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
        self.connection = RTCPeerConnection(config)
        self.was_connected = False
        #: Whether the client has closed the channel, as it does when it disconnects. A lost network does not.
        self.left = False
        self._closing = False
        self._listener = listener
        self._sound = sound
        self._lines: list[tuple[str, str]] = []
        self._bot = BotTrack()
        self._voice: RTCRtpTransceiver | None = None
        self._channel: RTCDataChannel | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._ufrags: set[str] = set()
        self._candidates = 0
        self.connection.on("datachannel", self._on_channel)
        self.connection.on("track", self._on_track)
        self.connection.on("connectionstatechange", self._on_state)

    # ---- how it stands ---------------------------------------------------------------------------------------------

    @property
    def has_audio(self) -> bool:
        """Whether sound goes both ways."""
        return self._voice is not None

    @property
    def connected(self) -> bool:
        """Whether the client can be reached, as far as is known."""
        return self.connection.connectionState == "connected"

    @property
    def open(self) -> bool:
        """Whether texts can be sent."""
        return self.connected and self._channel is not None and self._channel.readyState == "open"

    @property
    def has_room(self) -> bool:
        """Whether another text should be sent now, or wait until the listener is told of a change."""
        return self.open and self._channel is not None and self._channel.bufferedAmount < _BUFFERED_BYTES

    def _on_state(self) -> None:
        self.was_connected = self.was_connected or self.connected
        self._listener.changed()

    # ---- offer and answer ------------------------------------------------------------------------------------------

    async def answer(self, sdp: str) -> str:
        """Take an offer, the first or a new one for the same connection, and answer it.

        `InvalidOffer` for what cannot be used, `NoNetwork` when this machine has no address to offer.
        """
        offered = read_sdp(sdp)
        lines = [(media.kind, media.rtp.muxId) for media in offered.media]
        if lines[: len(self._lines)] != self._lines:
            # aiortc would notice when it has taken half of it.
            raise InvalidOffer(
                "$.sdp: repeat the media lines of the offer before as they were; new ones come after them."
            )
        if self._sound and not self._lines:
            self._make_voice(offered)
        answer = await self._negotiated(without_candidates(sdp))
        self._lines, self._ufrags = lines, ufrags_in(offered)
        if "a=candidate:" not in answer:
            raise NoNetwork("This server has no network address that WebRTC may use; the WebSocket works without one.")
        # Finding out the address behind a name takes up to a second, which the answer need not wait for.
        self._start(self.add(list(candidates_in(offered))))
        return answer

    async def _negotiated(self, sdp: str) -> str:
        try:
            await self.connection.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
        except Exception as error:  # it is about the offer, whatever it is
            told = f": {error}" if isinstance(error, (OperationError, ValueError)) else ""
            raise InvalidOffer(f"$.sdp: the offer cannot be used{told}.") from None
        for transceiver in self.connection.getTransceivers():
            if transceiver is not self._voice:
                # Video, a screen, a second microphone: nothing is decoded, nothing is sent.
                transceiver.direction = "inactive"
        try:
            await self.connection.setLocalDescription()
        except ValueError as error:  # other errors are those of our network
            raise InvalidOffer(f"$.sdp: the offer cannot be answered: {error}.") from None
        return self.connection.localDescription.sdp

    def _make_voice(self, offered: SessionDescription) -> None:
        """Ready the first audio line for the bot's voice before aiortc makes one that only receives."""
        if not any(media.kind == "audio" for media in offered.media):
            return
        self._voice = self.connection.addTransceiver(self._bot, "sendrecv")
        codecs = RTCRtpSender.getCapabilities("audio").codecs
        self._voice.setCodecPreferences([each for each in codecs if each.mimeType.lower() == "audio/opus"])

    async def add(self, candidates: Sequence[Candidate]) -> None:
        """Try these addresses of the client, too. What belongs to an older connection of it is left out."""
        known = [each for each in candidates if each.ufrag is None or each.ufrag in self._ufrags]
        known = known[: _MOST_CANDIDATES - self._candidates]
        self._candidates += len(known)
        await asyncio.gather(*map(self._add, known))

    async def _add(self, candidate: Candidate) -> None:
        """A browser hides its address behind a name, which mDNS resolves, where there is any."""
        try:
            await self.connection.addIceCandidate(candidate.address)
        except (AssertionError, OSError, ValueError) as error:
            # It may well work without: the client finds us, and shows its address by that.
            log.info("an address of a client cannot be used: %s", error)

    # ---- texts -----------------------------------------------------------------------------------------------------

    def send(self, text: str) -> None:
        """Send a text, if the channel is open. `TooLong` if the client does not accept it."""
        if self._channel is None or not self.open:
            return
        try:
            self._channel.send(text)
        except ValueError as error:
            raise TooLong(str(error)) from None

    def _on_channel(self, channel: RTCDataChannel) -> None:
        if channel.label != CHANNEL:
            log.info("a client opened the data channel %.40r, which is not used here", channel.label)
            return
        self._channel = channel
        channel.bufferedAmountLowThreshold = _BUFFERED_BYTES // 2
        channel.on("message", self._on_message)
        channel.on("close", self._on_channel_closed)
        channel.on("bufferedamountlow", self._listener.changed)
        self._listener.changed()

    def _on_channel_closed(self) -> None:
        # When the network is lost, and when we close, the transport below is closed before the channel.
        sctp = self.connection.sctp
        self.left = not self._closing and sctp is not None and sctp.transport.state == "connected"
        self._listener.changed()

    def _on_message(self, message: str | bytes) -> None:
        if isinstance(message, str):
            self._listener.text(message)

    # ---- sound -----------------------------------------------------------------------------------------------------

    def play(self, audio: Audio) -> None:
        """Have the bot say this next; it is lost while the client cannot be reached."""
        if self.connected:
            self._bot.play(audio)

    def hush(self) -> None:
        """Say nothing more of what waits to be said."""
        self._bot.clear()

    def _on_track(self, track: MediaStreamTrack) -> None:
        if self._voice is not None and track is self._voice.receiver.track:
            self._start(self._hear(track))

    async def _hear(self, track: Any) -> None:
        try:
            with suppress(MediaStreamError):
                while True:
                    self._listener.audio(heard(await track.recv()))
        except Exception as error:
            report("the sound of a client", error)

    # ---- the end ---------------------------------------------------------------------------------------------------

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        """Do this until the peer is closed."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Close everything. Never raises, and takes some seconds at most."""
        self._closing = True
        for task in self._tasks:
            task.cancel()
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                connecting = not self.was_connected and self.connection.connectionState not in ("failed", "closed")
                await self.connection.close()
                if connecting:
                    await asyncio.sleep(_NOTICE_SECONDS)
        except Exception as error:
            report("the end of a peer connection", error)
