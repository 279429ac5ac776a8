"""The parsers of the commands of `rtvi`: their arguments, examples and help."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from typing import Any

from .command_line import CommandParser, examples, read_seconds

__all__ = ("OWN", "make_parser", "own_parsers")

#: Examples for the help of each command.
_EXAMPLES = {
    "": ["rtvi run bot.py --dev", "rtvi console bot.py", "rtvi describe bot.py", "rtvi plugins"],
    "plugins": ["rtvi plugins", "rtvi plugins --load", "rtvi plugins --available"],
    "new": ["rtvi new provider llm acme --author 'Ada King'", "rtvi new actions acme", "rtvi new bot pizzeria"],
    "describe": ["rtvi describe bot.py", "rtvi describe bot.py --dev --json", "rtvi describe llm.openai"],
    "console": [
        "rtvi console bot.py",
        "rtvi console bot.py --services llm=openai --config llm.temperature=0.2",
        "rtvi console bot.py --service-option llm.openai.base_url=http://127.0.0.1:8000/v1",
        "rtvi console bot.py --voice",
        "echo 'Who are you?' | rtvi console bot.py",
    ],
    "doctor": ["rtvi doctor", "rtvi doctor bot.py", "rtvi doctor bot.py --json"],
    "check": [
        "rtvi check rtvi-plugins-acme",
        "rtvi check rtvi-plugins-acme --level gold --provider llm.acme",
        "rtvi check rtvi-plugins-acme --checks tests/conformance.py --json",
        "rtvi check rtvi-plugins-acme --oldest --find-links dist",
    ],
    "keys": ["rtvi keys set OPENAI_API_KEY", "rtvi keys set OPENAI_API_KEY < key.txt", "rtvi keys list"],
    "sessions": [
        "rtvi sessions list",
        "rtvi sessions show 5TqLx1bC0v3kY7aZ --store calls.db",
        "rtvi sessions export --where user=ada > ada.jsonl",
        "rtvi sessions delete --where user=ada --store redis://10.0.0.5/0",
    ],
    "schema": ["rtvi schema rtvi-plugins-acme > api.json", "rtvi schema diff api.json new.json"],
    "completion": ['eval "$(rtvi completion bash)"', "rtvi completion fish > ~/.config/fish/completions/rtvi.fish"],
}

_EXIT_CODES = """\
exit codes:
  0    success
  1    the request failed, or a plugin is broken
  2    the command line, the bot or the installation has a mistake
  130  stopped by Ctrl-C (`rtvi run` returns 0, because that is how it is stopped)
