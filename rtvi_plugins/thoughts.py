"""Remove the thoughts of a reasoning model from its answer.

Use it in an `llm` provider if the server may write `<think>...</think>` in front of an answer.
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
#: Space in front of a tag. Some servers begin with a byte order mark, or a space of no width.
_SPACE: Final = re.compile(r"[\s\ufeff\u200b\u2060]*")
#: How much space may stand within a tag before its last character, as in `<think >`.
_MOST_SPACE: Final = 8


def _tag(tag: str) -> re.Pattern[str]:
    return re.compile(rf"{re.escape(tag[:-1])}\s{{0,{_MOST_SPACE}}}{re.escape(tag[-1])}", re.IGNORECASE)


_PATTERNS: Final = {tag: _tag(tag) for tag in _TAGS}


@define
class WithoutThoughts:
    """Removes the blocks of thoughts at the start of one answer. Feed the answer in pieces of any size.

    Tags are recognised in upper and lower case, and only before the answer's first word. White space around a block is
    removed too. A block without an end tag is removed to the end of the answer.
    """

    #: Text that is held back: a tag that may become complete, or the end of a block.
    _held: str = ""
    _closing: str = ""
    _begun: bool = False
    _left_out: bool = False

    def feed(self, text: str) -> str:
        """Return the text that is known to belong to the answer; it may be empty."""
        if self._begun:
            return text
        self._held += text
        while self._skip():
            pass
        if self._closing or self._may_be_a_tag():
            return ""
        self._begun = True
        return self.end()

    def end(self) -> str:
        """Return the rest of the text at the end of the answer: the start of a possible tag that is not one."""
        held, self._held = self._held, ""
        if self._closing:
            return ""
        return _without_space(held) if self._left_out else held

    def _may_be_a_tag(self) -> bool:
        """Return whether the text that is held back may be the start of a tag."""
        start = _without_space(self._held).lower()
        name = start.rstrip()
        is_complete_name = len(start) - len(name) <= _MOST_SPACE and any(tag[:-1] == name for tag in _TAGS)
        return is_complete_name or any(tag.startswith(start) for tag in _TAGS)

    def _skip(self) -> bool:
        """Remove a tag, or the part of a block that has arrived. Return whether there may be more to remove."""
        if self._closing:
            return self._skip_to_the_end()
        start = _without_space(self._held)
        for tag, pattern in _PATTERNS.items():
            if found := pattern.match(start):
                self._held, self._closing, self._left_out = start[found.end() :], _BLOCKS.get(tag, ""), True
                return True
        return False

    def _skip_to_the_end(self) -> bool:
        found = _PATTERNS[self._closing].search(self._held)
        if found is None:  # the closing tag may have begun
            self._held = self._held[-len(self._closing) - _MOST_SPACE + 1 :]
            return False
        self._held, self._closing = self._held[found.end() :], ""
        return True


def _without_space(text: str) -> str:
    space = _SPACE.match(text)
    return text[space.end() :] if space is not None else text
