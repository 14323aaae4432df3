"""Calibrates a bundle for single images, on the middle frame of each validation video."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from features.sequences.dataset import Sequences
from models.applicability.one_image import OneImage, image_judge
from models.bundle import Bundle
from models.configs import CalibrationConfig
from models.evaluation.baselines import middles
from models.evaluation.calibration import calibrate
from models.heads.inference import score


def with_one_image(
    bundle: Bundle,
    val: Sequences,
    config: CalibrationConfig,
    *,
    novelty_threshold: float | None,
    refit: bool,
    seed: int,
) -> Bundle:
    """The bundle, with what it may say of one image, where a part of it can judge one.

    Args:
        bundle: trained and calibrated.
        val: the validation videos.
        config: rules of threshold and band, which are those of sequences.
        novelty_threshold: of `models.applicability.novelty`, of single frames.
        refit: the head learnt from validation, too, so that only the baseline can be calibrated.
        seed: of the threshold's interval.
    """
    wanted = "baseline" if refit and bundle.head.config.has_linear_model else None
    found = image_judge(bundle.head, bundle.baseline, judge=wanted)  # type: ignore[arg-type]
    if found is None:
        return bundle
    judge, head = found
    frames = middle_frames(val)
    scores = score(head.model, frames)
    calibration, threshold = calibrate(
        val.labels.astype(np.int64), scores, val.groups, config, seed=seed
    )
    return replace(
        bundle,
        one_image=OneImage(
            judge=judge,
            threshold=threshold,
            calibration=calibration,
            novelty_threshold=novelty_threshold,
            videos=len(val),
        ),
    )


def middle_frames(sequences: Sequences) -> Sequences:
    """The middle frame of each sequence, as a sequence of its own."""
    features = middles(sequences.features, sequences.mask)[:, None]
    return replace(sequences, features=features, mask=np.ones(features.shape[:2], bool))
