"""The config of one session: the values of all options, their defaults, and a checked change of them.

A change is either valid as a whole, or rejected with all of its problems. Nothing here calls a plugin: a `ConfigChange`
says which groups of options have to be set to which values, and the runtime sets them.

The module has more than 300 lines: all that is checked of one change adds to the same list of problems.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeAlias

from attrs import define, evolve, field, frozen

from ..declare.types import INVALID
from ..declare.validators import violations
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
from ..registry.registry import PROVIDER, Registry
from ..utils.error_texts import shorten
from ..utils.json_values import is_object, member_path, until_max_problems
from .arguments import named_values
from .codec import encode_json
from .offer import Offer, OfferedOption, OptionGroup
from .old_names import old_names

__all__ = (
    "ConfigChange",
    "ConfigChanges",
    "Mistake",
    "OptionDefaults",
    "ProviderOptions",
    "SentOption",
    "SessionConfig",
    "Values",
    "as_one_error",
    "is_same",
    "read_sent_options",
    "split",
)

# ---- values --------------------------------------------------------------------------------------------------------

#: The values of options in their JSON form, by service and option name.
Values: TypeAlias = "dict[str, dict[str, Any]]"


@define
class SessionConfig:
    """The config that clients see. `values` is replaced and never changed in place."""

    values: Values
    revision: int = 1

    def commit(self, values: Values) -> None:
        """Replace the values."""
        self.values = values
        self.revision += 1

    def undo(self, before: Values) -> None:
        """Restore the values before the last commit, and the revision."""
        self.values = before
        self.revision -= 1

    def revise(self, options: Mapping[tuple[str, str], Any]) -> None:
        """Set options, by service and name, to values that were checked before."""
        values = dict(self.values)
        for (service, name), value in options.items():
            values[service] = {**values[service], name: value}
        self.commit(values)

    def readable(self, offer: Offer) -> list[dict[str, Any]]:
        """Return the config in its JSON form: every service, with the options that this client may read."""
        values = self.values
        return [
            {
                "service": service,
                "options": [
                    {"name": name, "value": offer.providers[service] if name == PROVIDER else values[service][name]}
                    for name in options
                ],
            }
            for service, options in offer.options.items()
        ]


class OptionDefaults:
    """The values that a service starts from in one session. The operator's override the bot's."""

    def __init__(self, registry: Registry, operator: Mapping[str, Mapping[str, Any]]) -> None:
        self._registry = registry
        self._operator = operator

    def of(self, service: str, label: str) -> dict[str, Any]:
        """Return the defaults of a service with this provider."""
        return self._registry.defaults(service, label, self._operator)

    def of_all(self, providers: Mapping[str, str]) -> Values:
        """Return the defaults of all services with these providers."""
        return {service: self.of(service, label) for service, label in providers.items()}


# ---- options of one provider ---------------------------------------------------------------------------------------


@define
class ProviderOptions:
    """The options of one provider. `service` and `label` name it."""

    service: str
    label: str
    values: Any
    path: str
    mistakes: list[tuple[type[RequestError], Problem]] = field(factory=list[tuple[type[RequestError], Problem]])

    def chosen(self, offer: Offer) -> Iterator[tuple[str, Any, str]]:
        """Yield the present name, the value and the path of each option, if the provider is in use.

        The options of another provider are only checked. What is wrong is added to `mistakes`.
        """
        service = offer.registry.services[self.service]
        if self.label in offer.registry.left_out(self.service):
            return
        provider = service.providers.get(self.label)
        if provider is None:
            problem = unknown(f"{self.service} provider", self.label, service.providers, path=self.path)
            self.mistakes.append((UnknownProvider, problem))
            return
        problems: list[Problem] = []
        for each in named_values(self.values, self.path, problems):
            own = provider.present_name(each.name)
            if own is None:
                what = f"{self.service}.{self.label} option"
                self.mistakes.append((UnknownOption, unknown(what, each.name, provider.options, path=each.path)))
            elif offer.providers[self.service] == self.label:
                yield own, each.value, each.path
            else:
                label = f"{self.service}.{self.label}.{own}"
                found = provider.check_option(own, each.value, each.path)[1]
                problems.extend(Problem(one.path, f"{label}: {one.message}", one.suggestion) for one in found)
        self.mistakes += [(InvalidConfig, each) for each in problems]


def split(sent: Any, path: str, services: Collection[str]) -> tuple[Any, Sequence[ProviderOptions]]:
    """Return the options by service, and apart from them those of single providers."""
    if not is_object(sent):
        return sent, ()
    of_providers: list[ProviderOptions] = []
    others: dict[str, Any] = {}
    for key, values in sent.items():
        service, dot, label = key.partition(".")
        if dot and service in services:
            of_providers.append(ProviderOptions(service, label, values, member_path(path, key)))
        else:
            others[key] = values
    return others, of_providers


# ---- changes -------------------------------------------------------------------------------------------------------

#: No bot has so many options; a longer config is not read to its end.
_MOST_OPTIONS = 1_000


@define
class SentOption:
    """One option that was sent, with the JSON paths of its value and of its name."""

    service: str
    name: str
    value: Any
    path: str
    name_path: str


def read_sent_options(
    sent: Any, path: str, problems: list[Problem], known: Collection[str]
) -> tuple[list[SentOption], list[Problem]]:
    """Return the options in their order, and a problem for each unknown service.

    A config is a list of `{service, options}`, or an object of values by service. Anything else adds to `problems`.
    """
    options: list[SentOption] = []
    unknown_services: list[Problem] = []
    services = named_values(sent, path, problems, "service", "options", default=())
    for service in until_max_problems(services, unknown_services):
        if service.name not in known:
            unknown_services.append(_unknown_service(service.name, known, service.name_path))
            continue
        found = named_values(service.value, service.path, problems)
        options.extend(
            SentOption(service.name, each.name, each.value, each.path, each.name_path)
            for each in islice(found, _MOST_OPTIONS - len(options))
        )
        if len(options) >= _MOST_OPTIONS:
            problems.append(Problem(path, f"has {_MOST_OPTIONS} options or more; send each option once."))
            break
    return options, unknown_services


def _unknown_service(name: str, known: Collection[str], path: str) -> Problem:
    """Return the problem of an unknown service; `service.provider`, as in `@bot(config=…)`, is not one here."""
    service, dot, _ = name.partition(".")
    if dot and service in known:
        text = f"sets options of one provider, {shorten(repr(name))}; write {service!r}, which is the provider in use."
        return Problem(path, text, service)
    return unknown("service", name, known, path=path)


#: A problem, and the class of the error to raise if all problems are of this class.
Mistake: TypeAlias = "tuple[type[RequestError], Problem]"


@frozen(eq=False)
class ConfigChange:
    """A valid change: the values and the offer after it, and the groups to set, in order."""

    #: The values that the change was prepared from. It is valid while the config holds exactly these.
    base: Values
    values: Values
    offer: Offer
    #: The services whose provider changes.
    switched: tuple[str, ...]
    groups: tuple[OptionGroup, ...]
    #: The options whose values change, each by service and name.
    changed: tuple[tuple[str, str], ...]
    #: The former and deprecated names that were sent, as the log describes them.
    old_names: tuple[str, ...] = ()


@frozen(eq=False)
class ConfigChanges:
    """Prepares the changes of one session's config."""

    #: Finds the offer for providers, by service.
    offer_of: Callable[[Mapping[str, str]], Offer]
    defaults: OptionDefaults

    def prepare(
        self, sent: Any, values: Values, offer: Offer, path: str = "$.data.config", *, by_bot: bool = False
    ) -> ConfigChange:
        """Return the change that a client sent, or the bot.

        The bot needs no grant, and may set options of one provider, as in `{"tts.espeak": {"voice": "de"}}`. Raises one
        `RequestError` with all problems.
        """
        problems: list[Problem] = []
        sent, of_providers = split(sent, path, offer.options) if by_bot else (sent, ())
        options, unknown_services = read_sent_options(sent, path, problems, offer.options)
        mistakes: list[Mistake] = [(InvalidConfig, problem) for problem in problems]
        mistakes += [(UnknownService, problem) for problem in unknown_services]
        after = self._with_providers(dict(_switches(options, offer.ungranted if by_bot else offer, mistakes)), offer)
        for each in of_providers:
            options = _with_own_options(options, each, after)
            mistakes += each.mistakes
        switched, started = self._switched(values, offer, after)
        checked = list(_checked(options, after.ungranted if by_bot else after, started, mistakes))
        if mistakes:
            raise as_one_error(mistakes)
        order = [(service, name) for service, name, _ in checked]
        change = _change(values, _with(started, checked), offer, after, switched, order)
        old = tuple(_old_names(options, after, change.changed))
        return evolve(change, old_names=old) if old else change

    def _with_providers(self, chosen: Mapping[str, str], offer: Offer) -> Offer:
        providers = {**offer.providers, **chosen}
        return self.offer_of(providers) if providers != offer.providers else offer

    def _switched(self, values: Values, before: Offer, after: Offer) -> tuple[tuple[str, ...], Values]:
        if before is after:
            return (), values
        switched = tuple(name for name, label in after.providers.items() if label != before.providers[name])
        return switched, {**values, **{name: self.started(values, before, after, name) for name in switched}}

    def started(self, values: Values, before: Offer, after: Offer, service: str) -> dict[str, Any]:
        """Return the values of a service after a switch: its kind's options stay, the others get their defaults."""
        kept = before.provider(service).kind_options & after.provider(service).kind_options
        defaults = self.defaults.of(service, after.providers[service])
        return {name: values[service][name] if name in kept else value for name, value in defaults.items()}


