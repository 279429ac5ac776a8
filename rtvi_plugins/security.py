"""Keep secrets out of logs, URLs and helper processes, and floods out of logs: for servers and for providers.

::

    handler.setFormatter(LogFormatter("%(levelname)s %(name)s: %(message)s"))
    base_url: Annotated[str, http_url] = "https://api.acme.example/v1"
    await anyio.open_process(command, env=helper_environment())
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from .utils.log_text import JsonLogFormatter, LogFormatter

__all__ = ("JsonLogFormatter", "LogFormatter", "LogThrottle", "helper_environment", "http_url", "quiet_http_clients")


# ---- helper processes ----------------------------------------------------------------------------------------------

#: The variables by which an operating system and Python find programs, libraries, time zones and languages.
_NEEDED = frozenset(
    """
    PATH HOME TMPDIR TEMP TMP LANG LANGUAGE TZ LD_LIBRARY_PATH DYLD_LIBRARY_PATH DYLD_FALLBACK_LIBRARY_PATH
    SYSTEMROOT SYSTEMDRIVE WINDIR COMSPEC PATHEXT USERPROFILE
    PYTHONPATH PYTHONHOME PYTHONUTF8 PYTHONIOENCODING PYTHONDONTWRITEBYTECODE PYTHONPYCACHEPREFIX PYTHONHASHSEED
    """.split()
)


def helper_environment(*more: str, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment for a helper process: the variables that programs need to run, and those in `more`.

    All other variables are removed, also the operator's secret and the vendors' keys. `environ` is the original
    environment, by default that of this process.
    """
    present = os.environ if environ is None else environ
    allowed = _NEEDED.union(more)
    return {name: value for name, value in present.items() if name in allowed or name.startswith("LC_")}


# ---- URLs ----------------------------------------------------------------------------------------------------------


class _HttpUrl:
    """An attrs validator."""

    json_schema: Mapping[str, Any] = {
        "description": "An http or https URL without a user name or password.",
        "format": "uri",
        "pattern": r"^https?://[^\s/?#@\\]+([/?#][^\s\\]*)?$",
    }

    __name__ = "http_url"  # in messages
    #: Completes the sentence "must …" in messages about several types.
    phrase = "be an http or https URL"

    def __repr__(self) -> str:
        return self.__name__

    def __call__(self, instance: Any, attribute: Any, value: Any) -> None:
        if (problem := _url_problem(value)) is not None:
            raise ValueError(problem)  # without the value, which may hold a password


#: A validator of options and service options: an `http` or `https` URL without a user name and a password, which would
#: appear in logs and errors. A key is a `Secret` of its own. Its `ValueError` does not repeat the value.
http_url = _HttpUrl()


def _url_problem(value: object) -> str | None:
    must = "must be an http or https URL, as in https://api.acme.example/v1; this one"
    if not isinstance(value, str):
        return f"{must} is not a string"
    if not value.isprintable() or " " in value or "\\" in value:
        return f"{must} contains a space, a backslash or a control character"
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return f"{must} has an invalid host or port"
    if "@" in parts.netloc:
        return "must not contain a user name or password; give the key in the start's api_keys or in the environment"
    if parts.scheme not in ("http", "https"):
        return f"{must} does not begin with http:// or https://"
    return None if host else f"{must} has no host"


# ---- logs ----------------------------------------------------------------------------------------------------------

#: At INFO these log every URL and reason phrase, and at DEBUG every header.
_HTTP_CLIENTS = ("httpx2", "httpcore2", "httpx", "httpcore")


def quiet_http_clients() -> None:
    """Let HTTP client libraries log only warnings, unless you have set a level for them."""
    for name in _HTTP_CLIENTS:
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.WARNING)


#: How long a `LogThrottle` counts similar lines before it logs the next one, in seconds.
_THROTTLE_SECONDS: Final = 60.0


class LogThrottle:
    """Logs the first of many similar lines, and counts the others of the next minute.

    Use it for events that any client can cause thousands of times a second. `now` returns the time in seconds.
    """

    def __init__(self, log: logging.Logger, now: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._now = now
        self._next_line = float("-inf")
        self._suppressed = 0

    def next_line(self) -> str | None:
        """Return what to add to a line that may be logged now: how many were not, or "". None counts the line."""
        now = self._now()
        if now < self._next_line:
            self._suppressed += 1
            return None
        suppressed, self._next_line, self._suppressed = self._suppressed, now + _THROTTLE_SECONDS, 0
        return f" ({suppressed} more like this since the last such line)" if suppressed else ""

    def warn(self, text: str, *arguments: object) -> None:
        """Log a warning, or count it."""
        if (suppressed := self.next_line()) is not None:
            self._log.warning(f"{text}%s", *arguments, suppressed)
