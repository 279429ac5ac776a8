"""Serve a bot on a Ray cluster. `build("bot.py")` is an application for `serve.run` and `serve deploy`.

serving    build: the workers, which hold sessions, and the front ends, which take starts
placing    the worker with the fewest sessions, and how many workers there should be
command    rtvi run --on ray
"""

from .serving import build

__all__ = ("build",)
