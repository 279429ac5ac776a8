"""Note what has changed in a session, so that it is saved, and restore a session from its record.

The record of a session has these keys. Those of the first two lines and `m/N`, `call/ID` and `jobs` have JSON:

    start                   the body of the start request without API keys, and whether it was trusted
    config client functions inputs persona state time
    m/N                     the message N of the context
    answer/ID               the answer to a request, after a number that gives the order of the answers
    begun/ID job/ID call/ID an action, a job or a function call that has begun; a call also with its result
    jobs                    how many jobs there were
    history/N ended         what happened in the session, if the operator wants it: see `history`
    token/HASH              a resume token that is valid
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from attrs import define, field

from ..context import Message
from ..errors import OutcomeUnknown
from ..protocol.codec import decode_json, encode, encode_json
from ..session import ClientInfo, Input, Persona, RunLLM, Say, UserText
from .bot_session import BotSession, SessionParts
from .saving import Saver

__all__ = ("Snapshot",)

log = logging.getLogger("rtvi_plugins")

#: How many answers are kept, and from which length on an answer is not.
_MOST_ANSWERS, _LONGEST_ANSWER = 256, 65_536
_UNKNOWN_OUTCOME: Final = (
    "It is not known whether this was done: the process has ended. Find out before you call it again."
)


@define(eq=False)
class Snapshot:
    """Notes what has changed in a session since it was noted last."""

    session: BotSession
    parts: SessionParts
    saver: Saver
    #: Returns the time of day, which other processes know too.
    wall_clock: Callable[[], float]
    #: What was noted last, by key: objects that are replaced and not changed, or the text.
    _noted_parts: dict[str, Any] = field(factory=dict[str, Any])
    #: How many messages the record has.
    _messages: int = 0
    #: How many answers there were.
    _answer_count: int = 0
    _state_failed: bool = False
    _last_unsubmitted: Sequence[Input] = ()

    def note(self) -> None:
        parts, context = self.parts, self.session.context
        config, inputs, protocol = parts.config, parts.turns.inputs, parts.protocol
        # While a text to say is being interrupted, it is still in progress.
        again = () if parts.turns.cut_short in (None, inputs.in_progress) else (parts.turns.cut_short,)
        self._compare("config", (config.values, config.revision, protocol.offer.providers), _config_json)
        self._compare("client", (protocol.client,), _client_json)
        self._compare("functions", (context.functions, context.tool_choice), list)
        self._compare("inputs", (inputs.in_progress, *again, *inputs.waiting, *self._unsubmitted()), _inputs_json)
        self._compare("persona", (self.session.persona,), _persona_json)
        self._note_state()
        self._note_messages()
        if self.saver.notes:
            now, end, at = self.session.clock.now(), parts.end, self.wall_clock()
            times = {"at": at, "left": end.too_long_at - now, "idle": now - end.last_received}
            if self.saver.history_seconds:  # otherwise the store removes the record then
                times["until"] = at + self.saver.keep_seconds
            self.saver.note("time", times)

    def _unsubmitted(self) -> Sequence[Input]:
        """Return what the user has said and the bot has not submitted yet: the same object until that changes."""
        audio = self.parts.audio_input
        now = () if audio is None else audio.unsubmitted(interim=self.saver.frozen)
        if now != self._last_unsubmitted:
            self._last_unsubmitted = now
        return self._last_unsubmitted

    def _compare(self, key: str, now: tuple[Any, ...], to_json: Callable[[Any], Any]) -> None:
        before = self._noted_parts.get(key, ())
        if len(before) != len(now) or any(old is not new for old, new in zip(before, now, strict=True)):
            self._noted_parts[key] = now
            self.saver.note(key, to_json(now))

    def _note_state(self) -> None:
        try:
            state = self.session.state_json()
            text = None if state is None else encode_json(state)
        except (TypeError, ValueError, RecursionError) as error:
            if not self._state_failed:
                self._state_failed = True
                id = self.session.id
                log.error("the state of session %s is not saved: %s", id, error, extra={"session": id})
            return
        if text != self._noted_parts.get("state"):
            self._noted_parts["state"] = text
            self.saver.note_text("state", text)

    def _note_messages(self) -> None:
        context, calls = self.session.context, self.parts.calls
        changed, messages = context.take_changed(), context.messages
        for index, message in enumerate(messages[changed:], changed):
            self.saver.note(f"m/{index}", message)
            if (call := message.get("tool_call_id")) is not None and calls.take_noted(call):
                self.saver.note_text(f"call/{call}", None)  # its result is in the context now
        for index in range(len(messages), self._messages):
            self.saver.note_text(f"m/{index}", None)
        self._messages = len(messages)

    def answered(self, id: str, text: str) -> None:
        """Note an answer, which is sent again if the request is sent again."""
        answered = self.parts.protocol.answered
        has_begun = self.saver.end(f"begun/{id}")
        if len(text) > _LONGEST_ANSWER:
            if not has_begun:
                return  # the action may be repeated
            text = encode("error-response", id, OutcomeUnknown("The answer is not kept; it was too long.").to_json())
        answered[id] = text
        self._answer_count += 1
        self.saver.note_text(f"answer/{id}", f"{self._answer_count} {text}")
        if len(answered) > _MOST_ANSWERS:
            oldest = next(iter(answered))
            del answered[oldest]
            self.saver.note_text(f"answer/{oldest}", None)

    # ---- restoring -------------------------------------------------------------------------------------------------

    def restore(self, record: Mapping[str, str]) -> None:
        """Put everything back. Options and providers are those of the start request already."""
        parts, context = self.parts, self.session.context

        def read(key: str, default: Any) -> Any:
            return decode_json(record[key]) if key in record else default

        now, times = self.session.clock.now(), read("time", {})
        away = max(0.0, self.wall_clock() - times["at"])
        parts.end.too_long_at = now + times["left"] - away
        parts.end.last_received = now - times["idle"] - away
        parts.config.revision = read("config", {"revision": 1})["revision"]
        client = read("client", {"version": [0, 3, 0], "about": {}})
        parts.protocol.client = ClientInfo(tuple(client["version"]), client["about"])
        parts.protocol.ready = True
        functions, context.tool_choice = read("functions", [[], None])
        context.functions = tuple(functions)
        context.replace(_messages(record))
        self._messages = len(context.messages)
        context.take_changed()
        if (persona := read("persona", None)) is not None:
            self.session.persona = Persona(prompt=persona["prompt"], functions=persona["functions"])
        if (state := read("state", None)) is not None:
            self.session.restore_state(state)
        parts.turns.inputs.restore([_input(each) for each in read("inputs", [])])
        self._restore_requests(record)
        self._restore_calls(record)
        parts.actions.started = read("jobs", 0)
        self._end_jobs(record)

    def _restore_requests(self, record: Mapping[str, str]) -> None:
        # A store keeps no order, and the oldest answer is the first to go.
        numbered = {id: text.partition(" ") for id, text in _texts_under(record, "answer/").items()}
        for id in sorted(numbered, key=lambda id: int(numbered[id][0])):
            number, _, self.parts.protocol.answered[id] = numbered[id]
            self._answer_count = int(number)
        for id in _texts_under(record, "begun/"):
            error = OutcomeUnknown("The process that ran the action has ended. The action may have taken effect.")
            self.saver.note_text(f"begun/{id}", None)
            self.answered(id, encode("error-response", id, error.to_json()))

    def _end_jobs(self, record: Mapping[str, str]) -> None:
        """Report the end of the jobs whose process has ended."""
        unknown = OutcomeUnknown("The process that ran the job has ended. The job may have taken effect.")
        for id, action in _texts_under(record, "job/").items():
            self.saver.note_text(f"job/{id}", None)
            message = {"type": "job", "job": id, "action": action, "status": "failed"}
            self.parts.outbox.send("server-message", {**message, **unknown.to_json()})

    def _restore_calls(self, record: Mapping[str, str]) -> None:
        """Put the results of function calls into the context that had not reached it."""
        context = self.session.context
        results = {each["tool_call_id"]: each for each in context.messages if "tool_call_id" in each}
        for id, text in _texts_under(record, "call/").items():
            call: dict[str, Any] = decode_json(text)
            result = call.get("result", {"error": _UNKNOWN_OUTCOME})
            result = result if isinstance(result, str) else encode_json(result)
            self.saver.note_text(f"call/{id}", None)
            if id in results:
                context.settle(id, str(results[id]["content"]), result)
                continue
            function = {"name": call["name"], "arguments": encode_json(call["arguments"])}
            asked = {"id": id, "type": "function", "function": function}
            context.append(
                {"role": "assistant", "content": None, "tool_calls": [asked]},
                {"role": "tool", "tool_call_id": id, "content": result},
            )


def _texts_under(record: Mapping[str, str], prefix: str) -> dict[str, str]:
    """Return the texts under the keys with a prefix, by the rest of the key."""
    return {key.removeprefix(prefix): text for key, text in record.items() if key.startswith(prefix)}


def _messages(record: Mapping[str, str]) -> list[Message]:
    numbered = _texts_under(record, "m/")
    return [decode_json(numbered[number]) for number in sorted(numbered, key=int)]


def _config_json(noted: tuple[Any, ...]) -> Any:
    values, revision, providers = noted
    return {"values": values, "revision": revision, "providers": dict(providers)}


def _client_json(noted: tuple[ClientInfo]) -> Any:
    return {"version": noted[0].version, "about": noted[0].about}


def _persona_json(noted: tuple[Persona | None]) -> Any:
    (persona,) = noted
    return persona and {"prompt": persona.prompt, "functions": persona.functions}


def _inputs_json(noted: tuple[Input | None, ...]) -> Any:
    """Return the inputs that are to be processed again. A text that is being answered is in the context already."""
    in_progress, *waiting = noted
    if isinstance(in_progress, UserText):
        in_progress = RunLLM(in_progress.speak) if in_progress.run else None
    return [_input_json(each) for each in (in_progress, *waiting) if each is not None]


def _input_json(input: Input) -> list[Any]:
    match input:
        case UserText():
            return ["text", input.text, input.run, input.speak]
        case RunLLM():
            return ["run", input.speak]
        case Say():
            return ["say", input.text, input.interruptible]


def _input(saved: list[Any]) -> Input:
    kind, *values = saved
    match kind:
        case "text":
            return UserText(*values)
        case "say":
            text, interruptible = values
            return Say(text, interruptible=interruptible)
        case _:
            return RunLLM(*values)
