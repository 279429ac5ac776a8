"""Services that echo, for tutorials and tests: one module for each kind, and one with actions."""
