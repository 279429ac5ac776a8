"""The lowest possible cost of each kind of work: the codec, a look-up and the call, without any checks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import orjson

_LABEL = "rtvi-ai"


async def say(text: str, interrupt: bool) -> str:
    return text


_ACTIONS: dict[tuple[str, str], Callable[..., Awaitable[Any]]] = {("tts", "say"): say}


async def dispatch(text: str) -> bytes:
    """Answer an action: decode, look up, call, encode. Nothing is checked."""
    message = orjson.loads(text)
    data = message["data"]
    sent = {each["name"]: each["value"] for each in data["arguments"]}
    result = await _ACTIONS[data["service"], data["action"]](**sent)
    return orjson.dumps({"label": _LABEL, "type": "action-response", "id": message["id"], "data": {"result": result}})


class Described:
    """Answer with a description that was encoded once, and is inserted into each answer."""

    def __init__(self, data: Any) -> None:
        self._data = orjson.Fragment(orjson.dumps(data))

    async def answer(self, text: str) -> bytes:
        message = orjson.loads(text)
        return orjson.dumps({"label": _LABEL, "type": "actions-available", "id": message["id"], "data": self._data})


class Config:
    """Check options by class, set each by a function, and return the whole config."""

    def __init__(self, service: str, names: list[str]) -> None:
        self._setters = {(service, name): (_take, str) for name in names}
        self._values: dict[tuple[str, str], Any] = {}

    async def update(self, text: str) -> bytes:
        message = orjson.loads(text)
        checked = [
            (service["service"], option["name"], self._checked(service["service"], option))
            for service in message["data"]["config"]
            for option in service["options"]
        ]
        for service, name, value in checked:
            await self._setters[service, name][0](value)
            self._values[service, name] = value
        return orjson.dumps({"label": _LABEL, "type": "config", "id": message["id"], "data": self._whole()})

    def _checked(self, service: str, option: dict[str, Any]) -> Any:
        value = option["value"]
        if value.__class__ is not self._setters[service, option["name"]][1]:
            raise TypeError(option["name"])
        return value

    def _whole(self) -> dict[str, Any]:
        told: dict[str, list[dict[str, Any]]] = {}
        for (service, name), value in self._values.items():
            told.setdefault(service, []).append({"name": name, "value": value})
        return {"config": [{"service": service, "options": options} for service, options in told.items()]}


async def _take(value: Any) -> None:
    return
