"""Baselines are judged at thresholds of their own, or not at all."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from data.datasets.manifest import SplitCounts, Video
from features.sequences.dataset import Sequences
from models.bundle import Bundle, BundledHead
from models.configs import CalibrationConfig, HeadConfig
from models.evaluation.evaluate import Evaluation, evaluate
from models.evaluation.metrics import AT_THRESHOLD
from models.tf_runtime import tf
from pipeline.evaluation.baselines import (
    FRAMES,
    ONE_FRAME,
    SHUFFLED,
    measure_baselines,
    score_frames,
    with_ablation_thresholds,
)
from pipeline.evaluation.results import MisclassifiedVideo, ModelResult, Prediction, Report
from pipeline.reporting.charts.performance import score_over_time
from pipeline.reporting.report import render_page

EVEN = CalibrationConfig(method="none")


def videos(count: int, seed: int) -> Sequences:
    """Videos of 8 frames; a fake's frames are a little higher, and it ends on its highest."""
    draw = np.random.default_rng(seed)
    labels = (np.arange(count) % 2).astype(np.int8)
    features = draw.normal(0, 0.3, (count, 8, 1)) + labels[:, None, None]
    features[:, -1] += 2 * labels[:, None]
    names = tuple(f"{number}" for number in range(count))
    return Sequences(
        features=features.astype(np.float32), mask=np.ones((count, 8), bool), labels=labels,
        groups=names, methods=("swap",) * count, paths=names, sha256s=names,
    )  # fmt: skip


def grows_sure(inputs: Any, training: bool) -> Any:
    """A head as an LSTM may be: sure after many frames, and the last one counts most."""
    existing = tf.cast(inputs["mask"], tf.float32)
    total = tf.reduce_sum(inputs["features"][:, :, 0] * existing, axis=1)
    return tf.sigmoid(total + 2 * inputs["features"][:, -1, 0] - 8.0)


def bundle_of(kind: str = "lstm") -> Bundle:
    head = BundledHead(
        model=lambda inputs, training: grows_sure(inputs, training),
        config=HeadConfig(kind=kind), threshold=0.5, history=(), best_epoch=0, stop_reason="",
    )  # fmt: skip
    return Bundle(
        head=head, baseline=None, recipe={"backbone": "b", "backbone_digest": "d"}, dim=1,
        trained_on={}, provenance={}, backbone="b",
    )  # fmt: skip


def manifest_rows(count: int) -> list[Video]:
    return [
        Video(path=str(number), label=number % 2, group=str(number), method="swap", split="test",
              sha256=str(number), size_bytes=1, codec="h264", width=1, height=1, fps=25.0,
              duration_seconds=1.0, bit_rate=1)
        for number in range(count)
    ]  # fmt: skip


def measured(bundle: Bundle, test: Sequences) -> tuple[Evaluation, dict[str, Evaluation]]:
    """The head, with its single frames, and the baselines by name."""

    def measure(values: Any, threshold: float | None, **more: Any) -> Evaluation:
        return evaluate(test.labels, values, test.groups, test.methods, threshold=threshold,
                        rounds=50, confidence=0.95, **more)  # fmt: skip

    frames = score_frames(bundle, test)
    at = bundle.head.ablation_thresholds.get(FRAMES)
    head = measure(bundle.score(test), 0.5, frame_scores=frames, frame_threshold=at)
    rows = manifest_rows(len(test))
    found = measure_baselines(bundle, test, rows, frames, measure, head, seed=0)
    return head, {one.name: one.evaluation for one in found}


def test_each_baseline_is_judged_at_its_own_threshold() -> None:
    test = videos(80, 1)
    bundle = with_ablation_thresholds(bundle_of(), videos(60, 0), EVEN, seed=0)
    assert set(bundle.head.ablation_thresholds) == {FRAMES, ONE_FRAME, SHUFFLED}
    head, controls = measured(bundle, test)
    assert head.metrics["balanced_accuracy"].value > 0.95
    # At the videos' threshold no single frame is called fake, however well they are ordered.
    assert np.nanmax(score_frames(bundle, test)[test.labels == 1, :-1]) < 0.5
    assert head.frames["auc"].value > 0.95
    assert head.frames["balanced_accuracy"].value > 0.9
    assert head.frames["recall_fake"].value > 0.9
    for name, key in (("LSTM, one frame", ONE_FRAME), ("LSTM, shuffled frames", SHUFFLED)):
        assert controls[name].threshold == bundle.head.ablation_thresholds[key] != 0.5
        assert controls[name].metrics["balanced_accuracy"].value > 0.85, name
    facts = head.to_json()
    assert facts["frame_threshold"] == bundle.head.ablation_thresholds[FRAMES]


