"""Baselines of a detector that is known by its scores: what the manifest alone allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from data.datasets.manifest import Manifest, Video
from models.evaluation.baselines import fit_linear, metadata
from models.evaluation.evaluate import Evaluation, difference
from pipeline.evaluation.results import BaselineResult


def measure_file_baselines(
    manifest: Manifest,
    videos: Sequence[Video],
    measure: Callable[..., Evaluation],
    detector: Evaluation,
) -> list[BaselineResult]:
    """The majority class, and a logistic regression on the files' metadata.

    The second is fitted on the training split with the validation split, as for a bundle; without
    both classes in both it is left out.

    Args:
        manifest: all videos.
        videos: the measured ones.
        measure: evaluates P(fake) (N,) of these, with a `threshold`.
        detector: what the detector reaches on them.
    """
    labels = np.asarray([video.label for video in videos])
    majority = float(np.mean(labels) >= 0.5)
    found = {"majority class": measure(np.full(len(videos), majority), threshold=0.5)}
    train, val = manifest.split("train"), manifest.split("val")
    tested = {video.path for video in videos}
    apart = not any(video.path in tested for video in (*train, *val))
    if apart and all(len({video.label for video in part}) == 2 for part in (train, val)):
        codecs = tuple(sorted({video.codec for video in train}))
        inputs = [metadata(part, codecs) for part in (train, val)]
        truth = [np.asarray([video.label for video in part]) for part in (train, val)]
        linear = fit_linear(inputs[0], truth[0], inputs[1], truth[1], codecs=codecs)
        scores = linear.score(metadata(videos, codecs))
        found["metadata only"] = measure(scores, threshold=linear.threshold)
    return [
        BaselineResult(name=name, evaluation=one, gain=difference(detector, one))
        for name, one in found.items()
    ]
