"""Cut streamed text into sentences, which are shown and spoken one by one.

A TTS speaks each sentence by itself, so a wrong end is heard as a pause in the middle of a phrase. If a full stop may
or may not end a sentence, the next word decides; only its first characters are waited for. The sentences are the same
however the stream is cut into pieces.

The full stops of abbreviations, initials and numbers end no sentence, in English, German and Spanish. An abbreviation
that often ends a sentence (`etc.`, `Inc.`, `usw.`) is not listed: there the next word decides.
"""

from __future__ import annotations

import re
from typing import Final

from attrs import define

__all__ = ("Sentences", "ends_nothing")

#: Abbreviations that are followed by a name or another word.
_BEFORE_MORE: Final = frozenset(
    """
    Mr Mrs Ms Mx Dr Drs Prof St Ste Mt Ft Messrs Mme Mlle Msgr Rev Fr Hon Gen Col Maj Capt Cmdr Lt Sgt Cpl Gov Sen Rep
    Pres Supt Brig Adm mr mrs ms dr prof st vs cf viz ca approx incl excl Fig Figs vol vols pp
    Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec Mon Tue Tues Wed Thu Thur Thurs Fri Sat
    Hr Hrn Frl Dipl Ing Mag Bd Nr Kap Hbf Jh Mio Mrd Tsd bzw bspw evtl ggf vgl inkl exkl zzgl abzgl zzt ugs sog insb
    einschl allg entspr ehem geb Fam Fa Abt Hl Bsp Okt Dez Mrz Jän
    Sr Sra Sres Sras Srta Srtas Dra Dres Profa Lic Lcda Arq Gral Cnel Tte Ud Uds Vd Vds Dña Sto Sta Av Avda Pza
    núm Núm pág págs Pág Págs tel Tel Excmo Excma Ilmo Ilma EE FF ej aprox ene abr sept dic
    """.split()
)
#: `a.m.`, `U.S.`, `z.B.`, `J.R.R.`; `M.Sc.`, `Ph.D.`
_INITIALS: Final = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]|[A-Z][a-z]?\.[A-Z][a-z]{0,3}")
#: Characters that may stand before the number of a line.
_LINE: Final = "-+•#>* \t"
#: Characters that are not part of the word beside them.
_BETWEEN: Final = "\"'“”„‚‘’«»‹›()[]{}*_~`¿¡/–—"
_NO_WORD: Final = re.compile(rf"[\s{re.escape(_BETWEEN)}]")
#: A number at the start of a line or after a colon numbers an item; after these words it is an ordinal.
_NUMBER: Final = re.compile(r"\d{1,3}|[ivxIVX]{1,5}")
_ORDINAL: Final = re.compile(r"\d{1,2}")
_BEFORE_ORDINAL: Final = frozenset(
    """
    der die das den dem des am im zum zur vom beim ab bis seit ein eine einen einem einer eines jeder jede jedes jeden
    jedem diese dieser dieses diesen diesem mein meine meinen meinem dein deine sein seine ihr ihre unser unsere
    """.split()
)


def ends_nothing(text: str, *, marks: str = ".") -> bool:
    """Return whether the full stop at the end of `text` belongs to its last word.

    `text` is the sentence up to there, or its last 64 characters. `marks` is the whole run of marks: an ellipsis is not
    an abbreviation.
    """
    if marks[1:2] in (".", "!", "?", "…"):
        return False
    before, word = _split(text[:-1])
    if len(word) == 1 and word.isalpha():
        return True
    if _is_abbreviation(word) or _INITIALS.fullmatch(word) is not None:
        return True
    if _NUMBER.fullmatch(word) and (not before.strip(_LINE) or before[-1] in ".:;,"):
        return True
    return _ORDINAL.fullmatch(word) is not None and _is_before_ordinal(before)


def _is_abbreviation(word: str) -> bool:
    last = word.rpartition("-")[2]  # Dipl.-Ing.
    return last in _BEFORE_MORE or (last.isupper() and last.capitalize() in _BEFORE_MORE)


def _is_before_ordinal(before: str) -> bool:
    rest, word = _split(before)
    if word.lower() not in _BEFORE_ORDINAL:
        return False
    return _split(rest)[1] != "I"  # "I am 3."


def _split(text: str) -> tuple[str, str]:
    """Return the text before the last word, and that word, neither with space at the end."""
    word = _NO_WORD.split(text[-32:])[-1]
    return text[: len(text) - len(word)].rstrip(f" \t{_BETWEEN}"), word


