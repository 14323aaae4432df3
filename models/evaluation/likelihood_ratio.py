"""Likelihood ratios: how many times as likely a score is of a fake than of a real video.

Forensic standards (ISO 21043, ENFSI 2015) ask for the weight of the evidence under two
propositions, not for a probability, which needs a prior. `models.evaluation.likelihood_ratio_fit`
fits what is applied here. scipy.special is imported by what computes with it: importing it takes
half a second, and `unmask results` only prints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

DRAWS = 200
"""Draws of groups behind the interval of a ratio."""
LEVEL = 0.95
"""Of this interval."""
BLOCK_SCORES = 4096
"""Scores whose draws are in memory at once."""
SUREST = 1e-7
"""Scores are kept this far from 0 and 1: one sure mistake must not outweigh all others."""
FARTHEST = float(np.log((1 - SUREST) / (1 - (1 - SUREST))))
"""Log-odds of the surest score."""
LN10 = float(np.log(10))


@dataclass(frozen=True, kw_only=True)
class LikelihoodRatio:
    """How P(fake) becomes log10 LR; "fake" is the first proposition, "real" the second.

    log10 LR = slope * logit(P) + intercept, not below `lower` and not above `upper`. P is the
    calibrated score, whose prior is that of the validation videos; the ratio has none.
    """

    slope: float  # at least 0; 0 where held-out scores do not tell fakes from reals
    intercept: float
    lower: float  # empirical bounds of log10 LR (ELUB); at most 0
    upper: float  # likewise; at least 0
    # slope, intercept, lower and upper of draws of groups, for intervals
    draws: tuple[tuple[float, float, float, float], ...]
    videos: int  # number of scores that it was fitted on
    groups: int  # of these, number of groups
    methods: int  # forgery methods that were held out; 0 where none could be
    cllr: float  # of the scores that it was fitted on, so a little too good

    def apply(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """P(fake), any shape, to log10 LR; NaN stays."""
        return np.clip(self.slope * bounded_logits(scores) + self.intercept, self.lower, self.upper)

    def told(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """The log10 LR that a verdict tells, of P(fake), any shape.

        The end nearest to 1 of its interval, and 1 where that includes it: a ratio fitted on few
        people and methods is known badly, and too far from 1 it misleads more than it helps too
        near. On ../shared/faces, unseen people and programs, the Cllr is 1.00 so, and was 1.02 by
        the ratio itself; on the demo, of four methods, 0.32 and 0.19.
        """
        return _nearest_to_one(*self.interval(scores))

    def of_score(self, score: float) -> tuple[float, float, float]:
        """What is told of one P(fake), and both ends of its interval."""
        low, high = self.interval(np.asarray(score))
        return float(_nearest_to_one(low, high)), float(low), float(high)

    def interval(
        self, scores: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lower and upper end of the interval of LEVEL of log10 LR, of the scores' shape.

        It covers which people and methods the ratio was fitted on, not which frames were taken.
        """
        whole = self.apply(scores)
        if not self.draws:
            return whole, whole
        flat, shape = np.ravel(scores), np.shape(scores)
        slope, intercept, lower, upper = np.asarray(self.draws).T[..., None]  # (R, 1) each
        ends = np.empty((2, len(flat)))
        tail = (1 - LEVEL) / 2
        for start in range(0, len(flat), BLOCK_SCORES):
            rows = slice(start, start + BLOCK_SCORES)
            drawn = np.clip(slope * bounded_logits(flat[rows]) + intercept, lower, upper)
            ends[:, rows] = np.quantile(drawn, [tail, 1 - tail], axis=0)
        low, high = ends.reshape(2, *shape)
        return np.minimum(low, whole), np.maximum(high, whole)

    def includes_one(self, score: float) -> bool:
        """Whether the interval of one P(fake) includes the ratio 1: it may speak for neither."""
        low, high = self.interval(np.asarray([score]))
        return bool(low[0] <= 0 <= high[0])

    @property
    def unsure(self) -> tuple[float, float]:
        """P(fake) from which, and below which, the interval includes 1.

        The ends of the interval rise with P, so that these P are one band; (0, just above 1) where
        they are all.
        """

        from scipy.special import expit

        def first(end: int, beyond: bool) -> float:
            """The lowest P whose end of the interval is positive, or not negative."""
            low, high = -FARTHEST, FARTHEST

            def holds(x: float) -> bool:
                value = self.interval(expit(np.asarray([x])))[end][0]
                return bool(value > 0 if beyond else value >= 0)

            if holds(low):
                return 0.0
            if not holds(high):
                return float(np.nextafter(1, 2))
            for _ in range(60):
                middle = (low + high) / 2
                low, high = (low, middle) if holds(middle) else (middle, high)
            return float(expit(high))

        return first(1, False), first(0, True)

    @property
    def origin(self) -> str:
        """What it was fitted on, in words."""
        people = "" if self.groups == 1 else "s"
        held = f", {self.methods} forgery methods held out" if self.methods else ""
        return f"{self.videos} held-out videos of {self.groups} group{people}{held}"

    @property
    def in_words(self) -> str:
        """Its bounds and cost, in words."""
        if self.slope == 0 or self.lower == self.upper:
            return "there the scores told nothing, so each ratio is 1"
        return f"log10 LR from {self.lower:.2f} to {self.upper:.2f}, Cllr {self.cllr:.3f}"

    def to_json(self) -> dict[str, Any]:
        """For bundle.json."""
        return asdict(self)

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> LikelihoodRatio:
        """Reads a bundle.json's.

        Raises:
            ValueError, TypeError, KeyError: it is something else.
        """
        draws = tuple(
            (float(slope), float(intercept), float(lower), float(upper))
            for slope, intercept, lower, upper in facts["draws"]
        )
        read = cls(
            slope=float(facts["slope"]),
            intercept=float(facts["intercept"]),
            lower=float(facts["lower"]),
            upper=float(facts["upper"]),
            draws=draws,
            videos=int(facts["videos"]),
            groups=int(facts["groups"]),
            methods=int(facts["methods"]),
            cllr=float(facts["cllr"]),
        )
        if not (read.slope >= 0 and read.lower <= 0 <= read.upper) or len(draws) > 10 * DRAWS:
            raise ValueError("the likelihood ratio's numbers do not fit each other")
        return read


