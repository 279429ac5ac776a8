"""The part of a start request that only the operator may send: `api_keys`, `service_options` and `defaults`.

Its problems never show a value, which may be a key or a URL with a password.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeAlias

from ..declare.types import Shape, check
from ..errors import OperatorOnly, Problem, unknown
from ..registry.registry import Provider, Registry, twice
from ..security import http_url
from ..session import Secret
from ..utils.error_texts import shorten
from ..utils.json_values import is_array, is_object, json_type_name, member_path, until_max_problems
from ..utils.secrets import SecretForms, redact
from .codec import encode_json
from .config import SentOption, read_sent_options

__all__ = (
    "OPERATOR_FIELDS",
    "Keys",
    "hiding",
    "is_name",
    "key_variable",
    "read_defaults",
    "read_keys",
    "read_service_options",
    "refuse_operator_fields",
    "safe_path",
)

#: Names of services, providers and options look like this. Any other text in the place of a name may be a key or a URL.
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(-[A-Za-z0-9_]+)?(\[\d+\])*")

_LONGEST_NAME = 32

#: One part of a JSON path: a plain name or a quoted one. An index shows nothing.
_PATH_PART = re.compile(r'\.([^.\[]+)|\["((?:[^"\\]|\\.)*)"\]')

#: A URL with a user name or a password. HTTP libraries log it; only a `Secret` is kept out of logs and errors.
_WITH_USER = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]*:[/\\]{2}[^/?#\\]*@")

#: Shorter strings are not secrets, and occur in many words.
_SHORTEST_HIDDEN = 4


def is_name(text: str) -> bool:
    """Return whether every part of a dotted name is a plain word, so that it may be shown."""
    return all(_PLAIN_NAME.fullmatch(part) and len(part) <= _LONGEST_NAME for part in re.split(r"[.:]", text))


def safe_path(path: str) -> str:
    """Return a JSON path without the parts that are not plain names."""

    def safe(part: re.Match[str]) -> str:
        if is_name(part[1] or part[2] or ""):
            return part[0]
        return ".…" if part[1] else '["…"]'

    return _PATH_PART.sub(safe, path)


def _unknown_name(what: str, name: str, known: Iterable[str], path: str) -> Problem:
    """Return the problem of an unknown name. The name is shown if it is a plain word."""
    if is_name(name):
        return unknown(what, name, known, path=path)
    return Problem(safe_path(path), f"unknown {what}; known: {', '.join(islice(known, 20))}.")


def _value_problems(problems: Sequence[Problem], shape: Shape, value: Any, path: str) -> list[Problem]:
    """Return the problems of a value, in terms of what its option accepts."""
    if (reason := _url_problem(shape, value)) is not None:
        return [Problem(path, f"{reason}.")]
    described = str(shape.schema.get("description", ""))
    # A value of the right type breaks a rule, which is in `expects`.
    has_type = all(each.message.startswith("must ") for each in problems)
    got = "" if has_type else f", got {json_type_name(value)}"
    whole = f"expected {shape.expects}{got}. {described}".rstrip()
    inner = f"does not fit the schema of the option: {shorten(encode_json(shape.schema), 300)}"
    return [
        Problem(at, whole if at == path else inner)
        for at in dict.fromkeys(safe_path(problem.path) for problem in problems)
    ]


def _url_problem(shape: Shape, value: Any) -> str | None:
    """Return why a value is not such a URL as its option needs; None for other options. It does not show the value."""
    if shape.schema.get("pattern") == http_url.json_schema["pattern"]:
        try:
            http_url(None, None, value)
        except ValueError as error:
            return str(error)
    return None


def _url_has_user(value: Any) -> bool:
    """Return whether a value is a URL that contains a user name or a password."""
    return isinstance(value, str) and _WITH_USER.match(value) is not None


def hiding(*values: Any) -> Callable[[str], str]:
    """Return a function that removes all strings in these values from a text."""
    words = dict.fromkeys(word for value in values for word in _strings_in(value))
    hidden = [each for each in words if len(each) >= _SHORTEST_HIDDEN]
    return lambda text: redact(text, [SecretForms(each) for each in hidden]) if hidden else text


def _strings_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif is_object(value) or is_array(value):
        for each in value.values() if is_object(value) else value:
            yield from _strings_in(each)


#: The fields of a start request that need the operator's secret.
OPERATOR_FIELDS = ("api_keys", "service_options", "defaults", "grants")

#: Finds a key by provider and parameter name.
Keys: TypeAlias = "Callable[[str, str], Secret | None]"


def key_variable(provider: str, name: str) -> str:
    """Return the environment variable of a provider's key, such as `ACME_API_KEY`."""
    return f"{provider}_{name}".upper().replace("-", "_")


