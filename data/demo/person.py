"""The parameters of one rendered person, and their random draw.

Lengths are in face units: 1 is half the width of an average face, the origin lies on the bridge
of the nose, u points to the right of the picture and v down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from data.demo.texture import Colour, colour, from_srgb

Hair = Literal["short", "long", "bob", "receding", "bald", "bun"]

# Display colours. Skin from light to dark; a person's is between two neighbours.
_SKINS = (
    (243, 210, 188),
    (233, 190, 162),
    (219, 168, 136),
    (196, 142, 108),
    (160, 108, 78),
    (120, 78, 56),
    (88, 57, 43),
)
_HAIRS = (
    (28, 22, 20),
    (46, 32, 25),
    (74, 48, 32),
    (110, 72, 44),
    (160, 118, 74),
    (200, 164, 112),
    (120, 56, 32),
    (150, 146, 142),
)
_IRISES = ((62, 38, 24), (84, 54, 30), (96, 82, 48), (88, 112, 128), (92, 122, 96), (110, 136, 160))


@dataclass(frozen=True, kw_only=True)
class Person:
    """One rendered identity. Colours are linear light; lengths in face units."""

    seed: int  # of the skin's and hair's grain
    outline: NDArray[np.float32]  # (8,) radii, from chin to crown: see `outline_distance`
    skin: Colour
    hair: Colour
    iris: Colour
    lips: Colour
    hair_style: Hair
    hair_volume: float
    hairline: float  # v of the hairline in the middle
    parting: float  # u of the parting
    eye_spacing: float
    eye_height: float
    eye_width: float
    eye_open: float
    eye_slant: float
    brow_height: float
    brow_thickness: float
    brow_tilt: float
    nose_length: float
    nose_width: float
    nose_relief: float
    mouth_height: float
    mouth_width: float
    smile: float  # how far the corners of the mouth lie above its middle
    lip_upper: float
    lip_lower: float
    cheekbones: float
    wrinkles: float
    freckles: float
    beard: float
    blotches: float
    oiliness: float
    asymmetry: float


def draw_person(rng: np.random.Generator) -> Person:
    """Draws one person; equal generators give equal people."""

    def around(mean: float, spread: float) -> float:
        return float(mean + spread * np.clip(rng.standard_normal(), -2.0, 2.0))

    tone = rng.uniform(0, len(_SKINS) - 1.001)
    lighter, darker = from_srgb(*_SKINS[int(tone)]), from_srgb(*_SKINS[int(tone) + 1])
    skin = lighter + (darker - lighter) * np.float32(tone % 1)
    skin = skin * colour(around(1, 0.03), 1, around(1, 0.04))
    # Dark skin goes with dark hair and eyes, since the opposite looks like a rendering error.
    dark = tone > 3.2
    hair = from_srgb(*_HAIRS[int(rng.integers(3 if dark else len(_HAIRS)))])
    iris = from_srgb(*_IRISES[int(rng.integers(2 if dark else len(_IRISES)))])
    masculine = rng.random() < 0.5
    styles: tuple[Hair, ...] = (
        ("short", "short", "receding", "bald", "short")
        if masculine
        else ("long", "bob", "bun", "long", "short")
    )
    redness = colour(around(0.88, 0.05), around(0.55, 0.06), around(0.57, 0.06))
    bearded = masculine and rng.random() < 0.55
    long_face = around(0, 0.04)
    jaw = around(0.05 if masculine else -0.03, 0.05)
    outline = np.asarray(
        [
            1.36 + long_face + around(0, 0.03),  # chin
            1.2 + 0.9 * jaw + 0.8 * long_face,
            1.0 + jaw,
            0.965 + 0.5 * jaw + around(0, 0.02),  # below the ear
            0.96 + around(0, 0.025),  # cheek
            1.09 + around(0, 0.025),  # temple
            1.32 + 0.5 * long_face + around(0, 0.02),
            1.38 + long_face,  # crown
        ],
        np.float32,
    )
    return Person(
        seed=int(rng.integers(2**31)),
        outline=outline,
        skin=skin,
        hair=hair,
        iris=iris,
        lips=skin * redness,
        hair_style=styles[int(rng.integers(len(styles)))],
        hair_volume=max(0.04, around(0.13, 0.05)),
        hairline=around(-0.86, 0.06),
        parting=around(0, 0.35),
        eye_spacing=around(0.415, 0.02),
        eye_height=around(-0.1, 0.025),
        eye_width=around(0.215, 0.014),
        eye_open=around(0.078, 0.01),
        eye_slant=around(0.012, 0.014),
        brow_height=around(0.2, 0.02),
        brow_thickness=around(0.055 if masculine else 0.04, 0.01),
        brow_tilt=around(0.02, 0.03),
        nose_length=around(0.45, 0.035),
        nose_width=around(0.2, 0.022),
        nose_relief=around(1.0, 0.15),
        mouth_height=around(0.81, 0.03),
        mouth_width=around(0.385, 0.03),
        smile=around(0.042, 0.022),
        lip_upper=around(0.085, 0.015),
        lip_lower=around(0.115, 0.018),
        cheekbones=around(1.0, 0.3),
        wrinkles=max(0.0, around(0.45, 0.35)),
        freckles=float(rng.choice([0, 0, 0.3, 1.0])) if not dark else 0.0,
        beard=float(rng.uniform(0.25, 1.0)) if bearded else 0.0,
        blotches=max(0.3, around(1.0, 0.3)),
        oiliness=max(0.2, around(0.8, 0.3)),
        asymmetry=around(0, 0.012),
    )