def _with_own_options(options: list[SentOption], own: ProviderOptions, offer: Offer) -> list[SentOption]:
    """Return the options with those of a provider in use, which override the options of its service."""
    chosen = [SentOption(own.service, name, value, path, path) for name, value, path in own.chosen(offer)]
    present = offer.provider(own.service).present_name
    names = {each.name for each in chosen}
    return [
        *(each for each in options if each.service != own.service or present(each.name) not in names),
        *chosen,
    ]


# ---- checking ------------------------------------------------------------------------------------------------------


def _switches(options: Iterable[SentOption], offer: Offer, mistakes: list[Mistake]) -> Iterator[tuple[str, str]]:
    for sent in until_max_problems(options, mistakes):
        if sent.name != PROVIDER or PROVIDER not in offer.options[sent.service]:
            continue
        labels = offer.registry.services[sent.service].chosen_from
        option = offer.options[sent.service][PROVIDER]
        if not isinstance(sent.value, str) or sent.value not in labels:
            mistakes.append((UnknownProvider, unknown(f"{sent.service} provider", sent.value, labels, path=sent.path)))
        elif sent.value != offer.providers[sent.service] and (found := _ungranted(sent, option, sent.value)):
            mistakes.extend((NotGranted, problem) for problem in found)
        else:
            yield sent.service, sent.value


