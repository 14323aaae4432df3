"""Composites head, shoulders and background into the frames of a take, as the camera sees them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from data.demo.motion import Performance
from data.demo.portrait import CENTRE, SIZE, UNIT, Portrait
from data.demo.scene import Backdrop, Camera, Sensor, Shot, paint_background, paint_body
from data.demo.texture import Picture, Plane, enlarge

STEP = 8
"""Pixels between the points at which the turn of the head is computed."""


def render(
    portrait: Portrait,
    performance: Performance,
    picture_at: Callable[[int], Picture],
    camera: Camera,
    shot: Shot,
    rng: np.random.Generator,
) -> Iterator[NDArray[np.uint8]]:
    """Renders a take: yields T frames (height, width, 3) uint8 RGB.

    `picture_at` gives the painted face (3, SIZE, SIZE) of a frame: the person's own, or a rendered
    forgery of it. `rng` is the source of room, clothes and noise.
    """
    room = Backdrop(paint_background(rng, shot), shot)
    clothes, cover = paint_body(rng, portrait.person, portrait.light, shot)
    body = Backdrop(np.concatenate([clothes * cover, cover[None]]), shot)
    sensor = Sensor(rng, camera, shot)
    length = len(performance.yaw)
    steps = rng.standard_normal((length, 2)) * camera.shake / np.sqrt(length)
    hand = np.cumsum(steps, axis=0)  # the camera drifts in the hand
    for index in range(length):
        x, y = float(hand[index, 0]), float(hand[index, 1])
        frame = room.at(x, y).copy()
        # Shoulders follow the head half of the way.
        shoulders = body.at(
            x + 0.55 * shot.unit * float(performance.right[index]),
            y + 0.45 * shot.unit * float(performance.down[index]),
        )
        first = int(np.argmax(shoulders[3].any(axis=1)))
        _lay(frame[:, first:], shoulders[:3, first:], shoulders[3, first:])
        _lay_head(frame, picture_at(index), portrait, performance, index, shot=shot, hand=(x, y))
        yield sensor.record(frame)


def _lay(frame: Picture, layer: Picture, alpha: Plane) -> None:
    """Lays a layer, already multiplied by its alpha 0..1, over the frame in place."""
    frame *= 1 - alpha
    frame += layer


def _lay_head(
    frame: Picture,
    picture: Picture,
    portrait: Portrait,
    performance: Performance,
    index: int,
    *,
    shot: Shot,
    hand: tuple[float, float],
) -> None:
    """Lays the turned head over the frame in place: nearer parts move further than farther ones."""
    yaw, pitch, roll = (
        float(angle[index]) for angle in (performance.yaw, performance.pitch, performance.roll)
    )
    size = shot.unit * float(performance.scale[index])
    middle = (
        shot.centre[0] + hand[0] + size * float(performance.right[index]),
        shot.centre[1] + hand[1] + size * float(performance.down[index]),
    )
    reach = size * 1.75
    left, right = (int(np.clip(middle[0] + way, 0, shot.width)) for way in (-reach, reach))
    top, bottom = (int(np.clip(middle[1] + way, 0, shot.height)) for way in (-reach, reach))
    rows, columns = -(-(bottom - top) // STEP), -(-(right - left) // STEP)
    if rows < 1 or columns < 1:
        return  # the head has left the frame
    # Points on a coarse grid whose cell centres match those of `enlarge`.
    x = (np.arange(columns) + 0.5) * STEP - 0.5 + left - middle[0]
    y = (np.arange(rows) + 0.5) * STEP - 0.5 + top - middle[1]
    x, y = np.meshgrid(x / size, y / size - 1.3)  # it rolls about the neck, not the nose
    u = x * np.cos(roll) + y * np.sin(roll)
    v = y * np.cos(roll) - x * np.sin(roll) + 1.3
    depth = _depth(portrait, u, v)
    # Back from the turned head to the painted one; the surface is nearly level at this scale,
    # so one step of the fixed point is enough.
    u = (u - depth * np.sin(yaw)) / np.cos(yaw)
    v = (v - depth * np.sin(pitch)) / np.cos(pitch)
    across = enlarge((u * UNIT + CENTRE[0]).astype(np.float32), rows * STEP, columns * STEP)
    along = enlarge((v * UNIT + CENTRE[1]).astype(np.float32), rows * STEP, columns * STEP)
    height, width = bottom - top, right - left
    packed = _pack(picture, portrait.alpha)
    head = _sample(packed, along[:height, :width], across[:height, :width])
    _lay(frame[:, top:bottom, left:right], head[:3], head[3] * np.float32(1 / 255))


def _depth(
    portrait: Portrait, u: NDArray[np.float64], v: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Height of the relief at points of the face, (rows, columns)."""
    column = np.clip(u * UNIT + CENTRE[0], 0, SIZE - 1).astype(np.intp)
    row = np.clip(v * UNIT + CENTRE[1], 0, SIZE - 1).astype(np.intp)
    return portrait.relief[row, column].astype(np.float64)


def _pack(picture: Picture, alpha: Plane) -> NDArray[np.uint32]:
    """Joins picture, multiplied by alpha, and alpha into one number a pixel, (H, W) uint32."""
    layers = np.empty((*alpha.shape, 4), np.uint8)
    covered = np.clip(picture, 0, 255)
    covered *= alpha
    covered += np.float32(0.5)
    layers[..., :3] = covered.transpose(1, 2, 0)
    layers[..., 3] = alpha * np.float32(255) + np.float32(0.5)
    packed: NDArray[np.uint32] = layers.view(np.uint32)[..., 0]
    return packed


def _sample(packed: NDArray[np.uint32], y: Plane, x: Plane) -> NDArray[np.float32]:
    """Reads packed pixels at fractional rows and columns, bilinear.

    Two of the four bytes are weighted at a time inside one integer, four times faster than reading
    the four layers as floats: this is the slowest step of a frame.

    Returns:
        (4, H, W) float32 0..255: red, green, blue, alpha.
    """
    x = np.clip(x, 0, SIZE - 1.01)
    y = np.clip(y, 0, SIZE - 1.01)
    left, top = x.astype(np.int32), y.astype(np.int32)
    fx = ((x - left) * np.float32(256)).astype(np.uint32)
    fy = ((y - top) * np.float32(256)).astype(np.uint32)
    flat = packed.ravel()
    index = top * SIZE + left
    # The four weights add up to 256, so a byte times its weights never spills into the next.
    both = (fx * fy) >> 8
    odd = np.uint32(0x00FF00FF)
    low = np.full(x.shape, 0x00800080, np.uint32)
    high = low.copy()
    corners = ((0, 256 + both - fx - fy), (1, fx - both), (SIZE, fy - both), (SIZE + 1, both))
    for offset, weight in corners:
        pixel = flat[index + offset]
        low += (pixel & odd) * weight
        high += ((pixel >> 8) & odd) * weight
    mixed = ((low >> 8) & odd) | (high & ~odd)
    channels = mixed.view(np.uint8).reshape(*x.shape, 4)
    return channels.transpose(2, 0, 1).astype(np.float32)
