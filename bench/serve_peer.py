"""A peer behind its own server: `python bench/serve_peer.py ENVIRONMENT [WHAT [NUMBER]]`, in that environment.

It prints the port, or the ports, on which it listens.
"""

from __future__ import annotations

import sys

from measure import MEASURED, pin
from peers import offered

if __name__ == "__main__":
    pin(MEASURED)
    environment, what, *number = (*sys.argv[1:], "serve") if len(sys.argv) == 2 else sys.argv[1:]
    offered(environment, what)(lambda *ports: print(*ports, flush=True), *map(int, number))
