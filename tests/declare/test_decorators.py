"""The four decorators: they return the same function, declare it, and explain mistakes."""

from __future__ import annotations

import importlib.util
import inspect
import sys
import traceback
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Protocol, runtime_checkable

import pytest
from attrs import define
from attrs.validators import ge, max_len
from typing_extensions import deprecated

from rtvi_plugins import LLM, Grant, Kind, Secret, Session, action, bot, options, service
from rtvi_plugins.declare.specs import ActionSpec, BotSpec, Given, OptionsSpec, ProviderSpec, specs_of
from rtvi_plugins.errors import AuthorError, DeclarationError
from rtvi_plugins.kinds import LLMPiece, LLMRequest, Text
from rtvi_plugins.loading import compose


@define
class AcmeLLM:
    """An LLM that says the name of its model."""

    key: str = ""
    model: str = ""

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        """Say the model's name."""
        yield Text(self.model)


def plain_service(api_key: Secret, other_key: Secret | None, /, base_url: str = "https://acme.example") -> Any:
    """Acme's models."""
    return asynccontextmanager(_yield)(api_key.reveal())


async def _yield(key: str) -> AsyncGenerator[AcmeLLM]:
    yield AcmeLLM(key)


def configure(llm: AcmeLLM, /, model: str = "small") -> None:
    """Which model answers."""
    llm.model = model


async def list_models(llm: AcmeLLM, session: Session, /, limit: Annotated[int, ge(1)] = 9) -> list[str]:
    """The models."""
    return [llm.model][:limit]


async def receptionist(session: Session, /, llm: LLM) -> None:
    """A receptionist.

    With more to say.
    """


# ---- what a decorator leaves alone ---------------------------------------------------------------------------------


def test_a_decorator_returns_the_same_function() -> None:
    """They return no wrapper."""
    declared = service("llm", "acme")(plain_service)
    assert declared is plain_service
    assert options(plain_service)(configure) is configure
    assert action(plain_service)(list_models) is list_models
    assert bot(services={"llm": "acme"})(receptionist) is receptionist


def test_a_decorated_function_is_still_a_function() -> None:
    """Tests call it like any other function."""
    llm = AcmeLLM()
    configure(llm, model="large")
    assert llm.model == "large"
    assert inspect.iscoroutinefunction(list_models)


# ---- what a decorator notes down -----------------------------------------------------------------------------------


def spec_of(function: Any, family: type[Any]) -> Any:
    """The newest declaration of a type that a function has."""
    return [each for each in specs_of(function) if isinstance(each, family)][-1]


def test_a_service_knows_its_keys_and_its_service_options() -> None:
    """An optional key is marked."""
    spec: ProviderSpec = spec_of(service("llm", "acme")(plain_service), ProviderSpec)
    assert (spec.kind, spec.provider, spec.protocol, spec.doc) == ("llm", "acme", LLM, "Acme's models.")
    assert [(each.name, each.optional) for each in spec.secrets] == [("api_key", False), ("other_key", True)]
    assert spec.parameters["base_url"].default == "https://acme.example"


def test_options_know_what_they_are_given() -> None:
    """The live service and the session may both be there, one of them, or none."""

    def with_session(llm: AcmeLLM, session: Session, /, tone: str = "") -> None: ...

    def session_alone(session: Session, /, tone: str = "") -> None: ...

    service("llm", "acme")(plain_service)
    options(plain_service, last=True)(with_session)
    options("llm", last=True)(session_alone)
    found = [spec_of(each, OptionsSpec) for each in (with_session, session_alone)]
    assert [each.given for each in found] == [(Given.SERVICE, Given.SESSION), (Given.SESSION,)]
    assert all(each.last for each in found)


def test_one_function_may_be_declared_on_several_targets() -> None:
    """Providers of one class share its options."""
    service("llm", "acme")(plain_service)

    @service("llm", "acme-eu")
    @asynccontextmanager
    async def acme_eu() -> AsyncGenerator[AcmeLLM]:
        yield AcmeLLM()

    def shared(llm: AcmeLLM, /, tone: str = "") -> None: ...

    options(plain_service, acme_eu)(shared)
    assert spec_of(shared, OptionsSpec).targets == (plain_service, acme_eu)


def test_an_action_knows_how_it_runs() -> None:
    """It runs on the event loop or in a thread, may be long, and has a deadline and bounds."""

    def think(text: str) -> bool:
        return bool(text)

    action("bot", deadline=2.0, narrowed={"text": max_len(9)})(think)
    short: ActionSpec = spec_of(think, ActionSpec)
    assert (short.name, short.is_async, short.long, short.deadline) == ("think", False, False, 2.0)
    assert (short.given, list(short.narrowed)) == ((), ["text"])
    service("llm", "acme")(plain_service)
    long: ActionSpec = spec_of(action(plain_service, long=True)(list_models), ActionSpec)
    assert (long.is_async, long.long, long.given) == (True, True, (Given.SERVICE, Given.SESSION))
    assert long.result.rtvi_type == "array"


def test_a_deprecated_action_is_described_so_and_warns_nobody() -> None:
    """When a client calls it, a warning to the author of the caller makes no sense."""

    def old(text: str) -> str:
        return text

    spec: ActionSpec = spec_of(action("bot")(deprecated("Use new.")(old)), ActionSpec)
    assert spec.deprecated == "Use new."
    assert spec.function(text="a") == "a"

    async def old_too(session: Session, /) -> None: ...

    assert spec_of(action("bot")(deprecated("Use new.")(old_too)), ActionSpec).is_async


