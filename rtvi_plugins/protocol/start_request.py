"""Read a start request: what the client asks for, within what the bot and the operator grant."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

from attrs import evolve, field, frozen

from ..declare.annotations import read
from ..declare.grant import Grant
from ..declare.validators import violations
from ..errors import InvalidConfig, InvalidStart, Problem, RequestError, UnknownProvider, UnknownService, unknown
from ..registry.grants import Grants, grant_problem, read_grants, renamed
from ..registry.registry import PROVIDER, Registry
from ..utils.json_values import (
    MAX_PROBLEMS,
    expected,
    is_array,
    is_object,
    json_problem,
    member_path,
    until_max_problems,
)
from .config import ConfigChanges, Mistake, OptionDefaults, Values, as_one_error
from .misspelt_fields import misspelt_fields
from .offer import Offers
from .operator_fields import (
    OPERATOR_FIELDS,
    Keys,
    hiding,
    is_name,
    read_defaults,
    read_keys,
    read_service_options,
    refuse_operator_fields,
    safe_path,
)

__all__ = ("StartRequest", "choose_providers", "read_start", "with_config")


@frozen(eq=False)
class StartRequest:
    """A valid start request. `start_data` holds the application's own fields."""

    providers: Mapping[str, str]
    #: The providers that this client may choose, by service. The first is the default.
    choice: Mapping[str, Sequence[str]]
    # Not in a repr, which a log or a crash report may show: these hold what the operator and the client sent.
    values: Values = field(repr=False)
    defaults: OptionDefaults = field(repr=False)
    #: The grants of this session alone, or None if the operator did not narrow those of the bot.
    grants: Grants | None = field(repr=False)
    keys: Keys = field(repr=False)
    service_options: Mapping[str, Mapping[str, Any]] = field(repr=False)
    start_data: Mapping[str, Any] = field(repr=False)
    #: Removes the operator's own strings from a text, such as a provider's error, before a client reads it.
    hide: Callable[[str], str] = field(default=str, repr=False)
    #: The former and deprecated names in the client's config, as the log describes them.
    old_names: tuple[str, ...] = ()


def read_start(
    body: object,
    offers: Offers,
    find_key: Keys,
    *,
    trusted: bool,
    service_options: Mapping[str, Mapping[str, Any]] = {},
) -> StartRequest:
    """Read the body of a start request. Raise a `RequestError` with every problem.

    `service_options` are those of all sessions, by `service.provider`. The ones in the body replace them.
    """
    sent: object = {} if body is None else body
    if not is_object(sent):
        raise InvalidStart([Problem("$", "expected an object with services and config.")])  # the value may be a key
    unsendable = [(f"$.{name}", sent.get(name)) for name in ("config", "defaults", "grants")]
    if bad := [found for path, value in unsendable if (found := json_problem(value, path)) is not None]:
        raise InvalidStart([Problem(path, "is a value that JSON cannot carry.") for path, _ in bad])
    registry = offers.registry
    if not trusted:
        refuse_operator_fields(sent, registry)
    # First all problems of the operator's fields: what the client may send depends on them.
    problems = list(islice(misspelt_fields(sent), MAX_PROBLEMS))
    keys = read_keys(sent.get("api_keys"), registry, find_key, problems)
    sent_options = read_service_options(sent.get("service_options"), registry, problems)
    of_all = {name: {**options, **sent_options.get(name, {})} for name, options in service_options.items()}
    operator_defaults = read_defaults(sent.get("defaults"), registry, problems)
    operator_grants = _read_grants(sent, registry, problems)
    if problems:
        raise InvalidStart(problems)
    narrower = offers.grants.narrowed(operator_grants) if "grants" in sent else None
    choice = _choosable_providers(registry, [*registry.bot.grants, *operator_grants])
    mistakes: list[Mistake] = []
    providers = _read_providers(sent.get("services"), choice, mistakes)
    misnamed = [service for service in choice if service not in providers]
    providers = {service: providers.get(service, labels[0]) for service, labels in choice.items()}
    defaults = OptionDefaults(registry, operator_defaults)
    values = defaults.of_all(providers)
    old_names: tuple[str, ...] = ()
    if sent.get("config") is not None:
        changes = ConfigChanges(partial(offers.get, grants=narrower), defaults)
        config = _without_services(sent["config"], misnamed)
        try:
            change = changes.prepare(config, values, offers.get(providers, narrower), "$.config")
            values, providers, old_names = change.values, dict(change.offer.providers), change.old_names
        except RequestError as error:
            mistakes.extend((type(error), problem) for problem in error.problems)
    if mistakes:
        raise as_one_error(mistakes)
    known = (*OPERATOR_FIELDS, "services", "config", "resume")
    data = {name: value for name, value in sent.items() if name not in known}
    hide = hiding(*(sent.get(name) for name in ("api_keys", "service_options", "defaults")), service_options)
    used = {**sent_options, **of_all}
    return StartRequest(providers, choice, values, defaults, narrower, keys, used, data, hide, old_names)


