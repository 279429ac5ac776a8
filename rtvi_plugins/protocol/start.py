"""A start request, read and checked: who fills the services, with what values, under which grants and keys.

`services` and `config` are the client's words, whoever forwards them, and are checked against the grants. What only
the operator may say stands beside them, in a start that carries the operator's secret. A proxy passes a refusal on
to the client, so the problems of these parts name a path, a type and what is expected there, never a value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeAlias

from attrs import evolve, field, frozen

from ..declare.specs import Grant
from ..declare.types import Shape, check, read, violations
from ..errors import InvalidStart, OperatorOnly, Problem, unknown
from ..registry.grants import Grants, read_grants
from ..registry.registry import PROVIDER, Provider, Registry, grant_problem, renamed, twice
from ..session import Secret
from ..utils.json_values import (
    MAX_PROBLEMS,
    is_array,
    is_object,
    json_problem,
    json_type_name,
    member_path,
    shorten,
    until_max_problems,
)
from ..utils.redaction import SecretForms, redact
from .codec import encode_json
from .config import Config, Entry, Layers, Values, choose_providers, read_entries, starting_values
from .offer import Offers

__all__ = ("OPERATOR_FIELDS", "Keys", "StartPlan", "key_variable", "read_start")

#: What a start may carry only beside the operator's secret.
OPERATOR_FIELDS = ("api_keys", "service_options", "defaults", "grants")

#: Finds a key by provider and parameter name.
Keys: TypeAlias = "Callable[[str, str], Secret | None]"


def key_variable(provider: str, name: str) -> str:
    """The environment variable that may hold a provider's key: `ACME_API_KEY`."""
    return f"{provider}_{name}".upper().replace("-", "_")


@frozen(eq=False)
class StartPlan:
    """A start that was found right. `start_data` is what it carried besides: the application's own fields."""

    providers: Mapping[str, str]
    # Not in a repr, which a log or a crash report may show: what the operator and the client have said.
    values: Values = field(repr=False)
    layers: Layers = field(repr=False)
    grants: Grants | None = field(repr=False)
    keys: Keys = field(repr=False)
    service_options: Mapping[str, Mapping[str, Any]] = field(repr=False)
    start_data: Mapping[str, Any] = field(repr=False)
    #: A text without the strings that only the operator has said, for what a provider says about them.
    hide: Callable[[str], str] = field(default=str, repr=False)


def read_start(body: object, offers: Offers, find_key: Keys, *, trusted: bool) -> StartPlan:
    """The plan for a start request's body. Raises a `RequestError` with everything that is wrong with it."""
    told: object = {} if body is None else body
    if not is_object(told):
        # Not what was found: it may be a key.
        raise InvalidStart([Problem("$", "expected an object with services and config.")])
    unsendable = [(f"$.{name}", told.get(name)) for name in ("config", "defaults", "grants")]
    if bad := [found for path, value in unsendable if (found := json_problem(value, path)) is not None]:
        raise InvalidStart([Problem(path, "is a value that JSON cannot carry.") for path, _ in bad])
    registry = offers.registry
    if not trusted:
        _refuse_operator_fields(told, registry)
    problems: list[Problem] = []
    keys = _read_keys(told, find_key, problems)
    service_options = _read_service_options(told, registry, problems)
    defaults = _read_defaults(told, registry, problems)
    if problems:
        raise InvalidStart(problems)
    operators = _read_grants(told, registry)
    narrower = offers.grants.narrowed(operators) if "grants" in told else None
    providers = choose_providers(told.get("services"), _choice(registry, [*registry.bot.grants, *operators]))
    values, layers = starting_values(registry, providers, defaults)
    if told.get("config") is not None:
        offer = offers.get(providers, narrower)
        plan = Config(values).prepare(told["config"], offer, layers, "$.config")
        values, providers = plan.values, dict(plan.providers)
    known = (*OPERATOR_FIELDS, "services", "config")
    data = {name: value for name, value in told.items() if name not in known}
    return StartPlan(providers, values, layers, narrower, keys, service_options, data, _hiding(told))


def _read_grants(told: Mapping[str, Any], registry: Registry) -> list[Grant]:
    """The operator's narrower grants. One that names nothing, or narrows what it cannot, is a mistake."""
    try:
        grants = read_grants(told["grants"]) if "grants" in told else []
    except InvalidStart as error:
        raise InvalidStart([evolve(each, path=_safe_path(each.path)) for each in error.problems]) from None
    problems = (
        Problem(f"$.grants[{index}]", text if _is_name(each.name) else "names no option or action of this bot.")
        for index, each in enumerate(grants)
        if (text := grant_problem(registry, each, is_operators=True)) is not None
    )
    found = list(islice(problems, MAX_PROBLEMS))
    if found:
        raise InvalidStart(found)
    return [renamed(registry, each) for each in grants]


