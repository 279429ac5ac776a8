"""Compare two versions of the API of a distribution. Class each difference as breaking, compatible or documentation.

A difference is breaking if clients, bots or operators that worked with the old version may fail with the new one. What
they send (arguments, options, service options) may have more values than before, but not fewer. What they receive
(results) may have fewer values, but no others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from ..utils.json_values import member_path
from .description import Described
from .schema_changes import Change, Level, compare_schemas, shown

__all__ = ("Change", "compare")

_LEVELS: Final[Sequence[Level]] = ("breaking", "compatible", "documentation")


def compare(old: Described, new: Described) -> list[Change]:
    """Return the differences between two files of `rtvi schema`, breaking ones first."""
    found = _members(old["plugins"], new["plugins"], "$.plugins", "plugin", _plugin)
    return sorted(found, key=lambda each: _LEVELS.index(each.level))


def _members(
    old: Described,
    new: Described,
    path: str,
    what: str,
    inside: Callable[[Described, Described, str], Iterable[Change]],
) -> Iterator[Change]:
    """Compare the plugins or actions of two versions by name."""
    for name, each in old.items():
        place = member_path(path, name)
        if name not in new:
            yield Change("breaking", place, f"The {what} {name!r} is removed.")
        else:
            yield from inside(each, new[name], place)
    for name in new:
        if name not in old:
            yield Change("compatible", member_path(path, name), f"The {what} {name!r} is new.")


def _plugin(old: Described, new: Described, path: str) -> Iterator[Change]:
    yield from _texts(old, new, path)
    if bool(old.get("asyncio_only")) != bool(new.get("asyncio_only")):
        level: Level = "breaking" if new.get("asyncio_only") else "compatible"
        how = "only on asyncio" if new.get("asyncio_only") else "on trio too"
        yield Change(level, f"{path}.asyncio_only", f"The provider now runs {how}.")
    yield from _keys(old.get("keys", {}), new.get("keys", {}), f"{path}.keys")
    for part, what in (("service_options", "service option"), ("options", "option")):
        yield from _parameters(old.get(part, {}), new.get(part, {}), f"{path}.{part}", what)
    yield from _members(old.get("actions", {}), new.get("actions", {}), f"{path}.actions", "action", _action)


def _keys(old: Described, new: Described, path: str) -> Iterator[Change]:
    for name in {**old, **new}:
        was, now = (each.get(name, {}).get("required") for each in (old, new))
        place = member_path(path, name)
        if now and not was:
            yield Change("breaking", place, f"The key {name!r} is now required.")
        elif name not in new:
            yield Change("compatible", place, f"The key {name!r} is not used any more.")
        elif was != now:
            how = "new, and optional" if was is None else "now optional"
            yield Change("compatible", place, f"The key {name!r} is {how}.")


def _action(old: Described, new: Described, path: str) -> Iterator[Change]:
    yield from _texts(old, new, path)
    if bool(old.get("long")) != bool(new.get("long")):
        how = "a job" if new.get("long") else "its result"
        yield Change("breaking", f"{path}.long", f"The action is now answered with {how}.")
    if old.get("message") != new.get("message"):
        lost = "message" in old
        sentence = (
            f"The client message {old.get('message')!r} no longer calls it." if lost else "A message calls it too."
        )
        yield Change("breaking" if lost else "compatible", f"{path}.message", sentence)
    yield from _parameters(old["arguments"], new["arguments"], f"{path}.arguments", "argument")
    yield from compare_schemas(old["result_schema"], new["result_schema"], f"{path}.result_schema", sent=False)


def _texts(old: Described, new: Described, path: str) -> Iterator[Change]:
    if (old.get("description") or "") != (new.get("description") or ""):
        yield Change("documentation", f"{path}.description", "The description changes.")
    if old.get("deprecated") != new.get("deprecated"):
        how = "no longer deprecated" if "deprecated" not in new else "deprecated, with this text"
        yield Change("documentation", f"{path}.deprecated", f"It is {how}.")


# ---- parameters ----------------------------------------------------------------------------------------------------


def _parameters(old: Described, new: Described, path: str, what: str) -> Iterator[Change]:
    renamed = {_with_service(former, name): name for name, each in new.items() for former in each.get("was", ())}
    for name, each in old.items():
        place = member_path(path, name)
        if name in new:
            yield from _parameter(each, new[name], place)
        elif name in renamed:
            yield Change("compatible", place, f"It is now {renamed[name]!r}; the former name is still accepted.")
            yield from _parameter(each, new[renamed[name]], member_path(path, renamed[name]))
        else:
            yield Change("breaking", place, f"The {what} {name!r} is removed.")
    for name, each in new.items():
        if name in old or any(renamed.get(former) == name for former in old):
            continue
        level: Level = "breaking" if each["required"] else "compatible"
        how = "required" if each["required"] else "optional"
        yield Change(level, member_path(path, name), f"The {what} {name!r} is new, and {how}.")


def _with_service(former: str, name: str) -> str:
    """Return the former name of `llm.model` with its service, as options are listed."""
    service, dot, _ = name.rpartition(".")
    return f"{service}{dot}{former}"


def _parameter(old: Described, new: Described, path: str) -> Iterator[Change]:
    yield from _texts(old, new, path)
    if old["required"] != new["required"]:
        level: Level = "breaking" if new["required"] else "compatible"
        yield Change(level, f"{path}.required", f"It is now {'required' if new['required'] else 'optional'}.")
    elif old.get("default") != new.get("default"):
        sentence = f"Without a value, {shown(new.get('default'))} is used in place of {shown(old.get('default'))}."
        yield Change("compatible", f"{path}.default", sentence)
    for each in old.get("was", ()):
        if each not in new.get("was", ()) and each != new.get("name"):
            yield Change("breaking", f"{path}.was", f"The former name {each!r} is no longer accepted.")
    yield from compare_schemas(old["schema"], new["schema"], f"{path}.schema", sent=True)
