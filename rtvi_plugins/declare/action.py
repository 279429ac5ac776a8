"""The decorator `action`, which declares what a client or an LLM may call."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Concatenate, Literal, TypeVar, overload

from typing_extensions import TypedDict, Unpack

from ..errors import DeclarationError
from ..kinds import LLM, STT, TTS, VAD, Kind, SpeechModel
from ..session import Session
from ..utils.json_values import json_problem
from .injected import injected
from .signature import (
    check_flag,
    check_function,
    check_narrowed,
    read_result,
    read_signature,
    reject_hidden_async,
    reject_unknown,
)
from .specs import BOT, ActionSpec, AnyFunction, Given, Parameter, mark
from .targets import KindName, OnBot, OnService, check_own_name, is_for_bot, read_targets, reject_bare
from .types import Validator

__all__ = ("PROTOCOL_TYPES", "action")

#: The types of message that the protocol itself reads. No action can handle one of them.
PROTOCOL_TYPES = (
    "client-ready",
    "describe-actions",
    "describe-config",
    "get-config",
    "update-config",
    "action",
    "client-message",
    "send-text",
    "append-to-context",
    "llm-function-call-result",
    "disconnect-bot",
)


T = TypeVar("T")


class _ActionKeywords(TypedDict, total=False):
    long: bool
    deadline: float | None
    finish: bool
    repeatable: bool
    narrowed: Mapping[str, Validator] | None


class _BotActionKeywords(_ActionKeywords, total=False):
    service: str
    message: str


@overload
def action(target: Literal["llm"], /, **keywords: Unpack[_ActionKeywords]) -> OnService[LLM]: ...


@overload
def action(target: Literal["tts"], /, **keywords: Unpack[_ActionKeywords]) -> OnService[TTS]: ...


@overload
def action(target: Literal["stt"], /, **keywords: Unpack[_ActionKeywords]) -> OnService[STT]: ...


@overload
def action(target: Literal["vad"], /, **keywords: Unpack[_ActionKeywords]) -> OnService[VAD]: ...


@overload
def action(target: Literal["speech"], /, **keywords: Unpack[_ActionKeywords]) -> OnService[SpeechModel]: ...


@overload
def action(target: KindName, another: KindName, /, **keywords: Unpack[_ActionKeywords]) -> OnBot: ...


@overload
def action(target: Kind, /, **keywords: Unpack[_ActionKeywords]) -> OnBot: ...


@overload
def action(
    target: Literal["bot"] | Callable[Concatenate[Session, ...], Any], /, **keywords: Unpack[_BotActionKeywords]
) -> OnBot: ...


@overload
def action(
    target: Callable[..., AbstractAsyncContextManager[T]],
    /,
    *more: Callable[..., AbstractAsyncContextManager[T]],
    **keywords: Unpack[_ActionKeywords],
) -> OnService[T]: ...


def action(
    *targets: Any,
    long: bool = False,
    deadline: float | None = None,
    finish: bool = True,
    repeatable: bool = False,
    narrowed: Mapping[str, Validator] | None = None,
    service: str | None = None,
    message: str | None = None,
    **unknown: Any,
) -> Any:
    """Declare an action of one or several providers, of a kind, or of a bot.

    The function's name is the action's. Parameters before the `/` are the live service and then, if wanted, the
    `Session` and values of lifespans; for a bot, the `Session`, values of lifespans, and services of the bot by their
    names, in any order. Parameters after it are the arguments. `async def` runs on the event loop; `def` runs in a
    worker thread.

    Clients see an action of a bot under the service "bot", or under the name that `service` gives. With `message`, it
    is also called by the `client-message` of this type. It then takes one argument at most: the data of the message.

    `deadline`, in seconds, has an effect if it is shorter than the session's. A `long` action is answered at once with
    a job id; its progress and its result follow as messages. `finish=False` cancels an action that the LLM called if
    the user interrupts; by default it continues, and the LLM reads its result later. A `repeatable` action changes
    nothing outside of its session, or may do so twice: in a session that is saved, it starts without waiting for the
    store.
    `narrowed` restricts the arguments that clients may send, unless a bot's grant says otherwise.
    """
    reject_bare("action", targets)

    def declare(function: AnyFunction) -> AnyFunction:
        check_function("action", function)
        known = ("long", "deadline", "finish", "repeatable", "narrowed", "service", "message")
        reject_unknown(function, "action", unknown, known)
        called = _undeprecated(function)
        reject_hidden_async(called)
        if inspect.isasyncgenfunction(inspect.unwrap(called)) or inspect.isgeneratorfunction(inspect.unwrap(called)):
            problem = "is a generator. An action returns one result: use return, or session.send."
            raise DeclarationError(function, problem)
        for flag, setting in (("long", long), ("finish", finish), ("repeatable", repeatable)):
            check_flag(function, flag, setting)
        _check_time(function, long, deadline, finish)
        read = read_targets(function, targets)
        needs = "" if is_for_bot(targets) else "an action takes the service and, if it wants it, the session"
        signature = read_signature(function, given=needs, example="(tts: TTS, session: Session, /, text: str)")
        check_own_name(function, service, targets)
        _check_message(function, message, signature.sent, is_for_bot(targets))
        given = injected(function, signature, targets)
        is_async = inspect.iscoroutinefunction(called)
        if Given.SESSION in given and not is_async:
            problem = "takes the session, but runs in a thread, where the session must not be used. "
            raise DeclarationError(function, f"{problem}Write async def, and call what blocks with anyio.to_thread.")
        spec = ActionSpec(
            targets=read,
            name=function.__name__,
            function=called,
            parameters=signature.sent,
            result=read_result(function, signature),
            given=given,
            is_async=is_async,
            long=long,
            deadline=deadline,
            finish=finish,
            narrowed=check_narrowed(function, signature.sent, narrowed),
            deprecated=getattr(function, "__deprecated__", None),
            doc=signature.doc,
            service=BOT if service is None else service,
            message=message,
            repeatable=repeatable,
        )
        return mark(function, spec)

    return declare


def _check_time(function: AnyFunction, long: bool, deadline: Any, finish: bool) -> None:
    is_number = isinstance(deadline, int | float) and not isinstance(deadline, bool)
    if deadline is not None and not (is_number and 0 < deadline < math.inf):
        problem = f"deadline= is a number of seconds above 0, as in 2.5, not {deadline!r}."
    elif long and deadline is not None:
        problem = "is long=True, so it has no deadline. Remove deadline=."
    elif long and not finish:
        problem = "is long=True, so an LLM cannot call it. Remove finish=."
    else:
        return
    raise DeclarationError(function, problem)


def _check_message(function: AnyFunction, message: Any, sent: Mapping[str, Parameter], of_bot: bool) -> None:
    """Reject an invalid `message=` of an action, and one whose data has no single argument."""
    if message is None:
        return
    if not isinstance(message, str) or not message or json_problem(message) is not None:
        problem = f"has message={message!r}, which is not a message type. Write a text, as in message='set-language'."
    elif not of_bot:
        problem = "has message=, which only an action of a bot has. Write @action(mybot, message=…), or remove it."
    elif message in PROTOCOL_TYPES:
        problem = f"has message={message!r}, which is a type of the protocol itself. Choose another."
    elif len(sent) > 1:
        problem = f"has message=, so it takes one argument, the data of the message, not {len(sent)}: {list(sent)}. "
        problem += "Write one argument of an attrs class or a TypedDict."
    else:
        return
    raise DeclarationError(function, problem)


def _undeprecated(function: AnyFunction) -> AnyFunction:
    # The wrapper of @deprecated warns the caller, but when a client calls, the caller is the framework. And before
    # Python 3.12, `inspect` does not recognise the wrapper of a coroutine function as one.
    inner: AnyFunction = getattr(function, "__wrapped__", function)
    return inner if hasattr(function, "__deprecated__") else function