def _choice(registry: Registry, grants: Sequence[Grant]) -> dict[str, list[str]]:
    """The providers that may be chosen, by service: those that the bot lists, as far as `service.provider` allows."""
    narrowing = [(each.name, each.validator) for each in grants if each.validator is not None]
    choice: dict[str, list[str]] = {}
    for service, labels in registry.labels().items():
        validators = [validator for name, validator in narrowing if name == f"{service}.{PROVIDER}"]
        choice[service] = [each for each in labels if not any(violations(read(str), one, each) for one in validators)]
        if not choice[service]:
            raise InvalidStart([Problem("$.grants", f"leave no provider for the service {service!r}.")])
    return choice


def _refuse_operator_fields(told: Mapping[str, Any], registry: Registry) -> None:
    """Refuse what only the operator may say; also a bare `base_url`, which somebody hopes would be heeded."""
    providers = (provider for service in registry.services.values() for provider in service.providers.values())
    options = (each for provider in providers for each in provider.spec.parameters.values())
    names = (*OPERATOR_FIELDS, *(name for each in options for name in (each.name, *each.was)))
    problems = [
        Problem(member_path("$", name), "only the operator may say this, with the operator's secret.")
        for name in dict.fromkeys(names)
        if name in told
    ]
    if problems:
        raise OperatorOnly(problems)


def _objects(sent: Any, path: str, problems: list[Problem]) -> dict[str, Any]:
    if sent is None:
        return {}
    if is_object(sent):
        return sent
    # Not what was found: in a start it may be a key.
    problems.append(Problem(path, "expected an object."))
    return {}


def _hiding(told: Mapping[str, Any]) -> Callable[[str], str]:
    said = [word for name in ("api_keys", "service_options", "defaults") for word in _strings(told.get(name))]
    words = [each for each in dict.fromkeys(said) if len(each) >= _SHORTEST_HIDDEN]
    return lambda text: redact(text, [SecretForms(each) for each in words]) if words else text


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif is_object(value) or is_array(value):
        for each in value.values() if is_object(value) else value:
            yield from _strings(each)


# ---- problems that show no value -------------------------------------------------------------------------------------

#: Names of services, providers and options look like this. Anything else in the place of a name may be a key or a URL.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(-[A-Za-z0-9_]+)?(\[\d+\])*")
_LONGEST_NAME = 32

