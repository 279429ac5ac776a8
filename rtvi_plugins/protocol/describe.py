"""Describe actions and options as JSON, for clients (`describe-actions`, `describe-config`) and for an LLM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..context import Function
from ..declare.specs import ActionSpec, OptionsSpec, Parameter
from ..declare.types import Validator
from ..declare.validators import restricted_schema
from ..errors import DeclarationError
from ..registry.registry import Registry
from .codec import encode_json

__all__ = ("check_descriptions", "describe_action", "describe_function", "describe_option", "describe_parameter")


def describe_action(service: str, spec: ActionSpec, restrictions: Mapping[str, Validator]) -> dict[str, Any]:
    """Describe an action for a client. `restrictions` are the validators of the client's grant, by argument."""
    described: dict[str, Any] = {
        "service": service,
        "action": spec.name,
        "arguments": [describe_parameter(each, restrictions.get(name)) for name, each in spec.parameters.items()],
        "result": spec.result.rtvi_type,
        "result_schema": spec.result.schema,
        "description": spec.doc,
    }
    if spec.message is not None:
        described["message"] = spec.message
    if spec.long:
        described["long"] = True
    if spec.deprecated is not None:
        described["deprecated"] = spec.deprecated
    return described


def describe_function(spec: ActionSpec, restrictions: Mapping[str, Validator]) -> Function:
    """Describe an action as a function of an LLM."""
    arguments = [describe_parameter(each, restrictions.get(name)) for name, each in spec.parameters.items()]
    properties = {argument["name"]: _argument_schema(argument) for argument in arguments}
    required = [argument["name"] for argument in arguments if argument["required"]]
    parameters: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        parameters["required"] = required
    return {"name": spec.name, "description": spec.doc, "parameters": parameters}


def _argument_schema(argument: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of an argument, with the author's text before the text of the validators."""
    schema: dict[str, Any] = dict(argument["schema"])
    if texts := [each for each in (argument["description"], schema.get("description")) if each]:
        schema["description"] = " ".join(texts)
    # A default of null means no value, and many vendors do not accept null here.
    if (default := argument.get("default")) is not None:
        schema["default"] = default
    return schema


def describe_option(
    option: Parameter, validator: Validator | None, defaults: Mapping[str, Any], *, writable: bool
) -> dict[str, Any]:
    """Describe an option for a client. `validator` is that of the client's grant, `defaults` are the bot's by name."""
    described = describe_parameter(option, validator)
    if option.name in defaults:
        described["default"] = defaults[option.name]
    return {**described, "writable": writable}


def describe_parameter(parameter: Parameter, validator: Validator | None = None) -> dict[str, Any]:
    """Describe an argument or option. Every client reads `name` and `type`; the other keys are additions."""
    schema = parameter.shape.schema
    if validator is not None:
        schema = restricted_schema(parameter.shape, validator)
    described: dict[str, Any] = {
        "name": parameter.name,
        "type": parameter.shape.rtvi_type,
        "required": parameter.required,
    }
    if not parameter.required:
        described["default"] = parameter.default
    described["description"] = parameter.doc
    described["schema"] = schema
    if parameter.deprecated is not None:
        described["deprecated"] = parameter.deprecated
    return described


def check_descriptions(registry: Registry) -> None:
    """Check that every action and option of a bot can be described as JSON.

    Raise `DeclarationError` at the line of the function that declares it.
    """
    for spec in (*registry.own_actions, *(action for one in registry.providers for action in one.actions.values())):
        _check_description(spec, describe_action("", spec, {}))
    for parameter, group in (option for one in registry.providers for option in one.options.values()):
        _check_description(group, describe_parameter(parameter))


def _check_description(spec: ActionSpec | OptionsSpec, described: Mapping[str, Any]) -> None:
    try:
        encode_json(described)
    except TypeError as error:
        raise DeclarationError(spec.function, f"cannot be described as JSON: {error}.") from None
