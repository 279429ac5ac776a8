"""An LLM that follows a script, and providers that a test brings as objects."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any, TypeAlias, final

from ..declare.decorators import service as declare_service
from ..errors import AuthorError
from ..kinds import LLMPiece, LLMRequest, Text

__all__ = ("ScriptedAnswer", "ScriptedLLM", "stand_in")

#: One answer of a `ScriptedLLM`: a text, a function call, several pieces, or an exception that is raised.
ScriptedAnswer: TypeAlias = "str | LLMPiece | Exception | Sequence[str | LLMPiece | Exception]"


@final
class ScriptedLLM:
    """An LLM that gives prepared answers, one for each request, and keeps the requests.

    An answer is a text, a piece such as a `ToolCall`, an exception to raise, or a list of these.
    """

    def __init__(self, *answers: ScriptedAnswer) -> None:
        #: The answers that are left.
        self.answers: deque[ScriptedAnswer] = deque(answers)
        #: The requests so far.
        self.requests: list[LLMRequest] = []

    def will(self, *answers: ScriptedAnswer) -> None:
        """Add answers to the script."""
        self.answers.extend(answers)

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        """Give the next answer. `AssertionError` if none is left."""
        self.requests.append(request)
        if not self.answers:
            raise AssertionError(f"The script has no answer to request {len(self.requests)}.")
        answer = self.answers.popleft()
        for step in answer if isinstance(answer, Sequence) and not isinstance(answer, str) else [answer]:
            if isinstance(step, Exception):
                raise step
            yield Text(step) if isinstance(step, str) else step


def stand_in(name: str, service: object) -> ModuleType:
    """Return a module whose provider `name`, such as `"llm.openai"`, is this object in all sessions.

    Give it to `connect` or `host_for`. It has no keys and no options. `AuthorError` if the name is not
    `kind.provider` of a built-in kind.
    """
    kind, dot, provider = name.partition(".")
    if not dot:
        raise AuthorError(f"stand_in({name!r}, …): write the kind and the provider, such as 'llm.openai'.")

    @asynccontextmanager
    async def open_service() -> AsyncGenerator[Any]:
        """Stands in for a provider in a test."""
        yield service

    module = ModuleType(f"stand_in_{kind}_{provider}")
    open_service.__module__ = module.__name__  # only functions of the module itself are its providers
    declare: Any = declare_service
    vars(module)["open_service"] = declare(kind, provider)(open_service)
    return module