#: A URL with a user name or a password. HTTP libraries log it; only a `Secret` is kept from logs and errors.
_WITH_USER = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]*:[/\\]{2}[^/?#\\]*@")
_NO_USER = "must not contain a user name or password; give the key in api_keys or in the environment."

#: A shorter string is no secret, and part of many words.
_SHORTEST_HIDDEN = 4

_DEFAULTS = "expected the values of each service's options, each once, as in {service: {option: value}}."


def _is_name(text: str) -> bool:
    """Whether every part of a dotted name is a plain word, so that it may be shown."""
    return all(_NAME.fullmatch(part) and len(part) <= _LONGEST_NAME for part in re.split(r"[.:]", text))


#: A part of a JSON path: a plain name, a quoted one, or an index, which shows nothing.
_PART = re.compile(r'\.([^.\[]+)|\["((?:[^"\\]|\\.)*)"\]')


def _safe_path(path: str) -> str:
    """A path without the parts that are no plain names."""

    def safe(part: re.Match[str]) -> str:
        if _is_name(part[1] or part[2] or ""):
            return part[0]
        return ".…" if part[1] else '["…"]'

    return _PART.sub(safe, path)


def _unknown(what: str, name: str, known: Iterable[str], path: str) -> Problem:
    if _is_name(name):
        return unknown(what, name, known, path=path)
    return Problem(_safe_path(path), f"unknown {what}; known: {', '.join(islice(known, 20))}.")


def _unfit(found: Sequence[Problem], shape: Shape, value: Any, path: str) -> list[Problem]:
    """The problems of a value, told by what its option takes."""
    described = str(shape.schema.get("description", ""))
    whole = f"expected {shape.expects}, got {json_type_name(value)}. {described}".rstrip()
    inner = f"does not fit the schema of the option: {shorten(encode_json(shape.schema), 300)}"
    return [
        Problem(at, whole if at == path else inner) for at in dict.fromkeys(_safe_path(each.path) for each in found)
    ]


# ---- keys ----------------------------------------------------------------------------------------------------------


def _read_keys(told: Mapping[str, Any], find_key: Keys, problems: list[Problem]) -> Keys:
    """Keys from `{provider: key}`, or `{provider: {name: key}}` where one needs several; before all other keys."""
    sent: dict[tuple[str, str], Secret] = {}
    for provider, value in until_max_problems(_objects(told.get("api_keys"), "$.api_keys", problems).items(), problems):
        path = _safe_path(member_path("$.api_keys", provider))
        named: dict[str, Any] = value if is_object(value) else {"": value}
        for name, key in named.items():
            if isinstance(key, str):
                sent[provider, name] = Secret(key)
            else:
                problems.append(Problem(path, "expected a string, or an object of strings."))

    def find(provider: str, name: str) -> Secret | None:
        return sent.get((provider, name)) or sent.get((provider, "")) or find_key(provider, name)

    return find


# ---- service options and defaults ----------------------------------------------------------------------------------


def _read_service_options(
    told: Mapping[str, Any], registry: Registry, problems: list[Problem]
) -> Mapping[str, Mapping[str, Any]]:
    """Service options, checked and loaded, by `service.provider`. A provider's name alone means it in every service."""
    providers = _by_label(registry)
    read: dict[str, dict[str, Any]] = {}
    told_options = _objects(told.get("service_options"), "$.service_options", problems)
    for label, sent in until_max_problems(told_options.items(), problems):
        path = member_path("$.service_options", label)
        if label not in providers:
            problems.append(_unknown("provider", label, providers, path))
            continue
        for key, provider in providers[label].items():
            values = _service_values(provider, _objects(sent, path, problems), path, problems)
            read.setdefault(key, {}).update(values)
    return read


def _by_label(registry: Registry) -> Mapping[str, Mapping[str, Provider]]:
    found: dict[str, dict[str, Provider]] = {}
    for service in registry.services.values():
        for label, provider in service.providers.items():
            key = f"{service.name}.{label}"
            found.setdefault(label, {})[key] = found.setdefault(key, {})[key] = provider
    return found


def _service_values(
    provider: Provider, sent: Mapping[str, Any], path: str, problems: list[Problem]
) -> Mapping[str, Any]:
    known, read = provider.spec.parameters, dict[str, Any]()
    present = {name: each for each in known.values() for name in (*each.was, each.name)}
    for name, value in until_max_problems(sent.items(), problems):
        at = member_path(path, name)
        if name not in present:
            problems.append(_unknown(f"service option of {provider.label}", name, known, at))
        elif present[name].name in read:
            problems.append(Problem(at, "was sent already, under another name."))
        else:
            option = present[name]
            read[option.name], found = check(option.shape, value, at)
            problems.extend(_unfit(found, option.shape, value, at))
            if not found and isinstance(value, str) and _WITH_USER.match(value):
                problems.append(Problem(at, _NO_USER))
    return read


def _read_defaults(
    told: Mapping[str, Any], registry: Registry, problems: list[Problem]
) -> Mapping[str, Mapping[str, Any]]:
    """The operator's own defaults, by service or `service.provider`. They need not be granted, but they must fit."""
    defaults: dict[str, dict[str, Any]] = {}
    if told.get("defaults") is None:
        return defaults
    providers = _providers(registry)
    malformed: list[Problem] = []
    entries, strangers = read_entries(told["defaults"], "$.defaults", malformed, providers)
    problems.extend(Problem(_safe_path(each.path), _DEFAULTS) for each in malformed)
    told_services = f"names no service of this bot; known: {', '.join(islice(providers, 20))}."
    problems.extend(Problem(_safe_path(each.path), told_services, each.suggestion) for each in strangers)
    for entry in until_max_problems(entries, problems):
        _check_default(entry, providers[entry.service], problems)
        given = defaults.setdefault(entry.service, {})
        given[entry.name] = entry.value
        if any(True for provider in providers[entry.service] for _ in twice(provider, given)):
            problems.append(Problem(entry.name_path, "was given already, under another name."))
            del given[entry.name]
    return defaults


def _providers(registry: Registry) -> Mapping[str, Sequence[Provider]]:
    """The providers that a key of `defaults` means: all of a service, or one, as in "llm.together"."""
    of_service = {name: tuple(service.providers.values()) for name, service in registry.services.items()}
    each = {f"{name}.{one.label}": (one,) for name, found in of_service.items() for one in found}
    return {**of_service, **each}


def _check_default(entry: Entry, providers: Sequence[Provider], problems: list[Problem]) -> None:
    names = [(each, each.present_name(entry.name)) for each in providers]
    shapes = [each.options[name][0].shape for each, name in names if name is not None]
    if not shapes:
        known = dict.fromkeys(name for each in providers for name in each.options)
        problems.append(_unknown(f"{entry.service} option", entry.name, known, entry.name_path))
    for shape in shapes:
        if found := check(shape, entry.value, entry.path)[1]:
            problems.extend(_unfit(found, shape, entry.value, entry.path))
            return
