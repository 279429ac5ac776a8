"""The operator's list of ICE servers."""

from __future__ import annotations

import pytest

from rtvi_plugins_webrtc._ice import read_ice_servers


@pytest.mark.parametrize("written", [None, "", " ", "[]"])
def test_there_are_no_servers_by_default(written: str | None) -> None:
    """Nothing is sent to a server outside the network."""
    assert read_ice_servers(written).for_aiortc == []


def test_servers_are_written_as_browsers_take_them() -> None:
    """A server has one address or several, and a TURN server has a name and a password."""
    servers = read_ice_servers(
        '[{"urls": "stun:stun.example"},'
        ' {"urls": ["turn:turn.example:3478?transport=udp"], "username": "me", "credential": "key-of-a-test"}]'
    )
    stun, turn = servers.for_aiortc
    assert stun.urls == "stun:stun.example"
    assert (turn.username, turn.credential) == ("me", "key-of-a-test")
    assert [each["urls"] for each in servers.for_clients] == [
        "stun:stun.example",
        ["turn:turn.example:3478?transport=udp"],
    ]


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("stun:stun.example", "is not JSON"),
        ('{"urls": "stun:stun.example"}', "is not a list"),
        ('["stun:stun.example"]', "item 1: write an object"),
        ('[{"urls": "stun:stun.example"}, {"url": "stun:stun.example"}]', "item 2: write an object"),
        ('[{"urls": [5]}]', "item 1: write an object"),
        ('[{"username": "me"}]', "'urls' is missing"),
        ('[{"urls": []}]', "'urls' is missing"),
        ('[{"urls": "https://stun.example"}]', "is not a STUN or TURN address"),
        ('[{"urls": "stun:stun.example?transport=udp"}]', "is not a STUN or TURN address"),
    ],
)
def test_a_mistake_is_told_with_its_place(written: str, reason: str) -> None:
    """The sentence has the name of the variable and the required form."""
    with pytest.raises(ValueError, match="RTVI_ICE_SERVERS") as caught:
        read_ice_servers(written)
    assert reason in str(caught.value)
