"""Check the providers against the rules that bots need, as `rtvi check rtvi-plugins-acme` does."""

from __future__ import annotations

from pathlib import Path

from rtvi_plugins.testing import rule_tests

test_rule = rule_tests("rtvi-plugins-acme", Path(__file__).with_name("conformance.py"))
