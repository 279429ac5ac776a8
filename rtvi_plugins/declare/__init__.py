"""A function becomes a declaration: decorators, signatures, types and their constraints.

In: the functions that authors decorate. Out: frozen specs (`declare.specs`) that the function carries.
May import: `utils`, and the public modules that declare no service (`errors`, `kinds`, `session`, …).
"""
