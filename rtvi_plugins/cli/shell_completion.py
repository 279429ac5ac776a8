"""`rtvi completion SHELL`: print a script that lets bash, zsh or fish complete the commands of `rtvi`.

The script is made from the parsers of the commands.
"""

from __future__ import annotations

import shlex
import sys
from argparse import Action, ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Final, TypeAlias

__all__ = ("run",)


#: A command: its name, what it does, and its parser if it is known.
_Command: TypeAlias = "tuple[str, str, ArgumentParser | None]"


def run(chosen: Namespace) -> int:
    """Print the script."""
    commands: Sequence[_Command] = chosen.commands
    sys.stdout.write(_fish(commands) if chosen.shell == "fish" else _bash(commands, zsh=chosen.shell == "zsh"))
    return 0


def _arguments(parser: ArgumentParser | None) -> list[Action]:
    # argparse has no public way to list them
    return [] if parser is None else parser._actions  # pyright: ignore[reportPrivateUsage]


def _options(parser: ArgumentParser | None) -> list[Action]:
    return [each for each in _arguments(parser) if each.option_strings]


def _words(parser: ArgumentParser | None) -> str:
    """Return the words that an argument may be, if it is not a file."""
    return " ".join(str(word) for each in _arguments(parser) if not each.option_strings for word in each.choices or ())


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
        commands=" ".join([*(name for name, _, _ in commands), "--help", "--version", "--traceback"]),
        cases="\n".join(_case(name, parser) for name, _, parser in commands),
    )


def _case(command: str, parser: ArgumentParser | None) -> str:
    options = _options(parser)
    listed = {"|".join(each.option_strings): " ".join(map(str, each.choices)) for each in options if each.choices}
    if words := _words(parser):
        listed[command] = words
    lines = [f'                {names}) choices="{choices}" ;;' for names, choices in listed.items()]
    names = " ".join(name for each in options for name in each.option_strings)
    return _CASE.format(name=command, options=names, choices="\n".join(lines) or "                *) ;;")


# ---- fish ----------------------------------------------------------------------------------------------------------


def _fish(commands: Sequence[_Command]) -> str:
    lines = ["# Completion of rtvi for fish. Save it as ~/.config/fish/completions/rtvi.fish"]
    for command, sentence, parser in commands:
        lines.append(f"complete -c rtvi -n __fish_use_subcommand -f -a {command} -d {_quoted(sentence)}")
        inside = f"complete -c rtvi -n '__fish_seen_subcommand_from {command}'"
        if words := _words(parser):
            lines.append(f"{inside} -f -a {_quoted(words)}")
        lines += [f"{inside} {_fish_option(each)}" for each in _options(parser)]
    return "".join(f"{line}\n" for line in lines)


def _fish_option(option: Action) -> str:
    names = " ".join(f"-l {each[2:]}" if each.startswith("--") else f"-s {each[1:]}" for each in option.option_strings)
    takes_value = option.nargs != 0
    choices = " ".join(map(str, option.choices or ()))
    value = f" -x -a {_quoted(choices)}" if choices else " -r" * takes_value
    return f"{names}{value} -d {_quoted(_first_part(option.help))}"


def _first_part(help: str | None) -> str:
    return (help or "").replace("%(default)s", "").replace("%(default)g", "").partition(" (")[0].partition(";")[0]


def _quoted(text: str) -> str:
    return shlex.quote(" ".join(text.replace("'", "’").split()))
