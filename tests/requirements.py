"""Skips or fails tests that need something which is missing.

On a developer's machine such a test is skipped with a reason. With CI=true in the environment it
fails, since a test that is always skipped tests nothing. `.ci/run` prints what a CI machine cannot
have and names it in CI_WITHOUT; tests of that are skipped.
"""

from __future__ import annotations

import importlib.util
import os
from typing import NoReturn

import pytest

EXTRAS = {
    "axe_playwright_python": "dev",
    "c2pa": "provenance",
    "pi_heif": "heic",
    "fastapi": "app",
    "furo": "docs",
    "httpx": "dev",
    "huggingface_hub": "hub",
    "myst_parser": "docs",
    "nncf": "int8",
    "onnxruntime": "onnx",
    "playwright": "dev",
    "schemathesis": "dev",
    "sphinx": "docs",
    "uvicorn": "app",
}
"""Extra that brings a package, where it has another name."""


def missing(what: str, reason: str) -> NoReturn:
    """Ends the test: a failure in CI, unless CI_WITHOUT names what is missing; else a skip."""
    if os.environ.get("CI") == "true" and what not in os.environ.get("CI_WITHOUT", "").split():
        pytest.fail(f"{reason}; CI must not skip this", pytrace=False)
    pytest.skip(reason, allow_module_level=True)


def module(name: str) -> None:
    """Ends the test where an optional package is not installed; `make` installs all of them."""
    if importlib.util.find_spec(name) is None:
        extra = EXTRAS.get(name, name)
        missing(name, f"{name} is not installed: pip install 'unmask[{extra}]'")
