"""Turn a conversation into the form of vendors that want turns: user and assistant alternate, each with its parts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypeVar, cast

from rtvi_plugins.context import Message

__all__ = ("Turn", "arguments_of", "in_text_turns", "in_turns", "text_of")

Part = TypeVar("Part")
#: The speaker, and what was said in parts of the vendor's form.
Turn: TypeAlias = tuple[Literal["user", "assistant"], list[Part]]

#: Vendors want the user to speak first, and many models want the user to speak last.
_BEGINS = "(The conversation begins.)"
_CONTINUE = "(Please go on.)"


def in_turns(
    messages: Sequence[Message], parts: Callable[[Message], Sequence[Part]], text: Callable[[str], Part]
) -> tuple[str, list[Turn[Part]]]:
    """Return the system prompt, which may be empty, and the turns, of which the first and the last are the user's.

    `parts` returns the parts of a message, and `text` the part of a text. A message of the role "tool" is the user's,
    and so is a message of the system that is not at the beginning. A message without parts is left out.

    If the assistant speaks first, the user's turn "(The conversation begins.)" comes before it. If the assistant speaks
    last, the user's turn "(Please go on.)" comes after it.
    """
    start = next((at for at, each in enumerate(messages) if each["role"] not in ("system", "developer")), len(messages))
    system = "\n\n".join(filter(None, (text_of(each["content"]) for each in messages[:start])))
    turns: list[Turn[Part]] = []
    for each in messages[start:]:
        role: Literal["user", "assistant"] = "assistant" if each["role"] == "assistant" else "user"
        if not (said := list(parts(each))):
            continue
        if turns and turns[-1][0] == role:
            turns[-1][1].extend(said)
        else:
            turns.append((role, said))
    if not turns or turns[0][0] == "assistant":
        turns.insert(0, ("user", [text(_BEGINS)]))
    if turns[-1][0] == "assistant":
        turns.append(("user", [text(_CONTINUE)]))
    return system, turns


def in_text_turns(
    messages: Sequence[Message],
    *,
    text: Callable[[str], Mapping[str, Any]],
    call: Callable[[str, str, dict[str, Any]], Mapping[str, Any]],
    result: Callable[[str, str], Mapping[str, Any]],
) -> tuple[str, list[Turn[Mapping[str, Any]]]]:
    """Return what `in_turns` returns, for a vendor that takes only text: images are left out, and so is blank text.

    `text` returns the part of a text, `call` that of a call from its id, name and arguments, and `result` that of a
    result from the id of the call and the text.
    """

    def parts(message: Message) -> Iterator[Mapping[str, Any]]:
        said = text_of(message.get("content"))
        if message["role"] == "tool":
            yield result(message.get("tool_call_id", ""), said)
            return
        if said.strip():
            yield text(said)
        for each in message.get("tool_calls", []):
            yield call(each["id"], each["function"]["name"], arguments_of(each))

    return in_turns(messages, lambda message: list(parts(message)), text)


def text_of(content: str | Sequence[Mapping[str, Any]] | None) -> str:
    """Return the text of a message's content. Parts that are not text are left out."""
    return content if isinstance(content, str) else "".join(str(each.get("text", "")) for each in content or [])


def arguments_of(call: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of an entry of `tool_calls`. Invalid ones, which a model has written, are empty."""
    try:
        arguments = json.loads(call["function"]["arguments"] or "{}")
    except (ValueError, LookupError, TypeError):
        return {}
    return cast("dict[str, Any]", arguments) if isinstance(arguments, dict) else {}