def test_a_bot_knows_its_services_their_kinds_and_its_grants() -> None:
    """A single provider needs no list."""
    bot(services={"llm": "acme"}, config={"llm": {"model": "a"}}, client=["llm.model", Grant("llm:run")], public=True)(
        receptionist
    )
    spec: BotSpec = spec_of(receptionist, BotSpec)
    assert (spec.name, spec.doc, spec.public) == ("receptionist", "A receptionist.", True)
    assert (spec.services, spec.kinds) == ({"llm": ("acme",)}, {"llm": "llm"})
    assert [each.name for each in spec.grants] == ["llm.model", "llm:run"]


@runtime_checkable
class Avatar(Protocol):
    """A kind of the test: smiles."""

    def smile(self) -> None:
        """Smile."""


AVATAR = Kind("avatar", Avatar)


def test_a_kind_of_a_plugin_is_a_target_like_any() -> None:
    """The name of a service may differ from its kind."""

    @service(AVATAR, "acme")
    @asynccontextmanager
    async def acme_avatar() -> AsyncGenerator[Any]:
        yield None

    @bot(services={"face": "acme"})
    async def smiler(session: Session, /, face: Avatar) -> None: ...

    assert spec_of(acme_avatar, ProviderSpec).kind == "avatar"
    assert spec_of(smiler, BotSpec).kinds == {"face": "avatar"}


def test_a_function_may_have_the_name_of_a_kind(authors_module: Any) -> None:
    """The target in quotes is the kind, not the provider or the bot of its name."""
    _, module = authors_module("""
@service("tts", "acme")
@asynccontextmanager
async def tts() -> AsyncGenerator[Any]:
    yield None

@bot()
async def stt(session: Session, /) -> None: ...

@action("tts")
async def say(tts: TTS, /) -> None: ...

@action("stt")
async def hear(stt: STT, /) -> None: ...
""")
    assert spec_of(module.say, ActionSpec).targets == ("tts",)
    assert spec_of(module.hear, ActionSpec).targets == ("stt",)


# ---- what an author's mistake is told ------------------------------------------------------------------------------

HEAD = """
from __future__ import annotations
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import wraps
from typing import Annotated, Any, Protocol, TYPE_CHECKING
from attrs.validators import ge
from rtvi_plugins import LLM, STT, TTS, Doc, Grant, Kind, Secret, Session, Was, action, bot, lifespan, options, service
if TYPE_CHECKING:
    from decimal import Decimal

class Avatar(Protocol):
    async def show(self, mood: str, /) -> str: ...

class Acme:
    async def respond(self, request, /):
        yield None

def logged(function):
    @wraps(function)
    def call(*args, **kwargs):
        return function(*args, **kwargs)
    return call

@service("llm", "acme")
@asynccontextmanager
async def acme_llm() -> AsyncGenerator[Acme]:
    yield Acme()

"""

#: A bot with one service.
TALKER = """
@bot(services={"llm": "acme"})
async def talker(session: Session, /, llm: LLM) -> None: ...

"""

