"""Acme's chat models for `rtvi_plugins`."""
