"""Hooks observe. Each one gets the arguments that it names, in order. One that fails affects nothing else."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pytest

from rtvi_plugins import LLM, bot, hookimpl
from rtvi_plugins.errors import DeclarationError, PluginError, ProviderError, RequestError
from rtvi_plugins.events import BotLLMText, Event, Metrics
from rtvi_plugins.hookspecs import HOOKS
from rtvi_plugins.hosting import Host, ManualClock
from rtvi_plugins.registry import hooks
from rtvi_plugins.registry.hooks import Hooks
from rtvi_plugins.security import LogThrottle
from rtvi_plugins.session import Secret, Session

from ..fakes.faulty import faulty
from ..fakes.providers import Fakes
from ..fakes.wire import OPERATOR, connected, host_of, settle


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
    """Pluggy does the same. Each function gets only the arguments that it names."""
    calls: list[Any] = []

    def first(service: str, action: str) -> None:
        calls.append((service, action))

    def second(action: str) -> None:
        calls.append(action)

    def third() -> None:
        calls.append("nothing")

    for each in (first, second, third):
        each.__name__ = "action_started"
    hooks = hooks_of(plugin("one", first), plugin("two", second), plugin("three", third))
    hooks.notify("action_started", session=None, service="tts", action="say", arguments={})
    assert calls == ["nothing", "say", ("tts", "say")]


def test_a_hook_that_fails_is_logged_and_the_next_is_called(caplog: pytest.LogCaptureFixture) -> None:
    """The log has the name of the plugin and of the exception, but not its text."""
    calls: list[str] = []

    def fails(role: str) -> None:
        raise RuntimeError("words of an exception")

    def listens(role: str) -> None:
        calls.append(role)

    fails.__name__ = listens.__name__ = "transcript"
    with caplog.at_level(logging.INFO, "rtvi_plugins"):
        hooks_of(plugin("bad", fails), plugin("good", listens)).notify(
            "transcript", session=None, role="user", text="", interrupted=False
        )
    assert calls == ["user"]
    assert caplog.messages == ["the hook transcript of the plugin bad raised RuntimeError"]


def test_a_hook_that_always_fails_is_logged_once_a_minute(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is called again each time. The next line has the number of the other failures."""
    calls: list[Event] = []

    def event_emitted(event: Event) -> None:
        calls.append(event)
        raise RuntimeError

    def transcript() -> None:
        raise ValueError

    now = [0.0]
    monkeypatch.setattr(hooks, "LogThrottle", partial(LogThrottle, now=lambda: now[0]))
    failing = hooks_of(plugin("bad", event_emitted, transcript))
    for now[0] in (0.0, 1.0, 2.0):
        failing.notify("event_emitted", session=None, event=BotLLMText("hello"))
    failing.notify("transcript", session=None, role="user", text="", interrupted=False)
    now[0] = 61.0
    failing.notify("event_emitted", session=None, event=BotLLMText("hello"))
    assert len(calls) == 4
    assert caplog.messages == [
        "the hook event_emitted of the plugin bad raised RuntimeError",
        "the hook transcript of the plugin bad raised ValueError",
        "the hook event_emitted of the plugin bad (2 more like this since the last such line) raised RuntimeError",
    ]


def test_answers_are_asked_for_one_by_one() -> None:
    """Functions that return None or fail are skipped. After the first result, no other function is called."""
    asked: list[str] = []

    def answering(name: str, answer: str | None) -> ModuleType:
        def find_key(provider: str) -> str | None:
            asked.append(name)
            if answer == "fails":
                raise KeyError(provider)
            return answer

        return plugin(name, find_key)

    hooks = hooks_of(*(answering(*each) for each in {"d": "other", "c": "key", "b": "fails", "a": None}.items()))
    assert next(hooks.results("find_key", provider="acme", name="api_key"))[1] == "key"
    assert asked == ["a", "b", "c"]
    found = hooks.results("find_key", provider="acme", name="api_key")
    assert [result for _, result in found] == ["key", "other"]


def test_a_hook_knows_whether_anybody_listens() -> None:
    """So nothing needs to be prepared if no plugin has the hook."""

    def session_opened() -> None: ...

    hooks = hooks_of(plugin("one", session_opened), ModuleType("none"))
    assert {name: hooks.is_implemented(name) for name in HOOKS} == {name: name == "session_opened" for name in HOOKS}


def test_an_async_hook_is_refused() -> None:
    """Nothing would await it."""

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
    """A plugin that writes down each call, and then raises."""

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
    """The session continues although each hook raises."""
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


@pytest.mark.anyio
async def test_a_session_that_no_client_has_claimed_ends_unclaimed() -> None:
    """Otherwise it would be counted as a session that went well."""
    seen: list[Any] = []
    clock = ManualClock()
    async with host_of(faulty, witness(seen), clock=clock) as host:
        id = (await host.start(secret=OPERATOR)).session_id
        clock.advance(31)
        await settle()
    assert seen == [("opened", id), ("closed", id, "unclaimed")]


