"""Warps, blurs and colours of self-made forgeries against what they should compute."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from data.self_blending.clip.look import blur, recolour, refocus, smooth_skin
from data.self_blending.clip.parameters import ForgeryParameters
from data.self_blending.clip.shape import Window, draw_mask, draw_warped, mesh_places

STILL = np.zeros(3, np.float32)


def parameters(**values) -> ForgeryParameters:
    return ForgeryParameters(seed=1, method="blend", strength=1.0, region="face", **values)


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """Noise on slow waves, (90, 120, 3)."""
    x, y = np.meshgrid(np.arange(120), np.arange(90))
    waves = np.stack([np.sin(x / 9), np.cos(y / 7), np.sin((x + y) / 11)], -1)
    noise = np.random.default_rng(3).integers(-20, 21, (90, 120, 3))
    return np.clip(128 + 80 * waves + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("bicubic", [False, True])
def test_an_unmoved_mesh_draws_the_picture_itself(picture, bicubic):
    window = Window(left=20, top=10, width=63, height=51)
    drawn = draw_warped(picture, window, mesh_places(window), bicubic=bicubic)
    assert np.abs(drawn.astype(int) - picture[window.where]).max() <= 1


def test_a_bent_mesh_is_drawn_as_by_pillow(picture):
    window = Window(left=10, top=8, width=80, height=60)
    places = mesh_places(window)
    centre = np.asarray([50, 38], np.float32)
    back = centre + (places - centre) * np.float32(1.05) + np.float32(1.5) * np.sin(places / 9)
    rows, columns = (np.rint(np.linspace(0, side, 11)).astype(int) for side in (60, 80))
    cells = [
        (
            (int(columns[c]), int(rows[r]), int(columns[c + 1]), int(rows[r + 1])),
            tuple(back[[r, r + 1, r + 1, r], [c, c, c + 1, c + 1]].ravel().tolist()),
        )
        for r in range(10)
        for c in range(10)
    ]
    wanted = Image.fromarray(picture).transform(
        (80, 60), Image.Transform.MESH, cells, Image.Resampling.BILINEAR
    )
    apart = np.abs(draw_warped(picture, window, back, bicubic=False).astype(int) - wanted)
    assert apart.max() <= 5
    assert apart.mean() < 1  # half a pixel off makes 5 or more


def test_the_edge_of_a_picture_is_repeated_outside_of_it(picture):
    window = Window(left=0, top=0, width=12, height=9)
    drawn = draw_warped(picture, window, mesh_places(window) - 500, bicubic=False)
    assert (drawn == picture[0, 0]).all()


def test_a_mask_covers_its_outline_by_half_at_the_edge():
    square = np.asarray([[30, 20], [70, 20], [70, 60], [30, 60]], np.float32)
    window = Window(left=10, top=10, width=80, height=70)
    mask = draw_mask([square], window, softness=2.0, inside=False)
    assert mask.sum() == pytest.approx(1600, rel=0.06)
    assert mask[30, 40] == pytest.approx(1, abs=1e-3)
    assert mask[30, 19:21].mean() == pytest.approx(0.5, abs=0.15)
    inside = draw_mask([square], window, softness=2.0, inside=True)
    assert (inside[:, :19] < 0.05).all()


def test_blurs_and_sharpening_are_pillows(picture):
    image = Image.fromarray(picture)
    soft = image.filter(ImageFilter.GaussianBlur(1.5))
    inner = np.s_[8:-8, 8:-8]
    assert np.abs(blur(picture, 1.5).astype(int) - soft)[inner].mean() < 1.5
    sharp = image.filter(ImageFilter.UnsharpMask(1.4, 60, 0))
    found = refocus(picture, parameters(sharpen_percent=60), 160.0, 1.0)
    assert np.abs(found.astype(int) - sharp)[inner].mean() < 1.5
    assert np.abs(found.astype(int) - picture)[inner].mean() > 3


def test_smoothed_skin_loses_texture_and_keeps_edges():
    texture = np.random.default_rng(1).integers(-4, 5, (40, 40, 3))
    steps = np.where(np.arange(40) < 20, 60, 200)[None, :, None]
    skin = (steps + texture).astype(np.uint8)
    found = smooth_skin(skin, 0.9).astype(int)
    assert found[5:-5, 5:12].std() < 0.7 * skin[5:-5, 5:12].std()
    assert found[:, 20].mean() - found[:, 19].mean() > 130


def test_colours_follow_the_parameters(picture):
    brighter = recolour(picture, parameters(offset=(10.0, 0.0, -10.0)), STILL).astype(int)
    change = np.clip(picture.astype(int) + np.asarray([10, 0, -10]), 0, 255)
    assert np.abs(brighter - change).max() <= 1
    grey = recolour(picture, parameters(saturation=0.0), STILL).astype(int)
    assert np.ptp(grey, axis=-1).max() <= 1
    assert recolour(picture, parameters(gamma=2.0), STILL).mean() < picture.mean()
    assert recolour(picture, parameters(), STILL) is picture
