"""`Failover`: providers of a service that take over from each other, as the author of a bot writes them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from ..errors import DeclarationError
from ..utils.error_texts import authors_line

__all__ = ("Failover", "failover_problem")


class Failover:
    """Providers of a service in the order in which they are used. When one fails, the next takes over.

    Write it in `services=` of `@bot` in place of a provider: `{"llm": Failover("openai", "groq")}`, or in a list, where
    clients choose it by the name of its first provider. The options of clients are those of the first. Write options of
    each under its own name: `config={"llm.groq": {…}}`.

    `seconds` is how long a provider may send nothing before its first output, if there is another one to take over.
    """

    __slots__ = ("providers", "seconds")

    #: The default of `seconds`.
    SECONDS: ClassVar[float] = 10.0

    def __init__(self, *providers: str, seconds: float = SECONDS) -> None:
        if (problem := failover_problem(providers, seconds)) is not None:
            raise DeclarationError(None, f"Failover(…) ({authors_line()}) {problem}")
        self.providers = providers
        self.seconds = float(seconds)

    def __repr__(self) -> str:
        return f"Failover({', '.join(map(repr, self.providers))}, seconds={self.seconds:g})"


def failover_problem(providers: Sequence[Any], seconds: Any) -> str | None:
    """Return why these are not arguments of `Failover`; None if they are."""
    if len(providers) < 2 or not all(
        isinstance(provider, str) and provider.removesuffix("?") for provider in providers
    ):
        return "takes two providers or more, each by its name, as in Failover('openai', 'groq')."
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
        return f"takes seconds= as a number above 0, as in 10.0, not {seconds!r}."
    return None
