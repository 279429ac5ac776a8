"""The keyring of the operating system: Keychain, Credential Manager, Secret Service or KWallet.

The distribution `keyring` finds it. It is optional (the extra `rtvi-plugins[keyring]`), and imported when it is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any, Final, TypeVar

from attrs import frozen

from ..errors import PluginError
from ..session import Secret

__all__ = ("NoKeyring", "SystemKeyring", "find_keyring")

#: Keys are stored for this application.
_SERVICE: Final = "rtvi_plugins"

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
        value = self._use(lambda: self._backend.get_password(_SERVICE, variable))
        return Secret(value) if value else None

    def set(self, variable: str, key: Secret) -> None:
        """Store a key, in place of the one that is there."""
        self._use(lambda: self._backend.set_password(_SERVICE, variable, key.reveal()))

    def remove(self, variable: str) -> None:
        """Remove a key. One that was removed already is no error."""

        def remove() -> None:
            with suppress(import_module("keyring.errors").PasswordDeleteError):
                self._backend.delete_password(_SERVICE, variable)

        self._use(remove)

    def _use(self, operation: Callable[[], T]) -> T:
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
    # The backends that stand for "none" have 0 or less.
    return SystemKeyring(backend) if backend.priority > 0 else None
