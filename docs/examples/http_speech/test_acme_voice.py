"""Test the TTS with a fake of Acme: a real server on loopback."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, aclosing

import anyio
import pytest
from rtvi_plugins import Secret
from rtvi_plugins.kinds import Audio, TTSRequest, Usage
from rtvi_plugins.testing import check_providers
from rtvi_plugins_vendor.provider_tests import tone
from rtvi_plugins_vendor.scripts import ScriptedVendor, scripted_vendor
from rtvi_plugins_vendor.testing import Answer, FakeRequest, fake_vendor

import rtvi_plugins_acme_voice as acme

pytestmark = pytest.mark.anyio

SOUND = tone(0.5, acme.RATE)
PCM = {"content-type": "audio/L16"}
#: The first part ends within a sample.
PARTS = [SOUND[:1001], SOUND[1001:]]


async def sentences() -> AsyncGenerator[str]:
    """Yield what the LLM writes."""
    for each in ("One.", " ", "Two!"):
        await anyio.lowlevel.checkpoint()
        yield each


async def test_each_sentence_is_a_request_over_one_connection() -> None:
    """Acme receives the option, and nothing that is blank."""
    async with fake_vendor() as vendor, acme.acme_tts(Secret("key-of-a-test"), base_url=vendor.url) as tts:
        vendor.on("/v1/speech", Answer(parts=PARTS, headers=PCM))
        acme.configure(tts, voice="ben")
        async with aclosing(sentences()) as text:
            pieces = [piece async for piece in tts.synthesize(TTSRequest(text))]
        sent = [request.json for request in vendor.requests]
        assert len({request.connection for request in vendor.requests}) == 1
    assert [(each["voice"], each["text"]) for each in sent] == [("ben", "One."), ("ben", "Two!")]
    assert b"".join(each.data for each in pieces if isinstance(each, Audio)) == 2 * SOUND
    assert pieces[-1] == Usage(characters=8)


def acme_vendor() -> AbstractAsyncContextManager[ScriptedVendor]:
    """Return a vendor that answers and fails as the rules want. Plain audio does not say where it ends."""
    malformed = Answer(json={"status": "queued"})
    return scripted_vendor("/v1/speech", PARTS, refuse=refuse, headers=PCM, malformed=malformed, end_event=False)


def refuse(status: int, request: FakeRequest) -> object:
    """Return the body of a refusal. Vendors quote keys in it."""
    return {"error": f"{status}: {request.headers['authorization']}"}


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_it_is_a_good_provider() -> None:
    """It keeps all rules, also with a vendor that fails."""
    await check_providers(acme, vendor=acme_vendor)
