"""Check the providers of a module against the rules, each in sessions, on the running event loop.

A provider is opened in a session, like in a bot, and its operation is called through the handle that a bot has. So its
options have their defaults, and its errors are those that a user would get.

The module has more than 300 lines because all that is checked of one provider is in the order of its session.
"""

from __future__ import annotations

import inspect
import json
import re
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import anyio
from attrs import define, field, frozen

from ..client import Client, open_client
from ..declare.bot import bot as declare_bot
from ..declare.specs import OptionsSpec, ProviderSpec, specs_in
from ..errors import AuthorError, ProviderError, RequestError
from ..hosting import ConnectionStream, Limits
from ..kinds import ChecksKey
from ..runtime.services import live_service
from ..runtime.watchdog import watching
from ..session import Session
from ..utils.error_texts import unwrap_group
from ..utils.plugin_calls import asyncio_task, reraise_control_flow
from .import_probe import no_network
from .interruptions import Interruptions, describe_failure, running_tasks, tasks_are_left
from .key_leaks import KEY, Records, object_shows_key, shows_key
from .results import BrokenRule, Findings
from .rules import RULES
from .sessions import SECRET, host_for
from .stepping import unclosed_generators
from .streams import StreamCheck
from .vendor_failures import Vendor, VendorCheck

__all__ = (
    "ProviderCheck",
    "ServiceCheck",
    "Sessions",
    "check_providers",
    "find_broken_rules",
    "other_values",
    "own_time",
    "problem_of_schema",
    "run_check",
)

# ---- values of options ---------------------------------------------------------------------------------------------


def other_values(
    described: Mapping[str, Mapping[str, Any]], values: Mapping[str, Any]
) -> Iterator[tuple[str, bool | float | str]]:
    """Yield writable options with a valid value that they do not have now.

    Options without a closed range, such as the name of a model, are left out: other values may need a download.
    """
    for name, option in described.items():
        if not option.get("writable", True):
            continue
        for value in _valid(option.get("schema", option)):
            if value != values.get(name):
                yield name, value
                break


def _valid(schema: Mapping[str, Any]) -> Iterator[bool | float | str]:
    if schema.get("type") == "boolean":
        yield from (True, False)
    elif schema.get("type") in ("number", "integer"):
        for bound in ("minimum", "maximum"):
            if bound in schema:
                yield schema[bound]
    elif "enum" in schema:
        yield from (each for each in schema["enum"] if isinstance(each, str))


