"""The two APIs of ElevenLabs that speak: their addresses, and the messages of a request.

Models of the series 3 and 4 have "Text to Dialogue", and all others "Text to Speech".
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, TypeAlias
from urllib.parse import quote

from attrs import frozen

__all__ = ("API", "api_for")

_Message: TypeAlias = "dict[str, Any]"

_DIALOGUE_MODELS = ("eleven_v3", "eleven_v4")
#: What "Text to Dialogue" has instead of the parameters and settings of "Text to Speech". It refuses others.
_DIALOGUE_SETTINGS = ("stability",)
_NOT_OF_DIALOGUE = ("auto_mode", "enable_ssml_parsing")
_FORMAT = {"output_format": "pcm_24000", "sync_alignment": True}
#: A context that waits for text is closed after this many seconds, the most that ElevenLabs allows.
_INACTIVITY = {"inactivity_timeout": 180}


@frozen
class API(ABC):
    """One of the APIs. `fields` of a connection, and `settings` of a context, have ElevenLabs' names."""

    voice_id: str
    settings: Mapping[str, Any]
    fields: Mapping[str, Any]

    #: Whether it may end the connection to close a context again, such as when the user interrupts the last sentence.
    closes_once: ClassVar[bool] = False

    @property
    @abstractmethod
    def path(self) -> str:
        """Where it is."""

    @property
    @abstractmethod
    def params(self) -> Mapping[str, Any]:
        """The parameters of a connection."""

    @abstractmethod
    def begin(self) -> _Message:
        """Return what opens a context."""

    @abstractmethod
    def say(self, text: str) -> Iterator[_Message]:
        """Yield what has a text spoken."""

    @abstractmethod
    def end(self) -> Iterator[_Message]:
        """Yield what has the rest spoken."""

    @abstractmethod
    def keep_alive(self) -> _Message:
        """Return what keeps a context open that waits for text."""


class _TextToSpeech(API):
    @property
    def path(self) -> str:
        return f"v1/text-to-speech/{quote(self.voice_id, safe='')}/multi-stream-input"

    @property
    def params(self) -> Mapping[str, Any]:
        return {**_FORMAT, **_INACTIVITY, **self.fields}

    def begin(self) -> _Message:
        return {"text": " ", **self.settings}

    def say(self, text: str) -> Iterator[_Message]:
        yield {"text": text}

    def end(self) -> Iterator[_Message]:
        yield {"flush": True}

    def keep_alive(self) -> _Message:
        return {"text": ""}


class _TextToDialogue(API):
    closes_once = True

    @property
    def path(self) -> str:
        return "v1/text-to-dialogue/multi-stream-input"

    @property
    def params(self) -> Mapping[str, Any]:
        fields = {name: value for name, value in self.fields.items() if name not in _NOT_OF_DIALOGUE}
        if fields.get("apply_text_normalization") == "auto":  # the default, which this API has no name for
            del fields["apply_text_normalization"]
        return {**_FORMAT, **fields}

    def begin(self) -> _Message:
        given: Mapping[str, Any] = self.settings.get("voice_settings") or {}
        settings = {name: given[name] for name in _DIALOGUE_SETTINGS if name in given}
        return {"voices": [self.voice_id], **({"voice_settings": settings} if settings else {})}

    def say(self, text: str) -> Iterator[_Message]:
        yield {"inputs": [{"text": text, "voice_id": self.voice_id}]}
        if self.fields.get("auto_mode"):  # it waits for about 40 characters and 8 words otherwise
            yield {"flush": True}

    def end(self) -> Iterator[_Message]:
        if not self.fields.get("auto_mode"):
            yield {"flush": True}

    def keep_alive(self) -> _Message:
        return {"keep_alive": True}


def api_for(voice_id: str, settings: Mapping[str, Any], fields: Mapping[str, Any]) -> API:
    """Return the API that has the model of `fields`."""
    has_dialogue = str(fields.get("model_id")).startswith(_DIALOGUE_MODELS)
    return (_TextToDialogue if has_dialogue else _TextToSpeech)(voice_id, settings, fields)
