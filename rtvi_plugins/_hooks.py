"""Call hooks so that one that fails harms nobody."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pluggy

from . import hookspecs
from ._interrupt import let_through
from .errors import PluginError, report, where

__all__ = ("Hooks",)


class Hooks:
    """The hook functions of one bot's plugins. `PluginError` for one that is no hook, or that is async."""

    def __init__(self, modules: dict[str, ModuleType]) -> None:
        manager = pluggy.PluginManager(hookspecs.PROJECT)
        manager.add_hookspecs(hookspecs)
        try:
            for name, module in modules.items():
                manager.register(module, name)
            manager.check_pending()
        except pluggy.PluginValidationError as error:
            raise PluginError(f"A hook cannot be used: {' '.join(str(error).split())}.") from None
        # pluggy stops at the first hook that raises; these are called one by one.
        self._functions = {name: list(getattr(manager.hook, name).get_hookimpls()) for name in hookspecs.HOOKS}
        for each in (function for functions in self._functions.values() for function in functions):
            if inspect.iscoroutinefunction(each.function):
                raise PluginError(
                    f"{where(each.function)} is async. A hook only observes, so nobody awaits it: write def."
                )

    def listens(self, hook: str) -> bool:
        """Whether any plugin implements a hook."""
        return bool(self._functions[hook])

    def tell(self, hook: str, **facts: Any) -> None:
        """Call every function of a hook; a failure is logged and changes nothing."""
        if functions := self._functions[hook]:
            for _ in self._results(hook, functions, facts):
                pass

    def ask(self, hook: str, **facts: Any) -> Iterator[Any]:
        """What the functions of a hook answer, one by one, leaving out None."""
        return (found for found in self._results(hook, self._functions[hook], facts) if found is not None)

    def _results(self, hook: str, functions: list[Any], facts: dict[str, Any]) -> Iterator[Any]:
        for each in reversed(functions):  # pluggy calls the last registered first
            try:
                found = each.function(**{name: facts[name] for name in each.argnames})
            except BaseException as error:
                let_through(error)
                report(f"the hook {hook} of the plugin {each.plugin_name}", error)
            else:
                yield found
