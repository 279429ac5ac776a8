r"""Secrets: `Secret`, which does not show its value, and finding a secret in any text, to cover it there.

Text is searched as UTF-8 bytes: first unchanged, then with its escapes decoded (`%2B`, `\n`, `\u002b`), in several
layers. A secret in decoded text is covered in the original text.

The module has more than 300 lines because the forms in which libraries and vendors show a secret have one home.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cache, cached_property
from typing import TypeAlias, final
from urllib.parse import unquote
from weakref import WeakKeyDictionary

__all__ = ("Secret", "SecretForms", "redact", "scrub", "secrets_in_environment")

# ---- covering text -------------------------------------------------------------------------------------------------

#: The replacement for a secret.
_COVER = "…"

#: The minimum length of a form that is also searched in parts. The parts of shorter forms are too common.
_LONG = 16

#: The minimum length of a part at the beginning or end of a long value, and of a part in its middle.
_PART = 8

_MIDDLE = 12

#: The maximum length of a text whose parts are kept in memory.
_SHORT = 50_000

#: A part of the middle contains, wherever it begins, one of the pieces that are cut out at this distance.
_STEP = _MIDDLE - _PART + 1

#: The marks that vendors write in place of the hidden part of a key.
_GAP = re.compile(rb"(?:\*|\.|\xe2\x80\xa6|\xe2\x80\xa2){2,}|[xX#]{3,}|\xe2\x80\xa6")

#: The minimum length of a value that may be shown abridged.
_ABRIDGED = 12

#: The user name and the password of a URL.
_USERINFO = re.compile(rb"(?<=://)[^/?#\s\"'<>@]*(?:@[^/?#\s\"'<>@]+)*(?=@)")

#: The maximum number of layers of escapes that are decoded.
_LAYERS = 3

Span: TypeAlias = "tuple[int, int]"


class SecretForms:
    """The forms of a secret's value. This object never shows them."""

    __slots__ = ("__find",)

    def __init__(self, value: str) -> None:
        forms = list(dict.fromkeys(each for each in _forms(value) if each))
        short = [each for each in forms if len(each) < _LONG]
        pieces = dict[bytes, list[tuple[bytes, int]]]()
        for each in dict.fromkeys(form.lower() for form in forms if len(form) >= _LONG):
            for at in {*range(0, len(each) - _PART, _STEP), len(each) - _PART}:
                pieces.setdefault(each[at : at + _PART], []).append((each, at))
        abridged = _Abridged(forms[0]) if forms and len(forms[0]) >= _ABRIDGED else None

        def find(view: _View) -> Iterator[Span]:
            for form in short:
                yield from _whole(view.text, form)
            for piece in view.holds(pieces):
                for form, at in pieces[piece]:
                    yield from _parts(view, form, at)
            if abridged is not None and view.gaps:
                yield from abridged.find(view)

        self.__find: Callable[[_View], Iterator[Span]] = find

    def find(self, view: _View) -> Iterator[Span]:
        """Yield the spans of a text that contain the value or a part of it."""
        return self.__find(view)


class _View:
    """A text to search. It caches data that every secret needs, because there may be a thousand secrets."""

    def __init__(self, text: bytes, starts: list[int] | None) -> None:
        self.text = text
        #: Where in the original each byte begins, and its end; None for the original.
        self.starts = starts

    @cached_property
    def lowered(self) -> bytes:
        """Return the text in lower case, because libraries change the case of host names and headers."""
        return self.text.lower()

    @cached_property
    def parts(self) -> frozenset[bytes]:
        """Return all parts of the lower-case text with the length of a secret's shortest part."""
        text = self.lowered
        return frozenset(text[at : at + _PART] for at in range(len(text) - _PART + 1))

    def holds(self, pieces: Collection[bytes]) -> Iterable[bytes]:
        """Return the pieces that occur in the lower-case text."""
        if len(self.text) <= _SHORT:
            return self.parts.intersection(pieces)
        return [each for each in pieces if each in self.lowered]

    @cached_property
    def gaps(self) -> list[tuple[int, int, bytes, bytes]]:
        """Return each gap: its start and end, and the two bytes on each side."""
        found = (match.span() for match in _GAP.finditer(self.text))
        return [(begin, end, self.text[max(0, begin - 2) : begin], self.text[end : end + 2]) for begin, end in found]


def redact(text: str, needles: Iterable[SecretForms]) -> str:
    """Return `text` with all secrets covered, and the user name and password of every URL."""
    raw = text.encode("utf-8", "surrogatepass")
    spans = [match.span() for match in _USERINFO.finditer(raw)]
    searched = list(needles)
    for view in _views(raw):
        found = (span for each in searched for span in each.find(view))
        starts = view.starts
        spans += [(starts[begin], starts[end]) for begin, end in found] if starts is not None else found
    return _cover(raw, spans).decode("utf-8", "surrogatepass") if spans else text


