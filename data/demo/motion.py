"""Head motion, blinks, glances and speech of a take, as series over time.

Separate from painting, so that a forgery can replace one series, such as the blinks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.demo.expression import Expression

Series = NDArray[np.float32]
"""One value per frame, (T,)."""


@dataclass(frozen=True, kw_only=True)
class Performance:
    """One take, T frames."""

    yaw: Series  # angles of the head in radians
    pitch: Series
    roll: Series
    right: Series  # shift of the head in face units
    down: Series
    scale: Series  # size of the head, about 1
    eyes_open: Series  # 0..1
    gaze_right: Series  # about -1..1
    gaze_down: Series
    mouth_open: Series  # 0..1
    mouth_wide: Series  # -1..1
    brow_raise: Series  # 0..1

    def expression(self, frame: int) -> Expression:
        """The expression in one frame."""
        return Expression(
            eyes_open=float(self.eyes_open[frame]),
            gaze=(float(self.gaze_right[frame]), float(self.gaze_down[frame])),
            mouth_open=float(self.mouth_open[frame]),
            mouth_wide=float(self.mouth_wide[frame]),
            brow_raise=float(self.brow_raise[frame]),
        )


def perform(rng: np.random.Generator, *, frames: int, fps: float) -> Performance:
    """Draws one take of `frames` frames."""
    times = np.arange(frames) / fps
    liveliness = rng.uniform(0.5, 1.2)
    mouth_open = speak(rng, times)
    nods = 0.015 * mouth_open  # the head moves with the voice
    return Performance(
        yaw=_sway(rng, times, 0.16 * liveliness) + np.float32(rng.normal(0, 0.07)),
        pitch=_sway(rng, times, 0.07 * liveliness) + nods,
        roll=_sway(rng, times, 0.05 * liveliness) + np.float32(rng.normal(0, 0.025)),
        right=_sway(rng, times, 0.12 * liveliness) + np.float32(rng.normal(0, 0.12)),
        down=_sway(rng, times, 0.05 * liveliness) + nods + np.float32(rng.normal(0, 0.05)),
        scale=np.float32(rng.uniform(0.92, 1.08)) * (1 + _sway(rng, times, 0.02)),
        eyes_open=blink(rng, times, per_minute=float(rng.uniform(18, 38)))
        * np.float32(rng.uniform(0.86, 1.0)),
        gaze_right=_glance(rng, times, 0.7),
        gaze_down=_glance(rng, times, 0.35),
        mouth_open=mouth_open,
        mouth_wide=_sway(rng, times, 0.5, slow=0.5, fast=2.5),
        brow_raise=np.clip(_sway(rng, times, 0.6, slow=0.15, fast=0.7), 0, 1),
    )


def blink(rng: np.random.Generator, times: NDArray[np.float64], *, per_minute: float) -> Series:
    """Draws spontaneous blinks: how far the eyes are open, (T,) 0..1.

    About 17 blinks a minute at rest and 26 in talk (Bentivoglio et al., 1997); the lid closes in
    about 90 ms and opens in about twice that time. A rate of 0 never blinks.
    """
    opened = np.ones(len(times))
    if per_minute <= 0:
        return opened.astype(np.float32)
    moment = float(rng.exponential(60 / per_minute))
    while moment < times[-1] + 0.3:
        close, hold, reopen = (
            rng.uniform(0.07, 0.11),
            rng.uniform(0.02, 0.07),
            rng.uniform(0.14, 0.24),
        )
        marks = np.cumsum([moment - close, close, hold, reopen])
        opened = np.minimum(opened, np.interp(times, marks, [1.0, 0.0, 0.0, 1.0]))
        moment += 0.45 + float(rng.exponential(max(60 / per_minute - 0.45, 0.1)))
    return (opened**1.3).astype(np.float32)


def speak(rng: np.random.Generator, times: NDArray[np.float64]) -> Series:
    """Draws the opening of a talking mouth, (T,) 0..1: syllables at 3 to 6 Hz inside phrases."""
    rate = rng.uniform(3.2, 5.5)
    phase = 2 * np.pi * (rate * times + 0.25 * np.sin(2 * np.pi * rng.uniform(0.4, 1.1) * times))
    syllables = np.clip(0.5 + 0.5 * np.sin(phase + rng.uniform(0, 6.3)), 0, 1)
    stress = 0.55 + _sway(rng, times, 0.45, slow=0.8, fast=2.5)
    phrase = 1 / (1 + np.exp(-9 * (_sway(rng, times, 1.0, slow=0.2, fast=0.7) + 0.45)))
    opening = np.clip(syllables * stress * phrase * rng.uniform(0.55, 1.0), 0, 1)
    speech: Series = opening.astype(np.float32)
    return speech


def _sway(
    rng: np.random.Generator,
    times: NDArray[np.float64],
    amount: float,
    *,
    slow: float = 0.12,
    fast: float = 0.9,
) -> Series:
    """Draws smooth motion of about +-`amount`: a few slow waves of unrelated frequencies in Hz."""
    frequencies = rng.uniform(slow, fast, 4)
    weights = rng.uniform(0.4, 1.0, 4) * (slow / frequencies) ** 0.5
    weights *= amount / weights.sum()
    waves = np.sin(2 * np.pi * frequencies[:, None] * times + rng.uniform(0, 6.3, (4, 1)))
    return (weights @ waves).astype(np.float32)


def _glance(rng: np.random.Generator, times: NDArray[np.float64], amount: float) -> Series:
    """Draws gaze: fixations of about a second joined by fast jumps."""
    value, moment = 0.0, 0.0
    gaze = np.zeros(len(times))
    while moment < times[-1]:
        gaze[times >= moment] = value
        value = float(np.clip(rng.normal(0, 0.5), -1, 1)) * amount
        moment += 0.3 + float(rng.exponential(0.8))
    return gaze.astype(np.float32)
