"""Full stops that never end a sentence: of abbreviations, initials and numbers, in English, German and Spanish.

An abbreviation that often ends a sentence (`etc.`, `Inc.`, `usw.`) is not listed: there the next word decides.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ("ends_nothing",)

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

    `text` is the sentence so far, or its last 64 characters. `marks` is the whole run of marks: an ellipsis is not an
    abbreviation.
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
