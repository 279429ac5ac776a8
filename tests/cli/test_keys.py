"""`rtvi keys`: a key is stored only for its owner, and found by hosts. It is never an argument, and never printed."""

from __future__ import annotations

import io
import json
import os
import pty
import stat
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import TypeAlias

import pytest

from rtvi_plugins import LLM, Secret, Session, bot, service
from rtvi_plugins.errors import PluginError
from rtvi_plugins.hosting import Host
from rtvi_plugins.kinds import LLMRequest, Text
from rtvi_plugins.registry.key_store import KeyStore, NoKeyring

Run: TypeAlias = Callable[..., tuple[int, str, str]]

KEY = "not-a-real-key"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the key store, in a folder of the test's own. There is no keyring."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("ACME_API_KEY", raising=False)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")  # of other processes
    use_keyring(monkeypatch, "keyring.backends.fail.Keyring")
    return tmp_path / "rtvi" / "keys.json"


def use_keyring(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let this process have a real keyring of the distributions `keyring` and `keyrings.alt`."""
    core = import_module("keyring.core")
    monkeypatch.setattr(core, "_keyring_backend", core.load_keyring(name))


@pytest.fixture
def keyring(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A keyring that keeps its keys in a file of the test's own. Return the path of that file."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    use_keyring(monkeypatch, "keyrings.alt.file.PlaintextKeyring")
    return tmp_path / "data" / "python_keyring" / "keyring_pass.cfg"


def test_a_piped_key_is_stored_for_its_owner_alone(run: Run, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is listed by name, and removed by name; its value is not printed."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{KEY}\n"))
    done = run("keys", "set", "ACME_API_KEY")
    assert done == (0, f"ACME_API_KEY is stored in {file}.\n", "")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [each.name for each in file.parent.iterdir()] == ["keys.json"]
    found = KeyStore(os.environ).get("ACME_API_KEY")
    assert found is not None
    assert found.reveal() == KEY
    assert run("keys", "list") == (0, "ACME_API_KEY\n", "")
    assert run("keys", "remove", "ACME_API_KEY") == (0, "", "")
    assert run("keys", "list") == (0, "", "")
    code, _, err = run("keys", "remove", "ACME_API_KEY")
    assert (code, "No key ACME_API_KEY is stored" in err) == (1, True)


@pytest.mark.parametrize("words", [["set", "sk-not-a-real-key"], ["set", f"ACME_API_KEY={KEY}"], ["set"], ["remove"]])
def test_a_key_on_the_command_line_is_refused_and_not_repeated(run: Run, file: Path, words: list[str]) -> None:
    """The error says how to pass the key."""
    code, out, err = run("keys", *words)
    assert (code, out) == (2, "")
    assert "standard input" in err
    assert "not-a-real-key" not in err
    assert not file.exists()


@pytest.mark.parametrize("piped", ["", "\n", "one\ntwo\n"])
def test_a_key_is_one_line(run: Run, file: Path, monkeypatch: pytest.MonkeyPatch, piped: str) -> None:
    """Otherwise nothing is stored."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(piped))
    code, _, err = run("keys", "set", "ACME_API_KEY")
    assert (code, "Nothing is stored" in err) == (2, True)
    assert not file.exists()


@pytest.mark.slow
def test_a_typed_key_is_not_shown(file: Path) -> None:
    """The test uses a real terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "rtvi_plugins", "keys", "set", "ACME_API_KEY"]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True) as process:
        os.close(theirs)
        shown = b""
        while b"ACME_API_KEY: " not in shown:
            shown += os.read(ours, 1000)
        os.write(ours, f"{KEY}\n".encode())
        process.wait(30)
    shown += os.read(ours, 1000)
    os.close(ours)
    assert process.returncode == 0
    assert KEY.encode() not in shown
    assert KeyStore(os.environ).names() == ["ACME_API_KEY"]


@pytest.mark.parametrize(
    ("text", "mode", "why"),
    [
        ('{"ACME_API_KEY": "not-a-real-key"}', 0o640, "chmod 600"),
        ('{"ACME_API_KEY": not-a-real-key}', 0o600, "not a JSON object"),
        ('["not-a-real-key"]', 0o600, "not a JSON object"),
    ],
)
def test_a_file_that_is_not_safe_or_not_sound_is_not_used(run: Run, file: Path, text: str, mode: int, why: str) -> None:
    """The error does not contain the key, and nothing is overwritten."""
    file.parent.mkdir()
    file.write_text(text, "utf-8")
    file.chmod(mode)
    with pytest.raises(PluginError, match=why):
        KeyStore(os.environ).set("OTHER_API_KEY", Secret(KEY))
    code, out, err = run("keys", "list")
    assert (code, out) == (1, "")
    assert why in err
    assert KEY not in err
    assert file.read_text("utf-8") == text


def test_without_a_home_folder_there_are_no_keys(keyring: Path) -> None:
    """A host with an environment of its own reads no file of the user, and changes no keyring."""
    assert KeyStore({}).names() == []
    with pytest.raises(PluginError, match="HOME"):
        KeyStore({}).set("ACME_API_KEY", Secret(KEY))
    assert not keyring.exists()


# ---- the system keyring ----------------------------------------------------------------------------------------------


def store(run: Run, monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    """Run `rtvi keys set ACME_API_KEY`, and return what it prints."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{KEY}\n"))
    code, out, err = run("keys", "set", "ACME_API_KEY", *words)
    assert (code, err) == (0, "")
    return out


