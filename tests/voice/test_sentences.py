"""Streamed text is cut into sentences. Each one is returned once it is whole."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtvi_plugins.voice.sentences import Sentences

CUT: list[tuple[str, list[str]]] = [
    ("", []),
    ("   ", []),
    ("Hello", ["Hello"]),
    ("Hello. How are you? Fine!", ["Hello.", "How are you?", "Fine!"]),
    ("It costs 3.50 at example.com today.", ["It costs 3.50 at example.com today."]),
    ("Dr. Ada e.g. met Mr. Bob. Yes.", ["Dr. Ada e.g. met Mr. Bob.", "Yes."]),
    ('He said "Go!" and left. Then (really!) rain.', ['He said "Go!" and left.', "Then (really!) rain."]),
    ("One\nTwo\n\nThree", ["One", "Two", "Three"]),
    ("Wait... what?! No…\nYes.", ["Wait... what?!", "No…", "Yes."]),
    ("Well... Yes… Go on!!! Now?", ["Well...", "Yes…", "Go on!!!", "Now?"]),
    ("你好。再见！", ["你好。", "再见！"]),
    ("「你好。」他说。「再见！？」", ["「你好。」", "他说。", "「再见！？」"]),
    # abbreviations, initials, months
    ("Dr. Sharma came at 9:30 a.m. on foot. Fine.", ["Dr. Sharma came at 9:30 a.m. on foot.", "Fine."]),
    (
        "The U.S. Senate met James T. Kirk and J.R.R. Tolkien.",
        ["The U.S. Senate met James T. Kirk and J.R.R. Tolkien."],
    ),
    ("On Jan. 5, in Dec. Then Mon. Not so.", ["On Jan. 5, in Dec. Then Mon. Not so."]),
    ("MR. SMITH AND (MRS. JONES) LEFT. GOOD.", ["MR. SMITH AND (MRS. JONES) LEFT.", "GOOD."]),
    (
        "We have fruit, nuts, etc. in stock. Etc. And so on.",
        ["We have fruit, nuts, etc. in stock.", "Etc.", "And so on."],
    ),
    ("Did you? No. It was Acme Inc. They left.", ["Did you?", "No.", "It was Acme Inc.", "They left."]),
    # numbers
    ("My birthday is Jan 1, 1980. Yours?", ["My birthday is Jan 1, 1980.", "Yours?"]),
    ("It costs $3.50. $4 is too much.", ["It costs $3.50.", "$4 is too much."]),
    ("See No. 5 and v. 2 of it. 3 are left. Good.", ["See No. 5 and v. 2 of it. 3 are left.", "Good."]),
    ("The answer is 42. Next? 7 it is!", ["The answer is 42.", "Next?", "7 it is!"]),
    (
        "Two things:\n1. Apples are red.\n2. Pears are green.",
        ["Two things:", "1. Apples are red.", "2. Pears are green."],
    ),
    ("You need: 1. Milk. 2. Eggs.", ["You need: 1. Milk. 2. Eggs."]),
    ("iv. Fourth\nB. Second", ["iv. Fourth", "B. Second"]),
    ("- 1. First\n**2. Second** is.\n> 3. Third", ["- 1. First", "**2. Second** is.", "> 3. Third"]),
    (
        "Ada Ott, M.Sc. Physics and Ph.D. Music, is at x.org. Yes.",
        ["Ada Ott, M.Sc. Physics and Ph.D. Music, is at x.org.", "Yes."],
    ),
    # addresses
    (
        "Mail a.b@c.co. Or see https://d.org/e?f=g. Or h.net!",
        ["Mail a.b@c.co.", "Or see https://d.org/e?f=g.", "Or h.net!"],
    ),
    # quotes and brackets behind the mark
    ("“Yes.” ‘No.’ (Maybe.) [Or so.] Fine.", ["“Yes.”", "‘No.’", "(Maybe.)", "[Or so.]", "Fine."]),
    ("«Oui.» „Ja.“ “Go.” she said.", ["«Oui.»", "„Ja.“", "“Go.” she said."]),
    # German
    ("Das ist z. B. Obst, d. h. Äpfel u. a. Früchte. Gut.", ["Das ist z. B. Obst, d. h. Äpfel u. a. Früchte.", "Gut."]),
    (
        "Am 3. Oktober kam Dipl.-Ing. Ott. Danach Fr. Dr. May.",
        ["Am 3. Oktober kam Dipl.-Ing. Ott.", "Danach Fr. Dr. May."],
    ),
    (
        "Der 2. Weltkrieg. Ca. 5 Mio. Euro bzw. Dollar usw. Ende.",
        ["Der 2. Weltkrieg.", "Ca. 5 Mio. Euro bzw. Dollar usw.", "Ende."],
    ),
    ("„Komm!“, sagte er. „Warum?“ „Darum.“ Er ging.", ["„Komm!“, sagte er.", "„Warum?“", "„Darum.“", "Er ging."]),
    ("I am 3. You are 4.", ["I am 3.", "You are 4."]),
    # Spanish
    (
        "¿Cómo está, Sr. García? ¡Bien! La Sra. López viene.",
        ["¿Cómo está, Sr. García?", "¡Bien!", "La Sra. López viene."],
    ),
    ("La Fa. Ott, geb. May, z. Bsp. Excmo. Sr. Paz. Ja.", ["La Fa. Ott, geb. May, z. Bsp. Excmo. Sr. Paz.", "Ja."]),
    ("EE. UU. es grande, p. ej. Texas. Ud. Vive allí.", ["EE. UU. es grande, p. ej. Texas.", "Ud. Vive allí."]),
    ("Son 3. ¿2 más? ¿o no? «¡Ya!», dijo. Sr. ¿Paz?", ["Son 3.", "¿2 más?", "¿o no?", "«¡Ya!», dijo.", "Sr. ¿Paz?"]),
    ("hola. ¿que tal? bien. ¡adios!", ["hola.", "¿que tal? bien.", "¡adios!"]),
    # French: space within the quotation marks
    ("« Bonjour ! » dit-il. « Ça va ? » Il part.", ["« Bonjour ! » dit-il.", "« Ça va ? »", "Il part."]),
    ("«\xa0Oui.\xa0» «\u202fNon\u202f!\u202f» « Si.", ["«\xa0Oui.\xa0»", "«\u202fNon\u202f!\u202f»", "« Si."]),
    ("Elle : « Oh ! », puis « Va ! ». “ Fin. ” ‹ Si. ›", ["Elle : « Oh ! », puis « Va ! ».", "“ Fin. ”", "‹ Si. ›"]),
    ("**« Oui ! »** Il part. _« Non. »_", ["**« Oui ! »**", "Il part.", "_« Non. »_"]),
    ("»Komm!« »Geh.« »Nej.» »Ja.» Ende.", ["»Komm!«", "»Geh.«", "»Nej.»", "»Ja.»", "Ende."]),
    # other scripts
    ("यह ठीक है। अच्छा। هل أنت هنا؟ نعم.", ["यह ठीक है।", "अच्छा।", "هل أنت هنا؟", "نعم."]),
    # text that has no capitals
    ("hello. how are you? fine.", ["hello. how are you? fine."]),
    ("so it is, " * 12 + "yes. and so on. no", ["so it is, " * 12 + "yes.", "and so on. no"]),
    # markdown
    (
        "**Done.** _Next._ `A. B` too. [See. Here](https://x.org/y) now.",
        ["**Done.**", "_Next._", "`A. B` too.", "[See. Here](https://x.org/y) now."],
    ),
    ("So:\n```py\nx = 1. Then\n\ny\n```\nDone. Go", ["So:", "```py\nx = 1. Then\n\ny\n```", "Done.", "Go"]),
    ("So:\n~~~\na. B\n\nC.", ["So:", "~~~\na. B\n\nC."]),
    ("```x``` is code. Good.", ["```x``` is code.", "Good."]),
    ("So: ```py\nx = 1. Then\n```\nDone. Go", ["So:", "```py\nx = 1. Then\n```", "Done.", "Go"]),
    ("So: ``` py\nx = 1. Then\n```\nDone. Go", ["So:", "``` py\nx = 1. Then\n```", "Done.", "Go"]),
    ("1. ```sh\n   ls\n   ```\n- ```\n  a\n  ```\nGo", ["1.", "```sh\n   ls\n   ```", "-", "```\n  a\n  ```", "Go"]),
    ("> ```\n> a. B\n> ```\nGo", [">", "```\n> a. B\n> ```", "Go"]),
    ("```\nx = 1. Then\n``` That is it. Go", ["```\nx = 1. Then\n```", "That is it.", "Go"]),
    ("````\n```py\nx. Y\n```\n````  `x` is it. Go", ["````\n```py\nx. Y\n```\n````", "`x` is it.", "Go"]),
    ("```md\n```py\nx. Y\n```\nGo. On", ["```md\n```py\nx. Y\n```", "Go.", "On"]),
    ("```md\n``` python\nx. Y\n```\nGo. On", ["```md\n``` python\nx. Y\n```", "Go.", "On"]),
    ("```\nx. Y\n```  Done.\nGo. On", ["```\nx. Y\n```", "Done.", "Go.", "On"]),
    ("```\nx. Y\n``` Done", ["```\nx. Y\n```", "Done"]),
    ("```\nx. Y\n``` 完成\nGo. On", ["```\nx. Y\n```", "完成", "Go.", "On"]),
    ("Use ```x``` now ```and y\nGo. On", ["Use ```x``` now ```and y", "Go.", "On"]),
    ("~~~No~~~ yes. Go", ["~~~No~~~ yes.", "Go"]),
    ("Open [it. Then " + "x" * 200 + ". Yes.", ["Open [it. Then " + "x" * 200 + ".", "Yes."]),
]


@pytest.mark.parametrize(("text", "sentences"), CUT)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1_000])
def test_text_is_cut_at_the_ends_of_sentences(text: str, sentences: list[str], size: int) -> None:
    """The sentences are the same for all cuts into pieces."""
    cutter = Sentences()
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    found = [sentence for piece in pieces for sentence in cutter.feed(piece)]
    assert [*found, *cutter.flush()] == sentences


def test_a_sentence_is_given_away_as_soon_as_it_is_whole() -> None:
    """A sentence ends when something follows. The rest is returned at the end of the text."""
    cutter = Sentences()
    assert cutter.feed("Hello") == []
    assert cutter.feed(".") == []
    assert cutter.feed(" How") == ["Hello."]
    assert cutter.flush() == ["How"]
    assert cutter.flush() == []


pieces = st.lists(st.text("abD .,!?…\n\"')]。！1e.g`~[]*", max_size=8), max_size=10)
words = st.sampled_from(
    [
        *"a Bo Dr. z. B. U.S. 3. 1980. am der no. Yes! “Go.” … 。 。」 x.org ** [ ]( ) ` ``` ? ¿y 5 (A".split(),
        *"« ! » »A .« ». ,".split(),
        *("\n```\n", " ```py\n", " ```py", "```\n", "\n``` ", "\n", "\n\n", " ", "  ", ". ", "word " * 30, "x" * 700),
    ]
)


@given(found=st.lists(words, max_size=40), cuts=st.lists(st.integers(0, 4_000), max_size=30))
def test_the_sentences_are_the_same_in_whatever_pieces_the_text_comes(found: list[str], cuts: list[int]) -> None:
    """They do not depend on the places where the stream is cut."""
    text = " ".join(found) if len(found) % 2 else "".join(found)
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    assert sentences(*(text[a:b] for a, b in pairwise(places))) == sentences(text) == sentences(*text)


def sentences(*pieces: str) -> list[str]:
    """The sentences of a text in pieces."""
    cutter = Sentences()
    return [sentence for piece in pieces for sentence in cutter.feed(piece)] + cutter.flush()


@given(pieces=pieces)
def test_nothing_is_lost_added_or_put_in_another_order(pieces: list[str]) -> None:
    """Only the space around sentences is removed. No sentence is empty."""
    cutter = Sentences()
    found = [sentence for piece in pieces for sentence in cutter.feed(piece)] + cutter.flush()
    assert "".join("".join(found).split()) == "".join("".join(pieces).split())
    assert all(sentence == sentence.strip() != "" for sentence in found)


def test_a_sentence_without_an_end_is_cut_between_two_words() -> None:
    """Text without an end is spoken too, and no word is broken."""
    cutter = Sentences()
    found = [sentence for _ in range(1_000) for sentence in cutter.feed("word ")]
    assert len(found) >= 5
    assert all(500 <= len(sentence) <= 600 for sentence in found)
    assert set(" ".join([*found, *cutter.flush()]).split()) == {"word"}
    assert sum(sentence.count("word") for sentence in found) > 800


@pytest.mark.parametrize(
    ("beginning", "more"),
    [
        ("Fine. ", "N"),
        ("Fine.", " N"),
        ("At 5. ", "N"),
        ("好。", "好"),
        ("One\n", ""),
        ("A" * 630, ""),
        ("Yes?”", ' "N'),
    ],
)
def test_a_sentence_waits_for_no_more_than_the_beginning_of_the_next_word(beginning: str, more: str) -> None:
    """The beginning of the next word is enough to decide."""
    cutter = Sentences()
    assert cutter.feed(beginning) or cutter.feed(more)


def test_a_sentence_that_waits_for_the_next_word_may_be_settled_without_it() -> None:
    """This happens when the LLM pauses. A sentence that may continue stays."""
    cutter = Sentences()
    assert cutter.feed("Fine. ") == []
    assert cutter.waits
    assert cutter.settle() == ["Fine."]
    assert cutter.settle() == []
    assert cutter.feed("at 3. ") == []
    assert cutter.settle() == ["at 3."]
    assert cutter.feed("Look.") == []
    assert cutter.settle() == ["Look."]
    assert cutter.feed("At 3.") == cutter.settle() == []
    assert cutter.feed("5, `a.") == cutter.settle() == []
    assert cutter.flush() == ["At 3.5, `a."]
    assert cutter.feed("« Oui ! »") == []
    assert cutter.settle() == ["« Oui ! »"]
    assert cutter.feed("Dr. ") == cutter.feed("A") == cutter.feed(".") == cutter.settle() == []
    assert cutter.flush() == ["Dr. A."]


def test_space_after_a_sentence_is_not_waited_for_without_end() -> None:
    """After this much space, the next text is a new sentence."""
    cutter = Sentences()
    assert cutter.feed("Fine." + " " * 30) == ["Fine."]


def test_a_single_word_that_is_too_long_is_cut_anywhere() -> None:
    """No character is lost."""
    cutter = Sentences()
    found = cutter.feed("a" * 1_500)
    assert [len(sentence) for sentence in [*found, *cutter.flush()]] == [600, 600, 300]


def test_a_block_of_code_is_one_piece_however_long_it_is() -> None:
    """Its lines are not sentences."""
    code = "```\n" + "print(1). Then\n" * 200 + "```"
    assert sentences(f"So:\n{code}\nGood.") == ["So:", code, "Good."]


@pytest.mark.slow
@pytest.mark.parametrize("piece", [".", "...", ".)", "!?", "word ", "a.", "\n", "。", " "])
def test_pieces_without_number_take_a_time_in_proportion(piece: str) -> None:
    """Text that was read is not read again. The time limit of the test would be exceeded."""
    cutter = Sentences()
    found = [sentence for _ in range(50_000) for sentence in cutter.feed(piece)]
    text = "".join("".join([*found, *cutter.flush()]).split())
    assert len(text) == 50_000 * len(piece.strip())


@pytest.mark.slow
@pytest.mark.parametrize("stops", [".", "!?", '.")', "…", "。"])
def test_one_piece_of_stops_without_number_takes_a_time_in_proportion(stops: str) -> None:
    """A run of full stops is read only from its beginning."""
    cutter = Sentences()
    found = cutter.feed(stops * 300_000 + "x")
    assert "".join([*found, *cutter.flush()]) == stops * 300_000 + "x"


def test_no_sentence_is_empty_however_much_space_there_is() -> None:
    """Long space is cut, and is not a sentence."""
    cutter = Sentences()
    assert [*cutter.feed(" " * 1_300 + "b"), *cutter.flush()] == ["b"]


@pytest.mark.slow
def test_abbreviations_without_number_take_a_time_in_proportion() -> None:
    """The sentence is not copied for each abbreviation."""
    cutter = Sentences()
    found = cutter.feed("Dr. " * 400_000)
    assert sum(sentence.count("Dr.") for sentence in [*found, *cutter.flush()]) == 400_000