def with_config(
    request: StartRequest, registry: Registry, providers: Mapping[str, str], values: Mapping[str, Mapping[str, Any]]
) -> StartRequest:
    """Return a start request with the providers and values of a saved session.

    After a new release, what the bot does not accept any more has its default again.
    """
    kept = {service: each for service, each in providers.items() if each in request.choice.get(service, ())}
    chosen = {**request.providers, **kept}
    merged = request.defaults.of_all(chosen)
    for service, label in kept.items():
        provider = registry.services[service].providers[label]
        for written, value in values.get(service, {}).items():
            name = provider.present_name(written)
            if name is not None and not provider.check_option(name, value)[1]:
                merged[service][name] = value
    return evolve(request, providers=chosen, values=merged)


def _read_grants(sent: Mapping[str, Any], registry: Registry, problems: list[Problem]) -> list[Grant]:
    """Return the operator's narrower grants. A grant that would have no effect is a problem."""
    try:
        grants = read_grants(sent["grants"]) if "grants" in sent else []
    except InvalidStart as error:
        problems.extend(evolve(problem, path=safe_path(problem.path)) for problem in error.problems)
        return []
    found = (
        Problem(f"$.grants[{index}]", text if is_name(each.name) else "names no option or action of this bot.")
        for index, each in enumerate(grants)
        if (text := grant_problem(registry, each, is_operators=True)) is not None
    )
    problems.extend(islice(found, MAX_PROBLEMS))
    return [] if problems else [renamed(registry, grant) for grant in grants]


def _choosable_providers(registry: Registry, grants: Sequence[Grant]) -> dict[str, list[str]]:
    """Return the providers that may be chosen, by service: the bot's, narrowed by the grants of `service.provider`."""
    narrowing = [(grant.name, grant.validator) for grant in grants if grant.validator is not None]
    choice: dict[str, list[str]] = {}
    for service, labels in registry.labels().items():
        validators = [validator for name, validator in narrowing if name == f"{service}.{PROVIDER}"]
        choice[service] = [
            label for label in labels if not any(violations(read(str), one, label) for one in validators)
        ]
        if not choice[service]:
            raise InvalidStart([Problem("$.grants", f"leave no provider for the service {service!r}.")])
    return choice


def choose_providers(sent: Any, offered: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return the provider of each service, from a start request's `services`; by default the first that is offered.

    Raise one `RequestError` for all names that are not offered.
    """
    mistakes: list[Mistake] = []
    chosen = _read_providers(sent, offered, mistakes)
    if mistakes:
        raise as_one_error(mistakes)
    return chosen


def _read_providers(sent: Any, offered: Mapping[str, Sequence[str]], mistakes: list[Mistake]) -> dict[str, str]:
    """Return the provider of each service. A service whose provider is unknown is left out."""
    chosen = {service: labels[0] for service, labels in offered.items()}
    if sent is None:
        return chosen
    if not is_object(sent):
        mistakes.append((InvalidConfig, Problem("$.services", expected("an object of providers by service", sent))))
        return {}
    for service, label in until_max_problems(sent.items(), mistakes):
        at = member_path("$.services", service)
        if service not in offered:
            mistakes.append((UnknownService, unknown("service", service, offered, path=at)))
        elif label not in offered[service]:
            mistakes.append((UnknownProvider, unknown(f"{service} provider", label, offered[service], path=at)))
            del chosen[service]
        else:
            chosen[service] = label
    return chosen


def _without_services(config: Any, services: Sequence[str]) -> Any:
    """Return a config without the options of these services. The JSON paths of the others stay."""
    if not services:
        return config
    if is_object(config):
        return {name: options for name, options in config.items() if name not in services}
    if is_array(config):
        return [
            {"service": name} if is_object(each) and (name := each.get("service")) in services else each
            for each in config
        ]
    return config
