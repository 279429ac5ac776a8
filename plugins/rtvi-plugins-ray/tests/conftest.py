"""Tests of `real` need Ray. `nox -s ray` runs them, in an environment of their own."""

from __future__ import annotations

import warnings
from importlib import import_module
from importlib.util import find_spec

collect_ignore = [] if find_spec("ray") else ["real"]

if not collect_ignore:
    with warnings.catch_warnings():  # Ray's own are errors here
        warnings.simplefilter("ignore")
        import_module("ray.serve")
