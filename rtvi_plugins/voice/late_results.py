"""Show an LLM the results of functions that have outlived their turn, in the form that makes it report them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..context import Message

__all__ = ("moved_to_the_end",)


def moved_to_the_end(messages: Sequence[Message], ids: Sequence[str]) -> list[Message]:
    """Return the messages with the calls of these ids, and their results, behind all others.

    In the context a late result stands beside its call, before what was said in the meantime. Moved to the end, it is
    the last thing that the LLM reads, so it is what the LLM answers.
    """
    kept: list[Message] = []
    calls: list[dict[str, Any]] = []
    results: list[Message] = []
    for message in messages:
        if message["role"] == "tool" and message.get("tool_call_id") in ids:
            results.append(message)
        elif moved := [each for each in message.get("tool_calls", ()) if each.get("id") in ids]:
            calls += moved
            kept += _without(message, ids)
        else:
            kept.append(message)
    return [*kept, {"role": "assistant", "content": None, "tool_calls": calls}, *results] if calls else kept


def _without(message: Message, ids: Sequence[str]) -> list[Message]:
    """Return the message without its calls of these ids, if anything of it is left."""
    left = message.copy()
    if others := [each for each in message.get("tool_calls", ()) if each.get("id") not in ids]:
        left["tool_calls"] = others
        return [left]
    left.pop("tool_calls", None)
    return [left] if left["content"] else []
