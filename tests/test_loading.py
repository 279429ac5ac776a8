"""A bot is loaded by its name on the command line, or an error says what is missing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import pytest

from rtvi_plugins.errors import AuthorError, BotError, PluginError
from rtvi_plugins.loading import bot_spec, compose, load_bot
from rtvi_plugins.registry.installed_plugins import EntryPoint, Installed

HEAD = """
from __future__ import annotations
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from rtvi_plugins import LLM, Kind, Session, action, bot, hookimpl, options, service
"""

SERVICE = """
class Acme:
    async def respond(self, request, /):
        yield None

@service("llm", "acme")
@asynccontextmanager
async def acme_llm() -> AsyncGenerator[Acme]:
    yield Acme()

@action(acme_llm)
async def models(llm: Acme, /) -> list[str]: ...
"""

ACTIONS = """
@action("llm")
async def shout(llm: LLM, /) -> None: ...
"""

HOOK = """
@hookimpl
def session_opened(session: Session) -> None: ...
"""


def bot_text(name: str, provider: str = "acme", plugins: str = "()", client: str = "()") -> str:
    """The source of a bot with one service."""
    return f"""
@bot(services={{"llm": {provider!r}}}, plugins={plugins}, client={client})
async def {name}(session: Session, /, llm: LLM) -> None: ...
"""


Write: TypeAlias = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes a module that can be imported from the working folder. Afterwards it is removed."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)

    def put(name: str, *texts: str) -> Path:
        path = tmp_path / f"{name}.py"
        path.write_text(HEAD + "".join(texts), "utf-8")
        return path

    yield put
    for name in set(sys.modules) - before:
        if name.startswith("written_"):
            del sys.modules[name]


def installed(**modules: str) -> Installed:
    """What is installed: entry-point names, with two underscores in place of a dot, and their modules."""
    return Installed(tuple(EntryPoint(name.replace("__", "."), each, "acme", "1") for name, each in modules.items()))


# ---- naming a bot --------------------------------------------------------------------------------------------------


def test_a_bot_is_named_by_its_file(write: Write) -> None:
    """If the file has one bot, its name is not needed."""
    path = write("written_one", SERVICE, bot_text("receptionist"))
    for target in (str(path), f"{path}:receptionist", "written_one.py", "written_one:receptionist", "written_one"):
        assert bot_spec(load_bot(target)).name == "receptionist"


def test_one_of_several_bots_is_named(write: Write) -> None:
    """The error shows what to write."""
    path = write("written_two", SERVICE, bot_text("receptionist"), bot_text("cook"))
    assert bot_spec(load_bot(f"{path}:cook")).name == "cook"
    with pytest.raises(BotError) as raised:
        load_bot(str(path))
    assert f"several bots: receptionist, cook. Write {path}:receptionist" in str(raised.value)


def test_a_bot_may_import_its_neighbours(write: Write) -> None:
    """`python bot.py` does the same."""
    write("written_neighbour", "answer = 42\n")
    path = write("written_importing", "import written_neighbour\n", SERVICE, bot_text("receptionist"))
    assert load_bot(str(path)).__name__ == "receptionist"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nowhere.py", "There is no file 'nowhere.py'."),
        ("written_none.py", "has no function under @bot."),
        ("written_some.py:cok", "has no bot 'cok'; did you mean 'cook'?"),
        ("written_some.py:xyz", "has no bot 'xyz'; it has cook."),
        ("written_none.py:xyz", "has no bot 'xyz'; it has none."),
        ("written_nowhere:bot", "There is no module 'written_nowhere'. Write a path ending in .py"),
        ("written_nowhere.deeper", "There is no module 'written_nowhere.deeper'."),
        ("", "'' names no module. Write a path ending in .py"),
        (":bot", "'' names no module. Write"),
        ("..neighbour:bot", "'..neighbour' names no module. Write"),
    ],
)
def test_a_bot_that_is_not_there_is_told_with_what_to_write(target: str, message: str, write: Write) -> None:
    """It may be a file, a module or a name that does not exist."""
    write("written_none")
    write("written_some", SERVICE, bot_text("cook"))
    with pytest.raises(BotError) as raised:
        load_bot(target)
    assert message in str(raised.value)


def test_a_mistake_inside_a_bots_module_comes_out_as_it_is(write: Write) -> None:
    """An example is an import of a module that does not exist."""
    write("written_wrong", "raise RuntimeError('mine')\n")
    write("written_lost", "import written_lost_neighbour\n")
    with pytest.raises(RuntimeError, match="mine"):
        load_bot("written_wrong.py")
    with pytest.raises(ModuleNotFoundError, match="written_lost_neighbour"):
        load_bot("written_lost:bot")


def test_what_is_no_bot_is_told() -> None:
    """The error has its place."""
    with pytest.raises(BotError, match=r"test_what_is_no_bot_is_told\(\) \(.*\) is not a bot. Decorate it with @bot"):
        bot_spec(test_what_is_no_bot_is_told)


# ---- putting it together -------------------------------------------------------------------------------------------


def module_of(path: Path) -> ModuleType:
    """Write a module, and import it."""
    return __import__(path.stem)


def refused(bot: Any, found: Installed, family: type[AuthorError] = PluginError) -> str:
    """The error of a bot that cannot be loaded."""
    with pytest.raises(family) as raised:
        compose(bot, found)
    return str(raised.value)


def test_a_provider_is_found_in_the_bots_own_module_or_among_the_installed(write: Write) -> None:
    """The bot's own module comes first and needs no installation. Plugins the bot does not name are not imported."""
    write("written_provider", SERVICE)
    write("written_unused", "raise RuntimeError('imported')\n")
    found = installed(llm__acme="written_provider", llm__unused="written_unused")
    sys.path.insert(0, ".")
    own = load_bot(str(write("written_own", SERVICE, bot_text("receptionist", client="['llm:models']"))))
    other = load_bot(str(write("written_other", bot_text("receptionist", client="['llm:models']"))))
    own_registry, other_registry = compose(own, found)[0], compose(other, found)[0]
    functions = [each.services["llm"].providers["acme"].spec.function for each in (own_registry, other_registry)]
    assert [each.__module__ for each in functions] == ["written_own", "written_provider"]


