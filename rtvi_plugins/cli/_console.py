"""`rtvi console`: a typed conversation with a bot, in this process and this terminal.

Whoever has the bot's file may do everything with it, so the session is a developer's: all options and actions are
granted. A line is sent once the bot has said all it had to say to the one before, so a conversation can be piped in.
"""

from __future__ import annotations

import json
import logging
import shlex
import signal
import sys
from argparse import Namespace
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TextIO, TypeAlias

import anyio
from attrs import define, field

from ..client import Client, open_client
from ..errors import RequestError
from ..hosting import Connection, Host, Limits
from ..testing import ConnectionStream
from . import FAILED, INTERRUPTED, OK, UsageError, load, read_arguments, read_config, read_services
from ._describe import actions_text
from ._lines import typed_lines

__all__ = ("run",)

#: Nobody is put out of a conversation with themselves.
_LIMITS = Limits(session_seconds=7 * 86_400, idle_seconds=7 * 86_400)

#: How often to look whether the bot has finished, in seconds.
_GLANCE = 0.02

#: Sent by the session to itself: when it comes back, everything before it is on the screen.
_MARK = {"type": "console-mark"}

_HELP = """\
/actions                      what can be called
/call service:action a=1 …    call an action
/config                       the options and their values
/set service.option=value …   change options
/quit                         leave (so do Ctrl-D, and Ctrl-C when the bot is silent)"""


def run(chosen: Namespace) -> int:
    """Hold the conversation. The exit code is 0 when it was left, 1 when it failed, 130 after Ctrl-C."""
    if chosen.traceback:
        logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
        logging.getLogger("rtvi_plugins").setLevel(logging.DEBUG)
    host = Host(load(chosen.bot), dev=True, limits=_LIMITS)
    services = read_services(chosen.services)
    body = {"services": services, "config": read_config(chosen.config, _types(host, services))}
    return anyio.run(_hold, host, body, _Screen(sys.stdout, sys.stdin.isatty()), chosen.timeout)


def _types(host: Host, services: Mapping[str, str]) -> dict[str, str]:
    """The RTVI types of options by `service.option`, as far as the providers exist; the start tells if they do not."""
    types: dict[str, str] = {}
    for name, service in host.registry.services.items():
        provider = service.providers.get(services.get(name, service.default))
        options = provider.options.items() if provider is not None else ()
        types |= {f"{name}.{option}": parameter.shape.word for option, (parameter, _) in options}
    return types


async def _hold(host: Host, body: Mapping[str, Any], screen: _Screen, timeout: float) -> int:
    async with host:
        started = await host.start(body)
        connection = host.claim(started.token)
        async with open_client(ConnectionStream(connection)) as client:
            if screen.interactive:
                screen.line(f"{host.registry.bot.name}: {host.registry.bot.doc or 'say something'}  (/help tells more)")
            return await _Console(connection, client, screen, timeout).hold()


# ---- the screen ----------------------------------------------------------------------------------------------------


@define
class _Screen:
    """What is written, in whole lines and pieces of lines."""

    out: TextIO
    interactive: bool
    _at_start: bool = True

    def text(self, piece: str) -> None:
        """Go on in this line."""
        if piece:
            self._at_start = piece.endswith("\n")
            self.out.write(piece)
            self.out.flush()

    def line(self, text: str) -> None:
        """A line of its own."""
        self.end_line()
        self.text(f"{text}\n")

    def end_line(self) -> None:
        if not self._at_start:
            self.text("\n")

    def prompt(self) -> None:
        if self.interactive:
            self.end_line()
            self.text("> ")

    def entered(self) -> None:
        """The user has ended the line."""
        self._at_start = self._at_start or self.interactive


# ---- the conversation ----------------------------------------------------------------------------------------------


