"""What one client may set, call and choose: the bot's grants, narrowed by the operator. Default deny."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from typing import Any

from attrs import evolve, field, frozen
from attrs.validators import and_, ge, gt, in_, le, lt, matches_re, max_len, min_len

from ..declare.constraints import parts_of
from ..declare.shapes import Validator
from ..declare.specs import ActionSpec, Grant
from ..errors import InvalidStart, Problem
from ..utils.diagnostics import nearest
from ..utils.json_values import is_array, is_object, json_type_name, member_path, until_max_problems
from .registry import BOT, Registry, renamed

__all__ = ("Grants", "read_grants")


@frozen(eq=False)
class Grants:
    """Grants by name. `everything` is what `--dev` grants: all but service options."""

    by_name: Mapping[str, Grant] = field(factory=dict[str, Grant])
    everything: bool = False
    #: The operator's grants of one session: what they leave out, or narrow, is not granted in it.
    narrower: Mapping[str, Grant] | None = None

    @classmethod
    def of(cls, registry: Registry, granted: Iterable[Grant] | None = None, *, everything: bool = False) -> Grants:
        """What a bot grants: to clients, or what is `granted`.

        What a declaration narrows stays narrowed, unless the grant has a validator of the same class for it.
        """
        arguments, options = _narrowed_arguments(registry), _narrowed_options(registry)
        filled = [
            _filled(each, arguments.get(each.name, {}), options.get(each.name))
            for each in (renamed(registry, each) for each in (registry.bot.grants if granted is None else granted))
        ]
        return cls({grant.name: grant for grant in filled}, everything)

    def get(self, *names: str) -> Grant | None:
        """The grant of an option (`llm.model`), by its present and its former names, or of an action (`tts:say`)."""
        ours = _found(self.by_name, names)
        if ours is None and self.everything:
            ours = Grant(names[0])
        if ours is None or self.narrower is None:
            return ours
        theirs = _found(self.narrower, names)
        return _both(ours, theirs) if theirs is not None else None

    def narrowed(self, narrower: Sequence[Grant]) -> Grants:
        """What both these grants and the narrower ones allow."""
        left: dict[str, Grant] = {}
        for each in narrower:
            left[each.name] = _both(left[each.name], each) if each.name in left else each
        return evolve(self, narrower=left)


def _found(grants: Mapping[str, Grant], names: Iterable[str]) -> Grant | None:
    """The grant under these names; where there are several, what all of them allow."""
    found = [grants[name] for name in names if name in grants]
    return reduce(_both, found) if found else None


def _filled(grant: Grant, arguments: Mapping[str, Validator], option: Validator | None) -> Grant:
    """A grant with what its declaration narrows."""
    kept = {name: _kept(each, grant.arguments.get(name)) for name, each in arguments.items()}
    own = grant.validator if option is None else _kept(option, grant.validator)
    validators = () if own is None else (own,)
    return Grant(grant.name, *validators, arguments={**grant.arguments, **kept}, writable=grant.writable)


def _kept(default: Validator, given: Validator | None) -> Validator:
    """Both validators, without the parts of the default for which a part of the same class is given."""
    if given is None:
        return default
    classes = {each.__class__ for each in parts_of(given)}
    return and_(*(each for each in parts_of(default) if each.__class__ not in classes), given)


def _narrowed_arguments(registry: Registry) -> Mapping[str, Mapping[str, Validator]]:
    """How actions narrow their own arguments, by name; where providers differ, all of them count."""
    found: dict[str, dict[str, Validator]] = {}
    for service, name, spec in _actions(registry):
        _join(found.setdefault(f"{service}:{name}", {}), spec.narrowed)
    return found


def _narrowed_options(registry: Registry) -> Mapping[str, Validator]:
    """How options are narrowed by their declaration, by name."""
    found: dict[str, Validator] = {}
    for service in registry.services.values():
        for provider in service.providers.values():
            for name, (_, group) in provider.options.items():
                if name in group.narrowed:
                    for each in provider.names_of(name):
                        _join(found, {f"{service.name}.{each}": group.narrowed[name]})
    return found


def _join(found: dict[str, Validator], more: Mapping[str, Validator]) -> None:
    for name, validator in more.items():
        parts = [*parts_of(found[name])] if name in found else []
        # Providers of one kind share its declarations, and each part is reported once.
        parts.extend(each for each in parts_of(validator) if each not in parts)
        found[name] = and_(*parts)


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
        raise InvalidStart([Problem(path, f"expected an array, got {json_type_name(sent)}")])
    each_of = until_max_problems(enumerate(sent), problems)
    read = [_read_grant(each, f"{path}[{index}]", problems) for index, each in each_of]
    if problems:
        raise InvalidStart(problems)
    return read


def _read_grant(sent: Any, path: str, problems: list[Problem]) -> Grant:
    if isinstance(sent, str):
        return Grant(sent)
    if not is_object(sent) or not isinstance(name := sent.get("name"), str):
        problems.append(Problem(path, f"expected a name, or an object with a name, got {json_type_name(sent)}"))
        return Grant("")
    told = {key: value for key, value in sent.items() if key != "name"}
    arguments, writable = told.pop("arguments", {}), told.pop("writable", True)
    if not is_object(arguments) or not isinstance(writable, bool):
        problems.append(Problem(path, "expected arguments to be an object and writable true or false"))
        return Grant(name)
    narrowed = {
        argument: and_(*_bounds(bounds, member_path(f"{path}.arguments", argument), problems))
        for argument, bounds in until_max_problems(arguments.items(), problems)
    }
    return Grant(name, *_bounds(told, path, problems), arguments=narrowed, writable=writable)


def _bounds(sent: Any, path: str, problems: list[Problem]) -> list[Validator]:
    if not is_object(sent):
        problems.append(Problem(path, f"expected an object of bounds, got {json_type_name(sent)}"))
        return []
    made: list[Validator] = []
    for name, bound in until_max_problems(sent.items(), problems):
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
