"""The requests and replies of the process in which Piper runs, besides those of `rtvi_plugins.helper_worker`."""

from __future__ import annotations

from enum import IntEnum

__all__ = ("Kind",)


class Kind(IntEnum):
    """The kind of a frame, which determines its payload."""

    LOAD = 16  # request: JSON, a voice; load it, if it is not loaded
    SPEAK = 17  # request: JSON, a voice, the text and the parameters
    WORDS = 18  # JSON: a list of words, each with the sample at which it starts
    AUDIO = 19  # 16-bit little-endian PCM, mono
