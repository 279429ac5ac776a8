"""The log reports what an operator could not see: imports that hang, services that do not open, blocked event loops."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import pytest

from rtvi_plugins import LLM, Session, action, bot, service
from rtvi_plugins.errors import StartFailed
from rtvi_plugins.hosting import Host, Limits, SystemClock
from rtvi_plugins.loading import load_bot
from rtvi_plugins.registry import modules
from rtvi_plugins.registry.installed_plugins import EntryPoint, Installed
from rtvi_plugins.runtime.watchdog import Watchdog
from rtvi_plugins.utils.blocked_threads import format_stack, innermost_owner, stack_of, warn_when_slow

from ..tools.loops import EVERY_LOOP
from ..tools.patience import PATIENCE


class Seen(logging.Handler):
    """Keeps what was logged, and opens a gate at the first record."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.gate = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())
        self.gate.set()


@pytest.fixture
def seen() -> Generator[Seen]:
    """The log records of the framework in this test."""
    handler, logger = Seen(), logging.getLogger("rtvi_plugins")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


_PLUGIN = """
def configure(wait):
    wait()
"""


def plugin() -> ModuleType:
    """A module of a plugin, with a function that waits."""
    module = ModuleType("rtvi_plugins_slow.llm")
    exec(compile(_PLUGIN, "/site/rtvi_plugins_slow/llm.py", "exec"), vars(module))
    return module


# ---- the watchdog ---------------------------------------------------------------------------


def blocked(watch: Callable[[Watchdog], None], *, seconds: float = 1.0) -> None:
    """Block a thread that has a watchdog, in a plugin's function. This thread calls `watch` meanwhile."""
    begun, go_on = threading.Event(), threading.Event()
    dogs: list[Watchdog] = []
    now = 0.0

    def wait() -> None:
        begun.set()
        go_on.wait(PATIENCE)

    def run() -> None:
        nonlocal now
        dogs.append(Watchdog(seconds, {"rtvi_plugins_slow": "rtvi-plugins-slow"}, lambda: now))
        plugin().configure(wait)
        now = 5.0
        dogs[0].beat()

    thread = threading.Thread(target=run)
    thread.start()
    begun.wait(PATIENCE)
    try:
        dogs[0].check()  # the loop has beaten a moment ago
        now = 2.0
        watch(dogs[0])
    finally:
        go_on.set()
        thread.join(PATIENCE)


def test_a_blocked_loop_is_reported_once_with_the_plugin_and_the_place(seen: Seen) -> None:
    """When the loop continues, it is reported once more, with the time that it was blocked."""

    def look(dog: Watchdog) -> None:
        for _ in range(3):
            dog.check()

    blocked(look)
    first, last = seen.texts
    assert first.startswith("rtvi-plugins-slow blocks the event loop for more than 1 s")
    assert "configure() (/site/rtvi_plugins_slow/llm.py:3)" in first
    assert last == "the event loop continues; it was blocked for 5.0 s"


def test_a_loop_that_beats_is_not_reported(seen: Seen) -> None:
    """A short call does not count as a block."""
    blocked(lambda dog: dog.check(), seconds=10.0)
    assert seen.texts == []


def test_a_thread_that_waits_for_events_is_not_reported(seen: Seen) -> None:
    """The thread waits for the processor, so no code is at fault."""
    module = ModuleType("selectors")
    begun, go_on = threading.Event(), threading.Event()
    exec("def select(begun, go_on):\n    begun.set()\n    while not go_on: pass", vars(module))
    dogs: list[Watchdog] = []
    stop: list[bool] = []

    def run() -> None:
        dogs.append(Watchdog(0.0, {}))
        module.select(begun, stop)

    thread = threading.Thread(target=run)
    thread.start()
    begun.wait(PATIENCE)
    while "select" not in stack_of(thread.ident or 0)[0].f_code.co_name:
        go_on.wait(0)
    dogs[0].check()
    stop.append(True)
    thread.join(PATIENCE)
    assert seen.texts == []


def test_a_place_is_reported_once_a_minute(seen: Seen) -> None:
    """A plugin that blocks at each frame does not fill the log."""
    for _ in range(2):
        blocked(lambda dog: dog.check())
    assert len(seen.texts) == 4
    now = 0.0
    dog = Watchdog(1.0, {}, lambda: now)
    del seen.texts[:]
    for _ in range(5):
        now += 2.0
        dog.check()
        dog.beat()
    assert len(seen.texts) == 2


@bot(client=["bot:dawdle"], public=True)
async def sleeper(session: Session, /) -> None:
    """A bot with an action that blocks."""
    await anyio.sleep_forever()


@action(sleeper)
async def dawdle(session: Session, /) -> bool:
    """Block, which no coroutine may do."""
    return gates[0].wait(PATIENCE)


