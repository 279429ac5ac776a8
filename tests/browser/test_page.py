"""Our own page in Chromium: talking, typing, interrupting, options, actions and providers, by what a user sees.

With RTVI_SCREENSHOTS=1 the pictures of it in the documentation are made anew.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from pathlib import Path

import pytest

from .bot import ANSWERS, LONG_STORY
from .calls import PageCall, ask, chain, listen, visiting, write
from .chromium import Browser
from .speech import Listener, say, words

pytestmark = pytest.mark.timeout(120)

IMAGES = Path(__file__).parents[2] / "docs" / "images"
#: As for the published client, in milliseconds.
SILENT_WITHIN = 400.0
EARLY = 100.0

FIRST, SECOND, THIRD = list(ANSWERS)[4:7]
PHONE = {"width": 390, "height": 780}
NARROW = {"width": 375, "height": 667}
DESK = {"width": 1280, "height": 800}
#: How far the end of the transcript is from being seen, in px.
TO_THE_END = "(({scrollHeight, scrollTop, clientHeight}) => scrollHeight - scrollTop - clientHeight)(transcript)"


@pytest.fixture(params=("websocket", "webrtc"))
def call(browser: Browser, server: str, request: pytest.FixtureRequest) -> Generator[PageCall]:
    """A call over each transport that the page offers. No error is shown, and none is written to the console."""
    with visiting(browser, server, request.param) as made:
        yield made
        assert not made.page.element("#error", "isVisible")
        assert made.page.complaints() == []


@pytest.fixture(scope="module")
def listener() -> Listener:
    """Somebody who knows the porter's twenty answers."""
    return Listener(ANSWERS.values())


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Where pictures are written: beside the documentation if that is asked for, else to a folder that goes away."""
    return IMAGES if os.environ.get("RTVI_SCREENSHOTS") else tmp_path


def test_speech_is_shown_answered_and_heard(call: PageCall, listener: Listener) -> None:
    """Both sides stand in the transcript, the answer is played, and the page listens again."""
    exchange = ask(call, FIRST)
    assert words(call.says("user", "airport")) == exchange.heard
    assert call.says("bot", ANSWERS[FIRST]).strip() == ANSWERS[FIRST]
    assert listener.hear(exchange.answer.samples, exchange.answer.rate) == ANSWERS[FIRST]


def test_what_is_typed_is_answered_aloud(call: PageCall, listener: Listener) -> None:
    """Typed text stands in the transcript as it was typed, and its answer is played."""
    exchange = write(call, SECOND)
    assert call.says("user", SECOND).strip() == SECOND
    assert listener.hear(exchange.answer.samples, exchange.answer.rate) == ANSWERS[SECOND]


def test_speech_over_an_answer_is_shown_as_an_interruption(call: PageCall, listener: Listener) -> None:
    """The story falls silent and is marked as interrupted; the question is answered."""
    since = call.page.now()
    call.write(LONG_STORY)
    call.page.element("#transcript .heard:has-text('Nobody')", "waitFor")
    call.page.speak(say(FIRST))
    call.says("bot", ANSWERS[FIRST])
    exchange = listen(call, FIRST, since)

    told = {each.type: each.at for each in exchange.messages}
    interrupted, again = told["bot-interrupted"], told["bot-started-speaking"]
    loud = exchange.answer.loud()
    assert loud[loud < interrupted].size
    assert not loud[(loud > interrupted + SILENT_WITHIN) & (loud < again - EARLY)].size
    answer = exchange.answer.between(again - EARLY, call.page.now())
    assert listener.hear(answer.samples, answer.rate) == ANSWERS[FIRST]
    assert call.page.element("#transcript li[data-interrupted=true]", "count") == 1
    assert chain(exchange.messages, "user-started-speaking", "bot-interrupted")


def test_a_form_changes_an_option(call: PageCall) -> None:
    """The options are a form, made of their descriptions; what is applied shows in the next answer."""
    call.page.element("#options [name=politely]", "fill", "Dear guest!")
    call.page.element("#apply", "click")
    call.page.element("#options-status:has-text('Revision')", "waitFor")
    assert write(call, SECOND).text == f"Dear guest! {ANSWERS[SECOND]}"


def test_a_form_calls_an_action(call: PageCall) -> None:
    """Each action is a form with its arguments, and the answer stands below it."""
    call.page.element("#tab-actions", "click")
    ring = "#action-bot-ring"
    call.page.element(f"{ring} summary", "click")
    call.page.element(f"{ring} [name=times]", "fill", "3")
    call.page.element(f"{ring} button[type=submit]", "click")
    call.page.element(f"{ring} .answer:has-text('ding ding ding')", "waitFor")


def test_a_provider_is_switched_in_a_call(call: PageCall) -> None:
    """Who is chosen in the middle of a conversation answers from then on."""
    call.page.element("#provider-llm:not([disabled])", "waitFor")
    call.page.element("#provider-llm", "selectOption", "rules")
    call.page.element("#provider-llm:not([disabled])", "waitFor")
    assert "rule-based" in write(call, "Are you a language model?").text


def test_a_page_that_was_left_and_is_shown_again_can_call(browser: Browser, server: str) -> None:
    """A browser may keep a page and bring it back as it was: the call is over then, and the next one is answered."""
    with visiting(browser, server) as call:
        call.page.element("body", "dispatchEvent", "pagehide")
        call.state("offline")
        assert call.page.element("#talk-label", "innerText") == "Talk"
        assert write(call, SECOND).text == ANSWERS[SECOND]


def test_the_keyboard_switches_push_to_talk_on_and_off(browser: Browser, server: str) -> None:
    """Where the keyboard is on the switch, the space bar turns it; after a click, the space bar is for speaking."""
    with visiting(browser, server) as call:
        call.page.element("#mute:has-text('Mute')", "press", "Tab")
        for expected in (True, False):
            call.page.element("#push-to-talk:focus", "press", "Space")
            assert call.page.element("#push-to-talk", "isChecked") is expected
        call.page.element("#push-to-talk", "blur")
        call.page.element("#push-to-talk", "click")
        call.page.element("#push-to-talk:not(:focus)", "waitFor")
        call.page.element("body", "press", "Space")
        assert call.page.element("#push-to-talk", "isChecked") is True


def test_nothing_stands_beside_a_narrow_screen(browser: Browser, server: str) -> None:
    """At 375 px no panel makes the page wider than the screen."""
    with visiting(browser, server, size=NARROW) as call:
        for tab in ("options", "actions", "timing", "messages"):
            call.page.element(f"#tab-{tab}", "click")
            assert call.page.element(f"#{tab}", "boundingBox")["width"] <= NARROW["width"]
            assert call.page.element("html", "evaluate", "document.documentElement.scrollWidth") == NARROW["width"]


@pytest.mark.parametrize("size", [DESK, NARROW], ids=["desk", "narrow"])
def test_what_is_sent_and_answered_is_in_sight(browser: Browser, server: str, size: Mapping[str, int]) -> None:
    """However much was typed, the end of the transcript shows; on a narrow screen too there is room for it."""
    with visiting(browser, server, size=size) as call:
        for number, question in enumerate([FIRST, SECOND, THIRD, FIRST]):
            call.write(question)
            call.page.element(f"#transcript li[data-who=bot] >> nth={number}", "waitFor")
            call.page.element(f"#transcript li[data-who=bot]:last-child:has-text('{ANSWERS[question]}')", "waitFor")
            assert call.page.element("#transcript", "evaluate", TO_THE_END) < 1
        assert call.page.element("#transcript", "boundingBox")["height"] >= 280


def test_everything_has_its_room_on_a_narrow_screen(browser: Browser, server: str) -> None:
    """The tabs fit, and Apply is in sight while any of the options is."""
    page = browser.open(f"{server}/", size=NARROW)
    call = PageCall(page)
    call.write(FIRST)
    call.says("bot", ANSWERS[FIRST])
    tabs = page.element(".tabs", "boundingBox")
    last = page.element("#tab-messages", "boundingBox")
    assert last["x"] + last["width"] <= tabs["x"] + tabs["width"] <= NARROW["width"]
    assert page.element("#mute:has-text('Use the microphone')", "boundingBox")["height"] < 45
    page.element("#options .field >> nth=0", "scrollIntoViewIfNeeded")
    apply = page.element("#apply", "boundingBox")
    assert 0 < apply["y"] <= NARROW["height"] - apply["height"]
    page.close()


def test_what_a_provider_refuses_stands_beside_its_field(browser: Browser, server: str) -> None:
    """What only the provider knows to be wrong is told there, and is gone with Undo."""
    with visiting(browser, server) as call:
        assert call.page.element("#undo", "isDisabled")
        call.page.element("#options [name=voice]", "fill", "en-uk")
        call.page.element("#apply", "click")
        call.page.element("#options .field:has([name=voice][aria-invalid=true]) .field-error:visible", "waitFor")
        told = call.page.element("#options .field-error:visible", "innerText")
        assert told.startswith("Unknown voice 'en-uk'")
        call.page.element("#undo", "click")
        assert call.page.element("#options .field-error:visible", "count") == 0
        assert call.page.element("#options-status", "innerText").startswith("Revision")


def test_the_answer_of_an_action_is_scrolled_to(browser: Browser, server: str) -> None:
    """Also where the last one's form ends at the fold."""
    with visiting(browser, server, size=NARROW) as call:
        call.page.element("#tab-actions", "click")
        call.page.element("#actions details >> nth=-1", "waitFor")
        call.page.element("#action-bot-ring summary", "click")
        call.page.element("#action-bot-ring button[type=submit]", "click")
        call.page.element("#action-bot-ring .answer:has-text('ding')", "waitFor")
        answer = call.page.element("#action-bot-ring .answer", "boundingBox")
        assert answer["y"] + answer["height"] <= NARROW["height"] + 1


