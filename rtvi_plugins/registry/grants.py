"""The grants of a bot, narrowed by the operator. A client may use only what is granted.

The module has more than 300 lines because grants have one home: what a bot writes, what an operator sends as JSON in
a start request, and how the second narrows the first.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from typing import Any

from attrs import evolve, field, frozen
from attrs.validators import and_, ge, gt, in_, le, lt, matches_re, max_len, min_len

from ..declare.annotations import read
from ..declare.grant import Grant
from ..declare.specs import ActionSpec, specs_of
from ..declare.types import Shape, UnsupportedType, Validator
from ..declare.validators import parts_of, restriction
from ..errors import InvalidStart, Problem
from ..utils.error_texts import where
from ..utils.json_values import is_array, is_object, json_type_name, member_path, until_max_problems
from ..utils.names import nearest
from .registry import PROVIDER, Registry

__all__ = ("Grants", "function_problem", "grant_problem", "known_names", "read_grants", "renamed")


@frozen(eq=False)
class Grants:
    """Grants by name. `everything` grants all but service options, for `--dev`."""

    by_name: Mapping[str, Grant] = field(factory=dict[str, Grant])
    everything: bool = False
    #: The operator's grants for one session. They can only remove or narrow grants.
    narrower: Mapping[str, Grant] | None = None

    @classmethod
    def of(cls, registry: Registry, granted: Iterable[Grant] | None = None, *, everything: bool = False) -> Grants:
        """Return the bot's grants to clients, or the given ones.

        The limits of a declaration stay in force, unless the grant has a validator of the same class.
        """
        given = registry.bot.grants if granted is None else granted
        filled = [_with_declared_limits(registry, renamed(registry, each)) for each in given]
        return cls({grant.name: grant for grant in filled}, everything)

    def get(self, *names: str) -> Grant | None:
        """Return the grant of an action (`tts:say`), or of an option (`llm.model`) by its present and former names."""
        ours = _granted_under(self.by_name, names)
        if ours is None and self.everything:
            ours = Grant(names[0])
        if ours is None or self.narrower is None:
            return ours
        theirs = _granted_under(self.narrower, names)
        return _granted_by_both(ours, theirs) if theirs is not None else None

    def narrowed(self, narrower: Sequence[Grant]) -> Grants:
        """Return grants that allow only what both these and the narrower ones allow."""
        left: dict[str, Grant] = {}
        for each in narrower:
            left[each.name] = _granted_by_both(left[each.name], each) if each.name in left else each
        return evolve(self, narrower=left)


def _granted_under(grants: Mapping[str, Grant], names: Iterable[str]) -> Grant | None:
    """Return the grant under these names. Several grants are joined into one with all their limits."""
    granted = [grants[name] for name in names if name in grants]
    return reduce(_granted_by_both, granted) if granted else None


def _with_declared_limits(registry: Registry, grant: Grant) -> Grant:
    """Return the grant with the limits that its action or option declares, those of several providers joined."""
    if ":" in grant.name:
        narrowed = [each.narrowed for each in _specs_of_action(registry, grant.name)]
        arguments = dict(grant.arguments)
        for argument in dict.fromkeys(argument for each in narrowed for argument in each):
            declared = [each[argument] for each in narrowed if argument in each]
            arguments[argument] = _limited(declared, arguments.get(argument))
        return Grant(grant.name, arguments=arguments, writable=grant.writable)
    service, _, option = grant.name.partition(".")
    limits: list[Validator] = []
    for provider in registry.services[service].providers.values():
        present = provider.present_name(option)
        if present is not None and (limit := provider.options[present][1].narrowed.get(present)) is not None:
            limits.append(limit)
    return Grant(grant.name, _limited(limits, grant.validator), writable=grant.writable) if limits else grant


def _limited(limits: Iterable[Validator], granted: Validator | None) -> Validator:
    """Join declared limits and the validator of a grant, whose parts replace those limits of the same class."""
    granted_parts = [] if granted is None else [*parts_of(granted)]
    replaced = {each.__class__ for each in granted_parts}
    # Providers of one kind share its declarations, and each part is reported once.
    kept: list[Validator] = []
    for part in (part for limit in limits for part in parts_of(limit)):
        if part.__class__ not in replaced and part not in kept:
            kept.append(part)
    return and_(*kept, *granted_parts)


def _granted_by_both(ours: Grant, theirs: Grant) -> Grant:
    validators = [each for each in (ours.validator, theirs.validator) if each is not None]
    arguments = {
        name: and_(*(each.arguments[name] for each in (ours, theirs) if name in each.arguments))
        for name in (*ours.arguments, *theirs.arguments)
    }
    return Grant(ours.name, *validators, arguments=arguments, writable=ours.writable and theirs.writable)


# ---- checking the grants of bots and operators ---------------------------------------------------------------------

#: The maximum number of names in a sentence if no name is similar.
_MOST_LISTED_NAMES = 8


def grant_problem(registry: Registry, grant: Grant, *, is_operators: bool = False) -> str | None:
    """Return the problem of a grant of a bot or an operator; None if there is none.

    The bounds of an operator are not quoted: any text in the operator's part of a start may be a key. An operator is
    not shown the path of the bot's file.
    """
    known = set(_grantable_names(registry))
    if grant.name not in known and not _is_former_option(registry, grant.name):
        if registry.left_out(grant.name.replace(":", ".").partition(".")[0]):
            return None  # it may be of a provider that is not installed
        hint = f". {known_grants(grant.name, known)}" if is_operators else _unknown_grant(registry, grant.name, known)
        return f"grants {grant.name!r}{hint}"
    if ":" not in grant.name:
        return _option_grant_problem(registry, grant, is_operators)
    grant = renamed(registry, grant)
    arguments = _arguments_of_action(registry, grant.name)
    if grant.validator is not None:
        example = next(iter(arguments), "argument")
        return f"narrows {grant.name!r}, which is an action: name the argument, as in arguments={{{example!r}: …}}."
    if not grant.writable:
        return f"grants {grant.name!r} as not writable, but it is an action; leave the grant out instead."
    for name, validator in grant.arguments.items():
        if name not in arguments:
            return f"narrows the argument {name!r} of {grant.name!r}. {known_names(name, arguments)}"
        shapes = [
            each.parameters[name].shape for each in _specs_of_action(registry, grant.name) if name in each.parameters
        ]
        if (problem := _narrowing_problem(shapes, validator, is_operators)) is not None:
            return f"narrows the argument {name!r} of {grant.name!r}, but it {problem}."
    return None


#: The names that all vendors accept for a function.
_FUNCTION_NAME = re.compile(r"[A-Za-z0-9_]{1,64}")


def function_problem(registry: Registry, granted: str, named: dict[str, str]) -> str | None:
    """Return why an LLM cannot call an action of this name; None if it can."""
    _, colon, name = granted.partition(":")
    known = set(_grantable_names(registry))
    if granted not in known:
        return f"grants {granted!r}{_unknown_grant(registry, granted, (each for each in known if ':' in each))}"
    if not colon:
        return f"grants {granted!r}, which is an option. An LLM can call actions, as in 'bot:book_room'."
    if any(each.long for each in _specs_of_action(registry, granted)):
        return f"grants {granted!r}, which is a long action. An LLM waits for the result: leave out long=True."
    if _FUNCTION_NAME.fullmatch(name) is None:
        return f"grants {granted!r}. Vendors of LLMs accept only names of at most 64 letters A to Z, digits and '_'."
    if named.setdefault(name, granted) != granted:
        return f"grants both {named[name]!r} and {granted!r}. An LLM knows them by {name!r} alone: rename one."
    return None


def _is_former_option(registry: Registry, granted: str) -> bool:
    """Return whether a name such as `"llm.engine"` is a former name of an option."""
    service, _, name = granted.partition(".")
    return service in registry.services and any(
        name in provider.former_names for provider in registry.services[service].providers.values()
    )


def renamed(registry: Registry, grant: Grant) -> Grant:
    """Return the grant with the present names of its arguments."""
    if ":" not in grant.name or not grant.arguments:
        return grant
    present = set(_arguments_of_action(registry, grant.name))
    parameters = [
        parameter for spec in _specs_of_action(registry, grant.name) for parameter in spec.parameters.values()
    ]
    names = {was: parameter.name for parameter in parameters for was in parameter.was}
    arguments: dict[str, Validator] = {}
    for name, validator in grant.arguments.items():
        own = name if name in present else names.get(name, name)
        arguments[own] = and_(arguments[own], validator) if own in arguments else validator
    validators = () if grant.validator is None else (grant.validator,)
    return Grant(grant.name, *validators, arguments=arguments, writable=grant.writable)


def _option_grant_problem(registry: Registry, grant: Grant, is_operators: bool) -> str | None:
    if grant.arguments:
        return f"narrows arguments of {grant.name!r}, which is an option."
    if grant.validator is None:
        return None
    service, _, name = grant.name.partition(".")
    having = ((provider, provider.present_name(name)) for provider in registry.services[service].providers.values())
    shapes = [read(str)] if name == PROVIDER else [each.options[own][0].shape for each, own in having if own]
    problem = _narrowing_problem(shapes, grant.validator, is_operators)
    return f"narrows {grant.name!r}, but it {problem}." if problem is not None else None


def _narrowing_problem(shapes: Iterable[Shape], validator: Validator, is_operators: bool) -> str | None:
    """Return why a grant's validator cannot narrow these types; None if it can."""
    for shape in shapes:
        try:
            restriction(shape, validator)
        except UnsupportedType as error:
            return "has bounds that do not apply to its type" if is_operators else str(error)
    return None


