"""The API keys of a process: where they are found, which are missing, and which of them vendors refuse.

Keys are checked when the process starts, so that a wrong one is found then and not in the first call. A session whose
provider has a refused key asks the vendor again: the key may have become valid meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Final, TypeAlias

import anyio
from attrs import define, field

from ..declare.lifespans import yielded
from ..declare.specs import AnyFunction, ProviderSpec
from ..errors import PluginError, ProviderError, report
from ..kinds import ChecksKey
from ..protocol.operator_fields import Keys, key_variable
from ..registry.hooks import Hooks
from ..registry.key_store import KeyStore
from ..registry.registry import Registry
from ..session import Secret
from ..utils.error_texts import unwrap_group
from ..utils.plugin_calls import reraise_control_flow
from ..utils.secrets import secrets_in_environment

__all__ = ("KeyChecks", "ProcessKeys", "can_check", "missing_keys", "page_of_keys")

log = logging.getLogger("rtvi_plugins")


class ProcessKeys:
    """The keys that all sessions of a process may use: from its environment, from hooks, and from the key store."""

    def __init__(self, environ: Mapping[str, str], registry: Registry, hooks: Hooks) -> None:
        self._environ = environ
        self._store = KeyStore(environ)
        self.use(registry, hooks)

    def use(self, registry: Registry, hooks: Hooks) -> None:
        """Use the hooks and the declared keys of a registry."""
        self._hooks = hooks
        # Kept so that the log shows none of them, even if no session uses it.
        self._known_secrets = secrets_in_environment(self._environ, _key_variables(registry))

    def find(self, provider: str, name: str) -> Secret | None:
        """Return a key by the names of its provider and parameter, or None. A place that fails is logged."""
        variable = key_variable(provider, name)
        if (value := self._environ.get(variable, "")).strip():
            return Secret(value)
        for place, stored in self._hooks.results("find_key", provider=provider, name=name):
            if isinstance(stored, str | Secret):
                return Secret(stored) if isinstance(stored, str) else stored
            report(place, PluginError(f"it returns {type(stored).__name__} for a key. Return a str, or None."))
        try:
            return self._store.get(variable)
        except PluginError as error:
            report("the key store", error)
            return None

    def missing(self, registry: Registry) -> dict[str, dict[str, list[str]]]:
        """Return the environment variables of required keys that are not found, by service and provider."""
        return {
            name: {label: missing_keys(each.spec, self.find) for label, each in service.providers.items()}
            for name, service in registry.services.items()
            if not service.is_own
        }

    def log_missing(self, registry: Registry, postponed: Collection[tuple[str, str]] | None = None) -> None:
        """Log the providers that have no key: those of a `Failover`, and the default one of each other service.

        With `postponed`, log only those.
        """
        for name, service in registry.services.items():
            in_failover = [each for one in service.chosen_from.values() if len(one.labels) > 1 for each in one.labels]
            for label in dict.fromkeys([*in_failover, service.default]):
                if postponed is not None and (name, label) not in postponed:
                    continue
                spec = service.providers[label].spec
                variables = ", ".join(missing_keys(spec, self.find))
                if variables and label in in_failover:
                    log.warning("%s.%s of a Failover has no key. Set %s.%s", name, label, variables, page_of_keys(spec))
                elif variables:
                    text = "%s.%s has no key in this process. Set %s, or send it with each start request.%s"
                    log.info(text, name, label, variables, page_of_keys(spec))


def _key_variables(registry: Registry) -> list[str]:
    """Return the environment variables of all keys that the bot's providers and lifespans declare."""
    specs = (each.spec for each in registry.providers)
    named = [(spec.provider, secret.name) for spec in specs for secret in spec.secrets]
    named += [(spec.name, secret.name) for spec in registry.lifespans.specs for secret in spec.secrets]
    return [key_variable(*each) for each in named]