#: What an author wrote wrongly, each with the words that say what to do. The line that is named ends in "# here".
MISTAKES: dict[str, tuple[str, str]] = {
    "async generator": (
        """
@service("llm", "other")  # here
async def other_llm() -> AsyncGenerator[Acme]:
    yield Acme()
""",
        "is an async generator. Put @asynccontextmanager between @service and the function.",
    ),
    "coroutine as a service": (
        """
@service("llm", "other")  # here
async def other_llm() -> Acme:
    return Acme()
""",
        "is a coroutine function. Yield the service from it, under @asynccontextmanager.",
    ),
    "coroutine under a context manager": (
        """
@service("llm", "other")  # here
@asynccontextmanager
async def other_llm() -> AsyncGenerator[Acme]:
    return Acme()
""",
        "is a coroutine function. Yield the service from it, under @asynccontextmanager.",
    ),
    "misspelt kind": (
        """
@service("lmm", "other")  # here
@asynccontextmanager
async def other_llm() -> AsyncGenerator[Acme]:
    yield Acme()
""",
        "there is no kind 'lmm'; did you mean 'llm'?",
    ),
    "kind that is none": (
        """
@service("hologram", "other")  # here
@asynccontextmanager
async def other_llm() -> AsyncGenerator[Acme]:
    yield Acme()
""",
        "there is no kind 'hologram'; use one of llm, stt, tts, vad, speech, or a Kind of your own.",
    ),
    "provider with a dot": (
        """
@service("llm", "acme.eu")  # here
@asynccontextmanager
async def other_llm() -> AsyncGenerator[Acme]:
    yield Acme()
""",
        "has the provider name 'acme.eu'. Use only letters",
    ),
    "key after the slash": (
        """
@service("llm", "other")  # here
@asynccontextmanager
async def other_llm(api_key: Secret) -> AsyncGenerator[Acme]:
    yield Acme()
""",
        "'api_key' is given by the framework. Put a '/' after it",
    ),
    "service option before the slash": (
        """
@service("llm", "other")  # here
@asynccontextmanager
async def other_llm(base_url: str, /) -> AsyncGenerator[Acme]:
    yield Acme()
""",
        "where a service takes keys and values of lifespans. Annotate it with Secret, or with",
    ),
    "service option without default": (
        """
@service("llm", "other")  # here
@asynccontextmanager
async def other_llm(*, base_url: str) -> AsyncGenerator[Acme]:
    yield Acme()
""",
        "give 'base_url' a default.",
    ),
    "action without a slash": (
        """
@action("tts")  # here
async def say(text: str) -> None: ...
""",
        "before the '/' an action takes the service and, if it wants it, the session, as in (tts: TTS, ",
    ),
    "options without a slash": (
        """
@options(acme_llm)  # here
def configure(model: str = "a") -> None: ...
""",
        "before the '/' an options function takes the service",
    ),
    "bytes": (
        """
@action("tts")  # here
async def say(tts: TTS, /, audio: bytes) -> None: ...
""",
        "'audio' is bytes, which has no RTVI type. Use str, bool, int, float, list, dict, Literal, or an attrs class.",
    ),
    "no annotation": (
        """
@action("tts")  # here
async def say(tts: TTS, /, text) -> None: ...
""",
        "annotate 'text'.",
    ),
    "any number of arguments": (
        """
@action("tts")  # here
async def say(tts: TTS, /, **kw: str) -> None: ...
""",
        "**kw cannot be described to a client. Name each argument.",
    ),
    "name for type checkers only": (
        """
@action("tts")  # here
async def say(tts: TTS, /, price: Decimal) -> None: ...
""",
        "cannot resolve the annotation 'Decimal'. Import it at module level, not under TYPE_CHECKING, and above",
    ),
    "name for type checkers only, of a bot": (
        """
@bot(services={"llm": "acme"})  # here
async def receptionist(session: Session, /, llm: Decimal) -> None: ...
""",
        "cannot resolve the annotation 'Decimal'. Import it at module level",
    ),
    "option without default": (
        """
@options(acme_llm)  # here
def configure(llm: Acme, /, value: str) -> None: ...
""",
        "give 'value' a default.",
    ),
    "default that fails its validator": (
        """
@options(acme_llm)  # here
def configure(llm: Acme, /, heat: Annotated[int, ge(1)] = 0) -> None: ...
""",
        "the default of 'heat' does not fit its type: must be >= 1, got 0.",
    ),
    "mutable default": (
        """
@options(acme_llm)  # here
def configure(llm: Acme, /, words: list[str] = []) -> None: ...
""",
        "the default of 'words' is a list, which all calls would share. Use (), None or a frozen attrs object.",
    ),
    "one name twice": (
        """
@options(acme_llm)  # here
def configure(llm: Acme, /, voice: str = "", speaker: Annotated[str, Was("voice")] = "") -> None: ...
""",
        "uses the name 'voice' twice, counting former names.",
    ),
    "no option": (
        """
@options(acme_llm)  # here
def configure(llm: Acme, /) -> None: ...
""",
        "declares no option. Name at least one after the '/'.",
    ),
    "async options": (
        """
@options(acme_llm)  # here
async def configure(llm: Acme, /, model: str = "a") -> None: ...
""",
        "is async, but an options function is not awaited. Write def.",
    ),
    "bare action": (
        """
@action  # here
async def say(llm: Acme, /) -> None: ...
""",
        "is under a bare @action. Write @action(mybot), with the bot or the service it is for.",
    ),
    "bare options": (
        """
@options  # here
def configure(llm: Acme, /, model: str = "small") -> None: ...
""",
        "is under a bare @options. Write @options(mybot), with the bot or the service it is for.",
    ),
    "bare bot": (
        """
@bot  # here
async def receptionist(session: Session, /) -> None: ...
""",
        "is under a bare @bot. Write @bot() or @bot(services={…}).",
    ),
    "bot with services by position": (
        """
@bot({"llm": "echo"})  # here
async def receptionist(session: Session, /, llm: LLM) -> None: ...
""",
        "takes its arguments by name: @bot(services={…}).",
    ),
    "deadline that is not a number": (
        """
@action(acme_llm, deadline="9")  # here
async def say(llm: Acme, /) -> None: ...
""",
        "deadline= is a number of seconds above 0, as in 2.5, not '9'.",
    ),
    "session in a thread": (
        """
@action(acme_llm)  # here
def say(llm: Acme, session: Session, /) -> None: ...
""",
        "takes the session, but runs in a thread",
    ),
    "grants that are a string": (
        """
@bot(client="llm:run")  # here
async def receptionist(session: Session, /) -> None: ...
""",
        "client= is a list: write client=['llm:run'].",
    ),
    "two sessions": (
        """
@action(acme_llm)  # here
async def say(llm: Session, session: Session, /) -> None: ...
""",
        "takes the session twice before the '/'. Remove one.",
    ),
    "target in quotes": (
        """
@bot()
async def receptionist(session: Session, /) -> None: ...

@action("receptionist")  # here
async def say() -> None: ...
""",
        "names 'receptionist', which is a function. Write it without quotes.",
    ),
    "provider in quotes": (
        """
@action("llm.acme")  # here
async def say(llm: Acme, /) -> None: ...
""",
        "names 'llm.acme'. Write the function of this service, without quotes.",
    ),
    "no target": (
        """
@action()  # here
async def say(llm: Acme, /) -> None: ...
""",
        "names no target. Write @action(mybot), @options(acme_llm) or @action('tts').",
    ),
    "two services": (
        """
@action(acme_llm)  # here
async def say(llm: Acme, tts: TTS, /) -> None: ...
""",
        "takes 'tts' after another parameter before the '/'. The live service is the first one",
    ),
    "key of an action": (
        """
@action(acme_llm)  # here
async def say(llm: Acme, api_key: Secret, /) -> None: ...
""",
        "takes the key 'api_key', which only a service takes. Keep it in the object that the service yields.",
    ),
    "session before the service": (
        """
@action(acme_llm)  # here
async def say(session: Session, llm: Acme, /) -> None: ...
""",
        "takes 'llm' after another parameter before the '/'. The live service is the first one",
    ),
    "bot's own action with an argument before the slash": (
        """
@action("bot")  # here
async def say(text: str, /) -> None: ...
""",
        "'text' is before the '/'. Annotate it with Session, with the Protocol of a service of the bot that",
    ),
    "bot's own action with two sessions": (
        """
@action("bot")  # here
async def say(session: Session, other: Session, /) -> None: ...
""",
        "takes the session twice before the '/'. Remove one.",
    ),
    "own service of a provider's action": (
        """
@action(acme_llm, service="voice")  # here
async def say(llm: Acme, /) -> None: ...
""",
        "has service=, which only actions and options of a bot have. Name a bot as the target, or remove it.",
    ),
    "own service that is not a name": (
        """
@action("bot", service="bot:context")  # here
async def reset() -> None: ...
""",
        "has service='bot:context', which is not a name. Use only letters, digits, '-' and '_'.",
    ),
    "message that is not text": (
        """
@action("bot", message="")  # here
async def reset() -> None: ...
""",
        "has message='', which is not a message type. Write a text, as in message='set-language'.",
    ),
    "message of a provider's action": (
        """
@action(acme_llm, message="reset")  # here
async def reset(llm: Acme, /) -> None: ...
""",
        "has message=, which only an action of a bot has.",
    ),
    "message of the protocol": (
        """
@action("bot", message="update-config")  # here
async def reset() -> None: ...
""",
        "has message='update-config', which is a type of the protocol itself. Choose another.",
    ),
    "own service with the name of a service": (
        f"""{TALKER}
@action(talker, service="llm")  # here
async def reset() -> None: ...
""",
        "has service='llm', which is a service of talker() (",
    ),
    "service that the bot has not": (
        f"""{TALKER}
@action(talker)  # here
async def ask(lm: LLM, /) -> None: ...
""",
        ") does not have. Did you mean 'llm'?",
    ),
    "service of another kind": (
        f"""{TALKER}
@action(talker)  # here
async def ask(session: Session, llm: TTS, /) -> None: ...
""",
        "takes 'llm' as TTS, but it is LLM in talker() (",
    ),
    "message with two arguments": (
        """
@action("bot", message="book")  # here
async def book(nights: int, name: str) -> None: ...
""",
        "takes one argument, the data of the message, not 2: ['nights', 'name']. Write one argument of an attrs class",
    ),
    "another kind's protocol": (
        """
@action("tts")  # here
async def say(stt: STT, /) -> None: ...
""",
        "takes STT, which is of kind 'stt', but is declared on 'tts'.",
    ),
    "generator as an action": (
        """
@action("tts")  # here
async def say(tts: TTS, /) -> AsyncGenerator[str]:
    yield ""
""",
        "is a generator. An action returns one result: use return, or session.send.",
    ),
    "action without a result's type": (
        """
@action("tts")  # here
async def say(tts: TTS, /): ...
""",
        "annotate what it returns, as in -> bool or -> None.",
    ),
    "result that JSON has not": (
        """
@action("tts")  # here
async def say(tts: TTS, /) -> bytes: ...
""",
        "its result is bytes, which has no RTVI type.",
    ),
    "narrowed argument that is none": (
        """
@action("tts", narrowed={"txt": ge(1)})  # here
async def say(tts: TTS, /, text: str) -> None: ...
""",
        "narrowed= names 'txt', which is not one of its arguments: ['text'].",
    ),
    "bot that is not a coroutine function": (
        """
@bot()  # here
def receptionist(session: Session, /) -> None: ...
""",
        "is not a coroutine function. Write async def.",
    ),
    "bot without a slash": (
        """
@bot()  # here
async def receptionist(session: Session) -> None: ...
""",
        "before the '/' a bot takes the session, as in (session: Session, /, llm: LLM).",
    ),
    "bot and services that differ": (
        """
@bot(services={"tts": "a", "voice": "b"})  # here
async def receptionist(session: Session, /, voice: TTS) -> None: ...
""",
        "takes ['voice'] after the '/', but services= names ['tts', 'voice'].",
    ),
    "service of no kind": (
        """
@bot(services={"llm": "acme"})  # here
async def receptionist(session: Session, /, llm: Acme) -> None: ...
""",
        "annotate 'llm' with the Protocol of a kind, as in llm: LLM",
    ),
    "service without a provider": (
        """
@bot(services={"llm": []})  # here
async def receptionist(session: Session, /, llm: LLM) -> None: ...
""",
        "services= names no provider for 'llm'.",
    ),
    "service called bot": (
        """
@bot(services={"bot": "acme"})  # here
async def receptionist(session: Session, /, bot: LLM) -> None: ...
""",
        "services= uses the name 'bot', which is reserved. Choose another.",
    ),
    "bare service": (
        """
@service  # here
@asynccontextmanager
async def other_llm() -> AsyncGenerator[Acme]:
    yield Acme()
""",
        "is under a bare @service. Write @service('llm', 'acme'), with a kind and a provider.",
    ),
    "service without a provider's name": (
        """
@service("llm")  # here
@asynccontextmanager
async def other_llm() -> AsyncGenerator[Acme]:
    yield Acme()
""",
        "@service takes a kind and a provider: write @service('llm', 'acme').",
    ),
    "service with names": (
        """
@service(kind="llm", provider="other")  # here
@asynccontextmanager
async def other_llm() -> AsyncGenerator[Acme]:
    yield Acme()
""",
        "@service takes a kind and a provider: write @service('llm', 'acme').",
    ),
    "service with a third name": (
        """
@service("llm", "other", public=True)  # here
@asynccontextmanager
async def other_llm() -> AsyncGenerator[Acme]:
    yield Acme()
""",
        "@service has no argument public=; it has key_page=, asyncio_only=.",
    ),
    "bot that is given no session": (
        """
@bot()  # here
async def receptionist(llm: LLM, /) -> None: ...
""",
        "before the '/' a bot takes the session, as in (session: Session, /, llm: LLM).",
    ),
    "lifespan with a target": (
        """
@lifespan(acme_llm)  # here
@asynccontextmanager
async def menu() -> AsyncGenerator[Acme]:
    yield Acme()
""",
        "names acme_llm(). Write @lifespan alone. It has no target",
    ),
    "lifespan without its context manager": (
        """
@lifespan  # here
async def menu() -> AsyncGenerator[Acme]:
    yield Acme()
""",
        "is an async generator. Put @asynccontextmanager between @lifespan and the function.",
    ),
    "lifespan that returns its value": (
        """
@lifespan  # here
async def menu() -> Acme:
    return Acme()
""",
        "is a coroutine function. Yield the value from it, under @asynccontextmanager.",
    ),
    "lifespan without a type": (
        """
@lifespan  # here
@asynccontextmanager
async def menu():
    yield Acme()
""",
        "does not say what it yields. Annotate it, as in -> AsyncGenerator[Menu]",
    ),
    "lifespan of text": (
        """
@lifespan  # here
@asynccontextmanager
async def menu() -> AsyncGenerator[str]:
    yield ""
""",
        "yields str, which no parameter can name. Yield an object of a class of your own.",
    ),
    "lifespan of a service": (
        """
@lifespan  # here
@asynccontextmanager
async def menu() -> AsyncGenerator[LLM]:
    yield Acme()
""",
        "yields LLM, which no parameter can name.",
    ),
    "lifespan with an argument": (
        """
@lifespan  # here
@asynccontextmanager
async def menu(size: int = 1) -> AsyncGenerator[Acme]:
    yield Acme()
""",
        "takes 'size' after the '/', but nobody sends anything to a lifespan. Remove it.",
    ),
    "lifespan that takes the session": (
        """
@lifespan  # here
@asynccontextmanager
async def menu(session: Session, /) -> AsyncGenerator[Acme]:
    yield Acme()
""",
        "takes 'session' before the '/'. A lifespan takes only keys: annotate it with Secret.",
    ),
    "bot that takes a service before the slash": (
        """
@bot(services={"llm": "acme"})  # here
async def receptionist(session: Session, llm: LLM, /) -> None: ...
""",
        "takes 'llm' before the '/'. After the session, annotate it with the class that a @lifespan yields.",
    ),
    "bot with a result": (
        """
@bot()  # here
async def receptionist(session: Session, /) -> str: ...
""",
        "is annotated with a result, but a bot returns nothing. Write -> None.",
    ),
    "options with a result": (
        """
@options(acme_llm)  # here
def configure(llm: Acme, /, model: str = "small") -> bool: ...
""",
        "is annotated with a result, but an options function returns nothing. Write -> None.",
    ),
    "annotation that raises": (
        """
@action("llm")  # here
async def ask(session: Session, /, text: Annotated[str, 1 / 0]) -> None: ...
""",
        "has an annotation that is not a type: division by zero.",
    ),
    "empty former name in an annotation": (
        """
@action("llm")  # here
async def ask(session: Session, /, text: Annotated[str, Was("")]) -> None: ...
""",
        "needs a former name, as in Was('voice_id').",
    ),
    "constraint on items that may be None": (
        """
from attrs.validators import deep_iterable
@action("llm")  # here
async def ask(session: Session, /, counts: Annotated[list[int | None], deep_iterable(ge(0))]) -> None: ...
""",
        "'counts' accepts None, but ge(0) does not. Write optional(ge(0)).",
    ),
    "service of a Protocol": (
        """
@service(LLM, "other")  # here
@asynccontextmanager
async def other_llm() -> AsyncGenerator[Acme]:
    yield Acme()
""",
        "names the Protocol LLM. Write 'llm' instead.",
    ),
    "provider with a space": (
        """
@service("llm", "my llm")  # here
@asynccontextmanager
async def other_llm() -> AsyncGenerator[Acme]:
    yield Acme()
""",
        "has the provider name 'my llm'.",
    ),
    "provider that is a number": (
        """
@service("llm", 5)  # here
@asynccontextmanager
async def other_llm() -> AsyncGenerator[Acme]:
    yield Acme()
""",
        "has the provider name 5.",
    ),
    "target that is a Protocol": (
        """
@action(TTS)  # here
async def say(tts: TTS, /) -> None: ...
""",
        "names the Protocol TTS. Write 'tts' instead.",
    ),
    "target that is a number": (
        """
@action(5)  # here
async def say(tts: TTS, /) -> None: ...
""",
        "the target 5 is not a service. Decorate it with @service first, or name a kind such as 'tts'.",
    ),
    "options of a bot without a slash": (
        """
@options("bot")  # here
def configure(tone: str = "") -> None: ...
""",
        "before the '/' an options function of a bot takes the session, as in (session: Session, /, tone: str = '').",
    ),
    "options of a bot with its service": (
        """
@options("bot")  # here
def configure(session: Session, llm: LLM, /, tone: str = "") -> None: ...
""",
        "may have only the session before the '/', as in (session: Session, /, tone: str = '').",
    ),
    "own service of a provider's options": (
        """
@options(acme_llm, service="voice")  # here
def configure(llm: Acme, /, tone: str = "") -> None: ...
""",
        "has service=, which only actions and options of a bot have.",
    ),
    "generator as options": (
        """
@options(acme_llm)  # here
def configure(llm: Acme, /, tone: str = ""):
    yield
""",
        "is a generator, but an options function only sets values",
    ),
    "last that is a word": (
        """
@options(acme_llm, last="yes")  # here
def configure(llm: Acme, /, tone: str = "") -> None: ...
""",
        "last= is True or False, not 'yes'.",
    ),
    "long with a deadline": (
        """
@action(acme_llm, long=True, deadline=3)  # here
async def say(llm: Acme, /) -> None: ...
""",
        "is long=True, so it has no deadline. Remove deadline=.",
    ),
    "long that need not finish": (
        """
@action(acme_llm, long=True, finish=False)  # here
async def say(llm: Acme, /) -> None: ...
""",
        "is long=True, so an LLM cannot call it. Remove finish=.",
    ),
    "finish that is a word": (
        """
@action(acme_llm, finish="no")  # here
async def say(llm: Acme, /) -> None: ...
""",
        "finish= is True or False, not 'no'.",
    ),
    "deadline that is true": (
        """
@action(acme_llm, deadline=True)  # here
async def say(llm: Acme, /) -> None: ...
""",
        "deadline= is a number of seconds above 0, as in 2.5, not True.",
    ),
    "deadline without an end": (
        """
@action(acme_llm, deadline=float("inf"))  # here
async def say(llm: Acme, /) -> None: ...
""",
        "deadline= is a number of seconds above 0, as in 2.5, not inf.",
    ),
    "argument of the decorator that is none": (
        """
@action(acme_llm, dedline=3)  # here
async def say(llm: Acme, /) -> None: ...
""",
        "@action has no argument dedline=; did you mean deadline=?",
    ),
    "argument of @bot that is none": (
        """
@bot(service={"llm": "acme"})  # here
async def receptionist(session: Session, /) -> None: ...
""",
        "@bot has no argument service=; did you mean services=?",
    ),
    "narrowed list": (
        """
@action("tts", narrowed=["text"])  # here
async def say(tts: TTS, /, text: str) -> None: ...
""",
        "narrowed= is a mapping of validators",
    ),
    "narrowing that does not apply": (
        """
@action("tts", narrowed={"text": ge(1)})  # here
async def say(tts: TTS, /, text: str) -> None: ...
""",
        "narrowed= of 'text' has ge(1), which applies to numbers, not to str.",
    ),
    "narrowing by nothing": (
        """
@action("tts", narrowed={"text": None})  # here
async def say(tts: TTS, /, text: str) -> None: ...
""",
        "narrowed= of 'text' has the validator None, which cannot be called.",
    ),
    "bound beyond 64 bits": (
        """
@action("tts")  # here
async def say(tts: TTS, /, times: Annotated[int, ge(10**20)]) -> None: ...
""",
        "'times' has ge(100000000000000000000), which cannot be described: the number 100000000000000000000 has more",
    ),
    "default beyond 64 bits": (
        """
@action("tts")  # here
async def say(tts: TTS, /, times: int = 10**20) -> None: ...
""",
        "the default of 'times' does not fit its type: the number 100000000000000000000 has more than 64 bits.",
    ),
    "half of an emoji in a doc": (
        """
@action("tts")  # here
async def say(tts: TTS, /, text: Annotated[str, Doc("\\ud83c")]) -> None: ...
""",
        "'text': its documentation cannot be sent as JSON",
    ),
    "None that a bound rejects": (
        """
@action("tts")  # here
async def say(tts: TTS, /, times: Annotated[int | None, ge(0)] = None) -> None: ...
""",
        "'times' accepts None, but ge(0) does not. Write Annotated[int, ge(0)] | None.",
    ),
    "validator that was not called": (
        """
@action("tts")  # here
async def say(tts: TTS, /, times: Annotated[int, ge]) -> None: ...
""",
        "'times' has the validator ge without its bound. Call it, as in ge(0).",
    ),
    "words in Annotated": (
        """
@action("tts")  # here
async def say(tts: TTS, /, times: Annotated[int, "How often."]) -> None: ...
""",
        "'times' has 'How often.' in Annotated, which is not a validator. Use",
    ),
    "former name inside": (
        """
@action("tts")  # here
async def say(tts: TTS, /, texts: list[Annotated[str, Was("words")]]) -> None: ...
""",
        "'texts' has Was('words') on a part of the type. Put it on the whole argument",
    ),
    "former name of a result": (
        """
@action("tts")  # here
async def say(tts: TTS, /) -> Annotated[str, Was("words")]: ...
""",
        "its result has Was",
    ),
    "frozen default that holds a list": (
        """
@options(acme_llm)  # here
def configure(llm: Acme, /, words: tuple[list[str], ...] = (["a"],)) -> None: ...
""",
        "the default of 'words' holds a list, which all calls would share.",
    ),
    "function that replaces another": (
        """
@action("tts")
async def say(tts: TTS, /) -> None: ...

@action(acme_llm)  # here
async def say(llm: Acme, /) -> None: ...
""",
        "which is lost. Rename one of them.",
    ),
    "method": (
        """
class Actions:
    @action("tts")  # here
    async def say(tts: TTS, /) -> None: ...
""",
        "is inside the class Actions. Write it as a function of the module.",
    ),
    "provider twice": (
        """
@bot(services={"llm": ["acme", "acme"]})  # here
async def receptionist(session: Session, /, llm: LLM) -> None: ...
""",
        "services= names 'acme' for 'llm' twice.",
    ),
    "provider twice, once optional": (
        """
@bot(services={"llm": ["acme?", "acme"]})  # here
async def receptionist(session: Session, /, llm: LLM) -> None: ...
""",
        "services= names 'acme' for 'llm' twice.",
    ),
    "optional provider without a name": (
        """
@bot(services={"llm": "?"})  # here
async def receptionist(session: Session, /, llm: LLM) -> None: ...
""",
        "services= names '?' for 'llm', which is not a provider's name.",
    ),
    "provider of a bot that is a number": (
        """
@bot(services={"llm": [5]})  # here
async def receptionist(session: Session, /, llm: LLM) -> None: ...
""",
        "services= names 5 for 'llm', which is not a provider's name.",
    ),
    "providers without an order": (
        """
@bot(services={"llm": {"acme"}})  # here
async def receptionist(session: Session, /, llm: LLM) -> None: ...
""",
        "for 'llm': write the name of a provider, or a list of names.",
    ),
    "grant twice": (
        """
@bot(client=["llm:run", Grant("llm:run")])  # here
async def receptionist(session: Session, /) -> None: ...
""",
        "client= has 'llm:run' twice.",
    ),
    "grant that is a number": (
        """
@bot(client=[5])  # here
async def receptionist(session: Session, /) -> None: ...
""",
        "client= has 5, which is not a name or a Grant.",
    ),
    "grants that are a set": (
        """
@bot(client={"llm:run"})  # here
async def receptionist(session: Session, /) -> None: ...
""",
        "client= is a list of names, not a set.",
    ),
    "public that is a word": (
        """
@bot(public="no")  # here
async def receptionist(session: Session, /) -> None: ...
""",
        "public= is True or False, not 'no'.",
    ),
    "service with a default": (
        """
@bot(services={"llm": "acme"})  # here
async def receptionist(session: Session, /, llm: LLM | None = None) -> None: ...
""",
        "'llm' is a service and is always passed. Remove its default.",
    ),
    "class under a decorator": (
        """
@action("tts")  # here
class Say: ...
""",
        "decorates the class Say. Decorate a function of the module.",
    ),
    "class under a bare decorator": (
        """
@service  # here
class Llm: ...
""",
        "is under a bare @service.",
    ),
    "kind with a name of ours": (
        """
AVATAR = Kind("llm", Avatar)  # here
""",
        "uses a name of the framework's own: llm, stt, tts, vad, speech, bot. Choose another.",
    ),
    "kind called bot": (
        """
AVATAR = Kind("bot", Avatar)  # here
""",
        "uses a name of the framework's own",
    ),
    "kind with a dot": (
        """
AVATAR = Kind("a.b", Avatar)  # here
""",
        "needs a name that is a word of letters, digits, '-' and '_'.",
    ),
    "kind of a class": (
        """
AVATAR = Kind("avatar", Acme)  # here
""",
        "needs a Protocol, as in Kind('avatar', Avatar)",
    ),
    "kind of an instance": (
        """
AVATAR = Kind("avatar", Acme())  # here
""",
        "needs a Protocol, as in Kind('avatar', Avatar)",
    ),
    "former name that is a number": (
        """
WAS = Was(5)  # here
""",
        "needs a former name, as in Was('voice_id').",
    ),
    "grant of a bound": (
        """
GRANT = Grant("llm.temperature", 1.0)  # here
""",
        "takes validators of attrs, as in Grant('llm.temperature', le(1.0)).",
    ),
    "grant of a list": (
        """
GRANT = Grant("tts:say", arguments={"text": [ge(1)]})  # here
""",
        "takes arguments= as a mapping of validators",
    ),
    "grant without a name": (
        """
GRANT = Grant(5)  # here
""",
        "needs a name, as in Grant('llm.model').",
    ),
    "two kinds of items": (
        """
@action("tts")  # here
async def say(tts: TTS, /, words: list[str, int]) -> None: ...
""",
        "'words' is an array with 2 types of items. Name one, or use tuple[…].",
    ),
    "a service after the slash": (
        """
@action("tts")  # here
async def say(tts: TTS, /, llm: LLM, text: str) -> None: ...
""",
        "'llm' is given by the framework. Put a '/' after it",
    ),
    "an optional key after the slash": (
        """
@service("llm", "other")  # here
@asynccontextmanager
async def other_llm(api_key: Secret | None = None) -> AsyncGenerator[Acme]:
    yield Acme()
""",
        "'api_key' is given by the framework. Put a '/' after it",
    ),
    "no target, and no slash": (
        """
@action("lmm")  # here
async def say(text: str) -> None: ...
""",
        "there is no kind 'lmm'; did you mean 'llm'?",
    ),
    "async options under a wrapper": (
        """
@options("llm")  # here
@logged
async def configure(llm: LLM, /, tone: str = "") -> None: ...
""",
        "is async, but a decorator below hides it. Write async def for its wrapper, and await in it.",
    ),
    "an async action under a wrapper": (
        """
@action("llm")  # here
@logged
async def tell(llm: LLM, /, tone: str) -> None: ...
""",
        "is async, but a decorator below hides it.",
    ),
    "an async bot under a wrapper": (
        """
@bot()  # here
@logged
async def talker(session: Session, /) -> None: ...
""",
        "is async, but a decorator below hides it.",
    ),
    "an action under a context manager": (
        """
@action("llm")  # here
@asynccontextmanager
async def tell(llm: LLM, /, tone: str) -> AsyncGenerator[None]:
    yield
""",
        "is a generator. An action returns one result: use return, or session.send.",
    ),
    "a lifespan with parentheses": (
        """
@lifespan()  # here
@asynccontextmanager
async def database() -> AsyncGenerator[Acme]:
    yield Acme()
""",
        "decorates None. Write @lifespan, without parentheses.",
    ),
}