def _arguments_of_action(registry: Registry, action: str) -> Iterable[str]:
    """Return the arguments of an action such as `"tts:say"`, of all its providers."""
    return dict.fromkeys(argument for each in _specs_of_action(registry, action) for argument in each.parameters)


def _specs_of_action(registry: Registry, action: str) -> Sequence[ActionSpec]:
    """Return the declarations of an action such as `"tts:say"`, one for each provider that has it."""
    service, _, name = action.partition(":")
    if service in registry.actions:
        offered = [registry.actions[service]]
    else:
        offered = [provider.actions for provider in registry.services[service].providers.values()]
    return [each[name] for each in offered if name in each]


def _grantable_names(registry: Registry) -> Iterable[str]:
    """Yield every name that a grant may have."""
    yield from (f"{action.service}:{action.name}" for action in registry.own_actions)
    for service in registry.services.values():
        if not service.is_own:
            yield f"{service.name}.{PROVIDER}"
        for provider in service.providers.values():
            yield from (f"{service.name}.{name}" for name in provider.options)
            yield from (f"{service.name}:{name}" for name in provider.actions)


def _unknown_grant(registry: Registry, name: str, known: Iterable[str]) -> str:
    """Return the rest of a sentence about an unknown name: a function without a decorator, or what to grant instead."""
    function = registry.bot.function
    meant = getattr(function, "__globals__", {}).get(name.removeprefix("bot:"))
    if inspect.isfunction(meant) and not specs_of(meant):
        return f", but {where(meant)} is no action. Write @action({function.__name__}) above it."
    return f". {known_grants(name, known)}"


