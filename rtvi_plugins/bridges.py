"""Offer many providers from one function, without an entry point for each: `BridgedProvider`.

A *bridge* is a plugin that makes providers of something else that is installed, such as the plugins of another
framework, or a folder of voices. Its entry point in the group `rtvi_plugins.bridges` names a function that lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

from attrs import field, frozen
from attrs.validators import instance_of

from .utils.names import is_valid_name

__all__ = ("BridgedProvider",)


def _check_name(provider: object, attribute: object, name: Any) -> None:
    kind, _, label = name.partition(".") if isinstance(name, str) else ("", "", "")
    if not (is_valid_name(kind) and is_valid_name(label)):
        raise ValueError(f"the name {name!r} is not '<kind>.<provider>', as in 'tts.acme-anna'.")


@frozen(eq=False)
class BridgedProvider:
    """A provider that a bridge lists. Listing imports nothing that takes long: every `rtvi` command does it.

    - `name`: `"<kind>.<provider>"`, as an entry point is named.
    - `declare`: imports what the provider needs, and returns the decorated functions: one under `@service`, and perhaps
      some under `@options`, `@action` and `@hookimpl`. It is called once, when a bot names the provider.
    - `slow`: its import takes seconds. Where it is not the first provider of a service, a server imports it after the
      start. It must not take values of lifespans then.
    - `note`: what a user of the bridge must know, such as its limits. `rtvi plugins` prints each note once.

    Raise `ValueError` for an invalid name.
    """

    name: str = field(validator=_check_name)
    declare: Callable[[], Iterable[Callable[..., Any]]]
    note: str = field(default="", validator=instance_of(str))
    slow: bool = field(default=False, validator=instance_of(bool))

    def make_module(self, name: str) -> ModuleType:
        """Declare the provider, and return a new module of this name with the functions. Tests check it as any other.

        Raise `TypeError` if two functions have the same name.
        """
        module = ModuleType(name, self.note)
        for each in self.declare():
            if hasattr(module, each.__name__):
                raise TypeError(f"{self.name} declares two functions with the name {each.__name__!r}. Rename one.")
            each.__module__ = module.__name__
            setattr(module, each.__name__, each)
        return module
