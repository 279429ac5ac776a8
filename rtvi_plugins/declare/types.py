"""A Python type, read once: what it is on the wire, its JSON Schema, and how a value is checked against it.

`read` walks an annotation and returns a `Shape`. The same walk yields the RTVI type word, the JSON Schema and the
function that checks and loads a value, so a type is either understood in all three ways or refused.

Checks are strict in both directions: `"false"` is no bool, `true` no number, `3.5` no int (`3.0` is one), NaN no
number. A loader never raises; it appends `Problem`s, so that everything wrong with a message is found at once.

Validation is this project's own business and is written out here; cattrs turns values into JSON (`to_json`).
"""

from __future__ import annotations

import inspect
import math
import types
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
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

from ..errors import DeclarationError, Problem, unknown
from ..utils.control_flow import reraise_control_flow
from ..utils.diagnostics import authors_line, shorten
from ..utils.json_values import (
    MAX_PROBLEMS,
    check_json,
    expected,
    is_array,
    is_object,
    json_problem,
    member_path,
    until_max_problems,
)
from .constraints import read_validators
from .defaults import changeable_part
from .rules import ANYTHING, Loads, NoneRefused, NotReadable, Rule, Schema, Validator, merged

if TYPE_CHECKING:
    from cattrs import Converter

__all__ = (
    "INVALID",
    "Loader",
    "NotReadable",
    "Shape",
    "Validator",
    "Was",
    "check",
    "narrow",
    "read",
    "restricted_schema",
    "restriction",
    "to_checked_json",
    "to_json",
    "violations",
)

#: Returned by a loader beside a problem; never reaches a function.
INVALID: Any = object()

T = TypeVar("T")

Loader: TypeAlias = Callable[[Any, str, list[Problem]], Any]


@frozen
class Was:
    """A former name of an argument or option, still accepted: `Annotated[str, Was("voice_id")]`."""

    name: str

    def __attrs_post_init__(self) -> None:
        name: Any = self.name
        if not isinstance(name, str) or not name:
            raise DeclarationError(
                None, f"Was({name!r}) ({authors_line()}) needs a former name, as in Was('voice_id')."
            )


@frozen
class Shape:
    """What a type is on the wire. A value whose class is `exact` needs no further check.

    `expects` names it in messages, and `loads` says which Python classes its values have.
    """

    rtvi_type: str
    schema: Schema
    load: Loader
    exact: type | None = None
    expects: str = "a value"
    loads: Loads = ANYTHING


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

    # cattrs takes the members of a StrEnum for plain strings, and leaves them as they are.
    made.register_unstructure_hook(str, lambda text: text.value if isinstance(text, Enum) else text)

    @made.register_unstructure_hook_factory(attrs.has)
    def dumper(cls: type[Any]) -> Callable[[Any], Any]:  # pyright: ignore[reportUnusedFunction]
        # A field goes by the name under which its class takes it: `_key` is `key`.
        return make_dict_unstructure_fn(cls, made, _cattrs_use_alias=True)

    return made


def to_json(value: Any) -> Any:
    """A value in its JSON form: attrs objects as objects, enum members as their values."""
    return _converter().unstructure(value)


def to_checked_json(value: Any) -> Any:
    """A value in its JSON form. `TypeError` with the path of the first part of it that JSON cannot carry."""
    try:
        form = to_json(value)
    except RecursionError:
        raise TypeError("JSON cannot carry this: $: it nests too deep, or contains itself.") from None
    check_json(form)
    return form


# ---- reading -------------------------------------------------------------------------------------------------------


