"""What the scores of another detector mean: threshold, P(fake), likelihood ratio.

All three are fitted on the manifest's validation split, by the rules of `params.calibration` as for
a bundle. Without scores of both its classes there is neither P(fake) nor a likelihood ratio, and
the threshold, unless it is given, is that of the equal error rate on the measured videos
themselves, which flatters the detector. A score between 0 and 1 is no probability either until it
has been compared with labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.configs import CalibrationConfig
from models.evaluation.calibration import bounded_logit, fit_isotonic
from models.evaluation.likelihood_ratio import LikelihoodRatio
from models.evaluation.likelihood_ratio_fit import fit_by_groups
from models.evaluation.thresholds import eer_threshold, fit_sigmoid, pick_threshold

FEWEST = 5
"""Validation videos of each class, below which no P(fake) is fitted on them."""
Map = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Scores of any shape to P(fake)."""


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """What scores mean; higher is fake."""

    threshold: float  # at or above it a video is called fake
    threshold_rule: str  # how it was chosen, in words
    optimistic: bool  # whether on the measured videos themselves
    frame_threshold: float | None  # of single frames; None where there is none
    to_probability: Map | None  # None where P(fake) is unknown
    likelihood_ratio: LikelihoodRatio | None  # of P(fake)
    probabilities: str  # what they were fitted on, or why there are none, in words


@dataclass(frozen=True, kw_only=True)
class Validation:
    """Scored validation videos."""

    labels: NDArray[np.int64]  # (N,) 1 = fake
    scores: NDArray[np.float64]  # (N,)
    groups: tuple[str, ...]  # (N,)
    methods: tuple[str, ...]  # (N,)
    frames: Sequence[NDArray[np.float64]]  # (N,) of (T,), empty where a video has no frames

    @property
    def lacks(self) -> str:
        """Why nothing can be fitted, in words; "" where it can."""
        if not len(self.labels):
            return "no video of the validation split has a score"
        if not self.fewest:
            return "the validation split has scores of one class only"
        return ""

    @property
    def fewest(self) -> int:
        """Number of videos of the smaller class."""
        fakes = int(self.labels.sum())
        return min(fakes, len(self.labels) - fakes)


def find_meaning(
    validation: Validation | str,
    labels: NDArray[np.int64],
    scores: NDArray[np.float64],
    *,
    unit: bool,
    given: float | None,
    config: CalibrationConfig,
    seed: int,
) -> Meaning:
    """Fits all that can be.

    Args:
        validation: its videos with scores, or why there are none, in words.
        labels: (N,) of the measured videos with scores, 1 = fake; both classes.
        scores: (N,) theirs.
        unit: whether all scores lie between 0 and 1.
        given: the threshold, if the user gave it.
        config: the rules.
        seed: of draws.
    """
    lacks = validation if isinstance(validation, str) else validation.lacks
    if isinstance(validation, str) or lacks:
        threshold, rule = given, "given"
        if threshold is None:
            threshold = eer_threshold(labels, scores)
            rule = "of equal error rates on these very videos"
        return Meaning(
            threshold=threshold,
            threshold_rule=rule,
            optimistic=given is None,
            frame_threshold=None,
            to_probability=None,
            likelihood_ratio=None,
            probabilities=f"none, since {lacks}",
        )
    threshold, rule = pick_threshold(validation.labels, validation.scores, config, unit=unit)
    rule = f"chosen on {len(validation.labels)} validation videos by {rule}"
    if given is not None:
        threshold, rule = given, "given"
    to_probability, words = _probability(validation, unit=unit, config=config)
    ratio = None
    if to_probability is not None and config.folds:
        ratio = _ratio(validation, to_probability(validation.scores), seed=seed)
    return Meaning(
        threshold=threshold,
        threshold_rule=rule,
        optimistic=False,
        frame_threshold=_frame_threshold(validation, config, unit=unit),
        to_probability=to_probability,
        likelihood_ratio=ratio,
        probabilities=words,
    )


def _probability(
    validation: Validation, *, unit: bool, config: CalibrationConfig
) -> tuple[Map | None, str]:
    """The map of scores to P(fake), and what it is in words.

    Platt's sigmoid, of the logit where scores lie between 0 and 1: a foreign score may be shifted
    as well as too sure, and a temperature mends the second alone.
    """
    on = f"{len(validation.labels)} validation videos"
    if config.method == "none":
        return None, "none, since calibration.method is none"
    if validation.fewest < FEWEST:
        return None, (
            f"none, since a class has {validation.fewest} validation videos with a score, and "
            f"{FEWEST} of each are needed"
        )
    labels, scores = validation.labels, validation.scores
    if config.method == "isotonic":
        score, probability = np.asarray(fit_isotonic(labels, scores)).T
        return lambda given: np.interp(
            given, score, probability
        ), f"by isotonic regression, fitted on {on}"
    x = bounded_logit(scores) if unit else scores
    middle, spread = float(x.mean()), float(x.std())
    if not spread > 0:
        return None, "none, since all validation videos have one score"
    share = np.full(len(x), 1 / len(x))
    slope, bias = fit_sigmoid((x - middle) / spread, np.where(labels == 1, -1.0, 1.0), share)
    if slope <= 0:
        return None, (
            "none, since on validation videos fakes do not score higher than reals; if higher "
            "means real, pass --higher-is real"
        )

    def sigmoid(given: NDArray[np.float64]) -> NDArray[np.float64]:
        from scipy.special import expit

        at = bounded_logit(given) if unit else given
        return np.asarray(expit(slope * (at - middle) / spread + bias))

    return sigmoid, f"by Platt's sigmoid, fitted on {on}"


def _ratio(
    validation: Validation, probabilities: NDArray[np.float64], *, seed: int
) -> LikelihoodRatio:
    """The likelihood ratio, with draws of groups and, of several methods, of these."""
    fakes = np.asarray(validation.methods)[validation.labels == 1]
    return fit_by_groups(
        validation.labels,
        probabilities,
        validation.groups,
        validation.methods,
        methods_drawn=len(set(fakes.tolist())) > 1,
        methods_held_out=0,
        seed=seed,
    )


def _frame_threshold(
    validation: Validation, config: CalibrationConfig, *, unit: bool
) -> float | None:
    """The threshold of single frames, chosen on those of validation; None where there are none."""
    labels = np.concatenate(
        [np.full(len(one), label) for label, one in zip(validation.labels, validation.frames,
                                                       strict=True)]
    )  # fmt: skip
    frames = np.concatenate(list(validation.frames))
    there = ~np.isnan(frames)
    if len(set(labels[there].tolist())) < 2:
        return None
    return pick_threshold(labels[there], frames[there], config, unit=unit)[0]
