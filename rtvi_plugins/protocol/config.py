"""The values of all options of a session. A change is prepared whole, or refused with everything that is wrong with it.

Nothing here calls a plugin: a `Plan` says which groups are to be set to what, and the runner does it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeAlias

from attrs import define, frozen

from ..declare.specs import OptionsSpec
from ..declare.types import INVALID, Shape, check, violations
from ..errors import (
    InvalidConfig,
    NotGranted,
    Problem,
    RequestError,
    UnknownOption,
    UnknownProvider,
    UnknownService,
    unknown,
)
from ..registry.registry import PROVIDER, Provider, Registry
from ..utils.json_values import expected, is_array, is_object, member_path, until_max_problems
from .arguments import named_values
from .codec import encode_json
from .offer import Offer, OfferedOption

__all__ = (
    "Config",
    "Entry",
    "GroupCall",
    "Layers",
    "Plan",
    "Values",
    "choose_providers",
    "every_group",
    "read_entries",
    "starting_values",
)

Values: TypeAlias = "dict[str, dict[str, Any]]"
#: More options than any bot has: a config of so many is not read to its end.
_MOST_ENTRIES = 1_000

Mistake: TypeAlias = "tuple[type[RequestError], Problem]"


@frozen
class GroupCall:
    """A group of options that is to be set."""

    service: str
    group: OptionsSpec


@frozen
class Plan:
    """A change that was found right: the values and providers after it, and what is to be called for it, in order."""

    values: Values
    providers: Mapping[str, str]
    switched: tuple[str, ...]
    calls: tuple[GroupCall, ...]
    #: The options whose values change, each by service and name.
    changed: tuple[tuple[str, str], ...]


@define
class Config:
    """The options' values, in their JSON form, by service."""

    values: Values
    revision: int = 1

    def commit(self, plan: Plan) -> None:
        """Make a plan's values the session's."""
        self.values = plan.values
        self.revision += 1

    def undo(self, before: Values) -> None:
        """Take back the plan that was committed just now, as if it had never been."""
        self.values = before
        self.revision -= 1

    def revise(self, options: Mapping[tuple[str, str], Any]) -> None:
        """Set options, each by service and name, to values that were checked before."""
        self.values = _with(self.values, ((service, name, value) for (service, name), value in options.items()))
        self.revision += 1

    def arguments(self, call: GroupCall, provider: Provider) -> dict[str, Any]:
        """The keyword arguments of a group's function: the values of all its options."""
        values, parameters = self.values[call.service], call.group.parameters
        return {name: _loaded(parameters[name].shape, values[name]) for name in provider.effective(call.group)}

    def readable(self, offer: Offer) -> list[dict[str, Any]]:
        """The config as clients are told it: every service, and of its options those that this client may read."""
        return [
            {
                "service": service,
                "options": [{"name": name, "value": self._value(offer, service, name)} for name in options],
            }
            for service, options in offer.options.items()
        ]

    def _value(self, offer: Offer, service: str, name: str) -> Any:
        return offer.providers[service] if name == PROVIDER else self.values[service][name]

    def prepare(self, sent: Any, offer: Offer, base: Layers, path: str = "$.data.config") -> Plan:
        """The plan for what a client sent: a list of `{service, options}`, or an object of values by service.

        Raises one `RequestError` that lists all problems; nothing has been changed then.
        """
        problems: list[Problem] = []
        entries, strangers = read_entries(sent, path, problems, offer.options)
        mistakes: list[Mistake] = [(InvalidConfig, problem) for problem in problems]
        mistakes += [(UnknownService, problem) for problem in strangers]
        providers = {**offer.providers, **dict(_switches(entries, offer, mistakes))}
        after = Offer(offer.registry, providers, offer.grants) if providers != offer.providers else offer
        switched, values = self._switched(offer, after, base)
        mentioned = list(_checked(entries, after, values, mistakes))
        if mistakes:
            raise _refusal(mistakes)
        values = _with(values, mentioned)
        changed = _changed(self.values, values)
        calls = _calls(offer, after, changed, [(service, name) for service, name, _ in mentioned], switched)
        return Plan(values, providers, switched, calls, changed)

    def switch(self, before: Offer, after: Offer, base: Layers) -> Plan:
        """The plan that puts other providers in place, and changes nothing else."""
        switched, values = self._switched(before, after, base)
        changed = _changed(self.values, values)
        return Plan(values, after.providers, switched, _calls(before, after, changed, [], switched), changed)

    def _switched(self, before: Offer, after: Offer, base: Layers) -> tuple[tuple[str, ...], Values]:
        switched = tuple(name for name, label in after.providers.items() if label != before.providers[name])
        return switched, {**self.values, **{name: self._carried(base, before, after, name) for name in switched}}

    def _carried(self, base: Layers, before: Offer, after: Offer, service: str) -> dict[str, Any]:
        """What a service goes on with under another provider: its kind's values are kept, the rest starts afresh."""
        kept = before.provider(service).kind_options & after.provider(service).kind_options
        values = base(service, after.providers[service])
        return {name: self.values[service][name] if name in kept else value for name, value in values.items()}


