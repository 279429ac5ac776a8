"""The key is checked with a fake of the vendor: when the process starts, and when a session starts."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import checked_key
import pytest
from rtvi_plugins import LLM, Session, bot, converse
from rtvi_plugins.errors import StartFailed
from rtvi_plugins.hosting import Host
from rtvi_plugins_vendor.testing import Answer, FakeVendor, fake_vendor

pytestmark = pytest.mark.anyio

REFUSED = "acme does not accept the key in ACME_API_KEY: make one at https://acme.example/keys."


@bot(services={"llm": "acme"}, public=True)
async def desk(session: Session, /, llm: LLM) -> None:
    """Answers with Acme."""
    await converse(session, llm=llm)


@pytest.fixture
async def vendor(anyio_backend: str) -> AsyncGenerator[FakeVendor]:
    """A fake of Acme."""
    async with fake_vendor() as found:
        yield found


def host_of(vendor: FakeVendor) -> Host:
    """Return a host whose provider asks the fake."""
    host = Host(desk, modules=[checked_key], environ={"ACME_API_KEY": "made-up-by-a-test"})
    host.set_service_options({"llm.acme": {"base_url": vendor.url}})
    return host


async def test_a_refused_key_is_named_at_the_start(vendor: FakeVendor) -> None:
    """A session is refused with the same sentence until the vendor knows the key."""
    vendor.on("/models", Answer(401))
    async with host_of(vendor) as host:
        assert await host.check_keys() == [REFUSED]
        with pytest.raises(StartFailed, match="ACME_API_KEY"):
            await host.start()
        vendor.on("/models", Answer(json=[]))
        await host.start()
    assert {request.headers["authorization"] for request in vendor.requests} == {"Bearer made-up-by-a-test"}


@pytest.mark.parametrize("status", [200, 403, 404, 429, 500])
async def test_any_other_answer_is_no_refusal(vendor: FakeVendor, status: int) -> None:
    """A key with few permissions is valid, and a vendor that fails says nothing about it."""
    vendor.on("/models", Answer(status))
    async with host_of(vendor) as host:
        assert await host.check_keys() == []
        await host.start()
