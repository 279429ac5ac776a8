"""The command `rtvi`: what is installed, what a bot offers, a typed conversation, and the commands of plugins.

Nothing is imported before it is needed: not a plugin for `--help`, and not the core for a mistake of typing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any

from . import __version__
from .cli import USAGE, UsageError, guarded, read_seconds, show_traces, told
from .errors import PluginError
from .utils.diagnostics import nearest
from .utils.install_hint import install_hint

__all__ = ("main",)

#: Commands that our own plugins bring: who brings each, and what it does.
_BROUGHT = {
    "run": ("rtvi-plugins-server", "serve a bot over HTTP and WebSocket"),
    "call": ("rtvi-plugins-client", "call an action of a bot that is being served"),
}

_EXIT_CODES = """\
exit codes:
  0    all went well
  1    the request failed, or something is broken
  2    the command line, the bot or the installation has a mistake
  130  ended by Ctrl-C before it was done; `rtvi run`, which is ended so, returns 0
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line (by default the process's own) and return its exit code. Errors are told on stderr."""
    words = list(sys.argv[1:] if argv is None else argv)
    traceback = "--traceback" in words
    return guarded(partial(_run, [word for word in words if word != "--traceback"], traceback), traceback=traceback)


def _run(words: list[str], traceback: bool) -> int:
    if words and not words[0].startswith("-") and words[0] not in _OWN:
        run_brought = _command(words[0])
        if traceback:
            show_traces()
        return run_brought(words[1:])
    parser = _parser(listing=words[:1] in ([], ["-h"], ["--help"]))
    chosen = parser.parse_args(words)
    if chosen.command is None:
        parser.print_help(sys.stderr)
        return USAGE
    chosen.traceback = traceback
    run: Callable[[argparse.Namespace], int] = import_module(_OWN[chosen.command][0], __package__).run
    return run(chosen)


# ---- our own commands ----------------------------------------------------------------------------------------------


def _parser(*, listing: bool) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rtvi",
        description="Bots that speak RTVI, and the plugins that they are made of.",
        epilog=f"{_others() if listing else ''}{_EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"rtvi_plugins {__version__}")
    parser.add_argument("--traceback", action="store_true", help="show where an error came from, to its last line")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, (_, sentence, add) in _OWN.items():
        add(commands.add_parser(name, help=sentence, description=f"{sentence[0].upper()}{sentence[1:]}."))
    return parser


def _add_plugins(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--load", action="store_true", help="import each, and tell which work")
    parser.add_argument("--json", action="store_true", help="for programs")


def _add_describe(parser: argparse.ArgumentParser) -> None:
    _add_bot(parser)
    parser.add_argument("--dev", action="store_true", help="what `rtvi run --dev` offers, not what the bot grants")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="the descriptions that clients are sent")
    form.add_argument("--schema", action="store_true", help="one JSON Schema, with $defs by action and by service")


def _add_console(parser: argparse.ArgumentParser) -> None:
    _add_bot(parser)
    parser.add_argument(
        "--config", metavar="SERVICE.OPTION=VALUE", action="append", default=[], help="set an option; may be repeated"
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=read_seconds,
        default=60.0,
        help="how long the bot may be silent (%(default)g)",
    )


def _add_bot(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bot", metavar="BOT", help="bot.py, bot.py:name or package.module:name")
    parser.add_argument(
        "--services",
        metavar="SERVICE=PROVIDER",
        action="append",
        default=[],
        help="fill a service with another provider that the bot names; may be repeated",
    )


_OWN: dict[str, tuple[str, str, Callable[[argparse.ArgumentParser], None]]] = {
    "plugins": (".cli.plugins", "list the plugins that are installed", _add_plugins),
    "describe": (".cli.describe", "tell what a bot offers its clients", _add_describe),
    "console": (".cli.console", "hold a typed conversation with a bot", _add_console),
}


# ---- the commands of plugins ---------------------------------------------------------------------------------------


def _command(word: str) -> Callable[[list[str]], int]:
    """The function behind a plugin's command."""
    from .registry.installed import commands

    found = commands()
    if word not in found:
        raise UsageError(_missing(word, [*_OWN, *found]))
    module, _, function = found[word].partition(":")
    try:
        loaded: Any = getattr(import_module(module), function)
    except (Exception, SystemExit) as error:
        raise PluginError(f"The command {word!r} cannot be used: {told(error)}") from error
    run: Callable[[list[str]], int] = loaded
    return run


def _missing(word: str, known: list[str]) -> str:
    if word in _BROUGHT:
        brought = _BROUGHT[word][0]
        return f"'rtvi {word}' comes with {brought}, which is not installed; {install_hint(brought)}"
    near = nearest(word, [*known, *_BROUGHT])
    hint = f"Did you mean {near!r}?" if near else f"There is {', '.join(known)}."
    return f"There is no command {word!r}. {hint}"


def _others() -> str:
    from .registry.installed import commands

    found = commands()
    installed = [f"  {word:<20}  {_BROUGHT.get(word, ('', found[word]))[1]}" for word in sorted(found)]
    missing = [
        f"  {word:<20}  {says} ({install_hint(who)})" for word, (who, says) in _BROUGHT.items() if word not in found
    ]
    return "\n".join(["commands of plugins:", *installed, *missing, "\n"])


if __name__ == "__main__":
    sys.exit(main())
