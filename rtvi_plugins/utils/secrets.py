"""Secrets that do not show their value, and `scrub`, which removes their values from any text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import final
from urllib.parse import unquote
from weakref import WeakKeyDictionary

from .redaction import SecretForms, redact

__all__ = ("Secret", "scrub", "secrets_in_environment")


@final
class Secret:
    """A value that never shows itself: not in `repr`, `str`, a format, a log, a pickle or a crash report.

    Only `reveal()` returns it. Call it only where you pass the value to a vendor.
    """

    __slots__ = ("__reveal", "__weakref__")

    def __init__(self, value: str) -> None:
        # A closure, so that tools which print an object's slots find no text.
        def reveal() -> str:
            return value

        self.__reveal: Callable[[], str] = reveal
        _alive[self] = cache(lambda: SecretForms(value))  # made when the first text is scrubbed

    def reveal(self) -> str:
        """Return the value itself. Do not store, log or format it."""
        return self.__reveal()

    def __repr__(self) -> str:
        return "Secret('…')"

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> str:
        raise TypeError("a Secret cannot be pickled")

    def __bool__(self) -> bool:
        return bool(self.__reveal())


#: Every secret in use, with how it is found. A vendor's exception may quote a key: all that is logged is scrubbed.
_alive: WeakKeyDictionary[Secret, Callable[[], SecretForms]] = WeakKeyDictionary()


def scrub(text: str) -> str:
    """Return `text` without the values of the secrets in use, and without the user name and password of any URL.

    A value is also found percent-encoded, escaped as in JSON or `repr`, in base64 or hexadecimal, and if only a part of
    it is shown, as in `sk-abc…wxyz`. A long value is found in upper and lower case.
    """
    # Many sessions have the same key: each value is looked for once.
    needles = {secret.reveal(): made for secret, made in list(_alive.items())}
    return redact(text, [made() for made in needles.values()])


# ---- keys in the environment ---------------------------------------------------------------------------------------

#: The end of the names under which people keep secrets: `OPENAI_API_KEY`, `HF_TOKEN`, `API_KEY_2`, `PGPASSWORD`.
_KEY_NAME = re.compile(
    r"((^|_)(keys?|secrets?|passphrase|pass|pwd|pat|credentials?)|apikey|secret|token|password|passwd)(_?\d+|_(previous|old))?$",
    re.IGNORECASE,
)

#: The password of a URL, as in `HTTPS_PROXY` and `DATABASE_URL`.
_PASSWORD = re.compile(r"://[^/\s:@]*:([^/\s@]+)@")

#: A shorter value under such a name is a switch or a word ("true", "default"), not a key.
_SHORTEST_KEY = 8


def secrets_in_environment(environ: Mapping[str, str], declared: Iterable[str] = ()) -> list[Secret]:
    """Return the secrets of an environment: the `declared` variables, those named like a key, and passwords in URLs."""
    found = [environ[name] for name in declared if environ.get(name)]
    named = [value for name, value in environ.items() if _KEY_NAME.search(name)]
    passwords = [unquote(match[1]) for value in environ.values() for match in _PASSWORD.finditer(value)]
    likely = [each for each in (*named, *passwords) if _is_key(each)]
    return [Secret(value) for value in dict.fromkeys((*found, *likely))]


def _is_key(value: str) -> bool:
    # A path to a key file is no key, and would be taken out of every traceback.
    return len(value.strip()) >= _SHORTEST_KEY and not value.startswith(("/", "./", "~"))