def missing_keys(spec: ProviderSpec, find: Keys) -> list[str]:
    """Return the environment variables of the keys that a provider needs and that `find` does not find."""
    required = (each.name for each in spec.secrets if not each.optional)
    return [key_variable(spec.provider, name) for name in required if find(spec.provider, name) is None]


def page_of_keys(spec: ProviderSpec) -> str:
    """Return a sentence that says where a provider's keys are made, if that is known."""
    return f" Keys are made at {spec.key_page}." if spec.key_page else ""


#: How long a vendor may take to answer, in seconds. The key of a slower one counts as valid.
_VENDOR_SECONDS: Final = 3.0

#: A provider with its keys. Their hash is enough to recognise them.
_Used: TypeAlias = "tuple[AnyFunction, int]"


def can_check(spec: ProviderSpec) -> bool:
    """Return whether a provider can check its key, from the annotation of what it yields."""
    return callable(getattr(yielded(spec.function), "check_key", None))


@define(eq=False)
class KeyChecks:
    """The keys that vendors have refused in this process."""

    _refused_keys: set[_Used] = field(factory=set[_Used])
    #: The checks that run now. A session that starts meanwhile waits for them.
    _running_checks: dict[_Used, anyio.Event] = field(factory=dict[_Used, anyio.Event])

    async def check(
        self, spec: ProviderSpec, keys: Sequence[Secret | None], manager: AbstractAsyncContextManager[Any]
    ) -> str | None:
        """Open a service, and ask its vendor. Return a sentence for the operator if the key is refused."""
        used = _keys_in_use(spec, keys)
        done = self._running_checks[used] = anyio.Event()
        try:
            return await self._ask_vendor(spec, used, manager)
        finally:
            del self._running_checks[used]
            done.set()

    async def check_again(self, spec: ProviderSpec, keys: Sequence[Secret | None], live: object) -> str | None:
        """Ask the vendor again if it has refused the key before. Return the error's text if it still refuses it."""
        if not (self._refused_keys or self._running_checks):
            return None
        used = _keys_in_use(spec, keys)
        if used in self._running_checks:
            await self._running_checks[used].wait()
        elif used in self._refused_keys:
            return await self._ask_vendor(spec, used, nullcontext(live))
        return _refused_key_sentence(spec) if used in self._refused_keys else None

    async def _ask_vendor(
        self, spec: ProviderSpec, used: _Used, manager: AbstractAsyncContextManager[Any]
    ) -> str | None:
        is_refused = False
        with anyio.move_on_after(_VENDOR_SECONDS):
            try:
                async with manager as live:
                    if isinstance(live, ChecksKey):
                        await _check_key(spec, live)
            except BaseException as error:
                reraise_control_flow(error, anyio.get_cancelled_exc_class())
                failure = unwrap_group(error)
                is_refused = isinstance(failure, ProviderError) and failure.category == "auth"
        (self._refused_keys.add if is_refused else self._refused_keys.discard)(used)
        return _refused_key_sentence(spec) if is_refused else None


def _refused_key_sentence(spec: ProviderSpec) -> str:
    variables = " and ".join(key_variable(spec.provider, each.name) for each in spec.secrets)
    hint = f"make one at {spec.key_page}" if spec.key_page else "set a valid one"
    return f"{spec.provider} does not accept the key in {variables}: {hint}."


def _keys_in_use(spec: ProviderSpec, keys: Sequence[Secret | None]) -> _Used:
    return spec.function, hash(tuple(each and each.reveal() for each in keys))


async def _check_key(spec: ProviderSpec, live: ChecksKey) -> None:
    """Ask the vendor. An exception that is not a `ProviderError` is a bug of the provider, and is logged."""
    try:
        await live.check_key()
    except BaseException as error:
        reraise_control_flow(error, anyio.get_cancelled_exc_class())
        if not isinstance(found := unwrap_group(error), ProviderError):
            report(f"check_key() of the provider {spec.provider!r}", found)
        raise