#: The same, of mistakes that show only when a bot is put together.
WHOLE_MISTAKES: dict[str, tuple[str, str]] = {
    "action of every bot with a service that this one has not": (
        """
@action("bot")  # here
async def ask(session: Session, tts: TTS, /) -> None: ...

@bot(services={"llm": "acme"})  # and here
async def receptionist(session: Session, /, llm: LLM) -> None: ...
""",
        "takes the service 'tts', which receptionist() (",
    ),
    "own service of every bot with the name of a service": (
        """
@action("bot", service="llm")  # here
async def reset() -> None: ...

@bot(services={"llm": "acme"})  # and here
async def receptionist(session: Session, /, llm: LLM) -> None: ...
""",
        "has service='llm', which is a service of receptionist() (",
    ),
    "own options of every bot with the name of a service": (
        """
@options("bot", service="llm")  # here
def configure(session: Session, /, tone: str = "") -> None: ...

@bot(services={"llm": "acme"})  # and here
async def receptionist(session: Session, /, llm: LLM) -> None: ...
""",
        "has service='llm', which is a service of receptionist() (",
    ),
    "own option declared twice": (
        """
@options("bot")  # here
def configure(session: Session, /, tone: str = "") -> None: ...

@options("bot")  # and here
def configure_again(session: Session, /, tone: str = "") -> None: ...

@bot(services={"llm": "acme"})
async def receptionist(session: Session, /, llm: LLM) -> None: ...
""",
        "the option 'tone' of 'bot' is declared twice",
    ),
    "message handled twice": (
        """
@action("bot", message="reset")  # here
async def reset_all() -> None: ...

@action("bot", service="context", message="reset")  # and here
async def start_again() -> None: ...

@bot(services={"llm": "acme"})
async def receptionist(session: Session, /, llm: LLM) -> None: ...
""",
        "the client message 'reset' is declared twice",
    ),
    "message with the name of an action": (
        """
@action("bot")  # here
async def reset() -> None: ...

@action("bot", message="reset")  # and here
async def start_again() -> None: ...

@bot(services={"llm": "acme"})
async def receptionist(session: Session, /, llm: LLM) -> None: ...
""",
        "the client message 'reset' is declared twice",
    ),
    "grant that names nothing": (
        """
@bot(services={"llm": "acme"}, client=["llm:get_contex"])  # here
async def receptionist(session: Session, /, llm: LLM) -> None: ...
""",
        "client= grants 'llm:get_contex'. Did you mean 'llm:get_context'?",
    ),
    "config of a service that is none": (
        """
@bot(services={"llm": "acme"}, config={"lm": {}})  # here
async def receptionist(session: Session, /, llm: LLM) -> None: ...
""",
        "config= names 'lm'. Did you mean 'llm'?",
    ),
    "action declared twice": (
        """
@action(acme_llm)  # here
async def ask(llm: Acme, /) -> None: ...

def again():
    @action(acme_llm)  # and here
    async def ask(llm: Acme, /) -> None: ...
    return ask

ask_again = again()

@bot(services={"llm": "acme"})
async def receptionist(session: Session, /, llm: LLM) -> None: ...
""",
        "the action 'ask' of 'llm.acme' is declared twice",
    ),
}


