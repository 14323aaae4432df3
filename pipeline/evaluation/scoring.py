"""Shared by `evaluate`, its matrix, `robustness` and `compare`: splits, sequences, metrics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data.datasets.manifest import SPLITS, Video
from data.errors import ConfigError, DatasetError
from features.sequences.dataset import Sequences, load_sequences
from features.store.feature_set import Features
from models.bundle import Bundle, BundledHead
from models.evaluation.baselines import pooled
from models.evaluation.evaluate import Evaluation, evaluate, level_percent
from models.evaluation.likelihood_ratio import LikelihoodRatio
from models.training_summary import RENDERED_METHOD

if TYPE_CHECKING:
    from pipeline.config import Params


def check_split(split: str) -> None:
    """Raises ConfigError where the name is no split."""
    if split not in (*SPLITS, "all"):
        raise ConfigError(f"--split must be {', '.join(SPLITS)} or all, got {split!r}")


def load_split(
    features: Features, videos: Sequence[Video], *, split: str, dataset: str
) -> Sequences:
    """The sequences of a split's videos; `dataset` names it in the message.

    Raises:
        DatasetError: none of the videos has features.
    """
    sequences = load_sequences(features, videos)
    if not len(sequences):
        raise DatasetError(f"{features.folder} has no features of the {split} split of {dataset}")
    return sequences


def heads_of(bundle: Bundle) -> dict[str, tuple[BundledHead, bool]]:
    """Kind -> head and whether it is the baseline; the head that gives the verdict comes first."""
    heads = {str(bundle.head.config.kind): (bundle.head, False)}
    if bundle.baseline is not None:
        heads[str(bundle.baseline.config.kind)] = (bundle.baseline, True)
    return heads


def measure(
    sequences: Sequences,
    scores: NDArray[Any],
    *,
    threshold: float | None,
    params: Params,
    **options: Any,
) -> Evaluation:
    """Metrics of scores, on bootstrap draws that depend on the videos and the seed alone.

    Args:
        sequences: the scored videos.
        scores: (N,) P(fake).
        threshold: chosen on other videos; None leaves out what needs one.
        params: rounds, confidence, seed.
        options: further ones of `models.evaluation.evaluate.evaluate`.

    Raises:
        DatasetError: one class only.
    """
    return evaluate(
        sequences.labels,
        scores,
        sequences.groups,
        sequences.methods,
        threshold=threshold,
        rounds=params.evaluate.rounds,
        confidence=params.evaluate.confidence,
        seed=params.seed,
        **options,
    )


def novel_videos(bundle: Bundle, sequences: Sequences) -> NDArray[np.bool_]:
    """Which videos, (N,), are unlike anything in training; none where the bundle cannot tell."""
    if bundle.novelty is None:
        return np.zeros(len(sequences), bool)
    return bundle.novelty.distance(pooled(sequences.features, sequences.mask)) > 1


def what_is_told(
    ratio: LikelihoodRatio, scores: NDArray[np.float64], novel: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """log10 LR as `predict` tells it, (N,), of P(fake): a novel video says nothing, so 0."""
    return np.where(novel, 0.0, ratio.told(scores))


def told_ratios(
    bundle: Bundle, head: BundledHead, sequences: Sequences, scores: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """The same of a bundle's head on these videos; None where it has no ratios."""
    ratio = head.likelihood_ratio
    return None if ratio is None else what_is_told(ratio, scores, novel_videos(bundle, sequences))


def are_rendered(methods: Iterable[str]) -> bool:
    """Whether all these forgery methods render people, so that they are no deepfakes."""
    return all(method.startswith(RENDERED_METHOD) for method in methods)


def describe_bootstrap(params: Params) -> str:
    """How the intervals are made, for a page."""
    return (
        f"{level_percent(params.evaluate.confidence)} % intervals by {params.evaluate.rounds} "
        f"draws of groups, seed {params.seed}"
    )
