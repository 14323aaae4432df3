"""Augmented views: the same on every run, drawn once for a clip, other for each view."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from data.errors import ConfigError
from data.faces.crops import Frames
from data.video.frames import FrameRecipe
from features.sequences.padded import Padded
from features.store.key import canonical
from models.finetuning.views import augment, make_views
from models.heads.descent.batches import head_batches
from tests.models.conftest import made_up


def clip(count: int, size: int = 64) -> Frames:
    """The same picture in every frame, so that a change over time is the augmentation's."""
    coarse = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    picture = np.kron(coarse, np.ones((size // 8, size // 8, 1), np.uint8))
    return Frames(
        pixels=np.repeat(picture[None], count, axis=0),
        timestamps_seconds=np.arange(count) / 25.0,
        boxes=np.zeros((count, 4), np.float32),
        face_found=np.ones(count, bool),
    )


def view_of(video: str, view: int, count: int = 3) -> NDArray[np.uint8]:
    sha256 = hashlib.sha256(video.encode()).hexdigest()
    return augment(clip(count), sha256, view).pixels


def test_a_view_depends_on_video_and_number_alone() -> None:
    views = {(video, view): view_of(video, view) for video in "ab" for view in (1, 2, 3)}
    for (video, view), pixels in views.items():
        np.testing.assert_array_equal(pixels, view_of(video, view))
        assert pixels.shape == (3, 64, 64, 3)
        assert pixels.dtype == np.uint8
    assert len({pixels.tobytes() for pixels in views.values()}) == 6
    np.testing.assert_array_equal(view_of("a", 1, count=1)[0], views["a", 1][0])


def test_no_flicker_is_invented() -> None:
    """But for sensor noise, which is new in each frame as a camera's is."""
    for view in range(1, 9):
        pixels = view_of("a", view).astype(np.float64)
        assert np.abs(pixels - pixels[0]).mean() < 4
        assert np.abs(pixels[0] - clip(1).pixels[0]).mean() > 4


def test_the_strengths_are_in_the_digest_and_the_recipe_is_not_changed() -> None:
    assert make_views(1).augmentation == {}
    assert make_views(2).digest == make_views(4).digest
    assert "jpeg_quality" in canonical(make_views(2).to_json())
    assert FrameRecipe(views=4).to_json() == FrameRecipe().to_json()
    with pytest.raises(ConfigError, match="views must be from 1 to 100, got 0"):
        FrameRecipe(views=0)


def test_each_epoch_draws_a_view_of_each_video() -> None:
    train = made_up(20)
    views = np.concatenate([train.features, train.features + 1])  # view 1 is view 0 and one more
    weights, draw = np.ones(20, np.float32), np.random.default_rng(0)
    seen = np.zeros((6, 20), int)
    for epoch in range(6):
        for batch in head_batches(replace(train, views=views), weights, draw, batch_size=8):
            features, mask, labels, shares = (one.numpy() for one in batch.inputs)
            count = len(batch.rows)
            assert len(features) == 8  # the last batch is filled up
            assert not features[count:].any()
            assert not shares[count:].any()
            changed = np.round(features[:count] - train.features[batch.rows])
            seen[epoch, batch.rows] = changed[:, 0, 0]
            np.testing.assert_array_equal(changed[:, 0, 0], changed[:, -1, -1])
            np.testing.assert_array_equal(mask[:count], train.mask[batch.rows])
            np.testing.assert_array_equal(labels[:count], train.labels[batch.rows])
            np.testing.assert_array_equal(shares[:count], 1)
    assert set(seen.ravel()) == {0, 1}
    assert len({tuple(row) for row in seen}) == 6
    assert 0.3 < seen.mean() < 0.7


def test_a_video_as_a_file_and_in_memory_make_the_same_batches() -> None:
    train = made_up(20)
    stored = Padded(
        [frames[exists] for frames, exists in zip(train.features, train.mask, strict=True)],
        dim=8, dtype="float16",
    )  # fmt: skip
    found = []
    for features in (train.features, stored):
        draw, weights = np.random.default_rng(0), np.arange(20, dtype=np.float32)
        batches = head_batches(replace(train, features=features), weights, draw, batch_size=6)
        found.append([[one.numpy().copy() for one in batch.inputs] for batch in batches])
    assert [len(batch[0]) for batch in found[0]] == [6, 6, 6, 6]
    for one, other in zip(*found, strict=True):
        for left, right in zip(one, other, strict=True):
            np.testing.assert_array_equal(left, right)
