"""A provider's module that was written for another version of the plugin API, and need not be importable today."""

from __future__ import annotations

import os
from pathlib import Path

Path(os.environ["IMPORTED"], __name__).touch()
