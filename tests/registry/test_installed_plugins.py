"""Installed plugins are listed from metadata without imports, and loaded one by one. A broken one is recorded."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtvi_plugins.errors import PluginError
from rtvi_plugins.registry.distribution_metadata import commands
from rtvi_plugins.registry.installed_plugins import API, EntryPoint, Installed, discover

GOOD = "acme_loaded = True\n"
BROKEN = "import acme_good\n\nraise RuntimeError('out of seeds')\n"

Install: TypeAlias = Callable[..., str]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Puts a distribution into a folder: its metadata, and modules. Afterwards its modules are removed again."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    def put(info: str, entry_points: str, folder: str = "", **modules: str) -> str:
        root = tmp_path / folder
        (root / info).mkdir(parents=True)
        (root / info / "entry_points.txt").write_text(entry_points, "utf-8")
        for name, text in modules.items():
            (root / f"{name}.py").write_text(text, "utf-8")
        return str(root)

    yield put
    for name in set(sys.modules) - before:
        if name.startswith("acme"):
            del sys.modules[name]


def points(*lines: str, api: str | None = API, commands: str = "") -> str:
    """The text of `entry_points.txt`."""
    version = [f"[rtvi_plugins.api]\n{api} = acme"] if api is not None else []
    return "\n".join(["[rtvi_plugins]", *lines, "", *version, "", "[rtvi_plugins.commands]", commands])


# ---- listing -------------------------------------------------------------------------------------------------------


def test_modules_are_listed_without_importing_them(install: Install) -> None:
    """The list has names, kinds and providers, each with its distribution."""
    path = install(
        "rtvi_plugins_acme-1.2.dist-info",
        points("llm.acme = acme_broken", "shout = acme_good"),
        acme_good=GOOD,
        acme_broken=BROKEN,
    )
    llm, shout = discover([path])
    assert (llm.kind, llm.provider, llm.module, llm.version) == ("llm", "acme", "acme_broken", "1.2")
    assert llm.qualified == "rtvi-plugins-acme:acme"
    assert (shout.kind, shout.provider) == (None, "shout")
    assert not {"acme_good", "acme_broken"} & set(sys.modules)


def test_a_list_is_sorted_and_leaves_out_other_distributions(install: Install) -> None:
    """The list is sorted by name, then by distribution."""
    path = install("zeta-1.dist-info", points("tts.b = b", "llm.z = z"))
    install("alpha-1.dist-info", points("llm.z = z"))
    install("others-1.dist-info", "[console_scripts]\nother = other:main")
    found = [(each.name, each.distribution) for each in discover([path])]
    assert found == [("llm.z", "alpha"), ("llm.z", "zeta"), ("tts.b", "zeta")]


@pytest.mark.parametrize(
    ("info", "name", "version"),
    [
        ("Acme_Plugins-1.0.dist-info", "acme-plugins", "1.0"),
        ("acme.plugins-2.0.post1.dist-info", "acme-plugins", "2.0.post1"),
        ("acme-1.0+local.dist-info", "acme", "1.0+local"),
        ("acme-1.0-py3.11.egg-info", "acme", "1.0"),
        ("acme.egg-info", "acme", ""),
    ],
)
def test_a_distribution_is_told_by_its_folder(info: str, name: str, version: str, install: Install) -> None:
    """The name has the form in which the distribution is installed."""
    (entry,) = discover([install(info, points("llm.acme = acme"))])
    assert (entry.distribution, entry.version) == (name, version)


def test_a_distribution_that_is_twice_on_the_path_counts_once(install: Install) -> None:
    """The first one is the one that would be imported. A folder that is on the path twice is read once."""
    first = install("acme-2.dist-info", points("llm.acme = acme"), folder="first")
    second = install("acme-1.dist-info", points("llm.acme = acme", "llm.old = acme"), folder="second")
    assert [(each.name, each.version) for each in discover([first, second, first])] == [("llm.acme", "2")]


#: Folders of one distribution that lie beside each other, the installed one last.
BESIDE: list[list[str]] = [
    ["acme-1.9.dist-info", "acme-1.10.dist-info"],
    ["acme-2.0rc1.dist-info", "acme-2.0.dist-info"],
    ["acme-2.0.dev3.dist-info", "acme-2.0a1.dist-info"],
    ["acme-2.0.dist-info", "acme-2.0.post1.dist-info"],
    ["acme-9.9.dist-info", "acme-1!0.1.dist-info"],
    ["acme-1.0+a.dist-info", "Acme-1.0+b.dist-info"],
    ["acme-1.9-py3.11.egg-info", "acme-1.10.dist-info"],
    ["acme.egg-info", "acme-1.dist-info"],
    ["~cme-9.dist-info", "acme-1.dist-info"],
    ["~acme-9.dist-info", "acme-1.dist-info"],
]


@pytest.mark.parametrize("infos", BESIDE)
@pytest.mark.parametrize("backwards", [False, True])
def test_of_several_versions_in_one_folder_the_newest_counts(
    infos: list[str], backwards: bool, install: Install
) -> None:
    """The others, and what pip was about to remove, are leftovers."""
    path = ""
    for info in reversed(infos) if backwards else infos:
        path = install(info, points(f"llm.acme = acme_{infos.index(info)}"))
    assert [each.module for each in discover([path])] == [f"acme_{len(infos) - 1}"]
    assert Installed(discover([path])).provider("llm", "acme").distribution == "acme"


def test_of_two_folders_of_one_version_the_last_written_counts(install: Install) -> None:
    """This is so if the name of a distribution is spelled in two ways."""
    path = install("acme_x-1.dist-info", points("llm.acme = acme_old"))
    install("Acme_X-1.0.dist-info", points("llm.acme = acme_new"))
    os.utime(Path(path, "acme_x-1.dist-info"), (1, 1))
    assert [each.module for each in discover([path])] == ["acme_new"]


def test_a_newer_version_without_plugins_leaves_none(install: Install) -> None:
    """Entry points of the older version do not count."""
    path = install("acme-1.dist-info", points("llm.acme = acme"))
    install("acme-2.dist-info", "")
    assert discover([path]) == ()


def test_a_folder_that_holds_nothing_is_no_newer_version(install: Install, tmp_path: Path) -> None:
    """An uninstall has left it behind."""
    path = install("acme-1.dist-info", points("llm.acme = acme"))
    (tmp_path / "acme-2.dist-info").mkdir()
    assert [each.version for each in discover([path])] == ["1"]


def test_an_old_kind_of_metadata_that_is_a_file_is_read_by_its_name(install: Install, tmp_path: Path) -> None:
    """Distutils wrote such files."""
    path = install("acme-1.dist-info", points("llm.acme = acme"))
    (tmp_path / "acme-2.egg-info").write_text("Metadata-Version: 1.0\n", "utf-8")
    assert discover([path]) == ()


def test_metadata_without_a_version_in_its_name_has_it_inside(install: Install, tmp_path: Path) -> None:
    """An example is the metadata of a checkout."""
    path = install("acme.egg-info", "\ufeff" + points("llm.acme = acme"))
    (tmp_path / "acme.egg-info" / "PKG-INFO").write_text("Name: acme\nVersion: 3.1\n\n", "utf-8")
    assert [each.version for each in discover([path])] == ["3.1"]


@settings(deadline=None)
@given(versions=st.lists(st.from_regex(r"[0-9a-z.!+_-]{0,9}", fullmatch=True), max_size=4, unique=True))
def test_any_versions_can_be_compared(versions: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Folders may have any names."""
    site = tmp_path_factory.mktemp("site")
    for each in versions:
        info = site / f"acme-{each}.dist-info"
        info.mkdir()
        (info / "entry_points.txt").write_text("[rtvi_plugins]\nllm.acme = acme\n", "utf-8")
    assert len(discover([str(site)])) == bool(versions)


