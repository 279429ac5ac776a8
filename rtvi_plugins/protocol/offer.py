"""What one client is offered: the actions and options of the chosen providers, as far as it is granted them.

An offer depends on providers and grants alone, so sessions share it, and its descriptions are encoded once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import attrs
from attrs import frozen

from ..context import Function
from ..declare.specs import ActionSpec, OptionsSpec, Parameter
from ..declare.types import Validator, read, restricted_schema
from ..errors import (
    DeclarationError,
    InvalidArguments,
    NotGranted,
    Problem,
    RequestError,
    UnknownAction,
    UnknownService,
    unknown,
)
from ..registry.grants import Grants
from ..registry.registry import BOT, PROVIDER, Provider, Registry
from .arguments import Binder
from .codec import encode_json

__all__ = ("Offer", "OfferedAction", "OfferedOption", "Offers", "check_descriptions")

#: The action by which a client cancels a long action of its own session; offered with every one of them.
_JOB_CANCEL = "cancel_job"


@frozen(eq=False)
class OfferedAction:
    """An action that the client may call, ready to check its arguments."""

    service: str
    spec: ActionSpec
    binder: Binder
    restrictions: Mapping[str, Validator]


@frozen
class OfferedOption:
    """An option that the client may read, and whether and within what bounds it may set it."""

    parameter: Parameter
    writable: bool
    validator: Validator | None


@frozen(slots=False, eq=False)
class Offer:
    """What is offered with these providers under these grants."""

    registry: Registry
    providers: Mapping[str, str]
    grants: Grants

    @cached_property
    def actions(self) -> Mapping[tuple[str, str], OfferedAction]:
        """The actions that this client may call, by service and name."""
        return {(action.service, action.spec.name): action for action in self._granted_actions()}

    def _granted_actions(self) -> Iterable[OfferedAction]:
        for service, specs in self._all_actions():
            for name, spec in specs.items():
                grant = self.grants.get(f"{service}:{name}")
                if grant is not None or (service == BOT and name == _JOB_CANCEL and self._has_jobs()):
                    restrictions: Mapping[str, Validator] = grant.arguments if grant is not None else {}
                    yield OfferedAction(service, spec, Binder(spec.parameters, restrictions), restrictions)

    def _has_jobs(self) -> bool:
        named = ((f"{service}:{name}", spec) for service, specs in self._all_actions() for name, spec in specs.items())
        return any(spec.long and self.grants.get(name) is not None for name, spec in named)

    def _all_actions(self) -> Iterable[tuple[str, Mapping[str, ActionSpec]]]:
        yield from ((name, self.provider(name).actions) for name in self.registry.services)
        yield BOT, self.registry.actions

    @cached_property
    def functions(self) -> Mapping[str, OfferedAction]:
        """The same actions as functions of an LLM, by the names that it knows them by."""
        return {action.spec.name: action for action in self._granted_actions() if not action.spec.long}

    @cached_property
    def described_functions(self) -> tuple[Function, ...]:
        """What an LLM is told of them."""
        return tuple(describe_function(each) for each in self.functions.values())

    @cached_property
    def options(self) -> Mapping[str, Mapping[str, OfferedOption]]:
        """The options that this client may read, by service and name. Every service is there."""
        return {name: dict(self._granted_options(name)) for name in self.registry.services}

    def _granted_options(self, service: str) -> Iterable[tuple[str, OfferedOption]]:
        for name, parameter in (*self._own_options(service), (PROVIDER, self._provider_option(service))):
            grant = self.grants.get(*(f"{service}.{each}" for each in self.provider(service).names_of(name)))
            if grant is not None:
                yield name, OfferedOption(parameter, grant.writable, grant.validator)

    def _own_options(self, service: str) -> Iterable[tuple[str, Parameter]]:
        return ((name, parameter) for name, (parameter, _) in self.provider(service).options.items())

    def _provider_option(self, service: str) -> Parameter:
        labels = tuple(self.registry.services[service].providers)
        shape = attrs.evolve(read(str), schema={"enum": list(labels)})
        return Parameter(PROVIDER, shape, self.registry.services[service].default, "Who fills this service.")

    def provider(self, service: str) -> Provider:
        """The provider that fills a service."""
        return self.registry.services[service].providers[self.providers[service]]

    @cached_property
    def groups(self) -> Sequence[tuple[str, OptionsSpec]]:
        """All groups of options with their services, in the order they were declared; those that come last, last."""
        found = [
            (service, group)
            for service in self.registry.services
            for group in (*self.provider(service).groups, *self.provider(service).kind_groups)
            if self.provider(service).effective(group)
        ]
        return sorted(found, key=lambda each: each[1].last)

    # ---- looking up ------------------------------------------------------------------------------------------------

    def action(self, service: object, name: object, path: str) -> OfferedAction:
        """The action that a client names; `UnknownService`, `UnknownAction` or `NotGranted` if it may not."""
        try:
            return self.actions[service, name]  # type: ignore[index]  # whatever was sent, it is in the table or not
        except (KeyError, TypeError):
            raise self._refusal(service, name, path) from None

    def _refusal(self, service: object, name: object, path: str) -> RequestError:
        known = dict(self._all_actions())
        if not isinstance(service, str) or not isinstance(name, str):
            return InvalidArguments([Problem(path, "expected an object with the strings service and action.")])
        if service not in known:
            offered = dict.fromkeys(each for each, _ in self.actions)
            return UnknownService([unknown("service", service, offered or known, path=f"{path}.service")])
        if name in known[service]:
            return NotGranted([Problem(f"{path}.action", f"the bot does not grant '{service}:{name}' to this client.")])
        names = [each for of, each in self.actions if of == service]
        return UnknownAction([unknown(f"{service} action", name, names, path=f"{path}.action")])

    # ---- describing ------------------------------------------------------------------------------------------------

    @cached_property
    def described_actions(self) -> str:
        """The data of `actions-available`, as JSON text."""
        return encode_json({"actions": [describe_action(each) for each in self.actions.values()]})

    @cached_property
    def described_config(self) -> str:
        """The data of `config-available`, as JSON text. A service is told under `name`, and under `service` as well."""
        told = [
            {"name": name, "service": name, "options": [describe_option(each) for each in options.values()]}
            for name, options in self.options.items()
        ]
        return encode_json({"config": told})


def describe_action(action: OfferedAction) -> dict[str, Any]:
    spec = action.spec
    told: dict[str, Any] = {
        "service": action.service,
        "action": spec.name,
        "arguments": [describe(each, action.restrictions.get(name)) for name, each in spec.parameters.items()],
        "result": spec.result.rtvi_type,
        "result_schema": spec.result.schema,
        "description": spec.doc,
    }
    if spec.long:
        told["long"] = True
    if spec.deprecated is not None:
        told["deprecated"] = spec.deprecated
    return told


def describe_function(action: OfferedAction) -> Function:
    described = [describe(each, action.restrictions.get(name)) for name, each in action.spec.parameters.items()]
    properties = {each["name"]: {**each["schema"], **_description(each)} for each in described}
    required = [each["name"] for each in described if each["required"]]
    parameters: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        parameters["required"] = required
    return {"name": action.spec.name, "description": action.spec.doc, "parameters": parameters}


def _description(argument: Mapping[str, Any]) -> dict[str, Any]:
    """What its author says of an argument, and what its validators say of themselves."""
    texts = [each for each in (argument["description"], argument["schema"].get("description")) if each]
    return {"description": " ".join(texts)} if texts else {}


def describe_option(option: OfferedOption) -> dict[str, Any]:
    return {**describe(option.parameter, option.validator), "writable": option.writable}


def describe(parameter: Parameter, validator: Validator | None = None) -> dict[str, Any]:
    """One argument or option: name and type as every client knows them, and what else there is to say."""
    schema = parameter.shape.schema
    if validator is not None:
        schema = restricted_schema(parameter.shape, validator)
    told: dict[str, Any] = {"name": parameter.name, "type": parameter.shape.rtvi_type, "required": parameter.required}
    if not parameter.required:
        told["default"] = parameter.default
    told["description"] = parameter.doc
    told["schema"] = schema
    if parameter.deprecated is not None:
        told["deprecated"] = parameter.deprecated
    return told


def check_descriptions(registry: Registry) -> None:
    """Refuse what cannot be described to clients. `DeclarationError` at the line of the function that declares it."""
    providers = [each for service in registry.services.values() for each in service.providers.values()]
    for spec in (*registry.actions.values(), *(each for one in providers for each in one.actions.values())):
        _check_description(spec, describe_action(OfferedAction("", spec, Binder({}, {}), {})))
    for parameter, group in (each for one in providers for each in one.options.values()):
        _check_description(group, describe(parameter))


def _check_description(spec: ActionSpec | OptionsSpec, described: Mapping[str, Any]) -> None:
    try:
        encode_json(described)
    except TypeError as error:
        raise DeclarationError(spec.function, f"cannot be described as JSON: {error}.") from None


class Offers:
    """The offers of one bot, made when first needed and shared by its sessions."""

    def __init__(self, registry: Registry, grants: Grants) -> None:
        self.registry = registry
        self.grants = grants
        self._made: dict[tuple[str, ...], Offer] = {}

    def get(self, providers: Mapping[str, str], grants: Grants | None = None) -> Offer:
        """The offer for these providers; under narrower grants, of one session alone, it is made each time."""
        if grants is not None:
            return Offer(self.registry, dict(providers), grants)
        key = tuple(providers.values())
        if key not in self._made:
            self._made[key] = Offer(self.registry, dict(providers), self.grants)
        return self._made[key]