# ---- where values begin --------------------------------------------------------------------------------------------


class Layers:
    """The values a service starts from: its provider's, under the bot's, under the operator's."""

    def __init__(self, registry: Registry, defaults: Mapping[str, Mapping[str, Any]]) -> None:
        self._registry = registry
        self._layers = (registry.bot.config, defaults)

    def __call__(self, service: str, label: str) -> dict[str, Any]:
        provider = self._registry.services[service].providers[label]
        values = {name: parameter.default for name, (parameter, _) in provider.options.items()}
        for layer in self._layers:
            for key in (service, f"{service}.{label}"):
                given = layer.get(key, {}).items()
                values |= {own: value for name, value in given if (own := provider.present_name(name)) is not None}
        return values


def starting_values(
    registry: Registry, providers: Mapping[str, str], defaults: Mapping[str, Mapping[str, Any]]
) -> tuple[Values, Layers]:
    """The values before a client has said anything, and the layers from which a switched provider starts."""
    base = Layers(registry, defaults)
    return {service: base(service, label) for service, label in providers.items()}, base


def choose_providers(sent: Any, offered: Mapping[str, Sequence[str]], path: str = "$.services") -> dict[str, str]:
    """The provider of each service, from a start's `services`; the first that is offered where it names none.

    Raises with all names that are not offered.
    """
    chosen = {service: labels[0] for service, labels in offered.items()}
    if sent is None:
        return chosen
    if not is_object(sent):
        raise InvalidConfig([Problem(path, expected("an object of providers by service", sent))])
    mistakes: list[Mistake] = []
    for service, label in until_max_problems(sent.items(), mistakes):
        at = member_path(path, service)
        if service not in offered:
            mistakes.append((UnknownService, unknown("service", service, offered, path=at)))
        elif label not in offered[service]:
            mistakes.append((UnknownProvider, unknown(f"{service} provider", label, offered[service], path=at)))
        else:
            chosen[service] = label
    if mistakes:
        raise _refusal(mistakes)
    return chosen


# ---- reading what was sent -----------------------------------------------------------------------------------------


@define
class Entry:
    """One option that was sent, and the paths at which its value and its name stand."""

    service: str
    name: str
    value: Any
    path: str
    name_path: str


def read_entries(
    sent: Any, path: str, problems: list[Problem], known: Collection[str]
) -> tuple[list[Entry], list[Problem]]:
    """The options that were sent, in their order, and a problem for each service that is not among the known ones.

    Either a list of `{service, options}` or an object of values by service; what is in neither form is a problem.
    """
    entries: list[Entry] = []
    strangers: list[Problem] = []
    for service, options, at, options_at in until_max_problems(_services(sent, path, problems), strangers):
        if service not in known:
            strangers.append(unknown("service", service, known, path=at))
            continue
        found = named_values(options, options_at, problems)
        entries.extend(
            Entry(service, each.name, each.value, each.path, each.name_path)
            for each in islice(found, _MOST_ENTRIES - len(entries))
        )
        if len(entries) >= _MOST_ENTRIES:
            problems.append(Problem(path, f"has {_MOST_ENTRIES} options or more; send each option once."))
            break
    return entries, strangers


def _services(sent: Any, path: str, problems: list[Problem]) -> Iterator[tuple[str, Any, str, str]]:
    if is_object(sent):
        for service, options in until_max_problems(sent.items(), problems):
            at = member_path(path, service)
            yield service, options, at, at
        return
    if not is_array(sent):
        problems.append(Problem(path, expected("an array of {service, options}", sent)))
        return
    for index, each in until_max_problems(enumerate(sent), problems):
        at = f"{path}[{index}]"
        named = each.get("service") if is_object(each) else None
        if not isinstance(named, str):
            where = f"{at}.service" if named is not None else at
            problems.append(Problem(where, "expected an object {service, options} whose service is a string."))
        else:
            yield named, each.get("options", []), f"{at}.service", f"{at}.options"


def _switches(entries: Iterable[Entry], offer: Offer, mistakes: list[Mistake]) -> Iterator[tuple[str, str]]:
    for entry in until_max_problems(entries, mistakes):
        if entry.name != PROVIDER or PROVIDER not in offer.options[entry.service]:
            continue
        labels = offer.registry.services[entry.service].providers
        granted = offer.options[entry.service][PROVIDER]
        if not isinstance(entry.value, str) or entry.value not in labels:
            mistakes.append(
                (UnknownProvider, unknown(f"{entry.service} provider", entry.value, labels, path=entry.path))
            )
        elif entry.value != offer.providers[entry.service] and (found := _ungranted(entry, granted, entry.value)):
            mistakes.extend((NotGranted, problem) for problem in found)
        else:
            yield entry.service, entry.value