@pytest.mark.parametrize("module", ["", "acme llm", "acme-llm", ".acme"])
def test_an_entry_point_that_names_no_module_is_unfit(module: str) -> None:
    """No import is tried."""
    assert "which is not a module" in (EntryPoint("llm.acme", module, "acme", "1").unfit or "")


def test_a_path_that_leads_nowhere_holds_nothing(tmp_path: Path) -> None:
    """`sys.path` may contain folders that do not exist, and archives."""
    (tmp_path / "an.zip").write_bytes(b"PK")
    (tmp_path / "empty-1.dist-info").mkdir()
    assert discover([str(tmp_path / "nowhere"), str(tmp_path / "an.zip"), str(tmp_path)]) == ()


def test_metadata_that_is_none_holds_nothing(install: Install, tmp_path: Path) -> None:
    """Examples are binary files and texts without groups."""
    path = install("odd-1.dist-info", "llm.acme = acme\n# [rtvi_plugins]\n")
    (tmp_path / "raw-1.dist-info").mkdir()
    (tmp_path / "raw-1.dist-info" / "entry_points.txt").write_bytes(b"[rtvi_plugins]\n\xff = \xfe")
    assert discover([path]) == ()


def test_spaces_comments_and_extras_are_no_part_of_a_module(install: Install) -> None:
    """This is the format of entry points."""
    path = install("acme-1.dist-info", "[ rtvi_plugins ]\n# comment\n; another\n\n  llm.acme =  acme [gpu] \n")
    assert [(each.name, each.module) for each in discover([path])] == [("llm.acme", "acme")]


