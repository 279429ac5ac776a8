"""Options that a bot sets for one provider of a service, such as `"tts.espeak"`. They count while it is in use."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from attrs import define, field

from ..errors import InvalidConfig, Problem, RequestError, UnknownOption, UnknownProvider, unknown
from ..utils.json_values import is_object, member_path
from .arguments import named_values
from .offer import Offer

__all__ = ("ProviderOptions", "split")


@define
class ProviderOptions:
    """The options of one provider. `service` and `label` name it."""

    service: str
    label: str
    values: Any
    path: str
    mistakes: list[tuple[type[RequestError], Problem]] = field(factory=list[tuple[type[RequestError], Problem]])

    def chosen(self, offer: Offer) -> Iterator[tuple[str, Any, str]]:
        """Yield the present name, the value and the path of each option, if the provider is in use.

        The options of another provider are only checked. What is wrong is added to `mistakes`.
        """
        service = offer.registry.services[self.service]
        if self.label in offer.registry.left_out(self.service):
            return
        provider = service.providers.get(self.label)
        if provider is None:
            problem = unknown(f"{self.service} provider", self.label, service.providers, path=self.path)
            self.mistakes.append((UnknownProvider, problem))
            return
        problems: list[Problem] = []
        for each in named_values(self.values, self.path, problems):
            own = provider.present_name(each.name)
            if own is None:
                what = f"{self.service}.{self.label} option"
                self.mistakes.append((UnknownOption, unknown(what, each.name, provider.options, path=each.path)))
            elif offer.providers[self.service] == self.label:
                yield own, each.value, each.path
            else:
                label = f"{self.service}.{self.label}.{own}"
                found = provider.check_option(own, each.value, each.path)[1]
                problems.extend(Problem(one.path, f"{label}: {one.message}", one.suggestion) for one in found)
        self.mistakes += [(InvalidConfig, each) for each in problems]


def split(sent: Any, path: str, services: Collection[str]) -> tuple[Any, Sequence[ProviderOptions]]:
    """Return the options by service, and apart from them those of single providers."""
    if not is_object(sent):
        return sent, ()
    of_providers: list[ProviderOptions] = []
    others: dict[str, Any] = {}
    for key, values in sent.items():
        service, dot, label = key.partition(".")
        if dot and service in services:
            of_providers.append(ProviderOptions(service, label, values, member_path(path, key)))
        else:
            others[key] = values
    return others, of_providers
