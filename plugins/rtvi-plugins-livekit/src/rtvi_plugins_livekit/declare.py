"""Declare a provider from a class of a LiveKit plugin: its keys and options are read from the constructor."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from threading import current_thread, main_thread
from typing import Annotated, Any, Literal, TypeAlias

from attrs import frozen
from attrs.validators import gt

from rtvi_plugins import Doc, Secret, hookimpl, options, service
from rtvi_plugins.errors import PluginError, StartFailed

from .listing import CLASSES, distribution
from .llm import BridgedLLM
from .reflect import Parameter, Reflected, reflect, sign
from .running import Bridged, running
from .stt import BridgedSTT
from .tts import BridgedTTS

__all__ = ("declare", "livekit")

Kind: TypeAlias = Literal["llm", "stt", "tts"]

_ADAPTERS: Mapping[str, type[Bridged]] = {"llm": BridgedLLM, "stt": BridgedSTT, "tts": BridgedTTS}
_TIMEOUT = Parameter(
    "timeout", Annotated[float, gt(0), Doc("How long to wait for the vendor, in seconds.")], 10.0, float
)
#: The oldest version of LiveKit Agents that was tried. Before it, Deepgram is not told about the end of an utterance of
#: whole chunks.
_OLDEST = (1, 7, 0)


def livekit(kind: Kind, plugin: str, *, name: str) -> Callable[..., Any]:
    """Declare a provider from any class of a LiveKit plugin, in the module of a bot or of a plugin.

    ::

        flux = livekit("stt", "deepgram:STTv2", name="flux")

    `plugin` is the name of the plugin below `livekit.plugins` and, after a colon, of the class. `name` is that of the
    provider. Keep the result in a variable of the module. Raise `PluginError` if there is no such plugin or class.
    """
    scope = sys._getframe(1).f_globals  # pyright: ignore[reportPrivateUsage]
    cls = _class(kind, plugin)
    declared = _Declaration(kind, name, cls).functions()
    for each in declared:
        each.__module__ = scope["__name__"]
        # Declarations are the functions in a module's variables. The first one is put there by the author.
        if each is not declared[0]:
            scope[f"_{each.__name__}_of_{kind}_{name}"] = each
    return declared[0]


def declare(kind: str, plugin: str) -> Sequence[Callable[..., Any]]:
    """Return the decorated functions of the provider `livekit-<plugin>`."""
    return _Declaration(kind, f"livekit-{plugin}", _class(kind, plugin)).functions()


def _class(kind: str, plugin: str) -> Any:
    """Import the class. Raise `PluginError` if it cannot provide the kind."""
    if kind not in CLASSES:
        raise PluginError(f"LiveKit plugins provide {', '.join(CLASSES)}, not {kind!r}.")
    _check_version()
    module, _, name = plugin.partition(":")
    agents: Any = import_module("livekit.agents")
    try:
        with _registration(agents.Plugin):
            found = import_module(f"livekit.plugins.{module}")
    except ModuleNotFoundError as error:
        if error.name != f"livekit.plugins.{module}":
            raise
        raise PluginError(f"There is no LiveKit plugin {module!r}. Run: pip install {distribution(module)}") from None
    base = getattr(getattr(agents, kind), CLASSES[kind])
    cls = getattr(found, name or CLASSES[kind], None)
    if not (inspect.isclass(cls) and issubclass(cls, base)):
        listed = ", ".join(_fitting(module, found, base)) or "none"
        raise PluginError(f"livekit.plugins.{module} has no {kind} class {name or CLASSES[kind]!r}. It has: {listed}.")
    return cls


def _fitting(name: str, module: Any, base: type) -> list[str]:
    """Return the classes of a plugin that have a base, as an author writes them: those of its submodules too."""
    prefix = f"livekit.plugins.{name}"
    submodules = [each for each, value in _names(module) if getattr(value, "__name__", "") == f"{prefix}.{each}"]
    searched = [(name, module), *((f"{name}.{each}", getattr(module, each)) for each in submodules)]
    found: dict[type, str] = {}
    for where, each in searched:
        for cls, value in _names(each):
            if inspect.isclass(value) and issubclass(value, base):
                found.setdefault(value, f"{where}:{cls}")
    return [*found.values()]


def _names(module: object) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in vars(module).items() if not name.startswith("_")]


@contextmanager
def _registration(cls: Any) -> Generator[None]:
    """Let a plugin be imported in any thread.

    It registers itself, which LiveKit refuses outside of the main thread. Only LiveKit's own commands need that.
    """
    if current_thread() is main_thread():
        yield
        return
    kept = cls.__dict__["register_plugin"]
    cls.register_plugin = lambda plugin: None  # pyright: ignore[reportUnknownLambdaType]
    try:
        yield
    finally:
        cls.register_plugin = kept


def _check_version() -> None:
    try:
        found = version("livekit-agents")
    except PackageNotFoundError:
        raise PluginError("LiveKit is not installed. Run: pip install livekit-plugins-openai, or another") from None
    if tuple(int(each) for each in found.split(".")[:3] if each.isdigit()) < _OLDEST:
        oldest = ".".join(map(str, _OLDEST))
        raise PluginError(f"livekit-agents {found} is too old. Run: pip install --upgrade 'livekit-agents>={oldest}'")


def _key_finder(provider: str, plugin: str, variable: str | None) -> Callable[..., Any]:
    """Return a hook that finds the key of a provider where LiveKit itself looks for it, such as `OPENAI_API_KEY`.

    `variable` is what the class names.
    """
    asked = provider

    @hookimpl
    def find_key(provider: str, name: str) -> str | None:
        found = os.environ.get(variable or f"{plugin}_{name}".upper(), "") if provider == asked else ""
        return found if found.strip() else None

    return find_key


@frozen
class _Declaration:
    """The declaration of one provider."""

    kind: str
    provider: str
    cls: Any

    def functions(self) -> list[Callable[..., Any]]:
        types: Any = import_module("livekit.agents.types")
        found = reflect(self.cls, unset=(types.NOT_GIVEN,))
        opens = self._service(found)
        options = [self._options(opens, found)] if found.options else []
        return [opens, *options, _key_finder(self.provider, self._plugin(), found.variable)]

    def _service(self, found: Reflected) -> Callable[..., Any]:
        fixed_options = {each.name: each for each in found.service if each.name != _TIMEOUT.name}

        @asynccontextmanager
        async def open_service(*keys: Secret | None, **fixed: Any) -> AsyncGenerator[Bridged]:
            timeout: float = fixed.pop(_TIMEOUT.name, _TIMEOUT.default)
            if lacking := [each for each in found.required if fixed.get(each) is None]:
                raise StartFailed(f"The provider {self.provider!r} needs the service option {lacking[0]!r}.")
            given = {name: key.reveal() for name, key in zip(found.keys, keys, strict=True) if key is not None}
            given |= converted(fixed_options, fixed)
            live = _ADAPTERS[self.kind](self.provider, self.cls, given, timeout)
            async with running(live):
                yield live

        hints = [(name, Secret if needed else Secret | None) for name, needed in found.keys.items()]
        signature = [
            inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY, annotation=hint) for name, hint in hints
        ]
        self._name(open_service, f"{self.kind}_service", self._summary(found))
        sign(open_service, [*signature, *(each.signed() for each in (*fixed_options.values(), _TIMEOUT))])
        decorate: Any = service
        return decorate(self.kind, self.provider, asyncio_only=True)(open_service)  # type: ignore[no-any-return]

    def _options(self, opens: Callable[..., Any], found: Reflected) -> Callable[..., Any]:
        by_name = {each.name: each for each in found.options}

        def configure(live: Bridged, /, **values: Any) -> None:
            live.configure(converted(by_name, values))

        live = inspect.Parameter("live", inspect.Parameter.POSITIONAL_ONLY, annotation=Bridged)
        self._name(configure, f"{self.kind}_options", f"The arguments of {self.cls.__name__}.")
        sign(configure, [live, *(each.signed() for each in found.options)])
        decorate: Any = options
        return decorate(opens)(configure)  # type: ignore[no-any-return]

    def _summary(self, found: Reflected) -> str:
        plugin = self._plugin()
        left_out = f" Not options here: {', '.join(found.left_out)}." if found.left_out else ""
        return f"{plugin}'s {self.cls.__name__}, by {distribution(plugin)}.{left_out}"

    def _plugin(self) -> str:
        """Return the name of the plugin below `livekit.plugins`."""
        return self.cls.__module__.split(".")[2]  # type: ignore[no-any-return]

    def _name(self, function: Callable[..., Any], name: str, doc: str) -> None:
        function.__name__ = function.__qualname__ = name
        function.__doc__ = doc


def converted(parameters: Mapping[str, Parameter], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that were given, as the constructor takes them."""
    return {name: parameters[name].make(value) for name, value in values.items() if value is not None}
