"""`rtvi doctor`: each environment is broken in one way. The report has the problem and the command that fixes it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from attrs import frozen

from rtvi_plugins.cli.plugin_probe import probe
from rtvi_plugins.registry.installed_plugins import EntryPoint, Installed, discover

Run: TypeAlias = Callable[..., tuple[int, str, str]]
Doctor: TypeAlias = "Callable[[Broken], tuple[int, dict[str, Any], str]]"

pytestmark = pytest.mark.slow

SERVICE = '''
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from rtvi_plugins import LLM, Secret, service


@service("llm", "acme")
@asynccontextmanager
async def acme(api_key: Secret, /) -> AsyncGenerator[LLM]:
    """Acme."""
    raise NotImplementedError
    yield
'''

SPOKEN = '''

@service("stt", "acme")
@asynccontextmanager
async def acme_ear(api_key: Secret, /) -> AsyncGenerator[STT]:
    """Acme."""
    raise NotImplementedError
    yield
'''

BOT = '''
from rtvi_plugins import LLM, Session, bot


@bot(services={"llm": "acme"})
async def receptionist(session: Session, /, llm: LLM) -> None:
    """A bot."""
'''

FAILOVER_BOT = SERVICE.replace("acme", "keyless").replace("api_key: Secret, /", "") + BOT.replace(
    "import LLM", "import Failover, LLM"
).replace('"acme"', 'Failover("acme", "keyless")')

ENTRIES: Mapping[str, str] = {"llm.acme": "acme"}
API: Mapping[str, str] = {"1": "acme"}


@frozen
class Broken:
    """One broken environment: a distribution "acme", and what is reported about it."""

    check: str
    what: str
    fix: str
    source: str = SERVICE
    entries: Mapping[str, str] = ENTRIES
    api: Mapping[str, str] = API
    bot: str = ""
    folders: tuple[str, ...] = ()
    second: bool = False
    level: str = "broken"


ENVIRONMENTS = {
    "a newer API": Broken("api-version", "version 2 of the plugin API", "Update the core:", api={"2": "acme"}),
    "an older API": Broken("api-version", "version 0 of the plugin API", "pip install --upgrade acme", api={"0": "a"}),
    "no API": Broken("api-version", "names no version", "pip install --upgrade acme", api={}),
    "an entry point that names a function": Broken(
        "entry-point", "leave out ':acme'", "pip install --upgrade acme", entries={"llm.acme": "acme:acme"}
    ),
    "an entry point that names no module": Broken(
        "entry-point", "which is not a module", "pip install --upgrade acme", entries={"llm.acme": "acme-llm"}
    ),
    "a module that is gone": Broken(
        "missing-module", "'acme_gone'", "pip install --force-reinstall acme", entries={"llm.acme": "acme_gone"}
    ),
    "a dependency that is not installed": Broken(
        "missing-module", "'acme_sdk'", "pip install --force-reinstall acme", source="import acme_sdk\n"
    ),
    "a plugin that raises": Broken(
        "import",
        "RuntimeError: not today",
        "rtvi --traceback describe llm.acme",
        source="raise RuntimeError('not today')\n",
    ),
    "a plugin that ends the process": Broken(
        "import", "exit code 7", "rtvi --traceback describe llm.acme", source="import os\nos._exit(7)\n"
    ),
    "a plugin without its service": Broken(
        "entry-point", "declares no such service", "pip install --upgrade", source=""
    ),
    "a service that no bot can name": Broken(
        "entry-point", "which no bot can name", "'llm.acme'", entries={"acme": "acme"}, level="warning"
    ),
    "two distributions of one provider": Broken(
        "conflict", "acme and acme-fork both offer it", "pip uninstall acme-fork", second=True, level="warning"
    ),
    "what pip has left behind": Broken(
        "stale-metadata", "left it behind", "rm -r", folders=("~tvi_plugins-0.0.1.dist-info",), level="warning"
    ),
    "two versions of one distribution": Broken(
        "stale-metadata", "another version", "acme-0.9.dist-info", folders=("acme-0.9.dist-info",), level="warning"
    ),
    "a bot whose provider nobody offers": Broken(
        "bot", "No llm provider 'acmee' is installed", "rtvi plugins", bot=BOT.replace('"acme"', '"acmee"')
    ),
    "a bot whose provider is in the checkout": Broken(
        "bot",
        "No llm provider 'openai' is installed",
        "pip install ./plugins/rtvi-plugins-vendor ./plugins/rtvi-plugins-openai",
        bot=BOT.replace('"acme"', '"openai"'),
    ),
    "a bot whose provider two distributions offer": Broken(
        "bot", "acme-fork:acme", "rtvi plugins", bot=BOT, second=True
    ),
    "a bot whose key is missing": Broken(
        "missing-key", "needs the key ACME_API_KEY", "rtvi keys set ACME_API_KEY", bot=BOT
    ),
    "a bot whose key is missing, although another provider takes over": Broken(
        "missing-key", "needs the key ACME_API_KEY", "rtvi keys set ACME_API_KEY", bot=FAILOVER_BOT, level="warning"
    ),
}


@pytest.fixture
def doctor(run: Run, distribution: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Doctor:
    """Make an environment. Return the exit code of `rtvi doctor`, its JSON and its text."""
    # Without the other plugins of the test environment, which take long to import.
    monkeypatch.setattr("rtvi_plugins.cli.doctor.Installed", lambda: Installed(discover([str(tmp_path)])))
    monkeypatch.delenv("ACME_API_KEY", raising=False)
    monkeypatch.delitem(sys.modules, "acme", raising=False)  # that of another environment
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    def make(case: Broken) -> tuple[int, dict[str, Any], str]:
        distribution("acme", case.source, rtvi_plugins=case.entries, rtvi_plugins__api=case.api)
        if case.second:
            distribution("acme-fork", SERVICE, rtvi_plugins=case.entries, rtvi_plugins__api=API)
        for each in case.folders:
            (tmp_path / each).mkdir()
        (tmp_path / "bot.py").write_text(case.bot, "utf-8")
        words = ["doctor", *(["bot.py"] if case.bot else [])]
        code, text, _ = run(*words)
        _, printed, _ = run(*words, "--json")
        return code, json.loads(printed), text

    return make


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_broken_installation_is_reported_with_its_fix(name: str, doctor: Doctor) -> None:
    """Nothing else is reported, except its consequences."""
    case = ENVIRONMENTS[name]
    code, report, text = doctor(case)
    found = [each for each in report["findings"] if each["check"] == case.check]
    assert [each["level"] for each in found] == [case.level]
    assert case.what in found[0]["what"]
    assert case.fix in found[0]["fix"]
    assert found[0]["what"] in text
    assert found[0]["fix"] in text
    others = {each["check"] for each in report["findings"]} - {case.check}
    assert others <= ({"conflict"} if case.second else set())
    assert code == (1 if case.level == "broken" else 0)


def test_a_bot_that_cannot_be_loaded_is_reported_before_the_plugins_are_imported(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That takes up to a minute, and the bot may be a slip of the pen."""

    def probe(entry: object) -> None:
        raise AssertionError("a plugin is imported")

    monkeypatch.setattr("rtvi_plugins.cli.doctor.probe", probe)
    assert run("doctor", "nothing.py") == (2, "", "rtvi: There is no file 'nothing.py'.\n")


