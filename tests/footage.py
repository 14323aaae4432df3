"""Real footage, in `../shared` beside the checkout: it shows people, so it is in no repository.

A test that calls one of these is skipped where the footage is missing; in CI it fails.
"""

from __future__ import annotations

from pathlib import Path

from tests.requirements import missing

SHARED = Path(__file__).parents[1].parent / "shared"


def clips() -> Path:
    """The folder of clips of real faces, `../shared/clips`."""
    return _found("clips")


def clip(name: str) -> Path:
    """One of the clips of real faces."""
    return _found("clips", name)


def case(name: str) -> Path:
    """A file of `../shared/cases`: small inputs after public reports of the field's users."""
    return _found("cases", name)


def faces() -> Path:
    """The folder of pictures of real faces, `../shared/faces`."""
    return _found("faces")


def _found(*names: str) -> Path:
    path = SHARED.joinpath(*names)
    if not path.exists():
        missing("footage", f"../{Path('shared', *names)} is not beside the checkout")
    return path
