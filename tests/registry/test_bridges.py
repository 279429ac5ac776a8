"""Bridges: a function lists providers. Each one is declared only when a bot names it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from rtvi_plugins.bridges import BridgedProvider
from rtvi_plugins.errors import PluginError
from rtvi_plugins.hosting import Host
from rtvi_plugins.loading import load_bot, load_provider
from rtvi_plugins.registry.installed_plugins import Installed

Bridge: TypeAlias = Callable[..., Installed]

#: A bridge of two voices. Declaring one says so in a file, so that a test sees when that happens.
VOICES = """
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from rtvi_plugins import hookimpl, options, service, Secret
from rtvi_plugins.bridges import BridgedProvider
from rtvi_plugins.kinds import TTS

class Voice:
    speed = 1.0
    async def synthesize(self, request, /):
        for each in ():
            yield each

def declare(name):
    with Path(__file__).with_name("declared.txt").open("a") as file:
        file.write(name + " ")

    @service("tts", f"acme-{name}")
    @asynccontextmanager
    async def voice(api_key: Secret, /) -> AsyncGenerator[Voice]:
        yield Voice()

    @options(voice)
    def configure(live: Voice, /, speed: float = 1.0) -> None:
        live.speed = speed

    @hookimpl
    def find_key(provider: str, name: str) -> str | None:
        return "key-of-the-bridge" if provider == "acme-anna" else None

    return [voice, configure, find_key]

def providers() -> Iterator[BridgedProvider]:
    for name in ("anna", "ben"):
        yield BridgedProvider(f"tts.acme-{name}", lambda name=name: declare(name), note="Only in English.")
"""

BOT = """
from rtvi_plugins import TTS, Session, bot

@bot(services={"tts": ["acme-anna", "rtvi-plugins-acme:acme-ben"]}, client=["tts.speed"])
async def mybot(session: Session, /, tts: TTS) -> None: ...
"""


@pytest.fixture
def bridge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bridge]:
    """Installs a bridge with this source into tmp_path, and returns what is then installed there."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    def install(source: str, function: str = "acme_bridge:providers", api: str = "1") -> Installed:
        info = tmp_path / "rtvi_plugins_acme-1.2.dist-info"
        info.mkdir()
        entries = f"[rtvi_plugins.bridges]\nacme = {function}\n[rtvi_plugins.api]\n{api} = acme_bridge\n"
        (info / "entry_points.txt").write_text(entries, "utf-8")
        (tmp_path / "acme_bridge.py").write_text(source, "utf-8")
        mine = Installed().entries
        return Installed(tuple(each for each in mine if each.distribution == "rtvi-plugins-acme"))

    yield install
    for name in set(sys.modules) - before:
        if name.startswith("acme"):
            del sys.modules[name]


def declared(tmp_path: Path) -> list[str]:
    """The providers that the bridge has declared."""
    file = tmp_path / "declared.txt"
    return file.read_text("utf-8").split() if file.exists() else []


def test_a_bridge_lists_its_providers_without_declaring_them(bridge: Bridge, tmp_path: Path) -> None:
    """Each has its own name, and the distribution and version of the bridge."""
    anna, ben = bridge(VOICES).entries
    assert (anna.name, anna.kind, anna.provider, anna.qualified) == (
        "tts.acme-anna",
        "tts",
        "acme-anna",
        "rtvi-plugins-acme:acme-anna",
    )
    assert (ben.name, ben.version, ben.unfit) == ("tts.acme-ben", "1.2", None)
    assert declared(tmp_path) == []


def test_a_bot_names_a_bridged_provider_as_any_other(bridge: Bridge, tmp_path: Path) -> None:
    """It may use the name or the qualified name. Its options are checked, and its hook finds a key."""
    installed = bridge(VOICES)
    (tmp_path / "bridged_bot.py").write_text(BOT, "utf-8")
    host = Host(load_bot(str(tmp_path / "bridged_bot.py")), installed=installed, environ={})
    assert host.registry.labels() == {"tts": ("acme-anna", "rtvi-plugins-acme:acme-ben")}
    assert host.registry.services["tts"].providers["acme-anna"].options["speed"][0].default == 1.0
    assert host.missing_keys() == {"tts": {"acme-anna": [], "rtvi-plugins-acme:acme-ben": ["ACME_BEN_API_KEY"]}}
    assert declared(tmp_path) == ["anna", "ben"]


def test_a_provider_is_declared_once_and_only_where_it_is_named(bridge: Bridge, tmp_path: Path) -> None:
    """If it is loaded again, the same declarations are used."""
    installed = bridge(VOICES)
    entry = installed.provider("tts", "acme-ben")
    assert load_provider(entry, installed).spec is load_provider(entry, installed).spec
    assert declared(tmp_path) == ["ben"]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise RuntimeError('no voices')", r"RuntimeError: no voices \(.*acme_bridge.py:1\)"),
        ("def providers():\n    return [None]", "it lists a NoneType, which is not a BridgedProvider"),
        ("providers = None", "TypeError: 'NoneType' object is not callable"),
        (
            "from rtvi_plugins import bridges\n\ndef providers():\n    return [bridges.BridgedProvider('anna', list)]",
            r"the name 'anna' is not '<kind>.<provider>', as in 'tts.acme-anna'. \(.*acme_bridge.py:4\)",
        ),
    ],
)
def test_a_bridge_that_cannot_list_is_broken_with_its_reason(bridge: Bridge, source: str, reason: str) -> None:
    """Other plugins are not affected. The bridge is in the list under its own name."""
    installed = bridge(source)
    (entry,) = installed.entries
    assert (entry.name, entry.kind) == ("acme", None)
    with pytest.raises(PluginError, match=reason):
        installed.load(entry)


@pytest.mark.parametrize(
    ("function", "api", "reason"),
    [
        ("acme_bridge", "1", "its entry point must name a function: write 'acme_bridge:providers'"),
        ("acme_bridge:providers", "2", "it was built for version 2 of the plugin API"),
    ],
)
def test_metadata_of_a_bridge_is_checked_before_it_is_imported(
    bridge: Bridge, function: str, api: str, reason: str
) -> None:
    """Its entry point must name a function, and its plugin API must be this one."""
    installed = bridge("raise RuntimeError('imported')", function, api)
    with pytest.raises(PluginError, match=reason):
        installed.load(installed.entries[0])


@pytest.mark.parametrize(
    ("declare", "reason"),
    [
        ("raise RuntimeError('no such voice')", "RuntimeError: no such voice"),
        ("return []", "declares no such service"),
        ("return [providers, providers]", "tts.acme-ben declares two functions with the name 'providers'"),
    ],
)
def test_a_provider_that_cannot_be_declared_is_broken(bridge: Bridge, declare: str, reason: str) -> None:
    """Other providers of its bridge still work."""
    installed = bridge(
        VOICES.replace("def declare(name):", f"def declare(name):\n    if name == 'ben':\n        {declare}")
    )
    assert load_provider(installed.provider("tts", "acme-anna"), installed).label == "acme-anna"
    with pytest.raises(PluginError, match=reason):
        load_provider(installed.provider("tts", "acme-ben"), installed)


@pytest.mark.parametrize("name", [None, "anna", ".anna", "tts.", "tts.an na", "tts.a.b"])
def test_a_name_must_be_that_of_a_provider(name: Any) -> None:
    """The form is a kind, a dot and the provider."""
    with pytest.raises(ValueError, match=r"is not '<kind>\.<provider>'"):
        BridgedProvider(name, list)
