"""The decorator `service`, which declares a provider of a kind."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, TypeVar, overload

from typing_extensions import TypedDict, Unpack

from ..errors import DeclarationError
from ..kinds import BUILTIN_KINDS, LLM, STT, TTS, VAD, Kind, SpeechModel
from ..utils.names import is_valid_name
from .lifespans import check_context_manager, lifespan_value, secret_of
from .signature import check_flag, check_function, read_signature, reject_unknown
from .specs import AnyFunction, LifespanValue, ProviderSpec, SecretSpec, mark
from .targets import kind_name, reject_bare

__all__ = ("service",)

OpensLLM = TypeVar("OpensLLM", bound="Callable[..., AbstractAsyncContextManager[LLM]]")

OpensTTS = TypeVar("OpensTTS", bound="Callable[..., AbstractAsyncContextManager[TTS]]")

OpensSTT = TypeVar("OpensSTT", bound="Callable[..., AbstractAsyncContextManager[STT]]")

OpensVAD = TypeVar("OpensVAD", bound="Callable[..., AbstractAsyncContextManager[VAD]]")

OpensSpeech = TypeVar("OpensSpeech", bound="Callable[..., AbstractAsyncContextManager[SpeechModel]]")

Opens = TypeVar("Opens", bound="Callable[..., AbstractAsyncContextManager[Any]]")


class _ServiceKeywords(TypedDict, total=False):
    key_page: str
    asyncio_only: bool


@overload
def service(
    kind: Literal["llm"], provider: str, /, **keywords: Unpack[_ServiceKeywords]
) -> Callable[[OpensLLM], OpensLLM]: ...


@overload
def service(
    kind: Literal["tts"], provider: str, /, **keywords: Unpack[_ServiceKeywords]
) -> Callable[[OpensTTS], OpensTTS]: ...


@overload
def service(
    kind: Literal["stt"], provider: str, /, **keywords: Unpack[_ServiceKeywords]
) -> Callable[[OpensSTT], OpensSTT]: ...


@overload
def service(
    kind: Literal["vad"], provider: str, /, **keywords: Unpack[_ServiceKeywords]
) -> Callable[[OpensVAD], OpensVAD]: ...


@overload
def service(
    kind: Literal["speech"], provider: str, /, **keywords: Unpack[_ServiceKeywords]
) -> Callable[[OpensSpeech], OpensSpeech]: ...


@overload
def service(kind: Kind, provider: str, /, **keywords: Unpack[_ServiceKeywords]) -> Callable[[Opens], Opens]: ...


def service(*given: Any, key_page: str = "", asyncio_only: bool = False, **unknown: Any) -> Any:
    """Declare a provider of a kind: an async context manager that yields the live service.

    Parameters before the `/` are the keys that it needs, each a `Secret`, or `Secret | None` if it works without, and
    values of lifespans.
    Parameters after it are service options. They come from the operator only, and are fixed while the service is open.
    `key_page` is the URL of the page where the vendor's customers make keys, for messages about a missing or refused
    key. See `rtvi_plugins.kinds.ChecksKey` for a service that checks its key. `asyncio_only` says that it does not run
    on trio, for example because of the vendor's SDK: it is not opened there.
    """
    reject_bare("service", given)

    def declare(function: AnyFunction) -> AnyFunction:
        check_function("service", function)
        if len(given) != 2:
            raise DeclarationError(function, "@service takes a kind and a provider: write @service('llm', 'acme').")
        reject_unknown(function, "service", unknown, ("key_page", "asyncio_only"))
        check_context_manager("service", function)
        kind, provider = given
        if not is_valid_name(provider):
            message = f"has the provider name {provider!r}. Use only letters, digits, '-' and '_'."
            raise DeclarationError(function, message)
        signature = read_signature(function, given="", example="", defaults=True)
        name = kind_name(function, kind)
        protocol = kind.protocol if isinstance(kind, Kind) else BUILTIN_KINDS[name].protocol
        keys_and_values = tuple(_key_or_value(function, *each) for each in signature.given.items())
        spec = ProviderSpec(
            name, protocol, provider, function, keys_and_values, signature.sent, signature.doc, key_page, asyncio_only
        )
        _check_key_page(function, key_page, spec)
        check_flag(function, "asyncio_only", asyncio_only)
        return mark(function, spec)

    return declare


def _check_key_page(function: AnyFunction, page: Any, spec: ProviderSpec) -> None:
    if page == "":
        return
    if not isinstance(page, str) or not page.startswith("https://") or not page.isprintable() or " " in page:
        message = f"key_page= is the URL of a page, as in 'https://acme.example/keys', not {page!r}."
        raise DeclarationError(function, message)
    if not spec.secrets:
        message = "has a key_page=, but takes no key. Remove it, or take a Secret before the '/'."
        raise DeclarationError(function, message)


def _key_or_value(function: AnyFunction, name: str, annotation: Any) -> SecretSpec | LifespanValue:
    key_or_value = secret_of(name, annotation) or lifespan_value(name, annotation)
    if key_or_value is None:
        message = f"{name!r} is before the '/', where a service takes keys and values of lifespans. Annotate it with "
        message += "Secret, or with the class that a @lifespan yields. A service option is after the '/'."
        raise DeclarationError(function, message)
    return key_or_value
