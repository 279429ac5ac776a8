"""What every test of this distribution may use: both backends, and the spans that have ended."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import set_tracer_provider

_exporter = InMemorySpanExporter()


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Async tests run on both backends."""
    return str(request.param)


@pytest.fixture(scope="session", autouse=True)
def provider() -> None:
    """Set up the SDK as an operator does. This is possible only once per process."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(_exporter))
    set_tracer_provider(provider)


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    """Keep the spans that end during the test."""
    _exporter.clear()
    return _exporter
