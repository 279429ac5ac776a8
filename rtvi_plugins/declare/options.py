"""The decorator `options`, which declares a group of options that one function sets."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Concatenate, Literal, TypeVar, overload

from typing_extensions import TypedDict, Unpack

from ..errors import DeclarationError
from ..kinds import LLM, STT, TTS, VAD, Kind, SpeechModel
from ..session import Session
from .injected import injected
from .signature import (
    check_flag,
    check_function,
    check_narrowed,
    read_signature,
    reject_hidden_async,
    reject_result,
    reject_unknown,
)
from .specs import BOT, AnyFunction, BotService, OptionsSpec, mark
from .targets import KindName, OnBot, OnService, check_own_name, is_for_bot, read_targets, reject_bare
from .types import Validator

__all__ = ("options",)

T = TypeVar("T")


class _OptionsKeywords(TypedDict, total=False):
    last: bool
    narrowed: Mapping[str, Validator] | None


class _BotOptionsKeywords(_OptionsKeywords, total=False):
    service: str


@overload
def options(target: Literal["llm"], /, **keywords: Unpack[_OptionsKeywords]) -> OnService[LLM]: ...


@overload
def options(target: Literal["tts"], /, **keywords: Unpack[_OptionsKeywords]) -> OnService[TTS]: ...


@overload
def options(target: Literal["stt"], /, **keywords: Unpack[_OptionsKeywords]) -> OnService[STT]: ...


@overload
def options(target: Literal["vad"], /, **keywords: Unpack[_OptionsKeywords]) -> OnService[VAD]: ...


@overload
def options(target: Literal["speech"], /, **keywords: Unpack[_OptionsKeywords]) -> OnService[SpeechModel]: ...


@overload
def options(target: KindName, another: KindName, /, **keywords: Unpack[_OptionsKeywords]) -> OnBot: ...


@overload
def options(target: Kind, /, **keywords: Unpack[_OptionsKeywords]) -> OnBot: ...


@overload
def options(
    target: Literal["bot"] | Callable[Concatenate[Session, ...], Any], /, **keywords: Unpack[_BotOptionsKeywords]
) -> OnBot: ...


@overload
def options(
    target: Callable[..., AbstractAsyncContextManager[T]],
    /,
    *more: Callable[..., AbstractAsyncContextManager[T]],
    **keywords: Unpack[_OptionsKeywords],
) -> OnService[T]: ...


def options(
    *targets: Any,
    last: bool = False,
    narrowed: Mapping[str, Validator] | None = None,
    service: str | None = None,
    **unknown: Any,
) -> Any:
    """Declare a group of options of one or several providers, of a kind, or of a bot.

    The function is called with all values of its group when the service opens, and whenever one of them changes. It
    runs on the event loop and must not block. Parameters before the `/` are the live service and then, if wanted, the
    `Session` and values of lifespans. Parameters after it are the options, each with its default.

    A group of a kind is called when the session starts and on change. If it takes the live service, it is also called
    for a new one. `last` groups are applied after all others. `narrowed` restricts what clients may set, unless a
    bot's grant says otherwise.

    A group of a bot is called like that of a kind. It takes the `Session`. Clients see its options under the service
    "bot", or under the name that `service` gives.
    """
    reject_bare("options", targets)

    def declare(function: AnyFunction) -> AnyFunction:
        check_function("options", function)
        reject_unknown(function, "options", unknown, ("last", "narrowed", "service"))
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise DeclarationError(function, "is async, but an options function is not awaited. Write def.")
        reject_hidden_async(function)
        if inspect.isgeneratorfunction(function):
            raise DeclarationError(function, "is a generator, but an options function only sets values. Remove yield.")
        check_flag(function, "last", last)
        read = read_targets(function, targets)
        check_own_name(function, service, targets)
        example = "(llm: AcmeLLM, /, model: str = 'small')"
        given = "an options function takes the service and, if it wants it, the session"
        if is_for_bot(targets):
            given, example = "an options function of a bot takes the session", "(session: Session, /, tone: str = '')"
        signature = read_signature(function, given=given, example=example, defaults=True)
        if not signature.sent:
            raise DeclarationError(function, "declares no option. Name at least one after the '/'.")
        reject_result(function, "an options function", signature.returns)
        passed = injected(function, signature, targets)
        if any(isinstance(each, BotService) for each in passed):
            raise DeclarationError(function, f"may have only the session before the '/', as in {example}.")
        spec = OptionsSpec(
            targets=read,
            function=function,
            parameters=signature.sent,
            given=passed,
            last=last,
            doc=signature.doc,
            narrowed=check_narrowed(function, signature.sent, narrowed, "options"),
            service=BOT if service is None else service,
        )
        return mark(function, spec)

    return declare
