"""The glossary has each word once, in order, and the words are used. The documentation avoids other words."""

from __future__ import annotations

import re

from ..tools.pages import DOCS, PAGES

GLOSSARY = DOCS / "reference" / "glossary.md"
WORDS = re.findall(r"^\| \*([\w -]+)\* \|", GLOSSARY.read_text("utf-8"), re.MULTILINE)
#: Other words for the same things.
AVOIDED = re.compile(r"\b(tool calls?|event handlers?|told|spelled)\b", re.IGNORECASE)


def prose(text: str) -> str:
    """A page without code and link targets."""
    return re.sub(r"^```.*?^```$|`[^`\n]*`|\]\([^)]*\)", "", text, flags=re.MULTILINE | re.DOTALL)


def test_every_word_stands_once_in_alphabetical_order() -> None:
    """Two entries would be two meanings."""
    assert [*dict.fromkeys(WORDS)] == WORDS
    assert sorted(WORDS) == WORDS


def test_every_word_is_used_in_the_documentation() -> None:
    """Words that are not used need no explanation."""
    texts = " ".join(prose(page.read_text("utf-8")).lower() for page in PAGES if page != GLOSSARY)
    assert [word for word in WORDS if word not in texts] == []


def test_pages_use_no_other_word_for_the_same() -> None:
    """For one meaning, there is one word."""
    found = {page.name: AVOIDED.findall(prose(page.read_text("utf-8"))) for page in PAGES}
    assert {name: words for name, words in found.items() if words} == {}