def test_a_provider_may_be_named_with_its_distribution(write: Write) -> None:
    """Clients use the name that the bot gives the service."""
    write("written_provider", SERVICE)
    bot = load_bot(str(write("written_bot", bot_text("receptionist", provider="acme:acme"))))
    registry, _ = compose(bot, installed(llm__acme="written_provider"))
    assert list(registry.services["llm"].providers) == ["acme:acme"]


def test_an_extra_module_declares_like_an_installed_one(write: Write) -> None:
    """Tests use this for their providers."""
    bot = load_bot(str(write("written_bot", bot_text("receptionist"))))
    extra = module_of(write("written_extra", SERVICE))
    assert compose(bot, installed(), (extra,))[0].services["llm"].default == "acme"


def test_a_bot_gets_the_plugins_that_it_names(write: Write) -> None:
    """It gets their actions and hooks, and those of no other plugin."""
    write("written_actions", ACTIONS)
    write("written_hook", HOOK)
    found = installed(shout="written_actions", watch="written_hook")
    sys.path.insert(0, ".")
    bot = load_bot(str(write("written_bot", SERVICE, bot_text("receptionist", plugins="['shout', 'watch']"))))
    registry, hooks = compose(bot, found)
    assert "shout" in registry.services["llm"].providers["acme"].actions
    assert hooks.is_implemented("session_opened")
    plain = load_bot(str(write("written_plain", SERVICE, bot_text("cook"))))
    registry, hooks = compose(plain, found)
    assert "shout" not in registry.services["llm"].providers["acme"].actions
    assert not hooks.is_implemented("session_opened")


def test_a_provider_that_is_missing_or_broken_is_told_with_the_bot_and_the_service(write: Write) -> None:
    """Only a bot that names it fails."""
    write("written_broken", "raise RuntimeError('out of seeds')\n")
    found = installed(llm__broken="written_broken", llm__acme="written_provider")
    write("written_provider", SERVICE)
    sys.path.insert(0, ".")
    missing = load_bot(str(write("written_missing", bot_text("receptionist", provider="acmee"))))
    broken = load_bot(str(write("written_breaking", bot_text("receptionist", provider="broken"))))
    fine = load_bot(str(write("written_fine", bot_text("receptionist"))))
    assert (
        refused(missing, found) == "The bot 'receptionist' names the provider 'acmee' for 'llm'. "
        "No llm provider 'acmee' is installed. Did you mean 'acme'?"
    )
    assert "cannot be used: RuntimeError: out of seeds" in refused(broken, found)
    assert list(compose(fine, found)[0].services) == ["llm"]


