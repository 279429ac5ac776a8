"""The requests of a client of the faults: for each kind its message, chosen by a seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen

__all__ = ("KINDS", "Kind", "choose")

Message = tuple[str, Any]


def _action(service: str, action: str, **arguments: Any) -> Message:
    listed = [{"name": name, "value": value} for name, value in arguments.items()]
    return "action", {"service": service, "action": action, "arguments": listed}


def _work(*ways: str, action: str = "work") -> Callable[[random.Random, str], Message]:
    return lambda rng, name: _action("bot", action, name=name, how=rng.choice(ways))


def _config(**ways: Any) -> Callable[[random.Random, str], Message]:
    def build(rng: random.Random, name: str) -> Message:
        option = rng.choice(list(ways))
        options = [{"name": option, "value": rng.choice(ways[option])}]
        return "update-config", {"config": [{"service": "llm", "options": options}], "interrupt": rng.random() < 0.5}

    return build


def _bad(rng: random.Random, name: str) -> Message:
    return rng.choice(
        (
            _action("bot", "work", nam=name),
            _action("bot", "work", name=7),
            _action("bot", "workk", name=name),
            _action("llm", "look"),
            ("update-config", {"config": [{"service": "llm", "options": [{"name": "pace", "value": "slowly"}]}]}),
            ("action", None),
            ("get-everything", {}),
        )
    )


@frozen
class Kind:
    """A kind of request. `weight` is how often it is sent."""

    weight: float
    build: Callable[[random.Random, str], Message]
    #: Whether the request is a fault, and whether an answer without an error means that its effect has happened.
    is_fault: bool = True
    has_effect: bool = True
    #: Whether the session may end by it.
    is_fatal: bool = False
    #: Whether it is refused before it is run, so that the id may be used again.
    is_refused: bool = False


#: How often each kind is sent, of about 1,000 requests.
KINDS: Mapping[str, Kind] = {
    "works": Kind(150, _work(""), is_fault=False),
    "looks": Kind(30, lambda rng, name: _action("bot", "look"), is_fault=False, has_effect=False),
    "raises": Kind(220, _work("error", "error", "group", "exit", "rude", "refusal", "helper")),
    "is cancelled": Kind(100, _work("cancelled", "cancel")),
    "hangs": Kind(25, lambda rng, name: _action("bot", "hang", name=name)),
    "clings": Kind(8, lambda rng, name: _action("bot", "cling", name=name)),
    "is slow": Kind(120, lambda rng, name: _action("bot", "work", name=name, seconds=rng.random() * 0.1)),
    "returns what JSON cannot carry": Kind(
        170, _work("set", "infinity", "circle", "huge", "half", "other", *["set"] * 20, "deep")
    ),
    "is slow in a thread": Kind(20, lambda rng, name: _action("bot", "think", name=name, seconds=rng.random() * 0.02)),
    "raises in a thread": Kind(20, lambda rng, name: _action("bot", "think", name=name, seconds=0, fails=True)),
    "holds a thread too long": Kind(2, lambda rng, name: _action("bot", "hold", name=name)),
    "job": Kind(30, _work("", "error", "set", "cancelled", action="job"), has_effect=False),
    "slow job": Kind(10, lambda rng, name: _action("bot", "job", name=name, seconds=rng.random()), has_effect=False),
    "is wrong": Kind(60, _bad, has_effect=False, is_refused=True),
    "config fails": Kind(15, _config(pace=("raises", "exits"), provider=("broken",)), has_effect=False),
    "config changes": Kind(10, _config(pace=("slow", "fast"), provider=("first", "second")), has_effect=False),
    "service dies": Kind(8, lambda rng, name: _action("llm", "die", name=name), is_fatal=True),
    "uses a helper": Kind(8, lambda rng, name: _action("llm", "ask_helper", name=name), is_fault=False),
    "helper is killed": Kind(4, lambda rng, name: _action("llm", "kill_helper", name=name)),
    "session is ended": Kind(0.3, lambda rng, name: _action("bot", "finish", name=name), is_fatal=True),
    "bot fails": Kind(0.3, lambda rng, name: ("send-text", {"content": "x"}), has_effect=False, is_fatal=True),
}

_NAMES, _WEIGHTS = list(KINDS), [kind.weight for kind in KINDS.values()]


def choose(rng: random.Random) -> str:
    """Return the name of a kind."""
    return rng.choices(_NAMES, _WEIGHTS)[0]