@define(eq=False)
class _Console:
    connection: Connection
    client: Client
    screen: _Screen
    timeout: float
    _code: int = OK
    _answering: bool = False
    _patience: anyio.CancelScope = field(factory=anyio.CancelScope)
    _shown: anyio.Event = field(factory=anyio.Event)

    async def hold(self) -> int:
        """Take lines until there are no more, or the session ends; returns the exit code."""
        self.client.carry_out_others(self._decline)
        async with typed_lines() as lines, anyio.create_task_group() as tasks:

            def leave(code: int) -> None:
                self._code = code
                tasks.cancel_scope.cancel()

            tasks.start_soon(self._show_events, leave)
            tasks.start_soon(self._heed_interrupts, leave)
            await self._take_lines(lines)
            leave(self._code)
        self.screen.end_line()
        return self._code

    async def _heed_interrupts(self, leave: Callable[[int], None]) -> None:
        if sys.platform == "win32":  # there is no such receiver; Ctrl-C ends the process
            return
        with anyio.open_signal_receiver(signal.SIGINT) as signals:
            async for _ in signals:
                if not self.connection.interrupt():
                    return leave(INTERRUPTED)

    async def _take_lines(self, lines: AsyncIterator[str]) -> None:
        await self._settle()
        self.screen.prompt()
        async for line in lines:
            self.screen.entered()
            if not await self._take(line.strip()):
                return
            await self._settle()
            self.screen.prompt()

    async def _take(self, line: str) -> bool:
        """Do what a line says; False when it says goodbye."""
        if line == "/quit":
            return False
        try:
            if line.startswith("/"):
                await self._command(*_words(line))
            elif line:
                await self.client.send_text(line)
        except (RequestError, UsageError) as error:
            self.screen.line(f"! {error}")
        return True

    async def _command(self, word: str, *words: str) -> None:
        if word not in _COMMANDS:
            raise UsageError(f"There is no {word!r}; /help tells what there is.")
        await _COMMANDS[word](self, *words)

    # ---- waiting for the bot ---------------------------------------------------------------------------------------

    async def _settle(self) -> None:
        """Wait until the bot has said all that it has to say, and until that is on the screen."""
        self._patience = anyio.CancelScope(deadline=anyio.current_time() + self.timeout)
        with self._patience:
            while _is_busy(self.connection):
                await anyio.sleep(_GLANCE)  # noqa: ASYNC110 - nothing tells of a turn's end
        if self._patience.cancelled_caught:
            self.screen.line(f"! The bot has been silent for {self.timeout:g} s.")
            self._code = FAILED
        self._shown = anyio.Event()
        self.connection.send(_MARK)
        await self._shown.wait()

    # ---- what the bot tells ----------------------------------------------------------------------------------------

    async def _show_events(self, leave: Callable[[int], None]) -> None:
        async for event in self.client.events():
            self._patience.deadline = anyio.current_time() + self.timeout
            if event.type in _SHOWN:
                _SHOWN[event.type](self, event.data or {})
        ended_well = self.connection.close_code == 1000
        if ended_well:  # or else an error has told
            self.screen.line(f"The session has ended: {self.connection.close_reason or 'goodbye'}.")
        leave(OK if ended_well else FAILED)

    def _show_started(self, data: Any) -> None:
        self._answering = True

    def _show_text(self, data: Any) -> None:
        self.screen.text(data["text"])

    def _show_stopped(self, data: Any) -> None:
        self._answering = False
        self.screen.end_line()

    def _show_output(self, data: Any) -> None:
        if not self._answering:  # the LLM's own words have been shown as they came
            self.screen.line(data["text"])

    def _show_interrupted(self, data: Any) -> None:
        self.screen.line("(interrupted)")

    def _show_error(self, data: Any) -> None:
        self.screen.line(f"! {data.get('message') or data.get('error')}")

    def _show_call(self, data: Any) -> None:
        given = ", ".join(f"{name}={_json(value)}" for name, value in data["arguments"].items())
        self.screen.line(f"(the bot calls {data['function_name']}({given}), which no client is here to carry out)")

    def _show_message(self, data: Any) -> None:
        if data == _MARK:
            self._shown.set()
        else:
            self.screen.line(_json(data))

    async def _decline(self, name: str, arguments: Mapping[str, Any]) -> Any:
        return {"error": f"{name} was not carried out: this client is a console and has no functions."}

    # ---- commands --------------------------------------------------------------------------------------------------

    async def _help(self) -> None:
        self.screen.line(_HELP)

    async def _actions(self) -> None:
        self.screen.line(actions_text(await self.client.describe_actions()))

    async def _config(self) -> None:
        values = (await self.client.get_config()).values
        for service, options in values.items():
            for name, value in options.items():
                self.screen.line(f"{service}.{name} = {_json(value)}")

    async def _set(self, *words: str) -> None:
        if not words:
            raise UsageError("Write /set service.option=value, as in /set llm.model=x.")
        described = await self.client.describe_config()
        types = {f"{each['name']}.{option['name']}": option["type"] for each in described for option in each["options"]}
        changed = read_config(words, types)
        state = await self.client.update_config(changed)
        when = " from the next turn on" if state.applies == "next-turn" else ""
        for service, options in changed.items():
            for name in options:
                self.screen.line(f"{service}.{name} = {_json(state.values[service].get(name))}{when}")

    async def _call(self, action: str = "", *words: str) -> None:
        if ":" not in action:
            raise UsageError("Write /call service:action name=value, as in /call tts:say text=hi.")
        described = await self.client.describe_actions()
        types = {
            each["name"]: each["type"]
            for one in described
            if f"{one['service']}:{one['action']}" == action
            for each in one["arguments"]
        }
        self.screen.line(_json(await self.client.action(action, read_arguments(words, types))))


def _is_busy(connection: Connection) -> bool:
    """Whether the bot is saying something, or has been told something that it will take up."""
    dialogue = connection._dialogue  # pyright: ignore[reportPrivateUsage]
    waits = dialogue.listens and bool(dialogue._inputs)  # pyright: ignore[reportPrivateUsage]
    return not connection.closed and (waits or dialogue.current is not None)


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:
        raise UsageError(f"The line cannot be read: {error}.") from None


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


_Show: TypeAlias = "Callable[[_Console, Any], None]"

_SHOWN: Mapping[str, _Show] = {
    "bot-llm-started": _Console._show_started,
    "bot-llm-text": _Console._show_text,
    "bot-llm-stopped": _Console._show_stopped,
    "bot-output": _Console._show_output,
    "bot-interrupted": _Console._show_interrupted,
    "error": _Console._show_error,
    "error-response": _Console._show_error,
    "llm-function-call-in-progress": _Console._show_call,
    "server-message": _Console._show_message,
}

_COMMANDS: Mapping[str, Callable[..., Awaitable[None]]] = {
    "/help": _Console._help,
    "/actions": _Console._actions,
    "/config": _Console._config,
    "/set": _Console._set,
    "/call": _Console._call,
}
