"""A copy of `faulty.py` for each test, so that tests do not share counts and blocked threads."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from itertools import count
from typing import Any, Protocol, cast

from . import faulty
from .faulty import Ledger

__all__ = ("Faults", "fresh_faults")

_numbers = count()


class Faults(Protocol):
    """A copy of the module, with its bots and the ledger in which they note what happens."""

    faulty: Callable[..., Any]
    talker: Callable[..., Any]
    slow_bot: Callable[..., Any]
    clinging_bot: Callable[..., Any]
    ledger: Ledger


@contextmanager
def fresh_faults() -> Generator[Faults]:
    """Import the module once more, under a name of its own. At the end, no thread of its actions is blocked."""
    name = f"{faulty.__name__}_{next(_numbers)}"
    spec = spec_from_file_location(name, faulty.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        yield cast(Faults, module)
    finally:
        cast(Faults, module).ledger.release.set()
        del sys.modules[name]
