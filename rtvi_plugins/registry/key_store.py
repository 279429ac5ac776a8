"""The key store of a user: API keys, which `rtvi keys` changes and every host reads.

A key is stored under the name of its environment variable, such as `ACME_API_KEY`. The variable wins over the store.
The file `rtvi/keys.json` lists the names. A key is in the keyring of the operating system (Keychain, Credential
Manager, Secret Service or KWallet), or in the file itself. The file is in the user's folder for settings:
`$XDG_CONFIG_HOME`, or `~/.config`, or `%APPDATA%` on Windows. Only its owner may read it (mode 0600).

The distribution `keyring` finds the keyring. It is optional (the extra `rtvi-plugins[keyring]`), and imported when it
is needed.
"""

from __future__ import annotations

import json
import os
import re
import stat
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeVar

from attrs import frozen

from ..errors import PluginError
from ..session import Secret

__all__ = ("KeyStore", "NoKeyring", "SystemKeyring", "find_keyring", "is_variable")

#: Keys are stored for this application.
_KEYRING_SERVICE: Final = "rtvi_plugins"

T = TypeVar("T")


class NoKeyring(PluginError):
    """A key is in the system keyring, and there is none, or `keyring` is not installed."""


@frozen
class SystemKeyring:
    """A keyring that can be used. Its methods raise `PluginError` if it refuses, for example because it is locked."""

    _backend: Any

    def __str__(self) -> str:
        return f"the system keyring ({self._backend.name})"

    def get(self, variable: str) -> Secret | None:
        """Return the key of a variable, or None."""
        value = self._use_keyring(lambda: self._backend.get_password(_KEYRING_SERVICE, variable))
        return Secret(value) if value else None

    def set(self, variable: str, key: Secret) -> None:
        """Store a key, in place of the one that is there."""
        self._use_keyring(lambda: self._backend.set_password(_KEYRING_SERVICE, variable, key.reveal()))

    def remove(self, variable: str) -> None:
        """Remove a key. One that was removed already is not an error."""

        def remove() -> None:
            with suppress(import_module("keyring.errors").PasswordDeleteError):
                self._backend.delete_password(_KEYRING_SERVICE, variable)

        self._use_keyring(remove)

    def _use_keyring(self, operation: Callable[[], T]) -> T:
        try:
            return operation()
        except Exception as error:  # of the backend or of its libraries. Its text can hold a key.
            raise PluginError(
                f"{self} cannot be used: {type(error).__name__}. Unlock it, or store the key in the file: "
                "rtvi keys set NAME --file"
            ) from None


def find_keyring() -> SystemKeyring | None:
    """Return the keyring of this system, or None if there is none or `keyring` is not installed."""
    try:
        backend = import_module("keyring").get_keyring()
    except ImportError:
        return None
    # The backends that mean "none" have 0 or less.
    return SystemKeyring(backend) if backend.priority > 0 else None


_VARIABLE_NAME: Final = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")


def is_variable(name: str) -> bool:
    """Return whether a key can be stored under a name: capital letters, digits and underscores."""
    return _VARIABLE_NAME.fullmatch(name) is not None


class KeyStore:
    """The stored keys of an environment's user. Without a home folder in it, there are no keys.

    Every method raises `PluginError` if the store cannot be used, for example because other users may read the file.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.path = _keys_path(environ)
        #: What was read from the keyring for this state of the file. A keyring may be slow.
        self._from_keyring: dict[str, Secret | None] = {}
        self._file_version: tuple[int, int] | None = None

    def get(self, variable: str) -> Secret | None:
        """Return the key of a variable, or None."""
        keys = self._read_keys()
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
        return sorted(self._read_keys())

    def check(self) -> None:
        """Raise `PluginError` if the file cannot be used, or if a key is in a keyring and there is none."""
        for variable, value in self._read_keys().items():
            if value is None:
                _keyring_of(variable)

    def set(self, variable: str, key: Secret, *, in_file: bool = False) -> str:
        """Store a key, in place of the one that is there, and return where it is.

        It goes into the system keyring, if there is one. `in_file` stores it in the file nevertheless.
        """
        self._keys_file()  # a key in the keyring whose name is nowhere would not be found
        keys = self._read_keys()
        keyring = None if in_file else find_keyring()
        if keyring is None:
            self._write_keys({**keys, variable: key.reveal()})
            if variable in keys and keys[variable] is None and (old := find_keyring()) is not None:
                with suppress(PluginError):  # a locked keyring; the key is not read from there any more
                    old.remove(variable)
            return str(self.path)
        keyring.set(variable, key)
        self._write_keys({**keys, variable: None})
        return str(keyring)

    def remove(self, variable: str) -> bool:
        """Remove a key. Return whether there was one."""
        keys = self._read_keys()
        if variable not in keys:
            return False
        if keys[variable] is None:
            _keyring_of(variable).remove(variable)
        self._write_keys({name: value for name, value in keys.items() if name != variable})
        return True

    def _read_keys(self) -> dict[str, str | None]:
        """Return the keys of the file by name. None: the key is in the keyring."""
        if self.path is None:
            return {}
        try:
            with self.path.open(encoding="utf-8") as file:
                file_stat = os.fstat(file.fileno())
                _check_mode(self.path, file_stat)
                text = file.read()
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as error:
            raise PluginError(f"The key store {self.path} cannot be read: {type(error).__name__}.") from None
        if self._file_version != (state := (file_stat.st_ino, file_stat.st_mtime_ns)):
            self._file_version, self._from_keyring = state, {}
        # The text of an error of `json` can hold a part of a key.
        with suppress(ValueError):
            keys = json.loads(text)
            if isinstance(keys, dict) and all(key is None or isinstance(key, str) for key in keys.values()):  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
                return keys  # pyright: ignore[reportUnknownVariableType]
        raise PluginError(
            f"The key store {self.path} is not a JSON object of strings and nulls. Remove it, and set the keys again."
        )

    def _keys_file(self) -> Path:
        if self.path is None:
            raise PluginError("There is no home folder for the key store. Set the variable HOME or XDG_CONFIG_HOME.")
        return self.path

    def _write_keys(self, keys: Mapping[str, str | None]) -> None:
        path = self._keys_file()
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


def _keys_path(environ: Mapping[str, str]) -> Path | None:
    folder = environ.get("XDG_CONFIG_HOME") or (environ.get("APPDATA") if os.name == "nt" else None)
    if folder is None and (home := environ.get("HOME") or environ.get("USERPROFILE")):
        folder = str(Path(home) / ".config")
    return Path(folder) / "rtvi" / "keys.json" if folder else None


def _check_mode(path: Path, file_stat: os.stat_result) -> None:
    if os.name == "posix" and stat.S_IMODE(file_stat.st_mode) & 0o077:
        raise PluginError(f"Other users may read the key store {path}. Run: chmod 600 {path}")
