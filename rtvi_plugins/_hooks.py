"""Call hooks so that one that fails harms nobody."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pluggy

from . import hookspecs
from .errors import report

__all__ = ("Hooks",)


class Hooks:
    """The hook functions of one bot's plugins."""

    def __init__(self, modules: dict[str, ModuleType]) -> None:
        manager = pluggy.PluginManager(hookspecs.PROJECT)
        manager.add_hookspecs(hookspecs)
        for name, module in modules.items():
            manager.register(module, name)
        manager.check_pending()
        # pluggy stops at the first hook that raises; these are called one by one.
        self._functions = {name: list(getattr(manager.hook, name).get_hookimpls()) for name in hookspecs.HOOKS}

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
                yield each.function(**{name: facts[name] for name in each.argnames})
            except Exception as error:
                report(f"the hook {hook} of the plugin {each.plugin_name}", error)
