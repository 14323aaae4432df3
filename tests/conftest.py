"""For all tests: no deadline on Hypothesis, since two busy cores make any of them late."""

from hypothesis import settings

settings.register_profile("unmask", deadline=None)
settings.load_profile("unmask")
