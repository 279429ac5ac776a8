"""Read the options in an `update-config` message, in a start request, or in the operator's defaults."""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice
from typing import Any

from attrs import define

from ..errors import Problem, unknown
from ..utils.json_values import until_max_problems
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
    services = named_values(sent, path, problems, "service", "options", default=())
    for service in until_max_problems(services, unknown_services):
        if service.name not in known:
            unknown_services.append(unknown("service", service.name, known, path=service.name_path))
            continue
        found = named_values(service.value, service.path, problems)
        options.extend(
            SentOption(service.name, each.name, each.value, each.path, each.name_path)
            for each in islice(found, _MOST_OPTIONS - len(options))
        )
        if len(options) >= _MOST_OPTIONS:
            problems.append(Problem(path, f"has {_MOST_OPTIONS} options or more; send each option once."))
            break
    return options, unknown_services
