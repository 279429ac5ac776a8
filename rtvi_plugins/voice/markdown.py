"""`without_markup`: what is spoken of a sentence of markdown: its words, without marks, addresses, code and emoji."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias

__all__ = ("Part", "without_markup")

#: A part of a sentence: the text that is shown, and the text that is spoken.
Part: TypeAlias = tuple[str, str]

#: Lines without words: a block of code, a rule, the line under a heading or under the head of a table.
_CODE: Final = re.compile(r"(`{3,}|~{3,})[^\n`~]*(?:\n|$)")

_RULE: Final = re.compile(r"\s*(?:([-*_=])(?:\s*\1){2,}|\|?\s*:?-+:?(?:\s*\|\s*:?-+:?)+\s*\|?|\|\s*:?-+:?\s*\|)\s*")

#: Marks before the words of a line: of a quotation, a heading, a bullet, a box to tick.
_BEFORE: Final = re.compile(r"\s*(?:>\s*|#{1,6}\s+|[-*+•▪◦](?:\s+(?:\[[ xX]\]\s+)?|$))+")

_AFTER_HEADING: Final = re.compile(r"\s+#+\s*$")

_EMOJI: Final = (
    "(?:[\U0001f000-\U0001f0ff\U0001f10d-\U0001faff\u2600-\u2775\u2794-\u27bf\u2b00-\u2bff\u231a\u231b\u23e9-\u23fa"
    "\u25aa-\u25fe][\ufe0e\ufe0f\u200d\u20e3\U000e0020-\U000e007f]*)+"
)

_NOT_IN_URL: Final = "\\s<>\"'“”«»`|。、，！？；：（）「」『』【】《》"

_IN_BRACKETS: Final = rf"\([^{_NOT_IN_URL}()]*\)"

_URL: Final = (
    rf"(?:(?:https?|ftp)://|www\.)(?:[^{_NOT_IN_URL}()]|{_IN_BRACKETS})*"
    rf"(?:[^{_NOT_IN_URL}.,;:!?()\]}}*_~…]|{_IN_BRACKETS})"
)

_TARGET: Final = r"\((?:[^()\s]|\([^()\s]*\))*(?:\s+(?:\"[^\"]*\"|'[^']*'))?\)"

_INLINE: Final = re.compile(
    rf"""
      (?P<escaped> \\ [\\`*_{{}}\[\]()\#+.!~>|-] )
    | (?P<code> (?P<ticks> `+ ) (?P<coded> [^`]+ ) (?P=ticks) )
    | (?P<image> !\[ (?P<alt> [^\[\]]* ) \] {_TARGET} )
    | (?P<note> \[\^ [^\[\]\s]+ \] :? )
    | (?P<link> \[ (?P<text> (?: [^\[\]] | \[ [^\[\]]* \] )* ) \] {_TARGET} )
    | (?P<named> (?<! [a-z0-9_\]] ) \[ (?P<label> [^\[\]]* ) \] \[ [^\[\]]* \] )
    | (?P<opened> \[ (?= !\[ ) )
    | (?P<target> \] {_TARGET} )
    | (?P<address> < (?: mailto: )? (?P<mail> [^<>\s@]+ @ [^<>\s@]+ ) > )
    | (?P<linked> < (?P<url> {_URL} ) > )
    | (?P<bare> (?<![a-z0-9]) {_URL} )
    | (?P<tag> </? (?: b | i | u | em | strong | code | div | span | br ) (?: \s [^<>]* )? /? > | <!-- .*? --> )
    | (?P<entity> & (?: nbsp | amp | lt | gt | quot | apos | \#39 ) ; )
    | (?P<key> [0-9\#*] \ufe0f? \u20e3 )
    | (?P<emoji> [ ]? {_EMOJI} )
    | (?P<cell> (?<!\s) \s* (?: \| \s* )+ )
    | (?P<marks> \*+ | _+ | ~~+ )
    | (?P<tick> `+ )
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)

_HOST: Final = re.compile(r"(?:\w+://)?(?:[^/?#@]*@)?(?:www\.)?([^/?#:]+)", re.IGNORECASE)


def without_markup(sentence: str) -> list[Part]:
    """Return the parts of a sentence, with the text to speak for each: the words without markdown.

    Emphasis, headings, bullets and quotations are spoken without their marks, links and images as their text, code
    within a sentence as it is, a web address as its host name, and the cells of a table with commas between them.
    Blocks of code and emoji are not spoken. Text without markdown is spoken as it is.
    """
    if _CODE.match(sentence) or _RULE.fullmatch(sentence):
        return [(sentence, "")]
    parts: list[Part] = []
    start, end = 0, len(sentence)
    if before := _BEFORE.match(sentence):
        start = before.end()
        parts.append((before[0], ""))
        if "#" in before[0] and (after := _AFTER_HEADING.search(sentence, start)):
            end = after.start()
    parts.extend(_inline_parts(sentence[start:end], is_row=sentence.startswith("|", start)))
    if end < len(sentence):
        parts.append((sentence[end:], ""))
    spoken = "".join(each for _, each in parts)
    if spoken != sentence and not any(map(str.isalnum, spoken)):
        return [(sentence, "")]
    return parts


def _inline_parts(text: str, *, is_row: bool = False) -> Iterator[Part]:
    at = 0
    for match in _INLINE.finditer(text):
        if match.start() > at:
            yield text[at : match.start()], text[at : match.start()]
        at = match.end()
        kind = match.lastgroup or ""
        if kind in ("link", "named"):
            text_of_link = match["text" if kind == "link" else "label"]
            yield "[", ""
            yield from _inline_parts(text_of_link)
            yield match[0][1 + len(text_of_link) :], ""
        elif kind == "cell":
            yield match[0], _between_cells(match, is_row=is_row)
        else:
            yield from _SPOKEN[kind](match)
    if at < len(text):
        yield text[at:], text[at:]


def _speak_nothing(match: re.Match[str]) -> Iterator[Part]:
    yield match[0], ""


def _speak_group(group: str) -> Callable[[re.Match[str]], Iterator[Part]]:
    """Return a function that speaks one group of a match, and nothing around it."""

    def parts(match: re.Match[str]) -> Iterator[Part]:
        start, end = match.start(group) - match.start(), match.end(group) - match.start()
        yield match[0][:start], ""
        yield match[group], match[group]
        yield match[0][end:], ""

    return parts


def _speak_host(match: re.Match[str]) -> Iterator[Part]:
    host = _HOST.match(match["url"] or match[0])
    assert host is not None
    start = match[0].index(host[0]) + host.start(1)
    yield match[0][:start], ""
    yield host[1], host[1]
    yield match[0][start + len(host[1]) :], ""


def _speak_entity(match: re.Match[str]) -> Iterator[Part]:
    yield match[0], html.unescape(match[0]).replace("\xa0", " ")


def _speak_key(match: re.Match[str]) -> Iterator[Part]:
    yield match[0][0], match[0][0]
    yield match[0][1:], ""


def _speak_space(match: re.Match[str]) -> Iterator[Part]:
    """Speak a space between two words that only an emoji or a tag separates."""
    before, after = _characters_around(match)
    parts_words = not before.isspace() and after.isalnum()
    yield match[0], " " if parts_words else ""


def _speak_marks(match: re.Match[str]) -> Iterator[Part]:
    yield match[0], match[0] if _is_text(match) else ""


def _is_text(match: re.Match[str]) -> bool:
    """Return whether marks are text and not emphasis: they stand alone, or within a word or a number."""
    (before, after), mark = _characters_around(match), match[0][0]
    if before.isspace() and after.isspace():
        return True
    if mark == "~":
        return False
    if before.isalnum() and after.isalnum():
        if mark == "_" or before.isdigit() or after.isdigit():
            return True
        return match[0] == "*" and match.string.count("*") == 1
    return match[0] == "*" and match.string.count("*") == 1 and (before.isdigit() or after.isdigit())


def _between_cells(match: re.Match[str], *, is_row: bool) -> str:
    before, after = _characters_around(match)
    if before.isspace() or after.isspace():  # at either end of the line
        return ""
    return ", " if is_row or match[0] != "|" else match[0]


def _characters_around(match: re.Match[str]) -> tuple[str, str]:
    text = match.string
    return text[match.start() - 1 : match.start()] or " ", text[match.end() : match.end() + 1] or " "


_SPOKEN: Final[Mapping[str, Callable[[re.Match[str]], Iterator[Part]]]] = {
    "escaped": lambda match: iter([("\\", ""), (match[0][1], match[0][1])]),
    "code": _speak_group("coded"),
    "image": _speak_group("alt"),
    "note": _speak_nothing,
    "opened": _speak_nothing,
    "target": _speak_nothing,
    "address": _speak_group("mail"),
    "linked": _speak_host,
    "bare": _speak_host,
    "tag": _speak_space,
    "entity": _speak_entity,
    "key": _speak_key,
    "emoji": _speak_space,
    "marks": _speak_marks,
    "tick": _speak_nothing,
}
