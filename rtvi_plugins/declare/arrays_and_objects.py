"""The RTVI types of arrays and objects: lists, tuples, dicts, attrs classes and `TypedDict`s.

The types of items and fields are read by `annotations.read`, which calls this module; it passes itself as `read`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, NotRequired, Required, TypeAlias, cast, get_args, get_origin

import attrs
from attrs import frozen
from typing_extensions import ReadOnly

from ..errors import Problem, unknown
from ..utils.error_texts import rejection, shorten
from ..utils.json_values import (
    MAX_PROBLEMS,
    expected,
    is_array,
    is_object,
    json_problem,
    member_path,
    until_max_problems,
)
from ..utils.plugin_calls import reraise_control_flow
from .to_json import RepeatedTooOften, to_json
from .types import ANY, INVALID, LoadedTypes, Schema, Shape, UnsupportedType, Validator, bad_names, check, summary
from .validators import narrow

__all__ = ("CONTAINERS", "Read", "attrs_shape", "mutable_part", "typeddict_shape")

_MUTABLE: tuple[type, ...] = (list, dict, set, bytearray)


def mutable_part(default: Any) -> str | None:
    """Name the class of the first mutable object in a default, itself included; None if there is none."""
    return _mutable_part(default, {})


def _mutable_part(default: Any, seen: dict[int, Any]) -> str | None:
    """Look at each object once, however often the default holds it."""
    if id(default) in seen:
        return None
    seen[id(default)] = default  # the object itself, so that its identity is not given to another one
    if isinstance(default, _MUTABLE):
        return default.__class__.__name__
    if isinstance(default, tuple | frozenset):
        inner = cast("Iterable[Any]", default)
    elif attrs.has(default.__class__):
        if not _is_frozen(default):
            return f"{default.__class__.__name__}, which is not frozen"
        inner = [getattr(default, field.name) for field in attrs.fields(default.__class__)]
    else:
        return None
    return next((found for each in inner if (found := _mutable_part(each, seen)) is not None), None)


def _is_frozen(value: Any) -> bool:
    for field in attrs.fields(value.__class__):
        try:
            setattr(value, field.name, getattr(value, field.name))
        except (attrs.exceptions.FrozenInstanceError, attrs.exceptions.FrozenAttributeError):
            continue
        except Exception:  # a setter of the class that rejects the value for another reason
            return False
        return False
    return True


#: Reads the annotation of an item or a field.
Read: TypeAlias = Callable[[Any], Shape]


def _array_shape(generic: Any, args: tuple[Any, ...], read: Read) -> Shape:
    if generic is tuple and args and args[-1] is not Ellipsis:
        return _fixed_array_shape([read(arg) for arg in args])
    if len(args) > 1 + (generic is tuple):
        raise UnsupportedType(f"is an array with {len(args)} types of items. Name one, or use tuple[…]")
    item = read(args[0]) if args else ANY
    is_list = generic is list

    def load(value: Any, path: str, problems: list[Problem]) -> Any:
        if not is_array(value):
            problems.append(Problem(path, expected("an array", value)))
            return INVALID
        exact, load_item, loaded = item.exact, item.load, list[Any]()
        for index, each in enumerate(value):
            if each.__class__ is exact:
                loaded.append(each)
            elif len(problems) < MAX_PROBLEMS:
                loaded.append(load_item(each, f"{path}[{index}]", problems))
            else:
                break
        return loaded if is_list else tuple(loaded)

    schema: Schema = {"type": "array", "items": item.schema} if item.schema else {"type": "array"}
    loaded = LoadedTypes((list if generic is list else tuple,), items=item.loaded)
    return Shape("array", schema, load, expects="an array", loaded=loaded)


def _fixed_array_shape(items: Sequence[Shape]) -> Shape:
    def load(value: Any, path: str, problems: list[Problem]) -> Any:
        if not is_array(value) or len(value) != len(items):
            found = f" of {len(value)}" if is_array(value) else ""
            problems.append(Problem(path, expected(f"an array of {len(items)}", value) + found))
            return INVALID
        pairs = enumerate(zip(items, value, strict=True))
        return tuple(item.load(each, f"{path}[{index}]", problems) for index, (item, each) in pairs)

    schema = {"type": "array", "prefixItems": [item.schema for item in items], "items": False, "minItems": len(items)}
    inner: LoadedTypes | None = None
    for item in items:
        inner = item.loaded if inner is None else inner | item.loaded
    return Shape("array", schema, load, expects=f"an array of {len(items)}", loaded=LoadedTypes((tuple,), items=inner))


def _mapping_shape(generic: Any, args: tuple[Any, ...], read: Read) -> Shape:
    if args and args[0] is not str:
        raise UnsupportedType("has keys that are not str, which JSON does not allow. Use dict[str, …]")
    if args and len(args) != 2:
        raise UnsupportedType("is an object that does not say the type of its values. Use dict[str, …]")
    item = read(args[1]) if args else ANY

    def load(value: Any, path: str, problems: list[Problem]) -> Any:
        if not is_object(value):
            problems.append(Problem(path, expected("an object", value)))
            return INVALID
        if bad := bad_names(value):
            problems.append(Problem(path, bad))
            return INVALID
        exact, load_item, loaded = item.exact, item.load, dict[str, Any]()
        for key, each in value.items():
            if each.__class__ is exact:
                loaded[key] = each
            elif len(problems) < MAX_PROBLEMS:
                loaded[key] = load_item(each, member_path(path, key), problems)
            else:
                break
        return loaded

    schema: Schema = {"type": "object", **({"additionalProperties": item.schema} if item.schema else {})}
    return Shape("object", schema, load, expects="an object", loaded=LoadedTypes((dict,), values=item.loaded))


CONTAINERS: Mapping[Any, Callable[[Any, tuple[Any, ...], Read], Shape]] = {
    list: _array_shape,
    tuple: _array_shape,
    Sequence: _array_shape,
    Iterable: _array_shape,
    dict: _mapping_shape,
    Mapping: _mapping_shape,
}


@frozen
class _Field:
    shape: Shape
    required: bool


def _read_field(cls: type, name: str, annotation: Any, required: bool, read: Read) -> _Field:
    try:
        shape = read(annotation)
    except UnsupportedType as error:
        raise UnsupportedType(f"is {cls.__name__}, whose {name!r} {error}") from None
    return _Field(shape, required)


def attrs_shape(cls: type, hints: Mapping[str, Any], read: Read) -> Shape:
    """Return the shape of an attrs class. Its fields' own validators count as constraints."""
    made = [field for field in attrs.fields(cast(Any, cls)) if field.init]
    fields = {field.alias or field.name: _read_attribute(cls, field, hints, read) for field in made}
    _check_init(cls, fields)
    for field in made:
        name = field.alias or field.name
        try:
            shape = fields[name].shape
            if field.validator is not None:
                shape = narrow(shape, [cast(Validator, field.validator)], attribute=field)
                fields[name] = attrs.evolve(fields[name], shape=shape)
            _check_field_default(field.default, shape)
        except UnsupportedType as error:
            raise UnsupportedType(f"is {cls.__name__}, whose {field.name!r} {error}") from None

    def make(values: dict[str, Any], path: str, problems: list[Problem]) -> Any:
        try:
            return cls(**values)
        except ValueError as error:
            problems.append(Problem(path, f"is not acceptable: {shorten(rejection(error), 200)}"))
        except BaseException as error:
            reraise_control_flow(error)
            problems.append(Problem(path, f"is not acceptable as {cls.__name__}"))
        return INVALID

    return _object_shape(cls, fields, make, cls)


