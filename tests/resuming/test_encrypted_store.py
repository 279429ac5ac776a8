"""Records are encrypted: nobody can read a conversation in the store, and changes are detected."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from rtvi_plugins.encrypted_store import EncryptedStore
from rtvi_plugins.errors import AuthorError, StoreUnavailable
from rtvi_plugins.hosting import ManualClock
from rtvi_plugins.resuming import OWNER, MemoryStore, Unreadable
from rtvi_plugins.runtime.saved_sessions import SavedSessions
from rtvi_plugins.session import Secret
from rtvi_plugins.sqlite_store import SQLiteStore
from rtvi_plugins.stores import open_store
from rtvi_plugins.testing import check_store

pytestmark = pytest.mark.anyio

WORDS = "marmalade for breakfast"


def new_key() -> Secret:
    """A key, as `openssl rand -base64 32` prints it."""
    return Secret(base64.b64encode(os.urandom(32)).decode())


async def test_it_keeps_the_promises_of_a_store(tmp_path: Path) -> None:
    """The store is in a file, for all processes that have the key."""
    key = new_key()
    await check_store(lambda: EncryptedStore(SQLiteStore(tmp_path / "sessions.db"), [key]), expires=False)


async def test_no_text_is_in_the_files(tmp_path: Path) -> None:
    """It is not there during the session, in the file and its log, or afterwards. Without a key it would be there."""
    for keys, found in (([new_key()], False), ([], True)):
        path = tmp_path / f"{found}.db"
        store = EncryptedStore(SQLiteStore(path), keys) if keys else SQLiteStore(path)
        async with store:
            for number in range(50):
                await store.write("s", 1, {OWNER: "here", f"m/{number}": f'{{"content": "{WORDS}"}}'}, 60)
            assert (WORDS.encode() in contents(path)) == found
        assert (WORDS.encode() in contents(path)) == found


def contents(path: Path) -> bytes:
    """The contents of the files of a store."""
    return b"".join(each.read_bytes() for each in path.parent.glob(f"{path.name}*"))


async def test_the_same_text_is_never_encrypted_to_the_same() -> None:
    """So nobody sees that two users say the same."""
    inner = MemoryStore()
    store = EncryptedStore(inner, [new_key()])
    await store.write("s", 1, {OWNER: "here", "a": "yes", "b": "yes"}, 60)
    await store.write("t", 1, {OWNER: "here", "a": "yes"}, 60)
    texts = [(await inner.read(session) or {})[key] for session, key in (("s", "a"), ("s", "b"), ("t", "a"))]
    assert len(set(texts)) == 3


async def test_a_key_can_be_replaced() -> None:
    """The first key encrypts. Records of an older key can still be read and claimed."""
    old, new, inner = new_key(), new_key(), MemoryStore()
    await EncryptedStore(inner, [old]).write("s", 1, {OWNER: "here", "a": "old"}, 60)
    both = EncryptedStore(inner, [new, old])
    await both.write("s", 1, {"b": "new"}, 60)
    assert await both.read("s") == {OWNER: "here", "a": "old", "b": "new"}
    assert await EncryptedStore(inner, [new]).read("s", ["b"]) == {"b": "new"}
    saved = await both.claim("s", "there", "a")
    assert saved is not None
    assert saved.state == {OWNER: "there", "a": "old", "b": "new"}
    with pytest.raises(Unreadable, match=r"encrypted with the key [0-9a-f]{8}, which is missing; the keys here"):
        await EncryptedStore(inner, [new]).read("s")


Tamper = Callable[[Mapping[str, str], Mapping[str, str]], str]

#: What stands in the place of a text, made of that record and of another one; and what is said of it.
TAMPERED: Mapping[str, tuple[Tamper, str]] = {
    "of another session": (lambda own, other: other["a"], "was changed"),
    "of another key": (lambda own, other: own["b"], "was changed"),
    "changed": (lambda own, other: own["a"][:-8] + "AAAAAAA=", "was changed"),
    "longer": (lambda own, other: own["a"] + "!", "was changed"),
    "shorter": (lambda own, other: own["a"][:20], "was changed"),
    "plain": (lambda own, other: '{"content": "yes"}', "is not encrypted"),
    "empty": (lambda own, other: "aes1:", "is not encrypted"),
}


@pytest.mark.parametrize(("tamper", "says"), TAMPERED.values(), ids=TAMPERED.keys())
async def test_a_text_that_was_changed_is_found(tamper: Tamper, says: str) -> None:
    """This includes a text that was encrypted for another session, or for another key of the record."""
    inner, key = MemoryStore(), new_key()
    store = EncryptedStore(inner, [key])
    await store.write("s", 1, {OWNER: "here", "a": "yes", "b": "no"}, 60)
    await store.write("t", 1, {OWNER: "here", "a": "no"}, 60)
    own, other = await inner.read("s"), await inner.read("t")
    assert own is not None
    assert other is not None
    await inner.write("s", 1, {"a": tamper(own, other)}, 60)
    with pytest.raises(Unreadable, match=f"session s {says}"):
        await store.read("s", ["a"])
    await store.forget("s")
    assert await store.sessions() == ["t"]


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        (
            {"RTVI_STORE_KEY": "not base64!"},
            "RTVI_STORE_KEY: A key of the store is not in base64. Make one: openssl rand -base64 32",
        ),
        ({"RTVI_STORE_KEY": base64.b64encode(b"x" * 16).decode()}, "has 16 bytes and not 32"),
        ({"RTVI_STORE_KEY": " , "}, "RTVI_STORE_KEY has no key"),
        ({"RTVI_STORE_KEY_FILE": "/nowhere/key"}, "keys of the store in /nowhere/key cannot be read: No such file"),
        (
            {"RTVI_STORE_KEY_FILE": " "},
            "RTVI_STORE_KEY_FILE is blank. Write the path of the file with",
        ),
        ({"RTVI_STORE_KEY": "a", "RTVI_STORE_KEY_FILE": "b"}, "both set"),
    ],
)
def test_a_key_that_cannot_be_used_is_named(environ: Mapping[str, str], says: str) -> None:
    """The error does not contain the key."""
    with pytest.raises(AuthorError) as raised:
        open_store("sessions.db", environ=environ)
    assert says in str(raised.value)
    assert "not base64!" not in str(raised.value)


async def test_a_store_is_encrypted_if_the_environment_has_a_key(tmp_path: Path) -> None:
    """The keys are in a variable or in a file. There may be several."""
    keys = [new_key().reveal(), new_key().reveal()]
    (tmp_path / "keys").write_text("\n".join([*keys, ""]))
    path = str(tmp_path / "sessions.db")
    async with open_store(path, environ={"RTVI_STORE_KEY": keys[1]}) as store:
        await store.write("s", 1, {OWNER: "here"}, 60)
    async with open_store(path, environ={"RTVI_STORE_KEY_FILE": str(tmp_path / "keys")}) as store:
        assert await store.owner("s") == "here"
    async with open_store(path, environ={}) as store:
        assert (await store.owner("s") or "").startswith("aes1:")


def test_a_store_without_a_name_is_refused() -> None:
    """As from a variable that is not set."""
    with pytest.raises(AuthorError, match="has no name"):
        open_store(" ", environ={})


def test_an_unknown_scheme_is_named() -> None:
    """The error lists the installed schemes."""
    with pytest.raises(AuthorError, match=r"No store for mysql:// is installed\. Installed: .*redis"):
        open_store("mysql://127.0.0.1/0", environ={})
    with pytest.raises(AuthorError, match="full= is for files"):
        open_store("redis://127.0.0.1/0", full=True, environ={})


def test_an_error_of_a_url_shows_no_part_of_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library misreads a slash in a password, and quotes the rest."""

    def make(url: str) -> None:
        raise ValueError(f"No port: {url.partition(':')[2].partition('/')[0]!r}, in {url}")

    def entry_points(group: str) -> list[SimpleNamespace]:
        return [SimpleNamespace(name="acme", load=lambda: make)]

    monkeypatch.setattr("rtvi_plugins.stores.entry_points", entry_points)
    with pytest.raises(AuthorError, match="write @ as %40") as raised:
        open_store("acme://ada:marmalade/jam@127.0.0.1/0", environ={})
    assert "jam" not in str(raised.value)
    assert "marmalade" not in str(raised.value)
    with pytest.raises(AuthorError, match="No port"):
        open_store("acme://127.0.0.1:/0", environ={})


async def test_the_log_says_why_a_session_cannot_be_resumed(caplog: pytest.LogCaptureFixture) -> None:
    """The operator has turned encryption on, or has removed a key. The client is told only that it may try again."""
    inner = MemoryStore()
    await inner.write("s", 1, {OWNER: "here", "token/a": "1"}, 60)
    sessions = SavedSessions(EncryptedStore(inner, [new_key()]), "there", ManualClock())
    with pytest.raises(StoreUnavailable) as raised:
        await sessions.read("s", "token/a")
    assert "encrypted" not in raised.value.message
    says = "The record of session s is not encrypted: it was written without a key."
    assert [each.message for each in caplog.records] == [f"the store of sessions: {says}"]
