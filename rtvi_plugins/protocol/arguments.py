"""Turn the arguments in a message into keyword arguments, or find every problem with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import attrs
from attrs import frozen

from ..declare.specs import REQUIRED, Parameter
from ..declare.types import Validator, check
from ..declare.validators import restriction
from ..errors import InvalidArguments, NotGranted, Problem, unknown
from ..utils.error_texts import shorten
from ..utils.json_values import expected, is_array, is_object, member_path, until_max_problems

__all__ = ("Binder", "NamedValue", "named_values")


class Binder:
    """Checks the arguments of one action.

    Valid arguments are checked on a fast path. Invalid ones are read again to collect every problem.
    """

    __slots__ = ("_loaders", "_parameters", "_required", "_restrictions")

    def __init__(self, parameters: Mapping[str, Parameter], restrictions: Mapping[str, Validator]) -> None:
        self._parameters = parameters
        self._restrictions = {
            name: restriction(parameters[name].shape, validator)
            for name, validator in restrictions.items()
            if name in parameters
        }
        self._required = frozenset(name for name, each in parameters.items() if each.required)
        self._loaders = {
            name: (parameter.name, parameter.shape.exact, parameter.shape.load)
            for parameter in parameters.values()
            for name in (parameter.name, *parameter.was)
        }

    def bind(self, sent: Any, path: str) -> dict[str, Any]:
        """Return the keyword arguments for a list of `{name, value}`, or for an object of values by name.

        Raise `InvalidArguments` with all problems, or `NotGranted` for valid values that the grant does not allow.
        """
        if sent is None:
            sent = ()
        bound = self._bind_fast(sent) if sent.__class__ is list else None
        if bound is None:
            bound = self._bind_slow(sent, path)
        if self._restrictions:
            self._restrict(bound, partial(self.path_of, sent, path))
        return bound

    def bind_message(self, sent: Any, path: str) -> dict[str, Any]:
        """Return the keyword arguments of an action whose only argument is the data of a client message.

        `sent` is `REQUIRED` for a message without data. Then the argument has its default, or null if it has none.
        Raise like `bind`.
        """
        bound: dict[str, Any] = {}
        problems: list[Problem] = []
        for parameter in self._parameters.values():
            if sent is not REQUIRED:
                bound[parameter.name] = parameter.shape.load(sent, path, problems)
            elif parameter.required:
                bound[parameter.name] = parameter.shape.load(None, path, problems)
        if not self._parameters and sent is not REQUIRED and sent is not None:
            problems.append(Problem(path, expected("no data", sent)))
        if problems:
            raise InvalidArguments(problems)
        if self._restrictions:
            self._restrict(bound, lambda _: path)
        return bound

    def _bind_fast(self, sent: list[Any]) -> dict[str, Any] | None:
        known = self._loaders
        bound: dict[str, Any] = {}
        try:
            for each in sent:
                name, exact, load = known[each["name"]]
                value = each["value"]
                if value.__class__ is exact:
                    bound[name] = value
                else:
                    problems: list[Problem] = []
                    bound[name] = load(value, "", problems)
                    if problems:
                        return None
        except (KeyError, TypeError, IndexError):
            return None
        return bound if len(bound) == len(sent) and self._required <= bound.keys() else None

    def _bind_slow(self, sent: Any, path: str) -> dict[str, Any]:
        problems: list[Problem] = []
        bound: dict[str, Any] = {}
        for each in named_values(sent, path, problems):
            if each.name not in self._loaders:
                problems.append(unknown("argument", each.name, self._parameters, path=each.name_path))
                continue
            own, _, load = self._loaders[each.name]
            if own in bound:
                problems.append(Problem(each.name_path, f"{own}: was sent already; send each argument once."))
                continue
            misfits: list[Problem] = []
            bound[own] = load(each.value, each.path, misfits)
            problems.extend(attrs.evolve(misfit, message=f"{each.name}: {misfit.message}") for misfit in misfits)
        problems.extend(
            Problem(path, f"{name}: is required ({parameter.shape.rtvi_type})")
            for name, parameter in self._parameters.items()
            if parameter.required and name not in bound
        )
        if problems:
            raise InvalidArguments(problems)
        return bound

    def _restrict(self, bound: Mapping[str, Any], path_of: Callable[[str], str]) -> None:
        problems: list[Problem] = []
        for name, rule in self._restrictions.items():
            ungranted: list[Problem] = []
            parameter = self._parameters[name]
            # A default is checked against the grant too.
            argument = bound[name] if name in bound else check(parameter.shape, parameter.default)[0]
            rule.check(argument, "", ungranted)
            problems.extend(
                Problem(f"{path_of(name)}{each.path}", f"{name}: the bot does not grant this value: {each.message}")
                for each in ungranted
            )
        if problems:
            raise NotGranted(problems)

    def path_of(self, sent: Any, path: str, name: str) -> str:
        """Return the path of an argument, or the path of all arguments if it was left out."""
        values = named_values(sent, path, [])
        return next(
            (each.path for each in values if each.name in self._loaders and self._loaders[each.name][0] == name), path
        )


@frozen
class NamedValue:
    """A value with a name, and the JSON paths of both."""

    name: str
    value: Any
    path: str
    name_path: str


def named_values(
    sent: Any, path: str, problems: list[Problem], name: str = "name", value: str = "value", default: Any = REQUIRED
) -> Iterator[NamedValue]:
    """Yield the values in a list of `{name, value}`, or in an object of values by name. Anything else is a problem.

    `name` and `value` are the names of the two members, and `default` is the value if there is none.
    """
    if is_object(sent):
        for key, member in until_max_problems(sent.items(), problems):
            at = member_path(path, key)
            yield NamedValue(key, member, at, at)
        return
    if not is_array(sent):
        problems.append(Problem(path, expected(f"an array of {{{name}, {value}}}", sent)))
        return
    for index, each in until_max_problems(enumerate(sent), problems):
        at = f"{path}[{index}]"
        sent_name = each.get(name) if is_object(each) else None
        if not isinstance(sent_name, str):
            where = f"{at}.{name}" if sent_name is not None else at
            problems.append(Problem(where, f"expected an object {{{name}, {value}}} whose {name} is a string."))
        elif (sent_value := each.get(value, default)) is REQUIRED:
            problems.append(Problem(at, f"{shorten(sent_name)}: has no {value}."))
        else:
            yield NamedValue(sent_name, sent_value, f"{at}.{value}", f"{at}.{name}")