def _read_attribute(cls: type, field: attrs.Attribute[Any], hints: Mapping[str, Any], read: Read) -> _Field:
    annotation = hints.get(field.name, field.type)
    if annotation is None:
        raise UnsupportedType(
            f"is {cls.__name__}, whose {field.name!r} has no type. Annotate it, as in {field.name}: str"
        )
    return _read_field(cls, field.name, annotation, field.default is attrs.NOTHING, read)


def _check_init(cls: type, names: Iterable[str]) -> None:
    """Reject a class that cannot be called with its fields."""
    try:
        inspect.signature(cls).bind(**dict.fromkeys(names))
    except TypeError:
        takes = ", ".join(names) or "no arguments"
        raise UnsupportedType(
            f"is {cls.__name__}, whose own __init__ does not accept {takes}. Give it the parameters of attrs' __init__"
        ) from None


def _check_field_default(default: Any, shape: Shape) -> None:
    """Reject a mutable default, which all objects would share, and a default that is not of the field's type."""
    if default is attrs.NOTHING or isinstance(default, attrs.Factory):  # type: ignore[arg-type]  # it is a class
        return
    if (mutable := mutable_part(default)) is not None:
        raise UnsupportedType(
            f"has a default that holds a {mutable}, which all objects would share. Use field(factory=…)"
        )
    try:
        problems = check(shape, to_json(default))[1]
    except RepeatedTooOften as error:
        raise UnsupportedType(f"has a default that does not fit its type: {error}") from None
    if problems:
        raise UnsupportedType(f"has a default that does not fit its type: {problems[0].message}")


