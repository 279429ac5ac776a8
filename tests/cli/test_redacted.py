"""Standard error shows no secret, whatever code writes to it."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Callable

import pytest

from rtvi_plugins.cli import OK, guarded

KEY = "sk-9f3c1a77e2b84d5b"


def by_print() -> None:
    """Print a key, as authors do when they debug."""
    print(f"the key is {KEY}", file=sys.stderr)  # noqa: T201
    sys.stderr.writelines([f"{KEY}\n"])


def by_traceback() -> None:
    """Write an exception that contains a key."""
    try:
        raise RuntimeError(KEY)
    except RuntimeError:
        traceback.print_exc()


def by_a_handler_of_its_own() -> None:
    """Log as a library with its own handler does."""
    logger = logging.getLogger("a_library_of_its_own")
    logger.propagate = False
    handler = logging.StreamHandler()
    logger.addHandler(handler)
    logger.warning("GET https://example.com/?key=%s", KEY)
    logger.removeHandler(handler)


def in_a_thread() -> None:
    """Write a key in another thread."""
    thread = threading.Thread(target=by_print)
    thread.start()
    thread.join()


@pytest.mark.parametrize("write", [by_print, by_traceback, by_a_handler_of_its_own, in_a_thread])
def test_no_writer_shows_a_key(
    write: Callable[[], None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest of the text stays."""
    monkeypatch.setenv("ACME_API_KEY", KEY)

    def run() -> int:
        write()
        return OK

    assert guarded(run) == OK
    written = capsys.readouterr().err
    assert written
    assert KEY not in written
    assert "…" in written


def test_stderr_is_restored() -> None:
    """This is true also if the command raises. The stream keeps its other attributes."""
    before = sys.stderr

    def fail() -> int:
        assert sys.stderr.writable() == before.writable()
        raise RuntimeError

    guarded(fail)
    assert sys.stderr is before
