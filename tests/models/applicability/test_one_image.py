"""Which part of a bundle judges one image, and that it says only what it was calibrated for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from data.errors import StoreError
from models.applicability.novelty_fit import fit_novelty
from models.applicability.one_image import NOT_CALIBRATED, OneImage, image_judge, reads_time
from models.backbones.registry import Backbone
from models.bundle import Bundle, BundledHead
from models.evaluation.calibration import Calibration
from models.heads.inference import HeadNetwork, score
from models.records import BUNDLE_RECORD
from tests.models.conftest import made_up, shaped
from tests.models.heads.test_inference import DIM, head_of
from tests.models.test_bundle import train_bundle

KNOWN = OneImage(
    judge="head",
    threshold=0.4,
    calibration=Calibration(method="temperature", temperature=1.5, unsure_low=0.3, unsure_high=0.5),
    novelty_threshold=7.5,
    videos=12,
)


def bundled(shape: str, **settings: Any) -> BundledHead:
    """An untrained head of one of SHAPES, with random weights."""
    return BundledHead(
        model=HeadNetwork.of(head_of(shape, **settings)),
        config=shaped(shape, units=7, **settings),
        threshold=0.5,
        history=(),
        best_epoch=1,
        stop_reason="",
    )


@pytest.mark.parametrize(
    ("shape", "settings", "judge"),
    [
        ("mean", {}, "head"),
        ("logistic", {}, "head"),
        ("attention", {}, "head"),
        ("statistics", {}, "head"),
        ("statistics", {"statistics": ("deviation", "steps")}, "baseline"),
        ("lstm", {}, "baseline"),
        ("bilstm", {}, "baseline"),
        ("gru", {}, "baseline"),
        ("residual lstm", {}, "linear part"),
        ("residual gru", {}, "linear part"),
        ("residual attention", {}, "linear part"),  # it reads differences of frames
        ("residual lstm", {"statistics": ("deviation",)}, "baseline"),
    ],
)
def test_what_needs_no_time_judges(shape: str, settings: dict[str, Any], judge: str) -> None:
    head, baseline = bundled(shape, **settings), bundled("mean")
    found = image_judge(head, baseline)
    assert found is not None
    assert found[0] == judge
    assert reads_time(head) == (judge != "head")
    if judge == "baseline":
        assert image_judge(head, None) is None


def test_the_linear_part_is_the_mean_of_the_frame_alone() -> None:
    """It gives what the linear model gives, and nothing of the frame's neighbours."""
    head = bundled("residual lstm")
    found = image_judge(head, None)
    assert found is not None
    draw = np.random.default_rng(0)
    frames = draw.standard_normal((5, 1, DIM)) * 4
    mask = np.ones((5, 1), bool)
    inputs = {"features": frames, "mask": mask}
    network = HeadNetwork.of(head.model)
    base = HeadNetwork(layers=(*network.layers[: network.shared], *network.base))
    logits = base(inputs)
    np.testing.assert_allclose(found[1].model(inputs), 1 / (1 + np.exp(-logits)), atol=1e-6)
    assert np.ptp(found[1].model(inputs)) > 0.01


def test_without_a_calibration_every_verdict_is_unsure(thin: Backbone) -> None:
    bundle = train_bundle(thin)
    assert bundle.one_image is None
    for_images = bundle.for_one_image()
    assert for_images is not None
    assert for_images.unsure_reason == NOT_CALIBRATED
    head = for_images.head
    assert {head.calibration.verdict(p, head.threshold) for p in (0.0, 0.5, 1.0)} == {"UNSURE"}
    assert head.likelihood_ratio is None
    assert for_images.novelty is None


def test_the_calibration_of_images_comes_back_and_takes_the_place_of_the_videos(
    thin: Backbone, tmp_path: Any
) -> None:
    means = np.random.default_rng(0).standard_normal((30, 8))
    fitted = fit_novelty(means[:20], means[20:], [f"p{n}" for n in range(30)], share=0.05)
    assert fitted is not None
    novelty = fitted.novelty
    bundle = replace(
        train_bundle(thin), novelty=novelty, one_image=replace(KNOWN, judge="baseline")
    )
    bundle.save(tmp_path / "bundle")
    read = Bundle.load(tmp_path / "bundle")
    assert read.one_image == bundle.one_image
    for_images = read.for_one_image()
    assert for_images is not None
    assert for_images.unsure_reason is None
    assert (for_images.head.threshold, for_images.head.calibration) == (0.4, KNOWN.calibration)
    assert for_images.novelty is not None
    np.testing.assert_allclose(
        for_images.novelty.distance(means) * 7.5, novelty.distance(means) * novelty.threshold
    )
    videos = made_up(6, seed=4)
    baseline = read.baseline
    assert baseline is not None
    np.testing.assert_array_equal(
        score(for_images.head.model, videos), score(baseline.model, videos)
    )


@pytest.mark.parametrize(
    ("key", "value"), [("judge", "nobody"), ("novelty_threshold", -1), ("threshold", "high")]
)
def test_a_damaged_record_is_refused(
    thin: Backbone, tmp_path: Any, key: str, value: object
) -> None:
    import json

    replace(train_bundle(thin), one_image=KNOWN).save(tmp_path / "bundle")
    path = tmp_path / "bundle" / BUNDLE_RECORD
    facts = json.loads(path.read_text())
    facts["one_image"][key] = value
    path.write_text(json.dumps(facts))
    with pytest.raises(StoreError, match="damaged"):
        Bundle.load(tmp_path / "bundle")


def test_frames_of_people_like_those_of_training_are_seldom_novel() -> None:
    """A frame scatters more than a mean, so that the threshold of videos would call many novel."""
    draw = np.random.default_rng(0)
    people = np.repeat(np.arange(40), 3)
    centres = 3 + draw.standard_normal((40, 12))[people]
    means = np.exp(centres + 0.2 * draw.standard_normal(centres.shape))
    frames = np.exp(np.log(means) + 0.8 * draw.standard_normal(centres.shape))
    groups = [f"p{one}" for one in people]
    train, val = slice(0, 90), slice(90, 120)
    fitted = fit_novelty(means[train], means[val], groups, share=0.05, frames=frames)
    assert fitted is not None
    novelty, found = fitted.novelty, fitted.frame_threshold
    alone = fit_novelty(means[train], means[val], groups, share=0.05)
    assert alone is not None
    assert alone.frame_threshold == alone.novelty.threshold == novelty.threshold
    assert found > 1.1 * novelty.threshold
    new = 3 + draw.standard_normal((300, 12))  # other people
    others = np.exp(new + 0.8 * draw.standard_normal(new.shape))
    beyond = novelty.distance(others) * novelty.threshold > found
    assert beyond.mean() < 0.15
    assert (novelty.distance(others) > 1).mean() > 2 * beyond.mean()
    same = np.ones((6, 12))
    assert fit_novelty(same[:3], same[3:], groups[:6], share=0.05, frames=same) is None