def test_without_a_threshold_what_needs_one_is_left_out() -> None:
    head, controls = measured(bundle_of(), videos(80, 1))
    for name in ("LSTM, one frame", "LSTM, shuffled frames"):
        facts = controls[name].to_json()
        assert facts["auc"] > 0.8
        assert not {*AT_THRESHOLD, "threshold", "real_as_real"} & facts.keys()
        assert not facts["recall_by_method"]
        assert "recall_fake" not in facts["by"]["method"]["swap"]
        json.dumps(facts, allow_nan=False)
    facts = head.to_json()
    assert {"threshold", "balanced_accuracy", "frame_auc"} <= facts.keys()
    assert not {f"frame_{name}" for name in (*AT_THRESHOLD, "threshold")} & facts.keys()


def test_a_mean_head_has_no_order_to_shuffle() -> None:
    bundle = with_ablation_thresholds(bundle_of("mean"), videos(60, 0), EVEN, seed=0)
    assert set(bundle.head.ablation_thresholds) == {FRAMES, ONE_FRAME}


@pytest.mark.parametrize("whole", [True, False])
def test_the_page_says_at_which_threshold(whole: bool) -> None:
    bundle = bundle_of()
    if whole:
        bundle = with_ablation_thresholds(bundle, videos(60, 0), EVEN, seed=0)
    test = videos(80, 1)
    head, _ = measured(bundle, test)
    result = ModelResult(evaluation=head, history=(), best_epoch=0, stop_reason="")
    predictions = [
        Prediction(path=name, label=int(label), group=name, method="", scores={"lstm": score})
        for name, label, score in zip(
            test.paths, test.labels, bundle.score(test).tolist(), strict=True
        )
    ]
    page = render_page(
        Report(title="", models={"lstm": result}, gain=None, predictions=predictions, split="test",
               dataset=[SplitCounts.of("all", ())], failures=(), missing=(), model_card={})
    )  # fmt: skip
    at = bundle.head.ablation_thresholds.get(FRAMES, 0.0)
    assert (f"chosen on single frames of validation videos: LSTM {at:.3f}." in page) is whole
    assert ("has no threshold for single frames" in page) is not whole


def test_single_frames_of_a_mistake_have_a_line_of_their_own() -> None:
    one = MisclassifiedVideo(
        row=0, timestamps_seconds=(0.0,), frame_scores=(0.1,), so_far=((0.0, 0.1),), strip="",
        shown_seconds=(), reason="",
    )  # fmt: skip
    for bundle in (
        bundle_of(),
        with_ablation_thresholds(bundle_of(), videos(60, 0), EVEN, seed=0),
    ):
        head, _ = measured(bundle, videos(80, 1))
        result = ModelResult(evaluation=head, history=(), best_epoch=0, stop_reason="")
        chart = score_over_time(one, result)
        own = bundle.head.ablation_thresholds
        levels = [level.value for level in chart.levels]
        assert levels == [0.5, *([own[FRAMES]] if own else [])]


def test_the_thresholds_travel_in_the_bundle(world: Any) -> None:
    bundle = Bundle.load(world.bundle)
    metrics = json.loads((world.report / "metrics.json").read_text())
    for head in (bundle.head, bundle.baseline):
        assert head is not None
        facts = metrics[head.config.kind]
        assert facts["frame_threshold"] == head.ablation_thresholds[FRAMES]
        assert facts["threshold"] == head.threshold
    controls = metrics["controls"]
    assert controls["LSTM, one frame"]["threshold"] == bundle.head.ablation_thresholds[ONE_FRAME]
    shuffled = controls["LSTM, shuffled frames"]
    assert shuffled["threshold"] == bundle.head.ablation_thresholds[SHUFFLED]