gates: list[threading.Event] = []


@pytest.mark.anyio
@EVERY_LOOP
async def test_a_host_that_watches_reports_what_blocks_its_loop(seen: Seen) -> None:
    """It names the bot if the code is the bot's own."""
    gates[:] = [seen.gate]
    async with Host(sleeper, environ={}, watch=0.05, clock=SystemClock()) as host:
        connection = host.claim((await host.start()).token)
        connection.receive('{"label": "rtvi-ai", "type": "client-ready", "id": "1", "data": {"version": "2.1.0"}}')
        call = '{"service": "bot", "action": "dawdle", "arguments": []}'
        connection.receive(f'{{"label": "rtvi-ai", "type": "action", "id": "2", "data": {call}}}')
        answers: list[Any] = []
        with anyio.fail_after(PATIENCE):
            while not any('"action-response"' in each for each in answers):
                answers += await connection.outgoing()
        connection.disconnected()
    assert any("true" in each for each in answers if '"action-response"' in each)
    text = next(each for each in seen.texts if "blocks the event loop" in each)
    assert "dawdle() (" in text
    assert Path(__file__).name in text


# ---- imports ---------------------------------------------------------------------------


def test_an_import_that_hangs_is_reported_with_the_plugin_and_the_place(
    seen: Seen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is reported while it hangs, not afterwards."""
    tmp_path.joinpath("rtvi_plugins_hangs.py").write_text("import test_gate\ntest_gate.gate.wait(30)\n")
    gate = ModuleType("test_gate")
    gate.gate = seen.gate  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "test_gate", gate)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr("rtvi_plugins.registry.installed_plugins.SLOW_IMPORT_SECONDS", 0.3)
    entry = EntryPoint("llm.hangs", "rtvi_plugins_hangs", "rtvi-plugins-hangs", "1.0")
    Installed((entry,)).load(entry)
    (text,) = seen.texts
    assert text.startswith("the import of the plugin 'llm.hangs' of rtvi-plugins-hangs takes longer than 0.3 s")
    assert f"({tmp_path / 'rtvi_plugins_hangs.py'}:2)" in text
    assert "frozen" not in text


def test_a_bot_whose_import_hangs_is_reported(seen: Seen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report has its file."""
    gate = ModuleType("test_gate")
    gate.gate = seen.gate  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "test_gate", gate)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(modules, "SLOW_IMPORT_SECONDS", 0.3)
    path = tmp_path / "slow_bot.py"
    path.write_text(
        "import test_gate\nfrom rtvi_plugins import bot, Session\ntest_gate.gate.wait(30)\n"
        "@bot()\nasync def slow(session: Session, /) -> None:\n    '''Nothing.'''\n"
    )
    load_bot(str(path))
    assert seen.texts[0].startswith("the import of slow_bot.py takes longer than 0.3 s; it is in ")
    assert f"({path}:3)" in seen.texts[0]


def test_an_import_in_time_is_not_reported(seen: Seen) -> None:
    """The timer ends with the import."""
    before = threading.active_count()
    with warn_when_slow("an import", 600.0):
        pass
    assert seen.texts == []
    assert threading.active_count() <= before + 1


def test_the_innermost_known_package_owns_a_stack() -> None:
    """If a plugin calls a library, the plugin is named."""
    frames = stack_of(threading.get_ident())
    here = __name__.partition(".")[0]
    assert innermost_owner(frames, {here: "these tests"}) == "these tests"
    assert innermost_owner(frames, {"nobody": "x"}) is None
    assert f"({__file__}:" in format_stack(frames)


# ---- services ---------------------------------------------------------------------------


class Stuck:
    """A service that never opens."""


@service("llm", "stuck")
@asynccontextmanager
async def stuck_llm() -> AsyncGenerator[LLM]:
    """Never open."""
    await anyio.sleep_forever()
    yield Stuck()  # type: ignore[misc]  # pyright: ignore[reportReturnType]


@bot(services={"llm": "stuck"}, public=True)
async def hopeful(session: Session, /, llm: LLM) -> None:
    """A bot that needs the service."""


@pytest.mark.anyio
@EVERY_LOOP
async def test_a_service_that_does_not_open_is_logged_with_the_place_where_it_waits(seen: Seen) -> None:
    """The client is told that it did not open. Only the log says where it waits."""
    async with Host(hopeful, environ={}, limits=Limits(open_seconds=0.01)) as host:
        with pytest.raises(StartFailed) as raised:
            await host.start()
    assert __file__ not in raised.value.message
    text = next(each for each in seen.texts if "did not open within 0.01 s" in each)
    assert "The service 'llm' (stuck)" in text
    assert f"It waits in stuck_llm() ({__file__}:" in text
