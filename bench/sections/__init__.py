"""One module for each section: `CASES`, each run in a process of its own, and `rows`, which judges the figures.

`PEERS` tells which cases run in the environment of a peer, and `STARTED` which ones start a process there.
"""
