"""The exceptions, grouped by the person who can correct the mistake.

::

    AuthorError                a mistake in code or in the installation; a sentence for the terminal
    ├── DeclarationError       a decorated function is invalid; raised at import, with file and line
    ├── BotError               a bot cannot be composed from the installed plugins
    └── PluginError            an installed plugin cannot be used
    RequestError               a request of a client or an operator failed; they receive code, sentence and details
    └── one class per code     the catalogue below, `CATALOGUE`
    ProviderError              a vendor failed; raised by providers, reaches clients as `ProviderFailed`

The text of a `RequestError` is written here or by the author of an action who raises one on purpose. The text of
any other exception never leaves the process.

The module has more than 300 lines because the catalogue is one list: authors and the generated reference find all
codes in one place.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from traceback import TracebackException
from typing import Any, ClassVar, Literal

from attrs import field, frozen

from .utils.error_texts import complaint, shorten, shorten_middle, unwrap_group
from .utils.json_values import MAX_PROBLEMS, expected, is_array, is_object, replace_surrogates
from .utils.log_text import escape, show_texts, trace
from .utils.names import nearest

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
    "NotReceived",
    "OperatorOnly",
    "OriginRefused",
    "OutcomeUnknown",
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
    "StoreUnavailable",
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

    If `function` is None, the message itself must name the place.
    """

    def __init__(self, function: Callable[..., Any] | None, message: str) -> None:
        super().__init__(complaint(function, message) if function is not None else message)


class BotError(AuthorError):
    """Raised when a bot cannot be composed: a provider is not installed, or a grant names nothing."""


class PluginError(AuthorError):
    """Raised when an installed plugin is needed but broken, ambiguous or built for another plugin API."""


def report(what: str, error: BaseException) -> None:
    """Log an exception of a plugin or a bot. Its text and traceback appear only at level DEBUG, and without keys.

    The text of an `AuthorError` is always logged, because the framework wrote it; with `show_texts`, that of any other
    too. A record without the text has the attribute `withheld`, and one without the traceback too.
    """
    about = {"code": error.code} if isinstance(error, RequestError) else {}
    found = unwrap_group(error)
    if isinstance(found, AuthorError):
        _log.error("%s: %s", what.removesuffix(","), found)
    elif show_texts.get():
        _log.error("%s raised %s", what, _with_text(found), extra={"withheld": "traceback", **about})
    else:
        _log.error("%s raised %s", what, type(found).__name__, extra={"withheld": True, **about})
    if _log.isEnabledFor(logging.DEBUG):
        # As text, not as `exc_info`: other handlers would print its keys.
        _log.debug("%s raised\n%s", escape(what), trace(error), extra={"multiline": True})


def _with_text(error: BaseException) -> str:
    """Return an exception's class and text, as the last line of a traceback has them."""
    return "".join(TracebackException.from_exception(error).format_exception_only()).strip()


# ---- mistakes of a client or an operator -----------------------------------------------------------------------


def _short_path(text: str) -> str:
    return replace_surrogates(shorten_middle(text, 300))


def _short_message(text: str) -> str:
    return replace_surrogates(shorten_middle(text, 1_000))


@frozen
class Problem:
    """One problem in a message: its JSON path, a text, and the nearest known name if there is one."""

    path: str = field(converter=_short_path)
    message: str = field(converter=_short_message)
    suggestion: str | None = None

    def to_json(self) -> dict[str, str]:
        form = {"path": self.path, "message": self.message}
        return form if self.suggestion is None else {**form, "suggestion": self.suggestion}