def read(annotation: Any, *, nested: bool = False, _inside: tuple[type, ...] = ()) -> Shape:
    """The shape of an annotation. `NotReadable` when it has none."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        shape = _annotated(args[0], _validators(args[1:]), nested, _inside)
        return _documented(shape, args[1:]) if nested else shape
    if isinstance(annotation, type) and annotation in _PRIMITIVES:  # any other may hold what cannot be hashed
        return _PRIMITIVES[annotation]
    if annotation is None or annotation is type(None):
        return _NULL
    if annotation is Any or annotation is object:
        if nested:
            return _ANY
        raise NotReadable("is Any, which describes nothing. Use dict[str, Any], list[Any] or an attrs class")
    if origin is Literal:
        return _literal(args)
    if members := _members(annotation):
        return _union([read(each, nested=nested, _inside=_inside) for each in members])
    if (generic := origin or annotation) in _CONTAINERS:
        return _CONTAINERS[generic](generic, args, _inside)
    if isinstance(annotation, type):
        return _read_class(cast("type[Any]", annotation), _inside)
    raise NotReadable(_no_type(annotation))


def _annotated(inner: Any, validators: Sequence[Validator], nested: bool, inside: tuple[type, ...]) -> Shape:
    try:
        return narrow(read(inner, nested=nested, _inside=inside), validators)
    except NoneRefused as error:
        left = " | ".join(_spelled(each) for each in _members(inner) if each is not type(None))
        if not left:  # None is what something inside of it accepts
            raise
        raise NotReadable(
            f"accepts None, but {error.constraint} does not. Write Annotated[{left}, {error.constraint}] | None"
        ) from None


def _members(annotation: Any) -> Sequence[Any]:
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else ()


def _documented(shape: Shape, metadata: Iterable[Any]) -> Shape:
    """The shape of a part of a type, with what its author says of it. Of a whole one, its parameter says it."""
    said: Schema = {}
    for each in metadata:
        if isinstance(each, Was):
            raise NotReadable(f"has Was({each.name!r}) inside. Only an argument or an option has former names")
        if isinstance(each, Doc):
            said["description"] = str(each.documentation)
        elif isinstance(each, deprecated):
            said["deprecated"] = True
    if (bad := json_problem(said)) is not None:
        raise NotReadable(f"has a Doc that cannot be sent as JSON: {bad[1]}")
    return attrs.evolve(shape, schema=merged([shape.schema, said]))


def _spelled(annotation: Any) -> str:
    return annotation.__name__ if annotation.__class__ is type else str(annotation).replace("typing.", "")


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
    except Exception as error:  # postponed annotations are code, which may raise anything
        raise NotReadable(f"is {cls.__name__}, which has an annotation that is not a type: {error}") from None
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
    word = "a whole number of 64 bits, written without fraction and exponent" if is_large else "a whole number"
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
        for index, item in until_max_problems(enumerate(value), problems):
            _load_any(item, f"{path}[{index}]", problems)
    elif is_object(value):
        if bad := _bad_names(value):
            problems.append(Problem(path, bad))
        else:
            for key, item in until_max_problems(value.items(), problems):
                _load_any(item, member_path(path, key), problems)
    elif not (value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))):
        problems.append(Problem(path, expected("a JSON value", value)))
    return value


def _bad_names(value: Mapping[Any, Any]) -> str | None:
    """What is wrong with the names of an object that did not come from JSON."""
    for key in value:
        if not isinstance(key, str):
            return f"expected names that are strings, got {shorten(repr(key))}"
    return None


_ANY = Shape("object", {}, _load_any, expects="a JSON value")
_NULL = Shape("null", {"type": "null"}, _load_none, type(None), "null", Loads((type(None),)))

_PRIMITIVES: Mapping[Any, Shape] = {
    str: Shape("string", {"type": "string"}, _exactly(str, "a string"), str, "a string", Loads((str,))),
    bool: Shape("bool", {"type": "boolean"}, _exactly(bool, "true or false"), bool, "true or false", Loads((bool,))),
    int: Shape("number", {"type": "integer"}, _load_int, int, "a whole number", Loads((int,))),
    float: Shape("number", {"type": "number"}, _load_float, None, "a number", Loads((float,))),
}


# ---- choices and unions --------------------------------------------------------------------------------------------


def _literal(values: Sequence[Any]) -> Shape:
    """`Literal["a", None]` is `Literal["a"] | None`."""
    named = [each for each in values if each is not None]
    return _choice(named) if len(named) == len(values) else _union([_choice(named), _NULL]) if named else _NULL


def _choice(values: Iterable[Any], make: Callable[[Any], Any] | None = None) -> Shape:
    """One of some values, told apart by class too: `True` is not `1`."""
    allowed = list(values)
    if not allowed:
        raise NotReadable("has no choices. Name at least one")
    for each in allowed:
        if each.__class__ not in (str, int, bool):
            raise NotReadable(f"has the choice {shorten(repr(each))}, which is no string, whole number or bool")
    if (bad := json_problem(allowed)) is not None:
        raise NotReadable(f"has a choice that cannot be sent: {bad[1]}")
    by_key = {(value.__class__, value): make(value) if make else value for value in allowed}

    def load(value: Any, path: str, problems: list[Problem]) -> Any:
        sent = _whole(value)
        if isinstance(sent, str | int) and (sent.__class__, sent) in by_key:
            return by_key[sent.__class__, sent]
        problems.append(_not_a_choice(value, allowed, path))
        return INVALID

    word = _PRIMITIVES[type(allowed[0])].rtvi_type
    loads = Loads(tuple(dict.fromkeys(each.__class__ for each in by_key.values())))
    return Shape(word, {"enum": allowed}, load, expects=_one_of(allowed), loads=loads)


def _one_of(allowed: Sequence[Any]) -> str:
    return f"one of {shorten(', '.join(repr(item) for item in allowed), 300)}"


def _not_a_choice(value: Any, allowed: Sequence[Any], path: str) -> Problem:
    names = [item for item in allowed if isinstance(item, str)]
    suggestion = unknown("value", value, names).suggestion if isinstance(value, str) else None
    return Problem(path, expected(_one_of(allowed), value), suggestion)


def _union(members: Sequence[Shape]) -> Shape:
    """Any of some shapes, tried in order. `X | None` is described as X."""
    named = [each for each in members if each.exact is not type(None)]
    if not named:
        return members[0]

    def load(value: Any, path: str, problems: list[Problem]) -> Any:
        tries: list[list[Problem]] = []
        for each in members:
            wrong: list[Problem] = []
            loaded = each.load(value, path, wrong)
            if not wrong:
                return loaded
            tries.append(wrong)
        problems.extend(_nearest(members, tries, value, path))
        return INVALID

    loads = members[0].loads
    for each in members[1:]:
        loads = loads | each.loads
    schema: Schema = {"anyOf": [each.schema for each in members]}
    return Shape(named[0].rtvi_type, schema, load, expects=_either(members), loads=loads)


def _either(members: Iterable[Shape]) -> str:
    return " or ".join(dict.fromkeys(each.expects for each in members))


def _nearest(members: Sequence[Shape], tries: Sequence[list[Problem]], value: Any, path: str) -> list[Problem]:
    """The problems of the member that the value was meant for: one of its JSON type, wrong inside in the fewest places.

    Where none is like that, one problem that names all that it could have been.
    """
    alike = [index for index, each in enumerate(members) if _json_type(value) in _json_types(each.schema)]
    inside = [index for index in alike if any(problem.path != path for problem in tries[index])]
    if inside:
        return tries[min(inside, key=lambda index: _distance(members[index], tries[index], path))]
    if len(alike) == 1:
        return tries[alike[0]]
    suggestion = next((each.suggestion for found in tries for each in found if each.suggestion is not None), None)
    return [
        Problem(path, expected(_either(members[index] for index in alike or range(len(members))), value), suggestion)
    ]


def _distance(shape: Shape, problems: Iterable[Problem], path: str) -> int:
    """How far a value is from an object's shape: a field of one choice, as a tag is, counts more than all others."""
    fields: Mapping[str, Schema] = shape.schema.get("properties", {})
    tags = {member_path(path, name) for name, each in fields.items() if len(each.get("enum", ())) == 1}
    return sum(MAX_PROBLEMS if problem.path in tags else 1 for problem in problems)