"""


def make_parser(version: str, others: str = "") -> argparse.ArgumentParser:
    """Return the parser of `rtvi`. `others` describes the commands of plugins in its help."""
    parser = CommandParser(
        prog="rtvi",
        description="Run and inspect bots that speak RTVI, and their plugins.",
        epilog=f"{examples(*_EXAMPLES[''])}\n{others}{_EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"rtvi_plugins {version}")
    parser.add_argument("--traceback", action="store_true", help="show the whole traceback of an error")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, (_, sentence, add) in OWN.items():
        add(commands.add_parser(name, help=sentence, **_texts(name, sentence)))
    return parser


def _texts(name: str, sentence: str) -> dict[str, Any]:
    return {
        "description": f"{sentence[0].upper()}{sentence[1:]}.",
        "epilog": examples(*_EXAMPLES[name]),
        "formatter_class": argparse.RawDescriptionHelpFormatter,
    }


def own_parsers() -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    """Yield the name of each command, what it does, and its parser."""
    for name, (_, sentence, add) in OWN.items():
        parser = CommandParser(prog=f"rtvi {name}", **_texts(name, sentence))
        add(parser)
        yield name, sentence, parser


def _add_plugins(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--load", action="store_true", help="import each plugin, and say which work")
    which.add_argument(
        "--available", action="store_true", help="list all available plugins, with the commands that install them"
    )
    _add_json(parser)


def _add_describe(parser: argparse.ArgumentParser) -> None:
    _add_bot(parser, ", or the name of a plugin: llm.openai")
    parser.add_argument("--dev", action="store_true", help="show what `rtvi run --dev` offers, not the bot's grants")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the descriptions that clients receive")
    form.add_argument("--schema", action="store_true", help="print a JSON Schema, with $defs by action and by service")


def _add_console(parser: argparse.ArgumentParser) -> None:
    _add_bot(parser)
    parser.add_argument("--voice", action="store_true", help="talk with the microphone and the speaker of this machine")
    _add_repeated(parser, "--config", "SERVICE.OPTION=VALUE", "set an option; may be repeated")
    what = "set a service option, as in llm.base_url=http://127.0.0.1:8000/v1; may be repeated"
    _add_repeated(parser, "--service-option", "SERVICE.OPTION=VALUE", what)
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=read_seconds,
        default=60.0,
        help="how long the bot may be silent (%(default)g)",
    )


def _add_doctor(parser: argparse.ArgumentParser) -> None:
    _add_bot(parser, services=False, nargs="?")
    _add_json(parser)


def _add_check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("package", metavar="PACKAGE", help="an installed distribution: rtvi-plugins-acme")
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="also list the rules that are kept, not only their number"
    )
    parser.add_argument("--provider", metavar="KIND.NAME", help="check this provider only: llm.acme")
    parser.add_argument(
        "--level", choices=("bronze", "silver", "gold"), default="silver", help="the level to reach (%(default)s)"
    )
    parser.add_argument(
        "--checks", metavar="FILE", help="the fakes of the vendors (tests/conformance.py, if there is one)"
    )
    parser.add_argument(
        "--oldest", action="store_true", help="also check with the oldest core that the package claims; needs pip"
    )
    _add_repeated(parser, "--find-links", "DIR", "a folder of wheels for --oldest, such as those of older cores")
    _add_json(parser)


def _add_keys(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", metavar="WHAT", choices=("set", "list", "remove"), help="set, list or remove")
    parser.add_argument("variable", metavar="VARIABLE", nargs="?", help="the environment variable, as in ACME_API_KEY")
    parser.add_argument("--file", action="store_true", help="store the key in a file, not in the system keyring")


def _add_sessions(parser: argparse.ArgumentParser) -> None:
    commands = ("list", "show", "export", "delete")
    parser.add_argument("what", metavar="WHAT", choices=commands, help="list, show, export (as JSON Lines) or delete")
    parser.add_argument(
        "ids", metavar="ID", nargs="*", help="the ids of sessions; without any, list and export take all"
    )
    parser.add_argument(
        "--store",
        metavar="FILE|URL",
        default=os.environ.get("RTVI_STORE", "").strip() or "sessions.db",
        help="the store of `rtvi run --resume` (RTVI_STORE, or sessions.db)",
    )
    what = "only sessions whose start request has this field of the application, as in user=ada; may be repeated"
    _add_repeated(parser, "--where", "NAME=VALUE", what)
    parser.add_argument("--live", action="store_true", help="delete live sessions too; they end")
    parser.add_argument("--json", action="store_true", help="list as JSON")


def _add_new(parser: argparse.ArgumentParser) -> None:
    form = "provider llm|tts|stt... NAME | actions NAME | bot NAME"
    parser.usage = f"rtvi new [-h] [--author NAME] {form}"
    parser.add_argument("words", metavar="WHAT", nargs="*", help=form)
    parser.add_argument("--author", metavar="NAME", help="the author, for the licence and pyproject.toml")


def _add_schema(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "words", metavar="DISTRIBUTION | diff OLD NEW", nargs="+", help="an installed one, or two files"
    )
    parser.add_argument("--json", action="store_true", help="print the differences as JSON")


def _add_completion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", metavar="SHELL", choices=("bash", "zsh", "fish"), help="bash, zsh or fish")


def _add_bot(
    parser: argparse.ArgumentParser, or_more: str = "", *, services: bool = True, nargs: str | None = None
) -> None:
    help = f"bot.py, bot.py:name, package.module:name or bot.toml{or_more}"
    parser.add_argument("bot", metavar="BOT", nargs=nargs, help=help)
    parser.add_argument("--env", metavar="NAME", help="the environment of a bot file (the variable RTVI_ENV)")
    if services:
        what = "use another provider that the bot names; may be repeated"
        _add_repeated(parser, "--services", "SERVICE=PROVIDER", what)


def _add_repeated(parser: argparse.ArgumentParser, option: str, metavar: str, help: str) -> None:
    parser.add_argument(option, metavar=metavar, action="append", default=[], help=help)


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


#: The commands of the core: the module of each, what it does, and what adds its arguments to a parser.
OWN: dict[str, tuple[str, str, Callable[[argparse.ArgumentParser], None]]] = {
    "plugins": ("plugins", "list the installed plugins", _add_plugins),
    "describe": ("describe", "show what a bot or a plugin offers", _add_describe),
    "console": ("console", "talk to a bot by text, or with the microphone", _add_console),
    "doctor": ("doctor", "find what is wrong with an installation or a bot, and how to fix it", _add_doctor),
    "check": ("check", "check the providers of a package against the rules, without a key", _add_check),
    "keys": ("keys", "store API keys, in the system keyring or in a file that only you can read", _add_keys),
    "sessions": ("sessions", "show, export and delete saved sessions", _add_sessions),
    "new": ("new", "make the folder of a provider, of actions or of a bot, with tests", _add_new),
    "schema": ("schema", "write the API of a distribution as JSON, or compare two of them", _add_schema),
    "completion": ("shell_completion", "print a script that completes commands in a shell", _add_completion),
}
