"""The rules of the conformance kit: what a provider must do, why, and how to mend it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from attrs import frozen

__all__ = ("RULES", "Level", "Problem", "Rule")

#: The levels, from the lowest.
Level: TypeAlias = Literal["bronze", "silver", "gold"]


@frozen
class Rule:
    """One rule. `why` and `mend` are one sentence each. A rule that is not `waivable` has no exceptions."""

    id: str
    level: Level
    what: str
    why: str
    mend: str
    waivable: bool = True


@frozen
class Problem:
    """One rule that a provider breaks. `what` says what was seen, and never contains a key."""

    rule: str
    provider: str
    what: str

    def __str__(self) -> str:
        rule = RULES[self.rule]
        return f"{self.rule} {self.provider}: {rule.what}\n  found: {self.what}\n  why: {rule.why}\n  mend: {rule.mend}"


_BRONZE: Final = (
    Rule(
        "P104",
        "bronze",
        "The service opens, also twice at once.",
        "Every session opens its own service, and many sessions run at the same time.",
        "Keep what belongs to one session in the object that the service function yields.",
    ),
    Rule(
        "P105",
        "bronze",
        "The live service has the methods of its kind.",
        "The framework calls these methods as the Protocol declares them.",
        "Give the method the name, the parameters and the form (async generator or function) of the Protocol.",
    ),
    Rule(
        "P106",
        "bronze",
        "The service can be described.",
        "Clients build their settings from the description.",
        "Declare each option once, with a type and a default.",
    ),
    Rule(
        "P107",
        "bronze",
        "Options change while the service is open, and can be set back.",
        "Clients change options during a conversation and send back values that they have read.",
        "Set the values in the options function, accept every valid value again, and raise only for invalid values.",
    ),
    Rule(
        "P108",
        "bronze",
        "The service closes.",
        "A session that does not close keeps its memory and its connections.",
        "End tasks, connections and processes after the yield of the service function, with `finally` or `async with`.",
    ),
)

_SILVER: Final = (
    Rule(
        "P201",
        "silver",
        "The operation streams pieces of its kind.",
        "Any other value ends the turn with an error.",
        "Yield only the classes that the Protocol names.",
    ),
    Rule(
        "P202",
        "silver",
        "A plain request has a result.",
        "The user hears nothing if an answer is empty.",
        "Yield Text or ToolCall for a conversation, Audio for text, and a number from 0 to 1 for a frame.",
    ),
    Rule(
        "P203",
        "silver",
        "The first piece comes before the input or the vendor's answer has ended.",
        "A provider that collects everything first makes the user wait for the whole answer.",
        "Yield each piece as soon as it arrives, and do not wait for the next input before.",
    ),
    Rule(
        "P204",
        "silver",
        "Audio has whole 16-bit samples and one format.",
        "A piece with half a sample turns all audio after it into noise.",
        "Keep an odd byte for the next piece, and yield the same rate and channels in the whole stream.",
    ),
    Rule(
        "P205",
        "silver",
        "Sentences are spoken in their order, and words have rising times.",
        "Clients show words at their times, and the context keeps the words that the user has heard.",
        "Speak the sentences one after the other, and count the time of a word from the start of the request.",
    ),
    Rule(
        "P206",
        "silver",
        "The stream can be closed after any piece.",
        "The framework closes the stream when the user interrupts.",
        "Let GeneratorExit pass, and stop the work in `finally` without yielding.",
    ),
    Rule(
        "P207",
        "silver",
        "The operation can be cancelled at every await, and the service works afterwards.",
        "An interruption must end the answer at once, and the next turn uses the same service.",
        "Let the cancellation pass, catch Exception but not BaseException, and restore the state in `finally`.",
        waivable=False,
    ),
    Rule(
        "P208",
        "silver",
        "An operation that has ended leaves no task behind.",
        "Tasks that are left behind speak into the next turn, or fill the memory.",
        "Start tasks in a task group that ends with the stream.",
    ),
    Rule(
        "P209",
        "silver",
        "The event loop is not blocked.",
        "No session is served while one provider computes or waits.",
        "Move computations and blocking calls to a thread (anyio.to_thread.run_sync) or a process.",
    ),
    Rule(
        "P210",
        "silver",
        "A key is never shown: not in repr, errors, tracebacks or logs.",
        "Logs and error reports are read by people who may not have the key.",
        "Keep the Secret, call reveal() only where it is sent, and raise errors without the vendor's text.",
        waivable=False,
    ),
    Rule(
        "P221",
        "silver",
        "The status 401 is a ProviderError of category auth.",
        "The operator must learn that the key is wrong.",
        "Map the status of the response to the category.",
    ),
    Rule(
        "P222",
        "silver",
        "The status 402 is a ProviderError of category quota.",
        "Waiting does not help if the account has no credit.",
        "Map the status of the response to the category.",
    ),
    Rule(
        "P223",
        "silver",
        "The status 429 is a ProviderError of category rate.",
        "The framework tries again only for temporary failures.",
        "Map the status of the response to the category.",
    ),
    Rule(
        "P224",
        "silver",
        "The status 400 is a ProviderError of category bad-request.",
        "The same request would fail again.",
        "Map the status of the response to the category.",
    ),
    Rule(
        "P225",
        "silver",
        "The status 500 is a ProviderError of category unavailable.",
        "The framework tries again only for temporary failures.",
        "Map the status of the response to the category.",
    ),
    Rule(
        "P226",
        "silver",
        "A connection that is cut is a ProviderError of category unavailable.",
        "Half an answer must not be taken for a whole one.",
        "Check that the vendor has sent its end, and translate the errors of the connection.",
    ),
    Rule(
        "P227",
        "silver",
        "A malformed answer is a ProviderError.",
        "Other exceptions count as bugs of the provider, and hide the vendor's failure.",
        "Translate errors of parsing to the category unavailable.",
    ),
    Rule(
        "P228",
        "silver",
        "A vendor that is silent is a ProviderError of category timeout.",
        "A user who hears nothing for long hangs up.",
        "Limit the time of every read, and give the check a short limit in `service_options`.",
    ),
    Rule(
        "P229",
        "silver",
        "An interruption reaches the vendor.",
        "A vendor that goes on is paid for what nobody hears.",
        "Close the response, or send the vendor's cancel message, when the stream is closed.",
    ),
)

_GOLD: Final = (
    Rule(
        "P303",
        "gold",
        "The service and its options are documented.",
        "Clients show these texts to users.",
        "Give the service function a docstring and each option a Doc.",
    ),
)

#: All rules by their id.
RULES: Final[Mapping[str, Rule]] = {each.id: each for each in (*_BRONZE, *_SILVER, *_GOLD)}
