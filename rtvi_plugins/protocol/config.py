"""The values of all options of one session, and the defaults that they start from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from attrs import define

from ..registry.registry import PROVIDER, Registry
from .offer import Offer

__all__ = ("OptionDefaults", "SessionConfig", "Values")

#: The values of options in their JSON form, by service and option name.
Values: TypeAlias = "dict[str, dict[str, Any]]"


@define
class SessionConfig:
    """The config that clients see. `values` is replaced and never changed in place."""

    values: Values
    revision: int = 1

    def commit(self, values: Values) -> None:
        """Replace the values."""
        self.values = values
        self.revision += 1

    def undo(self, before: Values) -> None:
        """Restore the values before the last commit, and the revision."""
        self.values = before
        self.revision -= 1

    def revise(self, options: Mapping[tuple[str, str], Any]) -> None:
        """Set options, by service and name, to values that were checked before."""
        values = dict(self.values)
        for (service, name), value in options.items():
            values[service] = {**values[service], name: value}
        self.commit(values)

    def readable(self, offer: Offer) -> list[dict[str, Any]]:
        """Return the config in its JSON form: every service, with the options that this client may read."""
        values = self.values
        return [
            {
                "service": service,
                "options": [
                    {"name": name, "value": offer.providers[service] if name == PROVIDER else values[service][name]}
                    for name in options
                ],
            }
            for service, options in offer.options.items()
        ]


class OptionDefaults:
    """The values that a service starts from in one session. The operator's override the bot's."""

    def __init__(self, registry: Registry, operator: Mapping[str, Mapping[str, Any]]) -> None:
        self._registry = registry
        self._operator = operator

    def of(self, service: str, label: str) -> dict[str, Any]:
        """Return the defaults of a service with this provider."""
        return self._registry.defaults(service, label, self._operator)

    def of_all(self, providers: Mapping[str, str]) -> Values:
        """Return the defaults of all services with these providers."""
        return {service: self.of(service, label) for service, label in providers.items()}
