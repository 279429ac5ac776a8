"""A Python type, read once: what it is on the wire, its JSON Schema, and how a value is checked against it.

`read` walks an annotation and returns a `Shape`. The same walk yields the RTVI type word, the JSON Schema and the
function that checks and loads a value, so a type is either understood in all three ways or refused.

Checks are strict in both directions: `"false"` is no bool, `true` no number, `3.5` no int (`3.0` is one), NaN no
number. A loader never raises; it appends `Problem`s, so that everything wrong with a message is found at once.

Validation is this project's own business and is written out here; cattrs turns values into JSON (`to_json`).
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from enum import Enum
from functools import cache
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    NotRequired,
    Required,
    TypeAlias,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

import attrs
from attrs import frozen
from typing_extensions import Doc, ReadOnly, deprecated, is_typeddict

from ._interrupt import let_through
from ._json import below, clip, expected, is_array, is_object, until_enough
from .errors import Problem, unknown

if TYPE_CHECKING:
    from cattrs import Converter

__all__ = (
    "INVALID",
    "Loader",
    "NotReadable",
    "Shape",
    "Validator",
    "check",
    "narrow",
    "narrowed_schema",
    "read",
    "to_json",
    "violation",
)

#: Returned by a loader beside a problem; never reaches a function.
INVALID: Any = object()

T = TypeVar("T")

Loader: TypeAlias = Callable[[Any, str, list[Problem]], Any]
Validator: TypeAlias = Callable[[Any, Any, Any], Any]
Schema: TypeAlias = dict[str, Any]


class NotReadable(Exception):
    """The annotation has no RTVI type; the text says what to write instead."""


@frozen
class Shape:
    """What a type is on the wire. A value whose class is `exact` needs no further check."""

    word: str
    schema: Schema
    load: Loader
    exact: type | None = None


def check(shape: Shape, value: Any, path: str = "$") -> tuple[Any, list[Problem]]:
    """The loaded value and everything that is wrong with it."""
    problems: list[Problem] = []
    return shape.load(value, path, problems), problems


@cache
def _converter() -> Converter:
    # Here, for it is a fifth of the time that an import of the framework takes, and few processes need it.
    from cattrs import Converter
    from cattrs.gen import make_dict_unstructure_fn

    made = Converter()

    @made.register_unstructure_hook_factory(attrs.has)
    def dumper(cls: type[Any]) -> Callable[[Any], Any]:  # pyright: ignore[reportUnusedFunction]
        # A field goes by the name under which its class takes it: `_key` is `key`.
        return make_dict_unstructure_fn(cls, made, _cattrs_use_alias=True)

    return made


def to_json(value: Any) -> Any:
    """A value in its JSON form: attrs objects as objects, enum members as their values."""
    return _converter().unstructure(value)


# ---- reading -------------------------------------------------------------------------------------------------------


def read(annotation: Any, *, nested: bool = False, _inside: tuple[type, ...] = ()) -> Shape:
    """The shape of an annotation. `NotReadable` when it has none."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return narrow(read(args[0], nested=nested, _inside=_inside), _validators(args[1:]))
    if annotation in _PRIMITIVES:
        return _PRIMITIVES[annotation]
    if annotation is None or annotation is type(None):
        return Shape("object", {"type": "null"}, _load_none, type(None))
    if annotation is Any or annotation is object:
        if nested:
            return _ANY
        raise NotReadable("is Any, which describes nothing. Use dict[str, Any], list[Any] or an attrs class")
    if origin is Literal:
        return _choice(args)
    if origin is Union or origin is types.UnionType:
        return _union([read(arg, nested=nested, _inside=_inside) for arg in args])
    if (generic := origin or annotation) in _CONTAINERS:
        return _CONTAINERS[generic](generic, args, _inside)
    if isinstance(annotation, type):
        return _read_class(cast("type[Any]", annotation), _inside)
    raise NotReadable(_no_type(annotation))


def _no_type(annotation: Any) -> str:
    name = getattr(annotation, "__name__", None) or str(annotation)
    return f"is {name}, which has no RTVI type. Use str, bool, int, float, list, dict, Literal, or an attrs class"


