"""Small backbones and made-up sequences for the tests of this room."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from models.backbone import Backbone, load_backbone

SIZE = 64
"""Side of the test crops: a ResNet50 halves it five times to 2."""


@pytest.fixture(scope="session")
def thin() -> Backbone:
    """The embedded backbone on small crops."""
    return load_backbone("resnet50-thin", size=SIZE)


@pytest.fixture(scope="session")
def crops() -> NDArray[np.uint8]:
    """(4, 64, 64, 3): smooth made-up pictures, so that JPEG-like noise is not all there is."""
    draw = np.random.default_rng(0)
    coarse = draw.integers(0, 256, (4, 8, 8, 3)).astype(np.uint8)
    return np.kron(coarse, np.ones((1, 8, 8, 1), np.uint8))
