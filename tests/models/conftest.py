"""Small backbones and simulated sequences for the tests of `models`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.backbones.registry import Backbone, load_backbone
from models.configs import HEADS, STATEFUL, HeadConfig

SHAPES = (*HEADS, *(f"residual {kind}" for kind in STATEFUL))
"""Every kind of head; "residual lstm" corrects a linear model of the clip's statistics."""


def shaped(shape: str, **settings: Any) -> HeadConfig:
    """The settings of one of SHAPES."""
    residual = shape.startswith("residual ")
    return HeadConfig(kind=shape.removeprefix("residual "), residual=residual, **settings)


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


@dataclass(frozen=True, kw_only=True)
class MadeUp:
    """What a head reads of `features.sequences.dataset.Sequences`."""

    features: NDArray[np.floating]  # (N, T, D)
    mask: NDArray[np.bool_]  # (N, T)
    labels: NDArray[np.int8]  # (N,)
    groups: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    originals: tuple[str, ...] = ()
    views: None = None


def made_up(count: int, *, signal: float = 1.0, steps: int = 6, dim: int = 8, seed: int = 0) -> Any:
    """Videos of 3 to `steps` frames, alternately real and fake; fakes differ in one dimension.

    Each person has a real and a fake, by one of two methods.
    """
    draw = np.random.default_rng(seed)
    labels = (np.arange(count) % 2).astype(np.int8)
    lengths = draw.integers(3, steps + 1, count)
    mask = np.arange(steps) < lengths[:, None]
    features = draw.standard_normal((count, steps, dim)) * 3 + 5
    features[..., 0] += 3 * signal * labels[:, None]
    features[~mask] = 0
    paths = tuple(f"{seed}/{number}.mp4" for number in range(count))
    return MadeUp(
        features=features.astype(np.float16),
        mask=mask,
        labels=labels,
        groups=tuple(f"{seed}/{number // 2}" for number in range(count)),
        methods=tuple(f"m{number // 2 % 2}" if number % 2 else "" for number in range(count)),
        paths=paths,
        originals=tuple(paths[number - 1] if number % 2 else "" for number in range(count)),
    )
