"""The config of one session: the values of all options, their defaults, and a checked change of them.

A change is either valid as a whole, or rejected with all of its problems. Nothing here calls a plugin: a `ConfigChange`
says which groups of options have to be set to which values, and the runtime sets them.

The module has more than 300 lines: all that is checked of one change adds to the same list of problems.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeAlias

from attrs import define, evolve, frozen

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
from ..registry.registry import PROVIDER, Provider, Registry
from ..utils.error_texts import shorten
from ..utils.json_values import is_array, is_object, member_path, until_max_problems
from .arguments import named_values
from .offer import Offer, OfferedOption, OptionGroup
from .old_names import old_names

__all__ = (
    "ConfigChange",
    "ConfigChanges",
    "Mistake",
    "OptionDefaults",
    "SentOption",
    "SessionConfig",
    "Values",
    "as_one_error",
    "is_same",
    "read_sent_options",
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


@frozen(eq=False, repr=False)
class OptionDefaults:
    """The values that a service starts from in one session. The operator's override the bot's."""

    registry: Registry
    operator: Mapping[str, Mapping[str, Any]]

    def of(self, service: str, label: str) -> dict[str, Any]:
        """Return the defaults of a service with this provider."""
        return self.registry.defaults(service, label, self.operator)

    def of_all(self, providers: Mapping[str, str]) -> Values:
        """Return the defaults of all services with these providers."""
        return {service: self.of(service, label) for service, label in providers.items()}


# ---- changes -------------------------------------------------------------------------------------------------------

#: More options than any bot has. A longer config is not read to its end.
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
    sent: Any, path: str, problems: list[Problem], known: Collection[str], keys_of_providers: Collection[str] = ()
) -> tuple[list[SentOption], list[Problem]]:
    """Return the options in their order, and a problem for each unknown service.

    A config is a list of `{service, options}`, or an object of values by service. Anything else adds to `problems`.
    `keys_of_providers` are read as services too; no problem suggests one of them.
    """
    options: list[SentOption] = []
    unknown_services: list[Problem] = []
    services = named_values(sent, path, problems, "service", "options", default=())
    for service in until_max_problems(services, unknown_services):
        if service.name not in known and service.name not in keys_of_providers:
            unknown_services.append(_unknown_service(service.name, known, service.name_path))
            continue
        sent_options = named_values(service.value, service.path, problems)
        options.extend(
            SentOption(service.name, each.name, each.value, each.path, each.name_path)
            for each in islice(sent_options, _MOST_OPTIONS - len(options))
        )
        if len(options) >= _MOST_OPTIONS:
            problems.append(Problem(path, f"has {_MOST_OPTIONS} options or more; send each option once."))
            break
    return options, unknown_services


def _unknown_service(service: str, known: Collection[str], path: str) -> Problem:
    """Return the problem of an unknown service; a client sends no `service.provider`, as in `@bot(config=…)`."""
    own, dot, _ = service.partition(".")
    if dot and own in known:
        text = f"sets options of one provider, {shorten(repr(service))}; write {own!r}, which is the provider in use."
        return Problem(path, text, own)
    return unknown("service", service, known, path=path)


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
        """Return the change that the client or the bot has sent. Raise one `RequestError` with all problems.

        The bot needs no grant, and may set options of one provider, as in `{"tts.espeak": {"voice": "de"}}`.
        """
        problems: list[Problem] = []
        keys = tuple(_keys_of_providers(sent, offer)) if by_bot else ()
        options, unknown_services = read_sent_options(sent, path, problems, offer.options, keys)
        mistakes: list[Mistake] = [(InvalidConfig, problem) for problem in problems]
        mistakes += [(UnknownService, problem) for problem in unknown_services]
        mistakes += [(UnknownProvider, problem) for problem in _unknown_providers(keys, offer, path)]
        chosen = dict(_switched_providers(options, offer.ungranted if by_bot else offer, mistakes))
        switched = tuple(service for service, label in offer.providers.items() if chosen.get(service, label) != label)
        after = self.offer_of({**offer.providers, **chosen}) if switched else offer
        if by_bot:
            options = _with_own_options(options, after, mistakes)
        started = {**values, **{service: self.started(values, offer, after, service) for service in switched}}
        checked = list(_checked_options(options, after.ungranted if by_bot else after, started, mistakes))
        if mistakes:
            raise as_one_error(mistakes)
        changed_values = _with_values(started, checked)
        changed = _changed_options(values, changed_values)
        order = [(service, name) for service, name, _ in checked]
        groups = _affected_groups(offer, after, frozenset(changed), order, switched)
        old_names = tuple(_old_names(options, after, changed))
        return ConfigChange(values, changed_values, after, switched, groups, changed, old_names)

    def started(self, values: Values, before: Offer, after: Offer, service: str) -> dict[str, Any]:
        """Return the values of a service after a switch: its kind's options stay, the others get their defaults."""
        kept = before.chosen[service].kind_options & after.chosen[service].kind_options
        defaults = self.defaults.of(service, after.providers[service])
        return {name: values[service][name] if name in kept else value for name, value in defaults.items()}