def _checked(
    options: Sequence[SentOption], offer: Offer, values: Values, mistakes: list[Mistake]
) -> Iterator[tuple[str, str, Any]]:
    """Yield the service, the present name and the value of each valid option."""
    seen: set[tuple[str, str]] = set()
    for sent in until_max_problems(options, mistakes):
        name = offer.provider(sent.service).former_names.get(sent.name, sent.name)
        if (sent.service, name) in seen:
            text = f"{sent.service}.{name}: was sent already; send each option once."
            mistakes.append((InvalidConfig, Problem(sent.name_path, text)))
        elif name not in offer.options[sent.service]:
            mistakes.append(_not_offered(sent, name, offer))
        elif name != PROVIDER and _is_valid(sent, name, offer, values, mistakes):
            yield sent.service, name, sent.value
        seen.add((sent.service, name))


def _not_offered(sent: SentOption, name: str, offer: Offer) -> Mistake:
    if name in offer.provider(sent.service).options or name == PROVIDER:
        return NotGranted, Problem(sent.name_path, f"the bot does not grant '{sent.service}.{name}' to this client.")
    if name in offer.provider(sent.service).spec.parameters:
        text = f"'{sent.service}.{name}' is a service option: only the operator sets it, before the service opens."
        return UnknownOption, Problem(sent.name_path, text)
    names = offer.options[sent.service]
    return UnknownOption, unknown(f"{sent.service} option", sent.name, names, path=sent.name_path)


