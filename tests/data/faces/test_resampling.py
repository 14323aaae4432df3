"""Parts of pictures are scaled as Pillow does it, but for rounding, with and without the wheel."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from data.faces import resampling
from data.faces.resampling import resize
from tests import requirements


def picture(width: int, height: int) -> np.ndarray:
    """Noise on slow waves: every pixel counts."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    waves = np.stack([np.sin(x / 9), np.cos(y / 7), np.sin((x + y) / 11)], -1)
    noise = np.random.default_rng(3).integers(-40, 41, (height, width, 3))
    return np.clip(128 + 80 * waves + noise, 0, 255).astype(np.uint8)


@pytest.fixture(params=["crate", "pillow"])
def backend(request, monkeypatch):
    """What scales: fast_image_resize, where it is installed, or Pillow."""
    if request.param == "pillow":
        monkeypatch.setattr(resampling, "cykooz_resizer", None)
    else:
        requirements.module("cykooz_resizer")
    return request.param


@pytest.mark.parametrize("kernel", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    ("size", "box"),
    [
        ((224, 224), (31.4, 20.7, 140.9, 130.2)),  # up
        ((64, 48), (0.0, 0.0, 320.0, 240.0)),  # down, the whole picture
        ((96, 96), (120.3, 0.0, 320.0, 199.7)),  # at two edges
    ],
)
def test_parts_are_scaled_as_by_pillow(backend, kernel, size, box):
    frame = picture(320, 240)
    wanted = Image.fromarray(frame).resize(size, Image.Resampling[kernel.upper()], box)
    apart = np.abs(resize(frame, size, box, kernel).astype(int) - np.asarray(wanted))
    assert apart.max() <= 3
    assert apart.mean() < 0.5  # half a pixel off makes 0.9 or more


def test_a_fourth_channel_is_scaled_as_the_others(backend):
    frame = picture(320, 240)
    four = np.concatenate([frame, frame[..., :1]], -1)
    box = (31.4, 20.7, 140.9, 130.2)
    found = resize(four, (96, 96), box, "bicubic")
    assert np.array_equal(found[..., :3], resize(frame, (96, 96), box, "bicubic"))
    assert np.array_equal(found[..., 3], found[..., 0])


def test_what_lies_outside_of_the_filter_does_not_count(backend):
    frame = picture(320, 240)
    box = (100.2, 80.1, 160.8, 140.7)
    other = frame.copy()
    other[:70], other[151:], other[:, :90], other[:, 171:] = 0, 0, 0, 0
    assert np.array_equal(
        resize(frame, (128, 128), box, "bicubic"), resize(other, (128, 128), box, "bicubic")
    )


def test_every_processor_gives_the_same_bytes(monkeypatch):
    requirements.module("cykooz_resizer")
    import cykooz_resizer

    frame, box = picture(320, 240), (10.3, 5.9, 200.1, 195.7)
    found = resize(frame, (224, 224), box, "bicubic")

    class Plain(cykooz_resizer.Resizer):
        def __init__(self) -> None:
            super().__init__()
            self.cpu_extensions = cykooz_resizer.CpuExtensions.none

    monkeypatch.setattr(cykooz_resizer, "Resizer", Plain)
    assert np.array_equal(found, resize(frame, (224, 224), box, "bicubic"))
