"""Hooks observe: each is told what it asks for, in order, and one that fails harms nobody."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import pytest

from rtvi_plugins import hookimpl
from rtvi_plugins._hooks import Hooks
from rtvi_plugins.errors import PluginError
from rtvi_plugins.hookspecs import HOOKS
from rtvi_plugins.session import Session

from .faulty import faulty, ledger
from .wire import connected, settle


def plugin(name: str, *functions: Callable[..., Any]) -> ModuleType:
    """A module with hooks."""
    module = ModuleType(name)
    for each in functions:
        setattr(module, each.__name__, hookimpl(each))
    return module


def hooks_of(*modules: ModuleType) -> Hooks:
    """The hooks of some plugins."""
    return Hooks({each.__name__: each for each in modules})


def test_every_hook_is_called_the_last_plugin_first() -> None:
    """As pluggy does, and with as many facts as each asks for."""
    told: list[Any] = []

    def first(service: str, action: str) -> None:
        told.append((service, action))

    def second(action: str) -> None:
        told.append(action)

    def third() -> None:
        told.append("nothing")

    for each in (first, second, third):
        each.__name__ = "action_started"
    hooks = hooks_of(plugin("one", first), plugin("two", second), plugin("three", third))
    hooks.tell("action_started", session=None, service="tts", action="say", arguments={})
    assert told == ["nothing", "say", ("tts", "say")]


def test_a_hook_that_fails_is_logged_and_the_next_is_called(caplog: pytest.LogCaptureFixture) -> None:
    """By the plugin's name and the exception's, without its words."""
    told: list[str] = []

    def fails(role: str) -> None:
        raise RuntimeError("words of an exception")

    def listens(role: str) -> None:
        told.append(role)

    fails.__name__ = listens.__name__ = "transcript"
    with caplog.at_level(logging.INFO, "rtvi_plugins"):
        hooks_of(plugin("bad", fails), plugin("good", listens)).tell(
            "transcript", session=None, role="user", text="", interrupted=False
        )
    assert told == ["user"]
    assert caplog.messages == ["the hook transcript of the plugin bad raised RuntimeError"]


def test_answers_are_asked_for_one_by_one() -> None:
    """One that has none is passed over, and so is one that fails; nobody is asked after the first that counts."""
    asked: list[str] = []

    def answering(name: str, answer: str | None) -> ModuleType:
        def find_key(provider: str) -> str | None:
            asked.append(name)
            if answer == "fails":
                raise KeyError(provider)
            return answer

        return plugin(name, find_key)

    hooks = hooks_of(*(answering(*each) for each in {"d": "other", "c": "key", "b": "fails", "a": None}.items()))
    assert next(hooks.ask("find_key", provider="acme", name="api_key")) == "key"
    assert asked == ["a", "b", "c"]
    assert list(hooks.ask("find_key", provider="acme", name="api_key")) == ["key", "other"]


def test_a_hook_knows_whether_anybody_listens() -> None:
    """So that nothing is prepared for nobody."""

    def session_opened() -> None: ...

    hooks = hooks_of(plugin("one", session_opened), ModuleType("none"))
    assert {name: hooks.listens(name) for name in HOOKS} == {name: name == "session_opened" for name in HOOKS}


def test_an_async_hook_is_refused() -> None:
    """Nobody would await it."""

    async def session_opened() -> None: ...

    with pytest.raises(PluginError, match=r"session_opened\(\) \(.*\) is async"):
        hooks_of(plugin("one", session_opened))


def test_a_misspelt_hook_is_refused() -> None:
    """It would never be called."""

    def session_openned() -> None: ...

    with pytest.raises(PluginError, match="session_openned"):
        hooks_of(plugin("one", session_openned))


# ---- through a session ---------------------------------------------------------------------------------------------


def witness(seen: list[Any]) -> ModuleType:
    """A plugin that writes down everything it is told, and fails each time."""

    def session_opened(session: Session) -> None:
        seen.append(("opened", session.id))
        raise RuntimeError

    def action_started(service: str, action: str, arguments: Mapping[str, Any]) -> None:
        seen.append(("started", f"{service}:{action}", list(arguments)))
        raise RuntimeError

    def action_finished(action: str, error: str | None) -> None:
        seen.append(("finished", action, error))
        raise RuntimeError

    def config_committed(revision: int, changed: list[str]) -> None:
        seen.append(("config", revision, list(changed)))
        raise RuntimeError

    def transcript(role: str, text: str, interrupted: bool) -> None:
        seen.append((role, text, interrupted))
        raise RuntimeError

    def session_closed(session: Session, reason: str) -> None:
        seen.append(("closed", session.id, reason))
        raise RuntimeError

    functions = (session_opened, action_started, action_finished, config_committed, transcript, session_closed)
    return plugin("witness", *functions)


@pytest.mark.anyio
async def test_a_session_tells_what_happens_in_it() -> None:
    """And goes on, whatever the hooks do."""
    ledger.reset()
    seen: list[Any] = []
    async with connected(faulty, witness(seen)) as wire:
        id = wire.connection.id
        assert await wire.result(wire.call("bot:echo", text="hi")) == "hi"
        await wire.error(wire.call("bot:fail"))
        await wire.answer(wire.update(llm={"model": "large"}))
        said = [{"role": "user", "content": "hello"}]
        assert await wire.result(wire.call("llm:append_to_messages", messages=said, run_immediately=False))
        wire.send("disconnect-bot")
        await settle()
    assert seen == [
        ("opened", id),
        ("started", "bot:echo", ["text"]),
        ("finished", "echo", None),
        ("started", "bot:fail", []),
        ("finished", "fail", "action-failed"),
        ("config", 2, ["llm.model"]),
        ("started", "llm:append_to_messages", ["messages", "run_immediately"]),
        ("user", "hello", False),
        ("finished", "append_to_messages", None),
        ("closed", id, ""),
    ]
