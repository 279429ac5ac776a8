"""Building blocks for providers of `rtvi_plugins` that call a vendor over HTTP or WebSocket."""

from __future__ import annotations

from ._response import VendorResponse
from .conversations import arguments_of, in_text_turns, in_turns, text_of
from .failures import (
    StatusError,
    category_of_close,
    category_of_status,
    malformed_answers,
    retry_after,
    transport_failures,
)
from .http import Retry, VendorHTTP, connect_http
from .key_checks import key_check
from .listening import Listening, one_utterance
from .options import BaseURL, Extra, Timeout, parameters
from .speech import CountedAudio, Samples, Speech, audio_messages, texts_to_speak, words_of
from .websocket import ReusedWebSockets, SharedWebSocket, VendorWebSockets, WebSocketStream, connect_websockets

__all__ = (
    "BaseURL",
    "CountedAudio",
    "Extra",
    "Listening",
    "Retry",
    "ReusedWebSockets",
    "Samples",
    "SharedWebSocket",
    "Speech",
    "StatusError",
    "Timeout",
    "VendorHTTP",
    "VendorResponse",
    "VendorWebSockets",
    "WebSocketStream",
    "arguments_of",
    "audio_messages",
    "category_of_close",
    "category_of_status",
    "connect_http",
    "connect_websockets",
    "in_text_turns",
    "in_turns",
    "key_check",
    "malformed_answers",
    "one_utterance",
    "parameters",
    "retry_after",
    "text_of",
    "texts_to_speak",
    "transport_failures",
    "words_of",
)
