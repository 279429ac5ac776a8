"""The standard actions and options of `llm` and `tts`, declared by the same decorators as anyone's.

Their names and arguments are what the published clients' LLMHelper sends, flags included.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from typing_extensions import Doc

from ..context import Function, Message
from ..declare.decorators import action, options
from ..declare.roles import ANY_ROLE, roles
from ..session import RunLLM, Say, Session, VADParams

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

_Interrupt = Annotated[bool, Doc("Cut short what the bot is saying.")]
_RunImmediately = Annotated[bool, Doc("Have the bot answer at once.")]


# ---- llm -----------------------------------------------------------------------------------------------------------


@action("llm", narrowed={"messages": roles("user")})
async def append_to_messages(
    session: Session,
    /,
    messages: Sequence[Message],
    run_immediately: _RunImmediately = False,
    interrupt: _Interrupt = False,
) -> bool:
    """Add messages to the conversation. Where the bot does not grant more, they are the user's text."""
    if interrupt:
        session.interrupt()
    session.context.require_space()
    session.remember(*messages)
    if run_immediately:
        session.submit(RunLLM())
    return True


@action("llm")
async def get_context(session: Session, /) -> dict[str, Any]:
    """The conversation so far: messages and tools."""
    return session.context.to_json()


@action("llm", narrowed={"messages": ANY_ROLE})
async def set_context(
    session: Session,
    /,
    messages: Sequence[Message] | None = None,
    tools: Sequence[Function] | None = None,
    interrupt: _Interrupt = False,
    run_immediately: _RunImmediately = False,
) -> bool:
    """Replace the messages of the conversation, its tools, or both; what is not given stays."""
    if interrupt:
        session.interrupt()
    if messages is not None:
        session.context.replace(messages)
    if tools is not None:
        session.context.functions = tuple(tools)
    if run_immediately:
        session.submit(RunLLM())
    return True


@action("llm")
async def run(session: Session, /, interrupt: _Interrupt = False, run_immediately: _RunImmediately = True) -> bool:
    """Have the LLM answer the conversation as it is."""
    if interrupt:
        session.interrupt()
    if run_immediately:
        session.submit(RunLLM())
    return True


@options("llm", narrowed={"messages": ANY_ROLE})
def messages(session: Session, /, messages: Sequence[Message] | None = None) -> None:
    """The messages that the conversation starts from; a change replaces the conversation."""
    if messages is not None:
        session.context.replace(messages)


@options("llm", narrowed={"initial_messages": ANY_ROLE})
def initial_messages(session: Session, /, initial_messages: Sequence[Message] | None = None) -> None:
    """The same as `messages`, under the name that older configs use."""
    if initial_messages is not None:
        session.context.replace(initial_messages)


@options("llm")
def tools(session: Session, /, tools: Sequence[Function] | None = None) -> None:
    """The functions that the LLM may have the client carry out."""
    if tools is not None:
        session.context.functions = tuple(tools)


@options("llm", last=True)
def run_on_config(
    session: Session, /, run_on_config: Annotated[bool, Doc("Have the bot speak first, once it is set up.")] = False
) -> None:
    """Whether the LLM answers as soon as the config is in force."""
    if run_on_config:
        session.submit(RunLLM())


# ---- tts -----------------------------------------------------------------------------------------------------------


@action("tts")
async def say(session: Session, /, text: str, interrupt: _Interrupt = False) -> bool:
    """Say exactly this text, after what is being said, or with `interrupt` in the place of it."""
    if interrupt:
        session.interrupt()
    session.submit(Say(text))
    return True


@action("tts")
async def interrupt(session: Session, /) -> bool:
    """Cut short what the bot is saying, and forget what it was still to say; whether there was anything to cut."""
    return session.interrupt()


# ---- vad -----------------------------------------------------------------------------------------------------------


@options("vad")
def params(
    session: Session,
    /,
    params: Annotated[VADParams, Doc("How sure, how long and how loud.")] = VADParams(),  # noqa: B008 - it is frozen
) -> None:
    """When speech begins and ends."""
    session.vad_params = params


# ---- bot -----------------------------------------------------------------------------------------------------------


@action("bot")
async def cancel_job(session: Session, /, job: str) -> bool:
    """Cancel a long action by the id of its job; whether it was still running."""
    return session.cancel_job(job)