def _read_class(cls: type[Any], inside: tuple[type, ...]) -> Shape:
    if issubclass(cls, Enum):
        return _choice([member.value for member in cls], cls)
    if not (attrs.has(cls) or is_typeddict(cls)):
        raise NotReadable(_no_type(cls))
    if cls in inside:
        raise NotReadable(f"is {cls.__name__}, which contains itself. Use dict[str, Any] where it repeats")
    try:
        hints = get_type_hints(cls, include_extras=True)
    except NameError as error:
        raise NotReadable(
            f"is {cls.__name__}, whose annotation {error.name!r} cannot be resolved. Import it at module level, "
            "not under TYPE_CHECKING"
        ) from None
    reader = _read_attrs if attrs.has(cls) else _read_typeddict
    return reader(cls, hints, (*inside, cls))


# ---- primitives ----------------------------------------------------------------------------------------------------


def _exactly(cls: type, word: str) -> Loader:
    def load(value: Any, path: str, problems: list[Problem]) -> Any:
        if value.__class__ is cls:
            return value
        problems.append(Problem(path, expected(word, value)))
        return INVALID

    return load


def _load_int(value: Any, path: str, problems: list[Problem]) -> Any:
    whole = _whole(value)
    if whole.__class__ is int:
        return whole
    is_large = value.__class__ is float and value.is_integer()
    word = "a whole number written without fraction and exponent" if is_large else "a whole number"
    problems.append(Problem(path, expected(word, value)))
    return INVALID


def _whole(value: Any) -> Any:
    """Return the int for a float such as 2.0, which JSON Schema counts as an integer; any other value as it is.

    A float from 2**53 on does not tell which whole number was meant, so it is no int.
    """
    return int(value) if value.__class__ is float and value.is_integer() and abs(value) < 2**53 else value


def _load_float(value: Any, path: str, problems: list[Problem]) -> Any:
    if value.__class__ is int or (value.__class__ is float and math.isfinite(value)):
        with suppress(OverflowError):  # an author's default may be an int that no float holds
            return float(value)
    problems.append(Problem(path, expected("a number", value)))
    return INVALID


def _load_none(value: Any, path: str, problems: list[Problem]) -> Any:
    if value is not None:
        problems.append(Problem(path, expected("null", value)))
        return INVALID
    return None


def _load_any(value: Any, path: str, problems: list[Problem]) -> Any:
    if is_array(value):
        for index, item in until_enough(enumerate(value), problems):
            _load_any(item, f"{path}[{index}]", problems)
    elif is_object(value):
        if bad := _bad_names(value):
            problems.append(Problem(path, bad))
        else:
            for key, item in until_enough(value.items(), problems):
                _load_any(item, f"{path}.{key}", problems)
    elif not (value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))):
        problems.append(Problem(path, expected("a JSON value", value)))
    return value


def _bad_names(value: Mapping[Any, Any]) -> str | None:
    """What is wrong with the names of an object that did not come from JSON."""
    bad = next((key for key in value if not isinstance(key, str)), None)
    return None if bad is None else f"expected names that are strings, got {clip(repr(bad))}"


_ANY = Shape("object", {}, _load_any)

_PRIMITIVES: Mapping[Any, Shape] = {
    str: Shape("string", {"type": "string"}, _exactly(str, "a string"), str),
    bool: Shape("bool", {"type": "boolean"}, _exactly(bool, "true or false"), bool),
    int: Shape("number", {"type": "integer"}, _load_int, int),
    float: Shape("number", {"type": "number"}, _load_float),
}


# ---- choices and unions --------------------------------------------------------------------------------------------


