"""Collect the hook functions of a bot's plugins, and call them. A hook that fails does not affect anything else."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any, cast

import pluggy

from .. import hookspecs
from ..errors import PluginError, report
from ..security import LogThrottle
from ..utils.error_texts import where
from ..utils.names import nearest
from ..utils.plugin_calls import call_plugin, reraise_control_flow

__all__ = ("Hooks",)

_log = logging.getLogger("rtvi_plugins")


class Hooks:
    """The hook functions of one bot's plugins. Raise `PluginError` for a function that cannot be called as a hook."""

    def __init__(self, modules: dict[str, ModuleType]) -> None:
        manager = _HookManager(hookspecs.PROJECT)
        manager.add_hookspecs(hookspecs)
        for module in modules.values():
            for value in vars(module).values():
                _check_hook(value)
                if inspect.isclass(value) and value.__module__ == module.__name__:
                    _refuse_methods(value)
        try:
            for name, module in modules.items():
                manager.register(module, name)
            manager.check_pending()
        except pluggy.PluginValidationError as error:
            raise PluginError(f"A hook cannot be used: {' '.join(str(error).split())}.") from None
        # pluggy stops at the first hook that raises; these are called one by one.
        self._functions = {
            name: _functions_once(getattr(manager.hook, name).get_hookimpls()) for name in hookspecs.HOOKS
        }
        #: A hook such as `event_emitted` may fail a hundred times a second.
        self._failures = {each.function: LogThrottle(_log) for hook in self._functions.values() for each in hook}

    def is_implemented(self, hook: str) -> bool:
        """Return whether any plugin implements a hook."""
        return bool(self._functions[hook])

    def notify(self, hook: str, **arguments: Any) -> None:
        """Call every function of a hook and ignore the results."""
        if self._functions[hook]:
            for _ in self._call_hook(hook, arguments):
                pass

    def results(self, hook: str, **arguments: Any) -> Iterator[tuple[str, Any]]:
        """Call the functions of a hook one by one. Yield each result that is not None, with the function's place."""
        return (each for each in self._call_hook(hook, arguments) if each[1] is not None)

    def _call_hook(self, hook: str, arguments: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        for each in reversed(self._functions[hook]):  # pluggy calls the last registered first
            try:
                hook_result = call_plugin(each.function, **{name: arguments[name] for name in each.argnames})
            except BaseException as error:
                reraise_control_flow(error)
                if (suppressed := self._failures[each.function].next_line()) is not None:
                    report(f"the hook {hook} of the plugin {each.plugin_name}{suppressed}", error)
            else:
                yield where(each.function), hook_result


class _HookManager(pluggy.PluginManager):
    """Finds a hook function by the name in its `def`. The name of the variable in the module does not matter."""

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> Any:
        hook_options: Any = super().parse_hookimpl_opts(plugin, name)
        if hook_options is not None and not hook_options.get("specname"):
            hook_options["specname"] = getattr(plugin, name).__name__
        return hook_options


def _functions_once(functions: Iterable[Any]) -> list[Any]:
    """Return each function once: several modules of a plugin may import it."""
    return list({id(function.function): function for function in functions}.values())


def _check_hook(function: Any) -> None:
    """Reject a marked function that pluggy would not call, or would call in another way."""
    mark = getattr(function, f"{hookspecs.PROJECT}_impl", None)
    if not isinstance(mark, dict):
        return
    problem = _hook_problem(function, cast("dict[str, Any]", mark))
    if problem is not None:
        place = where(function) if inspect.isroutine(function) else repr(function)
        raise PluginError(f"{place} {problem}")


def _refuse_methods(cls: type) -> None:
    """Reject hooks inside a class: only functions of a module are called."""
    for value in vars(cls).values():
        each = getattr(value, "__func__", value)  # of a static or a class method
        if inspect.isroutine(each) and hasattr(each, f"{hookspecs.PROJECT}_impl"):
            raise PluginError(
                f"{where(each)} is inside the class {cls.__name__}. Write it as a function of the module."
            )


def _hook_problem(function: Any, mark: Mapping[str, Any]) -> str | None:
    if not inspect.isroutine(function):
        return "is under @hookimpl but is not a function. Write def."
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return "is async, but nothing awaits a hook. Write def."
    if mark.get("wrapper") or mark.get("hookwrapper"):
        return "is a wrapper, but hooks cannot wrap each other. Remove wrapper=True."
    if inspect.isgeneratorfunction(function):
        return "is a generator, so its body would never run. Remove yield and return the result."
    name = mark.get("specname") or function.__name__
    if name in hookspecs.HOOKS:
        return _arguments_problem(function, name)
    if mark.get("optionalhook"):
        return None
    near = nearest(name, hookspecs.HOOKS)
    hint = f"did you mean {near!r}?" if near else f"there is {', '.join(hookspecs.HOOKS)}."
    return f"is under @hookimpl, but there is no hook {name!r}; {hint}"


def _arguments_problem(function: Any, name: str) -> str | None:
    known = list(inspect.signature(getattr(hookspecs, name)).parameters)
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is not parameter.POSITIONAL_OR_KEYWORD:
            stars = (
                "**"
                if parameter.kind is parameter.VAR_KEYWORD
                else "*"
                if parameter.kind is parameter.VAR_POSITIONAL
                else ""
            )
            return f"takes {stars}{parameter.name}. A hook is passed the arguments that it names: {', '.join(known)}."
        if parameter.name not in known:
            near = nearest(parameter.name, known)
            hint = f"did you mean {near!r}?" if near else f"it has {', '.join(known)}."
            return f"takes {parameter.name!r}, which the hook {name!r} does not have; {hint}"
        if parameter.default is not parameter.empty:
            return f"gives {parameter.name!r} a default, so it would not be passed. Remove the default."
    return None
