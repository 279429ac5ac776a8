"""The text filter with pronunciations, and with numbers in the words of a language."""

from __future__ import annotations

import logging
import sys
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtvi_plugins import LLM, TTS, Session, bot, converse
from rtvi_plugins.errors import AuthorError
from rtvi_plugins.kinds import Text
from rtvi_plugins.voice import TextFilter, text_filter

from ..fakes.conversation import said, shown, spoken, wait, write
from ..fakes.providers import Fakes
from ..fakes.wire import Wire, settle

TABLE = {"Vera": "Veera", "RTVI": "R T V I", "Vera Cruz": "Veera Croos", "C++": "C plus plus", "東京": "とうきょう"}


def speak(sentence: str, language: Any = None) -> str:
    """The spoken text of a sentence. The shown parts together must be the sentence."""
    parts = TextFilter(TABLE, language)(sentence)
    assert "".join(part for part, _ in parts) == sentence
    return "".join(text for _, text in parts)


@pytest.mark.parametrize(
    ("sentence", "text"),
    [
        ("Vera speaks RTVI.", "Veera speaks R T V I."),
        ("**Vera**: see [RTVI](https://e.org).", "Veera: see R T V I."),
        ("Vera Cruz is not Vera.", "Veera Croos is not Veera."),
        ("Verandas, vera and MyRTVI stay.", "Verandas, vera and MyRTVI stay."),
        ("We write C++.", "We write C plus plus."),
        ("東京です。", "とうきょうです。"),
        ("21 rooms.", "21 rooms."),
    ],
)
def test_words_of_the_table_are_replaced(sentence: str, text: str) -> None:
    """Only whole words with the same capitals are replaced, the longest first. Without a language, numbers stay."""
    assert speak(sentence) == text


@pytest.mark.parametrize(
    ("language", "sentence", "text"),
    [
        ("en", "Vera has 21 rooms.", "Veera has twenty-one rooms."),
        ("en", "1,234 of 3.5, or -4.", "one thousand two hundred thirty-four of three point five, or minus four."),
        ("en", "It is $12.50, 80 € or EUR 1.", "It is twelve US dollars fifty, eighty euros or one euro."),
        ("en", "On 2026-11-29 at 15:30.", "On November twenty-ninth, twenty twenty-six at fifteen thirty."),
        (
            "en",
            "11/29/2026, 9:00, 3:05 pm.",
            "November twenty-ninth, twenty twenty-six, nine o'clock, three oh five p m.",
        ),
        ("en-GB", "On 29/11/2026.", "On twenty-ninth November twenty twenty-six."),
        ("en", "The 3rd of 5% in 1999.", "The third of five percent in nineteen ninety-nine."),
        (
            "en",
            "Code 0042, +49 30 123456.",
            "Code zero zero four two, plus four nine three zero one two three four five six.",
        ),
        (
            "de",
            "Am 29.11.2026 um 15:30 Uhr.",
            "Am neunundzwanzigsten November zweitausendsechsundzwanzig um fünfzehn Uhr dreißig.",
        ),
        ("de", "Der 3.5.2027, 1:00 Uhr.", "Der dritte Mai zweitausendsiebenundzwanzig, ein Uhr."),
        (
            "de",
            "1.234,50 € und 5 %.",
            "eintausendzweihundertvierunddreißig Euro fünfzig und fünf Prozent.",
        ),
        (
            "fr",
            "Le 29/11/2026 à 1:30, 1 €.",
            "Le vingt-neuf novembre deux mille vingt-six à une heure trente, un euro.",
        ),
        ("es", "El 29/11/2026, 21 €.", "El veintinueve de noviembre de dos mil veintiséis, veintiún euros."),
        ("nl", "Om 15:30 uur.", "Om vijftien uur dertig."),
        ("pl", "12,50 EUR", "dwanaście euro pięćdziesiąt"),
    ],
)
def test_numbers_are_spoken_in_the_words_of_the_language(language: str, sentence: str, text: str) -> None:
    """This includes ordinals, years, codes, dates, times, percentages and amounts of money."""
    assert speak(sentence, language) == text


@pytest.mark.parametrize(
    "sentence",
    [
        "v3.11.2",
        "10.0.0.1",
        "B12",
        "3/4",
        "8-10",
        "2.0",
        "2026-13-45",
        "32/13/2026",
        "25:99",
        "12.345.6",
        "#5",
        "a@1.de",
    ],
)
def test_an_ambiguous_number_is_left_to_the_voice(sentence: str) -> None:
    """Examples are versions, addresses, ranges, fractions and dates that do not exist."""
    assert speak(sentence, "en") == sentence


def test_tags_for_the_voice_stay() -> None:
    """Their attributes are not changed."""
    tagged = '<prosody rate="10%" name="Vera">21</prosody>'
    assert speak(tagged, "en") == '<prosody rate="10%" name="Vera">twenty-one</prosody>'


def test_the_table_comes_before_the_words_of_numbers() -> None:
    """So a bot can choose the words for one number."""
    assert "".join(text for _, text in TextFilter({"911": "nine one one"}, "en")("Call 911, not 912.")) == (
        "Call nine one one, not nine hundred twelve."
    )


