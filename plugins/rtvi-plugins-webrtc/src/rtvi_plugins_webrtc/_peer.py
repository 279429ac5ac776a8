"""One peer connection: its media lines, its data channel and its state. A session may have one after the other."""

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

from ._audio_track import BotTrack, received_audio
from ._bodies import Candidate
from ._sdp import CHANNEL, candidates_in, read_sdp, ufrags_in, without_candidates
from .errors import InvalidOffer, NoNetwork

__all__ = ("Listener", "Peer", "TooLong")

log = logging.getLogger("rtvi_plugins.webrtc")

# With the headers of SCTP, DTLS, UDP and IPv6, a longer chunk exceeds an MTU of 1280 bytes, and some networks drop it.
_CHUNK_BYTES: Final = 1_100
# How many bytes SCTP may buffer. Other texts wait in the session, where a restart does not lose them.
_BUFFERED_BYTES: Final = 65_536
# Clients have a handful of addresses; each of them takes work.
_MOST_CANDIDATES: Final = 64
_CLOSE_SECONDS: Final = 5.0
# After closing, aiortc's connectivity checks notice it within 20 ms.
_NOTICE_SECONDS: Final = 0.05

rtcsctptransport.USERDATA_MAX_LENGTH = min(rtcsctptransport.USERDATA_MAX_LENGTH, _CHUNK_BYTES)


class TooLong(Exception):
    """A text is longer than the client accepts."""


@frozen
class Listener:
    """Callbacks for texts, for audio, and for changes: connected, closed, ready for more texts."""

    text: Callable[[str], None]
    audio: Callable[[Audio], None]
    changed: Callable[[], None]