def refuse_operator_fields(body: Mapping[str, Any], registry: Registry) -> None:
    """Raise `OperatorOnly` for a field that needs the operator's secret.

    This includes a service option at the top, such as `base_url`: it would have no effect, unlike the sender expects.
    """
    options = (parameter for provider in registry.providers for parameter in provider.spec.parameters.values())
    names = (*OPERATOR_FIELDS, *(name for option in options for name in (option.name, *option.was)))
    problems = [
        Problem(member_path("$", name), "only the operator may send this, with the operator's secret.")
        for name in dict.fromkeys(names)
        if name in body
    ]
    if problems:
        raise OperatorOnly(problems)


def _operator_object(sent: Any, path: str, problems: list[Problem]) -> dict[str, Any]:
    if sent is None:
        return {}
    if is_object(sent):
        return sent
    problems.append(Problem(path, "expected an object."))  # the value is not shown: it may be a key
    return {}


# ---- keys ----------------------------------------------------------------------------------------------------------


def read_keys(sent: Any, registry: Registry, find_key: Keys, problems: list[Problem]) -> Keys:
    """Read keys from `{provider: key}`, or from `{provider: {name: key}}` for a provider with several keys.

    The returned function finds these keys, and any other key with `find_key`. Providers that the bot does not have are
    accepted: one server may send the keys of several bots.
    """
    taken: dict[str, dict[str, None]] = {}
    for each in registry.providers:
        taken.setdefault(each.spec.provider, {}).update((secret.name, None) for secret in each.spec.secrets)
    keys: dict[tuple[str, str], Secret] = {}
    for provider, value in until_max_problems(_operator_object(sent, "$.api_keys", problems).items(), problems):
        path = safe_path(member_path("$.api_keys", provider))
        named: dict[str, Any] = value if is_object(value) else {"": value}
        for name, key in until_max_problems(named.items(), problems):
            if name and name not in taken.get(provider, (name,)):
                at = member_path(member_path("$.api_keys", provider), name)
                problems.append(_unknown_name(f"key of {provider}", name, taken[provider], at))
            elif isinstance(key, str):
                keys[provider, name] = Secret(key)
            else:
                problems.append(Problem(path, "expected a string, or an object of strings."))

    def find(provider: str, name: str) -> Secret | None:
        return keys.get((provider, name)) or keys.get((provider, "")) or find_key(provider, name)

    return find


# ---- service options -----------------------------------------------------------------------------------------------


def read_service_options(sent: Any, registry: Registry, problems: list[Problem]) -> Mapping[str, Mapping[str, Any]]:
    """Return the checked service options by `service.provider`.

    A key without a service, such as `"together"`, sets the options of that provider in every service.
    """
    providers = _providers_by_label(registry)
    read: dict[str, dict[str, Any]] = {}
    for label, options in until_max_problems(_operator_object(sent, "$.service_options", problems).items(), problems):
        path = member_path("$.service_options", label)
        if label not in providers:
            problems.append(_unknown_provider(label, registry, providers, path))
            continue
        for key, provider in providers[label].items():
            values = _service_option_values(provider, _operator_object(options, path, problems), path, problems)
            read.setdefault(key, {}).update(values)
    return read