class RequestError(Exception):
    """A request that is refused or failed. Actions may raise one on purpose: its sentence is sent to the client.

    `code` is stable and meant for programs. The message is one sentence for people. `problems` lists every problem of
    the request with its JSON path. `retryable` is true if the same request may succeed later.
    """

    code: str = "request-failed"
    status: ClassVar[int] = 400
    retryable: bool = False
    #: After how many seconds an HTTP client may try again: the header `Retry-After` of the refusal. None has no header.
    retry_after: ClassVar[int | None] = None
    # For a subclass that does not call `super().__init__`.
    message: str = "The request failed."
    problems: tuple[Problem, ...] = ()

    def __init_subclass__(
        cls,
        *,
        code: str | None = None,
        status: int | None = None,
        retryable: bool | None = None,
        retry_after: int | None = None,
    ) -> None:
        """Set these attributes of the class: `class SoldOut(RequestError, code="sold-out")`."""
        super().__init_subclass__()
        given = {"code": code, "status": status, "retryable": retryable, "retry_after": retry_after}
        for name, value in given.items():
            if value is not None:
                setattr(cls, name, value)

    def __init__(self, message: str, *, problems: Sequence[Problem] = (), retryable: bool | None = None) -> None:
        # An action may pass any object as message. The answer needs a text that JSON can carry.
        self.message = replace_surrogates(str(message))
        super().__init__(self.message)
        self.problems = tuple(problems)
        if retryable is not None:
            self.retryable = retryable

    def to_json(self) -> dict[str, Any]:
        """Return the `data` of an `error-response`. `error` is the sentence, because clients read this field."""
        form: dict[str, Any] = {"error": self.message, "code": self.code, "retryable": self.retryable}
        if self.problems:
            form["details"] = [problem.to_json() for problem in self.problems]
        return form

    @staticmethod
    def from_json(data: object) -> RequestError:
        """Return the exception for the `data` of an `error-response`. Its texts are not changed."""
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
    """Return the problem of an unknown name. It suggests the nearest known name, or lists the known names."""
    names = list(known)
    listed = f"known: {', '.join(names[:20])}" if names else "there is none"
    if not isinstance(name, str):
        return Problem(path, f"{expected(f'a string as {what}', name)}; {listed}.")
    shown, suggestion = shorten(repr(name)), nearest(name, names)
    if suggestion is not None:
        return Problem(path, f"unknown {what} {shown}; did you mean {suggestion!r}?", suggestion)
    return Problem(path, f"unknown {what} {shown}; {listed}.")


class _FromProblems(RequestError):
    """A `RequestError` with a sentence made from its problems, or from the first ones if there are very many."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        problems = problems[:MAX_PROBLEMS]
        listed = "; ".join(f"{problem.path}: {problem.message}" for problem in problems)
        super().__init__(listed[:2000], problems=problems)


class InvalidMessage(RequestError, code="invalid-message"):
    """The text is not an RTVI message: not JSON, not an object, without label, type or a usable id."""


class MessageTooLarge(RequestError, code="message-too-large", status=413):
    """The message is longer than the session accepts."""


class MessageTooDeep(RequestError, code="message-too-deep"):
    """The message nests objects and arrays deeper than the session accepts."""


class UnknownMessage(_FromProblems, code="unknown-message"):
    """The bot does not know the type of the message, or the `t` of a client message."""


class UnknownService(_FromProblems, code="unknown-service"):
    """The bot has no service of this name."""


class UnknownAction(_FromProblems, code="unknown-action"):
    """The service has no action of this name."""


class UnknownOption(_FromProblems, code="unknown-option"):
    """The service has no option of this name."""


class UnknownProvider(_FromProblems, code="unknown-provider"):
    """The bot does not let this client choose this provider for the service."""


class InvalidArguments(_FromProblems, code="invalid-arguments"):
    """Arguments of an action are missing, unknown, repeated, of the wrong type or out of bounds. All are listed."""


class InvalidConfig(_FromProblems, code="invalid-config"):
    """A config has unknown services or options, or invalid values. All are listed, and nothing was changed."""


class NotGranted(_FromProblems, code="not-granted", status=403):
    """The bot does not grant this option, action or argument value to the client."""


class NoConversation(RequestError, code="no-conversation"):
    """The bot has no conversation (`converse`), so it cannot speak or be interrupted."""


class ActionFailed(RequestError, code="action-failed", status=500):
    """The action raised an exception. The bot's log reports it."""


class InvalidResult(RequestError, code="invalid-result", status=500):
    """The action returned a value of another type than declared, or a value that is not JSON, or too much data."""


class ActionTimeout(RequestError, code="action-timeout", status=504):
    """The action, or the change of config, took longer than its deadline. It may have taken effect.

    It is retryable if the action is `repeatable` or has not begun, and for a change of config.
    """


class OutcomeUnknown(RequestError, code="outcome-unknown", status=500):
    """The process that ran the action has ended. The action may have taken effect, and is not run again."""


class NotReceived(RequestError, code="not-received", status=404, retryable=True):
    """The client has resumed its session, and this message never arrived. Send it again."""


class Cancelled(RequestError, code="cancelled"):
    """The request was stopped before it finished: the job was cancelled, or the session ended."""


class ProviderFailed(RequestError, code="provider-failed", status=502):
    """A vendor failed or refused the request. `retryable` comes from the provider.

    `provider` and `category` are those of its `ProviderError`, for hooks. A client receives only its sentence.
    """

    provider: str | None = None
    category: ProviderCategory | None = None
    #: Whether the log has its cause already.
    is_logged: bool = False


class ApplyFailed(RequestError, code="apply-failed", status=500):
    """The new config is valid, but a provider could not apply it. The old values are used again."""


