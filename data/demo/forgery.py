"""Rendered forgeries: the faces of the demo's fakes, with the artefacts of real deepfakes.

Every method leaves, at a drawn strength, some of: a blending boundary, a colour mismatch, a
resolution mismatch, the fine grid of upsampling layers (Odena et al., 2016), jitter from frame to
frame, and wrong blinking (Rossler et al., 2019; Li et al., 2018). They are applied to the painted
face, before head motion, camera and encoder, which are the same for both labels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.demo.expression import Face
from data.demo.light import Light
from data.demo.motion import Performance, blink, speak
from data.demo.person import Person
from data.demo.portrait import UNIT, Portrait, face_grid, paint_portrait
from data.demo.texture import Colour, Picture, Plane, clouds, colour, mix, ramp

Method = Literal["swap", "reenactment", "synthesis", "eyes"]
METHODS: tuple[Method, ...] = get_args(Method)
"""swap: another identity's inner face; reenactment: a mouth that says something else; synthesis:
the inner face through a bottleneck of low resolution; eyes: an eye region that never blinks."""
GRID_PIXELS = 4
"""Period of the grid that the forged region carries, as two upsampling layers leave it."""
RIM = 3
"""Pixels around the forged region: the most that jitter moves it."""


@dataclass(frozen=True, kw_only=True)
class Forgery:
    """How one forgery is made. Colours are display values, lengths pixels of the painted face."""

    method: Method
    strength: float  # 0 to 1, drives the artefacts below
    coarseness: float  # factor by which the forged region is shrunk and enlarged again
    colour: Colour  # offset of the forged region
    grid: float  # amplitude of the upsampling grid
    contrast: float  # factor on the forged region about its mean
    softness: float  # width of the blending border
    jitter: float  # standard deviation of the region's motion from frame to frame
    flicker: float  # standard deviation of its brightness from frame to frame
    blinks_per_minute: float


def draw_forgery(rng: np.random.Generator, method: Method) -> Forgery:
    """Draws the artefacts of one forgery, from hard to see to plain."""
    strength = float(rng.uniform(0.7, 1.0))
    # The smaller the region and the plainer its skin, the fewer pixels show an artefact. There they
    # are stronger, and so is a mouth's grid; otherwise these methods could not be learned from a
    # few dozen people.
    local = method in ("reenactment", "eyes")
    least_coarse, least_mismatch = {"reenactment": (2.4, 11), "eyes": (1.6, 5)}.get(
        method, (1.15, 2)
    )
    direction = rng.standard_normal(3)
    direction /= np.linalg.norm(direction)
    mismatch = least_mismatch + 16 * strength * rng.uniform(0.4, 1.0)
    return Forgery(
        method=method,
        strength=strength,
        coarseness=float(least_coarse + 2.2 * strength * rng.uniform(0.5, 1.0)),
        colour=colour(*direction * mismatch),
        grid=(6 + 7 * strength) * (1.25 if method == "reenactment" else 1.0),
        contrast=float(1 + rng.choice([-1, 1]) * 0.12 * strength * rng.uniform(0, 1)),
        softness=float(rng.uniform(1.5, 5) if local else rng.uniform(4, 10) * (1.6 - strength)),
        jitter=float(1.5 * strength * rng.uniform(0.2, 1.0)),
        flicker=float(3.5 * strength * rng.uniform(0.0, 1.0)),
        blinks_per_minute=0.0 if method == "eyes" else float(rng.choice([0.0, 4.0, 70.0])),
    )


def forge(
    rng: np.random.Generator,
    forgery: Forgery,
    *,
    host: Portrait,
    donor: Person,
    performance: Performance,
    fps: float,
) -> Callable[[int], Picture]:
    """Returns the forged face of each frame, for `compositing.render`.

    A swap shows the donor's inner face. The forged region follows the host's performance, apart
    from the forgery's artefacts.
    """
    frames = len(performance.yaw)
    times = np.arange(frames) / fps
    acted = replace(performance, eyes_open=_blinks(rng, forgery, performance, times))
    own = Face(host)
    if forgery.method == "swap":
        pasted = Face(paint_portrait(donor, _other_light(rng, host.light, forgery.strength)))
    else:
        pasted = own
    if forgery.method == "reenactment":
        # The jaw around the forged mouth still follows the first words.
        acted = replace(performance, mouth_open=speak(rng, times))
    if forgery.method == "eyes":
        still = int(np.argmax(performance.eyes_open))
        gaze = np.zeros(frames, np.float32)
        acted = replace(
            acted,
            gaze_right=gaze + performance.gaze_right[still],
            gaze_down=gaze + performance.gaze_down[still],
        )
    mask, window = _cut(region(forgery.method, host.person, forgery.softness))
    height, width = mask.shape
    match = _colour_match(
        forgery, mask, host.picture[:, *window], pasted.portrait.picture[:, *window]
    )
    shake = forgery.jitter * rng.standard_normal((frames, 2))
    pulse = forgery.flicker * rng.standard_normal(frames)
    rough = clouds(rng, height, width, ((5, 1.0),)) * np.float32(0.7 * forgery.strength)
    down, across = np.mgrid[:height, :width] * (2 * np.pi / GRID_PIXELS)
    grid = (forgery.grid * np.cos(down) * np.cos(across)).astype(np.float32)
    small = (max(8, round(width / forgery.coarseness)), max(8, round(height / forgery.coarseness)))

    def picture_at(index: int) -> Picture:
        picture = own.show(performance.expression(index))
        above = match(pasted.show(acted.expression(index))[:, *window]) + np.float32(pulse[index])
        if forgery.method == "synthesis":
            above = above + np.roll(rough, index * 7, axis=1)
        below = picture[:, *window]
        picture[:, *window] = mix(below, _coarsen(above, small, shake[index]) + grid, mask)
        return picture

    return picture_at


def _coarsen(picture: Picture, small: tuple[int, int], by: NDArray[np.float64]) -> Picture:
    """Shrinks a picture to (width, height) and enlarges it again, moved by (x, y) pixels."""
    _, height, width = picture.shape
    pixels = np.clip(picture, 0, 255).astype(np.uint8).transpose(1, 2, 0)
    shrunk = Image.fromarray(np.ascontiguousarray(pixels)).resize(small, Image.Resampling.BILINEAR)
    # What is enlarged is a box that has moved; a rim as wide as the motion keeps it inside.
    x, y = (float(np.clip(value, -RIM, RIM)) for value in by)
    across, down = small[0] / width, small[1] / height
    moved = shrunk.resize(
        (width - 2 * RIM, height - 2 * RIM),
        Image.Resampling.BICUBIC,
        box=(
            (RIM + x) * across,
            (RIM + y) * down,
            (width - RIM + x) * across,
            (height - RIM + y) * down,
        ),
    )
    coarse = picture.copy()
    coarse[:, RIM:-RIM, RIM:-RIM] = np.asarray(moved, np.float32).transpose(2, 0, 1)
    return coarse


def _cut(mask: Plane) -> tuple[Plane, tuple[slice, slice]]:
    """The part of a mask above 0 with a rim, and its rows and columns."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    window = (
        slice(max(0, int(rows[0]) - RIM), int(rows[-1]) + RIM + 1),
        slice(max(0, int(columns[0]) - RIM), int(columns[-1]) + RIM + 1),
    )
    return mask[window], window