#: Marks that end a sentence where space follows, in scripts that write spaces; and those that need none.
_MARKS: Final = ".!?…؟۔।॥"
_WIDE: Final = "。！？｡"
#: Characters that may stand between the mark and the space: quotes, brackets, and marks of markdown.
_CLOSING: Final = "\"'”’“»«›‹)\\]}*_~`」』）】》"
#: A closing quotation mark after a space, as in French (`« Oui ! »`). An opening one has a letter after it.
_SPACED: Final = "[ \xa0\u202f]{1,3}[»›”][*_~]*+"
_SPACED_CLOSING: Final = rf"(?:{_SPACED}(?=[\s.,;:!?…)\]]))?+"
#: Characters that may stand before the next word.
_OPENING: Final = "\"'“”„‚‘’«»‹›(\\[{*_~`¿¡"
#: Marks before a question or an exclamation in Spanish. After the end of a sentence, they always start the next.
_INVERTED: Final = "¿¡"

#: Where a sentence may end. A run of marks is matched only from its start.
_END: Final = re.compile(
    rf"(?<![{_MARKS}])[{_MARKS}]++[{_CLOSING}]*+{_SPACED_CLOSING}(?=\s)|\n+|(?<![{_WIDE}])[{_WIDE}]++[{_CLOSING}]*+"
    r"|(?<!\S)(?=`{3,}[ \t]{0,8}[\w+#.-]{0,30}[ \t]{0,8}(?:\n|\Z))"  # a block of code that begins within a line
)
#: Where a sentence may have ended if nothing follows.
_LAST: Final = re.compile(rf"(?<![{_MARKS}])[{_MARKS}]++[{_CLOSING}]*+\Z")
_REST_IS_CLOSING: Final = re.compile(rf"{_SPACED}\s*\Z")
_NEXT: Final = re.compile(rf"[^\S\n]*([{_OPENING}]*)")
#: How many characters after a possible end are searched for the next word.
_AHEAD: Final = 24

#: The longest sentence, in characters. A longer one is cut between two words.
_LONGEST: Final = 600
#: In text without capitals, a sentence that is longer than this ends although a small letter follows.
_SMALL: Final = 100

#: The first line of a block of code in markdown. The block is one piece, because it is shown and not spoken.
_FENCE: Final = re.compile(r"(`{3,}|~{3,})[^\n`~]{0,80}(\n?)")
#: LLMs also write text after a closing fence and a space. One word alone is the language of an inner fence.
_AFTER_FENCE: Final = r"[ \t]++(?a:(?=[\w+#.-]*(?:[^\w+#.\s-]|[.-]\s|[ \t]+\S)))"

#: No sentence ends within the text of a link, or within code, of at most this many characters.
_LINK: Final = 200