@given(
    st.text(st.sampled_from("Vera RTVI0123456789.,:/-+%€$*`#()[]amp\n東京st"), max_size=60),
    st.sampled_from(["en", "de"]),
)
def test_the_parts_of_any_text_are_the_text(text: str, language: str) -> None:
    """The shown text is complete, whatever is spoken."""
    speak(text, language)


def test_rows_of_tables_are_spoken_unless_the_bot_says_otherwise() -> None:
    """Old configs call this `filter_tables`. They also have `filter_code`: code is never spoken here."""
    row, cells = "| Vera | 21 |", "Veera, 21"
    assert speak(row) == cells
    silent = TextFilter(TABLE, tables=False)
    assert silent(row) == [(row, "")]
    assert "".join(text for _, text in silent("Vera has 21.")) == "Veera has 21."
    assert silent("```\nprint(1)\n```") == [("```\nprint(1)\n```", "")]


def test_the_language_may_change_between_sentences() -> None:
    """The language may be a function."""
    language = "en"
    speaks = TextFilter(language=lambda: language)
    assert speaks("21") == [("21", "twenty-one")]
    language = "de"
    assert speaks("21") == [("21", "einundzwanzig")]


def test_a_language_that_a_function_returns_and_that_has_no_words_leaves_numbers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The log names the function."""
    assert TextFilter(language=lambda: "xx")("21") == [("21", "21")]
    assert "language 'xx'" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"language": "xx"}, "no words for numbers in the language 'xx'"),
        ({"language": "x y"}, "no words for numbers in the language 'x y'"),
        ({"language": 5}, "give a code such as 'de', or a function"),
        ({"pronounce": {"": "x"}}, "give a mapping of words to texts"),
        ({"pronounce": {"a": 1}}, "give a mapping of words to texts"),
        ({"pronounce": ["a"]}, "give a mapping of words to texts"),
    ],
)
def test_a_mistake_is_reported_where_it_is_written(arguments: Any, message: str) -> None:
    """It is reported when the filter is made."""
    with pytest.raises(AuthorError, match=message):
        TextFilter(**arguments)


@pytest.fixture
def without_extra(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """An installation without the extra `numbers`."""
    caches = (text_filter._words_of, text_filter._warn)  # pyright: ignore[reportPrivateUsage]
    for each in caches:
        each.cache_clear()
    monkeypatch.setitem(sys.modules, "unicode_rbnf", None)
    yield
    for each in caches:
        each.cache_clear()


def test_without_the_extra_numbers_are_left_to_the_voice(without_extra: None, caplog: pytest.LogCaptureFixture) -> None:
    """One warning says what to install. The table is still used."""
    with caplog.at_level(logging.WARNING, "rtvi_plugins"):
        for language in ("en", "de", "en"):
            assert speak("Vera has 21 rooms.", language) == "Veera has 21 rooms."
    (record,) = caplog.records
    assert "unicode_rbnf is not installed" in record.getMessage()
    assert "[numbers]" in record.getMessage()


# ---- in a conversation -----------------------------------------------------------------------------------------------

SENTENCE = "Vera has **21** rooms."


@bot(
    services={"llm": "scripted", "tts": ["spell", "words"]},
    client="llm:get_context tts:interrupt tts.provider".split(),
    public=True,
)
async def talker(session: Session, /, llm: LLM, tts: TTS) -> None:
    """A bot that speaks numbers in words."""
    await converse(session, llm=llm, tts=tts, spoken=TextFilter(TABLE, "en"))


async def ask(wire: Wire, provider: str) -> None:
    """Let the bot say the sentence."""
    await wire.answer(wire.update(tts={"provider": provider}))
    await write(wire)


@pytest.mark.anyio
@pytest.mark.parametrize("provider", ["spell", "words"])
async def test_the_client_is_shown_what_the_llm_wrote(provider: str) -> None:
    """The user hears the words."""
    fakes = Fakes([Text(SENTENCE)])
    async with fakes.session(talker) as wire:
        await ask(wire, provider)
        await wait(wire, 2.0)
        assert shown(wire) == [SENTENCE]
        assert spoken(wire).strip() == "Veera has twenty-one rooms."
        assert " ".join(each["text"] for each in wire.data_of("bot-tts-text")) == "Veera has twenty-one rooms."
        assert (await said(wire))[-1] == ("assistant", SENTENCE)


@pytest.mark.anyio
@pytest.mark.parametrize("provider", ["spell", "words"])
@pytest.mark.parametrize(
    ("heard", "remembered"),
    [
        ("Veer", None),
        ("Veera ha", "Vera"),
        ("Veera has twe", "Vera has"),
        ("Veera has twenty-one roo", "Vera has **21**"),
    ],
)
async def test_the_heard_part_is_kept_as_it_is_shown(provider: str, heard: str, remembered: str | None) -> None:
    """It ends with a whole word. The times of words, or the played time, decide."""
    fakes = Fakes([Text(SENTENCE)])
    async with fakes.session(talker) as wire:
        await ask(wire, provider)
        await wait(wire, 0.05 * len(heard) + 0.04)
        wire.call("tts:interrupt")
        await settle()
        last = (await said(wire))[-1]
        begun = {None: "Vera", "Vera": "Vera has", "Vera has": "Vera has **21**", "Vera has **21**": SENTENCE}
        # A voice that reports the times of words has begun the next word, which counts as heard.
        wanted = begun[remembered] if provider == "words" else remembered
        assert last == (("user", "go") if wanted is None else ("assistant", wanted))
