"""The signature of a plain function: what is injected, what is sent, and its documentation."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Annotated, Any

import pytest
from attrs import frozen
from attrs.validators import ge
from typing_extensions import Doc, TypeAliasType, deprecated

from rtvi_plugins import Secret, Session, Was
from rtvi_plugins.declare.signature import Signature, read_signature
from rtvi_plugins.declare.types import check
from rtvi_plugins.errors import DeclarationError


class Size(Enum):
    """A size."""

    SMALL = "small"
    BIG = "big"


@frozen
class Range:
    """A range."""

    low: int = 0
    high: int = 9


Pitch = TypeAliasType("Pitch", Annotated[float, Doc("How high."), Was("tone")])


def signature(function: Callable[..., Any], *, given: str = "", defaults: bool = False) -> Signature:
    """The signature of a function that needs no slash."""
    return read_signature(function, given=given, example="(llm: LLM, /)", defaults=defaults)


def mistake(function: Callable[..., Any], **how: Any) -> str:
    """The error for the author."""
    with pytest.raises(DeclarationError) as raised:
        signature(function, **how)
    return str(raised.value)


def test_before_the_slash_is_given_and_after_it_sent() -> None:
    """Each group keeps its order. Injected parameters have their annotations."""

    def say(tts: object, session: Session, /, text: str, *, loud: bool = False) -> None: ...

    found = signature(say)
    assert found.given == {"tts": object, "session": Session}
    assert {name: each.required for name, each in found.sent.items()} == {"text": True, "loud": False}
    assert found.returns is type(None)


def test_the_doc_is_the_first_paragraph() -> None:
    """It is on one line, as clients show it."""

    def say(text: str) -> None: ...

    say.__doc__ = "Says it,\n    and nothing else.\n\n    More for readers of the code."

    assert signature(say).doc == "Says it, and nothing else."


def test_annotations_tell_docs_former_names_and_deprecation() -> None:
    """This is true also inside of an optional type, and under an alias."""

    def say(
        text: Annotated[str, Doc("What to say."), Was("sentence"), Was("words")],
        voice: Annotated[str, Was("speaker"), Doc("Who.")] | None = None,
        speed: Annotated[float, deprecated("Use pace."), ge(0)] = 1.0,
        pitch: Pitch = 1.0,
    ) -> None: ...

    sent = signature(say).sent
    assert (sent["text"].doc, sent["text"].was) == ("What to say.", ("sentence", "words"))
    assert (sent["voice"].doc, sent["voice"].was) == ("Who.", ("speaker",))
    assert sent["speed"].deprecated == "Use pace."
    assert (sent["pitch"].doc, sent["pitch"].was) == ("How high.", ("tone",))
    assert check(sent["speed"].shape, -1.0)[1]


def test_defaults_are_kept_in_their_json_form() -> None:
    """A member of an enum becomes its value, and an attrs object becomes an object."""

    def configure(size: Size = Size.BIG, range: Range = Range(low=1), names: tuple[str, ...] = ("a",)) -> None: ...

    sent = signature(configure).sent
    assert sent["size"].default == "big"
    assert sent["range"].default == {"low": 1, "high": 9}
    assert list(sent["names"].default) == ["a"]


def test_a_default_that_does_not_fit_is_refused() -> None:
    """The default must fit the type and the constraint."""
    fast: Any = "fast"
    nothing: Any = None

    def wrong_type(speed: int = fast) -> None: ...

    def none(speed: int = nothing) -> None: ...

    def out_of_bounds(speed: Annotated[int, ge(1)] = 0) -> None: ...

    assert "the default of 'speed' does not fit its type: expected a whole number" in mistake(wrong_type)
    assert mistake(none).endswith("got null. If it may be None, write | None after its type.")
    assert "the default of 'speed' does not fit its type: must be >= 1, got 0" in mistake(out_of_bounds)


@pytest.mark.parametrize("value", [["a"], {"a": 1}, {"a"}, bytearray()])
def test_a_default_that_every_call_would_share_is_refused(value: Any) -> None:
    """The error says what to use instead."""

    def configure(names: Any) -> None: ...

    configure.__annotations__["names"] = "list[str]"
    configure.__defaults__ = (value,)
    assert "Use (), None or a frozen attrs object." in mistake(configure)


def test_what_is_given_stands_before_the_slash() -> None:
    """Otherwise a client would send the key or the session."""

    def open_service(api_key: Secret) -> None: ...

    def say(session: Session, text: str) -> None: ...

    assert "'api_key' is given by the framework. Put a '/' after it" in mistake(open_service)
    assert "'session' is given by the framework. Put a '/' after it" in mistake(say)


def test_a_missing_slash_is_refused_where_something_is_given() -> None:
    """The error has what is before the slash, and an example."""

    def say(text: str) -> None: ...

    assert "before the '/' an action takes X, as in (llm: LLM, /)." in mistake(say, given="an action takes X")


def test_a_given_parameter_takes_no_default() -> None:
    """Such a parameter is always passed."""

    def say(session: Session | None = None, /) -> None: ...

    assert "'session' is before the '/' and is injected, so it takes no default" in mistake(say)


def test_what_cannot_be_described_is_refused() -> None:
    """Examples are any number of arguments, an argument without a type, and a type that JSON does not have."""

    def many(*texts: str) -> None: ...

    def more(**texts: str) -> None: ...

    def raw(audio: bytes) -> None: ...

    def bare(text: str) -> None: ...

    def bare_given(tts: object, /) -> None: ...

    del bare.__annotations__["text"], bare_given.__annotations__["tts"]

    assert "*texts cannot be described to a client. Name each argument." in mistake(many)
    assert "**texts cannot be described to a client. Name each argument." in mistake(more)
    assert "'audio' is bytes, which has no RTVI type. Use str" in mistake(raw)
    assert "annotate 'text'." in mistake(bare)
    assert "annotate 'tts'." in mistake(bare_given)


def test_an_option_has_a_default() -> None:
    """A service option needs one too. An argument does not."""

    def configure(model: str) -> None: ...

    assert "give 'model' a default." in mistake(configure, defaults=True)
    assert signature(configure).sent["model"].required


def test_a_name_stands_for_one_thing() -> None:
    """Former names count as names."""

    def say(text: Annotated[str, Was("words")], words: str = "") -> None: ...

    assert "uses the name 'words' twice, counting former names." in mistake(say)


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ("Missing", "cannot resolve the annotation 'Missing'. Import it at module level"),
        ("pytest.Missing", "has an annotation that is not a type"),
        ("list[", "has an annotation that is not a type"),
        ("list[int, *3]", "has an annotation that is not a type"),
        ("3", "'text' is 3, which has no RTVI type"),
    ],
)
def test_an_annotation_that_cannot_be_read_is_the_authors_mistake(annotation: str, message: str) -> None:
    """This is true for every exception of Python."""

    def say(text: str) -> None: ...

    say.__annotations__["text"] = annotation
    assert message in mistake(say)
