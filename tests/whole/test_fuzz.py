"""Whatever text a client sends, nothing is raised, and every usable id is answered exactly once."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, cast

import anyio
import anyio.lowlevel
import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from rtvi_plugins import RequestError
from rtvi_plugins.hosting import Limits, ManualClock

from ..fakes.faults import fresh_faults
from ..fakes.faulty import faulty
from ..fakes.wire import OPERATOR, Wire, host_of, settle

#: The types whose sender waits for an answer; of others only a refusal is told.
REQUESTS = "describe-actions describe-config get-config update-config action client-message".split()
QUIET = "send-text append-to-context llm-function-call-result disconnect-bot client-ready".split()

#: What ends a session, blocks a thread for good or holds a turn has tests of its own.
ACTIONS = "echo fail refuse return_set cancel_itself count hang interrupt cancel_job die name say no_such".split()

#: Without the phase that explains, which traces every line; without a database, so that each run stands for itself.
SETTINGS = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    database=None,
)

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(
    [*ACTIONS, *"model temperature engine provider pace voice messages text times job llm tts bot".split()]
)
good = st.sampled_from(["first", "second", "broken", "large", "breaks", "slow", "exits", 0.5, 1, True, "job-1"])
pairs = st.fixed_dictionaries({"name": names | scalars, "value": good | values})
calls = st.fixed_dictionaries(
    {"service": st.sampled_from(["bot", "llm", "tts", "vad"]) | scalars, "action": st.sampled_from(ACTIONS) | values},
    optional={"arguments": st.lists(pairs, max_size=3) | st.dictionaries(names, good | values, max_size=3) | values},
)
services = st.fixed_dictionaries(
    {"service": st.sampled_from(["llm", "tts", "vad"]) | scalars},
    optional={"options": st.lists(pairs, max_size=3) | values},
)
configs = st.fixed_dictionaries(
    {"config": st.lists(services, max_size=3) | values}, optional={"interrupt": st.booleans() | values}
)
inner = st.fixed_dictionaries(
    {"t": st.sampled_from([*ACTIONS, *REQUESTS]) | scalars}, optional={"d": calls | configs | values}
)
messages = st.fixed_dictionaries(
    {},
    optional={
        "label": st.sampled_from(["rtvi-ai", "rtvi-ai", "rtvi-ai", "rtvi-ai", "rtvi"]) | values,
        "type": st.sampled_from([*REQUESTS, *REQUESTS, *QUIET, "no-such-type"]) | values,
        "id": st.sampled_from(["a", "b", "c"]) | st.text(max_size=8) | values,
        "data": calls | configs | inner | values,
    },
)
well_formed = st.fixed_dictionaries(
    {
        "label": st.just("rtvi-ai"),
        "type": st.sampled_from([*REQUESTS, *REQUESTS, "no-such-type"]),
        "id": st.sampled_from(["a", "b", "c"]) | st.text(min_size=1, max_size=8),
        "data": calls | configs | inner | values,
    },
)
texts = (
    (well_formed | messages | values).map(json.dumps)
    | st.text(max_size=40)
    | st.text(alphabet='{}[]",:\\ \ud800nulltrue0-e.', max_size=40)
)


def identified(text: str) -> tuple[str | None, bool]:
    """Return the usable id of a text, if it has one, and whether its sender always waits for an answer."""
    try:
        message, is_json = orjson.loads(text), True
    except orjson.JSONDecodeError:
        # Python's reader takes NaN, Infinity and halves of characters. Their refusal is sent under the id of the text.
        try:
            message, is_json = json.loads(text), False
        except ValueError:
            return None, False
    if not isinstance(message, dict):
        return None, False
    fields = cast("dict[str, Any]", message)
    id, quiet = fields.get("id"), is_json and fields.get("label") == "rtvi-ai" and fields.get("type") in QUIET
    return (id if isinstance(id, str) and 0 < len(id) <= 256 else None), not quiet


async def send_all(sent: list[str], *, ready: bool) -> None:
    """Send texts one after the other, and count the messages that come back."""
    clock = ManualClock()
    limits = Limits(rate=1e9, burst=10**6)
    with fresh_faults() as faults:
        async with host_of(faults.faulty, clock=clock, limits=limits) as host:
            started = await host.start({}, secret=OPERATOR)
            wire = Wire(host, host.claim(started.token), clock)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wire.listen)
                if ready:
                    wire.send("client-ready", {}, id="the first")
                due = await answers_due(wire, sent)
                if not wire.connection.closed:
                    clock.advance(9.0)
                    await settle()
                heard = Counter(each["id"] for each in wire.received if "id" in each and each["type"] != "bot-ready")
                assert {id: heard[id] for id in due} == due
                assert not [each for each in wire.data_of("error") if each["code"] == "internal-error"]
                tasks.cancel_scope.cancel()


async def answers_due(wire: Wire, sent: list[str]) -> dict[str, int]:
    """Return how many answers each id expects: one, and one more for each use after its answer.

    An id that a message without an answer has as well is left out: only the refusal of such a message is sent.
    """
    due: Counter[str] = Counter()
    unclear: set[str] = set()
    for text in sent:
        if wire.connection.closed:
            break
        for _ in range(12):
            await anyio.lowlevel.checkpoint()
        id, asks = identified(text)
        waits = id is not None and due[id] > len(wire.answers(id))
        wire.connection.receive(text)
        if id is not None and not asks:
            unclear.add(id)
        elif id is not None and not waits:
            due[id] += 1
    return {id: count for id, count in due.items() if id not in unclear}


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("ready", [True, False])
@pytest.mark.slow
@settings(SETTINGS, max_examples=50)
@given(sent=st.lists(texts, min_size=1, max_size=12))
def test_any_text_is_taken_and_every_request_answered_once(backend: str, ready: bool, sent: list[str]) -> None:
    """The messages are well formed or malformed, before and after the client is ready, in any order."""
    anyio.run(lambda: send_all(sent, ready=ready), backend=backend)


@pytest.mark.slow
@settings(SETTINGS, max_examples=100)
@given(
    body=values
    | st.fixed_dictionaries(
        {},
        optional={"services": st.dictionaries(names, good | values), "config": configs | st.lists(services) | values},
    )
)
def test_any_start_is_accepted_or_refused_with_a_code(body: Any) -> None:
    """A start request's body never makes the server fail."""

    async def refusal() -> RequestError | None:
        async with host_of(faulty) as host:
            try:
                await host.start(body)
            except RequestError as error:
                return error
        return None

    error = anyio.run(refusal)
    assert error is None or error.status < 500 or error.code == "start-failed"
