"""Copy JSON values: into read-only ones, which `Session.config` returns, and into plain ones."""

from __future__ import annotations

from typing import Any, NoReturn

from .json_values import is_array, is_object

__all__ = ("frozen_json", "plain_json")


def _refuse(*_: object, **__: object) -> NoReturn:
    raise TypeError("The config is read-only. Change it with await session.configure('tts', voice='de').")


def _frozen(base: type[Any], changes: str) -> type[Any]:
    """Return a subclass, and not a view, so that its objects are JSON values wherever one is expected."""

    def reduce(self: Any) -> Any:
        return base, (base(self),)  # a copy is a plain one that can be changed

    return type(f"frozen_{base.__name__}", (base,), {"__reduce__": reduce, **dict.fromkeys(changes.split(), _refuse)})


_FrozenDict = _frozen(dict, "__setitem__ __delitem__ __ior__ clear pop popitem setdefault update")
_FrozenList = _frozen(
    list, "__setitem__ __delitem__ __iadd__ __imul__ append clear extend insert pop remove reverse sort"
)


def frozen_json(value: Any) -> Any:
    """Return a copy of a JSON value that raises `TypeError` when it, or something in it, is changed."""
    if is_object(value):
        return _FrozenDict({name: frozen_json(each) for name, each in value.items()})
    return _FrozenList(map(frozen_json, value)) if is_array(value) else value


def plain_json(value: Any) -> Any:
    """Return a copy of a JSON value that consists of dicts and lists of its own."""
    if is_object(value):
        return {name: plain_json(each) for name, each in value.items()}
    return [plain_json(each) for each in value] if is_array(value) else value
