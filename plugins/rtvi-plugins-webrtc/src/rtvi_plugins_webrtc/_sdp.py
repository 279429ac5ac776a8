"""Check an offer before aiortc applies it, because a half-applied one is hard to take down."""

from __future__ import annotations

import re
from collections.abc import Iterator

from aiortc.sdp import DIRECTIONS, MediaDescription, SessionDescription

from ._bodies import Candidate
from .errors import InvalidOffer

__all__ = ("CHANNEL", "candidates_in", "read_sdp", "ufrags_in", "without_candidates")

#: The label of the published client's data channel.
CHANNEL = "chat"

_CANDIDATE_LINES = re.compile(r"^a=(candidate:.*|end-of-candidates)\r?\n?", re.MULTILINE)


def read_sdp(sdp: str) -> SessionDescription:
    """Parse an offer. Raise `InvalidOffer` if it has no data channel, or an incomplete media line."""
    try:
        offered = SessionDescription.parse(sdp)
    except Exception:  # the parser raises errors of many kinds
        raise InvalidOffer("$.sdp: this is not a session description.") from None
    for place, media in enumerate(offered.media):
        if (problem := _problem(media)) is not None:
            raise InvalidOffer(f"$.sdp: media line {place} ({media.kind}) {problem}.")
    if [media.kind for media in offered.media].count("application") != 1:
        raise InvalidOffer(f'$.sdp: one data channel is needed; open one called "{CHANNEL}" before the offer is made.')
    known = [media.rtp.muxId for media in offered.media]
    bundled = [mid for group in offered.group if group.semantic == "BUNDLE" for mid in group.items]
    if len(set(known)) != len(known) or set(known) != set(bundled):
        raise InvalidOffer("$.sdp: the media lines are not bundled; one BUNDLE group with all of them is accepted.")
    return offered


def _problem(media: MediaDescription) -> str | None:
    if media.kind not in ("audio", "video", "application"):
        return "is of a kind that is not known here; offer audio, video and a data channel"
    if media.ice is None or not media.ice.usernameFragment or not media.ice.password:
        return "has no ice-ufrag and ice-pwd"
    if media.dtls is None or not media.dtls.fingerprints or media.dtls.role not in ("auto", "client", "server"):
        return "has no fingerprint and setup"
    if media.kind in ("audio", "video") and media.direction not in DIRECTIONS:
        return f"names no direction; write one of {', '.join(DIRECTIONS)}"
    if media.kind == "audio" and not any(codec.mimeType.lower() == "audio/opus" for codec in media.rtp.codecs):
        return "does not list Opus"
    return None


def ufrags_in(offered: SessionDescription) -> set[str]:
    """Return the ICE names (ufrag) of the client in this offer."""
    return {media.ice.usernameFragment or "" for media in offered.media if media.ice is not None}


def candidates_in(offered: SessionDescription) -> Iterator[Candidate]:
    """Yield the candidates in the offer."""
    for media in offered.media:
        for address in media.ice_candidates:
            address.sdpMid = media.rtp.muxId
            yield Candidate(address)


def without_candidates(sdp: str) -> str:
    """Remove the candidates from an offer. They are added one by one, because an invalid one would spoil the offer.

    The line for their end is removed too, because aiortc would ignore later candidates.
    """
    return _CANDIDATE_LINES.sub("", sdp)
