"""Acme's chat models."""

import os
from pathlib import Path

Path(os.environ["IMPORTED"], __name__).touch()
