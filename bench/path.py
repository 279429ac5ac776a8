"""The modules of the core that a request, a spoken turn and a plugin pass, as `sys.setprofile` sees them.

    python bench/path.py            # in an environment with the core and rtvi-plugins-rules

A module is *entered* when a function of another module calls one of its functions. A coroutine that continues after it
has waited is not entered again. The first line has the modules that do a step of the work, in the order in which they
are first entered; the second the words and helpers that all of them use: `utils` and the modules at the top. The exit
code is 1 if an action or a change of the config enters a module more than twice, or if a change is prepared more than
once. Audio enters some modules once for each frame.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

import voices
from attrs import define, field
from bots import connected, speaker, tunable
from messages import SAY, message

import rtvi_plugins
from rtvi_plugins import LLM, Session, bot
from rtvi_plugins.hosting import Host

_PACKAGE: Final = str(Path(rtvi_plugins.__file__).parent) + "/"
#: The public modules at the top of the package that do a step of the work themselves.
_DOORS: Final = ("hosting", "loading")


@define
class Trace:
    """What was entered, and how often each function of interest was called."""

    entries: Counter[str] = field(factory=Counter[str])
    functions: Counter[str] = field(factory=Counter[str])


def _module(frame: FrameType | None) -> str | None:
    """Return the module of the innermost frame of the package, without the package's name."""
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(_PACKAGE):
            return file.removeprefix(_PACKAGE).removesuffix(".py").replace("/", ".")
        frame = frame.f_back
    return None


@contextmanager
def traced() -> Generator[Trace]:
    """Record what this thread enters during the block."""
    trace = Trace()
    seen: set[FrameType] = set()

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event != "call" or frame in seen or not frame.f_code.co_filename.startswith(_PACKAGE):
            return
        seen.add(frame)
        module = _module(frame)
        assert module is not None
        trace.functions[f"{module}.{frame.f_code.co_qualname}"] += 1
        if module != _module(frame.f_back):
            trace.entries[module] += 1

    sys.setprofile(note)
    try:
        yield trace
    finally:
        sys.setprofile(None)


async def _action() -> Trace:
    """One action, from its text to its answer's."""
    async with connected(speaker) as connection:
        connection.receive(SAY)
        await connection.outgoing()  # the first call of a function may look at its signature
        with traced() as trace:
            connection.receive(SAY)
            (answer,) = await connection.outgoing()
        assert "result" in json.loads(str(answer))["data"], answer
        return trace


async def _update_config() -> Trace:
    """A change of one option, from its text to the new config."""
    async with connected(tunable) as connection:
        options = [{"name": "option0", "value": "another value"}]
        sent = {"config": [{"service": "llm", "options": options}], "interrupt": False}
        with traced() as trace:
            connection.receive(message("update-config", sent))
            (answer,) = await connection.outgoing()
        assert json.loads(str(answer))["type"] == "config", answer
        return trace


async def _utterance() -> Trace:
    """What the user says, from its first frame to the end of the bot's spoken answer."""
    async with voices.host() as host:
        connection = await voices.start(host, 0.2)
        heard = voices.Heard(connection)
        listening = asyncio.create_task(heard.listen())
        with traced() as trace:
            began = heard.wait_for_audio()
            for audio in [voices.LOUD] * 10 + [voices.SILENT] * 15:
                connection.receive_audio(audio)
                await asyncio.sleep(0.02)
            await began.wait()
            await asyncio.sleep(0.5)
        connection.disconnected()
        await listening
        return trace


@bot(services={"llm": "rules"}, public=True)
async def ruled(session: Session, /, llm: LLM) -> None:
    """Names one plugin."""


async def _plugin() -> Trace:
    """One plugin, from the bot that names it to a host that can open it: its import and its declarations."""
    with traced() as trace:
        host = Host(ruled, environ={})
    assert "rules" in host.registry.services["llm"].providers
    return trace


_CASES: Final[dict[str, Callable[[], Coroutine[Any, Any, Trace]]]] = {
    "action": _action,
    "update-config": _update_config,
    "utterance": _utterance,
    "plugin": _plugin,
}


def _is_step(module: str) -> bool:
    return module in _DOORS or ("." in module and not module.startswith("utils."))


def main() -> int:
    """Print what each of the paths enters, and how often. Return the exit code."""
    traces = {name: asyncio.run(case()) for name, case in _CASES.items()}
    for name, trace in traces.items():
        steps = [f"{module} {count}" for module, count in trace.entries.items() if _is_step(module)]
        helpers = [f"{module} {count}" for module, count in trace.entries.items() if not _is_step(module)]
        print(f"{name}: {len(steps)} modules: {', '.join(steps)}\n  words and helpers: {', '.join(helpers)}")
    entered = max(
        count
        for name in ("action", "update-config")
        for module, count in traces[name].entries.items()
        if _is_step(module)
    )
    prepared = traces["update-config"].functions["protocol.config.ConfigChanges.prepare"]
    print(f"An action and a change of the config enter a module at most {entered} times.")
    print(f"A change of the config is prepared {prepared} time(s).")
    return int(entered > 2 or prepared != 1)


if __name__ == "__main__":
    raise SystemExit(main())
