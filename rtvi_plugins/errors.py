"""Everything that can go wrong, in families by whose mistake it is.

::

    AuthorError                what a developer wrote or installed; a sentence for the terminal
    ├── DeclarationError       a decorated function that cannot be declared; raised at import, names file and line
    ├── BotError               a bot that cannot be put together from what is installed
    └── PluginError            an installed plugin that cannot be used
    RequestError               what a client or an operator asked for; travels to them as code, sentence and details
    └── one class per code     the catalogue below, `CATALOGUE`
    ProviderError              what a vendor answered; raised by providers, reaches clients as `ProviderFailed`

The text of a `RequestError` is written here or by the author of an action who raises one on purpose. The text of
any other exception never leaves the process.

The module is longer than others because the catalogue is one list: authors and the generated reference find all codes
in one place.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

from attrs import field, frozen

from .utils.diagnostics import nearest, shorten, shorten_middle, where
from .utils.json_values import MAX_PROBLEMS, is_array, is_object
from .utils.log_text import escape, trace

_log = logging.getLogger("rtvi_plugins")

__all__ = (
    "CATALOGUE",
    "ActionFailed",
    "ActionTimeout",
    "ApplyFailed",
    "AuthorError",
    "BotError",
    "BotFailed",
    "Busy",
    "Cancelled",
    "ContextFull",
    "DeclarationError",
    "Draining",
    "FunctionCallFailed",
    "HostRefused",
    "InternalError",
    "InvalidArguments",
    "InvalidConfig",
    "InvalidMessage",
    "InvalidResult",
    "InvalidStart",
    "MessageTooDeep",
    "MessageTooLarge",
    "MissingKey",
    "NoConversation",
    "NotGranted",
    "OperatorOnly",
    "OriginRefused",
    "PluginError",
    "Problem",
    "ProviderCategory",
    "ProviderError",
    "ProviderFailed",
    "RateLimited",
    "RequestError",
    "ServerFull",
    "SessionClosed",
    "SessionIdle",
    "SessionTooLong",
    "SlowClient",
    "StartFailed",
    "Unauthorized",
    "UnknownAction",
    "UnknownFunctionCall",
    "UnknownMessage",
    "UnknownOption",
    "UnknownProvider",
    "UnknownService",
    "UnknownSession",
    "UnusableAudio",
    "report",
    "unknown",
)


# ---- mistakes of an author -------------------------------------------------------------------------------------


class AuthorError(Exception):
    """A developer's mistake: in a declaration, a bot or an installation."""


class DeclarationError(AuthorError):
    """Raised at import, at the author's own line, by a decorator that cannot declare its function.

    Without a function, the message says itself where the mistake is.
    """

    def __init__(self, function: Callable[..., Any] | None, message: str) -> None:
        super().__init__(f"{where(function)} {message}" if function is not None else message)


class BotError(AuthorError):
    """Raised when a bot cannot be composed: a provider that is not installed, a grant that names nothing."""


class PluginError(AuthorError):
    """Raised when an installed plugin is needed but broken, ambiguous or built for another plugin API."""


def report(what: str, error: BaseException) -> None:
    """Log an exception of a plugin's or a bot's code: its text and traceback only at level DEBUG, and without any key.

    The text of an `AuthorError` is ours, and written for this log. A record that holds its text back is `withheld`.
    """
    if isinstance(error, AuthorError):
        _log.error("%s: %s", what, error)
    else:
        _log.error("%s raised %s", what, type(error).__name__, extra={"withheld": True})
    if _log.isEnabledFor(logging.DEBUG):
        # As text, not as `exc_info`: a handler of somebody else's would print that with its keys.
        _log.debug("%s raised\n%s", escape(what), trace(error), extra={"multiline": True})


# ---- mistakes of a client or an operator -----------------------------------------------------------------------


def _short_path(text: str) -> str:
    return shorten_middle(text, 300)


def _short_message(text: str) -> str:
    return shorten_middle(text, 1_000)


@frozen
class Problem:
    """One thing wrong with a message: where it is (a JSON path), what it is, and the nearest known name if any."""

    path: str = field(converter=_short_path)
    message: str = field(converter=_short_message)
    suggestion: str | None = None

    def to_json(self) -> dict[str, str]:
        form = {"path": self.path, "message": self.message}
        return form if self.suggestion is None else {**form, "suggestion": self.suggestion}


