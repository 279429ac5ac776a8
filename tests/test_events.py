"""Every event, in the form of each generation of clients."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtvi_plugins.events import (
    BotLLMStarted,
    BotLLMStopped,
    BotLLMText,
    BotOutput,
    BotTurnEnded,
    Event,
    FunctionCallEnded,
    FunctionCallStarted,
    Interrupted,
    Metrics,
    UserLLMText,
    UserTranscription,
    serialize,
)
from rtvi_plugins.protocol.codec import encode

#: The oldest, and each at which a spelling changed, with what speaks it.
OLD, NEW, OUTPUT, CALLS, SEGMENTS = (0, 3, 0), (1, 0, 0), (1, 1, 0), (1, 2, 0), (2, 0, 0)
GENERATIONS = (OLD, NEW, OUTPUT, CALLS, SEGMENTS, (2, 1, 0))

SPOKEN = UserTranscription("hello", "2020-01-01T00:00:00+00:00")
TYPED = UserLLMText("hello")
SAID = BotOutput("Hello.", 3)
CALL = FunctionCallStarted("call-1", "look", {"at": "it"})
ANSWERED = FunctionCallEnded("call-1", "look", False, {"seen": True})
CANCELLED = FunctionCallEnded("call-1", "look", True)
COUNTED = Metrics("llm", ttfb=0.1, processing=0.5, prompt_tokens=3, model="small")

# Event -> the types of the messages that each generation is sent, in the order of GENERATIONS.
NONE: list[str] = []
OLD_CALL = ["llm-function-call-start", "llm-function-call"]
NEW_CALL = ["llm-function-call-started", "llm-function-call-in-progress"]
BOTH_OUTPUTS = ["bot-transcription", "bot-output"]
TABLE: list[tuple[Event, list[list[str]]]] = [
    (SPOKEN, [["user-transcription"]] * 6),
    (TYPED, [NONE, *[["user-llm-text"]] * 5]),
    (BotLLMStarted(), [["bot-llm-started"]] * 6),
    (BotLLMText("he"), [["bot-llm-text"]] * 6),
    (BotLLMStopped(), [["bot-llm-stopped"]] * 6),
    (SAID, [["tts-text", "bot-transcription"], ["bot-transcription"], *[BOTH_OUTPUTS] * 4]),
    (BotTurnEnded(), [NONE, *[["bot-turn-ended"]] * 5]),
    (BotTurnEnded(handed_over=True), [NONE, *[["bot-turn-ended"]] * 5]),
    (Interrupted(), [*[NONE] * 4, *[["bot-interrupted"]] * 2]),
    (ANSWERED, [*[NONE] * 3, *[["llm-function-call-stopped"]] * 3]),
    (CANCELLED, [*[NONE] * 3, *[["llm-function-call-stopped"]] * 3]),
    (Metrics("llm"), [NONE] * 6),
]


def messages(event: Event, version: tuple[int, int, int]) -> dict[str, Any]:
    """The data of each message by its type."""
    return dict(serialize(event, version))


@pytest.mark.parametrize(("event", "types"), TABLE)
def test_each_generation_is_sent_the_messages_that_it_knows(event: Event, types: list[list[str]]) -> None:
    """If a generation has no message for an event, nothing is sent."""
    assert [[type for type, _ in serialize(event, version)] for version in GENERATIONS] == types


def test_a_function_call_is_sent_in_one_form() -> None:
    """A client that knows both messages would run its function twice."""
    data = [[type for type, _ in serialize(CALL, version)] for version in GENERATIONS]
    assert data == [*[OLD_CALL] * 3, *[NEW_CALL] * 3]


@given(version=st.tuples(st.integers(0, 3), st.integers(0, 9), st.integers(0, 9)))
def test_no_version_is_ever_sent_both_forms_of_a_call(version: tuple[int, int, int]) -> None:
    """This is true also for future versions. Each client is asked to run the function once."""
    types = [type for type, _ in serialize(CALL, version)]
    assert types in (OLD_CALL, NEW_CALL)


def test_a_function_call_carries_what_the_client_needs() -> None:
    """The arguments have the name that the client's generation reads."""
    old = messages(CALL, NEW)["llm-function-call"]
    new = messages(CALL, CALLS)["llm-function-call-in-progress"]
    assert old == {"function_name": "look", "tool_call_id": "call-1", "args": {"at": "it"}}
    assert new == {"function_name": "look", "tool_call_id": "call-1", "arguments": {"at": "it"}}


def test_the_end_of_a_function_call_says_how_it_ended() -> None:
    """The call has a result, or was cancelled."""
    answered, cancelled = (messages(each, CALLS)["llm-function-call-stopped"] for each in (ANSWERED, CANCELLED))
    assert (answered["cancelled"], answered["result"]) == (False, {"seen": True})
    assert cancelled["cancelled"] is True
    assert "result" not in cancelled


def test_user_text_is_sent_as_each_generation_reads_it() -> None:
    """Typed text has no transcription. New clients also get the text for the LLM."""
    assert messages(SPOKEN, OLD)["user-transcription"] == {
        "text": "hello",
        "user_id": "",
        "timestamp": "2020-01-01T00:00:00+00:00",
        "final": True,
    }
    assert messages(TYPED, NEW) == {"user-llm-text": {"text": "hello"}}


def test_speech_is_sent_as_user_input_from_2_2_on() -> None:
    """Both messages have the same text. The newer one says that it was spoken."""
    sent = messages(SPOKEN, (2, 2, 0))
    assert sent == {
        "user-transcription": messages(SPOKEN, OLD)["user-transcription"],
        "user-input": {**sent["user-transcription"], "input_type": "transcription"},
    }


def test_bot_output_says_which_part_was_spoken() -> None:
    """Clients that know segments get their progress."""
    assert messages(SAID, OUTPUT)["bot-output"] == {"text": "Hello.", "spoken": False, "aggregated_by": "sentence"}
    silent = messages(SAID, SEGMENTS)["bot-output"]
    assert (silent["segment_id"], silent["will_be_spoken"], silent["spoken_status"]) == (3, False, "new")
    assert silent["spoken_progress"] == {"accumulated_text": "", "remaining_text": "Hello."}
    aloud = messages(BotOutput("Hello.", 3, spoken=True, status="completed"), SEGMENTS)["bot-output"]
    assert aloud["spoken_progress"] == {"accumulated_text": "Hello.", "remaining_text": ""}


def test_metrics_contain_the_known_measurements() -> None:
    """Unknown measurements are left out, and tokens are summed."""
    data = messages(COUNTED, OLD)["metrics"]
    assert data["ttfb"] == [{"processor": "llm", "model": "small", "value": 0.1}]
    assert data["processing"][0]["value"] == 0.5
    assert data["tokens"][0] == {
        "processor": "llm",
        "model": "small",
        "prompt_tokens": 3,
        "completion_tokens": 0,
        "total_tokens": 3,
    }
    assert set(messages(Metrics("llm", ttfb=0.1), OLD)["metrics"]) == {"ttfb"}


@pytest.mark.parametrize("version", GENERATIONS)
def test_every_event_can_be_sent(version: tuple[int, int, int]) -> None:
    """Every message can be encoded as JSON."""
    for event in (*(event for event, _ in TABLE), CALL, COUNTED):
        for type, data in serialize(event, version):
            assert json.loads(encode(type, None, data))["type"] == type