def _is_valid(sent: SentOption, name: str, offer: Offer, values: Values, mistakes: list[Mistake]) -> bool:
    loaded, problems = offer.provider(sent.service).check_option(name, sent.value, sent.path)
    if problems:
        label = f"{sent.service}.{name}"
        named = [Problem(each.path, f"{label}: {each.message}", each.suggestion) for each in problems]
        mistakes.extend((InvalidConfig, problem) for problem in named)
        return False
    # The current value is always accepted: some clients send the whole config back.
    option = offer.options[sent.service][name]
    if not is_same(sent.value, values[sent.service][name]) and (found := _ungranted(sent, option, loaded)):
        mistakes.extend((NotGranted, problem) for problem in found)
        return False
    return True


def _ungranted(sent: SentOption, option: OfferedOption, loaded: Any) -> list[Problem]:
    label = f"{sent.service}.{option.parameter.name}"
    if not option.writable:
        return [Problem(sent.path, f"{label}: this client may read this option but not set it.")]
    if option.validator is None:
        return []
    found = violations(option.parameter.shape, option.validator, loaded, sent.path)
    return [Problem(each.path, f"{label}: the bot does not grant this value: {each.message}") for each in found]


def as_one_error(mistakes: Sequence[Mistake]) -> RequestError:
    """Return one error for all problems: of their common class, or `InvalidConfig` if they have none."""
    families = {family for family, _ in mistakes}
    family = families.pop() if len(families) == 1 else InvalidConfig
    problems = [problem for _, problem in mistakes]
    return family(problems)  # type: ignore[arg-type]  # every class here is made from its problems


# ---- consequences --------------------------------------------------------------------------------------------------


def _with(values: Values, options: Iterable[tuple[str, str, Any]]) -> Values:
    """Return a copy of the values with these options set."""
    touched: dict[str, dict[str, Any]] = {}
    for service, name, value in options:
        if service not in touched:
            touched[service] = dict(values[service])
        touched[service][name] = value
    return {**values, **touched}


def _change(
    base: Values,
    values: Values,
    before: Offer,
    after: Offer,
    switched: tuple[str, ...],
    sent: Sequence[tuple[str, str]],
) -> ConfigChange:
    changed = tuple(
        (service, name)
        for service, options in values.items()
        if options is not (old := base.get(service, {}))
        for name, value in options.items()
        if not is_same(old.get(name, INVALID), value)
    )
    return ConfigChange(base, values, after, switched, _affected(before, after, changed, sent, switched), changed)


def _old_names(options: Iterable[SentOption], offer: Offer, changed: Collection[tuple[str, str]]) -> Iterator[str]:
    """Describe the former names that were sent, and the deprecated options that were changed.

    Some clients send the whole config back, so a deprecated option that keeps its value is not used.
    """
    for sent in options:
        provider = offer.provider(sent.service)
        name = provider.former_names.get(sent.name, sent.name)
        if name not in provider.options:
            continue
        parameter, _ = provider.options[name]
        if name != sent.name or (parameter.deprecated is not None and (sent.service, name) in changed):
            yield dict(old_names(f"the option '{sent.service}.{name}'", parameter))[sent.name]


def _affected(
    before: Offer,
    after: Offer,
    changed: Sequence[tuple[str, str]],
    sent: Sequence[tuple[str, str]],
    switched: Sequence[str],
) -> tuple[OptionGroup, ...]:
    """Return the groups to set, in the order in which their options were sent, `last` groups at the end.

    These are the groups with a changed option. A switch of the provider adds the groups that set something of the new
    service, and the groups that have other options than before because the providers override different ones.
    """
    order = {key: index for index, key in enumerate(sent)}
    known = frozenset(changed)
    found: list[tuple[bool, int, OptionGroup]] = []
    for group in after.groups.values():
        service, names = group.service, group.options
        fresh = service in switched and (group.sets_service or before.options_of(service, group.spec) != names)
        if fresh or any((service, name) in known for name in names):
            position = min((order[service, name] for name in names if (service, name) in order), default=-1)
            found.append((group.spec.last, position, group))
    return tuple(group for *_, group in sorted(found, key=lambda each: each[:2]))


def is_same(one: Any, other: Any) -> bool:
    """Compare two JSON values. Unlike Python, JSON does not count 1 and true as equal, also in an array."""
    if one is other or one.__class__ is not other.__class__ or one != other:
        return one is other
    return not isinstance(one, list | tuple | dict) or encode_json(one) == encode_json(other)
