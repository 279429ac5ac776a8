"""`check_key` in one line."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from attrs import define

from rtvi_plugins.errors import AuthorError, ProviderError
from rtvi_plugins.kinds import ChecksKey
from rtvi_plugins.session import Secret
from rtvi_plugins_vendor import VendorHTTP, VendorWebSockets, connect_http, connect_websockets, key_check
from rtvi_plugins_vendor.testing import Answer, FakeVendor, fake_vendor

pytestmark = pytest.mark.anyio

KEY = Secret("key-of-a-test")


@define
class OverHTTP:
    """A provider over HTTP."""

    http: VendorHTTP

    check_key = key_check("models", headers={"version": "2"})


@define
class OverSockets:
    """A provider over WebSockets."""

    sockets: VendorWebSockets

    check_key = key_check("models", headers={"version": "2"})


@define
class Elsewhere:
    """A provider whose connection has another name."""

    client: VendorHTTP

    check_key = key_check("models")


@pytest.fixture
async def vendor(anyio_backend: str) -> AsyncGenerator[FakeVendor]:
    """Run a fake of the vendor."""
    async with fake_vendor() as found:
        yield found


@pytest.mark.parametrize("over", [OverHTTP, OverSockets])
async def test_a_refused_key_is_an_error(vendor: FakeVendor, over: type[OverHTTP | OverSockets]) -> None:
    """Any other answer is not an error."""
    vendor.on("/models", Answer(401), Answer(403))
    async with (
        connect_http("acme", KEY, base_url=vendor.url) as http,
        connect_websockets("acme", KEY, base_url=vendor.url) as sockets,
    ):
        provider = OverHTTP(http) if over is OverHTTP else OverSockets(sockets)
        assert isinstance(provider, ChecksKey)
        with pytest.raises(ProviderError) as failed:
            await provider.check_key()
        assert failed.value.category == "auth"
        await provider.check_key()
    assert [request.headers["version"] for request in vendor.requests] == ["2", "2"]


async def test_a_connection_with_another_name_is_the_mistake_of_the_author(vendor: FakeVendor) -> None:
    """The message says which name is required."""
    async with connect_http("acme", KEY, base_url=vendor.url) as http:
        elsewhere: Any = Elsewhere(http)  # a type checker finds it too
        with pytest.raises(AuthorError, match=r"Elsewhere has check_key = key_check\('models'\), but no field http"):
            await elsewhere.check_key()