def test_a_provider_of_the_bots_own_module_with_a_similar_name_is_told(write: Write) -> None:
    """It is neither installed nor in another module."""
    own = """
from contextlib import asynccontextmanager
from rtvi_plugins import service

@service("llm", "Acme")
@asynccontextmanager
async def acme_llm():
    yield None
"""
    path = write("written_bot", bot_text("receptionist", provider="acme") + own)
    why = refused(load_bot(str(path)), installed())
    assert f"Is there a package rtvi-plugins-acme? Or did you mean 'Acme', of acme_llm() ({path}:" in why


def test_everything_that_is_missing_is_told_at_once(write: Write) -> None:
    """Each one is on a line of its own, with the name that its package may have."""
    text = bot_text("receptionist", provider="acme", plugins="['summs']")
    missing = load_bot(str(write("written_missing", text)))
    first, second = refused(missing, installed(llm__rules="written_rules")).splitlines()
    assert first.endswith(
        "No llm provider 'acme' is installed. Installed: rules. Is there a package rtvi-plugins-acme?"
    )
    assert second == "No plugin 'summs' is installed. Is there a package rtvi-plugins-summs?"


def test_a_service_that_is_annotated_with_another_kind_is_told(write: Write) -> None:
    """The provider exists, and does not count as missing."""
    bot = load_bot(str(write("written_bot", bot_text("receptionist"))))
    assert refused(bot, installed(stt__acme="written_provider")) == (
        "The bot 'receptionist' names the provider 'acme' for 'llm'. "
        "'llm' is annotated with LLM, and 'acme' is not one. Name another provider, or annotate it with STT."
    )


def test_a_service_of_the_bots_own_module_that_is_of_another_kind_is_told(write: Write) -> None:
    """The provider exists, although nothing is installed."""
    text = bot_text("receptionist", provider="acme")
    own = """
from contextlib import asynccontextmanager
from rtvi_plugins import service

@service("stt", "acme")
@asynccontextmanager
async def acme_stt():
    yield None
"""
    assert refused(load_bot(str(write("written_bot", text + own))), installed()) == (
        "The bot 'receptionist' names the provider 'acme' for 'llm'. "
        "'llm' is annotated with LLM, and 'acme' is not one. Name another provider, or annotate it with STT."
    )


def test_an_entry_point_that_names_the_wrong_module_is_told(write: Write) -> None:
    """The error has the bot, and the decorator that the module must contain."""
    write("written_elsewhere", ACTIONS)
    sys.path.insert(0, ".")
    bot = load_bot(str(write("written_bot", bot_text("receptionist"))))
    assert refused(bot, installed(llm__acme="written_elsewhere")) == (
        "The bot 'receptionist' names the provider 'acme' for 'llm'. The plugin 'llm.acme' of acme 1 declares no such "
        "service: its entry point must name the module in which @service('llm', 'acme') stands, and that is not "
        "'written_elsewhere'."
    )


def test_an_entry_point_with_the_wrong_name_is_told(write: Write) -> None:
    """The error has the name that would be right."""
    write("written_provider", SERVICE)
    sys.path.insert(0, ".")
    bot = load_bot(str(write("written_bot", bot_text("receptionist", provider="acmee"))))
    message = refused(bot, installed(llm__acmee="written_provider"))
    assert message.endswith("and that is not 'written_provider'; it declares llm.acme.")


