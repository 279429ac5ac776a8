"""The key store of a user: a file with API keys, which `rtvi keys` changes and every host reads.

A key is stored under the name of its environment variable, such as `ACME_API_KEY`. The variable wins over the file. The
file is `rtvi/keys.json` in the user's folder for settings: `$XDG_CONFIG_HOME`, or `~/.config`, or `%APPDATA%` on
Windows. Only its owner may read it (mode 0600).
"""

from __future__ import annotations

import json
import os
import re
import stat
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from ..errors import PluginError
from ..session import Secret

__all__ = ("KeyStore", "is_variable")

_VARIABLE: Final = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")


def is_variable(name: str) -> bool:
    """Return whether a key can be stored under a name: capital letters, digits and underscores."""
    return _VARIABLE.fullmatch(name) is not None


class KeyStore:
    """The keys in the file of an environment's user. Without a home folder in it, there are no keys.

    Every method raises `PluginError` if the file cannot be used, for example because other users may read it.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.path = _path(environ)

    def get(self, variable: str) -> Secret | None:
        """Return the key of a variable, or None."""
        value = self._read().get(variable)
        return Secret(value) if value else None

    def names(self) -> list[str]:
        """Return the variables whose keys are stored, sorted."""
        return sorted(self._read())

    def set(self, variable: str, key: Secret) -> None:
        """Store a key, in place of the one that is there."""
        self._write({**self._read(), variable: key.reveal()})

    def remove(self, variable: str) -> bool:
        """Remove a key. Return whether there was one."""
        keys = self._read()
        if variable not in keys:
            return False
        self._write({name: value for name, value in keys.items() if name != variable})
        return True

    def _read(self) -> dict[str, str]:
        if self.path is None:
            return {}
        try:
            with self.path.open(encoding="utf-8") as file:
                _check_mode(self.path, os.fstat(file.fileno()))
                text = file.read()
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as error:
            raise PluginError(f"The key store {self.path} cannot be read: {type(error).__name__}.") from None
        # The text of an error of `json` can hold a part of a key.
        with suppress(ValueError):
            keys = json.loads(text)
            if isinstance(keys, dict) and all(isinstance(each, str) for each in keys.values()):  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
                return keys  # pyright: ignore[reportUnknownVariableType]
        raise PluginError(f"The key store {self.path} is no JSON object of strings. Remove it, and set the keys again.")

    def _write(self, keys: Mapping[str, str]) -> None:
        if self.path is None:
            raise PluginError("There is no home folder for the key store. Set the variable HOME or XDG_CONFIG_HOME.")
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # A new file takes the place of the old one at once: nobody reads half of it. Its mode is 0600.
            descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=".keys-")
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    json.dump(keys, file, indent=2, sort_keys=True)
                Path(name).replace(self.path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise PluginError(f"The key store {self.path} cannot be written: {type(error).__name__}.") from None


def _path(environ: Mapping[str, str]) -> Path | None:
    folder = environ.get("XDG_CONFIG_HOME") or (environ.get("APPDATA") if os.name == "nt" else None)
    if folder is None and (home := environ.get("HOME") or environ.get("USERPROFILE")):
        folder = str(Path(home) / ".config")
    return Path(folder) / "rtvi" / "keys.json" if folder else None


def _check_mode(path: Path, found: os.stat_result) -> None:
    if os.name == "posix" and stat.S_IMODE(found.st_mode) & 0o077:
        raise PluginError(f"Other users may read the key store {path}. Run: chmod 600 {path}")