@bot(public=True)
async def reporter(session: Session, /) -> None:
    """A bot that says something, and reports the failure of a vendor."""
    session.emit(BotLLMText("hello"))
    session.fail(ProviderError("acme", "timeout"))


@pytest.mark.anyio
async def test_events_errors_and_starts_are_observed() -> None:
    """An event is observed also if the client has no message for it, and a start also if it is refused."""
    seen: list[Any] = []

    def event_emitted(event: Event) -> None:
        seen.append(event)

    def error_reported(code: str) -> None:
        seen.append(code)

    def start_finished(seconds: float, error: str | None) -> None:
        seen.append((seconds, error))

    async with connected(reporter, plugin("observer", event_emitted, error_reported, start_finished)) as wire:
        await settle()
        with pytest.raises(RequestError):
            await wire.host.start({"services": {"llm": "none"}})
    assert seen == [(0.0, None), BotLLMText("hello"), "provider-failed", (0.0, "unknown-service")]


@bot(services={"llm": ["scripted", "other"]}, public=True)
async def switcher(session: Session, /, llm: LLM) -> None:
    """A bot that switches the provider within a turn."""
    async with session.turn():
        await session.switch("llm", "other")
        session.emit(Metrics("llm", ttfb=0.1))
    session.emit(Metrics("llm", ttfb=0.1))
    session.emit(Metrics("bot", voice_to_voice=0.1))


@pytest.mark.anyio
async def test_a_measurement_has_the_provider_of_its_turn() -> None:
    """A client that switches within a turn would otherwise have its tokens counted for another provider."""
    seen: list[str | None] = []

    def event_emitted(event: Event) -> None:
        if isinstance(event, Metrics):
            seen.append(event.provider)

    async with connected(switcher, Fakes(), plugin("meter", event_emitted)):
        await settle()
    assert seen == ["scripted", "other", None]


# ---- what is not a hook ----------------------------------------------------------------------------------------------


def a_generator(session: Session) -> Iterator[None]:
    """A generator, whose body would never run."""
    yield


async def an_async_generator(session: Session) -> AsyncIterator[None]:
    """An async generator, which nothing would iterate."""
    yield


def misspelt_argument(sesion: Session) -> None:
    """A hook with an argument that does not exist."""


def defaulted(session: Session | None = None) -> None:
    """A hook with a default, for which pluggy passes no argument."""


def all_by_name(**facts: Any) -> None:
    """A hook with `**kwargs`, for which pluggy passes nothing."""


def by_name(*, session: Session) -> None:
    """A hook with keyword-only arguments. pluggy passes by position."""


NO_HOOKS: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
    (a_generator, {"specname": "session_opened"}, "is a generator, so its body would never run. Remove yield"),
    (a_generator, {"specname": "session_opened", "wrapper": True}, "is a wrapper, but hooks cannot wrap"),
    (a_generator, {"specname": "session_opened", "hookwrapper": True}, "is a wrapper, but hooks cannot wrap"),
    (an_async_generator, {"specname": "session_opened"}, "is async, but nothing awaits"),
    (
        misspelt_argument,
        {"specname": "session_opened"},
        "which the hook 'session_opened' does not have; ",
    ),
    (misspelt_argument, {"specname": "session_opened"}, "did you mean 'session'?"),
    (defaulted, {"specname": "session_opened"}, "gives 'session' a default, so it would not be passed. Remove"),
    (all_by_name, {"specname": "session_opened"}, "takes **facts. A hook is passed the arguments that it names"),
    (by_name, {"specname": "session_opened"}, "A hook is passed the arguments that it names: session."),
    (misspelt_argument, {}, "there is no hook 'misspelt_argument'; there is session_opened, session_closed"),
    (defaulted, {"specname": "sesion_opened"}, "there is no hook 'sesion_opened'; did you mean 'session_opened'?"),
]


@pytest.mark.parametrize(("function", "marks", "message"), NO_HOOKS)
def test_a_function_that_would_not_be_called_as_a_hook_is_refused(
    function: Callable[..., Any], marks: dict[str, Any], message: str
) -> None:
    """With its place, and what to write instead."""
    module = ModuleType("acme")
    vars(module)["hook"] = pluggy_mark(function, marks)
    with pytest.raises(PluginError) as raised:
        hooks_of(module)
    assert message in str(raised.value)
    assert f"test_hooks.py:{function.__code__.co_firstlineno})" in str(raised.value)


def pluggy_mark(function: Callable[..., Any], marks: dict[str, Any]) -> Callable[..., Any]:
    """A copy of a function that is marked as a hook."""
    copy = FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__)
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__annotations__ = function.__annotations__
    marked: Callable[..., Any] = hookimpl(**marks)(copy)
    return marked


