"""The store of sessions that `--resume` names: a SQLite file, or the URL of a store that a plugin brings."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any, Final, cast

from rtvi_plugins.cli import UsageError
from rtvi_plugins.resuming import SessionStore

__all__ = ("open_store",)

#: The entry points of stores. Each has the scheme of a URL as its name, and names a function that takes the URL.
_GROUP: Final = "rtvi_plugins.stores"


def open_store(target: str, *, full: bool = False) -> SessionStore:
    """Return the store for a path or a URL. Raise `UsageError` if nothing installed has its scheme.

    `full` is that of `SQLiteStore`.
    """
    scheme, separator, _ = target.partition("://")
    if not separator:
        from rtvi_plugins.sqlite_store import SQLiteStore

        return SQLiteStore(target, full=full)
    if full:
        raise UsageError("--resume-sync is for files. A server of a database has settings of its own.")
    found = {each.name: each for each in entry_points(group=_GROUP)}
    if scheme not in found:
        known = ", ".join(sorted(found)) or "none"
        raise UsageError(
            f"No store for {scheme}:// is installed. Installed: {known}. Redis is in rtvi-plugins-redis, PostgreSQL in "
            "rtvi-plugins-postgres."
        )
    make: Any = found[scheme].load()
    try:
        return cast("Callable[[str], SessionStore]", make)(target)
    except ValueError as error:
        raise UsageError(f"--resume: {error}") from None