def _json_type(value: Any) -> str:
    names: Mapping[type, str] = {bool: "boolean", int: "number", float: "number", str: "string", type(None): "null"}
    return names.get(value.__class__, "array" if is_array(value) else "object")


def _json_types(schema: Schema) -> Collection[str]:
    """The JSON types that a schema may accept."""
    if "anyOf" in schema and "type" not in schema:
        return {name for each in schema["anyOf"] for name in _json_types(each)}
    if "enum" in schema:
        return {_json_type(each) for each in schema["enum"]}
    names: Any = schema.get("type", ["boolean", "number", "string", "null", "array", "object"])
    return {"number" if name == "integer" else name for name in ([names] if isinstance(names, str) else names)}


# ---- containers ----------------------------------------------------------------------------------------------------


def _array(generic: Any, args: tuple[Any, ...], inside: tuple[type, ...]) -> Shape:
    if generic is tuple and args and args[-1] is not Ellipsis:
        return _fixed_array([read(arg, nested=True, _inside=inside) for arg in args])
    item = read(args[0], nested=True, _inside=inside) if args else _ANY
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
    loads = Loads((list if generic is list else tuple,), items=item.loads)
    return Shape("array", schema, load, expects="an array", loads=loads)


def _fixed_array(items: Sequence[Shape]) -> Shape:
    def load(value: Any, path: str, problems: list[Problem]) -> Any:
        if not is_array(value) or len(value) != len(items):
            problems.append(Problem(path, expected(f"an array of {len(items)}", value)))
            return INVALID
        pairs = enumerate(zip(items, value, strict=True))
        return tuple(item.load(each, f"{path}[{index}]", problems) for index, (item, each) in pairs)

    schema = {"type": "array", "prefixItems": [item.schema for item in items], "items": False, "minItems": len(items)}
    inner: Loads | None = None
    for item in items:
        inner = item.loads if inner is None else inner | item.loads
    return Shape("array", schema, load, expects=f"an array of {len(items)}", loads=Loads((tuple,), items=inner))


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
    return Shape("object", schema, load, expects="an object", loads=Loads((dict,), values=item.loads))


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