def known_grants(name: str, known: Iterable[str]) -> str:
    """Return what to grant instead of an unknown name: an option `service.name` or an action `service:name`."""
    names = sorted(known)
    separator = next((each for each in name if each in ".:"), "")
    service, _, own = name.partition(separator) if separator else (name, "", "")
    of_service = [each for each in names if each.startswith((f"{service}.", f"{service}:"))]
    if not of_service or not separator:
        return _unknown_service(name, service, separator, names)
    same = [each for each in of_service if each.startswith(f"{service}{separator}")]
    if "*" in own:
        return f"There are no wildcards: name each. {_listed(same or of_service)}"
    near = nearest(own, [each[len(service) + 1 :] for each in same])
    if near is not None:
        return f"Did you mean '{service}{separator}{near}'?"
    if (other := next((each for each in of_service if each[len(service) + 1 :] == own), None)) is not None:
        return f"Did you mean {other!r}?"
    return _listed(same or of_service)


def _unknown_service(name: str, service: str, separator: str, names: Sequence[str]) -> str:
    own = [each for each in names if re.split("[.:]", each)[1:] == [name]]
    if own:
        return f"Did you mean {' or '.join(map(repr, own))}?"
    near = nearest(service, dict.fromkeys(re.split("[.:]", each)[0] for each in names))
    likely = None if near is None else name.replace(service, near, 1)
    if likely in names:
        return f"Did you mean {likely!r}?"
    missing = f"There is no service {service!r} with anything to grant. " if separator else ""
    return f"{missing}{_listed(names)}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_LISTED_NAMES} more" if len(names) > _MOST_LISTED_NAMES else ""
    return f"There is {', '.join(names[:_MOST_LISTED_NAMES])}{more}." if names else "There is none."


def known_names(name: str, known: Iterable[str]) -> str:
    """Return the known name that is meant instead of an unknown one, or the known names."""
    names = sorted(known)
    near = nearest(name, names)
    return _listed(names) if near is None else f"Did you mean {near!r}?"


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


def read_grants(sent: object) -> list[Grant]:
    """Read grants from JSON: names, or objects `{name, writable?, arguments?}` with bounds `ge gt le lt in …`."""
    problems: list[Problem] = []
    if not is_array(sent):
        raise InvalidStart([Problem("$.grants", f"expected an array, got {json_type_name(sent)}")])
    each_of = until_max_problems(enumerate(sent), problems)
    read = [_read_grant(each, f"$.grants[{index}]", problems) for index, each in each_of]
    if problems:
        raise InvalidStart(problems)
    return read


def _read_grant(sent: Any, path: str, problems: list[Problem]) -> Grant:
    if isinstance(sent, str):
        return Grant(sent)
    if not is_object(sent) or not isinstance(name := sent.get("name"), str):
        problems.append(Problem(path, f"expected a name, or an object with a name, got {json_type_name(sent)}"))
        return Grant("")
    fields = {key: value for key, value in sent.items() if key != "name"}
    arguments, writable = fields.pop("arguments", {}), fields.pop("writable", True)
    if not is_object(arguments) or not isinstance(writable, bool):
        problems.append(Problem(path, "expected arguments to be an object and writable true or false"))
        return Grant(name)
    narrowed = {
        argument: and_(*_read_bounds(bounds, member_path(f"{path}.arguments", argument), problems))
        for argument, bounds in until_max_problems(arguments.items(), problems)
    }
    return Grant(name, *_read_bounds(fields, path, problems), arguments=narrowed, writable=writable)


def _read_bounds(sent: Any, path: str, problems: list[Problem]) -> list[Validator]:
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
            problems.append(Problem(f"{path}.{name}", f"is not a bound for {name!r}"))
    return made
