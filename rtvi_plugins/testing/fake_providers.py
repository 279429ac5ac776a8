"""Providers that a test brings as objects, in the place of real ones."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

from attrs import evolve

from ..declare.service import service as declare_service
from ..declare.specs import ActionSpec, AnyFunction, LifespanValue, OptionsSpec, mark
from ..errors import AuthorError, PluginError
from ..loading import load_provider, own_provider
from ..registry.grants import known_names
from ..registry.installed_plugins import Installed
from ..registry.registry import Provider, Registry

__all__ = ("check_fakes", "fake_provider", "with_fakes_of")


def fake_provider(name: str, service: object) -> ModuleType:
    """Return a module whose provider `name`, such as `"llm.openai"`, is this object in all sessions.

    Pass it to `connect` or `host_for`. It has no keys. If the real provider is installed, or declared in the bot's own
    modules, the fake has the same options and actions, so that the bot may name them: the options are checked and have
    no effect, and the actions get the object. Raise `AuthorError` if the name is not `kind.provider` of a built-in
    kind.
    """
    kind, dot, provider = name.partition(".")
    if not dot:
        raise AuthorError(f"fake_provider({name!r}, …): write the kind and the provider, such as 'llm.openai'.")
    return _FakeProvider(kind, provider, service, _installed_provider(kind, provider))


class _FakeProvider(ModuleType):
    """A module with one provider."""

    __slots__ = ("kind", "provider", "service")  # not in the module's namespace, where declarations are looked for

    def __init__(self, kind: str, provider: str, service: object, real: Provider | None) -> None:
        super().__init__(f"fake_{kind}_{provider}")
        self.kind, self.provider, self.service = kind, provider, service

        @asynccontextmanager
        async def open_service() -> AsyncGenerator[Any]:
            """Replaces a provider in a test."""
            yield service

        open_service.__module__ = self.__name__  # only functions of the module itself are its providers
        declare: Any = declare_service
        self.open_service = declare(kind, provider)(open_service)
        for spec in () if real is None else _specs_of(real):
            mark(open_service, evolve(spec, targets=(open_service,)))

    @property
    def label(self) -> str:
        """Return its name, as in "llm.acme"."""
        return f"{self.kind}.{self.provider}"


def with_fakes_of(bot: AnyFunction, modules: Sequence[ModuleType], installed: Installed) -> tuple[ModuleType, ...]:
    """Return the modules. Fakes of providers in the bot's own modules have the options and actions of these."""
    return tuple(_like_own(each, bot, installed) if isinstance(each, _FakeProvider) else each for each in modules)


def _like_own(fake: _FakeProvider, bot: AnyFunction, installed: Installed) -> _FakeProvider:
    real = own_provider(bot, installed, fake.label)
    return fake if real is None else _FakeProvider(fake.kind, fake.provider, fake.service, real)


def check_fakes(modules: Iterable[ModuleType], registry: Registry) -> None:
    """Raise `ValueError` for a fake that replaces no provider of the bot."""
    used = {
        f"{service.kind}.{label}": provider.spec.function
        for service in registry.services.values()
        if not service.is_own
        for label, provider in service.providers.items()
    }
    for fake in modules:
        if isinstance(fake, _FakeProvider) and used.get(fake.label) is not fake.open_service:
            raise ValueError(
                f"fake_provider({fake.label!r}, …) replaces no provider of the bot. {known_names(fake.label, used)}"
            )


def _installed_provider(kind: str, provider: str) -> Provider | None:
    installed = Installed()
    try:
        return load_provider(installed.provider(kind, provider), installed)
    except PluginError:  # it is not installed, or a bot could not use it either
        return None


def _specs_of(real: Provider) -> Iterator[OptionsSpec | ActionSpec]:
    """Yield the options and actions of a provider, for a fake that replaces it."""
    for group in real.groups:
        yield evolve(group, function=_ignore, given=())
    for action in real.actions.values():
        needs_lifespan = any(isinstance(each, LifespanValue) for each in action.given)
        if real.spec.function in action.targets and not needs_lifespan:
            yield action


def _ignore(**values: Any) -> None:
    """Take the options of a fake, which have no effect."""
