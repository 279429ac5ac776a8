"""Our own page in Chromium: talking, typing, interrupting, options, actions and providers, as users see them.

With RTVI_SCREENSHOTS=1, it makes its pictures in the documentation again.
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
    """Begin a call over each transport that the page offers. No error is shown, or written to the console."""
    with visiting(browser, server, request.param) as made:
        yield made
        assert not made.page.element("#error", "isVisible")
        assert made.page.complaints() == []


@pytest.fixture
def socket_call(browser: Browser, server: str) -> Generator[PageCall]:
    """Begin a call over a WebSocket, for tests that do not depend on the transport."""
    with visiting(browser, server) as made:
        yield made
        assert made.page.complaints() == []


@pytest.fixture(scope="module")
def listener() -> Listener:
    """Return a listener that knows the porter's twenty answers."""
    return Listener(ANSWERS.values())


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Return the folder for pictures: that of the documentation if this is requested, otherwise a temporary one."""
    return IMAGES if os.environ.get("RTVI_SCREENSHOTS") else tmp_path


def test_speech_is_shown_answered_and_heard(call: PageCall, listener: Listener) -> None:
    """The transcript has both sides, the answer is played, and the page listens again."""
    exchange = ask(call, FIRST)
    assert words(call.says("user", exchange.heard[-1])) == exchange.heard
    assert call.says("bot", ANSWERS[FIRST]).strip() == ANSWERS[FIRST]
    assert listener.hear(exchange.answer.samples, exchange.answer.rate) == ANSWERS[FIRST]


def test_what_is_typed_is_answered_aloud(call: PageCall, listener: Listener) -> None:
    """The transcript has the typed text unchanged, and its answer is played."""
    exchange = write(call, SECOND)
    assert call.says("user", SECOND).strip() == SECOND
    assert listener.hear(exchange.answer.samples, exchange.answer.rate) == ANSWERS[SECOND]


def test_speech_over_an_answer_is_shown_as_an_interruption(call: PageCall, listener: Listener) -> None:
    """The story becomes silent and is marked as interrupted. The question is answered."""
    since = call.page.now()
    call.write(LONG_STORY)
    call.page.element("#transcript .heard:has-text('Nobody')", "waitFor")
    call.page.speak(say(FIRST))
    call.says("bot", ANSWERS[FIRST])
    exchange = listen(call, FIRST, since)

    times = {each.type: each.at for each in exchange.messages}
    interrupted, again = times["bot-interrupted"], times["bot-started-speaking"]
    loud = exchange.answer.loud()
    assert loud[loud < interrupted].size
    assert not loud[(loud > interrupted + SILENT_WITHIN) & (loud < again - EARLY)].size
    answer = exchange.answer.between(again - EARLY, call.page.now())
    assert listener.hear(answer.samples, answer.rate) == ANSWERS[FIRST]
    assert call.page.element("#transcript li[data-interrupted=true]", "count") == 1
    assert chain(exchange.messages, "user-started-speaking", "bot-interrupted")


def test_a_form_changes_an_option(socket_call: PageCall) -> None:
    """The form is made from the descriptions of the options. The next answer shows the change."""
    socket_call.page.element("#options [name=politely]", "fill", "Dear guest!")
    socket_call.page.element("#apply", "click")
    socket_call.page.element("#options-status:has-text('Revision')", "waitFor")
    assert write(socket_call, SECOND).text == f"Dear guest! {ANSWERS[SECOND]}"


def test_a_form_calls_an_action(socket_call: PageCall) -> None:
    """Each action is a form with its arguments. The answer is shown below it."""
    socket_call.page.element("#tab-actions", "click")
    ring = "#action-bot-ring"
    socket_call.page.element(f"{ring} summary", "click")
    socket_call.page.element(f"{ring} [name=times]", "fill", "3")
    socket_call.page.element(f"{ring} button[type=submit]", "click")
    socket_call.page.element(f"{ring} .answer:has-text('ding ding ding')", "waitFor")


def test_a_provider_is_switched_in_a_call(socket_call: PageCall) -> None:
    """A provider that is chosen during a conversation answers from then on."""
    socket_call.page.element("#provider-llm:not([disabled])", "waitFor")
    socket_call.page.element("#provider-llm", "selectOption", "rules")
    socket_call.page.element("#provider-llm:not([disabled])", "waitFor")
    socket_call.write("Are you a language model?")
    socket_call.says("bot", "rule-based")


def test_the_page_is_useful_before_a_call(browser: Browser, server: str) -> None:
    """Options, actions and missing keys are shown. Changes apply to the call that follows."""
    page = browser.open(f"{server}/")
    call = PageCall(page)
    page.element("#actions #action-bot-ring", "waitFor", {"state": "attached"})
    page.element("#provider-llm", "selectOption", "openai")
    assert page.element("#provider-llm option:checked", "innerText") == "openai (no key)"
    assert page.element(".choice-note", "innerText").startswith("openai needs OPENAI_API_KEY")
    page.element("#options legend:has-text('openai')", "waitFor")
    page.element("#provider-llm", "selectOption", "porter")
    page.element("#options [name=politely]", "fill", "Dear guest!")
    assert page.element("#state", "getAttribute", "data-state") == "offline"
    assert page.element(".choice-note", "innerText") == ""

    call.write(FIRST)
    call.says("bot", f"Dear guest! {ANSWERS[FIRST]}")
    assert page.element("#options [name=politely]", "inputValue") == "Dear guest!"
    assert page.complaints() == []
    page.close()


def test_an_action_connects_before_it_is_called(browser: Browser, server: str) -> None:
    """The action is answered by the bot, because the page has started a call."""
    page = browser.open(f"{server}/")
    page.element("#tab-actions", "click")
    page.element("#action-bot-ring summary", "click")
    page.element("#action-bot-ring button[type=submit]", "click")
    page.element("#action-bot-ring .answer:has-text('ding')", "waitFor")
    PageCall(page).state("listening")
    page.close()


def test_a_start_that_an_option_spoils_says_so_beside_the_field(browser: Browser, server: str) -> None:
    """Only the provider knows that the voice does not exist. After the correction, the call starts."""
    page = browser.open(f"{server}/")
    page.element("#options [name=voice]", "fill", "en-uk")
    page.element("#talk", "click")
    page.element("#options .field:has([name=voice][aria-invalid=true]) .field-error:visible", "waitFor")
    page.element("#options [name=voice]", "fill", "en-us")
    page.element("#talk", "click")
    PageCall(page).state("listening")
    page.close()


def test_the_theme_is_kept(browser: Browser, server: str) -> None:
    """The theme is that of the system until the user chooses another, which is used when the page is opened again."""
    page = browser.open(f"{server}/", colorScheme="light")
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.element("html", "evaluate", paper)
    page.element("#theme", "selectOption", "dark")
    dark = page.element("html", "evaluate", paper)
    assert dark != light
    page.element("html", "evaluate", "document.body.id = 'old', location.reload()")
    page.element("body:not(#old) #talk:not([disabled])", "waitFor")
    assert page.element("#theme", "inputValue") == "dark"
    assert page.element("html", "evaluate", paper) == dark
    page.element("#theme", "selectOption", "system")
    assert page.element("html", "evaluate", paper) == light
    page.close()


def test_a_typed_turn_is_timed_and_its_sentence_has_one_row(browser: Browser, server: str) -> None:
    """The plot has the turn with its total. The pieces of a sentence share a row of the messages."""
    with visiting(browser, server) as call:
        page = call.page
        page.element("#duration:has-text('0:0')", "waitFor")
        page.element("#tab-timing", "click")
        write(call, FIRST)
        page.element("#tab-timing", "click")
        page.element("#plot .row-label:has-text('1 typed')", "waitFor")
        page.element("#plot .total:not(.partial)", "waitFor")
        assert page.element("#log li[data-type=bot-output]", "count") == 1
        assert page.element("#log li[data-type=bot-tts-text]", "count") == 1
        row = page.element("#log li[data-type=bot-tts-text] .brief", "textContent")
        assert row == ANSWERS[FIRST]


def test_a_page_that_was_left_and_is_shown_again_can_call(browser: Browser, server: str) -> None:
    """A browser may keep a page and show it again later. The call is over then, and a new call works."""
    with visiting(browser, server) as call:
        call.page.element("body", "dispatchEvent", "pagehide")
        call.state("offline")
        assert call.page.element("#talk-label", "innerText") == "Talk"
        call.write(SECOND)
        call.says("bot", ANSWERS[SECOND])


def test_the_keyboard_switches_push_to_talk_on_and_off(browser: Browser, server: str) -> None:
    """If the switch has the focus, the space bar changes it. After a click, the space bar is for speaking."""
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
    """The end of the transcript is visible after any amount of typing, even on a narrow screen."""
    with visiting(browser, server, size=size) as call:
        for number, question in enumerate([FIRST, SECOND, THIRD, FIRST]):
            call.write(question)
            call.page.element(f"#transcript li[data-who=bot] >> nth={number}", "waitFor")
            call.page.element(f"#transcript li[data-who=bot]:last-child:has-text('{ANSWERS[question]}')", "waitFor")
            assert call.page.element("#transcript", "evaluate", TO_THE_END) < 1
        assert call.page.element("#transcript", "boundingBox")["height"] >= 280


def test_everything_has_its_room_on_a_narrow_screen(browser: Browser, server: str) -> None:
    """The tabs fit, and Apply is visible together with any of the options."""
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
    """A problem that only the provider finds is shown there, and disappears with Undo."""
    with visiting(browser, server) as call:
        assert call.page.element("#undo", "isDisabled")
        call.page.element("#options [name=voice]", "fill", "en-uk")
        call.page.element("#apply", "click")
        call.page.element("#options .field:has([name=voice][aria-invalid=true]) .field-error:visible", "waitFor")
        error = call.page.element("#options .field-error:visible", "innerText")
        assert error.startswith("Unknown voice 'en-uk'")
        call.page.element("#undo", "click")
        assert call.page.element("#options .field-error:visible", "count") == 0
        assert call.page.element("#options-status", "innerText").startswith("Revision")


def test_the_answer_of_an_action_is_scrolled_to(browser: Browser, server: str) -> None:
    """This is so even if the last action's form ends at the edge of the screen."""
    with visiting(browser, server, size=NARROW) as call:
        call.page.element("#tab-actions", "click")
        call.page.element("#actions details >> nth=-1", "waitFor")
        call.page.element("#action-bot-ring summary", "click")
        call.page.element("#action-bot-ring button[type=submit]", "click")
        call.page.element("#action-bot-ring .answer:has-text('ding')", "waitFor")
        answer = call.page.element("#action-bot-ring .answer", "boundingBox")
        assert answer["y"] + answer["height"] <= NARROW["height"] + 1