def _nearest_to_one(low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
    """The end of an interval of log10 LR nearest to 0, and 0 where it is within; NaN stays."""
    return np.where(np.isnan(low), low, np.where(low > 0, low, np.where(high < 0, high, 0.0)))


def even_odds_llrs(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """log10 LR of P(fake) read as if half of all videos were fakes."""
    return bounded_logits(scores) / LN10


def posterior(log10_lr: float, prior: float) -> float:
    """P(fake) after the evidence, by Bayes' rule, from the prior share of fakes (0 to 1)."""
    from scipy.special import expit, logit

    return float(expit(logit(prior) + log10_lr * LN10))


def in_words(log10_lr: float) -> str:
    """The ratio as a sentence about the score, without its full stop."""
    more, less = ("fake", "real") if log10_lr > 0 else ("real", "fake")
    times = times_in_words(log10_lr)
    if times == "1":
        return "such a score is about as likely if the video is fake as if it is real"
    return (
        f"such a score is at least {times} times as likely if the video is {more} than if it is "
        f"{less}"
    )


def ratio_in_words(log10_lr: float) -> str:
    """The ratio as a number or, below 1, as one part of a number: "12", "1/8"."""
    times = times_in_words(log10_lr)
    return times if log10_lr >= 0 or times == "1" else f"1/{times}"


def interval_in_words(low: float | None, high: float | None) -> str:
    """The interval of a ratio: "95 % interval of the ratio 3.1 to 40"."""
    if low is None or high is None:
        return "no interval"
    return (
        f"{100 * LEVEL:g} % interval of the ratio fake to real: {ratio_in_words(low)} to "
        f"{ratio_in_words(high)}"
    )


def times_in_words(log10_lr: float) -> str:
    """How many times: two digits at most; "1" where it is nearly none."""
    times = 10.0 ** abs(log10_lr)
    if times < 1.05:
        return "1"
    return f"{times:.1f}" if times < 9.95 else f"{float(f'{times:.2g}'):,.0f}"


def bounded_logits(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log-odds of scores, finite."""
    from scipy.special import logit

    return np.asarray(logit(np.clip(scores, SUREST, 1 - SUREST)))