def test_a_plugin_that_declares_nothing_is_told(write: Write) -> None:
    """Declarations that a module imports from another plugin do not count."""
    write("written_actions", ACTIONS)
    write("written_empty", "from written_actions import shout\n")
    sys.path.insert(0, ".")
    bot = load_bot(str(write("written_bot", SERVICE, bot_text("receptionist", plugins="['empty']"))))
    message = refused(bot, installed(empty="written_empty", shout="written_actions"))
    assert "The plugin 'empty' of acme 1 declares nothing" in message
    assert "its functions are decorated" in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("@hookimpl\ndef session_openned(session): ...\n", "session_openned"),
        ("@hookimpl\ndef session_opened(sesion): ...\n", "sesion"),
    ],
)
def test_a_hook_that_is_none_is_told(text: str, message: str, write: Write) -> None:
    """The name of a hook or of an argument is wrong."""
    write("written_hook", text)
    sys.path.insert(0, ".")
    bot = load_bot(str(write("written_bot", SERVICE, bot_text("receptionist", plugins="['watch']"))))
    assert message in refused(bot, installed(watch="written_hook"))


# ---- several modules -----------------------------------------------------------------------------------------------

OPTIONS = """
LOUDEST = 9

@options(acme_llm)
def loudness(llm: object, /, volume: int = 1) -> None: ...

@action(acme_llm)
async def shout(llm: object, /) -> None: ...

@hookimpl
def session_opened(session: Session) -> None: ...
"""

#: Ways in which a module imports another, which declares what `OPTIONS` does.
WAYS = [
    "from . import more",
    "from .more import loudness",
    "from .more import *",
    "import written_package.more",
    "from .more import LOUDEST",
    "from written_package.more import LOUDEST",
    "from . import more as _more\ndel _more",
]


def package(write: Write, **modules: str) -> None:
    """Write a package of modules."""
    folder = write("written_none").parent / "written_package"
    folder.mkdir()
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(HEAD + text, "utf-8")


@pytest.mark.parametrize("way", WAYS)
def test_what_a_provider_imports_from_its_own_package_counts(way: str, write: Write) -> None:
    """Options, actions and hooks may be in a second module, however it is imported."""
    more = "from ._service import acme_llm\n" + OPTIONS
    package(write, __init__="", _service=SERVICE, more=more, llm=f"from ._service import acme_llm\n{way}\n")
    sys.path.insert(0, ".")
    bot = load_bot(str(write("written_bot", bot_text("receptionist", client="['llm.volume', 'llm:shout']"))))
    registry, hooks = compose(bot, installed(llm__acme="written_package.llm"))
    assert {"models", "shout"} <= set(registry.services["llm"].providers["acme"].actions)
    assert hooks.is_implemented("session_opened")


def test_what_a_bot_imports_from_its_own_folder_counts(write: Write) -> None:
    """It has an action on its service, and one of the bot."""
    write("written_service", SERVICE)
    write(
        "written_more", "from written_service import acme_llm\n", OPTIONS, '@action("bot")\ndef book() -> None: ...\n'
    )
    text = bot_text("receptionist", client="['llm.volume', 'bot:book']")
    bot = load_bot(str(write("written_bot", "import written_more\n", text)))
    registry, hooks = compose(bot, installed())
    assert list(registry.actions["bot"])[-1] == "book"
    assert hooks.is_implemented("session_opened")


def test_what_a_bot_imports_from_an_installed_plugin_does_not_count(write: Write) -> None:
    """Importing a function of a plugin does not add the plugin."""
    write("written_actions", ACTIONS, HOOK)
    write("written_provider", SERVICE)
    sys.path.insert(0, ".")
    head = "from written_actions import shout\nfrom written_provider import acme_llm\n"
    bot = load_bot(str(write("written_bot", head, bot_text("receptionist"))))
    registry, hooks = compose(bot, installed(shout="written_actions", llm__acme="written_provider"))
    assert "shout" not in registry.services["llm"].providers["acme"].actions
    assert not hooks.is_implemented("session_opened")


def test_a_hook_that_two_modules_hold_is_called_once(write: Write) -> None:
    """Both modules have the same function."""
    write("written_hook", HOOK)
    bot = load_bot(str(write("written_bot", "from written_hook import session_opened\n", SERVICE, bot_text("cook"))))
    _, hooks = compose(bot, installed())
    assert len(hooks._functions["session_opened"]) == 1  # pyright: ignore[reportPrivateUsage]


def test_a_bot_may_be_imported_where_it_is_named(write: Write) -> None:
    """Its actions are in the module of the bot."""
    write("written_inner", SERVICE, bot_text("receptionist", client="['bot:book']"))
    front = "from written_inner import receptionist as front\n@action('bot')\ndef book() -> None: ...\n"
    path = write("written_front", front)
    for target in (str(path), f"{path}:front", "written_front", "written_front:front"):
        assert "book" in compose(load_bot(target), installed())[0].actions["bot"]


