"""Read the bodies that the published client posts: an offer, and the ICE candidates that follow it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, cast

import orjson
from aiortc import RTCIceCandidate
from aiortc.sdp import candidate_from_sdp
from attrs import frozen

from .errors import InvalidOffer

__all__ = ("BODY_BYTES", "Candidate", "Offer", "Trickle", "read_offer", "read_trickle")

#: The longest body accepted. The offer of a browser with three media lines has 6 to 12 KiB.
BODY_BYTES: Final = 262_144

_UFRAG = re.compile(r"\bufrag (\S+)")


@frozen
class Offer:
    """An offer from a client. `pc_id` names its peer connection; None in the first offer."""

    sdp: str
    pc_id: str | None
    restart: bool


@frozen
class Candidate:
    """An address of the client. `ufrag` names the peer connection that it belongs to, if given."""

    address: RTCIceCandidate
    ufrag: str | None = None


@frozen
class Trickle:
    """Candidates that were found after the offer."""

    pc_id: str
    candidates: Sequence[Candidate]


def read_offer(body: bytes) -> Offer:
    """Return the offer in a body. Raise `InvalidOffer` if there is none. Other fields are ignored."""
    found = _object(body, 'as in {"sdp": "…", "type": "offer", "pc_id": null, "restart_pc": false}')
    sdp, kind = found.get("sdp"), found.get("type")
    if kind != "offer":
        raise InvalidOffer(f'$.type: only an "offer" is accepted here, not {_shown(kind)}.')
    if not isinstance(sdp, str) or not sdp.strip():
        raise InvalidOffer("$.sdp: the description of the offer is missing; it is a text.")
    restart = found.get("restart_pc", False)
    if not isinstance(restart, bool):
        raise InvalidOffer(f"$.restart_pc: write true or false, not {_shown(restart)}.")
    return Offer(sdp, _pc_id(found), restart)


def read_trickle(body: bytes) -> Trickle:
    """Return the candidates in a body. Raise `InvalidOffer` if one of them is invalid."""
    found = _object(body, 'as in {"pc_id": "…", "candidates": []}')
    pc_id, listed = _pc_id(found), found.get("candidates")
    if pc_id is None:
        raise InvalidOffer("$.pc_id: write the pc_id from the answer to the offer.")
    if not isinstance(listed, list):
        raise InvalidOffer("$.candidates: write a list of objects.")
    candidates = [_candidate(each, f"$.candidates[{place}]") for place, each in enumerate(cast("list[Any]", listed))]
    return Trickle(pc_id, [each for each in candidates if each is not None])


def _object(body: bytes, example: str) -> dict[str, Any]:
    try:
        found: Any = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidOffer(f"The body is not JSON: {error.msg}; write an object, {example}.") from None
    if not isinstance(found, dict):
        raise InvalidOffer(f"The body is not a JSON object; write one, {example}.")
    return cast("dict[str, Any]", found)


def _pc_id(found: dict[str, Any]) -> str | None:
    pc_id = found.get("pc_id")
    if pc_id is not None and not isinstance(pc_id, str):
        raise InvalidOffer(f"$.pc_id: write a text or null, not {_shown(pc_id)}.")
    return pc_id or None


def _candidate(found: Any, path: str) -> Candidate | None:
    """Return a candidate; None for the empty text that marks the end, which this server does not need."""
    fields = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    text, mid, index = fields.get("candidate"), fields.get("sdp_mid"), fields.get("sdp_mline_index")
    if not isinstance(text, str):
        raise InvalidOffer(f"{path}.candidate: write the candidate's text.")
    if not text.strip():
        return None
    if not isinstance(mid, str | None) or not isinstance(index, int | None) or (mid is None and index is None):
        raise InvalidOffer(f"{path}: write sdp_mid, a text, or sdp_mline_index, a whole number.")
    try:
        address = candidate_from_sdp(text.removeprefix("a=").removeprefix("candidate:"))
    except (AssertionError, ValueError):
        raise InvalidOffer(f"{path}.candidate: {_shown(text)} is not an ICE candidate.") from None
    address.sdpMid, address.sdpMLineIndex = mid, index
    ufrag = _UFRAG.search(text)
    return Candidate(address, ufrag[1] if ufrag else None)


def _shown(value: Any) -> str:
    return repr(value)[:80]
