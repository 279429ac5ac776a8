"""What bots rely on: a test for each rule."""

from __future__ import annotations

from pathlib import Path

from rtvi_plugins.testing import rule_tests

test_rule = rule_tests("rtvi-plugins-acme", Path(__file__).with_name("conformance.py"))
