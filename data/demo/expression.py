"""Draws expressions on a painted portrait: open eyes and mouth, frame by frame.

Only small windows of the picture change, so one frame costs about a millisecond.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.demo.portrait import CENTRE, SIZE, UNIT, Portrait, face_grid, mouth_line
from data.demo.texture import Picture, Plane, bump, clouds, colour, mix, ramp, to_srgb


@dataclass(frozen=True, kw_only=True)
class Expression:
    """What the face does in one frame."""

    eyes_open: float  # 0 closed to 1 wide open, both eyes
    gaze: tuple[float, float]  # where the eyes look, right and down, about -1 to 1
    mouth_open: float  # 0 closed to 1 as wide as speech gets
    mouth_wide: float  # -1 pursed to 1 spread
    brow_raise: float  # 0 to 1


class Face:
    """A portrait with the windows of eyes and mouth prepared for animation."""

    def __init__(self, portrait: Portrait) -> None:
        self.portrait = portrait
        self._eyes = tuple(_Eye(portrait, side) for side in (-1.0, 1.0))
        self._mouth = _Mouth(portrait)

    def show(self, expression: Expression) -> Picture:
        """Returns the picture (3, SIZE, SIZE) float32 0..255 with the expression on it."""
        picture = self.portrait.picture.copy()
        for eye in self._eyes:
            eye.paint(picture, expression)
        self._mouth.paint(picture, expression)
        return picture


def _window(left: float, right: float, top: float, bottom: float) -> tuple[slice, slice]:
    """Rows and columns of a rectangle given in face units."""
    return (
        slice(max(0, int(CENTRE[1] + top * UNIT)), min(SIZE, int(CENTRE[1] + bottom * UNIT) + 1)),
        slice(max(0, int(CENTRE[0] + left * UNIT)), min(SIZE, int(CENTRE[0] + right * UNIT) + 1)),
    )


class _Eye:
    """One eye: a ball with an iris, seen between two lids."""

    def __init__(self, portrait: Portrait, side: float) -> None:
        person, light = portrait.person, portrait.light
        self._person, self._side = person, side
        at = side * person.eye_spacing
        self._where = _window(
            at - 0.32, at + 0.32, person.eye_height - 0.24, person.eye_height + 0.2
        )
        u, v = (plane[self._where] for plane in face_grid())
        self._x = ((u - at) * side).astype(np.float32)  # grows towards the temple
        self._y = (v - person.eye_height + person.eye_slant * self._x / 0.2).astype(np.float32)
        rng = np.random.default_rng((person.seed, 7, int(side > 0)))
        self._fibres = clouds(rng, u.shape[0], u.shape[1], ((1.5, 0.25), (3, 0.2)))
        # The corner of the eye is pinker, and the lid casts a shadow from above.
        lit = light.key * np.float32(0.62) + light.ambient
        white = colour(0.62, 0.56, 0.53) * lit
        corner = np.clip(np.abs(self._x) / person.eye_width, 0, 1) ** 2
        self._white = mix(
            np.broadcast_to(white, (3, *u.shape)).astype(np.float32),
            colour(0.4, 0.2, 0.17) * lit,
            0.5 * corner,
        )
        self._iris = person.iris * lit * np.float32(1.25)
        across = np.clip(self._x / person.eye_width, -1, 1)
        self._inside = ramp(np.abs(self._x), person.eye_width + 0.008, person.eye_width - 0.012)
        # The highest point of the upper lid lies a little towards the nose.
        self._arch = (1 - np.abs(across + 0.12 * (1 - across**2)) ** 2.1).astype(np.float32)
        self._sag = (1 - np.abs(across - 0.15 * (1 - across**2)) ** 2.2).astype(np.float32)
        self._highlight = (float(light.direction[0]) * side * 0.05, -0.045)

    def paint(self, picture: Picture, expression: Expression) -> None:
        person, x, y = self._person, self._x, self._y
        gaze = (expression.gaze[0] * 0.05 * self._side, expression.gaze[1] * 0.03)
        height = person.eye_open * (1 + 0.15 * expression.brow_raise)
        low = 0.055 * self._sag
        # The upper lid does nearly all of a blink.
        high = low - (height + 0.055) * self._arch * expression.eyes_open
        high = high + 0.01 * (1 - expression.eyes_open) * self._arch
        soft = 0.011
        seen = ramp(y, high - soft, high + soft) * ramp(y, low + soft, low - soft) * self._inside
        radius = np.hypot(x - gaze[0], y - gaze[1] + 0.012)
        size = 0.098
        ring = ramp(radius, size + 0.012, size - 0.012)
        pupil = ramp(radius, 0.046, 0.032)
        shade = (0.75 + self._fibres + 2.2 * (radius - 0.05)) * ramp(
            radius, size + 0.02, size - 0.03
        )
        ball = mix(self._white, self._iris * np.clip(shade, 0.12, 1.6), ring)
        ball = mix(ball, self._iris * np.float32(0.05), pupil)
        shadow = 1 - 0.6 * ramp(y, high + 0.06, high)
        ball = ball * shadow
        spot = bump(
            x, y, (gaze[0] + self._highlight[0], gaze[1] + self._highlight[1]), (0.018, 0.018)
        )
        ball = mix(ball, colour(1, 1, 1), 0.9 * spot)
        skin = picture[:, *self._where]
        # Lids: a crease above the open eye, a moist rim below, lashes along the upper edge.
        fold = high - 0.052 - 0.012 * self._arch
        open_wide = expression.eyes_open * self._inside
        crease = np.exp(-(((y - fold) / 0.013) ** 2)) * open_wide * (0.3 + 0.7 * self._arch)
        rim = np.exp(-(((y - low - 0.012) / 0.012) ** 2)) * self._inside
        lash = np.exp(-(((y - high + 0.004) / (0.013 + 0.006 * self._arch)) ** 2)) * self._inside
        skin = skin * (1 - 0.42 * crease - 0.16 * rim)
        skin = mix(skin, to_srgb(ball), seen)
        dark = colour(28, 20, 18)
        picture[:, *self._where] = mix(skin, dark, np.clip(0.85 * lash, 0, 0.9))


class _Mouth:
    """The lower face: the lips part, the chin goes down, and teeth and tongue show between."""

    def __init__(self, portrait: Portrait) -> None:
        person, light = portrait.person, portrait.light
        self._person = person
        self._where = _window(-0.72, 0.72, person.mouth_height - 0.3, 1.62)
        self._u, self._v = (plane[self._where] for plane in face_grid())
        self._line = mouth_line(person, self._u)
        self._cheek = bump(self._u, self._v, (0.0, person.mouth_height), (0.42, 9.0))
        lit = light.key * np.float32(0.5) + light.ambient
        self._teeth = to_srgb(colour(0.58, 0.52, 0.43) * lit)
        self._tongue = to_srgb(colour(0.22, 0.065, 0.06) * lit)
        self._dark = to_srgb(colour(0.022, 0.008, 0.008) * lit)

    def paint(self, picture: Picture, expression: Expression) -> None:
        person, u, v, line = self._person, self._u, self._v, self._line
        source = picture[:, *self._where]
        rows, columns = u.shape
        opening = 0.21 * expression.mouth_open
        stretch = 1 + 0.1 * expression.mouth_wide - 0.06 * expression.mouth_open
        # Where along the closed mouth this column shows; lips narrow as the mouth opens.
        width = person.mouth_width * stretch
        arch = np.sqrt(np.clip(1 - (u / width) ** 2, 0, 1))
        upper = line - 0.22 * opening * arch
        lower = line + 0.78 * opening * arch
        up = upper - line
        # Below the lips the skin follows; towards the chin all of it moves as one jaw.
        jaw = 0.62 * opening * self._cheek
        depth = np.clip((v - lower) / 0.35, 0, 1)
        down = (lower - line) * (1 - depth) + jaw * depth * ramp(v, 1.62, 1.3)
        rise = up * ramp(v, person.mouth_height - 0.3, person.mouth_height - 0.04)
        shift = np.where(v > lower, down, np.where(v < upper, rise, 0)).astype(np.float32)
        y = np.clip(np.arange(rows, dtype=np.float32)[:, None] - shift * UNIT, 0, rows - 1.001)
        centre = CENTRE[0] - self._where[1].start
        near = bump(u, v, (0.0, person.mouth_height), (0.5, 0.2))
        x = np.arange(columns, dtype=np.float32)[None] - centre
        x = np.clip(x / (1 + (stretch - 1) * near) + centre, 0, columns - 1.001)
        moved = _sample(source, y, x)
        gap = ramp(v, upper - 0.008, upper + 0.012) * ramp(v, lower + 0.012, lower - 0.008)
        gap = gap * np.float32(min(1.0, expression.mouth_open * 12))
        gap = gap * (np.abs(u) < width)
        inside = np.broadcast_to(self._dark, source.shape).astype(np.float32)
        tongue = ramp(v, lower - 0.09, lower - 0.01) * (0.3 + 0.7 * arch)
        inside = mix(inside, self._tongue, 0.85 * tongue)
        edge = upper + 0.07 * arch
        teeth = ramp(v, edge + 0.012, edge - 0.012) * ramp(np.abs(u), 0.95 * width, 0.5 * width)
        gaps = 1 - 0.07 * np.exp(-((np.sin(u * 27.5) / 0.22) ** 2))
        inside = mix(inside, self._teeth * (0.86 * gaps), 0.92 * teeth)
        shadow = 1 - 0.55 * ramp(v, upper + 0.05, upper)
        picture[:, *self._where] = mix(moved, inside * shadow, gap)


def _sample(source: Picture, y: Plane, x: Plane) -> Picture:
    """Reads a picture at fractional rows and columns, bilinear."""
    top, left = y.astype(np.intp), x.astype(np.intp)
    fy, fx = (y - top).astype(np.float32), (x - left).astype(np.float32)
    stride = source.shape[2]
    flat = source.reshape(3, -1)
    index = top * stride + left
    above = flat[:, index] * (1 - fx) + flat[:, index + 1] * fx
    below = flat[:, index + stride] * (1 - fx) + flat[:, index + stride + 1] * fx
    return above + (below - above) * fy