def test_a_call_that_fails_leaves_the_former_one_to_be_read(browser: Browser, server: str) -> None:
    """Only a new conversation takes the place of the old one."""
    page = browser.open(f"{server}/")
    call = PageCall(page)
    call.write(FIRST)
    call.says("bot", ANSWERS[FIRST])
    page.element("#talk", "click")
    page.element("html", "evaluate", "served = fetch, fetch = () => Promise.reject(Error()), 0")
    page.element("#talk", "click")
    page.element("#error:has-text('cannot be reached')", "waitFor")
    assert page.element("#transcript li[data-who=bot]", "count") == 1
    page.element("html", "evaluate", "fetch = served, 0")
    call.write(SECOND)
    call.says("bot", ANSWERS[SECOND])
    assert page.element("#transcript li[data-who=bot]", "count") == 1
    page.close()


def test_the_documentation_shows_the_page(browser: Browser, server: str, images: Path) -> None:
    """Pictures of a conversation, of the forms, of the timing and of a phone can be made."""
    images.mkdir(exist_ok=True)
    with visiting(browser, server) as call:
        for question in (FIRST, SECOND):
            ask(call, question)
        made = [picture(call, images, tab) for tab in ("options", "actions", "timing", "messages")]
    with visiting(browser, server, size=PHONE, colorScheme="dark") as call:
        ask(call, THIRD)
        made.append(picture(call, images, "timing", "phone"))
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in made)


def picture(call: PageCall, folder: Path, tab: str, name: str = "") -> Path:
    """A picture of the page with one of its tabs open."""
    call.page.element(f"#tab-{tab}", "click")
    if tab == "actions":
        call.page.element("#action-bot-ring summary", "click")
    path = folder / f"page-{name or tab}.png"
    call.page.call("scrollTo", 0, 0)
    call.page.screenshot(path)
    return path
