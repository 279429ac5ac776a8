"""`rtvi console`: a typed conversation with a bot, in this process and this terminal.

Everybody who has the bot's file can change its grants, so all options and actions are granted. Each line is sent after
the bot has finished its answer to the line before, so a conversation can be piped in.
"""

from __future__ import annotations

import json
import re
import shlex
import signal
import sys
from argparse import Namespace
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import anyio
from attrs import define, field

from ..client import Client, open_client
from ..errors import RequestError, SessionClosed
from ..hosting import Connection, ConnectionStream, Host, Limits
from ..utils.log_text import show_texts
from .command_line import load, read_arguments, read_config, read_services, set_service_options
from .description_text import actions_text
from .failures import FAILED, INTERRUPTED, OK, UsageError, log_to_stderr, requested, show_traces
from .line_editor import Completions, action_name, line_editor
from .screen import Screen, has_colours, shown, typed_lines
from .sound import SPEAKER_RATE, Speaker, load_sound, microphone_and_speaker

__all__ = ("run",)

#: A session in the console may last for a week, and may be idle for as long. In seconds.
_LIMITS = Limits(session_seconds=7 * 86_400, idle_seconds=7 * 86_400)

#: A message that the session sends to the console: when it arrives, everything before it is on the screen.
_MARK = {"type": "console-mark"}

_HELP = """\
/actions                      what can be called
/call service:action a=1 …    call an action
/config                       the options and their values
/set service.option=value …   change options
/quit                         leave (so do Ctrl-D, and Ctrl-C when the bot is silent)"""


def run(chosen: Namespace) -> int:
    """Hold the conversation. The exit code is 0 when it was left, 1 when it failed, 130 after Ctrl-C.

    A conversation that is piped in fails if one of its lines fails, because nobody can correct it.
    """
    log_to_stderr("warning")
    if chosen.traceback:
        show_traces()
    token = show_texts.set(True)
    try:
        return _run(chosen)
    finally:
        show_texts.reset(token)


def _run(chosen: Namespace) -> int:
    sound = load_sound() if chosen.voice else None
    services = read_services(chosen.services)
    host = Host(load(chosen.bot, chosen.env), dev=True, limits=_LIMITS)
    set_service_options(host, chosen.service_option)
    body = {"services": services, "config": read_config(chosen.config, _types(host, services))}
    completions = Completions((*_COMMANDS, "/quit"))
    own = {each.name for each in host.registry.own_actions}
    screen = Screen(sys.stdout, sys.stdin.isatty(), own, has_colours(sys.stdout), line_editor(completions.of))
    code = anyio.run(_hold, host, body, screen, completions, chosen.timeout, sound)
    return FAILED if code == OK and screen.failed and not screen.interactive else code


def _types(host: Host, services: Mapping[str, str]) -> dict[str, str]:
    """Return the RTVI types of options by `service.option`. Unknown providers are left out; the start refuses them."""
    types: dict[str, str] = {}
    for name, service in host.registry.services.items():
        provider = service.providers.get(services.get(name, service.default))
        options = provider.options.items() if provider is not None else ()
        types |= {f"{name}.{option}": parameter.shape.rtvi_type for option, (parameter, _) in options}
    return types


async def _hold(
    host: Host, body: Mapping[str, Any], screen: Screen, completions: Completions, timeout: float, sound: Any
) -> int:
    async with host, AsyncExitStack() as stack:
        await host.check_keys()  # a start with a refused key says so
        with requested():
            started = await host.start(body)
        connection, speaker = host.claim(started.token), Speaker()
        if sound is not None:
            connection.open_audio(SPEAKER_RATE, on_interrupt=speaker.discard)
        client = await stack.enter_async_context(open_client(ConnectionStream(connection, speaker.play)))
        if screen.interactive:
            screen.note(f"{host.registry.bot.name}: {host.registry.bot.doc or 'say something'}  (/help lists commands)")
        if sound is not None:
            screen.note("Speak, or type. Use headphones: without them, the bot hears itself.")
            await stack.enter_async_context(microphone_and_speaker(sound, speaker, connection.receive_audio))
        return await _Console(connection, client, screen, completions, timeout).hold()


