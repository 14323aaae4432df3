"""The heat map against heads whose reasons are known, and against hiding done anew."""

from __future__ import annotations

import numpy as np
import pytest

from models.bundle import BundledHead
from models.explanation.occlusion import CELLS, MOST_FRAMES, PATCH_CELLS, heat_map, hide, spread
from models.heads.architectures import KINDS, HeadConfig, build_head
from models.tf_runtime import seed_everything

SIZE = 56


class Contrast:
    """A backbone that sees the contrast in each cell of the picture: D = CELLS * CELLS."""

    digest, dim, batch_size = "contrast", CELLS * CELLS, 8

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        assert frames.shape == (self.batch_size, SIZE, SIZE, 3)
        return contrasts(frames)


def contrasts(frames: np.ndarray) -> np.ndarray:
    side = SIZE // CELLS
    cells = frames.reshape(len(frames), CELLS, side, CELLS, side, 3).astype(np.float32)
    return cells.std(axis=(2, 4, 5)).reshape(len(frames), -1) / 30


def head_of(kind: str) -> BundledHead:
    seed_everything(2)
    config, dim = HeadConfig(kind=kind, units=4), Contrast.dim
    model = build_head(config, dim=dim, mean=np.full(dim, 2.5), variance=np.full(dim, 0.01))
    return BundledHead(
        model=model, config=config, threshold=0.5, history=(), best_epoch=1, stop_reason="made"
    )


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (6, SIZE, SIZE, 3), dtype=np.uint8)


def score(head: BundledHead, pixels: np.ndarray) -> float:
    """From pixels to P(fake) without the code under test."""
    features = contrasts(pixels)[None]
    return float(np.asarray(head.model({"features": features, "mask": np.ones((1, 6), bool)}))[0])


@pytest.mark.parametrize("kind", KINDS)
def test_hiding_the_hottest_part_lowers_the_score_more_than_the_coldest(kind, pixels):
    head = head_of(kind)
    heat = heat_map(head, Contrast(), pixels, contrasts(pixels), show=False)
    own = score(head, pixels)
    assert heat.probability_fake == pytest.approx(own, abs=1e-5)
    hot, cold = (
        score(head, hide(pixels, part.top, part.left)) for part in (heat.hottest, heat.coldest)
    )
    assert own - hot > own - cold
    assert heat.hottest.probability_fake == pytest.approx(hot, abs=1e-5)
    assert heat.coldest.probability_fake == pytest.approx(cold, abs=1e-5)


def planted(cells: dict[tuple[int, int], float]) -> BundledHead:
    """A mean-pool head that looks at these cells only, with these weights."""
    head = head_of("mean")
    weights = np.zeros((Contrast.dim, 1), np.float32)
    for (row, column), weight in cells.items():
        weights[row * CELLS + column] = weight
    head.model.get_layer("classifier").set_weights([weights, np.zeros(1, np.float32)])
    return head


def test_the_heat_lies_where_the_reason_is(pixels):
    head = planted({(2, 4): 0.5, (4, 2): -0.5})
    heat = heat_map(head, Contrast(), pixels, contrasts(pixels), show=False)
    assert np.unravel_index(heat.whole.argmax(), heat.whole.shape) == (2, 4)
    assert np.unravel_index(heat.whole.argmin(), heat.whole.shape) == (4, 2)
    for part, (row, column) in ((heat.hottest, (2, 4)), (heat.coldest, (4, 2))):
        assert part.top <= row < part.top + PATCH_CELLS
        assert part.left <= column < part.left + PATCH_CELLS
    assert np.abs(heat.whole[6, 6]) < 0.02 * heat.whole.max()
    # Mean-pool: the frames' own effects add up to that of all frames.
    np.testing.assert_allclose(heat.frames.sum(0), heat.whole, atol=1e-3)


def test_a_frame_of_its_own_gets_the_heat(pixels):
    blurred = pixels.copy()
    blurred[[0, 1, 2, 4, 5]] = 128  # detail in frame 3 alone
    heat = heat_map(planted({(3, 3): 0.2}), Contrast(), blurred, contrasts(blurred), show=False)
    assert heat.frames.max(axis=(1, 2)).argmax() == 3
    assert np.abs(np.delete(heat.frames, 3, axis=0)).max() < 1e-3


def test_hiding_leaves_the_rest_as_it_was(pixels):
    hidden = hide(pixels, 2, 3)
    side = SIZE // CELLS
    changed = (hidden != pixels).any(axis=(0, 3))
    inside = np.zeros_like(changed)
    inside[2 * side - 4 : 4 * side + 4, 3 * side - 4 : 5 * side + 4] = True
    assert not changed[~inside].any()
    middle = np.s_[:, 2 * side + 3 : 4 * side - 3, 3 * side + 3 : 5 * side - 3]
    assert hidden[middle].std() < pixels[middle].std() / 3


def test_a_long_sequence_is_sampled_evenly():
    assert spread(6).tolist() == [0, 1, 2, 3, 4, 5]
    chosen = spread(61)
    assert len(chosen) == MOST_FRAMES
    assert chosen[0] == 0
    assert chosen[-1] == 60
