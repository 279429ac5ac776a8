"""Build the registry of a bot from its declarations: installed plugins, grants, hooks and the standard actions.

In: entry points and specs. Out: a read-only `Registry`, checked for conflicts.
May import: `declare` and whatever that may import.
"""
