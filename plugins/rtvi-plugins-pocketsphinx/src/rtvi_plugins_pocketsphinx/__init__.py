"""Speech recognition with PocketSphinx, in worker processes: no key, no network, and demo grade."""
