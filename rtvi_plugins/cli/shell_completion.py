"""`rtvi completion SHELL`: print a script that lets bash, zsh or fish complete the commands of `rtvi`.

The script is made from the parsers of the commands.
"""

from __future__ import annotations

import shlex
import sys
from argparse import Action, ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from typing import Final

from attrs import frozen

__all__ = ("run",)


def run(chosen: Namespace) -> int:
    """Print the script."""
    commands = [_command(*each) for each in chosen.commands]
    sys.stdout.write(_fish(commands) if chosen.shell == "fish" else _bash(commands, zsh=chosen.shell == "zsh"))
    return 0


@frozen
class _Option:
    names: Sequence[str]
    help: str
    takes_value: bool
    choices: Sequence[str] = ()


@frozen
class _Command:
    name: str
    sentence: str
    options: Sequence[_Option] = ()
    #: The words that an argument may be, if it is no file.
    words: Sequence[str] = ()


def _command(name: str, sentence: str, parser: ArgumentParser | None) -> _Command:
    if parser is None:
        return _Command(name, sentence)
    actions = parser._actions  # pyright: ignore[reportPrivateUsage]  # argparse has no public way to list them
    words = [str(each) for action in actions if not action.option_strings for each in action.choices or ()]
    return _Command(name, sentence, [_option(each) for each in actions if each.option_strings], words)


def _option(action: Action) -> _Option:
    choices = [str(each) for each in action.choices or ()]
    return _Option(action.option_strings, _first_part(action.help), action.nargs != 0, choices)


def _first_part(help: str | None) -> str:
    return (help or "").replace("%(default)s", "").replace("%(default)g", "").partition(" (")[0].partition(";")[0]


# ---- bash and zsh --------------------------------------------------------------------------------------------------

_BASH: Final = """\
# Completion of rtvi for {shell}. Write in {file}:  eval "$(rtvi completion {shell})"
{begin}_rtvi() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} options="" choices=""
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "{commands}" -- "$word"))
        return
    fi
    case ${{COMP_WORDS[1]}} in
{cases}
    esac
    if [ -n "$choices" ]; then
        COMPREPLY=($(compgen -W "$choices" -- "$word"))
    elif [ "${{word#-}}" != "$word" ]; then
        COMPREPLY=($(compgen -W "$options" -- "$word"))
    else
        COMPREPLY=($(compgen -f -- "$word"))
    fi
}}
complete -o filenames -F _rtvi rtvi
"""
_CASE: Final = """\
        {name})
            options="{options}"
            case $before in
{choices}
            esac ;;"""


def _bash(commands: Sequence[_Command], *, zsh: bool) -> str:
    return _BASH.format(
        shell="zsh" if zsh else "bash",
        file="~/.zshrc" if zsh else "~/.bashrc",
        begin="autoload -U +X bashcompinit && bashcompinit\n" if zsh else "",
        commands=" ".join([*(each.name for each in commands), "--help", "--version", "--traceback"]),
        cases="\n".join(_case(each) for each in commands),
    )


def _case(command: _Command) -> str:
    options = " ".join(name for each in command.options for name in each.names)
    listed: Mapping[str, Sequence[str]] = {
        "|".join(each.names): each.choices for each in command.options if each.choices
    } | ({command.name: command.words} if command.words else {})
    lines = [f'                {names}) choices="{" ".join(choices)}" ;;' for names, choices in listed.items()]
    return _CASE.format(name=command.name, options=options, choices="\n".join(lines) or "                *) ;;")


# ---- fish ----------------------------------------------------------------------------------------------------------


def _fish(commands: Sequence[_Command]) -> str:
    lines = ["# Completion of rtvi for fish. Save it as ~/.config/fish/completions/rtvi.fish"]
    for command in commands:
        quoted = _quoted(command.sentence)
        lines.append(f"complete -c rtvi -n __fish_use_subcommand -f -a {command.name} -d {quoted}")
        inside = f"complete -c rtvi -n '__fish_seen_subcommand_from {command.name}'"
        if command.words:
            lines.append(f"{inside} -f -a {_quoted(' '.join(command.words))}")
        lines += [f"{inside} {_fish_option(each)}" for each in command.options]
    return "".join(f"{line}\n" for line in lines)


def _fish_option(option: _Option) -> str:
    names = " ".join(f"-l {each[2:]}" if each.startswith("--") else f"-s {each[1:]}" for each in option.names)
    value = f" -x -a {_quoted(' '.join(option.choices))}" if option.choices else " -r" * option.takes_value
    return f"{names}{value} -d {_quoted(option.help)}"


def _quoted(text: str) -> str:
    return shlex.quote(" ".join(text.replace("'", "’").split()))
