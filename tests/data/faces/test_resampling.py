"""Parts of pictures are scaled and read as Pillow does it, but for rounding."""

from __future__ import annotations

import math

import cykooz_resizer
import numpy as np
import pytest
from PIL import Image

from data.faces import resampling
from data.faces.resampling import resize, sample


def picture(width: int, height: int) -> np.ndarray:
    """Noise on slow waves: every pixel counts."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    waves = np.stack([np.sin(x / 9), np.cos(y / 7), np.sin((x + y) / 11)], -1)
    noise = np.random.default_rng(3).integers(-40, 41, (height, width, 3))
    return np.clip(128 + 80 * waves + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("kernel", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    ("size", "box"),
    [
        ((224, 224), (31.4, 20.7, 140.9, 130.2)),  # up
        ((64, 48), (0.0, 0.0, 320.0, 240.0)),  # down, the whole picture
        ((96, 96), (120.3, 0.0, 320.0, 199.7)),  # at two edges
    ],
)
def test_parts_are_scaled_as_by_pillow(kernel, size, box):
    frame = picture(320, 240)
    wanted = Image.fromarray(frame).resize(size, Image.Resampling[kernel.upper()], box)
    apart = np.abs(resize(frame, size, box, kernel).astype(int) - np.asarray(wanted))
    assert apart.max() <= 3
    assert apart.mean() < 0.5  # half a pixel off makes 0.9 or more


def test_what_lies_outside_of_the_filter_does_not_count():
    frame = picture(320, 240)
    box = (100.2, 80.1, 160.8, 140.7)
    other = frame.copy()
    other[:70], other[151:], other[:, :90], other[:, 171:] = 0, 0, 0, 0
    assert np.array_equal(
        resize(frame, (128, 128), box, "bicubic"), resize(other, (128, 128), box, "bicubic")
    )


def test_every_processor_gives_the_same_bytes(monkeypatch):
    frame, box = picture(320, 240), (10.3, 5.9, 200.1, 195.7)
    found = resize(frame, (224, 224), box, "bicubic")

    class Plain(cykooz_resizer.Resizer):
        def __init__(self) -> None:
            super().__init__()
            self.cpu_extensions = cykooz_resizer.CpuExtensions.none

    monkeypatch.setattr(resampling, "Resizer", Plain)
    assert np.array_equal(found, resize(frame, (224, 224), box, "bicubic"))


def test_a_turned_picture_is_read_as_by_pillow(monkeypatch):
    image = Image.fromarray(picture(160, 120))
    cosine, sine = math.cos(0.3), math.sin(0.3)
    matrix = (0.5 * cosine, -0.5 * sine, 50.0, 0.5 * sine, 0.5 * cosine, 20.0)
    wanted = image.transform((100, 90), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    u, v = np.meshgrid(*(np.arange(side, dtype=np.float32) + 0.5 for side in (100, 90)))
    x = matrix[0] * u + matrix[1] * v + matrix[2]
    y = matrix[3] * u + matrix[4] * v + matrix[5]
    found = sample(image, x.astype(np.float32), y.astype(np.float32))
    assert np.abs(np.asarray(found, int) - np.asarray(wanted)).max() <= 2
    monkeypatch.setattr(resampling, "BAND_PIXELS", 700)  # bands leave no seam
    assert np.array_equal(found, sample(image, x.astype(np.float32), y.astype(np.float32)))


def test_outside_of_a_picture_its_edge_is_repeated():
    image = Image.fromarray(picture(16, 12))
    x, y = np.full((2, 3), -9, np.float32), np.full((2, 3), 400, np.float32)
    corner = np.asarray(image)[-1, 0]
    assert (np.abs(np.asarray(sample(image, x, y), int) - corner) <= 1).all()
