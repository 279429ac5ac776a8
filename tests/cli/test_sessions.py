"""`rtvi sessions`: the data of saved sessions in a store is listed, shown, exported and deleted."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias

import anyio
import pytest

from rtvi_plugins import LLM, Session, action, bot, converse
from rtvi_plugins.hosting import Host, ManualClock
from rtvi_plugins.resuming import OWNER, MemoryStore
from rtvi_plugins.stores import open_store

from ..fakes.providers import Fakes
from ..fakes.visitor import visitor
from ..fakes.wire import settle

Run: TypeAlias = Callable[..., tuple[int, str, str]]

FILE = "sessions.db"


@bot(services={"llm": ["scripted", "other"]}, client=["bot:book", "llm.provider"], public=True)
async def clerk(session: Session, /, llm: LLM) -> None:
    """A bot that sells rooms."""
    await converse(session, llm=llm, greeting="Good day.\x1b[31m\x9b1m\u202eü")


@action(clerk)
async def book(session: Session, /, name: str = "nobody") -> str:
    """Book a room."""
    return f"booked {name}"


def hold(
    start: Mapping[str, Any], *, ends: bool = True, keep_days: float = 1.0, key: str = "", name: str | None = "Ada"
) -> str:
    """Hold a session whose start request has these fields, put its record into the file, and return its id."""
    return anyio.run(partial(_hold, start, ends=ends, keep_days=keep_days, key=key, name=name))


async def _hold(start: Mapping[str, Any], *, ends: bool, keep_days: float, key: str, name: str | None) -> str:
    memory = MemoryStore()
    host = Host(clerk, modules=[Fakes()], clock=ManualClock(), environ={}, store=memory, keep_days=keep_days)
    async with host, visitor() as client:
        started = await host.start(start)
        await client._connect(host.claim(started.token), {})  # pyright: ignore[reportPrivateUsage]
        await client.result("bot:book", **({} if name is None else {"name": name}))
        options = [{"name": "provider", "value": "other"}]
        await client.answer(client.send("update-config", {"config": [{"service": "llm", "options": options}]}))
        if ends:
            client.send("disconnect-bot", {})
        await settle()
        record = dict(await memory.read(started.session_id) or {})
    async with open_store(FILE, environ={"RTVI_STORE_KEY": key} if key else {}) as store:
        await store.write(started.session_id, 1, {OWNER: "here", **record}, 60)
        if OWNER not in record:
            await store.write(started.session_id, 1, {OWNER: None}, 60)
    return started.session_id


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test uses a key or a store of the machine."""
    for name in ("RTVI_STORE", "RTVI_STORE_KEY", "RTVI_STORE_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_live_and_ended_sessions_are_listed(run: Run) -> None:
    """The list has the fields of their start requests, the oldest session first."""
    ended, live = hold({"user": "ada"}), hold({"user": "bob"}, ends=False)
    code, out, err = run("sessions", "list")
    assert (code, err) == (0, "")
    head, *rows = [line.split() for line in out.splitlines()]
    assert head[:2] == ["SESSION", "STATE"]
    assert [(row[0], row[1], row[-1]) for row in rows] == [
        (ended, "ended", 'user="ada"'),
        (live, "live", 'user="bob"'),
    ]
    listed = json.loads(run("sessions", "list", "--json", "--where", "user=bob")[1])
    assert [(each["session"], each["state"], each["ended"]) for each in listed] == [(live, "live", None)]
    assert run("sessions", "list", "--where", "user=eve") == (0, "The store has no such sessions.\n", "")


def test_the_store_is_that_of_the_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """`rtvi run --resume` reads the same variable, so a password in its URL is not on a command line."""
    id = hold({"user": "ada"})
    Path(FILE).rename("calls.db")
    monkeypatch.setenv("RTVI_STORE", "calls.db")
    assert id in run("sessions", "list")[1]
    code, _, err = run("sessions", "list", "--store", FILE)
    assert (code, f"There is no file {FILE}." in err) == (2, True)


def test_a_blank_variable_names_no_store(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripts and containers set a variable to nothing or to a space."""
    id = hold({"user": "ada"})
    monkeypatch.setenv("RTVI_STORE", " ")
    assert id in run("sessions", "list", "--json")[1]


def test_a_transcript_is_shown(run: Run) -> None:
    """It has who said what, and each call with its end. Nothing in it controls the terminal."""
    id = hold({"user": "ada"})
    code, out, _ = run("sessions", "show", id)
    head, *lines = out.splitlines()
    assert (code, head) == (0, f"session {id} (ended), times in UTC")
    assert [line[21:] for line in lines] == [
        'started clerk with llm="scripted" user="ada"',
        "assistant: Good day.\\x1b[31m\\x9b1m\\u202eü",
        'client calls bot:book name="Ada": ok',
        'client sets llm.provider="other"',
        "ended",
    ]


def test_a_call_without_arguments_is_shown(run: Run) -> None:
    """Without a space for them."""
    shown = run("sessions", "show", hold({}, name=None))[1]
    assert "  client calls bot:book: ok\n" in shown


def test_sessions_are_exported_as_json_lines(run: Run) -> None:
    """All or some can be exported. Each line has the id of its session."""
    one, two = hold({"user": 7}), hold({"user": "bob"})
    lines = [json.loads(line) for line in run("sessions", "export")[1].splitlines()]
    assert [line["session"] for line in lines] == [one] * 5 + [two] * 5
    assert [line["type"] for line in lines[:5]] == ["started", "said", "action", "config", "ended"]
    lines = [json.loads(line) for line in run("sessions", "export", "--where", "user=7")[1].splitlines()]
    assert {line["session"] for line in lines} == {one}


def test_no_character_of_an_export_controls_the_terminal(run: Run) -> None:
    """It is escaped as JSON, so a program reads the original text. Letters are not escaped."""
    hold({"user": "\x9b1mü\u202e"})
    out, listed = run("sessions", "export")[1], run("sessions", "list", "--json")[1]
    assert all(line.isprintable() for line in (out + listed).splitlines())
    assert r"Good day.\u001b[31m\u009b1m\u202eü" in out
    assert json.loads(out.splitlines()[1])["text"] == "Good day.\x1b[31m\x9b1m\u202eü"
    assert json.loads(listed)[0]["start"] == {"user": "\x9b1mü\u202e"}


def test_no_value_chooses_a_session_whose_start_has_no_such_field(run: Run) -> None:
    """`user=null` chooses only starts that send `null`, and none that has no field `user`."""
    hold({"user": "ada"})
    null = hold({"user": None})
    hold({})
    found = json.loads(run("sessions", "list", "--json", "--where", "user=null")[1])
    assert [each["session"] for each in found] == [null]


def test_deleted_sessions_leave_no_byte(run: Run, tmp_path: Path) -> None:
    """This includes the write-ahead log. The other sessions stay."""
    one, two = hold({"user": "ada-lovelace"}), hold({"user": "bob"})
    assert b"ada-lovelace" in contents(tmp_path)
    assert run("sessions", "delete", "--where", "user=ada-lovelace") == (0, "1 deleted.\n", "")
    assert b"ada-lovelace" not in contents(tmp_path)
    assert one.encode() not in contents(tmp_path)
    assert [each["session"] for each in json.loads(run("sessions", "list", "--json")[1])] == [two]


def contents(folder: Path) -> bytes:
    """The contents of the files of the store."""
    return b"".join(each.read_bytes() for each in folder.glob(f"{FILE}*"))


def test_a_live_session_is_deleted_only_on_demand(run: Run) -> None:
    """The reason is that it ends. The other named sessions are deleted."""
    ended, live = hold({}), hold({}, ends=False)
    code, out, err = run("sessions", "delete", ended, live)
    assert (code, out) == (1, "1 deleted.\n")
    assert f"Not deleted: {live} (live). With --live, a live session ends and is deleted" in err
    assert run("sessions", "delete", live, "--live") == (0, "1 deleted.\n", "")
    assert run("sessions", "list") == (0, "The store has no such sessions.\n", "")


def test_a_session_whose_process_is_gone_is_lost(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can resume it, so it may be deleted."""
    id = hold({}, ends=False)
    later = time.time() + 123  # the record itself would be over after 60 seconds, in the store's own time
    monkeypatch.setattr("rtvi_plugins.cli.sessions.time", SimpleNamespace(time=lambda: later))
    assert json.loads(run("sessions", "list", "--json")[1])[0]["state"] == "lost"
    assert run("sessions", "delete", id) == (0, "1 deleted.\n", "")


def test_a_session_without_a_history_is_named(run: Run) -> None:
    """The session is live, and its server keeps no history."""
    id = hold({}, ends=False, keep_days=0)
    assert run("sessions", "list")[1].split()[-4:] == [id, "live", "-", "-"]
    code, _, err = run("sessions", "show", id)
    assert (code, err) == (1, f"rtvi: Nothing is kept of session {id}: its server runs without --keep-days.\n")


def test_an_encrypted_store_is_read_with_its_key_only(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the key, the sessions are listed as unreadable, and can be deleted."""
    key, other = (base64.b64encode(os.urandom(32)).decode() for _ in range(2))
    id = hold({"user": "ada"}, key=key)
    code, out, err = run("sessions", "list")
    assert (code, out.splitlines()[1].split()[:2]) == (1, [id, "unreadable"])
    assert "If the store is encrypted, set RTVI_STORE_KEY to its key." in err
    monkeypatch.setenv("RTVI_STORE_KEY", other)
    code, out, err = run("sessions", "show", id)
    assert (code, out) == (1, "")
    assert "which is missing" in err
    monkeypatch.setenv("RTVI_STORE_KEY", key)
    assert "assistant: Good day." in run("sessions", "show", id)[1]
    monkeypatch.setenv("RTVI_STORE_KEY", other)
    assert run("sessions", "delete", id)[0] == 1
    assert run("sessions", "delete", "--where", "user=bob", "--live")[0] == 1  # it may be anybody's
    assert "unreadable" in run("sessions", "list")[1]
    assert run("sessions", "delete", id, "--live") == (0, "1 deleted.\n", "")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["show"], "Name the sessions: rtvi sessions show ID."),
        (["delete"], "Name the sessions: rtvi sessions delete ID."),
        (["list", "--live"], "--live is for `rtvi sessions delete`."),
        (["export", "--json"], "What `rtvi sessions export` writes is JSON."),
        (["list", "--store", "nowhere.db"], "There is no file nowhere.db."),
        (["list", "--store", "mysql://127.0.0.1/0"], "No store for mysql:// is installed."),
        (["list", "--where", "ada"], "'ada' cannot be read. Write name=value."),
    ],
)
def test_a_mistake_on_the_command_line_is_named(run: Run, words: list[str], says: str) -> None:
    """No file is created."""
    if "--store" not in words:
        hold({})
    code, out, err = run("sessions", *words)
    assert (code, out) == (2, "")
    assert says in err
    assert not Path("nowhere.db").exists()


def test_a_session_that_is_not_there_is_named(run: Run) -> None:
    """It may have been deleted already, or it has expired."""
    hold({})
    assert run("sessions", "delete", "nobody") == (
        1,
        "",
        "rtvi: No session nobody is in the store. What is there: rtvi sessions list\n",
    )


def test_an_id_in_no_encoding_is_not_there(run: Run) -> None:
    """Python passes such bytes of a command line on as halves of characters, which no store can look for."""
    hold({})
    err = "rtvi: No session \\udcff is in the store. What is there: rtvi sessions list\n"
    assert run("sessions", "delete", "\udcff") == (1, "", err)


def test_others_can_be_deleted_although_one_is_gone(run: Run) -> None:
    """Another operator may delete sessions at the same time."""
    id = hold({})
    code, out, err = run("sessions", "delete", "nobody", id)
    assert (code, out) == (1, "1 deleted.\n")
    assert "No session nobody is in the store." in err
    assert run("sessions", "list") == (0, "The store has no such sessions.\n", "")


def test_others_can_be_exported_although_one_was_changed_outside(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is named, and the exit code says that something is missing."""
    key = base64.b64encode(os.urandom(32)).decode()
    changed, whole = hold({}, key=key), hold({}, key=key)
    anyio.run(_change, changed)
    monkeypatch.setenv("RTVI_STORE_KEY", key)
    code, out, err = run("sessions", "export")
    assert (code, {json.loads(line)["session"] for line in out.splitlines()}) == (1, {whole})
    assert f"The record of session {changed} was changed outside of this store." in err


async def _change(session: str) -> None:
    async with open_store(FILE, environ={}) as store:
        state = await store.read(session)
        assert state is not None
        await store.write(session, 1, {"history/1": state["history/2"]}, 60)
