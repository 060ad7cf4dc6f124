"""Settings that no code outside `settings/` obeys yet.

Whoever makes code obey one takes it out of the list, with a test that sets it and sees the effect.
"""

UNCONSUMED: set[str] = set()
