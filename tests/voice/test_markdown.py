"""Markdown is spoken without its marks. The heard part is known both in the shown and in the spoken words."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtvi_plugins import LLM, TTS, ProviderError, Session, bot, converse
from rtvi_plugins.kinds import Text
from rtvi_plugins.voice import Part, without_markup
from rtvi_plugins.voice.sentences import Sentences
from rtvi_plugins.voice.text_filter import SpokenSentence

from ..fakes.conversation import spoken, wait
from ..fakes.providers import Fakes
from ..fakes.wire import Wire, settle

SPOKEN: list[tuple[str, str]] = [
    # emphasis
    ("**Rooms:** *single* and ***double***, _bold_ __too__.", "Rooms: single and double, bold too."),
    ("bo**ld**ness and **one. ", "boldness and one."),
    ("Two.** And ~~three~~ two.", "Two. And three two."),
    ("2 * 3 = 6, 2**3 = 8, 5*3, a_b and __c__, ~5.", "2 * 3 = 6, 2**3 = 8, 5*3, a_b and c, ~5."),
    ("A 4* hotel is f*ck.", "A 4 hotel is fck."),
    ("A 4* hotel.", "A 4* hotel."),
    (r"\*not\* \_this\_", "*not* _this_"),
    # lines
    ("# The **menu** ##", "The menu"),
    ("###### Six", "Six"),
    ("#1 of C# & co.", "#1 of C# & co."),
    ("* one", "one"),
    ("-", ""),
    ("- [x] done", "done"),
    ("+ two", "two"),
    ("• three", "three"),
    ("1. Apples are red.", "1. Apples are red."),
    ("> > quoted", "quoted"),
    ("---", ""),
    ("* * *", ""),
    ("====", ""),
    # tables
    ("| Room | Price in € |", "Room, Price in €"),
    ("|------|:-----:|", ""),
    ("--- | ---", ""),
    ("|a|b||c|", "a, b, c"),
    ("single | 80", "single, 80"),
    ("a|b", "a|b"),
    # code
    ("```py\nprint(1)\n```", ""),
    ("~~~\nx\n~~~", ""),
    ("~~~gone~~~ two", "gone two"),
    ("Call `a_b()` or ``c`` now.", "Call a_b() or c now."),
    ("Half `a", "Half a"),
    # links, images, addresses
    ('See [our **big** rooms](https://e.org/a_(b)?c=1 "All").', "See our big rooms."),
    ("![A *cat*](c.png) and [![dog](d.png)](https://e.org) or [this][1], so[^2].", "A *cat* and dog or this, so."),
    ("[Read. Now](https://e.org)", "Read. Now"),
    ("[a [nested] b](https://e.org)", "a [nested] b"),
    ("Set x[0][1] to 看[这][2].", "Set x[0][1] to 看这."),
    ("read](https://e.org) on", "read on"),
    ("[sic] (so) {it} <is>", "[sic] (so) {it} <is>"),
    ("At https://www.e.org/a_b*c?d=e. Or <http://f.org:80/x>, or www.g.org/h!", "At e.org. Or f.org, or g.org!"),
    ("看https://e.org/x。", "看e.org。"),
    ("(See https://e.org/A_(b)), or (https://e.org/c).", "(See e.org), or (e.org)."),
    ("Mail a.b@c.org or <d@e.org> or <mailto:f@g.org>.", "Mail a.b@c.org or d@e.org or f@g.org."),
    ("It is on example.com/x.", "It is on example.com/x."),
    # emoji and others
    ("Hi 😀 there 👍🏽!", "Hi there!"),
    ("👨‍👩‍👧 a😀b 🇩🇪 1️⃣ ✅", "a b 1"),
    ("😀", ""),
    ("**!**", ""),
    ("© ™ → ½ क्‍ष 👋", "© ™ → ½ क्‍ष"),
    ("<b>x</b><br>y&nbsp;&amp; z <!-- no -->", "x y & z"),
    ('<break time="1s"/> as SSML', '<break time="1s"/> as SSML'),
    ("Wait... what?!", "Wait... what?!"),
    ("…", "…"),
]


def said(sentence: str) -> str:
    """The text of a sentence that the voice gets."""
    return SpokenSentence.of(sentence, without_markup).text


@pytest.mark.parametrize(("shown", "text"), SPOKEN)
def test_markup_is_not_spoken(shown: str, text: str) -> None:
    """The words are spoken. The shown parts together are the sentence."""
    assert said(shown) == text
    assert "".join(part for part, _ in without_markup(shown)) == shown


@given(text=st.text("abcDEF 019.,!?'’\"“”():;…éßжあ語", max_size=80))
def test_plain_text_is_spoken_as_it_is(text: str) -> None:
    """It is not changed at all."""
    assert [shown == each for shown, each in without_markup(text)] == [True] * len(without_markup(text))
    assert said(text) == text.strip()


@given(text=st.text(max_size=60) | st.text("ab1 *_~`[](){}<>|#-+!\\&;.:/@\n😀🇩️⃣", max_size=60))
def test_the_parts_of_any_text_are_the_text(text: str) -> None:
    """The shown text is not changed."""
    assert "".join(shown for shown, _ in without_markup(text)) == text


words = st.text("abcxyzäñж", min_size=1, max_size=8)
marked = st.sampled_from(
    "{}|**{}**|*{}*|_{}_|***{}***|~~{}~~|`{}`|[{}](https://e.org/q_w?a=1)|![{}](i.png)|[{}][1]|{} 😀|<b>{}</b>|**{}:**"
    "|({})|“{}”|{},|{}.".split("|")
)
lines = st.sampled_from(["{}", "# {}", "* {}", "- {}", "> {}", "| {} |", "1. {}", "- [ ] {}", "{}.", "{}?"])
texts = st.lists(
    st.tuples(lines, st.lists(st.tuples(marked, words), min_size=1, max_size=5)), min_size=1, max_size=4
).map(lambda each: "\n".join(line.format(" ".join(mark.format(word) for mark, word in found)) for line, found in each))


@given(text=texts, size=st.integers(1, 40))
def test_no_word_is_lost_and_no_mark_is_spoken(text: str, size: int) -> None:
    """This is true for all cuts of the text into pieces, and for all marks."""
    cutter = Sentences()
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    sentences = [each for piece in pieces for each in cutter.feed(piece)] + cutter.flush()
    found = [said(each) for each in sentences]
    bare = re.sub(r"\]\([^)]*\)|\[1\]|</?b>", " ", text)
    assert re.findall(r"[^\W\d_]+", " ".join(found)) == re.findall(r"[^\W\d_]+", bare)
    assert not set("".join(found)) & set("*_`~#>|[]😀")


@given(text=texts.filter(lambda text: "\n" not in text))
def test_what_was_heard_of_the_spoken_words_is_known_in_the_shown_ones(text: str) -> None:
    """The heard part grows at the end of each word, and never shrinks."""
    sentence = SpokenSentence.of(text, without_markup)
    ends = [each.end() for each in re.finditer(r"\S+", sentence.text)]
    places = [sentence.shown_until(at) for at in range(len(sentence.text) + 1)]
    assert places == sorted(places)
    for end in ends:
        assert said(text[: places[end]]).split() == sentence.text[:end].split()
    assert places[-1] == len(text)


def test_a_mark_belongs_to_the_word_that_it_touches() -> None:
    """A mark after a word was heard with it. A mark before the next word was not."""
    sentence = SpokenSentence.of("A **b** [c](https://e.org/x) *d*", without_markup)
    assert sentence.text == "A b c d"
    heard = [sentence.shown[: sentence.shown_until(at)] for at in (0, 1, 3, 5, 7)]
    assert heard == ["", "A", "A **b**", "A **b** [c](https://e.org/x)", "A **b** [c](https://e.org/x) *d*"]


# ---- in a conversation -----------------------------------------------------------------------------------------------


def doctor(sentence: str) -> str | list[Part]:
    """Speak an abbreviation in full, once as a text and once as parts."""
    if sentence.startswith("!"):
        raise ValueError("of the bot's own")
    if sentence.startswith("Dr. "):
        return [("Dr.", "Doctor"), (sentence[3:], sentence[3:])]
    return sentence.replace("No.", "Number")


SERVICES: dict[str, Any] = {"llm": "scripted", "tts": ["spell", "words"]}
CLIENT = "tts:say tts:interrupt tts.provider llm:get_context".split()


@bot(services=SERVICES, client=CLIENT, public=True)
async def talker(session: Session, /, llm: LLM, tts: TTS) -> None:
    """A bot that speaks without markup."""
    await converse(session, llm=llm, tts=tts)


@bot(services=SERVICES, client=CLIENT, public=True)
async def literal(session: Session, /, llm: LLM, tts: TTS) -> None:
    """A bot that speaks everything that it shows."""
    await converse(session, llm=llm, tts=tts, spoken=None)


@bot(services=SERVICES, client=CLIENT, public=True)
async def own(session: Session, /, llm: LLM, tts: TTS) -> None:
    """A bot with a text filter of its own."""
    await converse(session, llm=llm, tts=tts, spoken=doctor)


MENU = "**Rooms:**\n* single 😀\n* [double](https://example.com/x?y=1)\n```\nprint(1)\n```\nThat is _all_."


def answering(*pieces: str) -> Fakes:
    """Providers whose LLM sends this answer in pieces."""
    return Fakes([Text(each) for each in pieces])


async def ask(wire: Wire) -> None:
    """Ask the LLM."""
    wire.send("send-text", {"content": "go", "options": {}})
    await settle()


def shown(wire: Wire, status: str) -> list[tuple[str, bool]]:
    """The sentences with a status that the client got, and whether they are spoken."""
    return [
        (each["text"], each["will_be_spoken"]) for each in wire.data_of("bot-output") if each["spoken_status"] == status
    ]


@pytest.mark.anyio
@pytest.mark.parametrize("size", [1, 2, 5, 200])
async def test_an_answer_in_markdown_is_shown_as_it_is_and_spoken_without_its_marks(size: int) -> None:
    """This is true for all cuts into pieces. Text that is not spoken is shown at its place."""
    fakes = answering(*(MENU[at : at + size] for at in range(0, len(MENU), size)))
    async with fakes.session(talker) as wire:
        await ask(wire)
        await wait(wire, 3.0)
        assert fakes.texts == ["Rooms:", "single", "double", "That is all."]
        assert spoken(wire).rstrip() == "Rooms: single double That is all."
        assert "".join(each["text"] for each in wire.data_of("bot-llm-text")) == MENU
        sentences = ["**Rooms:**", "* single 😀", "* [double](https://example.com/x?y=1)", "That is _all_."]
        assert shown(wire, "new") == [
            *((each, True) for each in sentences[:3]),
            ("```\nprint(1)\n```", False),
            (sentences[3], True),
        ]
        assert [each for each, _ in shown(wire, "completed")] == sentences
        assert [each["text"] for each in wire.data_of("bot-transcription")] == [each for each, _ in shown(wire, "new")]
        assert wire.connection.session.context.messages[-1] == {"role": "assistant", "content": MENU}


@pytest.mark.anyio
@pytest.mark.parametrize("provider", ["spell", "words"])
async def test_an_interruption_leaves_the_original_text_that_was_heard(provider: str) -> None:
    """The words that were heard keep their marks. They are known from the times of words, or from the played time."""
    text = "The **big room** is [very nice](https://e.org/x), _really_."
    fakes = answering(text)
    async with fakes.session(talker) as wire:
        await wire.answer(wire.update(tts={"provider": provider}))
        await ask(wire)
        await wait(wire, 0.05 * len("The big room is very") + 0.02)
        wire.call("tts:interrupt")
        await settle()
        heard = wire.connection.session.context.messages[-1]
        assert heard["content"] in ("The **big room** is [very", "The **big room** is")
        assert heard.get("interrupted") is True
        if provider == "words":
            spoken_text = " ".join(each["text"] for each in wire.data_of("bot-tts-text"))
            assert spoken_text in ("The big room is very", "The big room is")


@pytest.mark.anyio
async def test_what_was_heard_of_several_lines_is_the_text_up_to_there() -> None:
    """This includes line breaks and code in between."""
    fakes = answering(MENU)
    async with fakes.session(talker) as wire:
        await ask(wire)
        await wait(wire, 0.05 * len("Rooms: single double That is") + 0.05)
        wire.call("tts:interrupt")
        await settle()
        assert wire.connection.session.context.messages[-1]["content"] == MENU[: MENU.index(" _all")]


@pytest.mark.anyio
async def test_an_answer_of_nothing_but_code_is_shown_and_remembered() -> None:
    """The TTS gets no text."""
    fakes = answering("```\nprint(1)\n```")
    async with fakes.session(talker) as wire:
        await ask(wire)
        await wait(wire, 0.2)
        assert fakes.texts == []
        assert shown(wire, "new") == [("```\nprint(1)\n```", False)]
        assert wire.data_of("bot-tts-started") == []
        assert wire.connection.session.context.messages[-1]["content"] == "```\nprint(1)\n```"


@pytest.mark.anyio
async def test_a_bot_may_have_all_spoken_as_it_is_written() -> None:
    """Some voices read markup."""
    fakes = answering("**Yes**, <emphasis>now</emphasis>.")
    async with fakes.session(literal) as wire:
        await ask(wire)
        await wait(wire, 2.5)
        assert fakes.texts == ["**Yes**, <emphasis>now</emphasis>."]


@pytest.mark.anyio
async def test_a_bot_may_decide_what_is_spoken_itself(caplog: pytest.LogCaptureFixture) -> None:
    """It may return a text or parts. If it fails, this is reported, and the sentence is spoken as it is."""
    fakes = answering("Dr. Ada is in room No. 5 now.\nIt is No. 5 there.\n!Oh.")
    async with fakes.session(own) as wire:
        await ask(wire)
        await wait(wire, 4.0)
        assert fakes.texts == ["Doctor Ada is in room No. 5 now.", "It is Number 5 there.", "!Oh."]
        assert "doctor() (" in caplog.text
        assert "raised ValueError" in caplog.text


@pytest.mark.parametrize("found", [None, 3, [("other", "x")], [("a", 1)], ["text"]])
def test_what_is_neither_a_text_nor_the_parts_of_the_sentence_is_reported(
    found: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The sentence is then spoken as it is."""
    assert SpokenSentence.of("text", lambda _: found).text == "text"
    assert "Return the text to speak, or pairs of texts" in caplog.text or "raised" in caplog.text


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit, BaseException])
def test_whatever_a_function_raises_the_sentence_is_spoken_as_it_is(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the turn nor the session ends."""

    def spoken(sentence: str) -> str:
        raise error(sentence)

    assert SpokenSentence.of("text", spoken).text == "text"
    assert f"raised {error.__name__}" in caplog.text


def test_a_tts_is_never_given_half_a_character() -> None:
    """JSON for a vendor cannot contain it."""
    assert SpokenSentence.of("text", lambda _: "a\ud83cb").text == "a?b"
    assert SpokenSentence.of("text", lambda text: [(text, "\ud83c")]).text == "?"


def test_of_a_part_that_is_spoken_otherwise_whole_words_were_heard() -> None:
    """The number of words is in proportion. A single word counts when all of it was heard."""
    sentence = SpokenSentence.of("one two three four", lambda _: "1 2 3 4")
    assert [sentence.shown_until(at) for at in (0, 3, 5, 7)] == [0, 7, 7, 18]
    assert SpokenSentence.of("Dr.", lambda _: "Doctor").shown_until(3) == 0


@pytest.mark.anyio
@pytest.mark.parametrize("rest", ["", "And th"])
async def test_the_whole_sentences_of_an_llm_that_fails_in_the_middle_are_spoken(rest: str) -> None:
    """This includes a last sentence that no text follows."""
    fakes = Fakes([Text("**One.** "), Text(rest), ProviderError("The LLM", "unavailable", retryable=False)])
    async with fakes.session(talker) as wire:
        await ask(wire)
        await wait(wire, 1.0)
        assert fakes.texts[:1] == ["One."]