class RequestError(Exception):
    """A request that is refused or failed. Actions may raise one on purpose: its sentence is sent to the client.

    `code` is stable and meant for programs, the message is one sentence for people, `problems` lists everything
    that is wrong with the request, each with its JSON path. `retryable` says whether the same request may succeed
    later.
    """

    code: str = "request-failed"
    status: ClassVar[int] = 400
    retryable: bool = False
    # For a subclass that does not call `super().__init__`.
    message: str = "The request failed."
    problems: tuple[Problem, ...] = ()

    def __init__(self, message: str, *, problems: Sequence[Problem] = (), retryable: bool | None = None) -> None:
        # Whatever an author raises must be answerable: a text, and one that JSON can carry.
        self.message = str(message).encode("utf-8", "replace").decode()
        super().__init__(self.message)
        self.problems = tuple(problems)
        if retryable is not None:
            self.retryable = retryable

    def to_json(self) -> dict[str, Any]:
        """The `data` of an `error-response`. `error` is the sentence: it is the field that clients read."""
        form: dict[str, Any] = {"error": self.message, "code": self.code, "retryable": self.retryable}
        if self.problems:
            form["details"] = [problem.to_json() for problem in self.problems]
        return form

    @staticmethod
    def from_json(data: object) -> RequestError:
        """The exception for the `data` of an `error-response`; its texts are not changed, whatever server sent it."""
        form = data if is_object(data) else {"error": str(data)}
        details = items if is_array(items := form.get("details")) else ()
        family = CATALOGUE.get(str(form.get("code")), RequestError)
        problems = [
            Problem(str(item.get("path", "$")), str(item.get("message", "")), item.get("suggestion"))
            for item in details
            if is_object(item)
        ]
        error = RequestError.__new__(family)
        text = form.get("error") or form.get("message") or form.get("detail") or "The request failed."
        RequestError.__init__(error, str(text), problems=problems, retryable=bool(form.get("retryable", False)))
        if family is RequestError and isinstance(code := form.get("code"), str):
            error.code = code  # somebody else's: a bot may have codes of its own
        return error


def unknown(what: str, name: object, known: Iterable[str], *, path: str = "$") -> Problem:
    """The problem of a name that is not among the known ones: it names the nearest, or else all of them."""
    names = list(known)
    shown = repr(name) if isinstance(name, str) else type(name).__name__
    suggestion = nearest(name, names) if isinstance(name, str) else None
    if suggestion is not None:
        return Problem(path, f"unknown {what} {shorten(shown)}; did you mean {suggestion!r}?", suggestion)
    listed = f"known: {', '.join(names[:20])}" if names else "there is none"
    return Problem(path, f"unknown {what} {shorten(shown)}; {listed}.")


class _FromProblems(RequestError):
    """A `RequestError` whose sentence is made from its problems, the first of them where there are very many."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        problems = problems[:MAX_PROBLEMS]
        listed = "; ".join(f"{problem.path}: {problem.message}" for problem in problems)
        super().__init__(listed[:2000], problems=problems)


class InvalidMessage(RequestError):
    """The text is not an RTVI message: not JSON, not an object, without label, type or a usable id."""

    code = "invalid-message"


class MessageTooLarge(RequestError):
    """The message is longer than the session accepts."""

    code = "message-too-large"
    status = 413


class MessageTooDeep(RequestError):
    """The message nests objects and arrays deeper than the session accepts."""

    code = "message-too-deep"


class UnknownMessage(_FromProblems):
    """The message's type, or the `t` of a client message, is not one that this bot answers."""

    code = "unknown-message"


class UnknownService(_FromProblems):
    """The bot has no service of this name."""

    code = "unknown-service"


class UnknownAction(_FromProblems):
    """The service has no action of this name."""

    code = "unknown-action"


class UnknownOption(_FromProblems):
    """The service has no option of this name."""

    code = "unknown-option"


class UnknownProvider(_FromProblems):
    """The bot does not let this client choose this provider for the service."""

    code = "unknown-provider"


class InvalidArguments(_FromProblems):
    """Arguments of an action are missing, unknown, repeated, of the wrong type or out of bounds; all are listed."""

    code = "invalid-arguments"


class InvalidConfig(_FromProblems):
    """A config names unknown services or options, or values that do not fit; all are listed, nothing was changed."""

    code = "invalid-config"


class NotGranted(_FromProblems):
    """The bot does not grant this to the client: an option it may not set, an argument value it may not use."""

    code = "not-granted"
    status = 403


class NoConversation(RequestError):
    """The bot holds no conversation, so there is nobody to speak to or to interrupt."""

    code = "no-conversation"


class ActionFailed(RequestError):
    """The action raised an exception; its text stays in the bot's log."""

    code = "action-failed"
    status = 500


class InvalidResult(RequestError):
    """The action returned something else than it declares, something that JSON cannot carry, or too much to send."""

    code = "invalid-result"
    status = 500


class ActionTimeout(RequestError):
    """The action, or the change of config, took longer than its deadline. It may or may not have had its effect."""

    code = "action-timeout"
    status = 504
    retryable = True


class Cancelled(RequestError):
    """The request was given up before it finished: the job was cancelled, or the session ended."""

    code = "cancelled"


class ProviderFailed(RequestError):
    """A vendor refused or failed the request; `retryable` is the vendor's own word."""

    code = "provider-failed"
    status = 502


class ApplyFailed(RequestError):
    """The new config was valid but a provider could not apply it; the old values are in force again."""

    code = "apply-failed"
    status = 500


