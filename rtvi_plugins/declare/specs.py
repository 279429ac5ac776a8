"""A declaration as frozen data, and the mark by which a function carries it.

The module has more than 300 lines because all declarations are in one place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from enum import Enum
from functools import partial
from types import FunctionType, ModuleType
from typing import Any, TypeAlias, TypeVar

from attrs import field, frozen

from ..errors import DeclarationError
from .grant import Grant
from .types import Shape, Validator

__all__ = (
    "BOT",
    "REQUIRED",
    "ActionSpec",
    "AnyFunction",
    "BotService",
    "BotSpec",
    "Choice",
    "Given",
    "Injected",
    "LifespanSpec",
    "LifespanValue",
    "OptionsSpec",
    "Parameter",
    "ProviderSpec",
    "SecretSpec",
    "Spec",
    "StateSpec",
    "Target",
    "bots_of",
    "mark",
    "specs_in",
    "specs_of",
)

AnyFunction: TypeAlias = Callable[..., Any]

#: The default of a parameter that has none.
REQUIRED: Any = object()

#: The service name of a bot's own actions, unless they name another.
BOT = "bot"


@frozen(eq=False)
class Parameter:
    """An argument or an option. `default` is in its JSON form."""

    name: str
    shape: Shape
    default: Any = REQUIRED
    doc: str = ""
    was: tuple[str, ...] = ()
    deprecated: str | None = None

    @property
    def required(self) -> bool:
        return self.default is REQUIRED


@frozen
class SecretSpec:
    """A key that a service needs before it can open."""

    name: str
    optional: bool


#: What options and actions are declared on: a decorated service or bot, or the name of a kind (or `"bot"`).
Target: TypeAlias = "AnyFunction | str"


class Given(Enum):
    """A kind of value that the framework passes for a parameter before the `/` of an action or an options function."""

    SERVICE = "the live service"
    SESSION = "the session"


@frozen
class BotService:
    """A service of the bot, which the framework passes for a parameter of its name to an action of the bot."""

    name: str
    protocol: type


@frozen
class LifespanValue:
    """The value of the lifespan that yields this class. The framework passes it for a parameter of this name."""

    name: str
    annotation: Any


#: What the framework passes for one parameter.
Injected: TypeAlias = "Given | BotService | LifespanValue"


@frozen(eq=False)
class LifespanSpec:
    """What is opened once for the whole process. `annotation` is the class that it yields, or None's."""

    name: str
    function: AnyFunction
    annotation: Any
    secrets: tuple[SecretSpec, ...]


@frozen(eq=False)
class ProviderSpec:
    """A provider of a kind."""

    kind: str
    protocol: type
    provider: str
    function: AnyFunction
    given: tuple[SecretSpec | LifespanValue, ...]
    parameters: Mapping[str, Parameter]
    doc: str
    #: The URL of the page where the vendor's customers make keys, or "".
    key_page: str = ""
    #: Whether it runs on asyncio, and not on trio.
    asyncio_only: bool = False

    @property
    def secrets(self) -> tuple[SecretSpec, ...]:
        return tuple(each for each in self.given if isinstance(each, SecretSpec))


@frozen(eq=False)
class OptionsSpec:
    """A group of options that is set together."""

    targets: tuple[Target, ...]
    function: AnyFunction
    parameters: Mapping[str, Parameter]
    given: tuple[Injected, ...]
    last: bool
    doc: str
    #: Validators of options, for clients only, where a grant has none of the same class.
    narrowed: Mapping[str, Validator] = field(factory=dict[str, Validator])
    #: The service under which clients see the options of a bot.
    service: str = BOT


@frozen(eq=False)
class ActionSpec:
    """An action that a client may call."""

    targets: tuple[Target, ...]
    name: str
    function: AnyFunction
    parameters: Mapping[str, Parameter]
    result: Shape
    given: tuple[Injected, ...]
    is_async: bool
    long: bool
    deadline: float | None
    #: Called by the LLM, it continues although the user interrupts.
    finish: bool
    narrowed: Mapping[str, Validator]
    deprecated: str | None
    doc: str
    #: The service under which clients see an action of a bot.
    service: str = BOT
    #: The type of `client-message` that calls it, with the data as its only argument.
    message: str | None = None
    #: It has no effect outside of the session, or one that may happen twice.
    repeatable: bool = False


