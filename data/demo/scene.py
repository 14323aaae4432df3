"""The surroundings of the head: a room out of focus, neck and shoulders, and the camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from data.demo.light import Light
from data.demo.person import Person
from data.demo.texture import Colour, Picture, Plane, clouds, colour, enlarge, mix, ramp, to_srgb

MARGIN = 24
"""Pixels of background and shoulders beyond the frame, for the motion of the camera."""


@dataclass(frozen=True, kw_only=True)
class Shot:
    """The frame that a take is rendered into."""

    width: int
    height: int

    @property
    def unit(self) -> float:
        """Pixels of one face unit when the head rests: face and hair fill most of the height."""
        return self.height * 0.272

    @property
    def centre(self) -> tuple[float, float]:
        """Where the head rests, in pixels."""
        return (self.width * 0.5, self.height * 0.5)


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A camera, the same for both takes of a person."""

    noise: float  # standard deviation of the sensor's noise, display values
    blur: float  # weight of each neighbour in the lens's blur, 0 (sharp) to 0.33
    gain: Colour  # white balance
    flicker: float  # relative change of exposure from frame to frame
    shake: float  # pixels of hand motion


def draw_camera(rng: np.random.Generator) -> Camera:
    """Draws a camera."""
    return Camera(
        noise=float(np.exp(rng.uniform(np.log(1.5), np.log(7.0)))),
        blur=float(rng.uniform(0.0, 0.2)),
        gain=colour(*(1 + 0.03 * rng.standard_normal(3))),
        flicker=float(rng.uniform(0.0, 0.008)),
        shake=float(rng.uniform(0.0, 1.2)),
    )


def paint_background(rng: np.random.Generator, shot: Shot) -> Picture:
    """Paints a room, (3, height + 2 MARGIN, width + 2 MARGIN), display values."""
    # At half size, since it is out of focus anyway.
    rows, columns = shot.height // 2 + MARGIN, shot.width // 2 + MARGIN
    wall = rng.uniform(0.05, 0.5) * colour(*(1 + 0.1 * rng.standard_normal(3)))
    light = 1 + clouds(rng, rows, columns, ((90, 0.25), (40, 0.1)))
    room: Picture = np.clip(wall * light, 0.01, 0.9).astype(np.float32)
    x, y = np.meshgrid(np.arange(columns, dtype=np.float32), np.arange(rows, dtype=np.float32))
    for _ in range(int(rng.integers(3, 9))):  # shelves, windows, door frames
        left, top = rng.uniform(-20, columns), rng.uniform(-20, rows)
        wide, tall = rng.uniform(8, columns / 2), rng.uniform(8, rows * 0.8)
        tint = rng.uniform(0.03, 0.6) * colour(*(1 + 0.18 * rng.standard_normal(3)))
        inside = ramp(x, left, left + 1) * ramp(x, left + wide, left + wide - 1)
        inside = inside * ramp(y, top, top + 1) * ramp(y, top + tall, top + tall - 1)
        room = mix(room, np.clip(tint, 0.01, 0.95), 0.7 * inside)
    room = room * (1 + clouds(rng, rows, columns, ((2, 0.05), (7, 0.07))))
    # Blurred before it is enlarged: cheap, and no blocks remain.
    pixels = to_srgb(np.clip(room, 0, 1)).astype(np.uint8).transpose(1, 2, 0)
    focus = ImageFilter.GaussianBlur(float(rng.uniform(1.2, 4.0)))
    picture = Image.fromarray(np.ascontiguousarray(pixels)).filter(focus)
    size = (shot.width + 2 * MARGIN, shot.height + 2 * MARGIN)
    large = np.asarray(picture.resize(size, Image.Resampling.BILINEAR), np.float32)
    return np.ascontiguousarray(large.transpose(2, 0, 1))


