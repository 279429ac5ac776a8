"""Conversations in a browser: with the published client over each of its transports, and on our own page."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Protocol

from attrs import frozen

from .chromium import Browser, Page
from .sound import Tape
from .speech import say, words

__all__ = (
    "Call",
    "Exchange",
    "PageCall",
    "PublishedCall",
    "Told",
    "ask",
    "calling",
    "chain",
    "listen",
    "visiting",
    "write",
)

PUBLISHED = ("websocket", "webrtc")


@frozen
class Told:
    """A message, and when it arrived, by the page's clock in milliseconds."""

    at: float
    type: str
    data: Any


@frozen
class Exchange:
    """A question, the messages about it, and the audio of the answer."""

    question: str
    messages: Sequence[Told]
    answer: Tape

    @property
    def heard(self) -> Sequence[str]:
        """Return the words that were recognised."""
        transcriptions = [each.data for each in self.messages if each.type == "user-transcription"]
        return words(" ".join(each["text"] for each in transcriptions if each["final"]))

    @property
    def text(self) -> str:
        """Return the LLM's answer."""
        return "".join(each.data["text"] for each in self.messages if each.type == "bot-llm-text").strip()


class Call(Protocol):
    """A conversation in a page."""

    @property
    def page(self) -> Page: ...

    def answered(self, since: float) -> None:
        """Wait until the bot has finished speaking."""
        ...

    def messages(self, since: float) -> Sequence[Told]:
        """Return all messages since that time."""
        ...

    def write(self, text: str) -> None:
        """Type a text."""
        ...

    def resumed(self, since: float) -> None:
        """Wait until the session is resumed, after its connection was lost at that time."""
        ...


@frozen
class PublishedCall:
    """A conversation with the published client."""

    page: Page

    def until(self, type: str, since: float = 0, seconds: float = 20, **data: Any) -> Told:
        """Wait for a message of this type with this data."""
        return _told(self.page.call("published.until", type, data, since, seconds))

    def answered(self, since: float) -> None:
        # What an interrupted answer tells last may come after `since` as well.
        self.until("bot-stopped-speaking", self.until("bot-started-speaking", since).at)

    def messages(self, since: float) -> Sequence[Told]:
        return [_told(each) for each in self.page.call("published.told", since) if each["kind"] == "message"]

    def write(self, text: str) -> None:
        self.page.call("published.type", text)

    def resumed(self, since: float) -> None:
        self.until("bot-ready", since, seconds=45)

    def microphone(self, enabled: bool) -> None:
        """Switch the microphone on or off."""
        self.page.call("published.microphone", enabled)

    def context(self) -> Sequence[Mapping[str, Any]]:
        """Return the messages of the conversation in the bot."""
        request: Mapping[str, Any] = {"service": "llm", "action": "get_context", "arguments": {}}
        messages: Sequence[Mapping[str, Any]] = self.page.call("published.request", "action", request)["messages"]
        return messages


def _told(each: Mapping[str, Any]) -> Told:
    return Told(each["at"], each["type"], each["data"])


@frozen
class PageCall:
    """A conversation on our own page. Messages are read from its log, as a user would copy it."""

    page: Page

    def state(self, state: str) -> None:
        """Wait until the page shows this state."""
        self.page.element(f"#state[data-state={state}]", "waitFor")

    def answered(self, since: float) -> None:
        self.state("speaking")
        self.state("listening")

    def messages(self, since: float) -> Sequence[Told]:
        self.page.element("#tab-messages", "click")
        self.page.element("#log-copy", "click")
        self.page.element("#log-status:has-text('to the clipboard')", "waitFor")
        origin = float(self.page.call("performance.toJSON")["timeOrigin"])
        lines = [json.loads(line) for line in self.page.call("navigator.clipboard.readText").splitlines()]
        received = [_logged(line, origin) for line in lines if line["direction"] == "received"]
        return [each for each in received if each.at >= since]

    def write(self, text: str) -> None:
        self.page.element("#text", "fill", text)
        self.page.element("#send", "click")

    def resumed(self, since: float) -> None:
        self.page.element("#log li:has-text('bot-ready') >> nth=1", "waitFor", {"state": "attached"})

    def says(self, who: str, text: str) -> str:
        """Wait for an entry of the transcript with this text. Return the whole entry."""
        entry = f"#transcript li[data-who={who}]:has-text({json.dumps(text)}) .words"
        self.page.element(entry, "waitFor")
        return str(self.page.element(entry, "innerText"))


def _logged(line: Mapping[str, Any], origin: float) -> Told:
    at = datetime.fromisoformat(line["at"]).timestamp() * 1000 - origin
    return Told(at, line["message"]["type"], line["message"].get("data"))


def ask(call: Call, question: str) -> Exchange:
    """Speak a question, and listen until the answer is over."""
    since = call.page.now()
    call.page.speak(say(question))
    return listen(call, question, since)


def write(call: Call, question: str) -> Exchange:
    """Type a question, and listen until the answer is over."""
    since = call.page.now()
    call.write(question)
    return listen(call, question, since)


def listen(call: Call, question: str, since: float) -> Exchange:
    """Wait until the answer is over and there is silence. Return everything since that time."""
    call.answered(since)
    call.page.until_silent()
    return Exchange(question, call.messages(since), call.page.played(since).voice())


@contextmanager
def calling(
    browser: Browser, server: str, transport: str, *, stay: bool = False, **start: Any
) -> Generator[PublishedCall]:
    """The published client, connected until the block ends. With `stay`, it comes back after a lost connection."""
    page = browser.open(browser.pages)
    try:
        page.call("published.stay" if stay else "published.connect", transport, server, start)
        yield PublishedCall(page)
        page.call("published.disconnect")
    finally:
        page.close()


@contextmanager
def visiting(browser: Browser, server: str, transport: str = "websocket", **options: Any) -> Generator[PageCall]:
    """Open our own page, in a call until the block ends."""
    page = browser.open(f"{server}/", **options)
    call = PageCall(page)
    try:
        page.element("#talk:not([disabled])", "waitFor")
        page.element("#transport", "selectOption", transport)
        page.element("#talk", "click")
        call.state("listening")
        yield call
        page.element("#talk", "click")
        call.state("offline")
    finally:
        page.close()


def chain(messages: Sequence[Told], *types: str) -> bool:
    """Return whether the first of each of these types came after the first of the type before it."""
    came = [each.type for each in messages if each.type != "user-transcription" or each.data["final"]]
    places = [came.index(type) for type in types if type in came]
    return len(places) == len(types) and places == sorted(places)
