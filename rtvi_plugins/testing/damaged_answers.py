"""Damage the messages of a vendor, one place at a time: a field is missing, or has a value of another type.

A `Damage` is one of them, and `DamagedAnswers` lets a provider read an answer with each.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Generator, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable

import anyio
from attrs import define, frozen

from ..utils.json_values import is_array, is_object
from ..utils.plugin_calls import reraise_control_flow

__all__ = ("ChangesMessages", "Damage", "DamagedAnswers", "damages")


@runtime_checkable
class ChangesMessages(Protocol):
    """A `FakeVendor` whose JSON messages can be changed. It is optional: the kit then also damages good answers."""

    def change_messages(self, change: Callable[[Any], Any], /) -> None:
        """Give each message of the script "answer" to a function just before it is sent, and send what it returns.

        A message is a JSON object. What is sent may be any JSON value.
        """
        ...


#: The names of the fields on the way to a place. `_ITEMS` stands for all items of a list.
Path: TypeAlias = tuple[str, ...]

#: The fields of an object, or the items of a list, and what they contain.
_Form: TypeAlias = "dict[str, _Form]"

_ITEMS: Final = "[]"

#: Fields that say which fields a message has.
_TYPES: Final = ("type", "event")


@frozen
class Damage:
    """Damages all messages of a family at one place. Other messages stay as they are."""

    family: tuple[str, ...]
    path: Path
    is_missing: bool

    def __call__(self, message: Any) -> Any:
        """Return the message, or a damaged copy."""
        return self._damaged(message, self.path) if _family(message) == self.family else message

    def __str__(self) -> str:
        where = ".".join(self.path).replace(f".{_ITEMS}", _ITEMS)
        if not where:
            return "a message that is no object"
        return f"a message {'without' if self.is_missing else 'with another type of'} `{where}`"

    def _damaged(self, value: Any, path: Path) -> Any:
        if not path:  # no type that a field has is read like these
            return 7 if is_object(value) or is_array(value) else {"unexpected": True}
        name, rest = path[0], path[1:]
        if name == _ITEMS and is_array(value):
            return [] if self.is_missing and not rest else [self._damaged(each, rest) for each in value]
        if not is_object(value) or name not in value:
            return value
        if self.is_missing and not rest:
            return {each: value[each] for each in value if each != name}
        return {**value, name: self._damaged(value[name], rest)}


def damages(messages: Iterable[Any]) -> Generator[Damage, bool]:
    """Yield ways to damage these messages. Send whether the provider has noticed the last one.

    If a provider does not notice that a value is damaged, it does not read the value: nothing inside it is damaged.
    """
    forms: dict[tuple[str, ...], _Form] = {}
    for message in messages:
        _add(message, forms.setdefault(_family(message), {}))
    for family, form in forms.items():
        yield from _damages(family, (), form)


def _damages(family: tuple[str, ...], path: Path, form: _Form) -> Generator[Damage, bool]:
    if not (yield Damage(family, path, is_missing=False)):
        return
    if path:
        yield Damage(family, path, is_missing=True)
    for name, part in form.items():
        yield from _damages(family, (*path, name), part)


def _family(message: Any) -> tuple[str, ...]:
    """Return what messages with the same fields have in common."""
    found = tuple(f"{name}={message[name]}" for name in _TYPES if isinstance(message.get(name), str))
    return found or tuple(sorted(message))


def _add(value: Any, form: _Form) -> None:
    """Add what a value contains."""
    if is_object(value):
        for name, part in value.items():
            _add(part, form.setdefault(name, {}))
    elif is_array(value):
        for part in value:
            _add(part, form.setdefault(_ITEMS, {}))


# ---- reading damaged answers -----------------------------------------------------------------------------------------

#: How long to wait for a provider that reads on after a damaged message, in seconds. Perhaps that was the end for which
#: it waits.
_QUIET_SECONDS: Final = 0.05

#: How long one answer may take, in seconds.
_ANSWER_SECONDS: Final = 5.0


@define
class DamagedAnswers:
    """An operation of a provider, and the fake vendor whose answers to it are damaged.

    `judge` returns whether the provider may raise an exception after a damage.
    """

    fake: ChangesMessages
    open: Callable[[], AbstractAsyncContextManager[Any]]
    start: Callable[[Any], AsyncIterator[Any]]
    judge: Callable[[BaseException, Damage], bool]

    async def run(self) -> None:
        """Damage the answer in every way, until the provider fails in a way that is not allowed."""
        messages: list[Any] = []

        def record(message: Any) -> Any:
            messages.append(message)
            return message

        whole = await self._read(record)
        if not isinstance(whole, int):  # other rules say so
            return
        found = damages(messages)
        damage = next(found, None)
        while damage is not None:
            outcome = await self._read(damage)
            if isinstance(outcome, BaseException) and not self.judge(outcome, damage):
                return
            try:
                damage = found.send(outcome != whole)
            except StopIteration:
                return

    async def _read(self, change: Callable[[Any], Any]) -> int | BaseException | None:
        """Read an answer. Return the number of its pieces, what was raised, or None if the provider waits for more."""
        is_changed, count = False, 0

        def change_and_note(message: Any) -> Any:
            nonlocal is_changed
            changed = change(message)
            is_changed = is_changed or changed is not message
            hurry()
            return changed

        def hurry() -> None:
            if is_changed:
                scope.deadline = anyio.current_time() + _QUIET_SECONDS

        self.fake.change_messages(change_and_note)
        try:
            with anyio.move_on_after(_ANSWER_SECONDS) as scope:
                async with self.open() as live:
                    async for _ in self.start(live):
                        count += 1
                        hurry()
                    scope.deadline = math.inf
                    return count
        except BaseException as error:
            reraise_control_flow(error, anyio.get_cancelled_exc_class())
            return error
        return None
