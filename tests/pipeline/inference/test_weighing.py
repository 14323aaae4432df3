"""What is said of a score: verdict, likelihood ratio and the reason of UNSURE agree."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from data.errors import ConfigError
from models.applicability.novelty import REASON
from models.evaluation.calibration import Calibration
from models.evaluation.likelihood_ratio import LikelihoodRatio
from pipeline.inference.weighing import check_prior, weigh

RATIO = LikelihoodRatio(
    slope=0.5, intercept=0.0, lower=-1.0, upper=1.0, videos=100, groups=50, methods=2, cllr=0.6,
    draws=tuple((0.5, shift, -1.0, 1.0) for shift in np.linspace(-0.2, 0.2, 101).tolist()),
)  # fmt: skip


def head(threshold: float = 0.5, *, ratio: LikelihoodRatio | None = RATIO):
    """A head whose UNSURE are those of its ratio alone, as training makes it."""
    calibration = Calibration()
    if ratio is not None:
        calibration = calibration.widened(*ratio.unsure, threshold)
    return SimpleNamespace(threshold=threshold, calibration=calibration, likelihood_ratio=ratio)


@pytest.mark.parametrize("score", np.linspace(0.01, 0.99, 50).tolist())
def test_a_verdict_is_given_where_the_interval_excludes_one_and_never_against_it(score):
    told = weigh(head(), score, None)
    if told.log10_lr_low > 0:
        assert (told.verdict, told.reason) == ("FAKE", None)
    elif told.log10_lr_high < 0:
        assert (told.verdict, told.reason) == ("REAL", None)
    else:
        assert told.verdict == "UNSURE"
        assert told.reason == "the likelihood ratio may as well be 1"


def test_where_threshold_and_ratio_contradict_each_other_there_is_no_verdict():
    told = weigh(head(0.9), 0.8, None)  # the ratio says fake, a strict threshold not yet
    assert told.verdict == "UNSURE"
    assert "different sides" in told.reason
    assert weigh(head(0.9), 0.95, None).verdict == "FAKE"


def test_a_novel_video_is_unsure_however_sure_its_score_and_has_no_ratio():
    told = weigh(head(), 0.99, 1.01)
    assert (told.verdict, told.reason, told.log10_lr) == ("UNSURE", REASON, None)
    assert told.likelihood is None
    assert weigh(head(), 0.99, 0.99).verdict == "FAKE"


def test_a_bundle_without_ratios_judges_as_before():
    old = head(ratio=None)
    assert [weigh(old, score, None).verdict for score in (0.49, 0.5)] == ["REAL", "FAKE"]
    assert weigh(old, 0.5, None).likelihood is None


def test_a_prior_needs_ratios():
    check_prior(SimpleNamespace(head=head()), 0.1)
    with pytest.raises(ConfigError, match="train it anew"):
        check_prior(SimpleNamespace(head=head(ratio=None)), 0.1)