def test_nothing_is_reported_about_a_sound_environment(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is set is not reported, and not shown."""
    monkeypatch.setenv("ACME_API_KEY", "not-a-real-key")
    monkeypatch.setattr("rtvi_plugins.cli.doctor.stale_metadata", lambda: iter(()))
    code, report, text = doctor(Broken("", "", "", bot=BOT))
    assert (code, report["findings"]) == (0, [])
    (plugin,) = report["plugins"]
    assert (plugin["name"], plugin["broken"], plugin["missing_keys"]) == ("llm.acme", None, [])
    assert plugin["import_seconds"] is not None
    assert "0 broken, 0 warnings" in text
    assert "not-a-real-key" not in text


def test_a_key_that_several_providers_need_is_reported_once(doctor: Doctor) -> None:
    """The report names all of them."""
    spoken = SERVICE.replace("import LLM,", "import LLM, STT,") + SPOKEN
    bot = BOT.replace('"llm": "acme"', '"llm": "acme", "stt": "acme"').replace("LLM,", "LLM, STT,", 1)
    bot = bot.replace("llm: LLM", "llm: LLM, stt: STT")
    entries = {"llm.acme": "acme", "stt.acme": "acme"}
    code, report, _ = doctor(Broken("", "", "", source=spoken, entries=entries, bot=bot))
    (finding,) = report["findings"]
    who = "The provider 'acme' of 'llm' and the provider 'acme' of 'stt' need the key ACME_API_KEY"
    assert (code, finding["what"]) == (1, f"{who}, which is not set.")


def test_a_key_that_a_plugin_quotes_is_not_printed(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is neither in the text nor in the JSON."""
    monkeypatch.setenv("ACME_API_KEY", "not-a-real-key")
    source = "import os\nraise RuntimeError(f'bad key {os.environ[\"ACME_API_KEY\"]}')\n"
    code, report, text = doctor(Broken("", "", "", source=source))
    assert (code, "bad key" in text) == (1, True)
    assert "not-a-real-key" not in text
    assert "not-a-real-key" not in json.dumps(report)


def test_a_key_store_that_others_may_read_is_reported(doctor: Doctor, tmp_path: Path) -> None:
    """The report has the command that fixes it."""
    keys = tmp_path / "config" / "rtvi" / "keys.json"
    keys.parent.mkdir(parents=True)
    keys.write_text("{}", "utf-8")
    keys.chmod(0o644)
    code, report, _ = doctor(Broken("", "", ""))
    (finding,) = report["findings"]
    assert (code, finding["check"]) == (1, "key-store")
    assert f"chmod 600 {keys}" in finding["fix"]


def test_a_key_in_a_keyring_that_is_gone_is_reported(
    doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the command that fixes it."""
    keys = tmp_path / "config" / "rtvi" / "keys.json"
    keys.parent.mkdir(parents=True)
    keys.write_text('{"ACME_API_KEY": null}', "utf-8")
    keys.chmod(0o600)
    monkeypatch.setitem(sys.modules, "keyring", None)
    _, report, _ = doctor(Broken("", "", ""))
    (finding,) = report["findings"]
    assert (finding["check"], finding["fix"]) == ("key-store", "pip install keyring")


def test_a_plugin_whose_import_hangs_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process is killed."""
    monkeypatch.syspath_prepend(tmp_path)  # pyright: ignore[reportUnknownMemberType]
    info = tmp_path / "acme-1.0.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text("[rtvi_plugins]\nllm.acme = acme\n[rtvi_plugins.api]\n1 = acme\n", "utf-8")
    (tmp_path / "acme.py").write_text("import threading\nthreading.Event().wait()\n", "utf-8")
    found = probe(EntryPoint("llm.acme", "acme", "acme", "1.0"), timeout=2)
    assert found.broken == "its import takes more than 2 seconds."
