"""Leave out what a reasoning model thinks before it answers, where its server writes both into one text.

For providers of kind `llm` whose server may write `<think>...</think>` in front of an answer.
"""

from __future__ import annotations

import re
from typing import Final

from attrs import define

__all__ = ("WithoutThoughts",)

#: How models open and close a block of thoughts.
_BLOCKS: Final = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "<thoughts>": "</thoughts>",
    "<reasoning>": "</reasoning>",
    "<reflection>": "</reflection>",
    "[think]": "[/think]",
    "◁think▷": "◁/think▷",
}
#: A closing tag at the very beginning ends a block that the server's template has opened.
_TAGS: Final = (*_BLOCKS, *_BLOCKS.values())


@define
class WithoutThoughts:
    """The text of one answer without the blocks of thoughts that it begins with, fed in pieces of any size.

    Tags are recognised in upper and lower case. What follows an answer's first word stays as it is. White space before
    and behind a block is left out with it. A block that is not closed is left out to its end.
    """

    #: What was fed and is not given yet: a tag that may still be complete, or the end of a block.
    _held: str = ""
    _closing: str = ""
    _begun: bool = False
    _left_out: bool = False

    def feed(self, text: str) -> str:
        """Return what is known to belong to the answer; it may be empty."""
        if self._begun:
            return text
        self._held += text
        while self._skip():
            pass
        if self._closing or any(tag.startswith(self._held.lstrip().lower()) for tag in _TAGS):
            return ""
        self._begun = True
        return self.end()

    def end(self) -> str:
        """Return what is left when nothing follows: a beginning that turned out to be no tag."""
        held, self._held = self._held, ""
        if self._closing:
            return ""
        return held.lstrip() if self._left_out else held

    def _skip(self) -> bool:
        """Leave out a tag, or all of a block that is there; whether there may be more to leave out."""
        if self._closing:
            return self._skip_to(re.search(re.escape(self._closing), self._held, re.IGNORECASE))
        start = self._held.lstrip()
        tag = next((each for each in _TAGS if start[: len(each)].lower() == each), None)
        if tag is None:
            return False
        self._held, self._closing, self._left_out = start[len(tag) :], _BLOCKS.get(tag, ""), True
        return True

    def _skip_to(self, closing: re.Match[str] | None) -> bool:
        if closing is None:
            self._held = self._held[-len(self._closing) + 1 :]
            return False
        self._held, self._closing = self._held[closing.end() :], ""
        return True
