"""Check that an open service has the methods of its kind, with parameters, results and streams that fit."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterator, Mapping
from types import FunctionType, UnionType
from typing import Any, Final, Union, cast, get_args, get_origin, get_type_hints
from weakref import WeakKeyDictionary, WeakSet

from typing_extensions import get_protocol_members

from ..kinds import ChecksKey, ListeningSTT
from ..utils.plugin_calls import reraise_control_flow

__all__ = ("misfit", "misfit_of_service", "yielded_name")

_STREAMS = (AsyncIterator, AsyncGenerator, AsyncIterable)

#: The classes whose objects follow a Protocol, by the Protocol: a check takes longer than the rest of a start.
_FITTING: WeakKeyDictionary[type, WeakSet[type]] = WeakKeyDictionary()


#: What a service need not have, with the members by which it is recognised: `isinstance` would find them each time.
_OPTIONAL: Final[Mapping[type, frozenset[str]]] = {
    each: frozenset(get_protocol_members(each)) for each in (ListeningSTT, ChecksKey)
}


def yielded_name(value: object) -> str:
    """Return what a context manager has yielded, for its author: the class of an object, a class itself, or None."""
    if value is None:
        return "None"
    return f"the class {value.__name__} itself" if isinstance(value, type) else type(value).__name__


def misfit_of_service(live: object, protocol: type) -> str | None:
    """Return why a service does not follow the Protocol of its kind, or an optional Protocol."""
    problem = misfit(live, protocol)
    if problem is not None and isinstance(live, type):
        return f"yield an object of it, as in yield {live.__name__}(…)"
    for optional, members in _OPTIONAL.items():
        if problem is None and all(hasattr(live, name) for name in members):
            problem = misfit(live, optional)
    return problem


def misfit(live: object, protocol: type) -> str | None:
    """Return why an object does not follow its Protocol, for its author, or None.

    It needs each method of the Protocol, with compatible parameters. The method must return, await or stream as the
    Protocol's does. The type of the streamed items is compared if it is annotated.
    """
    members = get_protocol_members(protocol)
    try:
        if type(live) in _FITTING.get(protocol, ()) and members.isdisjoint(getattr(live, "__dict__", ())):
            return None
        if missing := [name for name in sorted(members) if not hasattr(live, name)]:
            return f"it has no {', '.join(f'{name}()' for name in missing)}"
        problem = next(_problems(live, protocol), None)
    except BaseException as error:  # a live object may answer `hasattr` with anything
        reraise_control_flow(error)
        return f"looking at it raises {type(error).__name__}"
    if problem is None and all(_is_method(type(live), name) for name in members):
        _FITTING.setdefault(protocol, WeakSet()).add(type(live))
    return problem


def _is_method(owner: type, name: str) -> bool:
    """Return whether all objects of a class have the same method, unless one has another in its `__dict__`."""
    return isinstance(inspect.getattr_static(owner, name, None), FunctionType)


def _problems(live: object, protocol: type) -> Iterator[str]:
    for name in sorted(get_protocol_members(protocol)):
        declared, found = inspect.getattr_static(protocol, name, None), getattr(live, name)
        if not isinstance(declared, FunctionType):
            continue  # an attribute, which may be anything
        if not callable(found):
            yield f"its {name} is not a method"
            continue
        problem = _kind_problem(name, declared, found) or _call_problem(name, declared, found)
        if (problem := problem or _pieces_problem(name, declared, found)) is not None:
            yield problem


# ---- its methods --------------------------------------------------------------------------------------


def _kind_of(function: Callable[..., Any]) -> str:
    if inspect.isasyncgenfunction(function):
        return "stream"
    if inspect.iscoroutinefunction(function):
        return "coroutine"
    return "generator" if inspect.isgeneratorfunction(function) else "plain"


_ARE = {"stream": "an async generator", "coroutine": "a coroutine function", "generator": "a generator"}

_INSTEAD = {
    "stream": "Write async def with yield, or def and return an async iterator",
    "coroutine": "Write async def with return",
    "plain": "It is called without await: write def with return",
}


def _kind_problem(name: str, declared: Callable[..., Any], found: Callable[..., Any]) -> str | None:
    asked = "stream" if _streamed(declared) is not None else _kind_of(declared)
    given = _kind_of(found)
    # A plain function may return a coroutine, or a stream, that it got elsewhere.
    if given == asked or given == "plain" or asked not in _INSTEAD:
        return None
    return f"its {name}() is {_ARE[given]}. {_INSTEAD[asked]}"


def _call_problem(name: str, declared: Callable[..., Any], found: Callable[..., Any]) -> str | None:
    _, *parameters = inspect.signature(declared).parameters.values()
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):  # it is not written in Python
        return None
    plain = [each for each in parameters if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
    for called in ([each for each in plain if each.default is each.empty], plain):
        try:
            signature.bind(
                *(None for each in called if each.kind is not each.KEYWORD_ONLY),
                **{each.name: None for each in called if each.kind is each.KEYWORD_ONLY},
            )
        except TypeError:
            names = ", ".join(f"{each.name}=…" if each.kind is each.KEYWORD_ONLY else each.name for each in called)
            takes = ", ".join(signature.parameters) or "nothing"
            return f"its {name}() takes {takes}, but it is called as {name}({names})"
    return None


# ---- what it streams -----------------------------------------------------------------------------------------------


def _pieces_problem(name: str, declared: Callable[..., Any], found: Callable[..., Any]) -> str | None:
    asked, given = _streamed(declared), _streamed(found)
    if asked is None or given is None:
        return None
    wrong = [each for each in given if not issubclass(each, asked)]
    if not wrong:
        return None
    return f"its {name}() yields {wrong[0].__name__}. Yield {' or '.join(each.__name__ for each in asked)}"


def _streamed(function: Callable[..., Any]) -> tuple[type, ...] | None:
    """Return the annotated classes of the pieces that a function streams; None without an annotation."""
    inner = inspect.unwrap(getattr(function, "__func__", function))
    try:
        annotation = get_type_hints(inner).get("return")
    except Exception:  # a name that exists only for type checkers
        return None
    if get_origin(annotation) not in _STREAMS or not get_args(annotation):
        return None
    piece = get_args(annotation)[0]
    members = get_args(piece) if get_origin(piece) in (Union, UnionType) else (piece,)
    classes = [get_origin(each) or each for each in members]
    if not all(isinstance(each, type) and each not in (Any, object) for each in classes):
        return None
    return tuple(cast("list[type]", classes))