def test_a_marked_object_that_is_no_function_is_refused() -> None:
    """Pluggy would ignore it."""

    class Listener:
        def __call__(self, session: Session) -> None: ...

    module = ModuleType("acme")
    vars(module)["session_opened"] = hookimpl(Listener())
    with pytest.raises(PluginError, match=r"is under @hookimpl but is not a function\. Write def"):
        hooks_of(module)


@pytest.mark.parametrize("wrap", [None, staticmethod, classmethod])
def test_a_hook_of_a_class_is_refused(wrap: Any) -> None:
    """Objects of the class are not plugins, so nothing would call it."""

    def session_opened(session: Session) -> None: ...

    marked = hookimpl(session_opened)
    module = ModuleType(__name__)
    vars(module)["listener"] = type("Listener", (), {"session_opened": wrap(marked) if wrap else marked})
    with pytest.raises(PluginError, match=r"session_opened\(\) \(.*\) is inside the class Listener\."):
        hooks_of(module)


def test_a_hook_may_be_imported_under_another_name() -> None:
    """The name in its `def` says which hook it is."""
    calls: list[str] = []

    @hookimpl
    def session_opened() -> None:
        calls.append("opened")

    module = ModuleType("acme")
    vars(module)["on_open"] = session_opened
    hooks_of(module).notify("session_opened", session=None)
    assert calls == ["opened"]


# ---- what hooks answer ---------------------------------------------------------------------------------------------


def answering(name: str, answer: Any) -> ModuleType:
    """A plugin whose hook returns a value."""

    def hook() -> Any:
        return answer

    hook.__name__ = name
    return plugin("answering", hook)


class Route:
    """Has the attributes of a route."""

    def matches(self, scope: object) -> None: ...


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"/": Route()}, "returns a dict. Return a list of routes, as in [Route(…)]."),
        (Route(), "returns a Route. Return a list of routes"),
        ("/", "returns a str. Return a list of routes"),
        ([Route(), "/"], "returns a str in its list, which is not a route."),
    ],
)
def test_routes_of_a_plugin_that_are_no_list_are_refused(answer: Any, message: str) -> None:
    """The error has the place of the hook."""
    host = Host(faulty, modules=[answering("server_routes", answer)], environ={})
    with pytest.raises(PluginError) as raised:
        _ = host.routes
    assert message in str(raised.value)
    assert "test_hooks.py" in str(raised.value)
    assert len(Host(faulty, modules=[answering("server_routes", [Route()])], environ={}).routes) == 1


@pytest.mark.parametrize("key", ["key-of-acme", Secret("key-of-acme")])
def test_a_key_store_answers_with_a_text_or_a_secret(key: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Any other value is reported, and the next key store is asked."""
    modules = [answering("find_key", key), answering("find_key", 5)]
    host = Host(faulty, modules=modules[:1], environ={})
    found = host._keys.find("acme", "api_key")  # pyright: ignore[reportPrivateUsage]
    assert found is not None
    assert found.reveal() == "key-of-acme"
    host = Host(faulty, modules=modules[1:], environ={})
    assert host._keys.find("acme", "api_key") is None  # pyright: ignore[reportPrivateUsage]
    assert "it returns int for a key. Return a str, or None." in caplog.text


# ---- two functions of one name -------------------------------------------------------------------------------------


def test_a_second_hook_function_of_one_name_is_rejected(tmp_path: Path) -> None:
    """Python keeps only the second one, so the first would never be called."""
    file = tmp_path / "an_author_wrote.py"
    hook = "@hookimpl\ndef session_opened():\n    pass\n\n"
    file.write_text(f"from rtvi_plugins import hookimpl\n\n{hook}{hook}", "utf-8")
    code = compile(file.read_text("utf-8"), str(file), "exec")
    with pytest.raises(DeclarationError, match=r":7\) has the name of session_opened\(\) \(.*:3\), which is lost\."):
        exec(code, {"__name__": "an_author_wrote"})


def test_a_module_of_hooks_can_be_executed_again() -> None:
    """A reload replaces each function with itself."""
    code = compile("from rtvi_plugins import hookimpl\n@hookimpl\ndef session_opened(): ...\n", "again.py", "exec")
    names: dict[str, Any] = {"__name__": "again"}
    for _ in range(2):
        exec(code, names)


@pytest.mark.parametrize(
    ("keywords", "problem"),
    [
        ({"frist": True}, r"@hookimpl has no argument frist=; it has hookwrapper=, optionalhook=, "),
        ({"specname": 5}, r"@hookimpl takes specname= as a name, not 5\."),
    ],
)
def test_a_wrong_argument_of_hookimpl_is_rejected_at_its_function(keywords: Any, problem: str) -> None:
    """The error is not a traceback of pluggy."""

    def session_opened() -> None: ...

    with pytest.raises(DeclarationError, match=rf"session_opened\(\) \(.*\) {problem}"):
        hookimpl(**keywords)(session_opened)