def typeddict_shape(cls: type, hints: Mapping[str, Any], read: Read) -> Shape:
    """Return the shape of a `TypedDict`."""
    fields: dict[str, _Field] = {}
    for name, hint in hints.items():
        # `__required_keys__` misses qualifiers in postponed annotations, so the hints decide.
        annotation, required = _unqualified(hint, name in cls.__dict__["__required_keys__"])
        fields[name] = _read_field(cls, name, annotation, required, read)
    return _object_shape(cls, fields, lambda values, path, problems: values, dict)


def _unqualified(hint: Any, required: bool) -> tuple[Any, bool]:
    """Return the annotation of a field without `Required`, `NotRequired` and `ReadOnly`, also below `Annotated`."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        annotation, required = _unqualified(args[0], required)
        return Annotated[annotation, *args[1:]], required
    if origin in (Required, NotRequired, ReadOnly):
        return _unqualified(args[0], {Required: True, NotRequired: False}.get(origin, required))
    return hint, required


def _object_shape(
    cls: type, fields: Mapping[str, _Field], make: Callable[[dict[str, Any], str, list[Problem]], Any], loaded_as: type
) -> Shape:
    def load(value: Any, path: str, problems: list[Problem]) -> Any:
        if not is_object(value):
            problems.append(Problem(path, expected("an object", value)))
            return INVALID
        before, loaded = len(problems), dict[str, Any]()
        for name, each in until_max_problems(value.items(), problems):
            if (known := fields.get(name)) is None:
                problems.append(unknown("field", name, fields, path=member_path(path, name)))
            else:
                loaded[name] = known.shape.load(each, member_path(path, name), problems)
        problems.extend(
            Problem(member_path(path, name), "is required")
            for name, known in fields.items()
            if known.required and name not in value
        )
        return make(loaded, path, problems) if len(problems) == before else INVALID

    schema: Schema = {"type": "object", "title": cls.__name__, "additionalProperties": False}
    if doc := summary(cls.__dict__.get("__doc__")):  # its own, not that of a base class
        if (bad := json_problem(doc)) is not None:
            raise UnsupportedType(f"is {cls.__name__}, whose docstring cannot be sent as JSON: {bad[1]}")
        schema["description"] = doc
    schema["properties"] = {name: each.shape.schema for name, each in fields.items()}
    schema["required"] = [name for name, each in fields.items() if each.required]
    return Shape("object", schema, load, expects="an object", loaded=LoadedTypes((loaded_as,)))
