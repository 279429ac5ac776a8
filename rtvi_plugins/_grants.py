"""What one client may set, call and choose: the bot's grants, narrowed by the operator. Default deny."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from attrs import field, frozen
from attrs.validators import and_, ge, gt, in_, le, lt, matches_re, max_len, min_len

from ._json import below, is_array, is_object, kind, until_enough
from ._registry import BOT, Registry
from ._shapes import Validator
from ._specs import ActionSpec, Grant
from .errors import InvalidStart, Problem, nearest

__all__ = ("Grants", "read_grants", "roles")


@frozen(eq=False)
class Grants:
    """Grants by name. `everything` is what `--dev` grants: all but service options."""

    by_name: Mapping[str, Grant] = field(factory=dict[str, Grant])
    everything: bool = False

    @classmethod
    def of(cls, registry: Registry, granted: Iterable[Grant] | None = None, *, everything: bool = False) -> Grants:
        """What a bot grants: to clients, or what is `granted`.

        Where one leaves an argument open that its action narrows, the action's word counts.
        """
        narrowed = _narrowed(registry)
        filled = [
            Grant(
                each.name,
                *([each.validator] if each.validator else ()),
                arguments={**narrowed.get(each.name, {}), **each.arguments},
                writable=each.writable,
            )
            for each in (registry.bot.grants if granted is None else granted)
        ]
        return cls({grant.name: grant for grant in filled}, everything)

    def get(self, name: str) -> Grant | None:
        """The grant of an option (`llm.model`) or action (`tts:say`), or None."""
        found = self.by_name.get(name)
        return Grant(name) if found is None and self.everything else found

    def narrowed(self, narrower: Sequence[Grant]) -> Grants:
        """What both these grants and the narrower ones allow."""
        left: dict[str, Grant] = {}
        for theirs in narrower:
            ours = left.get(theirs.name) or self.get(theirs.name)
            if ours is not None:
                left[theirs.name] = _both(ours, theirs)
        return Grants(left)


def _narrowed(registry: Registry) -> Mapping[str, Mapping[str, Validator]]:
    """How actions narrow their own arguments, by name; where providers differ, all of them count."""
    found: dict[str, dict[str, Validator]] = {}
    for service, name, spec in _actions(registry):
        arguments = found.setdefault(f"{service}:{name}", {})
        for argument, validator in spec.narrowed.items():
            arguments[argument] = and_(arguments[argument], validator) if argument in arguments else validator
    return found


def _actions(registry: Registry) -> Iterable[tuple[str, str, ActionSpec]]:
    yield from ((BOT, name, spec) for name, spec in registry.actions.items())
    for service in registry.services.values():
        for provider in service.providers.values():
            yield from ((service.name, name, spec) for name, spec in provider.actions.items())


def _both(ours: Grant, theirs: Grant) -> Grant:
    validators = [each for each in (ours.validator, theirs.validator) if each is not None]
    arguments = {
        name: and_(*(each.arguments[name] for each in (ours, theirs) if name in each.arguments))
        for name in (*ours.arguments, *theirs.arguments)
    }
    return Grant(ours.name, *validators, arguments=arguments, writable=ours.writable and theirs.writable)


# ---- grants as an operator sends them ------------------------------------------------------------------------------

#: Each bound, with what an operator may give it.
_BOUNDS: Mapping[str, tuple[tuple[type, ...], Callable[[Any], Validator]]] = {
    "ge": ((int, float), ge),
    "gt": ((int, float), gt),
    "le": ((int, float), le),
    "lt": ((int, float), lt),
    "in": ((list,), in_),
    "min_len": ((int,), min_len),
    "max_len": ((int,), max_len),
    "matches": ((str,), matches_re),
}


def read_grants(sent: object, path: str = "$.grants") -> list[Grant]:
    """Grants from JSON: names, or objects `{name, writable?, arguments?}` with bounds `ge gt le lt in min_len …`."""
    problems: list[Problem] = []
    if not is_array(sent):
        raise InvalidStart([Problem(path, f"expected an array, got {kind(sent)}")])
    each_of = until_enough(enumerate(sent), problems)
    read = [_read_grant(each, f"{path}[{index}]", problems) for index, each in each_of]
    if problems:
        raise InvalidStart(problems)
    return read


def _read_grant(sent: Any, path: str, problems: list[Problem]) -> Grant:
    if isinstance(sent, str):
        return Grant(sent)
    if not is_object(sent) or not isinstance(name := sent.get("name"), str):
        problems.append(Problem(path, f"expected a name, or an object with a name, got {kind(sent)}"))
        return Grant("")
    told = {key: value for key, value in sent.items() if key != "name"}
    arguments, writable = told.pop("arguments", {}), told.pop("writable", True)
    if not is_object(arguments) or not isinstance(writable, bool):
        problems.append(Problem(path, "expected arguments to be an object and writable true or false"))
        return Grant(name)
    narrowed = {
        argument: and_(*_bounds(bounds, below(f"{path}.arguments", argument), problems))
        for argument, bounds in until_enough(arguments.items(), problems)
    }
    return Grant(name, *_bounds(told, path, problems), arguments=narrowed, writable=writable)


def _bounds(sent: Any, path: str, problems: list[Problem]) -> list[Validator]:
    if not is_object(sent):
        problems.append(Problem(path, f"expected an object of bounds, got {kind(sent)}"))
        return []
    made: list[Validator] = []
    for name, bound in until_enough(sent.items(), problems):
        if name not in _BOUNDS:
            # Not its name: in the operator's part of a start anything may be a key.
            problems.append(Problem(path, f"unknown bound; known: {', '.join(_BOUNDS)}.", nearest(name, _BOUNDS)))
            continue
        classes, make = _BOUNDS[name]
        try:
            if bound.__class__ not in classes:
                raise TypeError
            made.append(make(bound))
        except Exception:
            problems.append(Problem(f"{path}.{name}", f"is no bound for {name!r}"))
    return made


class roles:  # noqa: N801 - a validator, spelled as attrs spells its own
    """A validator of messages: only these roles.

    `Grant("llm:append_to_messages", arguments={"messages": roles("user", "system")})`
    """

    def __init__(self, *allowed: str) -> None:
        self.allowed = allowed
        self.json_schema = {"items": {"properties": {"role": {"enum": list(allowed)}}}}

    def __repr__(self) -> str:
        return f"roles({', '.join(map(repr, self.allowed))})"

    def __call__(self, instance: Any, attribute: Any, value: Any) -> None:
        refused = {str(message.get("role")) for message in value or ()} - set(self.allowed)
        if refused:
            raise ValueError(
                f"messages may have the role {' or '.join(self.allowed)}, not {', '.join(sorted(refused))}"
            )
