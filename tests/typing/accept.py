"""Code that type checkers must accept, and what they must know about a decorated function."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated, Any, Literal, Protocol, assert_type, runtime_checkable

from attrs import define, field
from attrs.validators import ge, le
from typing_extensions import TypedDict

from rtvi_plugins import (
    LLM,
    STT,
    TTS,
    Failover,
    Kind,
    ProviderError,
    Secret,
    Session,
    SpeechModel,
    action,
    bot,
    converse,
    lifespan,
    options,
    service,
)
from rtvi_plugins.kinds import (
    AnswerEnded,
    Audio,
    Heard,
    ListeningSTT,
    ListenRequest,
    LLMPiece,
    LLMRequest,
    Pause,
    Settled,
    SpeechPiece,
    SpeechRequest,
    STTRequest,
    Text,
    Thought,
    ToolCall,
    Transcript,
    thoughts_of,
)


@define
class AcmeLLM:
    key: Secret
    model: str = ""
    temperature: float = 0.7

    async def respond(self, request: LLMRequest, /) -> AsyncIterator[Text]:
        yield Text("hello")


@service("llm", "acme")
@asynccontextmanager
async def acme_llm(api_key: Secret, /, base_url: str = "https://api.acme.example/v1") -> AsyncGenerator[AcmeLLM]:
    yield AcmeLLM(api_key)


@define
class AcmeSTT:
    async def transcribe(self, request: STTRequest, /) -> AsyncIterator[Transcript]:
        yield Transcript("hello", final=True)


class AcmeListeningSTT(AcmeSTT):
    async def listen(self, request: ListenRequest, /) -> AsyncIterator[Transcript | Settled]:
        async for piece in request.audio:
            assert_type(piece, Audio | Pause)
            yield Settled()


plain: STT = AcmeSTT()
continuous: ListeningSTT = AcmeListeningSTT()


@service("stt", "acme")
@asynccontextmanager
async def acme_stt() -> AsyncGenerator[AcmeListeningSTT]:
    yield AcmeListeningSTT()


@define
class AcmeSpeech:
    async def converse(self, request: SpeechRequest, /) -> AsyncIterator[SpeechPiece]:
        async for item in request.input:
            if isinstance(item, Heard):
                assert_type(item.seconds, float)
            yield AnswerEnded()


@service("speech", "acme")
@asynccontextmanager
async def acme_speech(api_key: Secret, /) -> AsyncGenerator[AcmeSpeech]:
    yield AcmeSpeech()


@options("speech")
def tone(speech: SpeechModel, /, tone: str = "") -> None: ...


@action("llm", "speech")
async def forget(session: Session, /) -> None: ...


@bot(services={"speech": "acme"})
async def talker(session: Session, /, speech: SpeechModel) -> None:
    await converse(session, speech=speech, greeting="Hello.")


@define
class ThinkingLLM:
    async def respond(self, request: LLMRequest, /) -> AsyncIterator[LLMPiece]:
        yield Thought("hm", {"signature": "s"})
        yield ToolCall("1", "look", {}, extra={"signature": "s"})
        assert_type([thoughts_of(each) for each in request.messages], list[list[Thought]])


@service("llm", "acme-eu")
@asynccontextmanager
async def acme_eu_llm(api_key: Secret | None, /) -> AsyncGenerator[AcmeLLM]:
    yield AcmeLLM(api_key or Secret(""))


@options(acme_llm, acme_eu_llm)
def configure(
    llm: AcmeLLM,
    /,
    model: Literal["acme-small", "acme-large"] | str = "acme-small",
    temperature: Annotated[float, ge(0), le(2)] = 0.7,
) -> None:
    llm.model, llm.temperature = model, temperature


@action(acme_llm)
async def list_models(llm: AcmeLLM, /) -> list[str]:
    return [llm.model]


@action(acme_llm, acme_eu_llm, deadline=2.0)
def count_tokens(llm: AcmeLLM, /, texts: Sequence[str]) -> int:
    return len(texts)


@action("tts", long=True)
async def read_aloud(tts: TTS, session: Session, /, text: str) -> None: ...


@runtime_checkable
class Avatar(Protocol):
    def smile(self) -> None: ...


avatar = Kind("avatar", Avatar)


class AcmeAvatar:
    def smile(self) -> None: ...


@service(avatar, "acme")
@asynccontextmanager
async def acme_avatar() -> AsyncGenerator[AcmeAvatar]:
    yield AcmeAvatar()


@bot(services={"llm": ["acme", "acme-eu"]}, client=["llm.model", "llm:list_models"])
async def receptionist(session: Session, /, llm: LLM) -> None:
    await converse(session, llm=llm)


@bot(services={"llm": Failover("acme", "acme-eu"), "tts": ["acme", Failover("acme-eu", "acme", seconds=5.0)]})
async def steady(session: Session, /, llm: LLM, tts: TTS) -> None:
    alternatives = session.alternatives(llm)
    await alternatives.choose()
    assert_type(await alternatives.failed(ProviderError("acme", "rate"), replace=False), bool)
    assert_type(alternatives.seconds, float | None)


@action(receptionist)
async def book_room(session: Session, /, nights: Annotated[int, ge(1)], name: str) -> str:
    return f"{nights} nights for {name}"


@action(receptionist, service="context")
async def reset(llm: LLM, session: Session, /) -> bool:
    return True


@options(receptionist, service="call")
def levels(session: Session, /, volume: float = 1.0) -> None: ...


@action("bot", message="set-language", long=True)
async def set_language(session: Session, /, data: Any) -> Any:
    return data


@define
class Order:
    pizzas: list[str] = field(factory=list[str])


class Cart(TypedDict, total=False):
    products: list[str]


class Menu: ...


@lifespan
@asynccontextmanager
async def open_menu(url: Secret, /) -> AsyncGenerator[Menu]:
    yield Menu()


@service("llm", "acme-menu")
@asynccontextmanager
async def acme_menu(menu: Menu, api_key: Secret, /) -> AsyncGenerator[AcmeLLM]:
    yield AcmeLLM(api_key)


@action(acme_menu)
async def dishes(llm: AcmeLLM, session: Session, menu: Menu, /, number: int) -> int:
    return number


@bot(state=Order, services={"llm": "acme"})
async def pizzeria(session: Session[Order], menu: Menu, /, llm: LLM) -> None:
    assert_type(session.state, Order)
    await converse(session, llm=llm)


@bot(state=Cart)
async def shop(session: Session[Cart], /) -> None:
    session.state["products"] = ["tea"]


@bot(state=Order)
async def untyped(session: Session, /) -> None:
    session.state.anything()


@action(pizzeria)
async def add_pizza(session: Session[Order], menu: Menu, /, name: str) -> int:
    session.state.pizzas.append(name)
    return len(session.state.pizzas)


async def a_bot_sets_its_own_options(session: Session[Order], llm: LLM) -> None:
    await session.configure("llm", model="acme-large", interrupt=True)
    await session.configure({"llm": {"model": "acme-large"}})
    async with open_menu(Secret("")) as menu:
        assert_type(menu, Menu)
        session.start_soon(pizzeria, session, menu, llm)


async def decorated_functions_keep_their_types(session: Session, llm: AcmeLLM, tts: TTS) -> None:
    opened: AbstractAsyncContextManager[AcmeLLM] = acme_llm(Secret("key-of-a-test"), base_url="http://localhost")
    async with opened as live:
        assert_type(live, AcmeLLM)
    assert_type(configure(llm, model="another", temperature=0.3), None)
    assert_type(await list_models(llm), list[str])
    assert_type(count_tokens(llm, texts=["a"]), int)
    assert_type(await read_aloud(tts, session, text="hello"), None)
    assert_type(await book_room(session, nights=2, name="Ada"), str)
    assert_type(await reset(llm, session), bool)
    assert_type(await receptionist(session, llm), None)
