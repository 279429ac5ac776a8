"""Judge the description of an option, and find another valid value for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ("other_values", "problem_of_schema")


def other_values(
    described: Mapping[str, Mapping[str, Any]], values: Mapping[str, Any]
) -> Iterator[tuple[str, bool | float | str]]:
    """Yield writable options with a valid value that they do not have now.

    Options without a closed range, such as the name of a model, are left out: other values may need a download.
    """
    for name, option in described.items():
        if not option.get("writable", True):
            continue
        for value in _valid(option.get("schema", option)):
            if value != values.get(name):
                yield name, value
                break


def _valid(schema: Mapping[str, Any]) -> Iterator[bool | float | str]:
    if schema.get("type") == "boolean":
        yield from (True, False)
    elif schema.get("type") in ("number", "integer"):
        for bound in ("minimum", "maximum"):
            if bound in schema:
                yield schema[bound]
    elif "enum" in schema:
        yield from (each for each in schema["enum"] if isinstance(each, str))


def problem_of_schema(described: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the JSON Schema of an option or argument, or with its default. It needs jsonschema."""
    from jsonschema import Draft202012Validator, SchemaError, ValidationError

    schema = described.get("schema", {})
    try:
        Draft202012Validator.check_schema(schema)
        validator: Any = Draft202012Validator(schema)
        if "default" in described:
            validator.validate(described["default"])
    except SchemaError as error:
        return f"it is not valid: {error.message}"
    except ValidationError as error:
        return f"its default does not fit: {error.message}"
    return None