@define(eq=False)
class _Console:
    connection: Connection
    client: Client
    screen: Screen
    completions: Completions
    timeout: float
    _code: int = OK
    _patience: anyio.CancelScope = field(factory=anyio.CancelScope)
    _shown: anyio.Event = field(factory=anyio.Event)

    async def hold(self) -> int:
        """Read lines until the input or the session ends. Return the exit code."""
        self.client.register_other_functions(self._run_function)
        await self.describe()
        async with typed_lines(self.screen) as lines, anyio.create_task_group() as tasks:

            def leave(code: int) -> None:
                self._code = code
                tasks.cancel_scope.cancel()

            tasks.start_soon(self._show_events, leave)
            tasks.start_soon(self._heed_interrupts, leave)
            await self._take_lines(lines)
            leave(self._code)
        self.screen.end_line()
        return self._code

    async def describe(self) -> None:
        """Learn what can be completed. It depends on the providers."""
        if self.screen.editor is not None:
            self.completions.actions = await self.client.describe_actions()
            self.completions.options = await self.client.describe_config()

    async def _heed_interrupts(self, leave: Callable[[int], None]) -> None:
        if sys.platform == "win32":  # there is no such receiver; Ctrl-C ends the process
            return
        with anyio.open_signal_receiver(signal.SIGINT) as signals:
            async for _ in signals:
                if not self.connection.session.interrupt():
                    return leave(INTERRUPTED)

    async def _run_function(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Call the bot's action of this name, because a console has no functions of its own."""
        try:
            return await self.client.action(f"bot:{name}", arguments)
        except RequestError as error:
            return {"error": f"{name} was not run: {error}"}

    async def _show_events(self, leave: Callable[[int], None]) -> None:
        async for event in self.client.events():
            self._patience.deadline = anyio.current_time() + self.timeout
            if event.data == _MARK:
                self._shown.set()
            else:
                self.screen.show(event)
        ended_well = self.connection.close_code == 1000
        if ended_well:  # otherwise an error was shown
            self.screen.note(f"The session has ended: {(self.connection.close_reason or 'goodbye').removesuffix('.')}.")
        leave(OK if ended_well else FAILED)

    # ---- taking lines ----------------------------------------------------------------------------------------------

    async def _take_lines(self, lines: AsyncIterator[str]) -> None:
        await self._settle()
        self.screen.prompt()
        async for line in lines:
            self.screen.entered()
            if line.split()[:1] == ["/quit"]:
                return
            await self._take(line.strip())
            await self._settle()
            self.screen.prompt()

    async def _take(self, line: str) -> None:
        try:
            if line.startswith("/"):
                word, *words = _split(line)
                if word not in _COMMANDS:
                    raise UsageError(f"There is no command {word!r}. /help shows the commands.")
                await _COMMANDS[word](self, *words)
            elif line:
                await self.client.send_text(line)
        except SessionClosed:
            pass  # the session itself reports its end
        except (RequestError, UsageError) as error:
            self.screen.failure(str(error))

    async def _settle(self) -> None:
        """Wait until the bot has finished speaking, and everything is on the screen."""
        self._patience = anyio.CancelScope(deadline=anyio.current_time() + self.timeout)
        with self._patience:
            await self.connection.idle()
        if self._patience.cancelled_caught:
            self.screen.failure(f"The bot has been silent for {self.timeout:g} s.")
            self._code = FAILED
        self._shown = anyio.Event()
        self.connection.session.send(_MARK)
        await self._shown.wait()


#: The name of a value that is a JSON object or array, and a word as a shell reads it, also with quotes.
_JSON_NAME = re.compile(r"""[^\s="']+=(?=[{\[])""")
_WORD = re.compile(r"""(?:[^\s"'\\]|\\.|"(?:[^"\\]|\\.)*"|'[^']*')+(?=\s|$)""")


def _split(line: str) -> list[str]:
    """Split a line as a shell does, but leave JSON objects and arrays as they are: they need no quotes around them."""
    words: list[str] = []
    rest = line
    while rest := rest.lstrip():
        if end := _end_of_json(rest):
            words.append(rest[:end])
        else:
            word = _WORD.match(rest)
            end = word.end() if word is not None else len(rest)
            words += _shell_words(rest[:end])
        rest = rest[end:]
    return words


def _end_of_json(text: str) -> int:
    """Return where a `name={…}` or `name=[…]` at the beginning of a text ends, and 0 if there is none."""
    name = _JSON_NAME.match(text)
    if name is None:
        return 0
    try:
        _, end = json.JSONDecoder().raw_decode(text, name.end())
    except ValueError:
        return 0
    return end if text[end : end + 1].strip() == "" else 0


def _shell_words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UsageError(f"The line cannot be read: {error}.") from None


# ---- commands ------------------------------------------------------------------------------------------------------


async def _help(console: _Console, *words: str) -> None:
    console.screen.line(_HELP)


async def _actions(console: _Console, *words: str) -> None:
    console.screen.line(actions_text(await console.client.describe_actions()))


async def _config(console: _Console, *words: str) -> None:
    for service, options in (await console.client.get_config()).values.items():
        for name, value in options.items():
            console.screen.line(f"{service}.{name} = {shown(value)}")


async def _set(console: _Console, *words: str) -> None:
    if not words:
        raise UsageError("Write /set service.option=value, as in /set llm.model=x.")
    described = await console.client.describe_config()
    types = {f"{each['name']}.{option['name']}": option["type"] for each in described for option in each["options"]}
    changed = read_config(words, types)
    values = (await console.client.update_config(changed)).values
    for service, options in changed.items():
        for name in options:
            console.screen.line(f"{service}.{name} = {shown(values[service].get(name))}")
    await console.describe()


async def _call(console: _Console, action: str = "", *words: str) -> None:
    if ":" not in action:
        raise UsageError("Write /call service:action name=value, as in /call tts:say text=hi.")
    described = await console.client.describe_actions()
    arguments = next((each["arguments"] for each in described if action_name(each) == action), ())
    types = {argument["name"]: argument["type"] for argument in arguments}
    console.screen.line(shown(await console.client.action(action, read_arguments(words, types))))


_COMMANDS: Mapping[str, Callable[..., Awaitable[None]]] = {
    "/help": _help,
    "/actions": _actions,
    "/config": _config,
    "/set": _set,
    "/call": _call,
}
