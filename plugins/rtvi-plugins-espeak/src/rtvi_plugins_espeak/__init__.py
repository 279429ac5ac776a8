"""Speech by espeak-ng, which runs in a process of its own."""

# Nothing is imported here: the helper process starts with this package too, and has only the standard library.
