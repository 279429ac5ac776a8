"""A provider that cannot be imported."""

raise RuntimeError("not today")