def _read_field(cls: type, name: str, annotation: Any, required: bool, inside: tuple[type, ...]) -> _Field:
    try:
        shape = read(annotation, nested=True, _inside=inside)
    except NotReadable as error:
        raise NotReadable(f"is {cls.__name__}, whose {name!r} {error}") from None
    return _Field(shape, required)


def _read_attrs(cls: type, hints: Mapping[str, Any], inside: tuple[type, ...]) -> Shape:
    made = [field for field in attrs.fields(cast(Any, cls)) if field.init]
    fields = {field.alias or field.name: _read_attribute(cls, field, hints, inside) for field in made}
    _check_init(cls, fields)
    for field in made:
        name = field.alias or field.name
        try:
            shape = fields[name].shape
            if field.validator is not None:
                shape = narrow(shape, [cast(Validator, field.validator)], attribute=field)
                fields[name] = attrs.evolve(fields[name], shape=shape)
            _check_field_default(field.default, shape)
        except NotReadable as error:
            raise NotReadable(f"is {cls.__name__}, whose {field.name!r} {error}") from None

    def make(values: dict[str, Any], path: str, problems: list[Problem]) -> Any:
        try:
            return cls(**values)
        except ValueError as error:
            problems.append(
                Problem(path, f"is not acceptable: {shorten(str(error.args[0] if error.args else error), 200)}")
            )
        except BaseException as error:
            reraise_control_flow(error)
            problems.append(Problem(path, f"is not acceptable as {cls.__name__}"))
        return INVALID

    return _object(cls, fields, make, cls)


def _read_attribute(
    cls: type, field: attrs.Attribute[Any], hints: Mapping[str, Any], inside: tuple[type, ...]
) -> _Field:
    annotation = hints.get(field.name, field.type)
    if annotation is None:
        raise NotReadable(f"is {cls.__name__}, whose {field.name!r} has no type. Annotate it, as in {field.name}: str")
    return _read_field(cls, field.name, annotation, field.default is attrs.NOTHING, inside)


def _check_init(cls: type, names: Iterable[str]) -> None:
    """Refuse a class of which no value could ever be made."""
    try:
        inspect.signature(cls).bind(**dict.fromkeys(names))
    except TypeError:
        takes = ", ".join(names) or "no arguments"
        raise NotReadable(f"is {cls.__name__}, whose own __init__ is not called as attrs' is, with {takes}") from None


def _check_field_default(default: Any, shape: Shape) -> None:
    """Refuse what every object of the class would share, and what a client could not have sent."""
    if default is attrs.NOTHING or isinstance(default, attrs.Factory):  # type: ignore[arg-type]  # it is a class
        return
    if (changeable := changeable_part(default)) is not None:
        raise NotReadable(f"has a default with a {changeable}, which all objects would share. Use field(factory=…)")
    if problems := check(shape, to_json(default))[1]:
        raise NotReadable(f"has a default that does not fit its type: {problems[0].message}")


