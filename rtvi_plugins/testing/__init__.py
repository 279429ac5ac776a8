"""Test a bot or a provider without a network: a client in memory, a clock that you move, rules for providers.

`call` brings a user who speaks. `ScriptedLLM` and `ScriptedSpeechModel` give prepared answers.
`rule_tests` makes a test of each rule in `RULES` for each provider of a package.
`check_store` checks that a store of sessions keeps its promises.
"""

from __future__ import annotations

from ..hosting import ConnectionStream
from ..runtime.system_clock import ManualClock
from .conformance import ProviderCheck, check_providers, find_broken_rules
from .fake_providers import fake_provider
from .package_check import PackageReport, check_package, load_checks, rule_tests
from .results import BrokenRule, Report, Result, State
from .rules import RULES, Level, Rule
from .scripted_models import ScriptedAnswer, ScriptedLLM, ScriptedSpeech, ScriptedSpeechModel
from .sessions import Line, SessionClient, call, connect, host_for, play, seconds_heard, settle, silence, speak, wait
from .stores import check_store
from .vendor_failures import SCRIPTS, FakeVendor, Vendor

__all__ = (
    "RULES",
    "SCRIPTS",
    "BrokenRule",
    "ConnectionStream",
    "FakeVendor",
    "Level",
    "Line",
    "ManualClock",
    "PackageReport",
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
    "check_package",
    "check_providers",
    "check_store",
    "connect",
    "fake_provider",
    "find_broken_rules",
    "host_for",
    "load_checks",
    "play",
    "rule_tests",
    "seconds_heard",
    "settle",
    "silence",
    "speak",
    "wait",
)
