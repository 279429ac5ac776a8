"""Test a bot or a provider without a network: a client in memory, a clock that is moved by hand, a conformance kit.

`check_providers` holds the providers of a module against the rules in `RULES`. The command `rtvi check` also checks the
distribution.
"""

from __future__ import annotations

from ..hosting import ConnectionStream
from ..runtime.clock import ManualClock
from .conformance import check_providers, find_problems
from .faults import SCRIPTS, FakeVendor, Vendor
from .rules import RULES, Level, Problem, Rule
from .sessions import connect, host_for

__all__ = (
    "RULES",
    "SCRIPTS",
    "ConnectionStream",
    "FakeVendor",
    "Level",
    "ManualClock",
    "Problem",
    "Rule",
    "Vendor",
    "check_providers",
    "connect",
    "find_problems",
    "host_for",
)
