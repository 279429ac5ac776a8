"""Our own page in Chromium: talking, typing, interrupting, options, actions and providers, by what a user sees.

With RTVI_SCREENSHOTS=1 the pictures of it in the documentation are made anew.
"""

from __future__ import annotations

import os
from collections.abc import Generator
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
