"""The command that installs a missing distribution of this project. All hints use this module."""

from __future__ import annotations

__all__ = ("install_hint",)

_CORE = "rtvi-plugins"


def install_hint(distribution: str) -> str:
    """Return the command that installs a distribution, such as `"rtvi-plugins-server"`, or an extra of the core."""
    # Nothing is published yet. On a registry, the name does not exist or belongs to another project.
    name, _, extra = distribution.partition("[")
    folder = "." if name == _CORE else f"./plugins/{name}"
    what = f'"{folder}[{extra}"' if extra else folder
    return f"in the checkout of {_CORE}, run: pip install {what}"