def _choice(values: Iterable[Any], make: Callable[[Any], Any] | None = None) -> Shape:
    """One of some values, told apart by class too: `True` is not `1`."""
    allowed = list(values)
    if not allowed or not all(value.__class__ in (str, int, bool) for value in allowed):
        raise NotReadable("has no choices, or choices that are not strings, whole numbers or bools")
    by_key = {(value.__class__, value): make(value) if make else value for value in allowed}

    def load(value: Any, path: str, problems: list[Problem]) -> Any:
        sent = _whole(value)
        if isinstance(sent, str | int) and (sent.__class__, sent) in by_key:
            return by_key[sent.__class__, sent]
        problems.append(_not_a_choice(value, allowed, path))
        return INVALID

    word = _PRIMITIVES[type(allowed[0])].word
    return Shape(word, {"enum": allowed}, load)


def _not_a_choice(value: Any, allowed: Sequence[Any], path: str) -> Problem:
    names = [item for item in allowed if isinstance(item, str)]
    suggestion = unknown("value", value, names).suggestion if isinstance(value, str) else None
    listed = ", ".join(repr(item) for item in allowed)
    return Problem(path, expected(f"one of {clip(listed, 300)}", value), suggestion)


def _union(members: Sequence[Shape]) -> Shape:
    """Any of some shapes, tried in order. `X | None` is described as X."""
    named = [member for member in members if member.exact is not type(None)]
    if not named:
        return members[0]

    def load(value: Any, path: str, problems: list[Problem]) -> Any:
        tries: list[list[Problem]] = []
        for member in members:
            found: list[Problem] = []
            loaded = member.load(value, path, found)
            if not found:
                return loaded
            tries.append(found)
        problems.extend(_best(tries, path))
        return INVALID

    schema: Schema = {"anyOf": [member.schema for member in members]}
    return Shape(named[0].word, schema, load)


def _best(tries: Sequence[list[Problem]], path: str) -> list[Problem]:
    """The problems of the member that the value came closest to: one that failed inside, not at the value itself."""
    inside = [found for found in tries if all(problem.path != path for problem in found)]
    if inside:
        return min(inside, key=len)
    told = " or ".join(dict.fromkeys(found[0].message.removeprefix("expected ").split(", got ")[0] for found in tries))
    got = tries[0][0].message.rpartition(", got ")[2]
    return [Problem(path, f"expected {told}, got {got}", tries[0][0].suggestion)]


# ---- containers ----------------------------------------------------------------------------------------------------


def _array(generic: Any, args: tuple[Any, ...], inside: tuple[type, ...]) -> Shape:
    if generic is tuple and args and args[-1] is not Ellipsis:
        return _fixed_array([read(arg, nested=True, _inside=inside) for arg in args])
    item = read(args[0], nested=True, _inside=inside) if args else _ANY
    make: Callable[[list[Any]], Any] = list[Any] if generic is list else tuple[Any, ...]

    def load(value: Any, path: str, problems: list[Problem]) -> Any:
        if not is_array(value):
            problems.append(Problem(path, expected("an array", value)))
            return INVALID
        items = (item.load(each, f"{path}[{index}]", problems) for index, each in enumerate(value))
        return make(list(until_enough(items, problems)))

    return Shape("array", {"type": "array", "items": item.schema} if item.schema else {"type": "array"}, load)


def _fixed_array(items: Sequence[Shape]) -> Shape:
    def load(value: Any, path: str, problems: list[Problem]) -> Any:
        if not is_array(value) or len(value) != len(items):
            problems.append(Problem(path, expected(f"an array of {len(items)}", value)))
            return INVALID
        pairs = enumerate(zip(items, value, strict=True))
        return tuple(item.load(each, f"{path}[{index}]", problems) for index, (item, each) in pairs)

    schema = {"type": "array", "prefixItems": [item.schema for item in items], "items": False, "minItems": len(items)}
    return Shape("array", schema, load)


def _mapping(generic: Any, args: tuple[Any, ...], inside: tuple[type, ...]) -> Shape:
    if args and args[0] is not str:
        raise NotReadable("has names that are not str, which JSON objects do not have. Use dict[str, …]")
    item = read(args[1], nested=True, _inside=inside) if args else _ANY

    def load(value: Any, path: str, problems: list[Problem]) -> Any:
        if not is_object(value):
            problems.append(Problem(path, expected("an object", value)))
            return INVALID
        if bad := _bad_names(value):
            problems.append(Problem(path, bad))
            return INVALID
        items = ((key, item.load(each, below(path, key), problems)) for key, each in value.items())
        return dict(until_enough(items, problems))

    return Shape("object", {"type": "object", **({"additionalProperties": item.schema} if item.schema else {})}, load)


