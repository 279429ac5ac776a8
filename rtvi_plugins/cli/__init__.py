"""Shared parts of the `rtvi` commands: exit codes, errors as sentences, and values from the command line.

A plugin brings a command as an entry point of the group `rtvi_plugins.commands`: its name is the word after `rtvi`, its
value a `module:function` that takes the words after it and returns an exit code. If the function raises, `rtvi` prints
one sentence, and returns the exit code 2 for an `AuthorError` or `UsageError`, and 1 for any other exception. Raise a
`Failure` with a sentence of your own if a correct request cannot be answered.

If the module also has a function `parser` that returns the command's `argparse.ArgumentParser`, the script of
`rtvi completion` completes its options. Errors of a `CommandParser` also suggest the option that was meant.
"""

from __future__ import annotations

from .command_line import (
    CommandParser,
    check_url,
    examples,
    load,
    read_arguments,
    read_config,
    read_seconds,
    read_secret,
    read_services,
    read_value,
    secret_in,
    set_service_options,
)
from .failures import (
    FAILED,
    INTERRUPTED,
    OK,
    USAGE,
    Failure,
    UsageError,
    describe_error,
    guarded,
    log_to_stderr,
    requested,
    show_traces,
)

__all__ = (
    "FAILED",
    "INTERRUPTED",
    "OK",
    "USAGE",
    "CommandParser",
    "Failure",
    "UsageError",
    "check_url",
    "describe_error",
    "examples",
    "guarded",
    "load",
    "log_to_stderr",
    "read_arguments",
    "read_config",
    "read_seconds",
    "read_secret",
    "read_services",
    "read_value",
    "requested",
    "secret_in",
    "set_service_options",
    "show_traces",
)
