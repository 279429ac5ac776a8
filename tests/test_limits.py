"""Limits are checked where they are given: in code and on a command line."""

from __future__ import annotations

import re
from math import inf, nan
from typing import Any

import pytest

from rtvi_plugins.limits import Limits


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"rate": inf}, "The limit rate must be at most 1000000000000, not inf."),
        ({"rate": nan}, "The limit rate must be greater than 0, not nan."),
        ({"idle_seconds": nan}, "The limit idle_seconds must be greater than 0, not nan."),
        ({"idle_seconds": -1}, "The limit idle_seconds must be greater than 0, not -1."),
        ({"sessions": 0}, "The limit sessions must be greater than 0, not 0."),
        ({"sessions": inf}, "The limit sessions must be a whole number, as in sessions=60, not inf."),
        ({"jobs": 2.5}, "The limit jobs must be a whole number, as in jobs=60, not 2.5."),
        ({"jobs": True}, "The limit jobs must be a whole number, as in jobs=60, not True."),
        ({"deadline": "9"}, "The limit deadline must be a number, as in deadline=60, not '9'."),
        ({"deadline": 1e300}, "The limit deadline must be at most 1000000000000, or inf for no limit, not 1e+300."),
    ],
)
def test_limits_that_cannot_be_kept_are_refused(given: dict[str, Any], sentence: str) -> None:
    """Anything can be compared with NaN, and nothing is greater than infinity."""
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        Limits(**given)


def test_times_may_be_endless_and_numbers_whole() -> None:
    """`inf` is a time without a limit, and 1 is as good as 1.0."""
    limits = Limits(idle_seconds=inf, late_seconds=1, rate=5)
    assert (limits.idle_seconds, limits.late_seconds, limits.rate) == (inf, 1, 5)
    assert Limits.parse(["idle_seconds=inf"]).idle_seconds == inf


@pytest.mark.parametrize("written", ["idle_seconds=nan", "idle_seconds=-1", "rate=inf", "rate=0", "sessions=0"])
def test_limits_on_a_command_line_are_refused_too(written: str) -> None:
    """The same check reads the option `--limit`."""
    with pytest.raises(ValueError, match=r"^The limit "):
        Limits.parse([written])