@frozen(eq=False)
class StateSpec:
    """The class of a session's state, and the class of its objects: those of a TypedDict are dicts."""

    cls: type[Any]
    shape: Shape
    object_class: type[Any]

    def make(self) -> Any:
        """Return the state in which a session begins."""
        return self.cls()


@frozen
class Choice:
    """What clients may choose for a service: a provider, and the ones that take over when it fails, in order."""

    labels: tuple[str, ...]
    #: How long one of them may send nothing before its first output. None if no other takes over.
    seconds: float | None = None


@frozen(eq=False)
class BotSpec:
    """A bot: its services by the names that clients use, its defaults, and its grants."""

    name: str
    function: AnyFunction
    services: Mapping[str, tuple[str, ...]]
    kinds: Mapping[str, str]
    protocols: Mapping[str, type]
    config: Mapping[str, Mapping[str, Any]]
    grants: tuple[Grant, ...]
    #: The actions that its LLM may call as functions.
    functions: tuple[Grant, ...]
    plugins: tuple[str, ...]
    public: bool
    doc: str
    #: What its function takes before the `/`.
    given: tuple[Injected, ...]
    #: The state of each session. None if the bot declares none.
    state: StateSpec | None = None
    #: Each service with each of its providers that may be missing.
    optional: frozenset[tuple[str, str]] = frozenset()
    #: Each service with each of its providers that a server imports after the start.
    postponed: frozenset[tuple[str, str]] = frozenset()
    #: What clients may choose among, by service. `services` has all providers of these.
    choices: Mapping[str, tuple[Choice, ...]] = field(factory=dict[str, tuple[Choice, ...]])


Spec: TypeAlias = "ProviderSpec | OptionsSpec | ActionSpec | BotSpec | LifespanSpec"

#: The declarations of a function, and its identity: wrappers copy both, and the second tells them from it.
_MARK, _MARKED = "__rtvi_plugins__", "__rtvi_plugins_marked__"

F = TypeVar("F", bound=AnyFunction)


def mark(function: F, spec: Spec) -> F:
    """Put a declaration on a function and return the function."""
    setattr(function, _MARK, (*specs_of(function), spec))
    setattr(function, _MARKED, id(function))
    return function


def specs_of(value: object) -> tuple[Spec, ...]:
    """Return the declarations of a function."""
    found: tuple[Spec, ...] = getattr(value, _MARK, ())
    return found


def bots_of(targets: Iterable[object]) -> list[BotSpec]:
    """Return the bots among the targets of a declaration."""
    return [spec for target in targets for spec in specs_of(target) if isinstance(spec, BotSpec)]


def specs_in(module: ModuleType) -> Sequence[Spec]:
    """Return the declarations of a module, in source order.

    Only functions that are defined in the module count: importing another plugin's function, to attach an action to
    it, does not declare it twice. Raise `DeclarationError` for a declaration that another decorator hides.
    """
    declared: list[Spec] = []
    for name, value in vars(module).items():
        _reject_hidden_declaration(module, name, value)
        if callable(value) and getattr(value, "__module__", None) == module.__name__:
            declared.extend(_specs_of_outermost(value))
    return list(dict.fromkeys(declared))


def _reject_hidden_declaration(module: ModuleType, name: str, value: object) -> None:
    """Reject a declared function whose name holds another function that calls it: its declaration would be ignored."""
    for function in _wrapped_functions(value):
        if (
            callable(function)
            and specs_of(function)
            and not specs_of(value)
            and (function.__module__, function.__qualname__) == (module.__name__, name)
        ):
            raise DeclarationError(
                function, "is hidden by another decorator above it. Put that one below, and use functools.wraps in it."
            )


def _wrapped_functions(value: object) -> Iterator[Any]:
    """Yield what a partial calls, and the variables that a function keeps of the function around it."""
    if isinstance(value, partial):
        yield value.func
    if isinstance(value, FunctionType):
        for cell in value.__closure__ or ():
            with suppress(ValueError):  # a variable that is not set yet
                yield cell.cell_contents


def _specs_of_outermost(function: AnyFunction) -> tuple[Spec, ...]:
    specs = specs_of(function)
    if specs and getattr(function, _MARKED, None) != id(function):
        raise DeclarationError(function, "has another decorator above the one that declares it. Put that one below.")
    return specs
