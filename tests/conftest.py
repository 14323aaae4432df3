"""For all tests: no deadline on Hypothesis, since two busy cores make any of them late."""

import pytest
from hypothesis import settings

settings.register_profile("unmask", deadline=None)
settings.load_profile("unmask")

LONGEST = ("test_dvc.py", "test_extract.py", "test_kill.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files come first: left to the end, one process would work on them alone."""
    items.sort(key=lambda item: item.path.name not in LONGEST)
