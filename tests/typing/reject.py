"""Mistakes that type checkers must find. Every marked line is one, and no other line is."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from accept import AcmeLLM, Cart, Order, acme_llm, book_room, configure, count_tokens, list_models, pizzeria, reset

from rtvi_plugins import LLM, STT, TTS, Secret, Session, SpeechModel, action, bot, converse, lifespan, options, service


@service("tts", "acme")  # rejected: it yields an LLM
@asynccontextmanager
async def wrong_kind(api_key: Secret, /) -> AsyncGenerator[AcmeLLM]:
    yield AcmeLLM(api_key)


@service("llm", "acme")  # rejected: @asynccontextmanager is missing
async def not_a_context_manager(api_key: Secret, /) -> AsyncGenerator[AcmeLLM]:
    yield AcmeLLM(api_key)


@service("lmm", "acme")  # rejected: there is no such kind
@asynccontextmanager
async def misspelt_kind(api_key: Secret, /) -> AsyncGenerator[AcmeLLM]:
    yield AcmeLLM(api_key)


@options(acme_llm)  # rejected: acme_llm yields no TTS
def options_of_another_service(tts: TTS, /, voice: str = "ada") -> None: ...


@options(acme_llm)
def default_of_another_type(llm: AcmeLLM, /, temperature: float = "hot") -> None: ...  # rejected: "hot" is not a float


@action("tts")  # rejected: it takes an STT
async def on_another_kind(stt: STT, /, text: str) -> None: ...


@action("speech")  # rejected: it takes an LLM
async def of_another_kind(llm: LLM, /, text: str) -> None: ...


async def both(session: Session, llm: LLM, speech: SpeechModel) -> None:
    await converse(session, llm=llm, speech=speech)  # rejected: a speech-to-speech model takes the LLM's place


@action(acme_llm)  # rejected: acme_llm yields no TTS
async def on_another_service(tts: TTS, /, text: str) -> None: ...


@action(acme_llm, service="context")  # rejected: only an action of a bot has a service name of its own
async def own_service_of_a_provider(llm: AcmeLLM, /) -> None: ...


@options(acme_llm, service="call")  # rejected: only options of a bot have a service name of their own
def own_service_of_options(llm: AcmeLLM, /, volume: float = 1.0) -> None: ...


@action("tts", message="say")  # rejected: only an action of a bot handles a client message
async def message_of_a_kind(tts: TTS, /, text: str) -> None: ...


@bot(services={"llm": "acme"})  # rejected: a bot takes the session first
async def bot_without_session(llm: AcmeLLM, /) -> None: ...


@lifespan  # rejected: @asynccontextmanager is missing
async def lifespan_that_is_no_context_manager() -> AsyncGenerator[Order]:
    yield Order()


@lifespan(pizzeria)  # rejected: it has no target
@asynccontextmanager
async def lifespan_with_a_target() -> AsyncGenerator[Order]:
    yield Order()


@bot(state=Order)  # rejected: its session has another state
async def bot_of_another_state(session: Session[Cart], /) -> None: ...


@action(pizzeria)
async def action_with_a_misspelt_field(session: Session[Order], /) -> None:
    session.state.toppings.append("margherita")  # rejected: there is no such field
    session.state = Cart()  # rejected: of another class


@bot(services={"llm": "acme"})  # rejected: it is not a coroutine function
def bot_that_is_not_async(session: Session, /, llm: AcmeLLM) -> None: ...


async def wrong_calls(llm: AcmeLLM, session: Session) -> None:
    configure(llm, heat=0.3)  # rejected: there is no such option
    configure(llm, temperature="hot")  # rejected: of another type
    count_tokens(llm)  # rejected: an argument is missing
    await book_room(session, nights="two", name="Ada")  # rejected: of another type
    await reset(session, llm)  # rejected: in another order
    session.config()["llm"]["model"] = "x"  # rejected: the config is read-only
    number: int = await list_models(llm)  # rejected: the result is a list
    print(number)
