"""Traces for OpenTelemetry. `rtvi run bot.py --plugin opentelemetry` makes them; the SDK sends them."""
