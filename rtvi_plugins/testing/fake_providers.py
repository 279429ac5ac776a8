"""Providers that a test brings as objects, in the place of real ones."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

from attrs import evolve

from ..declare.service import service as declare_service
from ..declare.specs import ActionSpec, LifespanValue, OptionsSpec, mark
from ..errors import AuthorError, PluginError
from ..loading import load_provider
from ..registry.installed_plugins import Installed

__all__ = ("fake_provider",)


def fake_provider(name: str, service: object) -> ModuleType:
    """Return a module whose provider `name`, such as `"llm.openai"`, is this object in all sessions.

    Give it to `connect` or `host_for`. It has no keys. If the real provider is installed, the fake has the same options
    and actions, so that the bot may name them: the options are checked and have no effect, and the actions get the
    object. `AuthorError` if the name is not `kind.provider` of a built-in kind.
    """
    kind, dot, provider = name.partition(".")
    if not dot:
        raise AuthorError(f"fake_provider({name!r}, …): write the kind and the provider, such as 'llm.openai'.")

    @asynccontextmanager
    async def open_service() -> AsyncGenerator[Any]:
        """Replaces a provider in a test."""
        yield service

    module = ModuleType(f"fake_{kind}_{provider}")
    open_service.__module__ = module.__name__  # only functions of the module itself are its providers
    declare: Any = declare_service
    vars(module)["open_service"] = declare(kind, provider)(open_service)
    for spec in _specs_of_installed(kind, provider):
        mark(open_service, evolve(spec, targets=(open_service,)))
    return module


def _specs_of_installed(kind: str, provider: str) -> Iterator[OptionsSpec | ActionSpec]:
    """Yield the options and actions of an installed provider, for a fake that replaces it."""
    installed = Installed()
    try:
        real = load_provider(installed.provider(kind, provider), installed)
    except PluginError:  # it is not installed, or a bot could not use it either
        return
    for group in real.groups:
        yield evolve(group, function=_ignore, given=())
    for action in real.actions.values():
        needs_lifespan = any(isinstance(each, LifespanValue) for each in action.given)
        if real.spec.function in action.targets and not needs_lifespan:
            yield action


def _ignore(**values: Any) -> None:
    """Take the options of a fake, which have no effect."""