def test_a_call_that_fails_leaves_the_former_one_to_be_read(browser: Browser, server: str) -> None:
    """Only a new conversation replaces the old one."""
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
    """It can make pictures of a conversation, of the forms, of the timing and of a phone."""
    images.mkdir(exist_ok=True)
    with visiting(browser, server) as call:
        ask(call, FIRST)
        write(call, SECOND)
        made = [picture(call, images, tab) for tab in ("options", "actions", "timing", "messages")]
    with visiting(browser, server, size=PHONE, colorScheme="dark") as call:
        ask(call, THIRD)
        made.append(picture(call, images, "timing", "phone"))
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in made)


def picture(call: PageCall, folder: Path, tab: str, name: str = "") -> Path:
    """Take a picture of the page with one of its tabs open."""
    call.page.element(f"#tab-{tab}", "click")
    if tab == "actions":
        call.page.element("#action-bot-repeat summary", "click")
        call.page.element("#action-bot-repeat [name=text]", "fill", "Welcome!")
        call.page.element("#action-bot-repeat .code-button", "click")
        call.page.element("#action-bot-repeat [data-language=Python]", "click")
        call.page.element("#action-bot-repeat .usage", "scrollIntoViewIfNeeded")
    path = folder / f"page-{name or tab}.png"
    call.page.call("scrollTo", 0, 0)
    call.page.screenshot(path)
    return path
