import pytest
from rtvi_plugins.testing import ManualClock, call, connect, host_for, seconds_heard, settle, silence, speak, wait

import fake_speech
from bot import receptionist
from push_to_talk import radio

pytestmark = pytest.mark.anyio


async def test_it_hears_and_answers_aloud() -> None:
    """It greets, understands the user, and speaks its answer: a tone of 0.1 s for each word."""
    fake_speech.lines.extend(["My name is Ada."])
    clock = ManualClock()
    async with connect(receptionist, fake_speech, clock=clock, dev=True, audio=True) as client:
        await wait(clock, 1.0)
        assert [each["text"] for each in client.received("bot-transcription")] == ["Good day.", "Who are you?"]
        assert 0.4 <= seconds_heard(client) <= 0.6
        await speak(client, clock, 1.0)
        await silence(client, clock, 2.0)
        assert client.received("user-transcription")[-1]["text"] == "My name is Ada."
        assert client.received("bot-transcription")[-1]["text"] == "Nice to meet you, Ada."
        assert 0.9 <= seconds_heard(client) <= 1.1


async def test_speaking_over_it_silences_it() -> None:
    """It remembers only the part that the user heard."""
    fake_speech.lines.extend(["Stop."])
    clock = ManualClock()
    async with host_for(receptionist, fake_speech, clock=clock, dev=True) as host, call(host) as line:
        await wait(clock, 1.0)
        line.send("send-text", {"content": "Tell me a story."})
        await wait(clock, 2.0)
        await speak(line, clock, 0.5)
        await silence(line, clock, 1.0)
        line.send("action", {"service": "llm", "action": "get_context", "arguments": []}, id="context")
        await settle()
        (answer,) = [each["data"]["result"] for each in line.messages if each.get("id") == "context"]
        story = next(each for each in answer["messages"] if each.get("interrupted"))
        assert "bot-interrupted" in [each["type"] for each in line.messages]
        assert 10 <= len(story["content"].split()) <= 25


async def test_it_can_be_typed_to() -> None:
    """A text transport has no audio. The same bot then works as a text bot."""
    async with connect(receptionist, fake_speech) as client:
        await client.send_text("My name is Ada.")
        async for event in client.events():
            if event.type == "bot-transcription" and "Ada" in event.data["text"]:
                break


async def test_a_radio_answers_when_the_microphone_is_switched_off() -> None:
    """A pause does not end the user's turn."""
    fake_speech.lines.extend(["What is 3 plus four?"])
    clock = ManualClock()
    async with host_for(radio, fake_speech, clock=clock, dev=True) as host, call(host) as line:
        await settle()
        await speak(line, clock, 0.5)
        await silence(line, clock, 2.0)
        await speak(line, clock, 0.5)
        assert line.received("bot-transcription") == []
        line.connection.microphone(False)
        await wait(clock, 1.0)
        assert [each["text"] for each in line.received("bot-transcription")] == ["That is 7."]
