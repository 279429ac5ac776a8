"""Run the official SDK of a vendor, in the environment of `nox -s sdks`, and load the fake of a plugin's tests."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import anyio
import pytest

__all__ = ("fake_of", "sdk")

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PYTHON = ROOT / ".nox" / "vendor-sdks" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
#: A process of an SDK ends sooner, unless it hangs.
PATIENCE = 60.0


def fake_of(plugin: str, module: str) -> Any:
    """Return the module of a plugin's tests that has the fake of its vendor."""
    folder = str(ROOT / "plugins" / plugin / "tests")
    if folder not in sys.path:
        sys.path.append(folder)
    return import_module(module)


async def sdk(script: str, *arguments: str, given: object = None) -> Any:
    """Run a script of this folder beside the SDKs. It reads `given` as JSON. Return the JSON that it prints."""
    if not PYTHON.exists():
        pytest.fail("The SDKs are not installed. Run `nox -s sdks`.")
    with anyio.fail_after(PATIENCE):
        done = await anyio.run_process(
            [str(PYTHON), str(HERE / script), *arguments], input=json.dumps(given).encode(), check=False
        )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)