KIND = """
from typing import Protocol, runtime_checkable

@runtime_checkable
class Avatar(Protocol):
    async def show(self, mood: str, /) -> str: ...

AVATAR = Kind("avatar", Avatar)

@action(AVATAR)
async def show_mood(avatar: Avatar, /, mood: str) -> str: ...

@options(AVATAR)
def look(avatar: Avatar, /, eyes: str = ":") -> None: ...
"""

SKETCH = """
class Sketch:
    async def show(self, mood: str, /) -> str: ...

@service(AVATAR, "sketch")
@asynccontextmanager
async def sketch() -> AsyncGenerator[Sketch]:
    yield Sketch()
"""

FACE = """
@bot(services={"face": "sketch"}, client=["face:show_mood", "face.eyes"])
async def receptionist(session: Session, /, face: Avatar) -> None: ...
"""


def test_a_kinds_own_actions_count_wherever_its_provider_is(write: Write) -> None:
    """Its provider may be in another module, or another distribution."""
    write("written_avatar", KIND)
    write("written_sketch", "from written_avatar import AVATAR\n", SKETCH)
    sys.path.insert(0, ".")
    bot = load_bot(str(write("written_bot", "from written_avatar import Avatar\n", FACE)))
    found = installed(avatar__sketch="written_sketch", avatar="written_avatar")
    provider = compose(bot, found)[0].services["face"].providers["sketch"]
    assert (list(provider.actions), list(provider.options)) == (["show_mood"], ["eyes"])


def test_two_kinds_of_one_name_are_not_mixed_up(write: Write) -> None:
    """Their Protocols differ, so a provider of one does not implement the other."""
    write("written_avatar", KIND)
    write("written_other", KIND, SKETCH)
    sys.path.insert(0, ".")
    bot = load_bot(str(write("written_bot", "from written_avatar import Avatar\n", FACE)))
    message = refused(bot, installed(avatar__sketch="written_other", avatar="written_avatar"), BotError)
    assert "annotates 'face' with written_avatar.Avatar, but sketch()" in message
    assert "Two plugins define the kind 'avatar': rename one of them." in message


def test_a_service_that_is_declared_twice_is_refused(write: Write) -> None:
    """The error has both places."""
    text = SERVICE + SERVICE.replace("acme_llm", "again").replace("models", "more_models")
    bot = load_bot(str(write("written_bot", text, bot_text("receptionist"))))
    message = refused(bot, installed(), AuthorError)
    assert message.startswith("the service 'llm.acme' is declared twice: acme_llm() (")
    assert " and again() (" in message


def test_a_decorator_above_the_declaring_one_is_refused(write: Write) -> None:
    """The result of that decorator would be ignored."""
    text = """
from functools import wraps
def logged(function):
    @wraps(function)
    def logging(*args): ...
    return logging

@logged
@action("bot")
def book() -> None: ...
"""
    bot = load_bot(str(write("written_bot", SERVICE, bot_text("receptionist"))))
    extra = module_of(write("written_logged", text))
    with pytest.raises(AuthorError, match=r"book\(\) \(.*\) has another decorator above the one that declares it"):
        compose(bot, installed(), (extra,))


# ---- optional providers ----------------------------------------------------------------------------------------------


