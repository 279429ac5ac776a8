"""A provider's module for another version of the plugin API. It does not have to be importable with this one."""

from __future__ import annotations

import os
from pathlib import Path

Path(os.environ["IMPORTED"], __name__).touch()