@define
class Sentences:
    """Collects text and returns each sentence once it is whole."""

    _uncut: str = ""
    #: The position in the rest before which no sentence ends.
    _searched: int = 0
    #: Whether the text ends with a sentence, unless the next word continues it.
    waits: bool = False

    @property
    def rest(self) -> str:
        """Return the end of the text, which is in no sentence yet."""
        return self._uncut

    def feed(self, text: str) -> list[str]:
        """Add text, and return the sentences that are whole now."""
        self._uncut += text
        return self._cut_sentences(last=False)

    def flush(self) -> list[str]:
        """Return the rest, when the text has ended."""
        sentences = self._cut_sentences(last=True)
        self._uncut, self._searched = "", 0
        return sentences

    def settle(self) -> list[str]:
        """Return the sentence that waits for the next word, if there is one, without waiting longer."""
        return self._cut_sentences(last=False, settle=True) if self.waits else []

    def _cut_sentences(self, *, last: bool, settle: bool = False) -> list[str]:
        sentences: list[str] = []
        self.waits = False
        start = _after_space(self._uncut, 0)
        while start < len(self._uncut):
            end = self._end_of_sentence(start, last=last, settle=settle)
            if end is None:
                break
            sentences.append(self._uncut[start:end].strip())
            start = self._searched = _after_space(self._uncut, end)
        self._uncut, self._searched = self._uncut[start:], max(0, self._searched - start)
        return sentences

    def _end_of_sentence(self, start: int, *, last: bool, settle: bool) -> int | None:
        """Return where the sentence from `start` ends; None as long as that is unknown."""
        text = self._uncut
        if text.startswith(("```", "~~~"), start) and (fence := _FENCE.match(text, start)) is not None:
            if fence[2] or (last and fence.end() == len(text)):
                return self._end_of_code(fence, last=last)
            if fence.end() == len(text):
                return None  # the line is not whole: it may be code within a sentence
        for match in _END.finditer(text, max(start, self._searched), start + _LONGEST + _AHEAD):
            if match.end() - start > _LONGEST:
                break
            is_end = self._is_end(match, start, last=last or settle)
            if is_end is None:
                self._searched, self.waits = match.start(), True
                return None
            if is_end:
                is_closed = (last or settle) and _REST_IS_CLOSING.match(text, match.end())
                return len(text) if is_closed else match.end()
        if len(text) - start > _LONGEST + _AHEAD or (last and len(text) - start > _LONGEST):
            at = text.rfind(" ", start + 1, start + _LONGEST)
            return at + 1 if at > 0 else start + _LONGEST
        if last:
            return len(text)
        # An end may still be made of the marks with which the text ends.
        self._searched = max(start, len(text.rstrip(f"{_MARKS}{_WIDE}{_CLOSING}")))
        self.waits = self._may_have_ended(start)
        return len(text) if self.waits and settle else None

    def _may_have_ended(self, start: int) -> bool:
        """Return whether the text ends with the end of a sentence, unless it continues without a space, as in `3.5`."""
        match = _LAST.search(self._uncut, self._searched)
        if match is None or self._uncut[match.start() - 1 : match.start()].isdigit():
            return False
        return not self._is_within(match, start)

    def _end_of_code(self, fence: re.Match[str], *, last: bool) -> int | None:
        text = rf"{_AFTER_FENCE}|[ \t]+(?=.*\Z)" if last else _AFTER_FENCE
        closing_fence = re.compile(rf"\n[ \t>]*{fence[1]}+(?:[ \t]*(?=\n)|{text})").search(
            self._uncut, max(fence.end() - 1, self._searched)
        )
        if closing_fence is not None:
            return closing_fence.end()
        self._searched = max(fence.end() - 1, self._uncut.rfind("\n"))
        return len(self._uncut) if last else None

    def _is_end(self, match: re.Match[str], start: int, *, last: bool) -> bool | None:
        """Return whether a sentence ends here; None as long as that is unknown."""
        text, end = self._uncut, match.end()
        if not match[0]:
            return self._is_code(end, start, last=last)
        if match[0][0] == "\n":
            return True
        if match[0][0] in _WIDE:
            return True if end < len(text) or last else None  # more of it may come
        if self._is_within(match, start):
            return False
        ahead = _NEXT.match(text, end, end + _AHEAD)
        assert ahead is not None
        at = ahead.end()
        if at >= end + _AHEAD or text.startswith("\n", at):
            return True
        if at == len(text):
            return True if last else None
        if any(each in _INVERTED for each in ahead[1]):
            return True
        return self._begins_sentence(text[at], match, start)

    def _is_within(self, match: re.Match[str], start: int) -> bool:
        """Return whether marks stand within a link or code, or are part of an abbreviation."""
        text, end = self._uncut, match.end()
        if _is_open(text, start, end):
            return True
        return match[0][0] == "." and ends_nothing(text[max(start, end - 64) : match.start() + 1], marks=match[0])

    def _is_code(self, at: int, start: int, *, last: bool) -> bool | None:
        """Return whether a block of code starts here; None as long as that is unknown."""
        fence = _FENCE.match(self._uncut, at)
        if fence is None or self._uncut.count("```", start, at) % 2 == 1:  # it may end code within a line
            return False
        if fence[2] or last:
            return bool(fence[2])
        return None if fence.end() == len(self._uncut) else False

    def _begins_sentence(self, next: str, match: re.Match[str], start: int) -> bool:
        """Return whether the next word can start a sentence: not in small letters, and no digit after a full stop."""
        if next.islower():
            text = self._uncut[start : match.start()]
            return len(text) > _SMALL and text == text.lower()
        return not (next.isdigit() and match[0][0] == ".")


def _is_open(text: str, start: int, end: int) -> bool:
    """Return whether the text of a link, or code, has started and not ended."""
    start = max(start, end - _LINK)
    return text.rfind("[", start, end) > text.rfind("]", start, end) or text.count("`", start, end) % 2 == 1


def _after_space(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at
