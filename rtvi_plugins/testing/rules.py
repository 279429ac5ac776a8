"""The rules of the conformance kit: what a provider must do, why, and how to fix it.

The module has more than 300 lines because the rules are one table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias, get_args

from attrs import Factory, field, frozen

__all__ = ("RULES", "Level", "Rule")

#: The levels, from the lowest.
Level: TypeAlias = Literal["bronze", "silver", "gold"]


@frozen
class Rule:
    """One rule. `why` and `fix` are one sentence each. A provider may waive a rule that is `waivable`.

    `of` is what is checked: the service, how it treats failures of its vendor, or the package that brings it. `kinds`
    are the kinds of services that the rule is for; none means all. What is checked `on_request` takes long, or needs a
    network, and does not lower the level of a provider if nobody asks for it.
    """

    #: Its first digit is the number of the level.
    id: str
    level: Level = field(
        init=False, default=Factory(lambda rule: get_args(Level)[int(rule.id[1]) - 1], takes_self=True)
    )
    what: str
    why: str
    fix: str
    of: Literal["service", "vendor", "package"] = "service"
    kinds: tuple[str, ...] = ()
    waivable: bool = True
    on_request: bool = False


_BRONZE: Final = (
    Rule(
        "P101",
        "The entry point names the module that declares the provider.",
        "Bots name the entry point, and it is read without importing the module.",
        'Write `"kind.provider" = "package.module"` in `[project.entry-points.rtvi_plugins]`, as @service says.',
        of="package",
    ),
    Rule(
        "P102",
        "The package names the version of the plugin API that it was written for.",
        "A core with another API can then refuse it with a sentence, before it is imported.",
        'Add `1 = "package"` to `[project.entry-points."rtvi_plugins.api"]`.',
        of="package",
    ),
    Rule(
        "P103",
        "The import uses no network.",
        "Bots are described and checked on machines without a network, and a start must not depend on the vendor.",
        "Connect in the service function, not at the top of a module.",
        of="package",
    ),
    Rule(
        "P104",
        "The service opens, also twice at once.",
        "Every session opens its own service, and many sessions run at the same time.",
        "Keep what belongs to one session in the object that the service function yields.",
    ),
    Rule(
        "P105",
        "The live service has the methods of its kind.",
        "The framework calls these methods as the Protocol declares them.",
        "Give the method the name, the parameters and the form (async generator or function) of the Protocol.",
    ),
    Rule(
        "P106",
        "The service can be described, with valid JSON Schemas (2020-12).",
        "Clients build their settings from the description, and LLMs call functions by it.",
        "Declare each option once, with a type and a default.",
    ),
    Rule(
        "P107",
        "Options change while the service is open, and can be set back.",
        "Clients change options during a conversation and send back values that they have read.",
        "Set the values in the options function, accept every valid value again, and raise only for invalid values.",
    ),
    Rule(
        "P108",
        "The service closes.",
        "A session that does not close keeps its memory and its connections.",
        "End tasks, connections and processes after the yield of the service function, with `finally` or `async with`.",
    ),
    Rule(
        "P109",
        "The module can be imported.",
        "A bot that names the provider does not start without it.",
        "Fix the error that was found. If another package is missing, add it to `dependencies`.",
        of="package",
    ),
)

_SILVER: Final = (
    Rule(
        "P201",
        "The operation streams pieces of its kind.",
        "Any other value ends the turn with an error.",
        "Yield only the classes that the Protocol names.",
        kinds=("llm", "speech", "stt", "tts"),
    ),
    Rule(
        "P202",
        "A plain request has a result.",
        "The user hears nothing if an answer is empty.",
        "Yield Text or ToolCall for a conversation, Audio for text, and a number from 0 to 1 for a frame.",
        kinds=("llm", "speech", "stt", "tts", "vad"),
    ),
    Rule(
        "P203",
        "The first piece comes before the input or the vendor's answer has ended.",
        "A provider that collects everything first makes the user wait for the whole answer.",
        "Yield each piece as soon as it arrives, and do not wait for the next input before.",
        kinds=("llm", "speech", "stt", "tts"),
    ),
    Rule(
        "P204",
        "Audio has whole 16-bit samples and one format.",
        "A piece with half a sample turns all audio after it into noise.",
        "Keep an odd byte for the next piece, and yield the same rate and channels in the whole stream.",
        kinds=("speech", "tts"),
    ),
    Rule(
        "P205",
        "Sentences are spoken in their order, and words have rising times.",
        "Clients show words at their times, and the context keeps the words that the user has heard.",
        "Speak the sentences one after the other, and count the time of a word from the start of the request.",
        kinds=("tts",),
    ),
    Rule(
        "P206",
        "The stream can be closed after any piece.",
        "The framework closes the stream when the user interrupts.",
        "Do not catch GeneratorExit, and stop the work in `finally` without yielding.",
        kinds=("llm", "speech", "stt", "tts"),
    ),
    Rule(
        "P207",
        "The operation can be cancelled at every await, and the service works afterwards.",
        "An interruption must end the answer at once, and the next turn uses the same service.",
        "Do not suppress the cancellation: catch Exception but not BaseException, and restore the state in `finally`.",
        kinds=("llm", "speech", "stt", "tts"),
        waivable=False,
    ),
    Rule(
        "P208",
        "An operation that has ended leaves no task behind.",
        "Tasks that are left behind speak into the next turn, or fill the memory.",
        "Start tasks in a task group that ends with the stream.",
        kinds=("llm", "speech", "stt", "tts"),
    ),
    Rule(
        "P209",
        "The event loop is not blocked.",
        "No session is served while one provider computes or waits.",
        "Move computations and blocking calls to a thread (anyio.to_thread.run_sync) or a process.",
    ),
    Rule(
        "P210",
        "A key is never shown: not in repr, errors, tracebacks or logs.",
        "Logs and error reports are read by people who may not have the key.",
        "Keep the Secret, call reveal() only where it is sent, and raise errors without the vendor's text.",
        waivable=False,
    ),
    Rule(
        "P211",
        "The service works on trio as it does on asyncio.",
        "Bots run on either event loop.",
        "Use anyio instead of asyncio. If the vendor's SDK needs asyncio, write `@service(…, asyncio_only=True)`.",
    ),
    Rule(
        "P212",
        "The package declares the Python and the oldest core that it needs.",
        "An installer can then refuse a combination that does not work.",
        'Write `requires-python = ">=3.11"`, and a lower bound in `dependencies`, as in "rtvi-plugins>=0.1".',
        of="package",
    ),
    Rule(
        "P213",
        "The package has a licence and a readme in its metadata.",
        "People look there before they install it.",
        "Add `license` and `readme` to `[project]`.",
        of="package",
    ),
    Rule(
        "P214",
        "The import is quick.",
        "A bot imports its providers when it starts, and commands import them to describe them.",
        "Import heavy libraries in the service function.",
        of="package",
    ),
    Rule(
        "P215",
        "The package works with the oldest core that it claims (checked with `rtvi check --oldest`).",
        "An installer may choose any version that the package allows, and a bot then fails.",
        "Raise the lower bound of rtvi-plugins in `dependencies`, or do not use what the older core does not have.",
        of="package",
        on_request=True,
    ),
    Rule(
        "P216",
        "No async generator is left to the garbage collector.",
        "It is then closed at any later time, and a connection that it holds stays open until then.",
        "Read each generator of yours within `async with aclosing(generator) as pieces`.",
    ),
    Rule(
        "P217",
        "A request with an `answer_schema` is answered with JSON that fits it, or refused as a bad-request.",
        "The caller parses the answer as JSON, whatever it is.",
        'Send the schema to the vendor. If the vendor has no such field, raise `ProviderError(…, "bad-request")`.',
        kinds=("llm",),
    ),
    *(
        Rule(
            id,
            f"The status {status} is a ProviderError of category {category}.",
            why,
            "Map the status of the response to the category.",
            of="vendor",
        )
        for id, status, category, why in (
            ("P221", 401, "auth", "The operator must learn that the key is wrong."),
            ("P222", 402, "quota", "Waiting does not help if the account has no credit."),
            ("P223", 429, "rate", "The framework tries again only for temporary failures."),
            ("P224", 400, "bad-request", "The same request would fail again."),
            ("P225", 500, "unavailable", "The framework tries again only for temporary failures."),
        )
    ),
    Rule(
        "P226",
        "A connection that is cut is a ProviderError of category unavailable.",
        "Nobody may treat an incomplete answer as complete.",
        "Check that the vendor has sent its end, and translate the errors of the connection.",
        of="vendor",
    ),
    Rule(
        "P227",
        "An answer that cannot be read is a ProviderError: no JSON, or a field is missing or has another type.",
        "Other exceptions count as bugs of the provider, and hide the vendor's failure.",
        "Read each message in a block that translates errors of parsing, and KeyError, TypeError and the like.",
        of="vendor",
    ),
    Rule(
        "P228",
        "A vendor that is silent is a ProviderError of category timeout.",
        "A user who hears nothing for long hangs up.",
        "Limit the time of every read, and give the check a short limit in `service_options`.",
        of="vendor",
    ),
    Rule(
        "P229",
        "An interruption reaches the vendor.",
        "A vendor that does not stop charges for an answer that nobody hears.",
        "Close the response, or send the vendor's cancel message, when the stream is closed.",
        of="vendor",
    ),
    Rule(
        "P230",
        "The status 429 has the vendor's retry-after.",
        "A client that tries again too early is refused again, or blocked.",
        "Raise `ProviderError(…, retry_after=seconds)` with the value of the header.",
        of="vendor",
    ),
    Rule(
        "P231",
        "With a fake of its vendor, the provider calls nothing outside of this machine.",
        "An operator who replaces the vendor's address must not send keys and speech to the old one.",
        "Take every address from a service option such as `base_url`.",
        of="vendor",
    ),
    Rule(
        "P232",
        "An answer without the vendor's end event is a ProviderError of category unavailable.",
        "A proxy with a timeout ends an answer without an error, and the user would hear half a sentence.",
        "Note the end event, and raise when the stream ends before it. If the API has none, say so in the fake of the "
        "vendor, as in `scripted_vendor(…, end_event=False)`.",
        of="vendor",
    ),
    Rule(
        "P241",
        "`listen` answers each Pause with one Settled, after the transcripts of the speech before it.",
        "The bot waits for it before it answers, and would mix up the utterances.",
        "Yield Settled() once, when the vendor has confirmed the end of the utterance.",
        kinds=("stt",),
    ),
    Rule(
        "P242",
        "If the connection of `listen` is cut, it raises a ProviderError, and it can be called again.",
        "The framework then opens it again, with the utterance that was lost.",
        "Check that the connection is still open, and connect in each call of `listen`.",
        of="vendor",
        kinds=("stt",),
    ),
    Rule(
        "P251",
        "An answer of a speech-to-speech model ends with one AnswerEnded, and nothing of it comes afterwards.",
        "The bot finishes its turn then, and later audio would be played in the next one.",
        "Yield AnswerEnded() when the vendor has confirmed the end of the answer, and drop what comes late.",
        kinds=("speech",),
    ),
    Rule(
        "P252",
        "An answer of a speech-to-speech model that was interrupted ends soon, and the next one can be asked for.",
        "The bot waits for the end before it asks for another answer.",
        "At Heard, stop the vendor's answer and yield AnswerEnded().",
        kinds=("speech",),
    ),
)

_GOLD: Final = (
    Rule(
        "P301",
        "The package is typed.",
        "Type checkers ignore the annotations of a package without the marker.",
        "Add an empty file py.typed to the package.",
        of="package",
    ),
    Rule(
        "P302",
        "The readme names each option, service option and key.",
        "People choose a provider by its readme.",
        "Add a table of the options to the readme; `rtvi describe` prints them. Then install the package again.",
        of="package",
    ),
    Rule(
        "P303",
        "The service and its options are documented.",
        "Clients show these texts to users.",
        "Give the service function a docstring and each option a Doc.",
    ),
)

#: All rules by their id.
RULES: Final[Mapping[str, Rule]] = {each.id: each for each in (*_BRONZE, *_SILVER, *_GOLD)}
