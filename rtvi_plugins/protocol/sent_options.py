"""Read the options in an `update-config` message, in a start request, or in the operator's defaults."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import islice
from typing import Any

from attrs import define

from ..errors import Problem, unknown
from ..utils.json_values import expected, is_array, is_object, member_path, until_max_problems
from .arguments import named_values

__all__ = ("SentOption", "read_sent_options")

#: No bot has so many options; a longer config is not read to its end.
_MOST_OPTIONS = 1_000


@define
class SentOption:
    """One option that was sent, with the JSON paths of its value and of its name."""

    service: str
    name: str
    value: Any
    path: str
    name_path: str


def read_sent_options(
    sent: Any, path: str, problems: list[Problem], known: Collection[str]
) -> tuple[list[SentOption], list[Problem]]:
    """Return the options in their order, and a problem for each unknown service.

    A config is a list of `{service, options}`, or an object of values by service. Anything else adds to `problems`.
    """
    options: list[SentOption] = []
    unknown_services: list[Problem] = []
    for service, values, at, values_at in until_max_problems(_services(sent, path, problems), unknown_services):
        if service not in known:
            unknown_services.append(unknown("service", service, known, path=at))
            continue
        found = named_values(values, values_at, problems)
        options.extend(
            SentOption(service, each.name, each.value, each.path, each.name_path)
            for each in islice(found, _MOST_OPTIONS - len(options))
        )
        if len(options) >= _MOST_OPTIONS:
            problems.append(Problem(path, f"has {_MOST_OPTIONS} options or more; send each option once."))
            break
    return options, unknown_services


def _services(sent: Any, path: str, problems: list[Problem]) -> Iterator[tuple[str, Any, str, str]]:
    if is_object(sent):
        for service, options in until_max_problems(sent.items(), problems):
            at = member_path(path, service)
            yield service, options, at, at
        return
    if not is_array(sent):
        problems.append(Problem(path, expected("an array of {service, options}", sent)))
        return
    for index, each in until_max_problems(enumerate(sent), problems):
        at = f"{path}[{index}]"
        named = each.get("service") if is_object(each) else None
        if not isinstance(named, str):
            where = f"{at}.service" if named is not None else at
            problems.append(Problem(where, "expected an object {service, options} whose service is a string."))
        else:
            yield named, each.get("options", []), f"{at}.service", f"{at}.options"
