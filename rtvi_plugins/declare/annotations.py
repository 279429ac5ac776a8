"""Read the annotations of a function, each into its `Shape`.

One reading gives the RTVI type, the JSON Schema and the loader. A type that lacks any of the three is rejected.

Checks are strict in both directions: `"false"` is not a bool, `true` is not a number, `3.5` is not an int (`3.0` is),
and NaN is not a number.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Annotated, Any, Literal, NewType, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import attrs
from typing_extensions import Doc, TypeAliasType, deprecated, is_typeddict

from ..errors import DeclarationError
from ..utils.error_texts import shorten
from ..utils.json_values import json_problem
from .arrays_and_objects import CONTAINERS, attrs_shape, typeddict_shape
from .specs import AnyFunction
from .types import (
    ANY,
    NULL,
    PRIMITIVES,
    NoneRejected,
    Schema,
    Shape,
    UnsupportedType,
    Validator,
    Was,
    choice_shape,
    literal_shape,
    merged,
    union_shape,
)
from .validators import narrow

__all__ = ("meaning_of", "read", "read_hints")


def read_hints(function: AnyFunction) -> dict[str, Any]:
    """Return a function's annotations, resolved. Raise `DeclarationError` for one that cannot be resolved."""
    try:
        return get_type_hints(function, include_extras=True)
    except NameError as error:
        raise DeclarationError(
            function,
            f"cannot resolve the annotation {error.name!r}. Import it at module level, not under TYPE_CHECKING, "
            "and above this function.",
        ) from None
    except Exception as error:  # postponed annotations are code, which may raise anything
        raise DeclarationError(function, f"has an annotation that is not a type: {str(error).rstrip('.')}.") from None


def read(annotation: Any, *, nested: bool = False, _inside: tuple[Any, ...] = ()) -> Shape:
    """Return the shape of an annotation. Raise `UnsupportedType` if it has none.

    `nested` is set for items and fields, whose schema has their documentation. `_inside` holds the classes and aliases
    around it.
    """

    def read_part(part: Any) -> Shape:
        return read(part, nested=True, _inside=_inside)

    if (meant := meaning_of(annotation)) is not annotation:
        if any(each is annotation for each in _inside):
            raise UnsupportedType(_contains_itself(annotation))
        return read(meant, nested=nested, _inside=(*_inside, annotation))
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        shape = _narrowed_by(args[0], _validators(args[1:]), nested, _inside)
        return _with_documentation(shape, args[1:]) if nested else shape
    if isinstance(annotation, type) and annotation in PRIMITIVES:  # another annotation may not be hashable
        return PRIMITIVES[annotation]
    if annotation is None or annotation is type(None):
        return NULL
    if annotation is Any or annotation is object:
        return ANY
    if origin is Literal:
        return literal_shape(args)
    if members := _union_members(annotation):
        return union_shape([read(member, nested=nested, _inside=_inside) for member in members])
    if origin is tuple and not args and repr(annotation).endswith("[()]"):  # `typing.Tuple` alone has an origin too
        raise UnsupportedType("is an array without items. Name the type of its items, as in tuple[int, ...]")
    for generic, read_container in CONTAINERS.items():
        if generic is (origin or annotation):
            return read_container(generic, args, read_part)
    if isinstance(annotation, type):
        return _read_class(cast("type[Any]", annotation), _inside)
    raise UnsupportedType(_no_rtvi_type(annotation))


#: The classes of type aliases: before Python 3.14, that of typing_extensions is another.
_ALIASES: tuple[Any, ...] = (TypeAliasType, getattr(typing, "TypeAliasType", TypeAliasType))


def meaning_of(annotation: Any) -> Any:
    """Return the type for which a `NewType` or a type alias is a name; any other annotation as it is."""
    if isinstance(annotation, NewType):
        return annotation.__supertype__
    if not isinstance(annotation, _ALIASES):
        return annotation
    try:
        return annotation.__value__
    except Exception as error:  # the type of an alias is code that runs only now
        raise UnsupportedType(f"is {annotation}, an alias of what is not a type: {error}") from None


