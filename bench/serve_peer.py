"""A peer behind its own server: `python bench/serve_peer.py ENVIRONMENT`, in that environment. It prints its port."""

from __future__ import annotations

import sys

from measure import MEASURED, pin
from peers import offered

if __name__ == "__main__":
    pin(MEASURED)
    offered(sys.argv[1], "serve")(lambda port: print(port, flush=True))
