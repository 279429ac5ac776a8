"""Make the roles user and assistant alternate, for servers whose chat templates require it.

Such a template requires at most one system message, at the beginning. Then user and assistant alternate, with the user
first and the assistant never last. Results of function calls follow their calls, and the assistant speaks after them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

__all__ = ("alternating",)

Sent: TypeAlias = "dict[str, Any]"

#: These replace a missing turn.
_BEGINS: Sent = {"role": "user", "content": "(The conversation begins.)"}
_CONTINUE: Sent = {"role": "user", "content": "(Please go on.)"}
_UNANSWERED: Sent = {"role": "assistant", "content": "(No answer.)"}


def alternating(messages: Sequence[Sent]) -> list[Sent]:
    """Join consecutive messages of one role, and insert messages for missing turns. Nothing is omitted.

    System messages in the middle of the conversation become messages of the user.
    """
    said = [each for each in messages if each.get("content") or each.get("tool_calls") or each["role"] == "tool"]
    start = next((at for at, each in enumerate(said) if each["role"] != "system"), len(said))
    system = [_joined(said[:start])] if start else []
    turns: list[Sent] = []
    for each in said[start:]:
        message = {**each, "role": "user"} if each["role"] == "system" else each
        _add(turns, message)
    if not turns or turns[-1]["role"] == "assistant":
        turns.append(_CONTINUE if turns else _BEGINS)
    return [*system, *turns]


def _add(turns: list[Sent], message: Sent) -> None:
    last = turns[-1] if turns else None
    if last is None and message["role"] != "user":
        turns.append(_BEGINS)
    if last is not None and last["role"] == "tool" and message["role"] == "user":
        turns.append(_UNANSWERED)
    if last is not None and last["role"] == message["role"] in ("user", "assistant") and "tool_calls" not in last:
        turns[-1] = _joined([last, message])
    else:
        turns.append(message)


def _joined(messages: Sequence[Sent]) -> Sent:
    """Join messages of one role. A name is kept if all of them have it."""
    first, *more = messages
    joined: Sent = {**first}
    for each in more:
        joined = {**joined, **each, "content": _contents(joined.get("content"), each.get("content"))}
    if len({each.get("name") for each in messages}) > 1:
        joined.pop("name", None)
    return joined


def _contents(first: Any, second: Any) -> Any:
    """Join two contents: a text, or a list of parts if one of them is a list."""
    if not first or not second:
        return first or second
    if isinstance(first, str) and isinstance(second, str):
        return f"{first}\n\n{second}"
    return [*_parts(first), *_parts(second)]


def _parts(content: Any) -> list[Any]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
