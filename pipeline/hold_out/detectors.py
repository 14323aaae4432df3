"""Detectors of one fold: the head, its baselines and four linear models.

Each is trained as `unmask train` does it, validation videos included, on people and methods that
are not held out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from data.datasets.manifest import Video
from data.datasets.splits import SplitConfig, split_groups
from data.errors import DatasetError
from features.sequences.dataset import Sequences, load_sequences
from features.store.feature_set import Features
from models.conditioning.cache import condition
from models.configs import HeadConfig
from models.evaluation.baselines import Linear, fit_linear, metadata, pooled
from models.evaluation.likelihood_ratio import LN10
from models.linear.statistics import statistics_of
from pipeline.config import Params
from pipeline.evaluation.similar_videos import median_side

if TYPE_CHECKING:
    from models.bundle import BundledHead

LOGISTIC, FACE_SIZE, METADATA, MOTION = (
    "logistic regression",
    "face size only",
    "metadata only",
    "motion only",
)
"""Names of the linear detectors."""
VALIDATION = 0.2
"""Share of the groups to learn from that choose epoch, penalty, calibration and threshold."""
SUREST = 1e-9
"""P(fake) is kept this far from 0 and 1, where its logarithm would be infinite."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Said:
    """What one detector says about N videos."""

    scores: NDArray[np.float64]  # (N,) P(fake)
    llrs: NDArray[np.float64]  # (N,) log10 likelihood ratio of fake against real
    called_fake: NDArray[np.bool_]  # (N,)
    decided: NDArray[np.bool_]  # (N,) whether it gets a verdict


def compared_heads(head: HeadConfig) -> dict[str, HeadConfig]:
    """The heads of `unmask evaluate --hold-out` by name: this one first, then its baselines."""
    found: dict[str, HeadConfig] = {head.kind: head}
    if head.is_residual:
        found["statistics"] = head.replace(kind="statistics")
    return found | {"mean": head.replace(kind="mean")}


def say_all(
    features: Features,
    taught: Sequence[Video],
    tested: Sequence[Video],
    *,
    params: Params,
    heads: Mapping[str, HeadConfig],
) -> dict[str, Said]:
    """Trains every detector and scores the tested videos.

    Args:
        features: of all these videos; those that it lacks must not be among them.
        taught: to learn from; both classes.
        tested: of other people, and of other methods.
        params: training, calibration and seed.
        heads: to train, by name.

    Returns:
        Name -> what it says, the heads first.

    Raises:
        DatasetError: validation would lack a class, or training diverged.
    """
    from pipeline.training.train import train_calibrated

    kept, chosen = divide(taught, seed=params.seed)
    train, val = load_sequences(features, kept, views=True), load_sequences(features, chosen)
    test = load_sequences(features, tested)
    conditioned = None
    if params.head.condition.kind != "none":
        conditioned = condition(train, val, params.head.condition)
    found: dict[str, Said] = {}
    for name, config in heads.items():
        head = train_calibrated(
            config.kind,
            train,
            val,
            params=Params(**dict(params) | {"head": config}),
            tensorboard=None,
            conditioned=conditioned,
        )
        found[name] = say(head, test)
    codecs = tuple(sorted({video.codec for video in kept}))
    parts = ((kept, train), (chosen, val), (tested, test))
    columns = {
        LOGISTIC: [pooled(part.features, part.mask) for _, part in parts],
        FACE_SIZE: [face_sizes(features, videos) for videos, _ in parts],
        METADATA: [metadata(videos, codecs) for videos, _ in parts],
        MOTION: [motion(part) for _, part in parts],
    }
    for name, (fit, check, measured) in columns.items():
        linear = fit_linear(fit, train.labels, check, val.labels, codecs=codecs)
        found[name] = say_linear(linear, measured)
    return found


def divide(videos: Sequence[Video], *, seed: int) -> tuple[list[Video], list[Video]]:
    """Videos to train on and to validate on, of other groups.

    Raises:
        DatasetError: a class has one group only.
    """
    kinds = {
        group: tuple(sorted({(one.label, one.method) for one in videos if one.group == group}))
        for group in {video.group for video in videos}
    }
    splits = split_groups(kinds, SplitConfig(validation=VALIDATION, test=0, seed=seed))
    parts = [[one for one in videos if splits[one.group] == name] for name in ("train", "val")]
    if any(len({video.label for video in part}) < 2 for part in parts):
        raise DatasetError(
            "the people and methods that are not held out are too few to train and to validate on; "
            "add people, or raise hold_out.person_folds and hold_out.method_folds"
        )
    return parts[0], parts[1]


def say(head: BundledHead, test: Sequences) -> Said:
    """What `predict` says with this head, but for videos unlike anything in training."""
    from models.heads.inference import score

    scores, ratio = head.calibration.apply(score(head.model, test)), head.likelihood_ratio
    return Said(
        scores=scores,
        llrs=log_odds(scores) if ratio is None else ratio.told(scores),
        called_fake=scores >= head.threshold,
        decided=~head.calibration.unsure(scores),
    )


def say_linear(linear: Linear, inputs: NDArray[np.float64]) -> Said:
    """What a linear baseline says of (N, E) columns; it decides on every video."""
    scores = linear.score(inputs)
    return Said(
        scores=scores,
        llrs=log_odds(scores),
        called_fake=scores >= linear.threshold,
        decided=np.ones(len(scores), bool),
    )


def log_odds(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """log10 P / (1 - P): the likelihood ratio of a reader to whom both classes are as likely."""
    return np.asarray(logit(np.clip(scores, SUREST, 1 - SUREST)) / LN10)


def face_sizes(features: Features, videos: Sequence[Video]) -> NDArray[np.float64]:
    """Logarithms of the crop's median side in pixels, and as a share of the picture, (N, 2)."""
    found = np.zeros((len(videos), 2))
    for row, video in enumerate(videos):
        side = max(median_side(features.sequence(video.sha256).boxes), 1.0)
        found[row] = np.log(side), np.log(side / max(min(video.width, video.height), 1))
    return found


def motion(sequences: Sequences) -> NDArray[np.float64]:
    """Logarithm of how much a clip's normalised embeddings vary and step at all, (N, 2).

    One number each, averaged over dimensions: a head that knows more than how much a face moves
    must be better than these.
    """
    columns = statistics_of(
        sequences.features,
        sequences.mask,
        statistics=("deviation", "steps"),
        frame_norm="layernorm_l2",
    )
    parts = np.nan_to_num(columns.astype(np.float64)).reshape(len(columns), 2, -1).mean(2)
    return np.asarray(np.log(np.maximum(parts, 1e-6)))
