"""A function becomes a declaration: decorators, signatures, types and their constraints.

A decorator marks a function and returns the same function, so that it can be called, tested and type-checked as it is.
Importing a module registers nothing: declarations are collected when a bot is composed. A mistake of the author is a
`DeclarationError` with the author's file and line.

In: the functions that authors decorate. Out: frozen specs (`declare.specs`) that the function carries.
May import: `utils`, and the public modules that declare no service (`errors`, `kinds`, `session`, …).
"""