@given(text=st.text(alphabet="[]=# .\nabc"))
def test_any_metadata_is_read_or_ignored(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No content of a distribution's metadata ends the list."""
    info = tmp_path_factory.mktemp("site") / "acme-1.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text(f"[rtvi_plugins]\n{text}", "utf-8")
    assert all(each.distribution == "acme" for each in discover([str(info.parent)]))


def test_commands_are_listed_apart(install: Install) -> None:
    """The distribution may contain nothing else."""
    path = install("acme-1.dist-info", "[rtvi_plugins.commands]\nchat = acme_chat:main\n")
    assert commands([path]) == {"chat": "acme_chat:main"}
    assert discover([path]) == ()


# ---- choosing ------------------------------------------------------------------------------------------------------


def entry(name: str, distribution: str = "acme", module: str = "acme_good") -> EntryPoint:
    """An installed module."""
    return EntryPoint(name, module, distribution, "1.0")


def test_a_provider_is_chosen_by_kind_and_name() -> None:
    """Several kinds may have a provider of the same name."""
    llm, tts = entry("llm.acme"), entry("tts.acme")
    installed = Installed((llm, tts))
    assert installed.provider("llm", "acme") is llm
    assert installed.provider("tts", "acme") is tts


def test_a_name_that_several_offer_must_be_qualified() -> None:
    """The message names both spellings, and both work. Others are not affected."""
    one, other = entry("llm.acme", "one"), entry("llm.acme", "other")
    installed = Installed((one, other, entry("llm.solo")))
    with pytest.raises(PluginError, match=r"Write 'one:acme' or 'other:acme'\."):
        installed.provider("llm", "acme")
    assert installed.provider("llm", "one:acme") is one
    assert installed.provider("llm", "other:acme") is other
    assert installed.provider("llm", "solo").name == "llm.solo"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("acmee", "Did you mean 'acme'?"),
        ("other:acmee", "Did you mean 'acme'?"),
        ("xyz", "Installed: acme. Is there a package rtvi-plugins-xyz?"),
        ("bird:xyz", "Is there a package bird?"),
    ],
)
def test_a_provider_that_is_not_installed_is_told_with_those_that_are(name: str, message: str) -> None:
    """The error lists the providers of the same kind."""
    installed = Installed((entry("llm.acme"), entry("tts.xyz")))
    with pytest.raises(PluginError) as raised:
        installed.provider("llm", name)
    assert message in str(raised.value)
    with pytest.raises(PluginError, match=r"is installed\. Is there a package rtvi-plugins-acme\?$"):
        installed.provider("vad", "acme")


@pytest.mark.parametrize("name", ["acme", "acme.llm", "llm_acme", "llm-acme", "LLM.acme"])
def test_an_entry_point_with_a_wrong_name_is_told(name: str) -> None:
    """Otherwise the author would look for a package that is installed."""
    with pytest.raises(PluginError) as raised:
        Installed((entry(name), entry("tts.acme"))).provider("llm", "acme")
    assert str(raised.value) == (
        "No llm provider 'acme' is installed. "
        f"acme has the entry point {name!r}. That of a provider is named 'llm.acme'."
    )


def test_a_vendor_that_is_bridged_is_named_with_its_bridge() -> None:
    """This is true whether the vendor's plugin is installed or not. Its own name is not a provider."""
    with pytest.raises(PluginError) as raised:
        Installed(()).provider("stt", "gladia")
    assert str(raised.value) == (
        "No stt provider 'gladia' is installed. LiveKit has one: write 'livekit-gladia', and in the checkout of "
        "rtvi-plugins, run: pip install ./plugins/rtvi-plugins-livekit livekit-plugins-gladia"
    )
    with pytest.raises(PluginError, match=r"is installed\. Did you mean 'livekit-gladia'\?$"):
        Installed((entry("stt.livekit-gladia"),)).provider("stt", "gladia")
    with pytest.raises(PluginError, match="Is there a package rtvi-plugins-gladia"):
        Installed(()).provider("llm", "gladia")


def test_a_module_of_actions_is_chosen_by_its_name() -> None:
    """A provider is not a module of actions."""
    shout = entry("shout")
    assert Installed((shout, entry("llm.acme"))).module("shout") is shout
    with pytest.raises(PluginError):
        Installed((entry("llm.acme"),)).module("acme")
    with pytest.raises(PluginError, match=r"'llm\.acme' is a provider\. Write it in services= of the bot\."):
        Installed((entry("llm.acme"), entry("acme"))).module("llm.acme")
    with pytest.raises(PluginError, match=r"Did you mean 'shout'\?"):
        Installed((shout,)).module("rtvi-plugins-shout")


