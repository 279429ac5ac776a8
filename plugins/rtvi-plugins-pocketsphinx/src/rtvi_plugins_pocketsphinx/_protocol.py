"""The requests and replies of a worker, besides those of `rtvi_plugins.helper_worker`."""

from __future__ import annotations

from enum import IntEnum

__all__ = ("Kind",)


class Kind(IntEnum):
    """The kind of a frame, which determines its payload."""

    START = 16  # to the worker: JSON; begin an utterance, and drop the one before
    AUDIO = 17  # to the worker: 16 kHz PCM
    INTERIM = 18  # to the worker: empty; reply with what has been heard
    END = 19  # to the worker: empty; the utterance has ended, reply with what was heard
    HEARD = 20  # from the worker: JSON; one reply to each INTERIM and END