class Peer:
    """A peer connection with one client, the answering side. Needs a running asyncio loop.

    With `audio`, audio goes both ways on the first audio line of the first offer. All other media stay inactive.
    """

    def __init__(self, listener: Listener, servers: Sequence[RTCIceServer], *, audio: bool) -> None:
        # Without a list, aiortc uses a public STUN server.
        config = RTCConfiguration(iceServers=list(servers), bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
        self.connection = RTCPeerConnection(config)
        self.was_connected = False
        #: Whether the client has closed the data channel, which it does when it disconnects.
        self.left = False
        self._closing = False
        self._listener = listener
        self._wants_audio = audio
        self._lines: list[tuple[str, str]] = []
        self._bot = BotTrack()
        self._audio: RTCRtpTransceiver | None = None
        self._channel: RTCDataChannel | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._ufrags: set[str] = set()
        self._candidates = 0
        self.connection.on("datachannel", self._on_channel)
        self.connection.on("track", self._on_track)
        self.connection.on("connectionstatechange", self._on_state)

    # ---- its state -------------------------------------------------------------------------------------------------

    @property
    def has_audio(self) -> bool:
        """Return whether audio goes both ways."""
        return self._audio is not None

    @property
    def connected(self) -> bool:
        """Return whether the client is reachable, as far as is known."""
        return self.connection.connectionState == "connected"

    @property
    def open(self) -> bool:
        """Return whether texts can be sent."""
        return self.connected and self._channel is not None and self._channel.readyState == "open"

    @property
    def has_room(self) -> bool:
        """Return whether another text can be sent now. Otherwise, wait for the next change."""
        return self.open and self._channel is not None and self._channel.bufferedAmount < _BUFFERED_BYTES

    def _on_state(self) -> None:
        self.was_connected = self.was_connected or self.connected
        self._listener.changed()

    # ---- offer and answer ------------------------------------------------------------------------------------------

    async def answer(self, sdp: str) -> str:
        """Answer an offer: the first one, or a new one for the same connection.

        Raise `InvalidOffer`, and `NoNetwork` if this machine has no address for WebRTC.
        """
        offered = read_sdp(sdp)
        lines = [(media.kind, media.rtp.muxId) for media in offered.media]
        if lines[: len(self._lines)] != self._lines:
            # aiortc would fail after it has applied half of the offer.
            raise InvalidOffer(
                "$.sdp: repeat the media lines of the previous offer unchanged; new ones come after them."
            )
        if self._wants_audio and not self._lines:
            self._add_audio(offered)
        answer = await self._negotiated(without_candidates(sdp))
        self._lines, self._ufrags = lines, ufrags_in(offered)
        if "a=candidate:" not in answer:
            raise NoNetwork("This server has no network address that WebRTC may use; the WebSocket works without one.")
        # Resolving the name of an address takes up to a second, and the answer does not need it.
        self._start(self.add(list(candidates_in(offered))))
        return answer

    async def _negotiated(self, sdp: str) -> str:
        try:
            await self.connection.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
        except Exception as error:  # whatever aiortc raises, the offer is the cause
            reason = f": {error}" if isinstance(error, (OperationError, ValueError)) else ""
            raise InvalidOffer(f"$.sdp: the offer cannot be used{reason}.") from None
        for transceiver in self.connection.getTransceivers():
            if transceiver is not self._audio:
                # Video, a screen, or a second microphone is not used.
                transceiver.direction = "inactive"
        try:
            await self.connection.setLocalDescription()
        except ValueError as error:  # other errors come from the network
            raise InvalidOffer(f"$.sdp: the offer cannot be answered: {error}.") from None
        return self.connection.localDescription.sdp

    def _add_audio(self, offered: SessionDescription) -> None:
        """Prepare the first audio line for sending, before aiortc makes one that only receives."""
        if not any(media.kind == "audio" for media in offered.media):
            return
        self._audio = self.connection.addTransceiver(self._bot, "sendrecv")
        codecs = RTCRtpSender.getCapabilities("audio").codecs
        self._audio.setCodecPreferences([each for each in codecs if each.mimeType.lower() == "audio/opus"])

    async def add(self, candidates: Sequence[Candidate]) -> None:
        """Try more addresses of the client, except those of an older connection."""
        known = [each for each in candidates if each.ufrag is None or each.ufrag in self._ufrags]
        known = known[: _MOST_CANDIDATES - self._candidates]
        self._candidates += len(known)
        await asyncio.gather(*map(self._add, known))

    async def _add(self, candidate: Candidate) -> None:
        """Try an address. Browsers hide theirs behind a name that mDNS resolves, if it is available."""
        try:
            await self.connection.addIceCandidate(candidate.address)
        except (AssertionError, OSError, ValueError) as error:
            # The connection may work without it: the client's own checks show its address.
            log.info("an address of a client cannot be used: %s", error)

    # ---- texts -----------------------------------------------------------------------------------------------------

    def send(self, text: str) -> None:
        """Send a text, if the channel is open. Raise `TooLong` if the client does not accept it."""
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
        # When the network is lost, or this side closes, the transport below closes before the channel.
        sctp = self.connection.sctp
        self.left = not self._closing and sctp is not None and sctp.transport.state == "connected"
        self._listener.changed()

    def _on_message(self, message: str | bytes) -> None:
        if isinstance(message, str):
            self._listener.text(message)

    # ---- audio -----------------------------------------------------------------------------------------------------

    def play(self, audio: Audio) -> None:
        """Play this next. It is lost while the client is not reachable."""
        if self.connected:
            self._bot.play(audio)

    def drop_audio(self) -> None:
        """Drop the audio that waits to be sent."""
        self._bot.clear()

    def _on_track(self, track: MediaStreamTrack) -> None:
        if self._audio is not None and track is self._audio.receiver.track:
            self._start(self._receive_audio(track))

    async def _receive_audio(self, track: Any) -> None:
        try:
            with suppress(MediaStreamError):
                while True:
                    self._listener.audio(received_audio(await track.recv()))
        except Exception as error:
            report("the audio of a client", error)

    # ---- the end ---------------------------------------------------------------------------------------------------

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run this in a task until the peer is closed."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Close everything within some seconds. Never raises."""
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