def paint_body(
    rng: np.random.Generator, person: Person, light: Light, shot: Shot
) -> tuple[Picture, Plane]:
    """Paints neck and shoulders: picture, as large as the background, and alpha."""
    rows, columns = shot.height + 2 * MARGIN, shot.width + 2 * MARGIN
    x = (np.arange(columns, dtype=np.float32) - MARGIN - shot.centre[0]) / shot.unit
    y = (np.arange(rows, dtype=np.float32) - MARGIN - shot.centre[1]) / shot.unit
    u, v = (plane.astype(np.float32) for plane in np.meshgrid(x, y))
    edge = 1.3 / shot.unit
    lit = light.key * np.float32(0.75) + light.ambient
    side = light.direction[0]
    # The neck is a column, darkest right under the chin.
    girth = 0.52 + 0.1 * ramp(v, 1.3, 1.7)
    across = np.clip(u / girth, -1, 1)
    turn = np.sqrt(1 - across**2)
    shade = np.clip(0.4 + 0.5 * turn + 0.35 * side * across, 0.1, 1.3)
    shade = shade * (1 - 0.55 * ramp(v, 1.75, 1.1))
    grain = 1 + clouds(rng, rows, columns, ((2, 0.03), (7, 0.04), (20, 0.05)))
    neck = person.skin * (shade * grain) * lit
    neck_alpha = ramp(np.abs(u), girth + edge, girth - edge) * ramp(v, 0.2, 0.4)
    # Shoulders slope away from the collar.
    slope = 1.52 + 0.1 * np.abs(u) ** 1.5 + 0.16 * ramp(np.abs(u), 1.5, 2.3)
    collar = 1.85 - 0.5 * ramp(np.abs(u), 0.1, 0.75) * rng.uniform(0.5, 1.0)
    top = np.maximum(slope, collar).astype(np.float32)
    dye = rng.uniform(0.02, 0.4) * colour(*np.clip(1 + 0.3 * rng.standard_normal(3), 0.2, 2))
    folds = clouds(rng, rows, columns, ((30, 0.12), (9, 0.05)))
    weave = clouds(rng, rows, columns, ((1.1, 0.06), (2.2, 0.04)))
    if rng.random() < 0.3:
        weave = weave + 0.2 * np.sign(np.sin(v * rng.uniform(12, 40)))
    form = 0.75 + 0.25 * side * np.clip(u, -1.5, 1.5) - 0.25 * ramp(v, top + 0.15, top)
    cloth = dye * np.clip(form * (1 + folds + weave), 0.05, 2)
    cloth_alpha = ramp(v, top - edge, top + edge)
    picture = mix(neck, cloth * lit, cloth_alpha)
    alpha = np.maximum(neck_alpha, cloth_alpha).astype(np.float32)
    return to_srgb(np.clip(picture, 0, None)).astype(np.float32), alpha


class Backdrop:
    """A still layer that slides behind the frame in steps of a quarter of a pixel."""

    def __init__(self, layer: NDArray[np.float32], shot: Shot) -> None:
        self._layer, self._shot = layer, shot
        self._phases: dict[tuple[int, int], NDArray[np.float32]] = {}

    def at(self, x: float, y: float) -> NDArray[np.float32]:
        """Returns the part behind the frame, (C, height, width), with the layer moved by x, y."""
        column, row = (
            int(np.clip(round(4 * (MARGIN - value)), 0, 8 * MARGIN - 4)) for value in (x, y)
        )
        phase = (row % 4, column % 4)
        if phase not in self._phases:
            # There are sixteen; each is made when it is first needed.
            fy, fx = np.float32(phase[0] / 4), np.float32(phase[1] / 4)
            down = self._layer[:, :-1] * (1 - fy) + self._layer[:, 1:] * fy
            across = down[:, :, :-1] * (1 - fx) + down[:, :, 1:] * fx
            self._phases[phase] = across.astype(np.float32, copy=False)
        top, left = row // 4, column // 4
        return self._phases[phase][:, top : top + self._shot.height, left : left + self._shot.width]


class Sensor:
    """Adds the camera's blur, exposure and noise to clean frames."""

    def __init__(self, rng: np.random.Generator, camera: Camera, shot: Shot) -> None:
        self._rng, self._camera, self._shot = rng, camera, shot
        # One plate of noise, shifted at random for each frame: new Gaussians for every frame
        # would cost as much as all the rest of the picture.
        rows, columns = shot.height + 64, shot.width + 64
        plate = rng.standard_normal((3, rows, columns), dtype=np.float32)
        coarse = rng.standard_normal((rows // 2, columns // 2), dtype=np.float32)
        plate += np.float32(0.7) * enlarge(coarse, rows, columns)
        self._plate = plate * np.float32(camera.noise / 1.2)

    def record(self, frame: Picture) -> NDArray[np.uint8]:
        """Returns the clean frame with blur, exposure and noise, (height, width, 3) uint8."""
        camera, rng = self._camera, self._rng
        side, middle = np.float32(camera.blur), np.float32(1 - 2 * camera.blur)
        blurred = frame * middle
        blurred[:, 1:-1] += side * (frame[:, :-2] + frame[:, 2:])
        blurred[:, [0, -1]] += 2 * side * frame[:, [0, -1]]
        across = blurred * middle
        across[:, :, 1:-1] += side * (blurred[:, :, :-2] + blurred[:, :, 2:])
        across[:, :, [0, -1]] += 2 * side * blurred[:, :, [0, -1]]
        across *= camera.gain * np.float32(1 + camera.flicker * rng.standard_normal())
        top, left = (int(value) for value in rng.integers(0, 64, 2))
        noise = self._plate[:, top : top + self._shot.height, left : left + self._shot.width]
        if rng.random() < 0.5:
            noise = noise[:, :, ::-1]
        # Display values are compressed light, so shadows show more of the noise than highlights.
        strength = across * np.float32(-0.4 / 255)
        strength += np.float32(1.2)
        strength *= noise
        across += strength
        np.clip(across, 0, 255, out=across)
        return np.ascontiguousarray(across.astype(np.uint8).transpose(1, 2, 0))
