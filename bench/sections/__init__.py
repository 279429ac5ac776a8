"""One module for each section: `CASES`, each run in a process of its own, and `rows`, which judges the figures."""