def _unknown_provider(label: str, registry: Registry, known: Iterable[str], path: str) -> Problem:
    if (service := registry.services.get(label)) is None or service.is_own:
        return _unknown_name("provider", label, known, path)
    provider = service.default
    text = f"is a service, but service options are set by provider: write {provider!r} or '{label}.{provider}'."
    return Problem(path, text, provider)


def _providers_by_label(registry: Registry) -> Mapping[str, Mapping[str, Provider]]:
    """Return the providers by name, and each also by `service.provider`. The names come first, for messages."""
    by_name: dict[str, dict[str, Provider]] = {}
    by_key: dict[str, dict[str, Provider]] = {}
    for service in registry.services.values():
        for label, provider in service.providers.items() if not service.is_own else ():
            key = f"{service.name}.{label}"
            by_name.setdefault(label, {})[key] = provider
            by_key[key] = {key: provider}
    return by_name | by_key


def _service_option_values(
    provider: Provider, sent: Mapping[str, Any], path: str, problems: list[Problem]
) -> Mapping[str, Any]:
    known, read = provider.spec.parameters, dict[str, Any]()
    present = {name: each for each in known.values() for name in (*each.was, each.name)}
    for name, value in until_max_problems(sent.items(), problems):
        at = member_path(path, name)
        if name not in present:
            problems.append(_unknown_name(f"service option of {provider.label}", name, known, at))
        elif present[name].name in read:
            problems.append(Problem(at, "was sent already, under another name."))
        else:
            option = present[name]
            read[option.name], misfits = check(option.shape, value, at)
            problems.extend(_value_problems(misfits, option.shape, value, at))
            if not misfits and _url_has_user(value):
                text = "must not contain a user name or password; give the key in api_keys or in the environment."
                problems.append(Problem(at, text))
    return read


# ---- defaults ------------------------------------------------------------------------------------------------------


def read_defaults(sent: Any, registry: Registry, problems: list[Problem]) -> Mapping[str, Mapping[str, Any]]:
    """Return the operator's defaults by service or `service.provider`. They need no grant, but have to be valid."""
    defaults: dict[str, dict[str, Any]] = {}
    if sent is None:
        return defaults
    providers = _providers_by_key(registry)
    malformed: list[Problem] = []
    options, unknown_services = read_sent_options(sent, "$.defaults", malformed, providers)
    form = "expected the values of each service's options, each once, as in {service: {option: value}}."
    problems.extend(Problem(safe_path(each.path), form) for each in malformed)
    known = f"names no service of this bot; known: {', '.join(islice(providers, 20))}."
    problems.extend(Problem(safe_path(service.path), known, service.suggestion) for service in unknown_services)
    for option in until_max_problems(options, problems):
        _check_default(option, providers[option.service], problems)
        given = defaults.setdefault(option.service, {})
        given[option.name] = option.value
        if any(True for provider in providers[option.service] for _ in twice(provider, given)):
            problems.append(Problem(option.name_path, "was sent already, under another name."))
            del given[option.name]
    return defaults


def _providers_by_key(registry: Registry) -> Mapping[str, Sequence[Provider]]:
    """Return the providers for each key that `defaults` may have: a service, or `service.provider`.

    The services come first, for messages that name the first keys.
    """
    by_key: dict[str, Sequence[Provider]] = {
        name: tuple(service.providers.values()) for name, service in registry.services.items()
    }
    for name, service in registry.services.items():
        by_key |= {f"{name}.{label}": (provider,) for label, provider in service.providers.items()}
    return by_key


def _check_default(option: SentOption, providers: Sequence[Provider], problems: list[Problem]) -> None:
    having = [(each, name) for each in providers if (name := each.present_name(option.name)) is not None]
    if not having:
        known = dict.fromkeys(name for each in providers for name in each.options)
        problems.append(_unknown_name(f"{option.service} option", option.name, known, option.name_path))
    for provider, name in having:
        if misfits := provider.check_option(name, option.value, option.path)[1]:
            problems.extend(_value_problems(misfits, provider.options[name][0].shape, option.value, option.path))
            return
