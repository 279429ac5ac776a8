"""General helpers, independent of bots: JSON values, secrets in text, exceptions of plugins, blocked threads.

In: values, text and exceptions. Out: the same, checked or cleaned.
May import: nothing else of this package.
"""
