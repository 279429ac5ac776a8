"""The standard actions and options of `llm`, `tts`, `speech`, `vad` and the bot, declared with the public decorators.

Their names and arguments are those of `LLMHelper` in the published clients.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from typing_extensions import Doc

from ..context import Function, Message, WrappedFunction
from ..declare.action import action
from ..declare.message_roles import ANY_ROLE, roles
from ..declare.options import options
from ..errors import InvalidArguments, RequestError, unknown
from ..session import RunLLM, Say, Session, VADParams
from .context_checks import FunctionsCheck, ResultsCheck, TextCheck

__all__ = (
    "append_to_messages",
    "cancel_job",
    "get_context",
    "initial_messages",
    "interrupt",
    "messages",
    "params",
    "run",
    "run_on_config",
    "say",
    "set_context",
    "tools",
)

_log = logging.getLogger("rtvi_plugins")

_Interrupt = Annotated[bool, Doc("Interrupt the bot first.")]

_Conversation = Annotated[Sequence[Message] | None, ResultsCheck()]

_Functions = Annotated[
    Sequence[Function | WrappedFunction] | None,
    FunctionsCheck(),
    Doc('Functions, each also in OpenAI\'s form, with `"type": "function"`.'),
]

_ToolChoice = Annotated[
    Literal["none", "auto", "required"] | str | WrappedFunction | None,
    Doc("Whether the LLM may call functions, must call one, or must call the one with this name."),
]

_RunImmediately = Annotated[bool, Doc("Make the bot answer at once.")]


# ---- llm, speech ----------------------------------------------------------------------------------------------------


@action("llm", "speech", repeatable=True, narrowed={"messages": roles("user")})
async def append_to_messages(
    session: Session,
    /,
    messages: Annotated[Sequence[Message], TextCheck()],
    run_immediately: _RunImmediately = False,
    interrupt: _Interrupt = False,
) -> bool:
    """Add messages to the conversation. By default, only text of the user is accepted."""
    session.context.require_space()
    if interrupt:
        session.interrupt()
    session.remember(*messages)
    if run_immediately:
        session.submit(RunLLM())
    return True


@action("llm", "speech", repeatable=True)
async def get_context(session: Session, /) -> dict[str, Any]:
    """Return the conversation: messages and tools."""
    return session.context.to_json()


@action("llm", "speech", repeatable=True, narrowed={"messages": ANY_ROLE})
async def set_context(
    session: Session,
    /,
    messages: _Conversation = None,
    tools: _Functions = None,
    interrupt: _Interrupt = False,
    run_immediately: _RunImmediately = False,
    tool_choice: _ToolChoice = None,
) -> bool:
    """Replace the messages of the conversation, its tools, or both. An omitted argument changes nothing."""
    undo = session.context.snapshot()
    if tools is not None:
        _set_functions(session, tools)
    if tool_choice is not None:
        try:
            session.context.tool_choice = _checked_choice(session, tool_choice)
        except RequestError:
            undo()
            raise
    if interrupt:
        session.interrupt()
    if messages is not None:
        session.context.replace(messages)
    if run_immediately:
        session.submit(RunLLM())
    return True


def _set_functions(session: Session, tools: Sequence[Function | WrappedFunction]) -> None:
    """Set the functions of the client. Log those that the bot has itself: older clients may still send them."""
    session.context.set_functions(tools)
    if session.persona is None and not session.single_turn:
        called = session.functions
        for function in session.context.functions:
            if not any(function is each for each in called):
                text = "session %s: the client offers the function %r, but the bot has one itself, which is called"
                _log.warning(text, session.id, function["name"], extra={"session": session.id})


def _checked_choice(session: Session, choice: str | WrappedFunction) -> str:
    """Return a `tool_choice` in its short form. Raise `InvalidArguments` if it names no function that there is."""
    if choice in ("none", "auto", "required"):
        return str(choice)
    name = choice if isinstance(choice, str) else choice["function"]["name"]
    names = [function["name"] for function in session.functions]
    if name not in names:
        raise InvalidArguments([unknown("function", name, names, path="tool_choice")])
    return name


@action("llm", "speech", repeatable=True)
async def run(session: Session, /, interrupt: _Interrupt = False, run_immediately: _RunImmediately = True) -> bool:
    """Let the LLM answer the conversation now."""
    session.context.require_space()
    if interrupt:
        session.interrupt()
    if run_immediately:
        session.submit(RunLLM())
    return True


@options("llm", "speech", narrowed={"messages": ANY_ROLE})
def messages(session: Session, /, messages: _Conversation = None) -> None:
    """The first messages of the conversation. A change replaces the whole conversation."""
    if messages is not None:
        session.context.replace(messages)


@options("llm", "speech", narrowed={"initial_messages": ANY_ROLE})
def initial_messages(session: Session, /, initial_messages: _Conversation = None) -> None:
    """The same as `messages`, for older configs."""
    if initial_messages is not None:
        session.context.replace(initial_messages)


@options("llm", "speech")
def tools(session: Session, /, tools: _Functions = None) -> None:
    """The functions of the client that the LLM may call."""
    if tools is not None:
        _set_functions(session, tools)


@options("llm", "speech", last=True)
def run_on_config(
    session: Session, /, run_on_config: Annotated[bool, Doc("Let the bot speak first, when it is ready.")] = False
) -> None:
    """Let the LLM answer as soon as the config is applied."""
    if run_on_config:
        session.submit(RunLLM())


# ---- tts, speech ----------------------------------------------------------------------------------------------------


@action("tts", "speech", repeatable=True)
async def say(session: Session, /, text: str, interrupt: _Interrupt = False) -> bool:
    """Say exactly this text after the current speech. With `interrupt`, say it at once."""
    session.context.require_space()
    if interrupt:
        session.interrupt()
    session.submit(Say(text))
    return True


@action("tts", "speech", repeatable=True)
async def interrupt(session: Session, /) -> bool:
    """Interrupt the bot and discard the rest of its speech. Return whether there was any."""
    return session.interrupt()


# ---- vad -----------------------------------------------------------------------------------------------------------


@options("vad")
def params(
    session: Session,
    /,
    params: Annotated[VADParams, Doc("Confidence, durations and volume.")] = VADParams(),  # noqa: B008 - it is frozen
) -> None:
    """Set when speech starts and ends."""
    session.vad_params = params


# ---- bot -----------------------------------------------------------------------------------------------------------


@action("bot", repeatable=True)
async def cancel_job(session: Session, /, job: str) -> bool:
    """Cancel a background job by its id. Return whether it was still running."""
    return session.cancel_job(job)
