"""JSON values: how deep they nest."""

from __future__ import annotations

from rtvi_plugins.utils.json_values import is_nested_deeper


def test_a_value_that_contains_itself_twice_is_found_deep_at_once() -> None:
    """Each level is looked at once: doubled at every level, this would not end."""
    value: list[object] = []
    value += [value, value]
    assert is_nested_deeper(value, 100)


def test_an_object_that_is_shared_is_looked_at_once() -> None:
    """A pair of a pair of a pair holds ever more references, but one object for each level."""
    value: list[object] = []
    for _ in range(60):
        value = [value, value]
    assert is_nested_deeper(value, 59)
    assert not is_nested_deeper(value, 61)
