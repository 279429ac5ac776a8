"""Open the store of sessions that an operator names: a SQLite file, or the URL of a store that a plugin brings.

If the environment has a key in `RTVI_STORE_KEY`, or names a file with keys in `RTVI_STORE_KEY_FILE`, the store is
encrypted: see `rtvi_plugins.encrypted_store`.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import entry_points
from pathlib import Path
from secrets import token_urlsafe
from typing import Any, Final, cast

from .errors import AuthorError
from .resuming import OWNER, SessionStore
from .session import Secret
from .utils.install_hint import install_hint

__all__ = ("entered", "open_store", "read_store_keys")

#: The entry points of stores. Each has the scheme of a URL as its name, and names a function that takes the URL.
_GROUP: Final = "rtvi_plugins.stores"
#: Why a URL with a user name or a password cannot be used.
_CREDENTIALS: Final = (
    ". In a user name or a password, write @ as %40, : as %3A, / as %2F, # as %23, ? as %3F and % as %25."
)
#: How long a record that is only a trial may stay, in seconds.
_TRIAL_SECONDS: Final = 1.0
#: The variables with the keys, and with the path of a file that has them.
_KEYS, _FILE = "RTVI_STORE_KEY", "RTVI_STORE_KEY_FILE"


def open_store(target: str, *, full: bool = False, environ: Mapping[str, str] = os.environ) -> SessionStore:
    """Return the store for a path or a URL, encrypted if `environ` has keys. The caller enters the store.

    `full` is that of `SQLiteStore`. Raise `AuthorError` if nothing installed has the scheme of the URL, or if the keys
    cannot be used.
    """
    if not target.strip():
        raise AuthorError("The store of sessions has no name. Write a file or a URL, as in sessions.db.")
    keys = read_store_keys(environ)
    store = _open(target, full=full)
    if not keys:
        return store
    try:
        from .encrypted_store import EncryptedStore
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "cryptography":
            raise
        hint = install_hint("rtvi-plugins[encryption]")
        raise AuthorError(f"A store with a key needs cryptography, which is not installed; {hint}") from None
    try:
        return EncryptedStore(store, keys)
    except AuthorError as error:
        raise AuthorError(f"{environ.get(_FILE) or _KEYS}: {error}") from None


@asynccontextmanager
async def entered(store: SessionStore, *, to_write: bool = False) -> AsyncGenerator[SessionStore]:
    """Enter a store, and leave it at the end. Raise `AuthorError` with the reason if it cannot be entered.

    With `to_write`, also raise it if a store that outlives the process lets its user only read.
    """
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(store)
            if to_write and store.durable:
                trial = token_urlsafe(12)
                await store.write(trial, 1, {OWNER: ""}, _TRIAL_SECONDS)
                await store.forget(trial, 1)
        except AuthorError:
            raise
        except Exception as error:  # of the database's own client, which may add lines of advice
            reason = str(error).partition("\n")[0].rstrip(".") or type(error).__name__
            raise AuthorError(
                f"The store of sessions cannot be used: {reason}. Check its URL, whether its server runs, and whether "
                "its user may write."
            ) from error
        yield store


def _open(target: str, *, full: bool) -> SessionStore:
    scheme, separator, _ = target.partition("://")
    if not separator:
        from .sqlite_store import SQLiteStore

        return SQLiteStore(target, full=full)
    if full:
        raise AuthorError("full= is for files. A server of a database has settings of its own.")
    found = {each.name: each for each in entry_points(group=_GROUP)}
    if scheme not in found:
        known = ", ".join(sorted(found)) or "none"
        raise AuthorError(
            f"No store for {scheme}:// is installed. Installed: {known}. Redis is in rtvi-plugins-redis, PostgreSQL in "
            "rtvi-plugins-postgres."
        )
    make: Any = found[scheme].load()
    try:
        return cast("Callable[[str], SessionStore]", make)(target)
    except ValueError as error:
        # The error may quote what it takes for a port or a host, and what is a part of a password.
        reason = _CREDENTIALS if "@" in target else f": {error}"
        raise AuthorError(f"The URL of the store cannot be used{reason}") from None


def read_store_keys(environ: Mapping[str, str]) -> list[Secret]:
    """Return the keys that an environment names, the newest first; an empty list if it names none.

    They are in the variable, or in the file, with commas, spaces or newlines between them. Raise `AuthorError` if the
    file cannot be read or has no key, or if both variables are set.
    """
    text, path = environ.get(_KEYS, ""), environ.get(_FILE, "")
    if text and path:
        raise AuthorError(f"{_KEYS} and {_FILE} are both set. Set one of them.")
    if path and not path.strip():
        raise AuthorError(f"{_FILE} is blank. Write the path of the file with the keys, or unset it.")
    if path:
        try:
            text = Path(path).read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise AuthorError(f"The keys of the store in {path} cannot be read: {reason}.") from None
    keys = [Secret(each) for each in text.replace(",", " ").split()]
    if (text or path) and not keys:
        raise AuthorError(f"{path or _KEYS} has no key. Make one: openssl rand -base64 32")
    return keys
