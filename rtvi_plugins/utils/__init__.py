"""Helpers that know nothing of bots: JSON values, secrets in text, exceptions of other people's code, blocked threads.

In: values, text and exceptions. Out: the same, checked or cleaned.
May import: nothing else of this package.
"""
