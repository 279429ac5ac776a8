"""A rule-based replacement for an LLM. What it answers is in `rules`, how it calls functions in `calling`."""

from .wording import FunctionTexts, Topic

__all__ = ("FunctionTexts", "Topic")
