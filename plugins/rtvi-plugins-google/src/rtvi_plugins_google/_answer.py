"""Read an answer of `streamGenerateContent`, chunk by chunk. Nothing here reads from the network."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast
from uuid import uuid4

from attrs import define, field

from rtvi_plugins.errors import ProviderCategory, ProviderError
from rtvi_plugins.kinds import LLMPiece, Text, Thought, ToolCall, Usage
from rtvi_plugins_vendor import category_of_status

__all__ = ("Answer", "category_of", "shown", "wait_of")

log = logging.getLogger("rtvi_plugins_google")

_DURATION = re.compile(r"\d{1,9}(\.\d{1,9})?s")

#: Reasons to finish that are an answer, if perhaps a short one.
_FINISHED = ("STOP", "MAX_TOKENS", "CONTINUATION")
#: Reasons that may be gone in another attempt: the model has failed, and not the conversation.
_FAILED = (
    "FINISH_REASON_UNSPECIFIED",
    "MALFORMED_FUNCTION_CALL",
    "MALFORMED_RESPONSE",
    "OTHER",
    "TOO_MANY_TOOL_CALLS",
    "UNEXPECTED_TOOL_CALL",
)


def category_of(status: int, error: Mapping[str, Any]) -> ProviderCategory:
    """Return the category of an error object. A key that is wrong has the status 400."""
    if any(each.get("reason") == "API_KEY_INVALID" for each in _details(error)):
        return "auth"
    return "timeout" if error.get("status") == "DEADLINE_EXCEEDED" else category_of_status(status)


def wait_of(error: Mapping[str, Any]) -> float | None:
    """Return how many seconds Google asks to wait. It has no header for that, but a detail such as `"34.07s"`."""
    waits = (each.get("retryDelay") for each in _details(error))
    return next((float(each[:-1]) for each in waits if isinstance(each, str) and _DURATION.fullmatch(each)), None)


def shown(reason: str) -> str:
    """Return a reason for the log, if it is one of the vendor's words, and no text."""
    return reason if reason.isidentifier() else "a reason that cannot be shown"


def _details(error: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the details that are objects. Others are ignored, because the error itself is more important."""
    details: Any = error.get("details")
    found = cast("list[Any]", details) if isinstance(details, list) else []
    return [each for each in found if isinstance(each, dict)]


@define
class Answer:
    """One answer, from the data of its server-sent events. Errors of reading mean that it is malformed."""

    provider: str
    #: Whether the model has finished. The stream may still bring the usage.
    finished: bool = False
    _usage: Mapping[str, Any] = field(factory=dict[str, Any])
    _model: str | None = None

    def take(self, chunk: Mapping[str, Any]) -> list[LLMPiece]:
        """Return the pieces of a chunk. Raise `ProviderError` if it reports an error, or that the answer is blocked."""
        return [*self._take(chunk)]

    def end(self) -> Usage:
        """Return the usage. Raise `ProviderError` if the stream has ended too early."""
        if not self.finished:
            raise ProviderError(self.provider, "unavailable")
        thoughts = self._usage.get("thoughtsTokenCount", 0)
        return Usage(
            prompt_tokens=self._usage.get("promptTokenCount", 0) + self._usage.get("toolUsePromptTokenCount", 0),
            completion_tokens=self._usage.get("candidatesTokenCount", 0) + thoughts,
            cached_tokens=self._usage.get("cachedContentTokenCount", 0),
            reasoning_tokens=thoughts,
            model=self._model,
        )

    def _take(self, chunk: Mapping[str, Any]) -> Iterator[LLMPiece]:
        if (error := chunk.get("error")) is not None:
            raise ProviderError(self.provider, category_of(error.get("code", 500), error), retry_after=wait_of(error))
        self._usage = chunk.get("usageMetadata", self._usage)
        self._model = chunk.get("modelVersion", self._model)
        if (blocked := chunk.get("promptFeedback", {}).get("blockReason")) is not None:
            raise self._refusal(blocked)
        for candidate in chunk.get("candidates", [])[:1]:
            for part in candidate.get("content", {}).get("parts", []):
                yield from self._part(part)
            if (reason := candidate.get("finishReason")) is not None:
                self._finish(reason)

    def _part(self, part: Mapping[str, Any]) -> Iterator[LLMPiece]:
        signature = part.get("thoughtSignature")
        if (call := part.get("functionCall")) is not None:
            # An empty extra is not an extra, so that the call counts as this vendor's even without a signature.
            extra = {"signature": signature or ""}
            yield ToolCall.parse(call.get("id") or uuid4().hex[:9], call["name"], call.get("args"), extra=extra)
            return
        if text := part.get("text"):
            yield Thought(text) if part.get("thought") else Text(text)
        if signature:
            yield Thought("", {"signature": signature})

    def _finish(self, reason: str) -> None:
        if reason in _FAILED:
            raise ProviderError(self.provider, "unavailable")
        if reason not in _FINISHED:
            raise self._refusal(reason)
        self.finished = True

    def _refusal(self, reason: str) -> ProviderError:
        log.warning("%s blocked the conversation: %s", self.provider, shown(reason))
        return ProviderError(self.provider, "bad-request")
