"""Choose the lifespan for each parameter that takes the value of one, by its class, and the order to open them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from types import NoneType
from typing import Any

from attrs import field, frozen

from ..declare.specs import (
    ActionSpec,
    AnyFunction,
    BotSpec,
    LifespanSpec,
    LifespanValue,
    OptionsSpec,
    ProviderSpec,
    Spec,
)
from ..errors import DeclarationError
from ..utils.error_texts import where
from ..utils.names import nearest

__all__ = ("Lifespans", "choose_lifespans")


@frozen
class Lifespans:
    """The lifespans of one bot, in the order to open them, and the one of each parameter, by function and name."""

    specs: tuple[LifespanSpec, ...] = ()
    of_parameter: Mapping[tuple[AnyFunction, str], LifespanSpec] = field(factory=dict[Any, LifespanSpec])


def choose_lifespans(
    used: Iterable[Spec], declared: Sequence[Spec], families: Sequence[Collection[str]] = ()
) -> Lifespans:
    """Return the lifespans for the declarations that a bot uses, out of all that its modules declare.

    A lifespan of the same module comes before one of the same family of modules, and that before others. Raise
    `DeclarationError` for a parameter with no lifespan or two, and for a value that nothing takes.
    """
    lifespans = [spec for spec in declared if isinstance(spec, LifespanSpec)]
    _reject_unused_lifespans(lifespans, declared)
    of_parameter: dict[tuple[AnyFunction, str], LifespanSpec] = {}
    for spec in used:
        for value in _lifespan_values(spec):
            of_parameter[spec.function, value.name] = _lifespan_of(spec.function, value, lifespans, families)
    needed = [
        lifespan for lifespan in lifespans if lifespan.annotation is NoneType or lifespan in of_parameter.values()
    ]
    return Lifespans(tuple(needed), of_parameter)


def _lifespan_values(spec: Spec) -> Iterable[LifespanValue]:
    if isinstance(spec, ActionSpec | BotSpec | OptionsSpec | ProviderSpec):
        yield from (each for each in spec.given if isinstance(each, LifespanValue))


def _reject_unused_lifespans(lifespans: Iterable[LifespanSpec], declared: Iterable[Spec]) -> None:
    taken = [value.annotation for spec in declared for value in _lifespan_values(spec)]
    for lifespan in lifespans:
        if lifespan.annotation is not NoneType and lifespan.annotation not in taken:
            name = _class_name(lifespan.annotation)
            message = (
                f"yields {name}, which nothing takes. Take it before a '/', as in (session: Session, {lifespan.name}: "
            )
            raise DeclarationError(
                lifespan.function, f"{message}{name}, /), or yield nothing, as in -> AsyncGenerator[None]."
            )


def _lifespan_of(
    function: AnyFunction, value: LifespanValue, lifespans: Sequence[LifespanSpec], families: Sequence[Collection[str]]
) -> LifespanSpec:
    fitting = [lifespan for lifespan in lifespans if lifespan.annotation == value.annotation]
    if not fitting:
        raise DeclarationError(function, _missing_lifespan(value, lifespans))
    distances = [_module_distance(function.__module__, each.function.__module__, families) for each in fitting]
    near = [each for each, distance in zip(fitting, distances, strict=True) if distance == min(distances)]
    if len(near) > 1:
        places = " and ".join(where(each.function) for each in near)
        message = (
            f"takes {value.name!r}, and two lifespans yield {_class_name(value.annotation)}: {places}. Remove one, or "
        )
        raise DeclarationError(function, f"{message}give it a class of its own.")
    return near[0]


def _module_distance(one: str, other: str, families: Iterable[Collection[str]]) -> int:
    if one == other:
        return 0
    return 1 if any(one in family and other in family for family in families) else 2


def _missing_lifespan(value: LifespanValue, lifespans: Iterable[LifespanSpec]) -> str:
    name, known = _class_name(value.annotation), {_class_name(lifespan.annotation): lifespan for lifespan in lifespans}
    problem = f"takes '{value.name}: {name}' before the '/', but no @lifespan of the bot or its plugins yields {name}."
    near = known[nearest(name, known) or next(iter(known))] if known else None
    if near is not None:
        problem += f" {where(near.function)} yields {_class_name(near.annotation)}."
    how = f"Write one with -> AsyncGenerator[{name}]. The live service is the first parameter, and what a client sends "
    return f"{problem} {how}is after the '/'."


def _class_name(annotation: Any) -> str:
    return str(getattr(annotation, "__name__", annotation))