def _narrowed_by(inner: Any, validators: Sequence[Validator], nested: bool, inside: tuple[Any, ...]) -> Shape:
    try:
        return narrow(read(inner, nested=nested, _inside=inside), validators)
    except NoneRejected as error:
        left = " | ".join(_annotation_text(member) for member in _union_members(inner) if member is not type(None))
        if not left:  # a nested type accepts None, not this one
            raise
        raise UnsupportedType(
            f"accepts None, but {error.constraint} does not. Write Annotated[{left}, {error.constraint}] | None"
        ) from None


def _union_members(annotation: Any) -> Sequence[Any]:
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else ()


def _with_documentation(shape: Shape, metadata: Iterable[Any]) -> Shape:
    """Add `Doc` and `deprecated` of a nested type to its schema. Those of a whole type belong to its parameter."""
    texts: Schema = {}
    for each in metadata:
        if isinstance(each, Was):
            raise UnsupportedType(
                f"has Was({each.name!r}) on a part of the type. Put it on the whole argument or option"
            )
        if isinstance(each, Doc):
            texts["description"] = str(each.documentation)
        elif isinstance(each, deprecated):
            texts["deprecated"] = True
    if (bad := json_problem(texts)) is not None:
        raise UnsupportedType(f"has a Doc that cannot be sent as JSON: {bad[1]}")
    return attrs.evolve(shape, schema=merged([shape.schema, texts]))


def _annotation_text(annotation: Any) -> str:
    return annotation.__name__ if annotation.__class__ is type else str(annotation).replace("typing.", "")


def _no_rtvi_type(annotation: Any) -> str:
    name = getattr(annotation, "__name__", None) or str(annotation)
    if isinstance(annotation, TypeVar):
        return f"is {name}, a type variable, which has no RTVI type. Write the type that it is for"
    generic: Any = get_origin(annotation)
    if isinstance(generic, _ALIASES) or attrs.has(generic) or is_typeddict(generic):
        return f"is {name}[…], a generic type, which has no RTVI type. Write a type without type variables"
    return f"is {name}, which has no RTVI type. Use str, bool, int, float, list, dict, Literal, or an attrs class"


def _contains_itself(named: Any) -> str:
    return f"is {named.__name__}, which contains itself. Use dict[str, Any] where it repeats"


def _read_class(cls: type[Any], inside: tuple[Any, ...]) -> Shape:
    if issubclass(cls, Enum):
        return choice_shape([member.value for member in cls], cls)
    if not (attrs.has(cls) or is_typeddict(cls)):
        raise UnsupportedType(_no_rtvi_type(cls))
    if cls in inside:
        raise UnsupportedType(_contains_itself(cls))
    try:
        hints = get_type_hints(cls, include_extras=True)
    except NameError as error:
        raise UnsupportedType(
            f"is {cls.__name__}, whose annotation {error.name!r} cannot be resolved. Import it at module level, "
            "not under TYPE_CHECKING"
        ) from None
    except Exception as error:  # a postponed annotation is code, which may raise anything
        raise UnsupportedType(f"is {cls.__name__}, which has an annotation that is not a type: {error}") from None

    def read_field(part: Any) -> Shape:
        return read(part, nested=True, _inside=(*inside, cls))

    return (attrs_shape if attrs.has(cls) else typeddict_shape)(cls, hints, read_field)


def _validators(metadata: Iterable[Any]) -> list[Validator]:
    """Return the attrs validators of an annotation's metadata. Anything else must be `Doc`, `deprecated` or `Was`."""
    others = [each for each in metadata if not isinstance(each, Doc | deprecated | Was)]
    for each in others:
        if isinstance(each, type) or not callable(each):
            name = getattr(each, "__name__", shorten(repr(each)))
            raise UnsupportedType(
                f"has {name} in Annotated, which is not a validator. Use a validator such as ge(0), Doc(…) or Was(…)"
            )
    return others
