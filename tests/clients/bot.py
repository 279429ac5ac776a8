"""The bots for the tests of the published clients: actions that behave in every way, and a conversation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

import anyio
from attrs import frozen
from attrs.validators import ge, le

from rtvi_plugins import LLM, TTS, Grant, RequestError, Session, action, bot, converse, options
from rtvi_plugins.kinds import LLMRequest

BOOK_ROOM = {
    "name": "book_room",
    "description": "Books a room at the hotel.",
    "parameters": {
        "type": "object",
        "properties": {"nights": {"type": "number"}, "name": {"type": "string"}},
        "required": ["nights", "name"],
    },
}

CONFIG: Mapping[str, Mapping[str, Any]] = {
    "llm": {
        "messages": [{"role": "system", "content": "You answer the phone of a small hotel."}],
        "tools": [BOOK_ROOM],
    },
    # Slow enough that a client can interrupt, fast enough that twelve turns take seconds.
    "llm.rules": {"words_per_second": 100.0},
}

OPTIONS: list[str | Grant] = ["llm.tools", "llm.name", Grant("llm.run_on_config", writable=False)]

STANDARD = ["llm:append_to_messages", "llm:get_context", "llm:set_context", "llm:run"]

OWN = [
    "fast",
    "slow",
    "never",
    "raising",
    "refusing",
    "unserialisable",
    "misdeclared",
    "typed",
    "number",
    "chosen",
    "ask_client",
    "ask_client_patiently",
    "give_false",
    "give_zero",
    "give_text",
    "give_array",
    "give_object",
    "give_null",
    "ask_llm",
    "keep",
]


@bot(
    services={"llm": ["rules", "echo"], "tts": "echo"},
    config=CONFIG,
    client=[*OPTIONS, *STANDARD, "call.volume", "context:reset", *(f"bot:{name}" for name in OWN)],
    public=True,
)
async def open_bot(session: Session, /, llm: LLM, tts: TTS) -> None:
    """Anyone may start this bot."""
    await converse(session, llm=llm)


@bot(services={"llm": "rules"}, config=CONFIG, client=STANDARD)
async def closed_bot(session: Session, /, llm: LLM) -> None:
    """Only the operator may start this bot."""
    await converse(session, llm=llm)


# ---- actions that succeed ------------------------------------------------------------------------------------------


@action(open_bot)
async def fast() -> str:
    """Answers at once."""
    return "fast"


@action(open_bot)
async def slow(session: Session, /, seconds: Annotated[float, ge(0), le(5)]) -> str:
    """Answers after a while."""
    await anyio.sleep(seconds)
    return "slow"


@action(open_bot)
async def number(session: Session, /, number: Annotated[int, ge(0), le(49)]) -> int:
    """Answers the number; of many that are asked at once, the greatest first."""
    await anyio.sleep((50 - number) / 200)
    return number


@frozen
class Typed:
    """A value of each RTVI type."""

    text: str
    flag: bool
    whole: int
    ratio: float
    items: list[str]
    record: dict[str, int]
    size: Literal["small", "large"]


@action(open_bot)
async def typed(
    session: Session,
    /,
    text: str,
    flag: bool,
    whole: int,
    ratio: float,
    items: list[str],
    record: dict[str, int],
    size: Literal["small", "large"] = "small",
) -> Typed:
    """Answers all that it was given."""
    return Typed(text, flag, whole, ratio, items, record, size)


@action(open_bot)
async def chosen(session: Session, /) -> Mapping[str, str]:
    """Answers which provider fills each service."""
    return session.providers


@action(open_bot)
async def give_false() -> bool:
    """Answers false."""
    return False


@action(open_bot)
async def give_zero() -> int:
    """Answers 0."""
    return 0


@action(open_bot)
async def give_text() -> str:
    """Answers an empty string."""
    return ""


@action(open_bot)
async def give_array() -> list[str]:
    """Answers an empty array."""
    return []


@action(open_bot)
async def give_object() -> dict[str, str]:
    """Answers an empty object."""
    return {}


@action(open_bot)
async def give_null() -> None:
    """Answers null."""


# ---- actions under another service, with a service, and by client message -----------------------------------------


@action(open_bot, service="context")
async def reset(session: Session, /) -> bool:
    """Forgets the conversation, under the service name of an old bot."""
    session.context.replace([])
    return True


@action(open_bot)
async def ask_llm(llm: LLM, /) -> bool:
    """Asks the LLM of the bot."""
    return [each async for each in llm.respond(LLMRequest([{"role": "user", "content": "Hello."}], []))] != []


@action(open_bot, message="save everything")
async def keep(session: Session, /, data: Any = "nothing") -> Any:
    """Answers the data of a client message, and pushes it too."""
    session.send({"type": "kept", "data": data})
    return data


@options(open_bot, service="call")
def levels(session: Session, /, volume: Annotated[float, ge(0), le(2)] = 1.0) -> None:
    """An option of the bot itself."""


# ---- actions that fail ---------------------------------------------------------------------------------------------


@action(open_bot)
async def hidden() -> str:
    """Is not granted to any client."""
    return "hidden"


@action(open_bot)
async def never() -> str:
    """Does not answer."""
    await anyio.sleep_forever()
    return "never"


@action(open_bot)
async def raising() -> str:
    """Raises an exception whose text must stay here."""
    raise ValueError("the password is hunter2")


@action(open_bot)
async def refusing() -> str:
    """Refuses, in a sentence for the client."""
    raise RequestError("The hotel is full.")


@action(open_bot)
async def unserialisable() -> dict[str, Any]:
    """Returns what JSON cannot carry."""
    return {"object": object()}


@action(open_bot)
async def misdeclared() -> int:
    """Returns another type than it declares."""
    return cast("int", "five")


# ---- functions of the client ---------------------------------------------------------------------------------------


@action(open_bot)
async def ask_client(session: Session, /, name: str, values: dict[str, Any]) -> dict[str, Any]:
    """Has the client run a function, and answers its result."""
    return {"result": await session.call_function(name, values)}


@action(open_bot, long=True)
async def ask_client_patiently(session: Session, /, name: str, values: dict[str, Any]) -> dict[str, Any]:
    """The same as a job, which may wait longer than a request."""
    return {"result": await session.call_function(name, values)}
