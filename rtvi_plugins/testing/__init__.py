"""Test a bot or a provider without a network: a client in memory, a clock that is moved by hand, a conformance kit.

`call` brings a user who speaks. `ScriptedLLM` and `ScriptedSpeechModel` give prepared answers.
`check_providers` holds the providers of a module against the rules in `RULES`.
"""

from __future__ import annotations

from ..hosting import ConnectionStream
from ..runtime.clock import ManualClock
from .caller import Line, call, play, seconds_heard, settle, silence, speak, wait
from .conformance import ProviderCheck, check_providers, find_problems
from .faults import SCRIPTS, FakeVendor, Vendor
from .results import Problem, Report, Result, State
from .rules import RULES, Level, Rule
from .scripted import ScriptedAnswer, ScriptedLLM, stand_in
from .scripted_speech import ScriptedSpeech, ScriptedSpeechModel
from .sessions import SessionClient, connect, host_for

__all__ = (
    "RULES",
    "SCRIPTS",
    "ConnectionStream",
    "FakeVendor",
    "Level",
    "Line",
    "ManualClock",
    "Problem",
    "ProviderCheck",
    "Report",
    "Result",
    "Rule",
    "ScriptedAnswer",
    "ScriptedLLM",
    "ScriptedSpeech",
    "ScriptedSpeechModel",
    "SessionClient",
    "State",
    "Vendor",
    "call",
    "check_providers",
    "connect",
    "find_problems",
    "host_for",
    "play",
    "seconds_heard",
    "settle",
    "silence",
    "speak",
    "stand_in",
    "wait",
)
