"""The key store of a user: API keys, which `rtvi keys` changes and every host reads.

A key is stored under the name of its environment variable, such as `ACME_API_KEY`. The variable wins over the store.
The file `rtvi/keys.json` lists the names. A key is in the system keyring, or in the file itself. The file is in the
user's folder for settings: `$XDG_CONFIG_HOME`, or `~/.config`, or `%APPDATA%` on Windows. Only its owner may read it
(mode 0600).
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
from .system_keyring import NoKeyring, SystemKeyring, find_keyring

__all__ = ("KeyStore", "is_variable")

_VARIABLE: Final = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")


def is_variable(name: str) -> bool:
    """Return whether a key can be stored under a name: capital letters, digits and underscores."""
    return _VARIABLE.fullmatch(name) is not None


class KeyStore:
    """The stored keys of an environment's user. Without a home folder in it, there are no keys.

    Every method raises `PluginError` if the store cannot be used, for example because other users may read the file.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.path = _path(environ)
        #: What was read from the keyring for this state of the file. A keyring may be slow.
        self._from_keyring: dict[str, Secret | None] = {}
        self._state: tuple[int, int] | None = None

    def get(self, variable: str) -> Secret | None:
        """Return the key of a variable, or None."""
        keys = self._read()
        if variable not in keys:
            return None
        value = keys[variable]
        if value is not None:
            return Secret(value)
        if variable not in self._from_keyring:
            self._from_keyring[variable] = _keyring_of(variable).get(variable)
        return self._from_keyring[variable]

    def names(self) -> list[str]:
        """Return the variables whose keys are stored, sorted."""
        return sorted(self._read())

    def check(self) -> None:
        """Raise `PluginError` if the file cannot be used, or if a key is in a keyring and there is none."""
        for variable, value in self._read().items():
            if value is None:
                _keyring_of(variable)

    def set(self, variable: str, key: Secret, *, in_file: bool = False) -> str:
        """Store a key, in place of the one that is there, and return where it is.

        It goes into the system keyring, if there is one. `in_file` stores it in the file nevertheless.
        """
        self._file()  # a key in the keyring whose name is nowhere would not be found
        keys = self._read()
        keyring = None if in_file else find_keyring()
        if keyring is None:
            self._write({**keys, variable: key.reveal()})
            if variable in keys and keys[variable] is None and (old := find_keyring()) is not None:
                with suppress(PluginError):  # a locked keyring; the key is not read from there any more
                    old.remove(variable)
            return str(self.path)
        keyring.set(variable, key)
        self._write({**keys, variable: None})
        return str(keyring)

    def remove(self, variable: str) -> bool:
        """Remove a key. Return whether there was one."""
        keys = self._read()
        if variable not in keys:
            return False
        if keys[variable] is None:
            _keyring_of(variable).remove(variable)
        self._write({name: value for name, value in keys.items() if name != variable})
        return True

    def _read(self) -> dict[str, str | None]:
        """Return the keys of the file by name. None: the key is in the keyring."""
        if self.path is None:
            return {}
        try:
            with self.path.open(encoding="utf-8") as file:
                found = os.fstat(file.fileno())
                _check_mode(self.path, found)
                text = file.read()
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as error:
            raise PluginError(f"The key store {self.path} cannot be read: {type(error).__name__}.") from None
        if self._state != (state := (found.st_ino, found.st_mtime_ns)):
            self._state, self._from_keyring = state, {}
        # The text of an error of `json` can hold a part of a key.
        with suppress(ValueError):
            keys = json.loads(text)
            if isinstance(keys, dict) and all(each is None or isinstance(each, str) for each in keys.values()):  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
                return keys  # pyright: ignore[reportUnknownVariableType]
        raise PluginError(
            f"The key store {self.path} is no JSON object of strings and nulls. Remove it, and set the keys again."
        )

    def _file(self) -> Path:
        if self.path is None:
            raise PluginError("There is no home folder for the key store. Set the variable HOME or XDG_CONFIG_HOME.")
        return self.path

    def _write(self, keys: Mapping[str, str | None]) -> None:
        path = self._file()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # A new file takes the place of the old one at once: nobody reads half of it. Its mode is 0600.
            descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".keys-")
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    json.dump(keys, file, indent=2, sort_keys=True)
                Path(name).replace(path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise PluginError(f"The key store {path} cannot be written: {type(error).__name__}.") from None


def _keyring_of(variable: str) -> SystemKeyring:
    """Return the keyring in which a key is."""
    keyring = find_keyring()
    if keyring is None:
        raise NoKeyring(
            f"{variable} is stored in the system keyring, which cannot be used here. Run: pip install keyring. "
            f"Or store the key in the file: rtvi keys set {variable} --file"
        )
    return keyring


def _path(environ: Mapping[str, str]) -> Path | None:
    folder = environ.get("XDG_CONFIG_HOME") or (environ.get("APPDATA") if os.name == "nt" else None)
    if folder is None and (home := environ.get("HOME") or environ.get("USERPROFILE")):
        folder = str(Path(home) / ".config")
    return Path(folder) / "rtvi" / "keys.json" if folder else None


def _check_mode(path: Path, found: os.stat_result) -> None:
    if os.name == "posix" and stat.S_IMODE(found.st_mode) & 0o077:
        raise PluginError(f"Other users may read the key store {path}. Run: chmod 600 {path}")
