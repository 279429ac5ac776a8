"""Metrics for Prometheus, and a view of the live sessions. `rtvi run bot.py --plugin monitor` serves both."""