def _checked(
    entries: Sequence[Entry], offer: Offer, values: Values, mistakes: list[Mistake]
) -> Iterator[tuple[str, str, Any]]:
    """The options that were sent, by their present names and in their JSON form."""
    seen: set[tuple[str, str]] = set()
    for entry in until_max_problems(entries, mistakes):
        name = offer.provider(entry.service).former_names.get(entry.name, entry.name)
        if (entry.service, name) in seen:
            told = f"{entry.service}.{name}: was sent already; send each option once."
            mistakes.append((InvalidConfig, Problem(entry.name_path, told)))
        elif name not in offer.options[entry.service]:
            mistakes.append(_not_offered(entry, name, offer))
        elif name != PROVIDER and _check_entry(entry, name, offer.options[entry.service][name], values, mistakes):
            yield entry.service, name, entry.value
        seen.add((entry.service, name))


def _not_offered(entry: Entry, name: str, offer: Offer) -> Mistake:
    if name in offer.provider(entry.service).options or name == PROVIDER:
        return NotGranted, Problem(entry.name_path, f"the bot does not grant '{entry.service}.{name}' to this client.")
    names = offer.options[entry.service]
    return UnknownOption, unknown(f"{entry.service} option", entry.name, names, path=entry.name_path)


def _check_entry(entry: Entry, name: str, option: OfferedOption, values: Values, mistakes: list[Mistake]) -> bool:
    loaded, problems = check(option.parameter.shape, entry.value, entry.path)
    if problems:
        label = f"{entry.service}.{name}"
        told = [Problem(each.path, f"{label}: {each.message}", each.suggestion) for each in problems]
        mistakes.extend((InvalidConfig, problem) for problem in told)
        return False
    # What is in force may always be sent back, as clients do that send the whole config.
    if not _same(entry.value, values[entry.service][name]) and (found := _ungranted(entry, option, loaded)):
        mistakes.extend((NotGranted, problem) for problem in found)
        return False
    return True


def _ungranted(entry: Entry, option: OfferedOption, loaded: Any) -> list[Problem]:
    label = f"{entry.service}.{option.parameter.name}"
    if not option.writable:
        return [Problem(entry.path, f"{label}: may be read by this client, not set.")]
    if option.validator is None:
        return []
    found = violations(option.parameter.shape, option.validator, loaded, entry.path)
    return [Problem(each.path, f"{label}: the bot does not grant this value: {each.message}") for each in found]


def _refusal(mistakes: Sequence[Mistake]) -> RequestError:
    """One error for all problems: the one they share, or else the general one."""
    families = {family for family, _ in mistakes}
    family = families.pop() if len(families) == 1 else InvalidConfig
    problems = [problem for _, problem in mistakes]
    return family(problems)  # type: ignore[arg-type]  # every family here is made from its problems


# ---- what follows from it ------------------------------------------------------------------------------------------


def _with(values: Values, mentioned: Iterable[tuple[str, str, Any]]) -> Values:
    """The values with those that were sent in their places; what was there before stays as it is."""
    touched: dict[str, dict[str, Any]] = {}
    for service, name, value in mentioned:
        if service not in touched:
            touched[service] = dict(values[service])
        touched[service][name] = value
    return {**values, **touched}


def _changed(before: Values, after: Values) -> tuple[tuple[str, str], ...]:
    return tuple(
        (service, name)
        for service, values in after.items()
        if values is not (old := before.get(service, {}))
        for name, value in values.items()
        if not _same(old.get(name, INVALID), value)
    )


def _loaded(shape: Shape, value: Any) -> Any:
    """A value that was checked before, as its function takes it."""
    return value if value.__class__ is shape.exact else check(shape, value)[0]


def _same(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same, inside too, where Python says that 1 == True."""
    if one is other or one.__class__ is not other.__class__ or one != other:
        return one is other
    return not isinstance(one, list | tuple | dict) or encode_json(one) == encode_json(other)


def every_group(offer: Offer) -> list[GroupCall]:
    """All groups of all services, in the order they were declared; those that come last, last."""
    return [GroupCall(service, group) for service, group in offer.groups]


def _calls(
    before: Offer,
    after: Offer,
    changed: Sequence[tuple[str, str]],
    mentioned: Sequence[tuple[str, str]],
    switched: Sequence[str],
) -> tuple[GroupCall, ...]:
    """The groups to set, in the order they were sent: those with a changed option, and all that are new to a service.

    New are the groups that set something of a new service, and those of the kind of which it overrides other options.
    """
    order = {key: index for index, key in enumerate(mentioned)}
    known = frozenset(changed)
    found: list[tuple[bool, int, GroupCall]] = []
    for service, group in after.groups:
        names = after.provider(service).effective(group)
        fresh = service in switched and (
            after.provider(service).sets(group) or before.provider(service).effective(group) != names
        )
        if fresh or any((service, name) in known for name in names):
            position = min((order[service, name] for name in names if (service, name) in order), default=-1)
            found.append((group.last, position, GroupCall(service, group)))
    return tuple(call for *_, call in sorted(found, key=lambda each: each[:2]))