class FunctionCallFailed(RequestError, code="function-call-failed", status=504):
    """A function call failed, did not end in time, or was interrupted."""


class UnknownFunctionCall(_FromProblems, code="unknown-function-call"):
    """The client sent a result for a function call that is not waiting: unknown, answered, timed out or cancelled."""


class Busy(RequestError, code="busy", status=503, retryable=True):
    """Too many requests of this session are unanswered. Send this one again after some answers."""


class ContextFull(RequestError, code="context-full", status=413):
    """The conversation has reached its maximum size. Replace it with `llm:set_context`."""


class RateLimited(RequestError, code="rate-limited", status=429, retryable=True, retry_after=2):
    """The client sends messages or audio faster than the session accepts."""


class SessionClosed(RequestError, code="session-closed", status=410):
    """The session has ended."""


class SessionIdle(RequestError, code="session-idle", status=410):
    """The session was closed because the client sent nothing, or no `client-ready`, for too long."""


class SessionTooLong(RequestError, code="session-too-long", status=410):
    """The session was closed because it, or its saved history, reached the maximum length."""


class SlowClient(RequestError, code="slow-client", status=410):
    """The session was closed because the client did not read its messages."""


class UnusableAudio(RequestError, code="unusable-audio"):
    """The user's audio is not usable: its format is invalid, or the server has no resampler. Sent once per reason."""


class BotFailed(RequestError, code="bot-failed", status=500):
    """The bot's own function raised an exception; the session has ended."""


class InternalError(RequestError, code="internal-error", status=500):
    """A bug in the framework. Please report it."""


class InvalidStart(_FromProblems, code="invalid-start"):
    """The body of the start request is not an object with valid `services` and `config`."""


class Unauthorized(RequestError, code="unauthorized", status=401):
    """The bot is not public, and the start request has no operator's secret or a wrong one."""


class OperatorOnly(_FromProblems, code="operator-only", status=403):
    """The start request has fields of the operator, such as keys or service options, but not the operator's secret."""


class OriginRefused(RequestError, code="origin-refused", status=403):
    """The server does not allow the origin of the page."""


class HostRefused(RequestError, code="host-refused", status=421):
    """The server does not allow the Host header of the request."""


class UnknownSession(RequestError, code="unknown-session", status=401):
    """The session token is missing, unknown, already used or expired. Start a new session."""


class MissingKey(RequestError, code="missing-key", status=500):
    """A provider's key is missing in the start request, in the environment and in the key store."""


class StartFailed(RequestError, code="start-failed", status=502):
    """A service could not be opened, so the session did not start.

    `category` is why, as in a `ProviderError`, if that is known. A client is sent the sentence only.
    """

    category: ProviderCategory | None = None


class ServerFull(RequestError, code="server-full", status=503, retryable=True, retry_after=10):
    """The server has reached its maximum number of sessions, open or waiting for their client."""


class StoreUnavailable(RequestError, code="store-unavailable", status=503, retryable=True):
    """The store of the saved sessions does not answer, so no session can be resumed now. Try again later."""


class Draining(RequestError, code="draining", status=503, retryable=True, retry_after=10):
    """The server is shutting down and starts no new sessions."""


def _catalogue(family: type[RequestError]) -> Iterable[tuple[str, type[RequestError]]]:
    for child in family.__subclasses__():
        if not child.__name__.startswith("_"):
            yield child.code, child
        yield from _catalogue(child)


#: Every error code, with its class. The reference page is generated from it.
CATALOGUE: Mapping[str, type[RequestError]] = dict(_catalogue(RequestError))


# ---- failures of a vendor --------------------------------------------------------------------------------------

#: The categories of a vendor's failure. The category decides whether a retry may help.
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
    """Raised by a provider when its vendor fails. The sentence contains only the provider and the category.

    The vendor's own words may contain a key or a message of the user, so log them at level DEBUG at most. `retryable`
    follows from the category (rate, timeout, unavailable and no-answer are) unless it is given. `retry_after` is how
    long the vendor asks to wait, in seconds; None if it does not say.
    """

    # For a subclass that does not call `super().__init__`.
    provider: str = "The provider"
    category: ProviderCategory = "unavailable"
    retryable: bool = False
    retry_after: float | None = None
    #: Whether the log has its cause already, so that it needs no line of its own.
    is_logged: bool = False

    def __init__(
        self,
        provider: str,
        category: ProviderCategory,
        *,
        retryable: bool | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{provider} {_SENTENCES[category]}.")
        self.provider = provider
        self.category = category
        self.retryable = category in _RETRYABLE if retryable is None else retryable
        self.retry_after = retry_after
