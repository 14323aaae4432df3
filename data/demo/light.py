"""The light that a take is lit by: a key light from one side over a weaker ambient light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.demo.texture import Colour, colour


@dataclass(frozen=True, kw_only=True)
class Light:
    """Where the light comes from and its colours, linear."""

    direction: NDArray[np.float32]  # (3,) unit vector towards the key light; z to the camera
    key: Colour
    ambient: Colour


def draw_light(rng: np.random.Generator) -> Light:
    """Draws a key light from above and the side, warm or cool, over a weaker ambient light."""
    direction = np.asarray(
        [rng.uniform(0.25, 0.8) * rng.choice([-1, 1]), -rng.uniform(0.2, 0.75), 1.0], np.float32
    )
    warmth = rng.uniform(-1, 1)
    key = colour(1 + 0.07 * warmth, 1.0, 1 - 0.1 * warmth)
    ambient = colour(1 - 0.05 * warmth, 1.0, 1 + 0.08 * warmth)
    contrast = rng.uniform(0.62, 0.9)
    level = rng.uniform(0.88, 1.08)
    return Light(
        direction=direction / np.linalg.norm(direction),
        key=key * np.float32(level * contrast * 1.2),
        ambient=ambient * np.float32(level * (1.02 - contrast)),
    )