_CONTAINERS: Mapping[Any, Callable[[Any, tuple[Any, ...], tuple[type, ...]], Shape]] = {
    list: _array,
    tuple: _array,
    Sequence: _array,
    Iterable: _array,
    dict: _mapping,
    Mapping: _mapping,
}


# ---- classes -------------------------------------------------------------------------------------------------------


@frozen
class _Field:
    shape: Shape
    required: bool
    doc: str | None = None


def _read_field(cls: type, name: str, annotation: Any, required: bool, inside: tuple[type, ...]) -> _Field:
    try:
        shape = read(annotation, nested=True, _inside=inside)
    except NotReadable as error:
        raise NotReadable(f"is {cls.__name__}, whose {name!r} {error}") from None
    doc = next((str(each.documentation) for each in get_args(annotation)[1:] if isinstance(each, Doc)), None)
    return _Field(shape, required, doc)


def _read_attrs(cls: type, hints: Mapping[str, Any], inside: tuple[type, ...]) -> Shape:
    made = [field for field in attrs.fields(cast(Any, cls)) if field.init]
    fields = {
        field.alias or field.name: _read_field(
            cls, field.name, hints[field.name], field.default is attrs.NOTHING, inside
        )
        for field in made
    }
    for field in made:
        if field.validator is not None:
            name = field.alias or field.name
            narrowed = narrow(fields[name].shape, [cast(Validator, field.validator)], attribute=field)
            fields[name] = attrs.evolve(fields[name], shape=narrowed)

    def make(values: dict[str, Any], path: str, problems: list[Problem]) -> Any:
        try:
            return cls(**values)
        except (ValueError, TypeError) as error:
            problems.append(
                Problem(path, f"is not acceptable: {clip(str(error.args[0] if error.args else error), 200)}")
            )
        except BaseException as error:
            let_through(error)
            problems.append(Problem(path, f"is not acceptable as {cls.__name__}"))
        return INVALID

    return _object(cls, fields, make)


def _read_typeddict(cls: type, hints: Mapping[str, Any], inside: tuple[type, ...]) -> Shape:
    fields: dict[str, _Field] = {}
    for name, hint in hints.items():
        # `__required_keys__` misses qualifiers in postponed annotations, so the hints have the last word.
        required = name in cls.__dict__["__required_keys__"]
        while get_origin(hint) in (Required, NotRequired, ReadOnly):
            required = {Required: True, NotRequired: False}.get(get_origin(hint), required)
            (hint,) = get_args(hint)
        fields[name] = _read_field(cls, name, hint, required, inside)
    return _object(cls, fields, lambda values, path, problems: values)


def _object(
    cls: type, fields: Mapping[str, _Field], make: Callable[[dict[str, Any], str, list[Problem]], Any]
) -> Shape:
    def load(value: Any, path: str, problems: list[Problem]) -> Any:
        if not is_object(value):
            problems.append(Problem(path, expected("an object", value)))
            return INVALID
        before, loaded = len(problems), dict[str, Any]()
        for name, each in until_enough(value.items(), problems):
            if (known := fields.get(name)) is None:
                problems.append(unknown("field", name, fields, path=path))
            else:
                loaded[name] = known.shape.load(each, f"{path}.{name}", problems)
        problems.extend(
            Problem(f"{path}.{name}", "is required")
            for name, known in fields.items()
            if known.required and name not in value
        )
        return make(loaded, path, problems) if len(problems) == before else INVALID

    schema: Schema = {"type": "object", "title": cls.__name__, "additionalProperties": False}
    schema["properties"] = {
        name: {**each.shape.schema, **({"description": each.doc} if each.doc else {})} for name, each in fields.items()
    }
    schema["required"] = [name for name, each in fields.items() if each.required]
    return Shape("object", schema, load)