def _read_typeddict(cls: type, hints: Mapping[str, Any], inside: tuple[type, ...]) -> Shape:
    fields: dict[str, _Field] = {}
    for name, hint in hints.items():
        # `__required_keys__` misses qualifiers in postponed annotations, so the hints have the last word.
        required = name in cls.__dict__["__required_keys__"]
        while get_origin(hint) in (Required, NotRequired, ReadOnly):
            required = {Required: True, NotRequired: False}.get(get_origin(hint), required)
            (hint,) = get_args(hint)
        fields[name] = _read_field(cls, name, hint, required, inside)
    return _object(cls, fields, lambda values, path, problems: values, dict)


def _object(
    cls: type, fields: Mapping[str, _Field], make: Callable[[dict[str, Any], str, list[Problem]], Any], loaded_as: type
) -> Shape:
    # Paths are joined from parts that are made once: a message may hold thousands of objects.
    known = {name: (each.shape.exact, each.shape.load, member_path("", name)) for name, each in fields.items()}
    required = frozenset(name for name, each in fields.items() if each.required)

    def load(value: Any, path: str, problems: list[Problem]) -> Any:
        if not is_object(value):
            problems.append(Problem(path, expected("an object", value)))
            return INVALID
        before, loaded = len(problems), dict[str, Any]()
        for name, each in value.items():
            if len(problems) >= MAX_PROBLEMS:
                break
            if name not in known:
                problems.append(unknown("field", name, fields, path=member_path(path, name)))
                continue
            exact, load_field, below = known[name]
            loaded[name] = each if each.__class__ is exact else load_field(each, path + below, problems)
        if not required <= value.keys():
            problems.extend(
                Problem(path + known[name][2], "is required") for name in fields if name in required - value.keys()
            )
        return make(loaded, path, problems) if len(problems) == before else INVALID

    schema: Schema = {"type": "object", "title": cls.__name__, "additionalProperties": False}
    schema["properties"] = {name: each.shape.schema for name, each in fields.items()}
    schema["required"] = [name for name, each in fields.items() if each.required]
    return Shape("object", schema, load, expects="an object", loads=Loads((loaded_as,)))


# ---- constraints ---------------------------------------------------------------------------------------------------


def _validators(metadata: Iterable[Any]) -> list[Validator]:
    """The attrs validators among an annotation's metadata, which holds nothing else that is not understood."""
    others = [each for each in metadata if not isinstance(each, Doc | deprecated | Was)]
    for each in others:
        if isinstance(each, type) or not callable(each):
            name = getattr(each, "__name__", shorten(repr(each)))
            raise NotReadable(
                f"has {name} in Annotated, which means nothing here. Use Doc(…), Was(…) or a validator, as ge(0)"
            )
    return others


def narrow(shape: Shape, validators: Sequence[Validator], *, attribute: attrs.Attribute[Any] | None = None) -> Shape:
    """The shape with attrs validators put upon it. `NotReadable` for one that some of its values could never pass."""
    if not validators:
        return shape
    rule = read_validators(validators, shape.loads, strict=True, attribute=attribute)

    def load(value: Any, path: str, problems: list[Problem]) -> Any:
        before = len(problems)
        loaded = shape.load(value, path, problems)
        if len(problems) == before:
            rule.check(loaded, path, problems)
        return loaded if len(problems) == before else INVALID

    expects = f"{shape.expects} that must {rule.phrase}"
    return Shape(shape.rtvi_type, merged([shape.schema, rule.schema]), load, expects=expects, loads=shape.loads)


def restriction(shape: Shape, validator: Validator) -> Rule:
    """What a grant's validator adds to a shape. It may rule out some of its types. `NotReadable` if it fits none."""
    return read_validators([validator], shape.loads, strict=False)


def restricted_schema(shape: Shape, validator: Validator) -> Schema:
    """The schema of a shape under a grant's validator."""
    return merged([shape.schema, restriction(shape, validator).schema])


def violations(shape: Shape, validator: Validator, value: Any, path: str = "$") -> list[Problem]:
    """What a grant's validator has against a loaded value."""
    problems: list[Problem] = []
    restriction(shape, validator).check(value, path, problems)
    return problems
