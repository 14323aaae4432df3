"""Which version was blended: told by detail, mirrored, and not by an encoder or a flat place."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from data.alignment.aligned_frames import SIDE, FacePair, ellipse
from data.alignment.blending import CELLS, measure_blending

FRAMES = 12
CONSECUTIVE = np.arange(1, FRAMES) % 3 != 0
Crops = NDArray[np.uint8]


def texture(seed: int) -> Crops:
    """A picture with detail of every size, the same in each frame but for its noise."""
    draw = np.random.default_rng(seed)
    whole = np.zeros((SIDE, SIDE), np.float32)
    for sigma in (0.8, 1.6, 3.2, 8.0):
        grain = cv2.GaussianBlur(draw.normal(0, 1, (SIDE, SIDE)).astype(np.float32), (0, 0), sigma)
        whole += 12 * grain / grain.std()
    frames = 128 + whole + draw.normal(0, 1, (FRAMES, SIDE, SIDE))
    return np.repeat(frames.clip(0, 255).round().astype(np.uint8)[..., None], 3, axis=-1)


def blended(real: Crops, other: Crops, radius: float = 0.5, softness: float = 12.0) -> Crops:
    """The face of another picture, blended in."""
    mask = cv2.GaussianBlur(ellipse(radius).astype(np.float32), (0, 0), softness)[..., None]
    return (real * (1 - mask) + other * mask).round().astype(np.uint8)


def softer(crops: Crops, sigma: float) -> Crops:
    return np.stack([cv2.GaussianBlur(one, (0, 0), sigma) for one in crops])


def lost(one: Crops, two: Crops, shown: NDArray[np.bool_] | None = None) -> float:
    pair = FacePair(
        one=one,
        two=two,
        shown=np.ones((FRAMES, SIDE, SIDE), bool) if shown is None else shown,
        boxes=np.zeros((FRAMES, 4), np.float32),
        found=FRAMES,
    )
    found = measure_blending(pair, CONSECUTIVE)
    assert found is not None
    assert found.where.shape == (CELLS, CELLS)
    assert found.where.sum() == pytest.approx(found.lost)
    return found.lost


REAL, OTHER = texture(0), texture(1)
FORGED = blended(REAL, OTHER)


def test_the_blended_version_lacks_detail_and_swapped_it_is_the_mirror_image() -> None:
    assert lost(FORGED, REAL) > 0.05
    assert lost(REAL, FORGED) == -lost(FORGED, REAL)
    # the seam tells, wherever it lies, and not how sharp the face in the middle is
    assert lost(blended(REAL, OTHER, radius=0.35), REAL) > 0.05
    assert lost(blended(REAL, softer(OTHER, 0.6)), REAL) > 0.05


@pytest.mark.parametrize("sigma", [0.5, 0.8])
def test_a_softer_real_is_not_taken_for_the_forgery(sigma: float) -> None:
    soft = softer(REAL, sigma)
    assert lost(FORGED, soft) > 0.03
    assert lost(softer(FORGED, sigma), REAL) > 0.03


def test_a_copy_has_lost_next_to_nothing() -> None:
    draw = np.random.default_rng(2)
    noise = draw.normal(0, 3, REAL.shape[:3])[..., None]
    copy = (softer(REAL, 0.6) + noise).clip(0, 255).astype(np.uint8)
    assert abs(lost(copy, REAL)) < 0.01 < lost(FORGED, REAL) / 4


def test_what_one_video_does_not_show_is_left_out() -> None:
    shown = np.ones((FRAMES, SIDE, SIDE), bool)
    shown[:, :, : SIDE // 3] = False
    one, two = FORGED.copy(), REAL.copy()
    one[~shown], two[~shown] = 0, 0
    assert lost(one, two, shown) > 0.05
    assert np.isfinite(lost(np.zeros_like(REAL), np.zeros_like(REAL)))


def test_without_surroundings_nothing_is_told() -> None:
    shown = np.broadcast_to(ellipse(0.75), (FRAMES, SIDE, SIDE))
    boxes = np.zeros((FRAMES, 4), np.float32)
    pair = FacePair(one=FORGED, two=REAL, shown=shown, boxes=boxes, found=FRAMES)
    assert measure_blending(pair, CONSECUTIVE) is None