# ---- options of single providers -----------------------------------------------------------------------------------


def _keys_of_providers(sent: Any, offer: Offer) -> Iterator[str]:
    """Yield the keys `service.provider` of a config, as far as the service has one."""
    for key in sent if is_object(sent) else ():
        service, dot, _ = key.partition(".")
        if dot and service in offer.options:
            yield key


def _unknown_providers(keys: Iterable[str], offer: Offer, path: str) -> Iterator[Problem]:
    for key in keys:
        service, _, label = key.partition(".")
        known = offer.registry.services[service].providers
        if label not in known and label not in offer.registry.left_out(service):
            yield unknown(f"{service} provider", label, known, path=member_path(path, key))


def _with_own_options(options: Iterable[SentOption], offer: Offer, mistakes: list[Mistake]) -> list[SentOption]:
    """Return the options of services, where those under `service.provider` override them if that provider is in use.

    The options of other providers are only checked.
    """
    of_services: list[SentOption] = []
    in_use: list[SentOption] = []
    for sent in options:
        service, dot, label = sent.service.partition(".")
        if not dot:
            of_services.append(sent)
            continue
        provider = offer.registry.services[service].providers.get(label)
        if provider is None:  # unknown, or left out of the bot
            continue
        if (option := provider.present_name(sent.name)) is None:
            what = f"{sent.service} option"
            mistakes.append((UnknownOption, unknown(what, sent.name, provider.options, path=sent.path)))
        elif label == offer.providers[service]:
            in_use.append(evolve(sent, service=service, name=option))
        else:
            _loaded_value(sent, option, provider, mistakes)
    overridden = {(sent.service, sent.name) for sent in in_use}
    former_names = {service: provider.former_names for service, provider in offer.chosen.items()}
    others = ((former_names[sent.service].get(sent.name, sent.name), sent) for sent in of_services)
    return [*(sent for name, sent in others if (sent.service, name) not in overridden), *in_use]


# ---- checking ------------------------------------------------------------------------------------------------------


def _switched_providers(
    options: Iterable[SentOption], offer: Offer, mistakes: list[Mistake]
) -> Iterator[tuple[str, str]]:
    for sent in until_max_problems(options, mistakes):
        if sent.name != PROVIDER or PROVIDER not in offer.options.get(sent.service, ()):
            continue
        labels = offer.registry.services[sent.service].chosen_from
        option = offer.options[sent.service][PROVIDER]
        if not isinstance(sent.value, str) or sent.value not in labels:
            mistakes.append((UnknownProvider, unknown(f"{sent.service} provider", sent.value, labels, path=sent.path)))
        elif sent.value != offer.providers[sent.service] and (ungranted := _grant_problems(sent, option, sent.value)):
            mistakes.extend((NotGranted, problem) for problem in ungranted)
        else:
            yield sent.service, sent.value


def _checked_options(
    options: Iterable[SentOption], offer: Offer, values: Values, mistakes: list[Mistake]
) -> Iterator[tuple[str, str, Any]]:
    """Yield the service, the present name and the value of each valid option."""
    seen: set[tuple[str, str]] = set()
    for sent in until_max_problems(options, mistakes):
        provider, offered = offer.chosen[sent.service], offer.options[sent.service]
        name = provider.former_names.get(sent.name, sent.name)
        if (sent.service, name) in seen:
            text = f"{sent.service}.{name}: was sent already; send each option once."
            mistakes.append((InvalidConfig, Problem(sent.name_path, text)))
        elif name not in offered:
            mistakes.append(_not_offered(sent, name, provider, offered))
        elif name != PROVIDER and (loaded := _loaded_value(sent, name, provider, mistakes)) is not INVALID:
            # The current value is always accepted: some clients send the whole config back.
            is_current = is_same(sent.value, values[sent.service][name])
            if not is_current and (ungranted := _grant_problems(sent, offered[name], loaded)):
                mistakes.extend((NotGranted, problem) for problem in ungranted)
            else:
                yield sent.service, name, sent.value
        seen.add((sent.service, name))


