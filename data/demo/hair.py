"""Paints hair: strands that run from the crown, in the cut that the person wears."""

from __future__ import annotations

import numpy as np

from data.demo.light import Light
from data.demo.person import Person
from data.demo.texture import Picture, Plane, clouds, mix, ramp


def paint_hair(
    person: Person,
    rng: np.random.Generator,
    *,
    u: Plane,
    v: Plane,
    distance: Plane,
    picture: Picture,
    alpha: Plane,
    light: Light,
) -> tuple[Picture, Plane]:
    """Lays hair around and over a painted face; returns picture and alpha with it.

    Args:
        person, rng, light: whose hair, source of the strands, what lights it.
        u, v: (H, W) face coordinates to the right and down.
        distance: (H, W) distance from the middle of the face, 1 on its outline.
        picture, alpha: (3, H, W) linear, the face and ears; (H, W) where it holds something.
    """
    strands = _strands(person, rng, u, v)
    if person.hair_style == "bald":
        return picture, alpha
    ragged = 0.03 * np.clip(strands, -2, 2)
    colour = _colour(person, strands, u, v, light)

    # Behind the face: what hangs down beside the neck, or only a rim around the skull.
    hanging = {"long": 1.55, "bob": 0.85}.get(person.hair_style)
    rim = 1 + person.hair_volume
    skull = ramp(distance + 0.6 * ragged, rim + 0.03, rim - 0.03) * ramp(v, 0.1, -0.15)
    behind = skull
    if hanging is not None:
        width = 0.97 + person.hair_volume + 0.14 * ramp(v, -0.2, 1.3) + ragged
        curtain = ramp(np.abs(u), width + 0.04, width - 0.04)
        neck = ramp(np.abs(u), 0.36, 0.5) + ramp(v, 0.75, 0.4)
        curtain = curtain * np.clip(neck, 0, 1) * ramp(v + ragged, hanging + 0.08, hanging - 0.08)
        behind = np.maximum(behind, curtain * ramp(v, -0.3, -0.05))
    picture = mix(colour * 0.6, picture, alpha)
    total = np.maximum(behind, alpha)

    # In front: from the hairline up, lower at the temples, parted for longer cuts.
    recede = 0.16 if person.hair_style == "receding" else 0.0
    parted = person.parting * 0.25 * u if hanging is not None else 0.0
    temple = np.abs(u) ** 2.6 * (0.62 if hanging is None else 0.8)
    dip = recede * np.exp(-(((np.abs(u) - 0.5) / 0.22) ** 2)) * -2
    hairline = person.hairline - recede + temple + dip + parted + 0.9 * ragged
    front = ramp(v, hairline + 0.035, hairline - 0.035) * skull
    if hanging is not None:
        # Strands that frame the face and cover the ears.
        side = ramp(np.abs(u), 0.8 + 0.04 * v + ragged, 0.92 + 0.04 * v + ragged)
        front = np.maximum(front, side * behind)
    # Hair shades the skin just under it.
    shade = ramp(v, hairline + 0.2, hairline - 0.02) * alpha
    picture = picture * (1 - 0.38 * shade * (1 - front))
    return mix(picture, colour, front), np.maximum(total, front).astype(np.float32)


def _strands(person: Person, rng: np.random.Generator, u: Plane, v: Plane) -> Plane:
    """Noise that is long along the hair and fine across it, (H, W) with deviation about 1."""
    grain = clouds(rng, 96, 720, ((1.3, 0.6), (3.5, 0.6), (11, 0.5)))  # (along, across)
    crown = (person.parting * 0.5, -1.85)
    angle = np.arctan2(u - crown[0], v - crown[1])
    along = np.hypot(u - crown[0], v - crown[1])
    # Below the temples hair falls straight, so the lines turn from rays into verticals.
    falling = ramp(v, -0.5, 0.2)
    across = (1 - falling) * angle * 0.95 + falling * (u + 0.04 * np.sin(v * 5 + 3 * u)) * 1.1
    column = np.clip(360 + across * 200, 0, 719).astype(np.intp)
    row = np.clip(along * 26, 0, 95).astype(np.intp)
    strands: Plane = grain[row, column]
    return strands


def _colour(person: Person, strands: Plane, u: Plane, v: Plane, light: Light) -> Picture:
    """Lights the hair: a broad band of gloss across the strands, darker away from the light."""
    toward = u * light.direction[0] + (v + 0.6) * light.direction[1]
    body = np.clip(0.85 + 0.35 * toward, 0.35, 1.4) * (1 + 0.2 * strands)
    sheen = np.exp(-(((toward - 0.55 + 0.12 * strands) / 0.22) ** 2))
    base = person.hair * np.clip(body, 0.2, 2) * (light.key + light.ambient)
    shine = (0.35 * person.hair + 0.012) * light.key
    lit: Picture = (base + sheen * shine).astype(np.float32)
    return lit