def _cover(raw: bytes, spans: Iterable[Span]) -> bytes:
    """Return the text with the spans covered. Spans that overlap or touch become one."""
    shown, done, ended = list[bytes](), 0, -1
    for begin, end in sorted(spans):
        if begin > ended:
            shown += [raw[done:begin], _COVER.encode()]
        done = ended = max(done, end)
    return b"".join((*shown, raw[done:]))


# ---- forms of a value ----------------------------------------------------------------------------------------------


def _forms(value: str) -> Iterator[bytes]:
    # Providers strip a key that was read from a file with its newline.
    for text in (value.strip(), value) if value.strip() else ():
        raw = text.encode("utf-8", "surrogatepass")
        yield raw
        yield raw.replace(b" ", b"+")  # a query
        yield raw.decode("latin-1").encode()  # the repr of bytes
        if len(raw) >= _PART:
            yield from (raw.hex().encode(), raw.hex().upper().encode())
            for before in range(3):
                form = _base64(raw, before)
                yield from (form, form.replace(b"+", b"-").replace(b"/", b"_"))


def _base64(raw: bytes, before: int) -> bytes:
    """Return the base64 of a value after `before` other bytes, as in Basic auth. Shared characters are left out."""
    encoded = b64encode(bytes(before) + raw)
    bits = 8 * before, 8 * (before + len(raw))
    return encoded[-(-bits[0] // 6) : bits[1] // 6]


# ---- finding -------------------------------------------------------------------------------------------------------


def _whole(text: bytes, form: bytes) -> Iterator[Span]:
    at = text.find(form)
    while at >= 0:
        yield at, at + len(form)
        at = text.find(form, at + 1)


def _parts(view: _View, form: bytes, at: int) -> Iterator[Span]:
    """Yield the spans of the text that contain the piece of a long form at `at`, extended as far as both are equal.

    Such a span is a part of the secret, unless it is short or an ordinary word. `form` is in lower case.
    """
    text, piece = view.lowered, form[at : at + _PART]
    found = text.find(piece)
    while found >= 0:
        before = _common(form[:at][::-1], text[max(0, found - at) : found][::-1])
        length = before + _common(form[at:], text[found : found + len(form) - at])
        begin, end = found - before, found - before + length
        is_end = before == at or length - before == len(form) - at
        if (is_end or length >= _MIDDLE) and _is_rare(view.text[begin:end], form):
            yield begin, end
        found = text.find(piece, max(found + 1, end - _PART + 1))


def _common(one: bytes, other: bytes) -> int:
    """Return the length of the common prefix of two texts."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((index for index, (mine, others) in pairs if mine != others), min(len(one), len(other)))


def _is_rare(part: bytes, form: bytes) -> bool:
    """Return whether a part is at least half of the value, or does not look like an ordinary word."""
    return 2 * len(part) >= len(form) or not (part.isalpha() and (part.islower() or part.isupper() or part.istitle()))


class _Abridged:
    """Finds a value with a hidden part, such as `sk-abc...wxyz`, `sk-abc****` or `****c-wxyz`."""

    def __init__(self, value: bytes) -> None:
        self._value = value
        #: The sizes of its beginnings by their last two bytes, and of its ends by their first two, the largest first.
        self._begins, self._ends = dict[bytes, list[int]](), dict[bytes, list[int]]()
        for size in range(len(value) - 1, 1, -1):
            self._begins.setdefault(value[size - 2 : size], []).append(size)
            self._ends.setdefault(value[-size:][:2], []).append(size)

    def find(self, view: _View) -> Iterator[Span]:
        text, value = view.text, self._value
        for begin, end, before, after in view.gaps:
            left = next((size for size in self._begins.get(before, ()) if text.endswith(value[:size], 0, begin)), 0)
            right = next((size for size in self._ends.get(after, ()) if text.startswith(value[-size:], end)), 0)
            both = left and right and left + right >= 6
            if (
                both
                or (left >= 4 and _is_rare(value[:left], value))
                or (right >= 4 and _is_rare(value[-right:], value))
            ):
                yield begin - left, end + right


# ---- decoding ------------------------------------------------------------------------------------------------------

_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")

_BACKSLASH = re.compile(
    rb"\\(?:(u[dD][89abAB][0-9A-Fa-f]{2}\\u[dD][c-fC-F][0-9A-Fa-f]{2})"  # two halves of a character
    rb"|(?:u([0-9A-Fa-f]{4})|U(000[0-9A-Fa-f]{5})|x([0-9A-Fa-f]{2}))|([0-3][0-7]{2})|([nrtbf\"'\\/]))"
)

_ENTITY = re.compile(rb"&(?:#0*(\d{2,6})|#[xX]0*([0-9A-Fa-f]{2,5})|(amp|lt|gt|quot|apos));")

_LETTERS = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}

_NAMES = {b"amp": b"&", b"lt": b"<", b"gt": b">", b"quot": b'"', b"apos": b"'"}


def _percent(match: re.Match[bytes]) -> bytes:
    return bytes([int(match[1], 16)])


def _backslash(match: re.Match[bytes]) -> bytes:
    pair, *codes, octal, letter = match.groups()
    if pair:
        halves = bytes.fromhex(pair[1:5].decode() + pair[7:].decode())
        return halves.decode("utf-16-be").encode()
    if letter:
        return _LETTERS.get(letter, letter)
    code = next((each for each in codes if each), None)
    return _character(int(octal, 8) if code is None else int(code, 16))


def _entity(match: re.Match[bytes]) -> bytes:
    if match[3]:
        return _NAMES[match[3]]
    return _character(int(match[1]) if match[1] else int(match[2], 16))


def _character(code: int) -> bytes:
    return chr(code).encode("utf-8", "surrogatepass")


_DECODERS = ((_PERCENT, _percent), (_BACKSLASH, _backslash), (_ENTITY, _entity))


def _views(raw: bytes) -> Iterator[_View]:
    """Yield the text unchanged, then decoded: one kind of escapes after the other, in several layers."""
    yield _View(raw, None)
    view, starts = raw, list[int]()
    for _ in range(_LAYERS):
        before = view
        for pattern, decode in _DECODERS:
            if pattern.search(view) is not None:
                starts = starts or list(range(len(raw) + 1))
                view, starts = _decoded(view, starts, pattern, decode)
                yield _View(view, starts)
        if view == before:
            return


def _decoded(
    view: bytes, starts: list[int], pattern: re.Pattern[bytes], decode: Callable[[re.Match[bytes]], bytes]
) -> tuple[bytes, list[int]]:
    text, places, done = bytearray(), list[int](), 0
    for match in pattern.finditer(view):
        begin, end = match.span()
        made = decode(match)
        text += view[done:begin] + made
        places += [*starts[done:begin], *(starts[begin],) * len(made)]
        done = end
    return bytes(text + view[done:]), [*places, *starts[done:]]


# ---- secrets -------------------------------------------------------------------------------------------------------


@final
class Secret:
    """A value that never shows itself: not in `repr`, `str`, a format, a log, a pickle or a crash report.

    Only `reveal()` returns it. Call it only where you pass the value to a vendor.
    """

    __slots__ = ("__reveal", "__weakref__")

    def __init__(self, value: str) -> None:
        # A closure, so that tools which print an object's slots find no text.
        def reveal() -> str:
            return value

        self.__reveal: Callable[[], str] = reveal
        _alive[self] = cache(lambda: SecretForms(value))  # made when the first text is scrubbed

    def reveal(self) -> str:
        """Return the value itself. Do not store, log or format it."""
        return self.__reveal()

    def __repr__(self) -> str:
        return "Secret('…')"

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> str:
        raise TypeError("a Secret cannot be pickled")

    def __bool__(self) -> bool:
        return bool(self.__reveal())


#: Every secret in use, with how it is found. A vendor's exception may quote a key: all that is logged is scrubbed.
_alive: WeakKeyDictionary[Secret, Callable[[], SecretForms]] = WeakKeyDictionary()


def scrub(text: str) -> str:
    """Return `text` without the values of the secrets in use, and without the user name and password of any URL.

    A value is also found percent-encoded, escaped as in JSON or `repr`, in base64 or hexadecimal, and if only a part of
    it is shown, as in `sk-abc…wxyz`. A long value is found in upper and lower case.
    """
    # Many sessions have the same key: each value is looked for once.
    needles = {secret.reveal(): made for secret, made in list(_alive.items())}
    return redact(text, [made() for made in needles.values()])


# ---- keys in the environment ---------------------------------------------------------------------------------------

#: The end of the names under which people keep secrets: `OPENAI_API_KEY`, `HF_TOKEN`, `API_KEY_2`, `PGPASSWORD`.
_KEY_NAME = re.compile(
    r"((^|_)(keys?|secrets?|passphrase|pass|pwd|pat|credentials?)|apikey|secret|token|password|passwd)(_?\d+|_(previous|old))?$",
    re.IGNORECASE,
)

#: The password of a URL, as in `HTTPS_PROXY` and `DATABASE_URL`.
_PASSWORD = re.compile(r"://[^/\s:@]*:([^/\s@]+)@")

#: A shorter value under such a name is a switch or a word ("true", "default"), not a key.
_SHORTEST_KEY = 8


def secrets_in_environment(environ: Mapping[str, str], declared: Iterable[str] = ()) -> list[Secret]:
    """Return the secrets of an environment: the `declared` variables, those named like a key, and passwords in URLs."""
    found = [environ[name] for name in declared if environ.get(name)]
    named = [value for name, value in environ.items() if _KEY_NAME.search(name)]
    passwords = [unquote(match[1]) for value in environ.values() for match in _PASSWORD.finditer(value)]
    likely = [each for each in (*named, *passwords) if _is_key(each)]
    return [Secret(value) for value in dict.fromkeys((*found, *likely))]


def _is_key(value: str) -> bool:
    # A path to a key file is not a key, and would be taken out of every traceback.
    return len(value.strip()) >= _SHORTEST_KEY and not value.startswith(("/", "./", "~"))
