"""Read the constructor of a vendor's class: its keys, service options and options.

A parameter is a key (`api_key`, `token`), a service option (addresses, files, timeouts, HTTP), or an option. One that
JSON cannot carry, such as an HTTP session or a callback, is left out.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin

from attrs import Factory, define, frozen
from typing_extensions import Doc

from rtvi_plugins import options
from rtvi_plugins.errors import DeclarationError

__all__ = ("Parameter", "Reflected", "reflect")

#: The ends of names of keys, except keys of caches.
_KEY = re.compile(
    r"(^|_)(apikey|key|key_id|secret|token|password|credentials?|credentials_info|service_account|service_account_info|"
    r"connection_string|authorization)$"
)
_NO_KEY = re.compile(r"cache_key$")
#: How a constructor reads an environment variable.
_VARIABLE = re.compile(r"""(?:environ(?:\.get)?|getenv)[\[(]\s*["'](\w+)["']""")
_SERVICE = re.compile(
    r"(^|_)(url|uri|host|endpoints?|region|location|project|proxy|path|file|dir|api_version|account|organization|"
    r"deployment|headers?|query|ssl|verify)(_|$)|^((connect|read|request)_)?timeout$|"
    r"^(max_retries|http_options|server|connections)$"
)

#: Modules whose names LiveKit's annotations use.
_SHARED = ("typing", "livekit.agents.types")

_SEQUENCE: Any = Sequence

#: Converts a value in JSON's form to what the constructor takes.
Make: TypeAlias = Callable[[Any], Any]


class _UnfitError(Exception):
    """A parameter cannot be an option."""


@frozen
class Parameter:
    """A parameter of the constructor, as our decorators take it. None means "not given"."""

    name: str
    annotation: Any
    default: Any
    make: Make

    def signed(self) -> inspect.Parameter:
        """Return the parameter for a signature."""
        return inspect.Parameter(
            self.name, inspect.Parameter.KEYWORD_ONLY, default=self.default, annotation=self.annotation
        )


@define
class Reflected:
    """What a constructor takes. `keys` says of each key whether the class needs it. `left_out` has the other names."""

    keys: dict[str, bool] = Factory(dict[str, bool])
    service: list[Parameter] = Factory(list[Parameter])
    options: list[Parameter] = Factory(list[Parameter])
    left_out: list[str] = Factory(list[str])
    #: Parameters without a default, which are service options that must be set.
    required: list[str] = Factory(list[str])
    #: The environment variable in which the class looks for its only key, if it names one.
    variable: str | None = None


def reflect(cls: type, unset: Sequence[Any] = ()) -> Reflected:
    """Read the constructor of a class. `unset` are the values that mean "not given"."""
    found = Reflected()
    docs = _docs(cls)
    for each, hint in _parameters(cls):
        if each.name.startswith("_"):
            continue
        if _KEY.search(each.name) and not _NO_KEY.search(each.name):
            if _is_text(hint, unset):
                found.keys[each.name] = each.default is each.empty
            else:
                found.left_out.append(each.name)
            continue
        parameter = _read(each, hint, docs.get(each.name, ""), unset)
        if parameter is None:
            found.left_out.append(each.name)
        elif each.default is each.empty:
            found.service.append(parameter)
            found.required.append(each.name)
        else:
            (found.service if _SERVICE.search(each.name) else found.options).append(parameter)
    other_ways = any("credentials" in each for each in (*found.left_out, *(each.name for each in found.service)))
    if list(found.keys) == ["api_key"] and not other_ways:  # LiveKit looks for it in the environment too
        found.keys["api_key"] = True
    if len(found.keys) == 1:
        found.variable = _variable_of_key(cls)
    return found


def _variable_of_key(cls: Any) -> str | None:
    try:
        source = inspect.getsource(cls.__init__)
    except (OSError, TypeError):
        return None
    variables = {each for each in _VARIABLE.findall(source) if _KEY.search(each.lower())}
    return variables.pop() if len(variables) == 1 else None


def _read(parameter: inspect.Parameter, hint: Any, doc: str, unset: Sequence[Any]) -> Parameter | None:
    """Return a parameter, or None if our decorators refuse its type or default."""
    try:
        annotation, make = _convert(hint, tuple(each.__class__ for each in unset))
    except _UnfitError:
        return None
    try:
        default = _default(parameter.default, unset)
    except _UnfitError:  # the class then uses it, because None is not passed on
        default = None
    if default is None and type(None) not in get_args(annotation):
        annotation = annotation | None
    doc = doc or f"The argument {parameter.name!r} of the class."
    found = Parameter(parameter.name, Annotated[annotation, Doc(doc)], default, make)
    return found if _is_accepted(found) else None


def _is_accepted(parameter: Parameter) -> bool:
    """Return whether an option can be declared so."""

    def trial(session: Any, /, **given: Any) -> None: ...

    before = inspect.Parameter("session", inspect.Parameter.POSITIONAL_ONLY, annotation=Any)
    sign(trial, [before, parameter.signed()])
    try:
        options("llm")(trial)
    except DeclarationError:
        return False
    return True


def sign(function: Callable[..., Any], parameters: Sequence[inspect.Parameter]) -> None:
    """Give a function a signature and annotations, as if it were written so."""
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    function.__annotations__ = {each.name: each.annotation for each in parameters}


# ---- the constructor -------------------------------------------------------------------------------------------------


def _parameters(cls: type) -> list[tuple[inspect.Parameter, Any]]:
    """Return the constructor's parameters with their types, and its bases' while one passes on `**kwargs`."""
    found: dict[str, tuple[inspect.Parameter, Any]] = {}
    for base in cls.__mro__[:-1]:
        init = vars(base).get("__init__")
        if base.__module__.startswith("livekit.agents"):  # what a plugin passes to LiveKit
            break
        if init is None:
            continue
        hints = _hints(init, base)
        parameters = list(inspect.signature(init).parameters.values())[1:]
        for each in parameters:
            if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD):
                found.setdefault(each.name, (each, hints.get(each.name, object)))
        if not any(each.kind is each.VAR_KEYWORD for each in parameters):
            break
    return list(found.values())


def _hints(init: Any, cls: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(init)
    except Exception:  # one name under TYPE_CHECKING must not hide the types of the others
        return dict(_hints_one_by_one(init, _scope(cls)))


def _scope(cls: type) -> dict[str, Any]:
    """Return the names that annotations may use: of the class's module, and of the others of its package.

    Names that a module imports for type checkers only are found in the others.
    """
    own = sys.modules[cls.__module__]
    package = ".".join(cls.__module__.split(".")[:3])
    others = [module for name, module in list(sys.modules.items()) if name.startswith(package)]
    scope: dict[str, Any] = {}
    for module in (*filter(None, map(sys.modules.get, _SHARED)), *others, own):
        scope |= vars(module)
    return scope


def _hints_one_by_one(init: Any, scope: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, written in init.__annotations__.items():
        holder = types.SimpleNamespace(__annotations__={name: written})
        try:
            yield name, typing.get_type_hints(holder, globalns=scope)[name]
        except Exception:  # the parameter is then left out
            yield name, object


_LINE = re.compile(r"\s*(?:-\s*)?`{0,2}(\w+)`{0,2}\s*(?:\([^)]*\))?\s*:\s*(\S.*)")


def _docs(cls: type) -> dict[str, str]:
    """Return the first sentence about each parameter, from the docstring of the constructor or of the class."""
    docs: dict[str, str] = {}
    for line in inspect.cleandoc(vars(cls).get("__init__", cls).__doc__ or cls.__doc__ or "").splitlines():
        if (found := _LINE.fullmatch(line)) is not None:
            docs.setdefault(found[1], re.split(r"(?<=[a-z)])\. ", found[2].strip())[0].rstrip(".")[:160])
    return docs


# ---- types -----------------------------------------------------------------------------------------------------------


def _is_text(hint: Any, unset: Sequence[Any]) -> bool:
    members = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    return str in members or hint in (object, Any)


def _as_it_is(value: Any) -> Any:
    return value


def _as_list(value: Any) -> Any:
    return [*value] if value.__class__ is tuple else value


def _convert(hint: Any, unset: tuple[type, ...]) -> tuple[Any, Make]:
    """Return the annotation for our decorators and how to convert a value, or raise `_UnfitError`."""
    if hasattr(hint, "__value__"):  # an alias made with `type`
        return _convert(hint.__value__, unset)
    if hint in (str, int, float, bool):
        return hint, _as_it_is
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _convert(args[0], unset)
    if origin is Literal:
        return hint, _as_it_is
    if origin in (Union, types.UnionType):
        return _union([each for each in args if each not in unset], unset)
    if origin in (list, Sequence) or hint is list:
        item, make = _convert(args[0], unset) if args else (Any, _as_it_is)
        return _SEQUENCE[item], lambda value: [make(each) for each in value]
    if origin is tuple or hint is tuple:  # such as a keyword with its weight
        return _SEQUENCE[Any], tuple
    if origin in (dict, Mapping) or hint is dict or typing.is_typeddict(hint):
        return dict[str, Any], _as_it_is
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return _enum(hint)
    if isinstance(hint, type) and _takes_fields(hint):
        return dict[str, Any], partial(_with_fields, hint)
    raise _UnfitError


def _takes_fields(cls: Any) -> bool:
    """Return whether a class is a dataclass or a model of pydantic."""
    return dataclasses.is_dataclass(cls) or hasattr(cls, "model_fields")


def _with_fields(cls: Any, value: Any) -> Any:
    return cls(**value)


def _enum(hint: type[enum.Enum]) -> tuple[Any, Make]:
    values: tuple[Any, ...] = tuple(each.value for each in hint)
    if not values or not all(isinstance(each, str) for each in values):
        raise _UnfitError
    return Literal[values], hint


def _union(members: Sequence[Any], unset: tuple[type, ...]) -> tuple[Any, Make]:
    """Return a union of the members that JSON can carry."""
    found: list[tuple[Any, Make]] = []
    for each in members:
        if each is not type(None):
            try:
                found.append(_convert(each, unset))
            except _UnfitError:
                continue
    if not found:
        raise _UnfitError
    made = [make for _, make in found if make is not _as_it_is]
    annotations = [annotation for annotation, _ in found] + [None] * (type(None) in members)
    # Of several members that need a conversion, a value does not say which it is.
    return Union[tuple(annotations)], made[0] if len(found) == 1 and made else _as_list  # noqa: UP007


def _default(default: Any, unset: Sequence[Any]) -> Any:
    """Return a default that our decorators take: in JSON's form, and not mutable."""
    if default is None or default is inspect.Parameter.empty or any(default is each for each in unset):
        return None
    if isinstance(default, enum.Enum):
        return default.value
    if isinstance(default, str | int | float | bool):
        return default
    if isinstance(default, list | tuple):
        return tuple(_default(each, unset) for each in typing.cast("list[Any]", default))
    raise _UnfitError
