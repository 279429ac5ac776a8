"""`rtvi keys`: store API keys for your user alone. A key is never an argument and never printed."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from getpass import getpass

from ..errors import PluginError
from ..registry.key_store import KeyStore, is_variable
from ..session import Secret
from .failures import OK, Failure, UsageError

__all__ = ("run",)


def run(chosen: Namespace) -> int:
    """Set, list or remove keys."""
    try:
        return _run(KeyStore(os.environ), chosen.what, chosen.variable, in_file=chosen.file)
    except PluginError as error:
        raise Failure(str(error)) from None


def _run(store: KeyStore, what: str, variable: str | None, *, in_file: bool) -> int:
    if in_file and what != "set":
        raise UsageError("--file says where `rtvi keys set` stores a key. The other commands have no such option.")
    if what == "list":
        if variable is not None:
            raise UsageError("`rtvi keys list` has no argument.")
        sys.stdout.write("".join(f"{name}\n" for name in store.names()))
        return OK
    if variable is None or not is_variable(variable):  # it may be the key itself, so it is not repeated
        raise UsageError(
            f"Name the environment variable of the key: rtvi keys {what} ACME_API_KEY. "
            "The key itself is read from the terminal or from standard input: other users can read a command line."
        )
    if what == "set":
        place = store.set(variable, _read_key(variable), in_file=in_file)
        sys.stdout.write(f"{variable} is stored in {place}.\n")
        if os.environ.get(variable):
            sys.stderr.write(f"rtvi: the environment has {variable} too, and is used first.\n")
    elif not store.remove(variable):
        raise Failure(f"No key {variable} is stored. What is stored: rtvi keys list")
    return OK


def _read_key(variable: str) -> Secret:
    piped = not sys.stdin.isatty()
    try:
        key = sys.stdin.read().strip() if piped else getpass(f"{variable}: ").strip()
    except EOFError:
        key = ""
    if not key or not key.isprintable():
        raise UsageError(f"The key {variable} is empty, or not one line. Nothing is stored.")
    return Secret(key)