def stored(store: KeyStore | None = None) -> str | None:
    """Return the key as a host finds it."""
    found = (store or KeyStore(os.environ)).get("ACME_API_KEY")
    return None if found is None else found.reveal()


def test_a_key_is_stored_in_the_system_keyring(
    run: Run, file: Path, keyring: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file has only its name. Both are removed together."""
    assert store(run, monkeypatch) == "ACME_API_KEY is stored in the system keyring (file PlaintextKeyring).\n"
    assert json.loads(file.read_text("utf-8")) == {"ACME_API_KEY": None}
    assert stored() == KEY
    assert "acme" in keyring.read_text("utf-8").lower()
    assert run("keys", "list") == (0, "ACME_API_KEY\n", "")
    assert run("keys", "remove", "ACME_API_KEY") == (0, "", "")
    assert "acme" not in keyring.read_text("utf-8").lower()
    assert (stored(), run("keys", "list")) == (None, (0, "", ""))


def test_a_key_can_be_stored_in_the_file_nevertheless(
    run: Run, file: Path, keyring: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a server, where nobody unlocks a keyring. Each `set` replaces the key, wherever it was."""
    assert store(run, monkeypatch, "--file") == f"ACME_API_KEY is stored in {file}.\n"
    assert json.loads(file.read_text("utf-8")) == {"ACME_API_KEY": KEY}
    assert not keyring.exists()
    store(run, monkeypatch)
    assert KEY not in file.read_text("utf-8")
    assert stored() == KEY
    store(run, monkeypatch, "--file")
    assert "acme" not in keyring.read_text("utf-8").lower()


def test_a_key_in_a_keyring_that_is_gone_is_an_error_with_a_way_out(
    run: Run, file: Path, keyring: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as in an environment without `keyring`. Its name is still listed."""
    store(run, monkeypatch)
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(PluginError, match=r"pip install keyring.*rtvi keys set ACME_API_KEY --file"):
        stored()
    assert run("keys", "list") == (0, "ACME_API_KEY\n", "")
    code, _, err = run("keys", "remove", "ACME_API_KEY")
    assert (code, "pip install keyring" in err) == (1, True)
    with pytest.raises(NoKeyring):  # `rtvi doctor` checks it
        KeyStore(os.environ).check()
    assert store(run, monkeypatch) == f"ACME_API_KEY is stored in {file}.\n"
    assert stored() == KEY


def test_a_keyring_that_refuses_is_an_error_without_the_key(
    run: Run, file: Path, keyring: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a locked one. Nothing is stored."""

    def refuse(*arguments: object) -> None:
        raise RuntimeError(f"locked: {arguments}")

    monkeypatch.setattr(import_module("keyring").get_keyring(), "set_password", refuse)
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{KEY}\n"))
    code, out, err = run("keys", "set", "ACME_API_KEY")
    assert (code, out) == (1, "")
    assert "cannot be used: RuntimeError. Unlock it" in err
    assert KEY not in err
    assert not file.exists()


def test_a_host_asks_the_keyring_once_for_each_state_of_the_file(
    run: Run, keyring: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A keyring may be slow. A new key is found at once."""
    store(run, monkeypatch)
    host = KeyStore(os.environ)
    assert stored(host) == KEY
    import_module("keyring").set_password("rtvi_plugins", "ACME_API_KEY", "another-key-of-a-test")
    assert stored(host) == KEY
    KeyStore(os.environ).set("ACME_API_KEY", Secret("another-key-of-a-test"))
    assert stored(host) == "another-key-of-a-test"


# ---- hosts -----------------------------------------------------------------------------------------------------------


class Acme:
    """An LLM that is never asked."""

    def respond(self, request: LLMRequest, /) -> AsyncIterator[Text]:
        """Return nothing."""
        raise NotImplementedError


@service("llm", "acme")
@asynccontextmanager
async def acme(api_key: Secret, /) -> AsyncGenerator[Acme]:
    """A provider with a key."""
    yield Acme()


@bot(services={"llm": "acme"})
async def receptionist(session: Session, /, llm: LLM) -> None:
    """A bot with a provider that needs a key."""


def test_a_host_looks_in_the_key_store_after_the_environment(file: Path) -> None:
    """A key that is removed is not found any more."""
    environ = {"XDG_CONFIG_HOME": str(file.parents[1])}
    host = Host(receptionist, environ=environ)
    assert host.missing_keys() == {"llm": {"acme": ["ACME_API_KEY"]}}
    KeyStore(environ).set("ACME_API_KEY", Secret(KEY))
    assert host.missing_keys() == {"llm": {"acme": []}}
    KeyStore(environ).remove("ACME_API_KEY")
    assert host.missing_keys() == {"llm": {"acme": ["ACME_API_KEY"]}}
    assert Host(receptionist, environ={**environ, "ACME_API_KEY": KEY}).missing_keys() == {"llm": {"acme": []}}
