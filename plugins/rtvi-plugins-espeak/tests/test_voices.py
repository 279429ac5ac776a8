"""The names of voices, and the error for an unknown one."""

from __future__ import annotations

import pytest

from rtvi_plugins.errors import InvalidConfig
from rtvi_plugins_espeak._voices import Voice, read_voices

VOICES = read_voices(
    [
        ["English (Great Britain)", ["en-gb", "en"], "gmw/en"],
        ["English (America)", ["en-us", "en"], "gmw/en-US"],
        ["Chinese (Cantonese)", ["yue", "zh"], "sit/yue"],
        ["Chinese (Cantonese, latin as Jyutping)", ["yue", "zh"], "sit/yue-Latn-jyutping"],
    ],
    [["female3", ["variant"], "!v/f3"], ["Mr_Serious", ["variant"], "!v/Mr serious"]],
)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("en-us", "gmw/en-US"),
        ("EN-US", "gmw/en-US"),
        (" en-us ", "gmw/en-US"),
        ("English (America)", "gmw/en-US"),
        ("en", "gmw/en"),
        ("en-gb", "gmw/en"),
        ("yue", "sit/yue"),
        ("zh", "sit/yue"),
        ("yue-latn-jyutping", "sit/yue-Latn-jyutping"),
        ("en-us+f3", "gmw/en-US+f3"),
        ("en-us+F3", "gmw/en-US+f3"),
        ("en-us+female3", "gmw/en-US+f3"),
        ("en-gb+mr serious", "gmw/en+Mr serious"),
    ],
)
def test_a_voice_is_found_by_any_of_its_names(name: str, found: str) -> None:
    """These are its language, its file and its full name, in any case, and with a variant after a plus."""
    assert VOICES.find(name) == found


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("en-uss", "unknown voice 'en-uss'; did you mean 'en-us'?"),
        ("../../etc/passwd", "unknown voice '../../etc/passwd'; known: en-gb, en-us, yue"),
        ("", "unknown voice ''; known: en-gb"),
        ("en-us+f33", "unknown variant of a voice 'f33'; did you mean 'f3'?"),
        ("en-us+", "unknown variant of a voice ''; known: female3"),
    ],
)
def test_a_wrong_name_is_answered_with_the_nearest(name: str, message: str) -> None:
    """If no name is similar, the error has all names."""
    with pytest.raises(InvalidConfig) as caught:
        VOICES.find(name)
    assert message in str(caught.value)
    assert caught.value.problems[0].path == "$.voice"


@pytest.mark.parametrize(
    ("language", "voices"),
    [
        ("en", ["en-gb", "en-us"]),
        ("EN-us", ["en-us"]),
        ("zh", ["yue", "yue-latn-jyutping"]),
        ("e", []),
        ("", ["en-gb", "en-us", "yue", "yue-latn-jyutping"]),
    ],
)
def test_voices_are_listed_by_language(language: str, voices: list[str]) -> None:
    """A language may have a region. Each voice has the name that the option accepts."""
    assert [voice.voice for voice in VOICES.of(language)] == voices
    assert all(VOICES.find(voice.voice) for voice in VOICES.voices)


def test_a_voice_tells_its_name_and_languages() -> None:
    """They are in the form that people read."""
    assert VOICES.of("en-us") == [Voice("en-us", "English (America)", ["en-us", "en"])]
    assert VOICES.variants == ["f3", "Mr serious"]
