"""A provider's module that raises when it is imported."""

from __future__ import annotations

import os
from pathlib import Path

Path(os.environ["IMPORTED"], __name__).touch()

raise RuntimeError("the model's file is missing")
