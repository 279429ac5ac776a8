import math
from collections.abc import AsyncIterable
from typing import Any

import anyio
from realtime import Answer, Realtime, SpeechStarted
from rtvi_plugins import RequestError, Session, action, bot
from rtvi_plugins.events import BotOutput, UserStartedSpeaking, UserStoppedSpeaking, UserTranscription
from rtvi_plugins.kinds import Audio, Text, ToolCall, Transcript


@bot(services={"model": "acme"}, functions=["bot:book_room"])
async def receptionist(session: Session, /, model: Realtime) -> None:
    """Hears and speaks through one model."""
    send, answers = anyio.create_memory_object_stream[Answer](math.inf)
    session.start_soon(speak, session, model, answers)
    with send, answers, session.listening(model.hear):
        async for event in model.events():
            match event:
                case SpeechStarted():
                    session.emit(UserStartedSpeaking())
                    session.interrupt()
                case Transcript():
                    session.emit(UserStoppedSpeaking())
                    session.emit(UserTranscription(event.text))
                    session.remember({"role": "user", "content": event.text})
                case Answer():
                    send.send_nowait(event)


async def speak(session: Session, model: Realtime, answers: AsyncIterable[Answer]) -> None:
    """Start a turn for each answer. An interruption cancels the body of the turn."""
    async for answer in answers:
        async with session.turn() as turn:
            async for piece in answer.pieces:
                match piece:
                    case Audio():
                        turn.play(piece)
                    case Text():
                        session.emit(BotOutput(piece.text, turn.number, spoken=True))
                        turn.remember({"role": "assistant", "content": piece.text})
                    case ToolCall():
                        model.function_result(piece.id, await result_of(session, piece))
            await turn.played()


async def result_of(session: Session, call: ToolCall) -> Any:
    """Call a function of the bot or the client. The model reads why a call has failed."""
    try:
        return await session.call_function(call.name, call.arguments, id=call.id)
    except RequestError as error:
        return {"error": error.message}


@action(receptionist)
async def book_room(nights: int) -> str:
    """Book a room."""
    return f"booked for {nights} nights"
