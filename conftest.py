"""Rules for every test of this repository and its plugins: the event loops, and what CI does with the tests."""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import suppress
from importlib.util import find_spec
from typing import Any, TypeVar

import pytest

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)

with suppress(ModuleNotFoundError):
    from hypothesis import HealthCheck, settings

    # An example takes as long as a busy machine needs.
    settings.register_profile("patient", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("patient")

BACKENDS: dict[str, tuple[str, dict[str, Any]]] = {
    "asyncio": ("asyncio", {}),
    "trio": ("trio", {}),
    "asyncio+uvloop": ("asyncio", {"use_uvloop": True}),
}

#: Files that take a minute or more.
LONG_FILES = (
    "plugins/rtvi-plugins-server/tests/test_hostile.py",
    "plugins/rtvi-plugins-server/tests/test_websocket.py",
    "tests/testing/test_conformance.py",
    "tests/soak/test_speech.py",
    "plugins/rtvi-plugins-server/tests/test_command.py",
    "plugins/rtvi-plugins-server/tests/test_connections.py",
)


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Run every async test on these event loops.

    What depends on the loop itself (timers, sockets, processes) runs on uvloop too, by
    `pytest.mark.parametrize("anyio_backend", [...], indirect=True, scope="module")`.
    """
    name: str = request.param
    if name == "asyncio+uvloop" and not find_spec("uvloop"):
        pytest.skip("uvloop is not installed")
    return BACKENDS[name]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--no-skips`, which CI gives."""
    parser.addoption("--no-skips", action="store_true", help="a skipped or expectedly failing test is a failure")
    parser.addoption("--long-first", action="store_true", help="begin with the files that take longest, as CI does")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the longest files first. If one were last, it would run alone."""
    if config.getoption("--long-first"):
        items.sort(key=lambda item: not item.path.as_posix().endswith(LONG_FILES))


def pytest_collection_finish() -> None:
    """Leave the modules and the thousands of tests out of each later collection of garbage, which is slow with them."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip during the run into a failure that gives its reason."""
    report = yield
    # Tests log lone surrogates, which cannot be sent to the process that prints the report.
    report.sections = [(title, text.encode("utf-8", "backslashreplace").decode()) for title, text in report.sections]
    return _refuse_skip(report, item.config)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn a module that skips itself while it is collected into a failure that gives its reason."""
    report = yield
    return _refuse_skip(report, collector.config)


def _refuse_skip(report: Report, config: pytest.Config) -> Report:
    if report.skipped and config.getoption("--no-skips"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else getattr(report, "wasxfail", "")
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} was not run to its end: {reason or 'no reason given'}"
        # An expected failure keeps this mark, by which the terminal would still count it as one.
        report.__dict__.pop("wasxfail", None)
    return report