# ---- loading -------------------------------------------------------------------------------------------------------


def test_a_module_is_loaded_once(install: Install) -> None:
    """It is loaded only when it is asked for."""
    install("acme-1.dist-info", points("llm.acme = acme_good"), acme_good=GOOD)
    installed = Installed()
    loaded = installed.load(installed.provider("llm", "acme"))
    assert loaded is installed.load(installed.provider("llm", "acme")) is sys.modules["acme_good"]


def test_a_broken_module_is_set_aside_with_its_reason(install: Install) -> None:
    """Other modules are loaded. The reason has the plugin, the exception and the line, and is kept."""
    install(
        "acme-1.dist-info",
        points("llm.broken = acme_broken", "llm.good = acme_good", "llm.exits = acme_exits", "llm.gone = acme_gone"),
        acme_good=GOOD,
        acme_broken=BROKEN,
        acme_exits="raise SystemExit(3)\n",
    )
    installed = Installed()
    for name, reason in {"broken": "RuntimeError: out of seeds", "exits": "SystemExit: 3", "gone": "acme_gone"}.items():
        for _ in range(2):
            with pytest.raises(PluginError) as raised:
                installed.load(installed.provider("llm", name))
            assert f"The plugin 'llm.{name}' of acme 1 cannot be used" in str(raised.value)
            assert reason in str(raised.value)
    assert "acme_broken.py:3" in installed.broken["acme_broken"]
    assert vars(installed.load(installed.provider("llm", "good")))["acme_loaded"]
    assert set(installed.broken) == {"acme_broken", "acme_exits", "acme_gone"}


@pytest.mark.parametrize(
    ("module", "api", "reason"),
    [
        (
            "acme_good",
            "7",
            (
                f"it was built for version 7 of the plugin API, and this is version {API}. "
                "Update rtvi-plugins, or install an older version of the plugin."
            ),
        ),
        (
            "acme_good",
            "0",
            f"it was built for version 0 of the plugin API, and this is version {API}. Update the plugin.",
        ),
        (
            "acme_good.llm",
            None,
            (
                "it names no version of the plugin API; "
                f'add [project.entry-points."rtvi_plugins.api"] {API} = "acme_good" to its pyproject.toml.'
            ),
        ),
        ("acme_good:acme_llm", API, "its entry point must name a module; leave out ':acme_llm'."),
    ],
)
def test_a_plugin_whose_metadata_is_wrong_is_not_imported(
    module: str, api: str | None, reason: str, install: Install
) -> None:
    """That says enough, also what to write instead."""
    install("acme-1.dist-info", points(f"llm.acme = {module}", api=api), acme_good=GOOD)
    installed = Installed()
    with pytest.raises(PluginError) as raised:
        installed.load(installed.provider("llm", "acme"))
    assert str(raised.value) == f"The plugin 'llm.acme' of acme 1 cannot be used: {reason}"
    assert "acme_good" not in sys.modules


@pytest.mark.parametrize(
    "declared",
    ["@service('llm', 'acme')\nasync def acme_llm(): ...\n", "\n@service('lmm', 'acme')\ndef acme_llm(): ...\n"],
)
def test_a_mistake_of_declaration_is_told_with_one_place(declared: str, install: Install) -> None:
    """The place is that of the author, not that of the framework."""
    source = f"from rtvi_plugins import service\n\n{declared}"
    install("acme-1.dist-info", points("llm.acme = acme_bad"), acme_bad=source)
    installed = Installed()
    with pytest.raises(PluginError) as raised:
        installed.load(installed.provider("llm", "acme"))
    assert str(raised.value).count(".py:") == 1
    assert "acme_bad.py:" in str(raised.value)


def test_a_mistake_that_the_framework_finds_is_told_with_the_plugins_line(install: Install) -> None:
    """The line is added if the text names none."""
    source = "from rtvi_plugins.limits import Limits\n\nLimits.parse(['nothing'])\n"
    install("acme-1.dist-info", points("llm.acme = acme_bad"), acme_bad=source)
    installed = Installed()
    with pytest.raises(PluginError, match=r"ValueError: .* \(\S*acme_bad\.py:3\)$"):
        installed.load(installed.provider("llm", "acme"))


def test_a_plugin_may_serve_several_apis(install: Install) -> None:
    """It names each version."""
    text = f"[rtvi_plugins]\nllm.acme = acme_good\n[rtvi_plugins.api]\n0 = acme\n{API} = acme\n"
    install("acme-1.dist-info", text, acme_good=GOOD)
    installed = Installed()
    assert installed.load(installed.provider("llm", "acme")).__name__ == "acme_good"
