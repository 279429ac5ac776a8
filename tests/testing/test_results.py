"""The report of a provider: which rules count, and its level; and the connections that a check refuses."""

from __future__ import annotations

import socket

import anyio
import pytest

from rtvi_plugins.testing import RULES
from rtvi_plugins.testing.import_probe import no_network
from rtvi_plugins.testing.results import Findings, Report, conclude


def kept(*rules: str) -> Findings:
    """Findings of a provider that keeps these rules, by default all."""
    found = Findings("tts.acme")
    found.tried(*(rules or RULES))
    return found


def report(*findings: Findings, keys: bool = False, vendor: bool = False, **waive: str) -> Report:
    """The report of findings on asyncio, and perhaps on trio."""
    return conclude(dict(zip(("asyncio", "trio"), findings, strict=False)), keys=keys, vendor=vendor, waive=waive)


def state(found: Report, rule: str) -> tuple[str, str]:
    """The state of a rule, and what was found."""
    return next((each.state, each.what) for each in found.results if each.rule == rule)


@pytest.mark.parametrize(("broken", "level"), [(None, "gold"), ("P303", "silver"), ("P204", "bronze"), ("P104", None)])
def test_the_level_is_below_that_of_a_broken_rule(broken: str | None, level: str | None) -> None:
    """A provider has the highest level of which it keeps all rules."""
    found = kept()
    if broken:
        found.found(broken, "It is wrong.")
    assert report(found).level == level


def test_without_a_fake_of_its_vendor_a_provider_with_a_key_is_bronze() -> None:
    """A rule that was not checked does not count as kept. The report says what is missing."""
    service = [each.id for each in RULES.values() if each.level == "bronze"]
    found = report(kept(*service), keys=True)
    assert found.level == "bronze"
    assert state(found, "P221") == ("not checked", "the provider needs a key, and the check has no fake of its vendor")


def test_a_rule_of_another_kind_is_not_applicable() -> None:
    """Rules of vendors do not apply to a provider without a vendor."""
    found = report(kept("P104"))
    assert state(found, "P241")[0] == state(found, "P251")[0] == state(found, "P221")[0] == "not applicable"


def test_a_rule_after_which_the_check_ended_is_named() -> None:
    """What could not be tried was not checked."""
    found = Findings("tts.acme")
    found.found("P104", "It does not open.")
    assert state(report(found), "P204") == ("not checked", "the check ended early, because of P104")


def test_what_is_wrong_on_trio_alone_is_one_rule() -> None:
    """The rules of keys and cancellation cannot be waived there either."""
    on_trio = kept()
    on_trio.found("P202", "It raises.")
    on_trio.found("P207", "It goes on.")
    found = report(kept(), on_trio, P211="The SDK needs asyncio.")
    assert state(found, "P202") == ("kept", "")
    assert state(found, "P211") == ("waived", "The SDK needs asyncio.")
    assert state(found, "P207") == ("broken", "on trio: It goes on.")


@pytest.mark.anyio
async def test_a_check_reaches_only_this_machine() -> None:
    """Other hosts are refused and noted, also by name. Afterwards, everything is as before."""
    before = socket.getaddrinfo, socket.socket.connect
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        with no_network() as tried:
            async with await anyio.connect_tcp("localhost", port):
                pass
            for host in ("192.0.2.1", "api.acme.example"):
                with pytest.raises(OSError, match=r"not this machine|All connection attempts failed"):
                    await anyio.connect_tcp(host, 443)
            with pytest.raises(OSError, match="not this machine"):
                socket.getaddrinfo(host=b"db.acme.example", port=443)
    assert tried == ["192.0.2.1", "api.acme.example", "db.acme.example"]
    assert (socket.getaddrinfo, socket.socket.connect) == before