@pytest.fixture
def authors_module(tmp_path: Path) -> Iterator[Any]:
    """Writes an author's file and imports it. Afterwards it is removed from the list of modules."""
    names: list[str] = []

    def write(text: str) -> tuple[Path, ModuleType]:
        path = tmp_path / "an_author_wrote.py"
        path.write_text(HEAD + text, "utf-8")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        names.append(path.stem)
        spec.loader.exec_module(module)
        return path, module

    yield write
    for name in names:
        sys.modules.pop(name, None)


def places(tmp_path: Path, text: str) -> list[str]:
    """The files and lines that the message of a mistake must name."""
    lines = enumerate((HEAD + text).splitlines(), 1)
    return [f"{tmp_path / 'an_author_wrote.py'}:{number}" for number, line in lines if line.endswith("here")]


if sys.version_info >= (3, 12):  # earlier ones have no such statement
    MISTAKES["an alias of itself"] = (
        """
type Tree = dict[str, Tree]

@action("tts")  # here
async def say(tts: TTS, /, tree: list[Tree]) -> None: ...
""",
        "'tree' is Tree, which contains itself. Use dict[str, Any] where it repeats.",
    )
    MISTAKES["an alias of nothing"] = (
        """
type Tree = dict[str, Leaf]

@action("tts")  # here
async def say(tts: TTS, /, tree: Tree) -> None: ...
""",
        "'tree' is Tree, an alias of what is not a type: name 'Leaf' is not defined.",
    )

