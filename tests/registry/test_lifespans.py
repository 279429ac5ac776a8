"""Which lifespan a parameter receives: one that yields its class, from the nearest module."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from rtvi_plugins.declare.lifespans import Lifespans
from rtvi_plugins.errors import DeclarationError, PluginError
from rtvi_plugins.loading import compose, load_bot
from rtvi_plugins.registry.installed_plugins import EntryPoint, Installed
from rtvi_plugins.testing import host_for

Write: TypeAlias = Callable[..., Path]

HEAD = """from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from rtvi_plugins import LLM, Secret, Session, action, bot, lifespan, service
"""
MENU = """class Menu: ...
"""
OPENS = """@lifespan
@asynccontextmanager
async def menu() -> AsyncGenerator[Menu]:
    yield Menu()
"""
BOT = """@bot()
async def pizzeria(session: Session, menu: Menu, /) -> None: ...
"""
PRICE = """@action("bot")
async def price(menu: Menu, /) -> int:
    return 1
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes a module into a folder, and removes it afterwards."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(tmp_path / "site-packages"), *sys.path])
    (tmp_path / "site-packages").mkdir()

    def put(name: str, *texts: str) -> Path:
        path = tmp_path / f"{name}.py"
        path.write_text(HEAD + "".join(texts), "utf-8")
        return path

    yield put
    for name in set(sys.modules) - before:
        if name.startswith("lifespans_"):
            del sys.modules[name]


def chosen(path: Path, plugins: tuple[str, ...] = ()) -> Lifespans:
    """The lifespans that are chosen for a bot with these installed plugins."""
    installed = Installed(tuple(EntryPoint(each, f"lifespans_{each}", each, "1") for each in plugins))
    return compose(load_bot(str(path)), installed, (), plugins)[0].lifespans


def modules(found: Lifespans) -> dict[str, str]:
    """The module of the lifespan that each function receives."""
    return {function.__name__: spec.function.__module__ for (function, _), spec in found.of_parameter.items()}


def test_a_lifespan_of_a_neighbouring_module_counts(write: Write) -> None:
    """The lifespan may be above or below the functions that take its value."""
    write("lifespans_parts", MENU, OPENS)
    front = write("lifespans_front", "from lifespans_parts import Menu\n", BOT)
    assert modules(chosen(front)) == {"pizzeria": "lifespans_parts"}
    write("lifespans_actions", "from lifespans_parts import Menu\n", PRICE)
    whole = write("lifespans_whole", "from lifespans_actions import Menu, price\n", BOT)
    assert modules(chosen(whole)) == {"pizzeria": "lifespans_parts", "price": "lifespans_parts"}


def test_each_plugin_receives_its_own(write: Write) -> None:
    """Two lifespans may yield one class, such as a library's. A bot may take that of a plugin that it names."""
    write("site-packages/lifespans_library", MENU)
    take = "from lifespans_library import Menu\n"
    for name in ("one", "two"):
        write(f"site-packages/lifespans_{name}", take, OPENS, PRICE.replace("price", f"price_of_{name}"))
    own = write("lifespans_own", take, OPENS, BOT)
    found = chosen(own, ("one", "two"))
    assert modules(found) == {
        "pizzeria": "lifespans_own",
        "price_of_one": "lifespans_one",
        "price_of_two": "lifespans_two",
    }
    assert len(found.specs) == 3
    assert modules(chosen(write("lifespans_bare", take, BOT), ("one",)))["pizzeria"] == "lifespans_one"


@pytest.mark.anyio
async def test_a_plugin_whose_lifespan_does_not_open_is_named(write: Write) -> None:
    """The error has the distribution, which the operator knows."""
    failing = OPENS.replace("yield Menu()", "raise OSError\n    yield Menu()")
    write("site-packages/lifespans_broken", MENU, failing, PRICE)
    bot = load_bot(str(write("lifespans_plain", "@bot()\nasync def plain(session: Session, /) -> None: ...\n")))
    installed = Installed((EntryPoint("broken", "lifespans_broken", "rtvi-plugins-broken", "1"),))
    with pytest.raises(
        PluginError, match=r"lifespan menu\(\) \(.*\) of rtvi-plugins-broken cannot open: it raised OSError"
    ):
        async with host_for(bot, installed=installed, plugins=["broken"]):
            raise AssertionError("it must not open")


def refused(path: Path, plugins: tuple[str, ...] = ()) -> str:
    """The error of a bot that cannot be loaded."""
    with pytest.raises(DeclarationError) as raised:
        chosen(path, plugins)
    return str(raised.value)


def test_two_lifespans_of_one_class_are_refused(write: Write) -> None:
    """The error has both places."""
    path = write("lifespans_twice", MENU, OPENS, OPENS.replace("menu", "second"), BOT)
    text = refused(path)
    assert "pizzeria() (" in text
    assert "takes 'menu', and two lifespans yield Menu: menu() (" in text
    assert " and second() (" in text


def test_a_missing_lifespan_is_refused_with_what_to_write(write: Write) -> None:
    """The error also suggests a similar one."""
    text = refused(write("lifespans_missing", MENU, BOT))
    assert (
        "takes 'menu: Menu' before the '/', but no @lifespan of the bot or its plugins yields Menu. Write one" in text
    )
    other = "class Menus: ...\n" + OPENS.replace("Menu", "Menus")
    user = BOT.replace("Menu", "Menus").replace("pizzeria", "trattoria").replace("menu", "menus")
    text = refused(write("lifespans_near", MENU, other, user, PRICE))
    assert "yields Menus." in text


def test_a_value_that_nothing_takes_is_refused(write: Write) -> None:
    """It would never be opened. If another bot of the module takes it, it is not opened."""
    plain = "@bot()\nasync def plain(session: Session, /) -> None: ...\n"
    text = refused(write("lifespans_unused", MENU, OPENS, plain))
    assert "menu() (" in text
    assert "yields Menu, which nothing takes. Take it before a '/', as in (session: Session, menu: Menu, /)" in text
    path = write("lifespans_two_bots", MENU, OPENS, BOT, plain)
    assert chosen(Path(f"{path}:plain")).specs == ()
    assert len(chosen(Path(f"{path}:pizzeria")).specs) == 1
