"""Says which package the tests of the local page lack: the others are not collected then."""

from __future__ import annotations

import pytest

from tests import requirements


@pytest.mark.parametrize("name", ["fastapi", "uvicorn", "httpx"])
def test_what_the_local_page_needs_is_installed(name: str) -> None:
    requirements.module(name)
