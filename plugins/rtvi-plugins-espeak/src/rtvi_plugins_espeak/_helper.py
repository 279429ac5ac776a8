"""The helper process in which espeak runs: shared by all sessions of an event loop, and replaced when it dies.

One process serves all sessions: starting one takes 40 ms and 16 MB, and a second of speech takes 1 ms. espeak has one
state for the whole process, so requests run one after the other, each with all of its parameters. They are short
(`_text.LONGEST`), and a slow listener delays nobody, because the replies are read at once.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

from attrs import frozen
from espeakng_loader import get_data_path, get_library_path  # type: ignore[import-untyped]

from rtvi_plugins.errors import ProviderError
from rtvi_plugins.helper_process import (
    Frame,
    HelperLost,
    HelperProcess,
    PerEventLoop,
    SupervisedHelper,
)
from rtvi_plugins.helper_worker import worker_command

from ._protocol import Kind
from ._voices import VoiceList, read_voices

__all__ = ("DATA", "LIBRARY", "PROVIDER", "EspeakHelper", "InstalledSpeech", "command_for", "shared_helper")

PROVIDER = "espeak"

_START_SECONDS = 10.0
#: A part of a text takes some 15 ms. A process that takes this long is stuck.
_REPLY_SECONDS = 10.0

#: Where `espeakng_loader` has put the library and its data. Nothing of it is loaded here.
LIBRARY, DATA = str(get_library_path()), str(get_data_path())


def command_for(library: str, data: str) -> Sequence[str]:
    """Return the command that starts the process, for a library and its data at these paths."""
    return worker_command("rtvi_plugins_espeak.worker", library, data, libraries=False)


@frozen
class InstalledSpeech:
    """The voices of a process, and the rate of its audio in Hz."""

    voices: VoiceList
    rate: int


class EspeakHelper(SupervisedHelper):
    """The process of one event loop. Its failures are a `ProviderError`."""

    def __init__(self, command: Sequence[str] | None = None, *, reply_seconds: float = _REPLY_SECONDS) -> None:
        start = partial(
            HelperProcess.start,
            command or command_for(LIBRARY, DATA),
            stderr=subprocess.DEVNULL,
            ready_seconds=_START_SECONDS,
        )
        super().__init__(start, reply_seconds=reply_seconds)

    async def installed(self) -> InstalledSpeech:
        """Return what the process can speak; start it if none runs."""
        try:
            return _read_installed((await self.open()).greeting)
        except HelperLost:
            raise ProviderError(PROVIDER, "unavailable") from None

    async def speak(self, request: Mapping[str, Any], put: Callable[[Frame], None]) -> None:
        """Speak something when it is its turn. Put each reply: words, audio, and DONE or FAILED at the end."""
        try:
            put(await self.request(Kind.SPEAK, json.dumps(dict(request)).encode(), put))
        except HelperLost:
            raise ProviderError(PROVIDER, "unavailable") from None


@lru_cache(maxsize=1)
def _read_installed(greeting: bytes) -> InstalledSpeech:
    ready: dict[str, Any] = json.loads(greeting)
    return InstalledSpeech(read_voices(ready["voices"], ready["variants"]), ready["rate"])


#: The helper of each event loop.
shared_helper = PerEventLoop("rtvi_plugins_espeak", EspeakHelper)