if sys.version_info < (3, 13):  # later ones do not compile such a module
    MISTAKES["half of an emoji in a docstring"] = (
        """
@action("tts")  # here
async def say(tts: TTS, /) -> None:
    "Says \\ud83c."
""",
        "its docstring cannot be sent as JSON",
    )


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_at_import_with_its_line_and_what_to_write(
    mistake: str, tmp_path: Path, authors_module: Any
) -> None:
    """The message names the author's own function, file and line, and the trace leads there."""
    text, message = MISTAKES[mistake]
    with pytest.raises(DeclarationError) as raised:
        authors_module(text)
    assert message in str(raised.value)
    (place,) = places(tmp_path, text)
    assert f"({place})" in str(raised.value)
    frames = [f"{each.filename}:{each.lineno}" for each in traceback.extract_tb(raised.value.__traceback__)]
    assert place in frames


@pytest.mark.parametrize("mistake", WHOLE_MISTAKES)
def test_a_mistake_in_the_whole_is_told_when_the_bot_is_composed(
    mistake: str, tmp_path: Path, authors_module: Any
) -> None:
    """Every place that takes part in it is named."""
    text, message = WHOLE_MISTAKES[mistake]
    _, module = authors_module(text)
    with pytest.raises(AuthorError) as raised:
        compose(module.receptionist, installed_nothing())
    assert message in str(raised.value)
    found = places(tmp_path, text)
    assert found
    assert all(place in str(raised.value) for place in found)


def installed_nothing() -> Any:
    """An environment without installed plugins."""
    from rtvi_plugins.registry.installed_plugins import Installed

    return Installed(())


def test_the_head_of_these_files_is_right(authors_module: Any) -> None:
    """So the mistake in each file is its only one."""
    _, module = authors_module("")
    assert specs_of(module.acme_llm)


def test_a_target_that_was_never_declared_is_not_taken_for_a_bare_decorator(authors_module: Any) -> None:
    """It exists before the decorator names it."""
    text = "\ndef forgotten() -> None: ...\n\n@action(forgotten)\nasync def say(llm: Acme, /) -> None: ...\n"
    with pytest.raises(DeclarationError, match=r"forgotten\(\) .* is not a service or a bot\. Decorate it with"):
        authors_module(text)