# ---- constraints ---------------------------------------------------------------------------------------------------


def _validators(metadata: Iterable[Any]) -> list[Validator]:
    """The attrs validators among an annotation's metadata: whatever can be called and is not documentation."""
    return [each for each in metadata if callable(each) and not isinstance(each, Doc | deprecated | type)]


@cache
def _attribute(name: str) -> attrs.Attribute[Any]:
    """An attribute for validators to name in their messages."""
    made = attrs.make_class("Value", {name: attrs.field()})
    return cast("attrs.Attribute[Any]", attrs.fields(made)[0])


def narrow(shape: Shape, validators: Sequence[Validator], *, attribute: attrs.Attribute[Any] | None = None) -> Shape:
    """The shape with attrs validators put upon it."""
    if not validators:
        return shape

    def load(value: Any, path: str, problems: list[Problem]) -> Any:
        before = len(problems)
        loaded = shape.load(value, path, problems)
        if len(problems) == before:
            found = [violation(each, loaded, attribute) for each in validators]
            problems.extend(Problem(path, each) for each in found if each is not None)
        return loaded if len(problems) == before else INVALID

    return Shape(shape.word, narrowed_schema(shape, validators), load)


def narrowed_schema(shape: Shape, validators: Iterable[Any]) -> Schema:
    """The schema of a shape with validators put upon it; where both bound the same, both hold."""
    bounds = _BOUNDED.get(shape.word, {})
    schema = shape.schema
    for each in _parts(validators):
        more = {bounds.get(name, name): bound for name, bound in _bound(each).items()}
        schema = {**schema, "allOf": [*schema.get("allOf", ()), more]} if schema.keys() & more else {**schema, **more}
    return schema


def violation(validator: Validator, value: Any, attribute: attrs.Attribute[Any] | None = None) -> str | None:
    """What an attrs validator has against a value, or None."""
    named = attribute or _attribute("value")
    try:
        validator(None, named, value)
    except (ValueError, TypeError) as error:
        return clip(str(error.args[0] if error.args else error).removeprefix(f"{named.name!r} "), 300)
    except BaseException as error:
        let_through(error)
        # A field's validator may want the instance, and its class runs it once more. Any other has the last word.
        return None if attribute is not None else "is not acceptable"
    return None


#: How lengths are told of what is no string.
_BOUNDED: Mapping[str, Mapping[str, str]] = {
    "array": {"minLength": "minItems", "maxLength": "maxItems"},
    "object": {"minLength": "minProperties", "maxLength": "maxProperties"},
}

_BOUNDS = {">=": "minimum", ">": "exclusiveMinimum", "<=": "maximum", "<": "exclusiveMaximum"}


#: A schema's pattern may match anywhere; Python's methods are told apart by where they begin and end.
_ANCHORED = {"fullmatch": "^(?:{})$", "match": "^(?:{})"}


def _parts(validators: Iterable[Any]) -> Iterable[Any]:
    """The validators with those that attrs joined by `and_` taken apart."""
    for each in validators:
        yield from _parts(each._validators) if hasattr(each, "_validators") else (each,)


def _bound(validator: Any) -> Schema:
    """What JSON Schema can say of one of attrs' own validators; of others it says nothing."""
    # attrs keeps the classes of its validators private; their fields are what it documents in their repr.
    if (operator := getattr(validator, "compare_op", None)) in _BOUNDS:
        return {_BOUNDS[operator]: validator.bound}
    if is_array(options := getattr(validator, "options", None)):
        return {"enum": list(options)}
    if hasattr(validator, "min_length"):
        return {"minLength": validator.min_length}
    if hasattr(validator, "max_length"):
        return {"maxLength": validator.max_length}
    if hasattr(validator, "pattern") and hasattr(validator.pattern, "pattern"):
        return {"pattern": _ANCHORED.get(validator.match_func.__name__, "{}").format(validator.pattern.pattern)}
    schema: Schema = getattr(validator, "json_schema", {})
    return schema
