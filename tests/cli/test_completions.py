"""Completion in the console: all words with which a line may continue."""

from __future__ import annotations

from typing import Any

import pytest

from rtvi_plugins.cli.line_editor import Completions

ACTIONS: list[dict[str, Any]] = [
    {
        "service": "bot",
        "action": "book",
        "arguments": [
            {"name": "nights", "type": "number", "schema": {"type": "integer"}},
            {"name": "bed", "type": "string", "schema": {"enum": ["single", "queen size"]}},
            {"name": "pets", "type": "bool", "schema": {"type": "boolean"}},
        ],
    },
    {"service": "bot", "action": "bill", "arguments": []},
    {"service": "tts", "action": "say", "arguments": [{"name": "text", "type": "string"}]},
]
OPTIONS: list[dict[str, Any]] = [
    {
        "name": "llm",
        "options": [
            {
                "name": "model",
                "type": "string",
                "schema": {"anyOf": [{"enum": ["small", "large"]}, {"type": "string"}]},
            },
            {"name": "stop", "type": "array"},
        ],
    },
]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("", []),
        ("Hello", []),
        ("Hello /c", []),
        ("/c", ["/call ", "/config "]),
        ("/call ", ["bot:book ", "bot:bill ", "tts:say "]),
        ("/call bot:b", ["bot:book ", "bot:bill "]),
        ("/call bot:book ", ["nights=", "bed=", "pets="]),
        ("/call bot:book nights=2 ", ["bed=", "pets="]),
        ("/call bot:book bed=", ["bed=single ", "bed='queen size' "]),
        ("/call bot:book nights=2 pets=t", ["pets=true "]),
        ("/call bot:book nights=", []),
        ("/call bot:book other=", []),
        ("/call bot:nothing ", []),
        ("/call tts:say text=", []),
        ("/set ", ["llm.model=", "llm.stop="]),
        ("/set llm.m", ["llm.model="]),
        ("/set llm.model=", ["llm.model=small ", "llm.model=large "]),
        ("/set llm.model=l", ["llm.model=large "]),
        ("/set llm.stop=[] ", ["llm.model="]),
        ("/help ", []),
    ],
)
def test_a_line_is_completed(line: str, found: list[str]) -> None:
    """It offers commands, actions, arguments that are not given yet, options, and the values that are described."""
    assert Completions(("/call", "/config", "/set"), ACTIONS, OPTIONS).of(line) == found
