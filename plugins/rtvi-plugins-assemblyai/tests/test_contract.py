"""The rules for providers, on the providers of this distribution."""

from __future__ import annotations

from pathlib import Path

from rtvi_plugins.testing import rule_tests

test_rule = rule_tests("rtvi-plugins-assemblyai", Path(__file__).with_name("conformance.py"))
