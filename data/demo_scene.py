"""Everything around the head: background, shoulders, and the camera with its noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from data.demo_person import Person
from data.demo_portrait import Light
from data.demo_texture import Plane, clouds, enlarge, mix, ramp, to_srgb

MARGIN = 24
"""Pixels that background and shoulders reach beyond the frame, for the motion of the camera."""


@dataclass(frozen=True, kw_only=True)
class Camera:
    """How the camera sees: drawn for every take alike, so it says nothing about the label.

    Attributes:
        noise: standard deviation of the sensor's noise, display values.
        blur: radius of the lens's blur in pixels.
        gain: (3,) white balance.
        flicker: relative change of exposure from frame to frame.
        shake: pixels of hand motion.
    """

    noise: float
    blur: float
    gain: NDArray[np.float32]
    flicker: float
    shake: float


def draw_camera(rng: np.random.Generator) -> Camera:
    """Draws a camera."""
    return Camera(
        noise=float(np.exp(rng.uniform(np.log(1.5), np.log(8.0)))),
        blur=float(rng.uniform(0.0, 0.8)),
        gain=(1 + 0.04 * rng.standard_normal(3)).astype(np.float32),
        flicker=float(rng.uniform(0.0, 0.008)),
        shake=float(rng.uniform(0.0, 1.2)),
    )


def paint_background(rng: np.random.Generator, *, width: int, height: int) -> NDArray[np.uint8]:
    """Paints a room out of focus, (height + 2 MARGIN, width + 2 MARGIN, 3) uint8."""
    rows, columns = height // 2 + MARGIN, width // 2 + MARGIN  # half size: it is blurred anyway
    colour = rng.uniform(0.03, 0.45) * (1 + 0.22 * rng.standard_normal((1, 1, 3)))
    light = 1 + clouds(rng, rows, columns, ((80, 0.3), (40, 0.12)))
    room = np.clip(colour * light[..., None], 0.01, 0.9).astype(np.float32)
    x = np.arange(columns, dtype=np.float32)[None] + np.zeros((rows, 1), np.float32)
    y = np.arange(rows, dtype=np.float32)[:, None] + np.zeros((1, columns), np.float32)
    for _ in range(int(rng.integers(3, 9))):  # shelves, windows, door frames
        left, top = rng.uniform(-20, columns), rng.uniform(-20, rows)
        wide, tall = rng.uniform(8, columns / 2), rng.uniform(8, rows * 0.8)
        tint = (rng.uniform(0.02, 0.7) * (1 + 0.3 * rng.standard_normal(3))).astype(np.float32)
        inside = ramp(x, left, left + 1) * ramp(x, left + wide, left + wide - 1)
        inside = inside * ramp(y, top, top + 1) * ramp(y, top + tall, top + tall - 1)
        room = mix(room, np.clip(tint, 0.01, 0.95), 0.75 * inside)
    room = room * (1 + clouds(rng, rows, columns, ((2, 0.1), (7, 0.1))))[..., None]
    picture = Image.fromarray(to_srgb(np.clip(room, 0, 1)).astype(np.uint8))
    picture = picture.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.8, 3.0))))
    size = (width + 2 * MARGIN, height + 2 * MARGIN)
    return np.asarray(picture.resize(size, Image.Resampling.BILINEAR))


def paint_body(
    rng: np.random.Generator,
    person: Person,
    light: Light,
    *,
    width: int,
    height: int,
    unit: float,
    centre: tuple[float, float],
) -> NDArray[np.uint8]:
    """Paints neck and shoulders, (height + 2 MARGIN, width + 2 MARGIN, 4) premultiplied uint8.

    Args:
        rng: source of the clothes.
        person: whose neck.
        light: what lights them.
        width: of the frame in pixels.
        height: of the frame in pixels.
        unit: pixels to one face unit.
        centre: where the head rests in the frame, in pixels.
    """
    rows, columns = height + 2 * MARGIN, width + 2 * MARGIN
    x = (np.arange(columns, dtype=np.float32) - MARGIN - centre[0]) / unit
    y = (np.arange(rows, dtype=np.float32) - MARGIN - centre[1]) / unit
    u, v = (plane.astype(np.float32) for plane in np.meshgrid(x, y))
    edge = 1.3 / unit
    lit = light.key * 0.75 + light.ambient
    side = light.direction[0]
    # The neck is a column, darkest right under the chin.
    girth = 0.52 + 0.1 * ramp(v, 1.3, 1.7)
    across = np.clip(u / girth, -1, 1)
    turn = np.sqrt(1 - across**2)
    shade = np.clip(0.4 + 0.5 * turn + 0.35 * side * across, 0.1, 1.3)
    shade = shade * (1 - 0.55 * ramp(v, 1.75, 1.1))
    grain = 1 + clouds(rng, rows, columns, ((2, 0.03), (7, 0.04), (20, 0.05)))
    neck = person.skin * (shade * grain)[..., None] * lit
    neck_alpha = ramp(np.abs(u), girth + edge, girth - edge) * ramp(v, 0.2, 0.4)
    # Shoulders slope away from the collar.
    slope = 1.62 + 0.1 * np.abs(u) ** 1.5 + 0.16 * ramp(np.abs(u), 1.5, 2.3)
    collar = 1.95 - 0.5 * ramp(np.abs(u), 0.1, 0.75) * rng.uniform(0.5, 1.0)
    top = np.maximum(slope, collar).astype(np.float32)
    cloth_colour = rng.uniform(0.02, 0.4) * np.clip(1 + 0.35 * rng.standard_normal(3), 0.2, 2)
    folds = clouds(rng, rows, columns, ((30, 0.12), (9, 0.05)))
    weave = clouds(rng, rows, columns, ((1.1, 0.06), (2.2, 0.04)))
    if rng.random() < 0.4:
        weave = weave + 0.25 * np.sign(np.sin(v * rng.uniform(12, 40)))
    form = 0.75 + 0.25 * side * np.clip(u, -1.5, 1.5) - 0.25 * ramp(v, top + 0.15, top)
    cloth = (
        cloth_colour.astype(np.float32) * np.clip(form * (1 + folds + weave), 0.05, 2)[..., None]
    )
    cloth_alpha = ramp(v, top - edge, top + edge)
    picture = mix(neck, cloth * lit, cloth_alpha)
    alpha = np.maximum(neck_alpha, cloth_alpha)
    return premultiply(to_srgb(np.clip(picture, 0, None)), alpha)


def premultiply(picture: NDArray[np.float32], alpha: Plane) -> NDArray[np.uint8]:
    """Joins a picture (H, W, 3) 0..255 and its alpha (H, W) 0..1 into (H, W, 4) uint8.

    Colours are multiplied by alpha, so that filters do not pull in colours from outside.
    """
    joined = np.empty((*alpha.shape, 4), np.uint8)
    joined[..., :3] = np.clip(picture, 0, 255) * alpha[..., None] + 0.5
    joined[..., 3] = alpha * 255 + 0.5
    return joined


class Sensor:
    """Turns clean frames into what the camera records."""

    def __init__(
        self, rng: np.random.Generator, camera: Camera, *, width: int, height: int
    ) -> None:
        self._rng, self._camera = rng, camera
        self._size = (height, width)
        # One plate of noise, shifted at random for each frame: new Gaussians for every frame
        # would cost as much as all the rest of the picture.
        rows, columns = height + 64, width + 64
        plate = rng.standard_normal((rows, columns, 3), dtype=np.float32)
        coarse = rng.standard_normal((rows // 2, columns // 2), dtype=np.float32)
        plate += 0.7 * enlarge(coarse, rows, columns)[..., None]
        self._plate = plate * np.float32(camera.noise / 1.2)

    def record(self, frame: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Returns the frame (H, W, 3), values 0..255, with blur, exposure and noise as uint8."""
        camera, rng = self._camera, self._rng
        height, width = self._size
        if camera.blur > 0.15:
            blurred = Image.fromarray(np.clip(frame, 0, 255).astype(np.uint8))
            frame = np.asarray(blurred.filter(ImageFilter.GaussianBlur(camera.blur)), np.float32)
        gain = camera.gain * np.float32(1 + camera.flicker * rng.standard_normal())
        top, left = (int(value) for value in rng.integers(0, 64, 2))
        noise = self._plate[top : top + height, left : left + width]
        if rng.random() < 0.5:
            noise = noise[:, ::-1]
        # Display values are compressed light, so shadows show more of the noise than highlights.
        exposed = frame * gain
        exposed = exposed + noise * (1.2 - exposed * np.float32(0.4 / 255))
        return np.clip(exposed + 0.5, 0, 255).astype(np.uint8)
