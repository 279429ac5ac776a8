"""The request to an LLM is as the reference shows it: messages and functions, with all fields."""

from __future__ import annotations

import json
import re
from typing import Annotated

import pytest
from attrs.validators import ge

from rtvi_plugins import LLM, Doc, Session, action, bot, converse
from rtvi_plugins.kinds import Text, ToolCall

from ..fakes.providers import Fakes
from ..fakes.wire import connected, settle
from ..tools.pages import DOCS

pytestmark = pytest.mark.anyio

SHOWN = re.compile(r"^<!-- the request of an LLM -->\n```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@bot(
    services={"llm": "scripted"},
    config={"llm": {"messages": [{"role": "system", "content": "You answer the phone of a small hotel."}]}},
    functions=["bot:book_room"],
    public=True,
)
async def hotel(session: Session, /, llm: LLM) -> None:
    """A bot that books rooms."""
    await converse(session, llm=llm)


@action(hotel)
async def book_room(nights: Annotated[int, ge(1), Doc("How many nights.")]) -> dict[str, int]:
    """Book a room and return its number."""
    return {"room": 7}


async def test_the_request_after_a_function_call_is_as_shown() -> None:
    """Each field is compared."""
    fakes = Fakes([ToolCall("call-1", "book_room", {"nights": 2})], [Text("Room 7.")])
    async with connected(hotel, fakes) as wire:
        wire.send("send-text", {"content": "Two nights, please.", "options": {}})
        await settle()
    request = fakes.requests[-1]
    found = SHOWN.search((DOCS / "reference" / "declarations.md").read_text("utf-8"))
    assert found is not None
    asked = {"messages": list(request.messages), "functions": list(request.functions)}
    assert json.loads(found[1]) == json.loads(json.dumps(asked))
