"""Services that echo, as a tutorial and as test doubles: one module for each kind, and one of actions."""
