"""What a test does where something that it needs is missing.

A developer's machine need not have all: such a test is skipped, with a reason. CI has it all, and a
test that is always skipped protects nobody, so with CI=true in the environment it fails. What a
machine of CI cannot have, `.ci/run` says aloud and names in CI_WITHOUT.
"""

from __future__ import annotations

import importlib.util
import os
from typing import NoReturn

import pytest


def missing(what: str, reason: str) -> NoReturn:
    """Ends the test: a failure in CI, unless CI_WITHOUT names what is missing; else a skip."""
    if os.environ.get("CI") == "true" and what not in os.environ.get("CI_WITHOUT", "").split():
        pytest.fail(f"{reason}; CI must not skip this", pytrace=False)
    pytest.skip(reason)


def module(name: str) -> None:
    """Ends the test where an optional package is not installed; `make` installs all of them."""
    if importlib.util.find_spec(name) is None:
        missing(name, f"{name} is not installed: pip install 'unmask[{name}]'")
