"""The videos that another detector gets most wrong: scores of their frames, and their faces.

Faces are shown where a feature set of these videos says where they are; unmask decodes nothing else
to judge a detector that is not its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.datasets.digests import DigestCache
from data.datasets.manifest import Manifest, Video
from features.store.feature_set import Features
from models.evaluation.thresholds import rank_misclassified
from pipeline.evaluation.error_analysis import MOST, STEPS, show_faces
from pipeline.evaluation.results import MisclassifiedVideo
from pipeline.score_files.read import AGGREGATE
from pipeline.score_files.records import Aggregation


def analyse_score_errors(
    manifest: Manifest,
    videos: Sequence[Video],
    scores: NDArray[np.float64],
    frames: Sequence[NDArray[np.float64] | None],
    *,
    threshold: float,
    aggregate: Aggregation,
    features: Path | None,
) -> list[MisclassifiedVideo]:
    """Gathers what the page shows of the worst errors.

    Args:
        manifest: says where the videos lie.
        videos: the measured ones.
        scores: (N,) theirs.
        frames: (N,) of (T,) scores of their frames; None where there are none.
        threshold: at or above it a video is called fake.
        aggregate: how scores of frames become one.
        features: a feature set of these videos; None shows no faces.

    Raises:
        InputError, StoreError: it is no feature set.
    """
    labels = np.asarray([video.label for video in videos])
    wrong = rank_misclassified(labels, scores, threshold, [video.path for video in videos])
    stored = None if features is None else Features(features)
    digests = DigestCache()
    found = []
    for row in wrong[:MOST]:
        video, alone = videos[row], frames[row]
        alone = np.empty(0) if alone is None else alone
        there = np.flatnonzero(~np.isnan(alone))
        ends = np.unique(np.linspace(1, len(there), min(STEPS, len(there))).round().astype(int))
        strip, reason = "", ""
        shown: tuple[float, ...] = ()
        if stored is not None and video.sha256 in stored:
            one = stored.sequence(video.sha256)
            recipe = stored.recipe.to_json()["frames"]
            strip, shown, reason = show_faces(manifest, video, one, recipe, digests)
        elif stored is not None:
            reason = "it is not in the feature set"
        found.append(
            MisclassifiedVideo(
                row=row,
                timestamps_seconds=tuple((there + 1.0).tolist()),
                frame_scores=tuple(alone[there].tolist()),
                so_far=tuple(
                    (float(there[end - 1] + 1), float(AGGREGATE[aggregate](alone[there[:end]])))
                    for end in ends
                ),
                strip=strip,
                shown_seconds=shown,
                reason=reason,
                time_name="frame of the file",
            )
        )
    return found