class FunctionCallFailed(RequestError):
    """The client did not answer a function call in time, or the call was interrupted."""

    code = "function-call-failed"
    status = 504


class UnknownFunctionCall(_FromProblems):
    """A result came for a function call that is not pending: never made, answered, timed out or cancelled."""

    code = "unknown-function-call"


class Busy(RequestError):
    """Too many requests of this session are in flight; send again when some are answered."""

    code = "busy"
    status = 503
    retryable = True


class ContextFull(RequestError):
    """The conversation has reached the greatest size that the server accepts. Replace it with `llm:set_context`."""

    code = "context-full"
    status = 413


class RateLimited(RequestError):
    """Messages, or audio, come faster than the session accepts."""

    code = "rate-limited"
    status = 429
    retryable = True


class SessionClosed(RequestError):
    """The session has ended."""

    code = "session-closed"
    status = 410


class SessionIdle(RequestError):
    """The session was closed because the client sent nothing for too long."""

    code = "session-idle"
    status = 410


class SessionTooLong(RequestError):
    """The session was closed because it reached its greatest length."""

    code = "session-too-long"
    status = 410


class SlowClient(RequestError):
    """The session was closed because the client did not read what was sent to it."""

    code = "slow-client"
    status = 410


class UnusableAudio(RequestError):
    """The user's audio cannot be heard: its form is invalid, or the server has no resampler. Sent once a reason."""

    code = "unusable-audio"


class BotFailed(RequestError):
    """The bot's own function raised an exception; the session has ended."""

    code = "bot-failed"
    status = 500


class InternalError(RequestError):
    """A mistake of the framework itself; please report it."""

    code = "internal-error"
    status = 500


class InvalidStart(_FromProblems):
    """The body of a start request is not an object with `services` and `config` as clients send them."""

    code = "invalid-start"


class Unauthorized(RequestError):
    """The start lacks the operator's secret, or carries a wrong one, and the bot is not public."""

    code = "unauthorized"
    status = 401


class OperatorOnly(_FromProblems):
    """A start without the operator's secret carries what only the operator may say, as keys or service options."""

    code = "operator-only"
    status = 403


class OriginRefused(RequestError):
    """The page's origin is not on the server's list."""

    code = "origin-refused"
    status = 403


class HostRefused(RequestError):
    """The request's Host header is not one that this server answers to."""

    code = "host-refused"
    status = 421


class UnknownSession(RequestError):
    """The session token is missing, unknown, used already or expired; start again."""

    code = "unknown-session"
    status = 401


class MissingKey(RequestError):
    """A provider's key was found neither in the start, nor in the environment, nor in the key store."""

    code = "missing-key"
    status = 500


class StartFailed(RequestError):
    """A service could not be opened, so the session did not start."""

    code = "start-failed"
    status = 502


class ServerFull(RequestError):
    """As many sessions as the server holds are open or waiting to be claimed."""

    code = "server-full"
    status = 503
    retryable = True


class Draining(RequestError):
    """The server is shutting down and starts nothing new."""

    code = "draining"
    status = 503
    retryable = True


def _catalogue(family: type[RequestError]) -> Iterable[tuple[str, type[RequestError]]]:
    for child in family.__subclasses__():
        if not child.__name__.startswith("_"):
            yield child.code, child
        yield from _catalogue(child)


#: Every code that can stand on the wire, with its class. The reference page is generated from it.
CATALOGUE: Mapping[str, type[RequestError]] = dict(_catalogue(RequestError))


# ---- failures of a vendor --------------------------------------------------------------------------------------

#: What a vendor's failure is about; it decides whether trying again may help.
ProviderCategory = Literal["auth", "quota", "rate", "timeout", "unavailable", "bad-request", "no-answer"]

_SENTENCES: Mapping[str, str] = {
    "auth": "refused its key",
    "quota": "has no quota left for this account",
    "rate": "is receiving too many requests",
    "timeout": "did not answer in time",
    "unavailable": "is not available",
    "bad-request": "did not accept the request",
    "no-answer": "gave no answer",
}
_RETRYABLE = ("rate", "timeout", "unavailable", "no-answer")


class ProviderError(Exception):
    """Raised by a provider when its vendor fails. Its sentence names provider and category, never payload or key.

    The vendor's own words may hold either, so they belong in the provider's debug log at most. `retryable` follows
    from the category (rate, timeout, unavailable and no-answer are) unless it is given.
    """

    # For a subclass that does not call `super().__init__`.
    provider: str = "The provider"
    category: ProviderCategory = "unavailable"
    retryable: bool = False

    def __init__(self, provider: str, category: ProviderCategory, *, retryable: bool | None = None) -> None:
        super().__init__(f"{provider} {_SENTENCES[category]}.")
        self.provider = provider
        self.category = category
        self.retryable = category in _RETRYABLE if retryable is None else retryable
