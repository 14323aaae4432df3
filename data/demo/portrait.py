"""Paints a person's face once, front on, lit from one side, with closed eyes and mouth.

`expression` opens them and `compositing` turns the head. Shading, gloss and pores come from one
relief (a dome with nose, brows, lips and pores), so that they agree with each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.demo.hair import paint_hair
from data.demo.light import Light
from data.demo.person import Person
from data.demo.texture import Picture, Plane, bump, clouds, colour, mix, pair, ramp, to_srgb

SIZE = 272
"""Side of the picture in pixels."""
UNIT = 74.0
"""Pixels of one face unit: about the scale at which the face is shown, so little is resampled."""
CENTRE = (136.0, 140.0)
"""The origin of face coordinates, in pixels."""


@dataclass(frozen=True, kw_only=True)
class Portrait:
    """A painted face."""

    picture: Picture  # (3, SIZE, SIZE) float32, display values 0..255, eyes and mouth closed
    alpha: Plane  # (SIZE, SIZE) float32 0..1, where there is head or hair
    relief: Plane  # (SIZE, SIZE) float32, how far the surface comes forward, in face units
    light: Light  # the light that it was painted under
    person: Person  # who it is


def face_grid() -> tuple[Plane, Plane]:
    """Returns u and v of every pixel, each (SIZE, SIZE) float32 in face units."""
    axis = np.arange(SIZE, dtype=np.float32)
    u, v = np.meshgrid((axis - CENTRE[0]) / UNIT, (axis - CENTRE[1]) / UNIT)
    return u.astype(np.float32), v.astype(np.float32)


def outline_distance(person: Person, u: Plane, v: Plane) -> Plane:
    """Distance from the middle of the head over its radius there: 1 on the outline of the face."""
    # Radii are given at equal angles from the chin (0) to the crown (pi) and joined by cosines,
    # which keep the outline smooth and even about the middle line.
    angles = np.linspace(0, np.pi, len(person.outline))
    orders = np.arange(len(person.outline))
    weights = np.linalg.solve(np.cos(np.outer(angles, orders)), person.outline)
    steps = np.linspace(0, np.pi, 256)
    radii = np.cos(np.outer(steps, orders)) @ weights
    angle = np.arctan2(np.abs(u), v)
    distance: Plane = (np.hypot(u, v) / np.interp(angle, steps, radii)).astype(np.float32)
    return distance


def paint_portrait(person: Person, light: Light) -> Portrait:
    """Paints `person` under `light`."""
    rng = np.random.default_rng(person.seed)
    u, v = face_grid()
    # No face is symmetric: features lean a little to one side.
    leaning = u + person.asymmetry * (1 + v)
    distance = outline_distance(person, u, v)
    relief = _relief(person, leaning, v, distance)
    pores = clouds(rng, SIZE, SIZE, ((1.2, 0.0012), (2.2, 0.0012), (5, 0.0012), (14, 0.0015)))
    albedo = _skin(person, rng, leaning, v)
    skin = _shade(albedo, relief, pores, light, person, leaning, v)
    _brows(person, rng, skin, leaning, v)
    edge = 1.2 / UNIT
    face = ramp(distance, 1 + edge, 1 - edge)
    ears, ear_alpha = _ears(person, albedo, light, u, v)
    picture = mix(ears, skin, face)
    alpha = np.maximum(face, ear_alpha)
    picture, alpha = paint_hair(
        person, rng, u=u, v=v, distance=distance, picture=picture, alpha=alpha, light=light
    )
    return Portrait(
        picture=to_srgb(picture), alpha=alpha, relief=relief, light=light, person=person
    )


def _relief(person: Person, u: Plane, v: Plane, distance: Plane) -> Plane:
    """Builds the surface of the face, (SIZE, SIZE) in face units towards the camera."""
    inside = np.clip(distance, 0, 0.995)
    z = 0.82 * np.sqrt(1 - inside**2.4).astype(np.float32)
    eye = (person.eye_spacing, person.eye_height)
    tip = person.nose_length
    nose = person.nose_relief
    z -= 0.085 * pair(u, v, (eye[0] - 0.02, eye[1] - 0.02), (0.17, 0.1))  # sockets
    z += 0.05 * pair(u, v, eye, (0.11, 0.06))  # the ball under the lid
    z += 0.045 * pair(u, v, (0.36, eye[1] - person.brow_height), (0.24, 0.06))
    z += 0.05 * person.cheekbones * pair(u, v, (0.6, 0.3), (0.17, 0.13))
    slope = ramp(v, -0.3, tip)
    width = 0.07 + 0.055 * slope
    # The nose ends in a ball: its lower edge rises to both sides.
    end = tip - 2.2 * u * u
    below = np.where(v > end, np.exp(-(((v - end) / 0.075) ** 2)), 1.0)
    z += nose * (0.05 + 0.2 * slope) * np.exp(-0.5 * (u / width) ** 2) * below * ramp(v, -0.4, 0.0)
    z += 0.08 * nose * bump(u, v, (0, tip - 0.03), (0.085, 0.08))
    z += 0.075 * pair(u, v, (person.nose_width * 0.8, tip - 0.005), (0.05, 0.055))
    mouth = person.mouth_height
    z += 0.07 * bump(u, v, (0, mouth), (0.33, 0.17))  # the arch of the teeth
    z += 0.035 * bump(u, v, (0, mouth - 0.05), (0.2, 0.032))
    z += 0.045 * bump(u, v, (0, mouth + 0.075), (0.17, 0.04))
    z -= 0.03 * bump(u, v, (0, mouth + 0.17), (0.17, 0.04))
    z += 0.06 * bump(u, v, (0, 1.14), (0.2, 0.12))  # chin
    z -= 0.012 * bump(u, v, (0, mouth - 0.17), (0.03, 0.06))  # philtrum
    fold = np.abs(np.abs(u) - (0.24 + 0.32 * (v - 0.45)))
    z -= (
        (0.006 + 0.012 * person.wrinkles)
        * np.exp(-((fold / 0.035) ** 2))
        * bump(u, v, (0, 0.64), (9.0, 0.13))
    )
    lines = np.cos((v + 0.05 * u * u) * 2 * np.pi / 0.13)
    z += 0.0025 * person.wrinkles * lines * bump(u, v, (0, -0.62), (0.4, 0.12))
    relief: Plane = z.astype(np.float32)
    return relief


def _skin(person: Person, rng: np.random.Generator, u: Plane, v: Plane) -> Picture:
    """Paints the colour of the skin before light, linear."""
    melanin = clouds(rng, SIZE, SIZE, ((2.5, 0.025), (6, 0.03), (18, 0.03), (60, 0.03)))
    blood = clouds(rng, SIZE, SIZE, ((4, 0.03), (11, 0.04), (32, 0.05))) * person.blotches
    tip = person.nose_length
    blood += 0.16 * pair(u, v, (0.52, 0.38), (0.2, 0.16)) + 0.16 * bump(u, v, (0, tip), (0.13, 0.1))
    blood += 0.08 * bump(u, v, (0, 1.15), (0.16, 0.1))
    eyes = (person.eye_spacing, person.eye_height)
    melanin += 0.16 * pair(u, v, (eyes[0] - 0.02, eyes[1] + 0.15), (0.15, 0.045))
    melanin += 0.1 * pair(u, v, (eyes[0], eyes[1] - 0.07), (0.17, 0.05))
    if person.freckles:
        spots = clouds(rng, SIZE, SIZE, ((2.6, 1.0),))
        where = bump(u, v, (0, 0.25), (0.62, 0.22))
        melanin += 0.5 * person.freckles * ramp(spots, 1.1, 2.2) * where
    for _ in range(int(rng.integers(4))):  # moles
        at = (float(rng.uniform(-0.75, 0.75)), float(rng.uniform(-0.6, 1.0)))
        size = float(rng.uniform(0.008, 0.018))
        melanin += 0.9 * bump(u, v, at, (size, size))
    shadow = pair(u, v, (0.55, 0.85), (0.28, 0.32)) + bump(u, v, (0, 1.12), (0.5, 0.24))
    shadow += 0.8 * bump(u, v, (0, person.mouth_height - 0.16), (0.24, 0.055))
    shadow = np.minimum(shadow, 1.0)
    stubble = np.clip(1 + clouds(rng, SIZE, SIZE, ((1.1, 0.5), (2.4, 0.3))), 0, 2.2)
    shadow = shadow * stubble * (1 - bump(u, v, (0, person.mouth_height), (0.27, 0.07)))
    absorbed = melanin * colour(0.9, 1.2, 1.5)
    absorbed = absorbed + blood * colour(0.1, 0.85, 0.75)
    bare = person.skin * np.exp(-absorbed, dtype=np.float32)
    bare = mix(
        bare, 0.5 * person.hair + 0.12 * person.skin, 0.75 * person.beard * np.clip(shadow, 0, 1)
    )
    return _lips(person, rng, bare, u, v)


def _lips(person: Person, rng: np.random.Generator, skin: Picture, u: Plane, v: Plane) -> Picture:
    """Paints lips and the line between them over the skin."""
    beyond = np.abs(u) / person.mouth_width
    across = np.clip(beyond, 0, 1)
    line = mouth_line(person, u)
    bow = 1 - 0.28 * np.exp(-((u / 0.05) ** 2)) + 0.1 * np.exp(-(((np.abs(u) - 0.1) / 0.06) ** 2))
    top = line - person.lip_upper * bow * (1 - across**1.7)
    bottom = line + person.lip_lower * (1 - across**2.2) ** 0.8
    soft = 0.018
    lip = ramp(v, top - soft, top + soft) * ramp(v, bottom + soft, bottom - soft)
    lip = lip * ramp(beyond, 1.0, 0.93)
    grain = clouds(rng, SIZE, SIZE, ((2, 0.05), (6, 0.05)))
    ridges = 0.05 * np.sin(u * 190 + 6 * grain)
    painted = mix(skin, person.lips, 0.9 * lip) * (1 + lip * (ridges + grain))
    seam = np.exp(-(((v - line) / 0.014) ** 2)) * ramp(beyond, 1.08, 0.9)
    corners = pair(u, v, (person.mouth_width, person.mouth_height + 0.01), (0.03, 0.025))
    return mix(painted, 0.16 * person.lips, np.clip(0.8 * seam + 0.5 * corners, 0, 0.9))


def mouth_line(person: Person, u: Plane) -> Plane:
    """Returns v of the line between the closed lips at each u."""
    across = np.clip(np.abs(u) / person.mouth_width, 0, 1.1)
    dip = 0.012 * np.exp(-((u / 0.06) ** 2)) - person.smile * across**2
    line: Plane = (person.mouth_height + dip).astype(np.float32)
    return line


def _shade(
    albedo: Picture,
    relief: Plane,
    pores: Plane,
    light: Light,
    person: Person,
    u: Plane,
    v: Plane,
) -> Picture:
    """Lights the skin: diffuse light, which goes further in red, gloss, and soft shadows."""
    normal = _normals(relief + pores)
    facing = np.tensordot(light.direction, normal, 1)  # (SIZE, SIZE)
    # Red light travels furthest under skin, so the border of the shadow is red.
    wrap = colour(0.36, 0.22, 0.18)
    diffuse = np.clip((facing + wrap) / (1 + wrap), 0, None)
    half = light.direction + np.asarray([0, 0, 1], np.float32)
    half = half / np.linalg.norm(half)
    glint = np.clip(np.tensordot(half, normal, 1), 0, 1)
    oily = 0.5 + bump(u, v, (0, 0.1), (0.16, 0.5)) + 0.8 * bump(u, v, (0, -0.6), (0.4, 0.16))
    gloss = person.oiliness * (0.045 * glint**14 + 0.09 * glint**55) * oily
    side = float(np.sign(light.direction[0]))
    tip = person.nose_length
    cast = 0.4 * bump(u, v, (-side * 0.2, tip - 0.05), (0.08, 0.13))
    cast += 0.28 * bump(u, v, (-side * 0.06, tip + 0.1), (0.14, 0.05))
    nostrils = pair(u, v, (person.nose_width * 0.5, tip + 0.05), (0.036, 0.016))
    hollow = 0.22 * pair(
        u, v, (person.eye_spacing - 0.16, person.eye_height - 0.03), (0.08, 0.08)
    ) + 0.16 * bump(u, v, (0, person.mouth_height + 0.17), (0.15, 0.03))
    reach = np.clip(1 - cast * abs(float(light.direction[0])) * 1.5, 0, 1)
    lit = diffuse * light.key * reach + light.ambient * (0.62 + 0.38 * normal[2])
    shaded = albedo * lit * (1 - hollow) + gloss * reach * light.key
    return mix(shaded, 0.1 * person.skin, np.clip(0.85 * nostrils, 0, 1))


def _normals(relief: Plane) -> NDArray[np.float32]:
    """Surface normals (3, H, W) of a relief in face units."""
    dv, du = np.gradient(relief * np.float32(UNIT))
    length = np.sqrt(du * du + dv * dv + 1)
    return np.stack([-du / length, -dv / length, 1 / length]).astype(np.float32)


def _brows(person: Person, rng: np.random.Generator, skin: Picture, u: Plane, v: Plane) -> None:
    """Paints both eyebrows in place, hair by hair as slanted noise."""
    across = (np.abs(u) - 0.16) / 0.52  # 0 at the inner end, 1 at the outer
    middle = (
        person.eye_height
        - person.brow_height
        - person.brow_tilt * across
        - 0.05 * np.sin(np.clip(across, 0, 1) * np.pi * 0.9)
        + 0.06 * np.clip(across - 0.6, 0, 1)
    )
    thickness = person.brow_thickness * (1.05 - 0.6 * np.clip(across, 0, 1))
    strands = clouds(rng, SIZE, SIZE, ((1.5, 0.35), (3, 0.25)))
    body = np.exp(-(((v - middle) / (thickness * (1 + 0.3 * strands))) ** 2))
    body = body * ramp(across, -0.06, 0.1) * ramp(across, 1.04, 0.8)
    weight = np.clip(body * (0.8 + 0.35 * strands), 0, 0.92).astype(np.float32)
    skin[:] = mix(skin, person.hair * 0.55 + 0.03 * person.skin, weight)


def _ears(
    person: Person, albedo: Picture, light: Light, u: Plane, v: Plane
) -> tuple[Picture, Plane]:
    """Paints the ears, to lie behind the face: linear picture and alpha."""
    at = float(person.outline[4])
    radius = np.hypot((np.abs(u) - at) / 0.115, (v - 0.1 + 0.3 * (np.abs(u) - at)) / 0.26)
    alpha = ramp(radius, 1.06, 0.94)
    rim = (
        0.8 + 0.35 * np.exp(-(((radius - 0.8) / 0.14) ** 2)) - 0.4 * np.exp(-((radius / 0.45) ** 2))
    )
    lit = 0.75 + 0.35 * np.sign(u) * light.direction[0]
    flush = colour(1.0, 0.82, 0.8)
    ears = albedo * flush * (rim * lit) * (0.55 * light.key + light.ambient)
    return ears.astype(np.float32), alpha
