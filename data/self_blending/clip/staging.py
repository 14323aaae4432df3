"""Plans a forgery of a clip before its first pixel: moments, outlines, warps, jitter by frame."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from data.self_blending.clip.look import coarsen, grid_of
from data.self_blending.clip.motion import (
    CONTROL,
    RIGID,
    SPARSE_SECONDS,
    eye_moments,
    face_sizes,
    fitting_moments,
    late,
    like_moments,
    missing_frames,
    other_moments,
    series,
)
from data.self_blending.clip.parameters import ForgeryParameters
from data.self_blending.clip.shape import (
    EYES,
    OUTLINES,
    Warp,
    Window,
    apply_affine,
    bumps,
    draw_mask,
    draw_warped,
    fit_affine,
    mesh_places,
    outline,
    window_around,
)

STILL = tuple(place for place, point in enumerate(CONTROL) if point in RIGID or place < 18)
"""Places in CONTROL of the oval and of rigid points, which expressions change little."""


@dataclass(frozen=True, kw_only=True)
class Donor:
    """Another person's clip."""

    frames: NDArray[np.uint8]  # (S, H, W, 3) uint8 RGB
    landmarks: NDArray[np.float32]  # (S, 468, 2) float32, in pixels of its frames


class Staging:
    """Where each frame's forged face comes from and where it goes.

    Args:
        landmarks: (T, 468, 2) float32 of the frames.
        times: (T,) seconds.
        parameters: how.
        donor: whose face a swap shows.
    """

    def __init__(
        self,
        landmarks: NDArray[np.float32],
        times: NDArray[np.float64],
        parameters: ForgeryParameters,
        donor: Donor | None,
    ) -> None:
        self.parameters = parameters
        self.points = landmarks
        self.sizes = face_sizes(landmarks)
        self._donor = donor
        count = len(landmarks)
        dense = count > 1 and float(np.median(np.diff(times))) <= SPARSE_SECONDS
        rngs = np.random.default_rng((parameters.seed, 12)).spawn(8)
        self._noise = rngs[0]
        self._grid = grid_of(rngs[1], parameters.grid_pixels)
        self.missing = missing_frames(rngs[2], times, parameters.missing)
        waves = rngs[3].standard_normal((2, 6)).astype(np.float32)
        self._waves = waves / np.arange(1, 7) ** 1.2 * parameters.ragged
        self._bumps = bumps(rngs[4])
        moving = series(rngs[5], times, parameters.pace, 12)
        self._mask_move = moving[:, 0:2] * parameters.mask_jitter
        self._wave_move = 1 + moving[:, 2:3] * min(0.5, 25 * parameters.mask_jitter)
        self.shade = (
            moving[:, 3:4] * parameters.flicker + moving[:, 4:7] * parameters.colour_flicker
        ).astype(np.float32)
        self.blur_more = np.clip(1 + parameters.blur_flicker * moving[:, 7], 0.0, 2.5)
        self._elastic_move = 1 + 0.3 * moving[:, 8]
        gap = float(np.median(np.diff(times))) if dense else 1.0
        # The parameter is for 25 frames/s: over a longer gap more has moved, and it would smear.
        self.memory = parameters.memory ** (gap * 25) if dense and parameters.memory else 0.0
        lag = parameters.lag_seconds if dense else 0.0
        hold = parameters.hold_seconds if dense else 0.0
        self._moments = self._choose(times, late(times, lag, hold))
        # A donor's eyes are frozen, or repeated, at moments of the donor's clip.
        self._source = landmarks if donor is None else donor.landmarks
        source_times = times if donor is None else np.arange(len(self._source)) / 25
        self._eyes = eye_moments(rngs[6], self._source, source_times, parameters.eyes)
        if self._eyes is not None:
            eyes = self._eyes[np.arange(count) % len(self._eyes)]
            self._eyes = fitting_moments(landmarks, self._source, eyes, self._moments)
        self._turns = moving[:, 9] * parameters.turn_jitter_degrees + parameters.turn_degrees
        drift = rngs[7].standard_normal(2)
        drift *= parameters.drift / max(float(np.linalg.norm(drift)), 1e-6)
        span = (times - times[0]) / max(float(times[-1] - times[0]), 1e-6)
        self._shifts = moving[:, 10:12] * parameters.face_jitter + span[:, None] * drift
        self._shifts += np.asarray([parameters.shift_x, parameters.shift_y])
        self._lines()
        self._warps()

    def _choose(self, times: NDArray[np.float64], late_by: NDArray[np.int64]) -> NDArray[np.int64]:
        """The source's moment of each frame."""
        if self._donor is not None:
            return like_moments(self.points, self._donor.landmarks)[late_by]
        if self.parameters.method == "reenact" and len(times) > 2:
            found = other_moments(self.points, times)[late_by]
            return fitting_moments(self.points, self.points, found, late_by)
        return late_by

    def _lines(self) -> None:
        """The masks' outlines, by frame."""
        self.outlines: list[list[NDArray[np.float32]]] = []
        for index, points in enumerate(self.points):
            size = self.sizes[index]
            move = self._mask_move[index] * size
            waves = (self._waves * self._wave_move[index] * size).astype(np.float32)
            self.outlines.append(
                [
                    outline(points[list(one)], grow=self.parameters.grow * size, waves=waves) + move
                    for one in OUTLINES[self.parameters.region]
                ]
            )

    def _warps(self) -> None:
        """Where the source's points go, and the splines that take them there."""
        parameters, control = self.parameters, list(CONTROL)
        source = self._source
        to = self.points[:, control].copy()
        back = source[self._moments][:, control]
        self._source_sizes = face_sizes(source)
        taken = self._moments_expression(to, back)
        for index in range(len(to)):
            angle = np.deg2rad(self._turns[index])
            turn = np.array(
                [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
            ) * np.array([parameters.scale_x, parameters.scale_y])
            centre = taken[index].mean(0)
            shift = self._shifts[index] * self.sizes[index]
            to[index] = (taken[index] - centre) @ turn + centre + shift
        self._to = to.astype(np.float32)
        self._warp = Warp(self._to, back, self.sizes)
        if self._eyes is not None:
            self._eye_warp = Warp(self._eye_places(source), source[self._eyes][:, control],
                                  self.sizes)  # fmt: skip

    def _moments_expression(
        self, to: NDArray[np.float32], back: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """The frames' points with the source's expression, or with its shape, (T, K, 2)."""
        share = self.parameters.expression
        if not share:
            return to
        if self._donor is not None:
            share *= 0.35  # the donor's shape shows, within the host's face
        taken = to.copy()
        still = list(STILL)
        for index in range(len(to)):
            matrix = fit_affine(back[index][still], to[index][still])
            shape = apply_affine(back[index], matrix)
            taken[index] += share * (shape - to[index])
            # The jaw's line follows the mouth by half: its mask ends there.
            taken[index][:18] = 0.5 * (taken[index][:18] + to[index][:18])
        return taken

    def _eye_places(self, source: NDArray[np.float32]) -> NDArray[np.float32]:
        """Where the points of the eyes' own moment go, (T, K, 2), with lids as in that moment."""
        assert self._eyes is not None  # noqa: S101
        places = np.empty_like(self._to)
        for index, moment in enumerate(self._eyes):
            seen = source[moment][list(CONTROL)]
            upper = [place for place in STILL if CONTROL[place] in RIGID] or list(STILL)
            matrix = fit_affine(seen[upper], self._to[index][upper])
            places[index] = apply_affine(seen, matrix)
        return places

    def window(self, index: int, width: int, height: int) -> Window | None:
        """The part of a frame that is forged; None if the face is outside of the frame."""
        margin = 3 * self.parameters.softness * self.sizes[index] + 2
        return window_around(np.concatenate(self.outlines[index]), float(margin), width, height)

    def mask(self, index: int, window: Window) -> NDArray[np.float32]:
        """(h, w) float32 from 0 to 1."""
        return draw_mask(
            self.outlines[index],
            window,
            softness=float(self.parameters.softness * self.sizes[index]),
            inside=self.parameters.edge_inside,
        )

    def face(self, index: int, window: Window, source: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The source's face warped to the frame's, with its detail removed."""
        places = mesh_places(window)
        flat = places.reshape(-1, 2)
        size = float(self._source_sizes[self._moments[index]])
        warped = self._warp(index, flat) + self._elastic(index, flat)
        face = self._draw(source[self._moments[index]], window, warped.reshape(places.shape), size)
        if self._eyes is not None:
            back = self._eye_warp(index, flat).reshape(places.shape)
            eyes = self._draw(source[self._eyes[index]], window, back, size)
            lines = [
                outline(self.points[index][list(one)], grow=float(0.015 * self.sizes[index]),
                        waves=np.zeros((2, 1), np.float32))
                for one in EYES
            ]  # fmt: skip
            mask = draw_mask(lines, window, softness=float(0.012 * self.sizes[index]), inside=False)
            face = np.asarray(cv2.blendLinear(eyes, face, mask, 1 - mask), np.uint8)
        return face

    def _draw(
        self, frame: NDArray[np.uint8], window: Window, back: NDArray[np.float32], size: float
    ) -> NDArray[np.uint8]:
        """Warps the part of a source's frame that is needed, coarsened first."""
        height, width = frame.shape[:2]
        part = window_around(back.reshape(-1, 2), 6.0, width, height)
        if part is None:  # the source's face is outside of its frame
            part = Window(left=0, top=0, width=width, height=height)
        picture = coarsen(np.ascontiguousarray(frame[part.where]), self.parameters, size)
        moved = back - np.asarray([part.left, part.top], np.float32)
        return draw_warped(picture, window, moved, bicubic=self.parameters.warp_bicubic)

    def _elastic(self, index: int, places: NDArray[np.float32]) -> NDArray[np.float32]:
        """The elastic deformation at places (N, 2), pixels of the source."""
        if not self.parameters.elastic:
            return np.zeros_like(places)
        anchors, pushes = self._bumps
        size = self.sizes[index]
        centres = self._to[index][anchors]
        near = ((places[:, None] - centres[None]) ** 2).sum(-1) / (2 * (0.16 * size) ** 2)
        amount = self.parameters.elastic * self._elastic_move[index] * size
        return np.asarray(np.exp(-near) @ pushes * amount, np.float32)

    def remember(
        self,
        index: int,
        window: Window,
        face: NDArray[np.uint8],
        last: NDArray[np.uint8],
        last_window: Window,
    ) -> NDArray[np.uint8]:
        """Mixes in the last forged face, moved to where the face is now."""
        step = Warp(
            self._to[index : index + 1], self._to[index - 1 : index], self.sizes[index : index + 1]
        )
        places = mesh_places(window)
        back = step(0, places.reshape(-1, 2)).reshape(places.shape)
        back -= np.asarray([last_window.left, last_window.top], np.float32)
        moved = draw_warped(last, window, back, bicubic=True)
        return np.asarray(cv2.addWeighted(face, 1 - self.memory, moved, self.memory, 0), np.uint8)

    def texture(self, index: int, window: Window, face: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Adds the grid and the noise."""
        parameters = self.parameters
        if not parameters.grid and not parameters.noise:
            return face
        added = np.zeros((window.height, window.width), np.float32)
        if parameters.grid:
            centre = self._to[index].mean(0)
            rows = np.arange(window.height) + window.top - round(float(centre[1]))
            columns = np.arange(window.width) + window.left - round(float(centre[0]))
            side = len(self._grid) // parameters.grid_pixels * parameters.grid_pixels
            grid = self._grid[np.ix_(rows % side, columns % side)]
            added += np.float32(parameters.grid) * grid
        if parameters.noise:
            noise = self._noise.standard_normal(added.shape, np.float32)
            added += np.float32(parameters.noise) * noise
        # The same on each channel.
        return np.asarray(cv2.add(face, cv2.merge([added] * 3), dtype=cv2.CV_8U), np.uint8)
