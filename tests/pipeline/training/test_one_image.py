"""`train` calibrates single images on the middle frame of each validation video, where it can."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from data.datasets.manifest import Manifest
from features.sequences.dataset import Sequences, load_sequences
from features.store.feature_set import Features
from models.applicability.one_image import image_judge
from models.bundle import Bundle
from models.configs import CalibrationConfig
from models.evaluation.calibration import calibrate
from models.heads.inference import score
from pipeline.training.one_image import middle_frames, with_one_image


@pytest.fixture(scope="module")
def val(world) -> Sequences:
    return load_sequences(Features(world.features), Manifest.read(world.manifest).split("val"))


def test_a_trained_bundle_is_calibrated_for_images(world, val):
    bundle = Bundle.load(world.bundle)
    known = bundle.one_image
    assert known is not None
    assert known.videos == len(val)
    found = image_judge(bundle.head, bundle.baseline)
    assert found is not None
    assert found[0] == known.judge
    frames = middle_frames(val)
    assert frames.features.shape[:2] == (len(val), 1)
    own = [one[row.sum() // 2] for one, row in zip(val.features[:], val.mask, strict=True)]
    np.testing.assert_array_equal(frames.features[:, 0], np.stack(own))
    scores = score(found[1].model, frames)
    labels = val.labels.astype(np.int64)
    calibration, threshold = calibrate(labels, scores, val.groups, CalibrationConfig())
    assert threshold == pytest.approx(known.threshold)
    assert calibration.temperature == pytest.approx(known.calibration.temperature)


def test_a_head_that_learnt_from_validation_leaves_images_to_the_baseline(world, val):
    bundle = replace(Bundle.load(world.bundle), one_image=None)
    config = CalibrationConfig()
    again = with_one_image(bundle, val, config, novelty_threshold=2.0, refit=True, seed=0)
    assert again.one_image is not None
    assert again.one_image.judge == "baseline"
    assert again.one_image.novelty_threshold == 2.0
    alone = with_one_image(
        replace(bundle, baseline=None), val, config, novelty_threshold=2.0, refit=True, seed=0
    )
    assert alone.one_image is None
