"""Rendered forgeries: the faces of the demo's fakes, with the signs that the field knows.

Every method leaves, at a drawn strength, some of: a blending boundary, a colour mismatch, a
resolution mismatch, jitter from frame to frame, and wrong blinking (Rossler et al., 2019; Li et
al., 2018). All of them happen on the painted face, before head motion, camera and encoder, which
are the same for both labels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.demo_expression import Face
from data.demo_motion import Performance, blink, speak
from data.demo_person import Person
from data.demo_portrait import SIZE, Light, Portrait, face_grid, paint_portrait
from data.demo_texture import Plane, clouds, ramp

Method = Literal["swap", "reenactment", "synthesis", "eyes"]
METHODS: tuple[Method, ...] = get_args(Method)
"""swap: another identity's inner face; reenactment: a mouth that says something else; synthesis:
the inner face through a bottleneck of low resolution; eyes: an eye region that never blinks."""


@dataclass(frozen=True, kw_only=True)
class Forgery:
    """How one forgery was made. Offsets are display values, lengths pixels of the painted face.

    Attributes:
        method: see METHODS.
        strength: 0..1, drives the signs below.
        coarseness: factor by which the forged region was shrunk and enlarged again.
        colour: (3,) offset of the forged region.
        contrast: factor on the forged region about its mean.
        softness: width of the blending border.
        jitter: standard deviation of the region's motion from frame to frame.
        flicker: standard deviation of its brightness from frame to frame.
        blinks_per_minute: of the forged eyes.
    """

    method: Method
    strength: float
    coarseness: float
    colour: NDArray[np.float32]
    contrast: float
    softness: float
    jitter: float
    flicker: float
    blinks_per_minute: float


def draw_forgery(rng: np.random.Generator, method: Method) -> Forgery:
    """Draws the signs of one forgery, from hard to see to plain."""
    strength = float(rng.uniform(0.2, 1.0))
    direction = rng.standard_normal(3)
    direction /= np.linalg.norm(direction)
    return Forgery(
        method=method,
        strength=strength,
        coarseness=float(1.15 + 1.5 * strength * rng.uniform(0.5, 1.0)),
        colour=(direction * (2 + 9 * strength * rng.uniform(0.4, 1.0))).astype(np.float32),
        contrast=float(1 + rng.choice([-1, 1]) * 0.12 * strength * rng.uniform(0, 1)),
        softness=float(rng.uniform(4, 10) * (1.6 - strength)),
        jitter=float(0.9 * strength * rng.uniform(0.2, 1.0)),
        flicker=float(2.2 * strength * rng.uniform(0.0, 1.0)),
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
) -> Callable[[int], NDArray[np.float32]]:
    """Returns the forged face of each frame, for `demo_face.render`.

    Args:
        rng: source of jitter and motion.
        forgery: its signs.
        host: the face that is forged.
        donor: whose inner face a swap shows.
        performance: what the host does; the forged region follows it, but for its faults.
        fps: frames per second.
    """
    frames = len(performance.yaw)
    times = np.arange(frames) / fps
    acted = replace(performance, eyes_open=_blinks(rng, forgery, performance, times))
    own = Face(host)
    if forgery.method == "swap":
        pasted = Face(paint_portrait(donor, _other_light(rng, host.light, forgery.strength)))
    else:
        pasted = own
    outside = performance
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
    mask = region(forgery.method, host.person, forgery.softness)
    match = _colour_match(forgery, mask, host.picture, pasted.portrait.picture)
    shake = forgery.jitter * rng.standard_normal((frames, 2))
    pulse = forgery.flicker * rng.standard_normal(frames)
    rough = clouds(rng, SIZE, SIZE, ((5, 1.0),)) * np.float32(1.5 * forgery.strength)
    side = max(8, round(SIZE / forgery.coarseness))

    def picture_at(index: int) -> NDArray[np.float32]:
        below = own.show(outside.expression(index))
        above = match(pasted.show(acted.expression(index))) + np.float32(pulse[index])
        if forgery.method == "synthesis":
            above = above + np.roll(rough, int(index * 7 % SIZE), axis=1)[..., None]
        small = Image.fromarray(np.clip(above, 0, 255).astype(np.uint8))
        small = small.resize((side, side), Image.Resampling.BILINEAR)
        x, y = float(shake[index, 0]), float(shake[index, 1])
        scale = side / SIZE
        large = small.transform(
            (SIZE, SIZE),
            Image.Transform.AFFINE,
            (scale, 0, scale * x, 0, scale, scale * y),
            Image.Resampling.BICUBIC,
        )
        return below + (np.asarray(large, np.float32) - below) * mask[..., None]

    return picture_at


def region(method: Method, person: Person, softness: float) -> Plane:
    """Returns the weight of the forged region on the painted face, (SIZE, SIZE) 0..1."""
    u, v = face_grid()
    edge = softness / SIZE * 3.7  # pixels to face units
    if method == "reenactment":
        shape = np.hypot(u / 0.62, (v - person.mouth_height - 0.08) / 0.42)
        return ramp(shape, 1.0, 1.0 - edge / 0.45)
    if method == "eyes":
        shape = (
            (np.abs(u) / 0.78) ** 4 + (np.abs(v - person.eye_height + 0.03) / 0.3) ** 4
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
    """Blinks of the forged face: its own at a wrong rate; a reenacted mouth leaves them alone."""
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
    forgery: Forgery,
    mask: Plane,
    host: NDArray[np.float32],
    pasted: NDArray[np.float32],
) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Colour transfer onto the host's mean, with the forgery's mismatch left in."""
    weight = (mask / mask.sum())[..., None]
    mean_host = (host * weight).sum((0, 1))
    mean_pasted = (pasted * weight).sum((0, 1))
    gain = np.float32(forgery.contrast) * mean_host / np.maximum(mean_pasted, 8)
    # A gain keeps shadows dark; far beyond this range it would stretch noise as well.
    gain = np.clip(gain, 0.4, 2.5)
    offset = mean_host + forgery.colour - mean_pasted * gain
    return lambda picture: picture * gain + offset
