"""A framework for real-time voice bots that speak RTVI.

To write a provider, use `service`, `options`, `action` and `Secret`. To write a bot, use `bot`, `action`, `Session`,
the kinds and `converse`. For servers, clients and tests, see `rtvi_plugins.hosting`, `rtvi_plugins.client` and
`rtvi_plugins.testing`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typing_extensions import Doc

from .declare.action import action
from .declare.bot import bot
from .declare.failover import Failover
from .declare.grant import Grant
from .declare.lifespans import lifespan
from .declare.message_roles import roles
from .declare.options import options
from .declare.service import service
from .declare.types import Was
from .errors import ProviderError, RequestError
from .hookspecs import hookimpl
from .kinds import LLM, STT, TTS, VAD, Kind, SpeechModel
from .session import Secret, Session

if TYPE_CHECKING:
    from .voice import converse

__all__ = (
    "LLM",
    "STT",
    "TTS",
    "VAD",
    "Doc",
    "Failover",
    "Grant",
    "Kind",
    "ProviderError",
    "RequestError",
    "Secret",
    "Session",
    "SpeechModel",
    "Was",
    "action",
    "bot",
    "converse",
    "hookimpl",
    "lifespan",
    "options",
    "roles",
    "service",
)

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Imported when it is used: providers do not need the turn loop, whose import takes a third as long as everything
    # else.
    if name == "converse":
        from .voice import converse

        return converse
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