def problem_of_schema(described: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the JSON Schema of an option or argument, or with its default. It needs jsonschema."""
    default = (json.dumps(described["default"]),) if "default" in described else ()
    return _problem_of_schema(json.dumps(described.get("schema", {})), *default)


@cache
def _problem_of_schema(schema_text: str, default_text: str | None = None) -> str | None:
    # Every provider of a kind has the standard options and actions, and their schemas.
    from jsonschema import Draft202012Validator, SchemaError, ValidationError

    schema = json.loads(schema_text)
    try:
        Draft202012Validator.check_schema(schema)
        validator: Any = Draft202012Validator(schema)
        if default_text is not None:
            validator.validate(json.loads(default_text))
    except SchemaError as error:
        return f"it is not valid: {error.message}"
    except ValidationError as error:
        return f"its default does not fit: {error.message}"
    return None


# ---- one provider --------------------------------------------------------------------------------------------------

#: How long the event loop may be blocked, in seconds.
_BLOCKED_SECONDS: Final = 0.4


def own_time() -> Callable[[], float]:
    """Return a clock, in seconds, that stands still while this thread waits for a processor.

    So a provider is not blamed for the other processes of a busy machine. Only Linux reports this waiting time.
    """
    statistics = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")

    def now() -> float:
        try:
            waited = int(statistics.read_text().split()[1])  # ns: https://docs.kernel.org/scheduler/sched-stats.html
        except (OSError, ValueError, IndexError):
            waited = 0
        return time.monotonic() - waited / 1e9

    return now


#: How long anything that should be quick may take, in seconds.
_PATIENCE: Final = 10.0


class Sessions:
    """Sessions with one provider, on one host. Their bot does nothing, and hands out its service."""

    def __init__(
        self, spec: ProviderSpec, module: ModuleType, keys: Mapping[str, str], options: Mapping[str, Any]
    ) -> None:
        self._provider = spec.provider
        self._keys, self._options = keys, options
        #: What to do with the handle that a bot has, by the id of its session.
        self._take_handle: dict[str, Callable[[Any], None]] = {}

        async def bot_under_test(session: Session, /, service: Any) -> None:
            if (take := self._take_handle.pop(session.id, None)) is not None:
                take(service)
            await anyio.sleep_forever()

        bot_under_test.__annotations__ = {"session": Session, "service": spec.protocol, "return": None}
        bot = declare_bot(services={"service": spec.provider}, public=True)(bot_under_test)
        self.make_host = partial(host_for, bot, module, dev=True, limits=Limits(close_seconds=1.0))
        self.host = self.make_host()

    def operator(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the start request of an operator, with more service options of this provider."""
        return {
            "api_keys": {self._provider: self._keys},
            "service_options": {self._provider: {**self._options, **options}},
        }

    @asynccontextmanager
    async def opened(self, options: Mapping[str, Any]) -> AsyncGenerator[tuple[Client, Any]]:
        """Open it in a session. Yield a client, and the handle that a bot has."""
        handles, ready = list[Any](), anyio.Event()

        def take(handle: Any) -> None:
            handles.append(handle)
            ready.set()

        started = await self.host.start(self.operator(options), secret=SECRET)
        connection = self.host.claim(started.token)
        self._take_handle[connection.session.id] = take
        async with open_client(ConnectionStream(connection)) as client:
            with anyio.fail_after(_PATIENCE):
                await ready.wait()
            yield client, handles[0]


@define
class ServiceCheck:
    """The check of one provider, on the event loop that runs."""

    spec: ProviderSpec
    module: ModuleType
    vendor: Vendor | None
    sessions: Sessions
    findings: Findings
    records: Records = field(factory=Records)
    vendor_tasks: frozenset[int] = frozenset()

    async def run(self) -> None:
        """Try everything that can be tried."""
        folder = Path(inspect.unwrap(self.spec.function).__code__.co_filename).parent
        self.findings.tried("P104", "P105", "P209", "P210", "P216")
        tasks = running_tasks().keys()
        with self.records.collecting(), no_network() as reached, unclosed_generators(folder) as unclosed:
            async with self.sessions.host, watching(_BLOCKED_SECONDS, {}, own_time()):
                if self.vendor is None:
                    await self._open({})
                else:
                    before = running_tasks()
                    async with self.vendor() as fake:
                        self.vendor_tasks = frozenset(running_tasks().keys() - before.keys())
                        await self._open(fake.service_options)
                    await VendorCheck(self.vendor, self.sessions.opened, self.findings, self.spec).run()
            await self._end_unused()
            if await tasks_are_left(tasks):
                self.findings.found("P108", "a task still runs after the session")
        if self.vendor is not None:
            self.findings.tried("P231")
            if reached:
                self.findings.found("P231", f"it has tried to reach {reached[0]}")
        if unclosed:
            self.findings.found("P216", f"{unclosed[0]} is never closed")
        for each in self.records.framework:
            if " blocks the event loop" in each and _is_innermost(str(folder), each):
                self.findings.found("P209", each.partition("blocks ")[2])
        for each in self.records.others:
            if shows_key(each):
                self.findings.found("P210", "a log record at the level DEBUG or above shows the key")
        if shows_key(self.records.printed.getvalue()):
            self.findings.found("P210", "it prints the key")

    async def _open(self, options: Mapping[str, Any]) -> None:
        """Open the provider, and run everything that needs no failing vendor."""
        try:
            async with self.sessions.opened(options) as (client, handle):
                async with self.sessions.opened(options):
                    pass
                await self._inspect(client, handle)
                if self.vendor is not None or not self.spec.secrets:  # nothing else may call a vendor
                    await self._check_key(live_service(handle))
                    await self._use(handle)
                logged = len(self.records.framework)
        except BaseException as error:
            reraise_control_flow(error, anyio.get_cancelled_exc_class())
            self._not_opened(unwrap_group(error))
            return
        self._look_for_unclosed(logged)

    def _not_opened(self, error: BaseException) -> None:
        misfit = next((each for each in self.records.framework if ", which does not implement " in each), None)
        if misfit is not None:
            self.findings.found("P105", misfit)
        else:
            self.findings.found("P104", _text(error))

    def _look_for_unclosed(self, logged: int) -> None:
        """Report what the framework logged while the session ended."""
        for each in self.records.framework[logged:]:
            if each.startswith("the service 'service'"):
                self.findings.found("P108", each.splitlines()[0])

    async def _end_unused(self) -> None:
        """End a host before a client comes, which cancels the service."""
        if self.vendor is not None or self.findings.broken.keys() & {"P104", "P105"}:
            return
        logged, sessions = len(self.records.framework), self.sessions
        with anyio.move_on_after(_PATIENCE) as patience:
            async with sessions.make_host() as host:
                await host.start(sessions.operator({}), secret=SECRET)
        if patience.cancelled_caught:
            self.findings.found("P108", f"it does not close within {_PATIENCE:g} s when the host does")
        self._look_for_unclosed(logged)

    async def _inspect(self, client: Client, handle: Any) -> None:
        """Check the description, the options, and what the object shows."""
        self.findings.tried("P107", "P108", "P303")
        described = {each["name"]: each for service in await client.describe_config() for each in service["options"]}
        values = (await client.get_config()).values["service"]
        if set(values) != set(described):
            self.findings.found("P106", f"described are {sorted(described)}, but the values are of {sorted(values)}")
        arguments = [argument for action in await client.describe_actions() for argument in action["arguments"]]
        self._check_schemas([*described.values(), *arguments])
        undocumented = {name for name, option in described.items() if not option.get("description")}
        own = {name for spec in specs_in(self.module) if isinstance(spec, OptionsSpec) for name in spec.parameters}
        if lacking := sorted(undocumented & own):
            self.findings.found("P303", f"the options {', '.join(lacking)} have no text")
        elif not self.spec.doc:
            self.findings.found("P303", "the service has no docstring")
        live = live_service(handle)
        if object_shows_key(live):
            self.findings.found("P210", f"repr() of {type(live).__name__} or of one of its attributes shows the key")
        await self._change_options(client, described, values)

    def _check_schemas(self, parameters: Iterable[Mapping[str, Any]]) -> None:
        """Check the schemas of options or arguments, and that their defaults fit."""
        if find_spec("jsonschema") is None:
            self.findings.skipped["P106"] = "it needs jsonschema: pip install jsonschema"
            return
        self.findings.tried("P106")
        for parameter in parameters:
            if (problem := problem_of_schema(parameter)) is not None:
                self.findings.found("P106", f"the schema of {parameter['name']!r}: {problem}")

    async def _change_options(
        self, client: Client, described: Mapping[str, Mapping[str, Any]], values: Mapping[str, Any]
    ) -> None:
        try:
            if (await client.update_config({"service": values})).values["service"] != values:
                self.findings.found("P107", "values that are sent back as they were read change")
            for name, value in other_values(described, values):
                await self._change(client, name, value, values[name])
        except RequestError as error:
            self.findings.found("P107", f"values that are sent back as they were read are refused: {_text(error)}")

    async def _change(self, client: Client, name: str, value: Any, before: Any) -> None:
        try:
            await client.update_config({"service": {name: value}})
        except RequestError as error:
            if error.status >= 500:  # a refusal is right: not every value is possible with every other
                self.findings.found("P107", f"{name} = {value!r} fails: {_text(error)}")
            return
        restored = await client.update_config({"service": {name: before}})
        if restored.values["service"][name] != before:
            self.findings.found("P107", f"{name} is not set back from {value!r} to {before!r}")

    async def _check_key(self, live: object) -> None:
        """Call `check_key`, where there is one. What it says of the made-up key does not matter."""
        if not isinstance(live, ChecksKey):
            return
        try:
            asked: object = live.check_key()
            if not inspect.isawaitable(asked):
                self.findings.found("P105", f"check_key() returns {type(asked).__name__}. Write async def")
                return
            with anyio.move_on_after(_PATIENCE):
                await asked
        except BaseException as error:
            reraise_control_flow(error, anyio.get_cancelled_exc_class())
            if not isinstance(unwrap_group(error), ProviderError):
                self.findings.found("P105", f"check_key(): {describe_failure(error)}, which is not a ProviderError")

    async def _use(self, handle: Any) -> None:
        """Call the operation."""
        try:
            interruptions = Interruptions(handle, self.findings, self.vendor_tasks)
            await StreamCheck(handle, self.spec, self.findings, interruptions, self.vendor is not None).run()
        except Exception as error:  # a request that is like one that had a result
            self.findings.found("P202", describe_failure(error))


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _is_innermost(folder: str, stack: str) -> bool:
    """Return whether a logged stack has code of a folder nearer to its top than code of the framework."""
    framework = str(Path(__file__).parents[1])
    places = re.findall(r"\(([^()]+):\d+\)", stack)
    ours = [each.startswith(framework) for each in places if each.startswith((framework, folder))]
    return bool(ours) and not ours[0]


# ---- a module ------------------------------------------------------------------------------------------------------


@frozen
class ProviderCheck:
    """How one provider is checked.

    `vendor` opens a fake of its vendor. Without it, the answers of a provider that has a key are not checked, and no
    vendor is called. `api_keys` defaults to a made-up key for each. `waive` has the reason why a rule is not kept, by
    its id: at most one, and a rule that has exceptions. Else it raises `AuthorError`.
    """

    vendor: Vendor | None = None
    service_options: Mapping[str, Any] = field(factory=dict[str, Any])
    api_keys: Mapping[str, str] = field(factory=dict[str, str])
    waive: Mapping[str, str] = field(factory=dict[str, str])

    def __attrs_post_init__(self) -> None:
        if (problem := next(_problems_of_waivers(self.waive), None)) is not None:
            raise AuthorError(f"ProviderCheck(waive={dict(self.waive)!r}): {problem}")


def _problems_of_waivers(waive: Mapping[str, str]) -> Iterator[str]:
    if len(waive) > 1:
        yield "a provider may waive one rule only. Keep the others."
    for rule, reason in waive.items():
        if rule not in RULES:
            yield f"there is no rule {rule!r}. See `rtvi_plugins.testing.RULES`."
        elif not RULES[rule].waivable:
            yield f"{rule} cannot be waived. {RULES[rule].fix}"
        elif not reason.strip():
            yield f"say why {rule} is not kept."


async def check_providers(
    module: ModuleType,
    *,
    api_keys: Mapping[str, Any] | None = None,
    service_options: Mapping[str, Any] | None = None,
    vendor: Vendor | None = None,
    waive: Mapping[str, str] | None = None,
) -> None:
    """Check every provider of a module against the `RULES`. `AssertionError` says what is wrong, and how to fix it.

    The arguments are those of `ProviderCheck`, for all providers of the module. `api_keys` and `service_options` are
    by provider, as in a start request. The rules of the package are not checked here; `rule_tests` has them all.
    """
    waived = ProviderCheck(waive=waive or {}).waive
    found = await find_broken_rules(module, api_keys=api_keys, service_options=service_options, vendor=vendor)
    broken = [each for each in found if each.rule not in waived]
    assert not broken, "\n\n".join(map(str, broken))


async def find_broken_rules(
    module: ModuleType,
    *,
    api_keys: Mapping[str, Any] | None = None,
    service_options: Mapping[str, Any] | None = None,
    vendor: Vendor | None = None,
    provider: str | None = None,
) -> list[BrokenRule]:
    """Return the rules that the providers of a module break, on the event loop that runs.

    The arguments are those of `check_providers`; `provider` limits the check to one.
    """
    specs = [spec for spec in specs_in(module) if isinstance(spec, ProviderSpec) and provider in (None, spec.provider)]
    assert specs, f"{module.__name__} declares no service"
    broken: list[BrokenRule] = []
    for spec in specs:
        keys: str | Mapping[str, str] = (api_keys or {}).get(spec.provider, {})
        options = (service_options or {}).get(spec.provider, {})
        check = ProviderCheck(vendor, options, {"api_key": keys} if isinstance(keys, str) else keys)
        found = await run_check(module, spec, check)
        broken += found.broken.values()
    return broken


async def run_check(
    module: ModuleType, spec: ProviderSpec, check: ProviderCheck, findings: Findings | None = None
) -> Findings:
    """Check one provider, on the event loop that runs. Return the findings, by default new ones."""
    findings = findings or Findings(f"{spec.kind}.{spec.provider}")
    if spec.asyncio_only and asyncio_task() is None:  # the framework does not open it on trio
        return findings
    await _run(module, spec, check, findings)
    if "P209" in findings.broken:  # a machine that is too busy looks like a block, but not twice
        await _run(module, spec, check, again := Findings(findings.provider))
        if "P209" not in again.broken:
            del findings.broken["P209"]
    return findings


async def _run(module: ModuleType, spec: ProviderSpec, check: ProviderCheck, findings: Findings) -> None:
    keys = {**{each.name: KEY for each in spec.secrets}, **check.api_keys}
    sessions = Sessions(spec, module, keys, check.service_options)
    await ServiceCheck(spec, module, check.vendor, sessions, findings).run()
