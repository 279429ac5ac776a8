"""The command `rtvi`: list plugins, describe a bot, talk to it by text, and run the commands of plugins.

Modules are imported when they are needed: `--help` imports no plugin, and a typing mistake does not import the core.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import import_module
from typing import Any

from . import __version__
from .cli import USAGE, UsageError, describe_error, guarded, show_traces
from .cli.parsers import OWN, make_parser, own_parsers
from .errors import PluginError
from .utils.install_hint import install_hint
from .utils.names import nearest

__all__ = ("main",)

#: The commands of the project's own plugins: the distribution of each, and what it does.
_BROUGHT = {
    "run": ("rtvi-plugins-server", "serve a bot over HTTP and WebSocket"),
    "call": ("rtvi-plugins-client", "call an action of a bot that is being served"),
    "top": ("rtvi-plugins-monitor", "show the live sessions of a bot that is being served"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line (by default the process's own) and return its exit code. Errors are written to stderr."""
    words = list(sys.argv[1:] if argv is None else argv)
    traceback = "--traceback" in words
    return guarded(partial(_run, [word for word in words if word != "--traceback"], traceback), traceback=traceback)


def _run(words: list[str], traceback: bool) -> int:
    if words and not words[0].startswith("-") and words[0] not in OWN:
        run_brought = _command(words[0])
        if traceback:
            show_traces()
        return run_brought(words[1:])
    parser = make_parser(__version__, _others() if words[:1] in ([], ["-h"], ["--help"]) else "")
    chosen, unknown = parser.parse_known_args(words)
    if unknown:  # its own parser knows the options of a command
        parsers = {name: each for name, _, each in own_parsers()}
        parsers.get(chosen.command, parser).error(f"unrecognized arguments: {' '.join(unknown)}")
    if chosen.command is None:
        parser.print_help(sys.stderr)
        return USAGE
    chosen.traceback, chosen.version = traceback, __version__
    if chosen.command == "completion":
        chosen.commands = [*own_parsers(), *_brought_parsers()]
    run: Callable[[argparse.Namespace], int] = import_module(f".{OWN[chosen.command][0]}", "rtvi_plugins.cli").run
    return run(chosen)


# ---- the commands of plugins ---------------------------------------------------------------------------------------


def _command(word: str) -> Callable[[list[str]], int]:
    """Return the function of a plugin's command."""
    from .registry.distribution_metadata import commands

    found = commands()
    if word not in found:
        raise UsageError(_missing(word, [*OWN, *found]))
    module, _, function = found[word].partition(":")
    try:
        loaded: Any = getattr(import_module(module), function)
    except (Exception, SystemExit) as error:
        raise PluginError(f"The command {word!r} cannot be used: {describe_error(error)}") from error
    run: Callable[[list[str]], int] = loaded
    return run


def _brought_parsers() -> Iterator[tuple[str, str, argparse.ArgumentParser | None]]:
    """Yield the commands of plugins. The parser is that of the function `parser` beside the command's, if any."""
    from .registry.distribution_metadata import commands

    for name, value in sorted(commands().items()):
        try:
            make: Any = getattr(import_module(value.partition(":")[0]), "parser", None)
            parser = make() if make is not None else None
        except Exception:  # a broken plugin: `rtvi NAME` says why
            parser = None
        yield name, _help_of(name, value), parser if isinstance(parser, argparse.ArgumentParser) else None


def _help_of(word: str, entry_point: str) -> str:
    """Return what a command does, or where it is from: to read more, its module would have to be imported."""
    package = re.split("[.:]", entry_point)[0]
    return _BROUGHT[word][1] if word in _BROUGHT else f"from the package {package}"


def _missing(word: str, known: list[str]) -> str:
    if word in _BROUGHT:
        brought = _BROUGHT[word][0]
        return f"'rtvi {word}' comes with {brought}, which is not installed; {install_hint(brought)}"
    near = nearest(word, [*known, *_BROUGHT])
    hint = f"Did you mean {near!r}?" if near else f"The commands are {', '.join(known)}."
    return f"There is no command {word!r}. {hint}"


def _others() -> str:
    from .registry.distribution_metadata import commands

    found = commands()
    installed = [f"  {word:<20}  {_help_of(word, found[word])}" for word in sorted(found)]
    missing = [
        f"  {word:<20}  {says} ({install_hint(who)})" for word, (who, says) in _BROUGHT.items() if word not in found
    ]
    return "\n".join(["commands of plugins:", *installed, *missing, "\n"])


if __name__ == "__main__":
    sys.exit(main())