def _not_offered(sent: SentOption, name: str, provider: Provider, offered: Iterable[str]) -> Mistake:
    if name in provider.options or name == PROVIDER:
        return NotGranted, Problem(sent.name_path, f"the bot does not grant '{sent.service}.{name}' to this client.")
    if name in provider.spec.parameters:
        text = f"'{sent.service}.{name}' is a service option: only the operator sets it, before the service opens."
        return UnknownOption, Problem(sent.name_path, text)
    return UnknownOption, unknown(f"{sent.service} option", sent.name, offered, path=sent.name_path)


def _loaded_value(sent: SentOption, name: str, provider: Provider, mistakes: list[Mistake]) -> Any:
    """Return the value for the options function, or `INVALID`."""
    loaded, problems = provider.check_option(name, sent.value, sent.path)
    for problem in problems:
        message = f"{sent.service}.{name}: {problem.message}"
        mistakes.append((InvalidConfig, Problem(problem.path, message, problem.suggestion)))
    return INVALID if problems else loaded


def _grant_problems(sent: SentOption, option: OfferedOption, loaded: Any) -> list[Problem]:
    label = f"{sent.service}.{option.parameter.name}"
    if not option.writable:
        return [Problem(sent.path, f"{label}: this client may read this option but not set it.")]
    if option.validator is None:
        return []
    broken_limits = violations(option.parameter.shape, option.validator, loaded, sent.path)
    return [
        Problem(problem.path, f"{label}: the bot does not grant this value: {problem.message}")
        for problem in broken_limits
    ]


def as_one_error(mistakes: Sequence[Mistake]) -> RequestError:
    """Return one error for all problems: of their common class, or `InvalidConfig` if they have none."""
    families = {family for family, _ in mistakes}
    family = families.pop() if len(families) == 1 else InvalidConfig
    problems = [problem for _, problem in mistakes]
    return family(problems)  # type: ignore[arg-type]  # every class here is made from its problems


# ---- consequences --------------------------------------------------------------------------------------------------


def _with_values(values: Values, options: Iterable[tuple[str, str, Any]]) -> Values:
    """Return a copy of the values with these options set."""
    touched: dict[str, dict[str, Any]] = {}
    for service, name, value in options:
        if service not in touched:
            touched[service] = dict(values[service])
        touched[service][name] = value
    return {**values, **touched}


def _changed_options(base: Values, values: Values) -> tuple[tuple[str, str], ...]:
    """Return the options whose values differ, each by service and name."""
    return tuple(
        (service, name)
        for service, options in values.items()
        if options is not (old := base[service])
        for name, value in options.items()
        if not is_same(old.get(name, INVALID), value)
    )


def _old_names(options: Iterable[SentOption], offer: Offer, changed: Collection[tuple[str, str]]) -> Iterator[str]:
    """Describe the former names that were sent, and the deprecated options that were changed.

    Some clients send the whole config back, so a deprecated option that keeps its value is not used.
    """
    for sent in options:
        provider = offer.chosen[sent.service]
        name = provider.former_names.get(sent.name, sent.name)
        if name not in provider.options:
            continue
        parameter, _ = provider.options[name]
        if name != sent.name or (parameter.deprecated is not None and (sent.service, name) in changed):
            yield dict(old_names(f"the option '{sent.service}.{name}'", parameter))[sent.name]


def _affected_groups(
    before: Offer,
    after: Offer,
    changed: Collection[tuple[str, str]],
    sent: Sequence[tuple[str, str]],
    switched: Sequence[str],
) -> tuple[OptionGroup, ...]:
    """Return the groups to set, in the order in which their options were sent, `last` groups at the end.

    These are the groups with a changed option. A switch of the provider adds the groups that set something of the new
    service, and the groups that have other options than before because the providers override different ones.
    """
    order = {option: index for index, option in enumerate(sent)}
    affected: list[tuple[bool, int, OptionGroup]] = []
    for group in after.groups.values():
        service, names = group.service, group.options
        is_new = service in switched and (group.sets_service or before.options_of(service, group.spec) != names)
        if is_new or any((service, name) in changed for name in names):
            position = min((order[service, name] for name in names if (service, name) in order), default=-1)
            affected.append((group.spec.last, position, group))
    return tuple(group for *_, group in sorted(affected, key=lambda each: each[:2]))


def is_same(one: Any, other: Any) -> bool:
    """Compare two values as JSON does: `1` is `1.0` but not `true`, and the order of an object's names does not matter.

    JavaScript writes `1.0` as `1`, and moves names that are numbers to the front.
    """
    if one is other:
        return True
    if is_object(one) and is_object(other):
        return one.keys() == other.keys() and all(is_same(value, other[name]) for name, value in one.items())
    if is_array(one) and is_array(other):
        return len(one) == len(other) and all(map(is_same, one, other))
    return isinstance(one, bool) is isinstance(other, bool) and bool(one == other)