def test_an_optional_provider_that_is_not_installed_is_left_out(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    """The next one is the default. Options of the missing provider are ignored."""
    caplog.set_level("INFO", "rtvi_plugins")
    path = write(
        "written_optional",
        SERVICE,
        """
@bot(
    services={"llm": ["missing?", "acme"]},
    config={"llm.missing": {"mood": "good"}},
    client=["llm.mood", "llm.provider", "llm:models"],
)
async def someone(session: Session, /, llm: LLM) -> None: ...
""",
    )
    registry, _ = compose(load_bot(str(path)), Installed(()))
    assert registry.labels() == {"llm": ("acme",)}
    assert "names the provider 'missing' for 'llm'. No llm provider 'missing' is installed." in caplog.text
    assert "It is left out." in caplog.text


def test_an_optional_provider_that_is_there_is_the_default(write: Write) -> None:
    """Its place in the list decides."""
    path = write("written_optional", SERVICE, bot_text("someone", "acme?"))
    assert compose(load_bot(str(path)), Installed(()))[0].labels() == {"llm": ("acme",)}


def test_one_of_the_optional_providers_has_to_be_there(write: Write) -> None:
    """The error names all of them."""
    path = write("written_optional", bot_text("someone").replace("'acme'", "['gone?', 'lost?']"))
    with pytest.raises(
        PluginError, match=r"(?s)No llm provider 'gone' is installed.*No llm provider 'lost' is installed"
    ):
        compose(load_bot(str(path)), Installed(()))


def test_a_name_that_is_wrong_is_still_found_beside_optional_providers(write: Write) -> None:
    """A grant with an unknown service is an error, although a provider is missing."""
    path = write("written_optional", SERVICE, bot_text("someone", "acme", client='["lmm.mood"]'))
    with pytest.raises(BotError, match=r"lmm\.mood"):
        compose(load_bot(str(path)), Installed(()))


# ---- personas --------------------------------------------------------------------------------------------------------

PERSONAS = """
from rtvi_plugins.session import Persona

@options(acme_llm)
def configure(llm: Acme, /, model: str = "small", seed: int = 1) -> None: ...

COOK = Persona("You cook.", functions=["bot:order", "offered_by_the_client"], config={"llm": {"model": "large"}})
OTHERS = {"waiter": Persona(config={"llm.acme": {"seed": 2}, "llm": {"provider": "acme"}})}
"""

BOT_WITH_FUNCTIONS = """
@bot(services={"llm": "acme"}, functions=["bot:order"])
async def hotel(session: Session, /, llm: LLM) -> None: ...

@action(hotel)
async def order() -> None: ...

@action(hotel)
async def pay() -> None: ...
"""


def composed(path: Path) -> None:
    """Load the bot of a file, with everything that it names."""
    compose(load_bot(str(path)), Installed(()))


def test_personas_that_fit_the_bot_are_accepted(write: Write) -> None:
    """An unknown function may be one of the client."""
    composed(write("written_personas", SERVICE, PERSONAS, BOT_WITH_FUNCTIONS))


@pytest.mark.parametrize(
    ("persona", "message"),
    [
        ('Persona(config={"lm": {}})', "the persona WRONG: config= names 'lm'. Did you mean 'llm'?"),
        ('Persona(config={"llm": {"modle": ""}})', "config= names the option 'llm.modle'. Did you mean 'model'?"),
        ('Persona(config={"llm": {"seed": "1"}})', "config= gives 'llm.seed' a wrong value: expected a whole number"),
        ('Persona(config={"llm.acne": {"seed": 1}})', "config= names the provider 'llm.acne'. Did you mean 'acme'?"),
        ('Persona(config={"llm": {"provider": "x"}})', "config= chooses the llm provider 'x'. There is acme."),
        ('Persona(functions=["ordr"])', "functions= names 'ordr'. Did you mean 'order'?"),
        ('Persona(functions=["bot:pay"])', "functions= names 'pay', which @bot(functions=…) does not grant."),
        ('{"a": [], "b": Persona(config={"lm": {}})}', "the persona WRONG['b']: config= names 'lm'."),
        ('[Persona(config={"lm": {}})]', "the persona WRONG[0]: config= names 'lm'."),
    ],
)
def test_a_persona_that_cannot_be_is_an_error_of_the_bot(write: Write, persona: str, message: str) -> None:
    """The error is raised when the bot is loaded, not in a call."""
    path = write("written_wrong_persona", SERVICE, PERSONAS, f"WRONG = {persona}\n", BOT_WITH_FUNCTIONS)
    with pytest.raises(BotError) as raised:
        composed(path)
    assert message in str(raised.value)


def test_the_personas_of_several_bots_are_not_checked(write: Write) -> None:
    """It is not known to which bot each persona belongs."""
    wrong = 'WRONG = Persona(config={"lm": {}})\n'
    path = write("written_bots", SERVICE, PERSONAS, wrong, BOT_WITH_FUNCTIONS, bot_text("second"))
    composed(Path(f"{path}:hotel"))
