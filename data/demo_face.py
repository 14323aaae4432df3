"""Puts head, shoulders, background and camera together into the frames of one take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.demo_motion import Performance
from data.demo_portrait import CENTRE, SIZE, UNIT, Portrait
from data.demo_scene import (
    MARGIN,
    Sensor,
    draw_camera,
    paint_background,
    paint_body,
    premultiply,
)
from data.demo_texture import Plane

CELL = 12
"""Side in pixels of the cells of the mesh that turns the head."""


@dataclass(frozen=True, kw_only=True)
class Shot:
    """The frame that a take is rendered into: pixels and head size."""

    width: int
    height: int

    @property
    def unit(self) -> float:
        """Pixels to one face unit when the head rests: the face fills half of the height."""
        return self.height * 0.272

    @property
    def centre(self) -> tuple[float, float]:
        """Where the head rests, in pixels."""
        return (self.width * 0.5, self.height * 0.5)


def render(
    portrait: Portrait,
    performance: Performance,
    picture_at: Callable[[int], NDArray[np.float32]],
    shot: Shot,
    rng: np.random.Generator,
) -> Iterator[NDArray[np.uint8]]:
    """Renders a take frame by frame.

    Args:
        portrait: whose head, shape and light.
        performance: what it does, T frames.
        picture_at: gives the painted face (SIZE, SIZE, 3) of a frame: the person's own, or a
            rendered forgery of it.
        shot: size of the frames.
        rng: source of scene and camera.

    Yields:
        T frames (height, width, 3) uint8 RGB.
    """
    background = Image.fromarray(paint_background(rng, width=shot.width, height=shot.height))
    body = paint_body(
        rng,
        portrait.person,
        portrait.light,
        width=shot.width,
        height=shot.height,
        unit=shot.unit,
        centre=shot.centre,
    )
    shoulders = Image.frombuffer("RGBX", (body.shape[1], body.shape[0]), body.tobytes())
    camera = draw_camera(rng)
    sensor = Sensor(rng, camera, width=shot.width, height=shot.height)
    wander = np.cumsum(rng.standard_normal((len(performance.yaw), 2)), axis=0)
    wander = camera.shake * wander / np.sqrt(1 + np.arange(len(wander)))[:, None]
    turn = _Turn(portrait.relief, shot)
    for index in range(len(performance.yaw)):
        hand = (float(wander[index, 0]), float(wander[index, 1]))
        frame = _shift(background, hand, shot)[..., :3]
        lean = (
            hand[0] + 0.55 * shot.unit * float(performance.right[index]),
            hand[1] + 0.45 * shot.unit * float(performance.down[index]),
        )
        frame = _over(frame, _shift(shoulders, lean, shot))
        head = premultiply(picture_at(index), portrait.alpha)
        frame = _over(frame, turn(head, performance, index, hand))
        yield sensor.record(frame)


def _shift(layer: Image.Image, by: tuple[float, float], shot: Shot) -> NDArray[np.float32]:
    """Cuts the frame out of a larger layer that moved by `by` pixels, (H, W, C) float32."""
    x, y = (float(np.clip(value, -MARGIN + 1, MARGIN - 1)) for value in by)
    moved = layer.transform(
        (shot.width, shot.height),
        Image.Transform.AFFINE,
        (1, 0, MARGIN - x, 0, 1, MARGIN - y),
        Image.Resampling.BILINEAR,
    )
    return np.asarray(moved, np.float32)


def _over(below: NDArray[np.float32], above: NDArray[np.float32]) -> NDArray[np.float32]:
    """Lays a premultiplied layer (H, W, 4) over a picture (H, W, 3)."""
    return below * (1 - above[..., 3:] * np.float32(1 / 255)) + above[..., :3]


class _Turn:
    """Moves the painted head into the frame as a mesh, nearer parts further than farther ones."""

    def __init__(self, relief: Plane, shot: Shot) -> None:
        self._relief, self._shot = relief, shot
        self._columns = np.append(np.arange(0, shot.width, CELL), shot.width)
        self._rows = np.append(np.arange(0, shot.height, CELL), shot.height)
        self._x, self._y = np.meshgrid(
            self._columns.astype(np.float32), self._rows.astype(np.float32)
        )
        self._boxes = [
            (int(left), int(top), int(right), int(bottom))
            for top, bottom in zip(self._rows[:-1], self._rows[1:], strict=True)
            for left, right in zip(self._columns[:-1], self._columns[1:], strict=True)
        ]

    def __call__(
        self,
        head: NDArray[np.uint8],
        performance: Performance,
        index: int,
        hand: tuple[float, float],
    ) -> NDArray[np.float32]:
        shot = self._shot
        yaw, pitch, roll = (
            float(series[index])
            for series in (performance.yaw, performance.pitch, performance.roll)
        )
        size = shot.unit * float(performance.scale[index])
        x = (self._x - shot.centre[0] - hand[0]) / size - float(performance.right[index])
        y = (self._y - shot.centre[1] - hand[1]) / size - float(performance.down[index])
        # The head rolls about the neck, not about the nose.
        pivot = 1.3
        y = y - pivot
        u = x * np.cos(roll) + y * np.sin(roll)
        v = y * np.cos(roll) - x * np.sin(roll) + pivot
        depth = self._depth(u, v)
        # Back from the turned head to the painted one; the surface is nearly level at this scale,
        # so one step of the fixed point is enough.
        u = (u - depth * np.sin(yaw)) / np.cos(yaw)
        v = (v - depth * np.sin(pitch)) / np.cos(pitch)
        x, y = u * UNIT + CENTRE[0], v * UNIT + CENTRE[1]
        corners = np.stack(
            [
                x[:-1, :-1], y[:-1, :-1], x[1:, :-1], y[1:, :-1],
                x[1:, 1:], y[1:, 1:], x[:-1, 1:], y[:-1, 1:],
            ],
            axis=-1,
        ).reshape(-1, 8)  # fmt: skip
        inside = (
            (corners[:, 0::2].max(1) > 0)
            & (corners[:, 0::2].min(1) < SIZE)
            & (corners[:, 1::2].max(1) > 0)
            & (corners[:, 1::2].min(1) < SIZE)
        )
        mesh = [
            (box, quad)
            for box, quad, wanted in zip(self._boxes, corners.tolist(), inside, strict=True)
            if wanted
        ]
        painted = Image.frombuffer("RGBX", (SIZE, SIZE), head.tobytes())
        turned = painted.transform(
            (shot.width, shot.height), Image.Transform.MESH, mesh, Image.Resampling.BILINEAR
        )
        return np.asarray(turned, np.float32)

    def _depth(self, u: NDArray[np.float32], v: NDArray[np.float32]) -> NDArray[np.float32]:
        """Height of the relief at points of the face, 0 outside."""
        column = np.clip(u * UNIT + CENTRE[0], 0, SIZE - 1).astype(np.intp)
        row = np.clip(v * UNIT + CENTRE[1], 0, SIZE - 1).astype(np.intp)
        return self._relief[row, column]