def region(method: Method, person: Person, softness: float) -> Plane:
    """Returns the weight of the forged region on the painted face, (SIZE, SIZE) 0..1."""
    u, v = face_grid()
    edge = softness / UNIT
    if method == "reenactment":
        shape = np.hypot(u / 0.68, (v - person.mouth_height - 0.1) / 0.46)
        return ramp(shape, 1.0, 1.0 - edge / 0.5)
    if method == "eyes":
        shape = (
            (np.abs(u) / 0.8) ** 4 + (np.abs(v - person.eye_height + 0.04) / 0.34) ** 4
        ) ** 0.25
        return ramp(shape.astype(np.float32), 1.0, 1.0 - edge / 0.35)
    tall = np.where(v > 0.3, 0.86, 0.95)
    shape = ((np.abs(u) / 0.8) ** 2.5 + (np.abs(v - 0.3) / tall) ** 2.5) ** 0.4
    return ramp(shape.astype(np.float32), 1.0, 1.0 - edge / 0.8)


def _blinks(
    rng: np.random.Generator,
    forgery: Forgery,
    performance: Performance,
    times: NDArray[np.float64],
) -> NDArray[np.float32]:
    """How far the forged eyes are open: at a wrong rate of blinks, except in a reenactment."""
    if forgery.method == "reenactment":
        return performance.eyes_open
    wide = float(performance.eyes_open.max())
    return blink(rng, times, per_minute=forgery.blinks_per_minute) * np.float32(wide)


def _other_light(rng: np.random.Generator, light: Light, strength: float) -> Light:
    """The donor was filmed elsewhere: the same light, turned a little."""
    turned = light.direction + 0.3 * strength * rng.standard_normal(3)
    turned[2] = abs(turned[2])
    return replace(light, direction=(turned / np.linalg.norm(turned)).astype(np.float32))


def _colour_match(
    forgery: Forgery, mask: Plane, host: Picture, pasted: Picture
) -> Callable[[Picture], Picture]:
    """Colour transfer onto the host's mean, with the forgery's mismatch left in."""
    weight = mask / mask.sum()
    mean_host = (host * weight).sum((1, 2), keepdims=True)
    mean_pasted = (pasted * weight).sum((1, 2), keepdims=True)
    # A gain keeps shadows dark; far beyond this range it would stretch noise as well.
    gain = np.float32(forgery.contrast) * mean_host / np.maximum(mean_pasted, 8)
    gain = np.clip(gain, 0.4, 2.5)
    # Dark skin shows the same offset more, so it shrinks with the brightness.
    mismatch = forgery.colour * (mean_host.mean() / 140)
    offset = mean_host + mismatch - mean_pasted * gain
    return lambda picture: picture * gain + offset
