"""The answers and events that a client receives, and the errors of a missing or invalid answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from ..errors import RequestError

__all__ = ("AnswerInterrupted", "BotReady", "ConfigState", "EventMessage", "InvalidAnswer", "NoAnswer")


class NoAnswer(RequestError):
    """The bot did not answer in time. An answer that comes later is dropped."""

    code = "no-answer"
    status = 504
    retryable = True


class InvalidAnswer(RequestError):
    """The answer of the bot does not follow the protocol."""

    code = "invalid-answer"
    status = 502


class AnswerInterrupted(RequestError):
    """The bot was interrupted while it answered. `text` is what had come by then."""

    code = "answer-interrupted"
    status = 409

    def __init__(self, text: str) -> None:
        super().__init__("The bot was interrupted while it answered.")
        self.text = text


@frozen
class EventMessage:
    """A message of the bot that answers no request: its type and data."""

    type: str
    data: Any


@frozen
class BotReady:
    """The bot's answer to `client-ready`."""

    version: str
    data: Mapping[str, Any]

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> BotReady:
        return cls(str(data.get("version")), data)


@frozen
class ConfigState:
    """The whole config by service and option; `applies` is "now" or "next-turn" after an update."""

    values: Mapping[str, Mapping[str, Any]]
    revision: int | None = None
    applies: str | None = None

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> ConfigState:
        values = {
            entry["service"]: {option["name"]: option["value"] for option in entry["options"]}
            for entry in data["config"]
        }
        return cls(values, data.get("revision"), data.get("applies"))
