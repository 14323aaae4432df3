"""Aligns two videos in time and place, and says whether they show one scene.

Places are found on simultaneous frames and times on pictures in one place, so neither comes first:
some likely lags are tried, the one with most agreeing points places the pictures, and the movement
of the pictures so placed gives the lag.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from data.alignment.in_place import Placement, find_points, place, rescaled, unmirrored, warp
from data.alignment.in_time import (
    FINEST_STEP_SECONDS,
    activity,
    correlations,
    lags,
    matches,
    patterns,
)
from data.alignment.overview import Overview

TRIED_FRAMES = 5
"""Simultaneous frames on which points are matched at each likely lag."""
FINAL_FRAMES = 10
"""The same at the final lag."""
LEAST_INLIERS = 24
"""Points that must agree, over FINAL_FRAMES frames."""
LEAST_FRAME_SHARE = 0.5
"""Share of the frames with some of them: one caption or one still would be a frame or two."""
LEAST_MOVEMENT = 0.5
"""Correlation of movement that simultaneous pictures must reach."""
LEAST_COMMON = 0.1
"""Share of the first picture that the second must show."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Alignment:
    """Where and when the second video shows what the first one shows."""

    lag_seconds: float  # time in the second minus time in the first
    # (2, 3) float64, from places in the first, in pixels as shown, to places in the second
    matrix: NDArray[np.float64]
    scale: float  # pixels of the second over those of the first
    mirrored: bool  # whether the second is mirrored
    inliers: int  # points that agree
    frame_share: float  # of the compared frames, those with enough such points
    movement: float  # correlation of what moves, at the lag; 1 is the same
    common: float  # share of the first picture that the second shows
    reason: str  # why they do not show one scene; "" where they do

    @property
    def one_scene(self) -> bool:
        """Whether both show one scene at one time."""
        return not self.reason


def align(one: Overview, two: Overview) -> Alignment:
    """Aligns two videos by their overviews."""
    points_one = cache(lambda index: find_points(one.grey[index]))
    points_two = cache(lambda index, mirrored: find_points(two.grey[index], mirrored=mirrored))
    longest = float(max(two.grey.shape[1:]))

    def placed(lag: float, mirrored: bool, most: int) -> Placement | None:
        rows, columns = simultaneous(one, two, lag)
        if not len(rows):
            return None
        chosen = np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(int))
        pairs = [(points_one(int(rows[at])), points_two(int(columns[at]), mirrored))
                 for at in chosen]  # fmt: skip
        return place(pairs, mirrored=mirrored, longest=longest)

    candidates = lags(
        one.timestamps_seconds, two.timestamps_seconds, step_seconds=step_between(one, two)
    )
    best: Placement | None = None
    for lag in likely_lags(one, two, candidates):
        for mirrored in (False, True):
            found = placed(lag, mirrored, TRIED_FRAMES)
            if found is not None and (best is None or found.inliers > best.inliers):
                best = found
    if best is None:
        return nothing("no points of the two pictures agree")
    lag, _, _ = best_lag(one, two, best, candidates)
    final = placed(lag, best.mirrored, FINAL_FRAMES)
    if final is None:
        return nothing("no points of simultaneous frames agree")
    lag, movement, common = best_lag(one, two, final, candidates)
    share = final.frames / final.compared
    matrix = full_matrix(final, two.grey.shape[2])
    return Alignment(
        lag_seconds=lag,
        matrix=rescaled(matrix, 1 / one.scale, 1 / two.scale),
        scale=final.scale * one.scale / two.scale,
        mirrored=final.mirrored,
        inliers=final.inliers,
        frame_share=share,
        movement=movement,
        common=common,
        reason=why_not(final.inliers, share, movement, common),
    )


def why_not(inliers: int, frame_share: float, movement: float, common: float) -> str:
    """Why two videos do not show one scene; "" where they do."""
    if inliers < LEAST_INLIERS or frame_share < LEAST_FRAME_SHARE:
        return f"too few points of the two pictures agree ({inliers})"
    if common < LEAST_COMMON:
        return f"they have {common:.0%} of the picture in common"
    if movement < LEAST_MOVEMENT:
        return (
            "the places agree, but what moves does not: another moment, or another performance "
            f"(correlation {movement:.2f})"
        )
    return ""


def nothing(reason: str) -> Alignment:
    """The result where nothing could be aligned."""
    return Alignment(
        lag_seconds=0.0,
        matrix=np.eye(2, 3),
        scale=1.0,
        mirrored=False,
        inliers=0,
        frame_share=0.0,
        movement=0.0,
        common=0.0,
        reason=reason,
    )


def step_between(one: Overview, two: Overview) -> float:
    """Step of the lags that are tried: half the finer of the two frame rates' steps."""
    return max(min(one.step_seconds, two.step_seconds) / 2, FINEST_STEP_SECONDS)


def reach_between(one: Overview, two: Overview) -> float:
    """Time between frames that still count as simultaneous."""
    return 0.51 * max(one.step_seconds, two.step_seconds)


def simultaneous(
    one: Overview, two: Overview, lag: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Simultaneous frames at a lag, as `in_time.matches`."""
    reach = reach_between(one, two)
    return matches(one.timestamps_seconds, two.timestamps_seconds, lag, reach)


def likely_lags(one: Overview, two: Overview, candidates: NDArray[np.float64]) -> list[float]:
    """Lags to try: the same beginning, and the best by movement and by activity."""
    times, other = one.timestamps_seconds, two.timestamps_seconds
    reach = reach_between(one, two)
    own = patterns(one.grey)
    described = [
        (own, patterns(two.grey)),
        (own, patterns(two.grey[:, :, ::-1])),
        (activity(one.grey, times), activity(two.grey, other)),
    ]
    found = [float(other[0] - times[0])]
    for first, second in described:
        curve = correlations(first, times, second, other, candidates, reach=reach)
        found.append(float(candidates[int(curve.argmax())]))
    return list(dict.fromkeys(round(lag, 6) for lag in found))


def best_lag(
    one: Overview, two: Overview, placement: Placement, candidates: NDArray[np.float64]
) -> tuple[float, float, float]:
    """The lag at which pictures in one place move alike, how much so, and how much they share."""
    height, width = one.grey.shape[1:]
    matrix = full_matrix(placement, two.grey.shape[2])
    placed = np.stack([warp(frame, matrix, (width, height)) for frame in two.grey])
    shown = warp(np.full(two.grey.shape[1:], 255, np.uint8), matrix, (width, height)) == 255
    common = shown.astype(np.float32)
    first, second = patterns(one.grey, common), patterns(placed, common)
    curve = correlations(
        first,
        one.timestamps_seconds,
        second,
        two.timestamps_seconds,
        candidates,
        reach=reach_between(one, two),
    )
    at = int(curve.argmax())
    return float(candidates[at]), float(curve[at]), float(common.mean())


def full_matrix(placement: Placement, width: int) -> NDArray[np.float64]:
    """From places of the one to places of the other as it is, not mirrored."""
    if not placement.mirrored:
        return placement.matrix
    return unmirrored(placement.matrix, width=width)
