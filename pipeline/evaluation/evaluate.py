"""`unmask evaluate BUNDLE FEATURES`: measures a bundle on videos and people that it never saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from data.datasets.manifest import Manifest, Video
from data.io.progress import log
from features.sequences.dataset import Sequences
from features.store.feature_set import Features
from models.bundle import Bundle
from models.evaluation.evaluate import difference
from models.heads.inference import HeadNetwork
from models.training_summary import TrainingSummary
from pipeline.evaluation.baselines import FRAMES, kinds_of, measure_baselines, score_frames
from pipeline.evaluation.error_analysis import analyse_errors
from pipeline.evaluation.model_card import make_model_card
from pipeline.evaluation.results import ModelResult, Prediction, Report
from pipeline.evaluation.scoring import (
    are_rendered,
    check_split,
    heads_of,
    load_split,
    measure,
    novel_videos,
    what_is_told,
)
from pipeline.evaluation.similar_videos import (
    TestedVideos,
    count_tested,
    measured,
    median_side,
    unseen_forgeries,
)
from pipeline.leakage import refuse_seen, training_leaks

if TYPE_CHECKING:
    from pipeline.config import Params


def evaluate_bundle(
    bundle: Path,
    features: Path,
    *,
    manifest: Path,
    root: Path | None = None,
    split: str,
    allow_seen: bool,
    params: Params,
) -> Report:
    """Measures a bundle's head, its mean-pool baseline and the other baselines.

    `root` is the folder of the videos, for the faces on the page; it may be missing.

    Raises:
        ConfigError: no such split.
        LeakError: a video or a group was seen in training, and `allow_seen` is false.
        MismatchError: the features are not the bundle's.
        DatasetError: nothing to evaluate, or one class only.
    """
    check_split(split)
    opened, stored = Bundle.load(bundle), Features(features)
    if note := opened.check_recipe(stored.recipe.to_json()):
        log.warning(note)
    rows = Manifest.read(manifest)
    if root is not None:  # not by `read`, which wants it to exist
        rows = replace(rows, root=root)
    videos = rows.split(split)
    seen = refuse_seen(opened, videos, allow_seen=allow_seen)
    sequences = load_split(stored, videos, split=split, dataset=str(manifest))
    scored = [video for video in videos if video.sha256 in stored]  # as in `sequences`
    novel = novel_videos(opened, sequences)
    results, scores, frames = _measure_heads(opened, sequences, novel, kinds_of(scored), params)
    log10_lrs = {
        name: what_is_told(one.likelihood_ratio, scores[name], novel)
        for name, one in results.items()
        if one.likelihood_ratio is not None
    }
    (first, result), *others = results.items()
    paths = {video.path for video in videos}
    failures = [row for row in stored.failures() if row.get("path") in paths]
    failed = {row["path"] for row in failures}
    return Report(
        title="How far to trust this detector",
        models=results,
        gain=difference(result.evaluation, others[0][1].evaluation) if others else None,
        predictions=[
            Prediction(
                path=video.path,
                label=video.label,
                group=video.group,
                method=video.method,
                scores={name: float(values[row]) for name, values in scores.items()},
                log10_lrs={name: float(values[row]) for name, values in log10_lrs.items()},
                novel=bool(novel[row]),
            )
            for row, video in enumerate(scored)
        ],
        split=split,
        dataset=rows.counts(),
        failures=failures,
        missing=[path for path in sequences.missing if path not in failed],
        model_card=make_model_card(
            bundle,
            features,
            manifest,
            opened=opened,
            recipe=stored.recipe,
            videos=videos,
            split=split,
            params=params,
            root=root,
            allow_seen=allow_seen,
        ),
        tested_on=TrainingSummary.of(scored),
        tested=_count_tested(opened, stored, scored, scores[first], novel),
        seen=f"Not a fair test: {seen}." if seen else "",
        training_leaks=training_leaks(opened),
        rendered=are_rendered(video.method for video in scored if video.label),
        baselines=measure_baselines(
            opened,
            sequences,
            scored,
            frames[first],
            lambda values, threshold: measure(
                sequences, values, threshold=threshold, params=params
            ),
            result.evaluation,
            seed=params.seed,
        ),
        misclassified=analyse_errors(
            opened, stored, rows, sequences, scored, scores[first], frames[first]
        ),
    )


def _count_tested(
    bundle: Bundle,
    stored: Features,
    videos: Sequence[Video],
    scores: NDArray[np.float64],
    novel: NDArray[np.bool_],
) -> TestedVideos:
    """The head's verdicts on the evaluated videos, by what these are like."""
    head = bundle.head
    called = np.where(scores >= head.threshold, "FAKE", "REAL")
    verdicts = np.where(head.calibration.unsure(scores) | novel, "UNSURE", called)
    rows = []
    for video in videos:
        boxes = stored.sequence(video.sha256).boxes
        rows.append(
            measured(
                width=video.width,
                height=video.height,
                fps=video.fps,
                bit_rate=video.bit_rate,
                face_pixels=median_side(boxes),
                frames=len(boxes),
            )
        )
    labels = [video.label for video in videos]
    trained = {name for part in bundle.training.values() for name in part.methods}
    methods = [video.method for video in videos]
    return count_tested(
        np.asarray(labels),
        verdicts,
        {name: np.array([row[name] for row in rows]) for name in rows[0]},
        unseen_forgeries(labels, methods, trained) if bundle.training else None,
    )


def _measure_heads(
    bundle: Bundle,
    sequences: Sequences,
    novel: NDArray[np.bool_],
    kinds: dict[str, list[str]],
    params: Params,
) -> tuple[dict[str, ModelResult], dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]]]:
    """Results, scores (N,) and scores of single frames (N, T) of the head and its baseline."""
    results, scores, frames = {}, {}, {}
    for name, (head, is_baseline) in heads_of(bundle).items():
        scores[name] = bundle.score(sequences, baseline=is_baseline)
        frames[name] = score_frames(bundle, sequences, baseline=is_baseline)
        ratio = head.likelihood_ratio
        results[name] = ModelResult(
            evaluation=measure(
                sequences,
                scores[name],
                threshold=head.threshold,
                params=params,
                kinds=kinds,
                frame_scores=frames[name],
                frame_threshold=head.ablation_thresholds.get(FRAMES),
                log10_lrs=None if ratio is None else what_is_told(ratio, scores[name], novel),
            ),
            calibration=head.calibration,
            likelihood_ratio=ratio,
            linear_alone=HeadNetwork.of(head.model).is_linear_alone,
            history=head.history,
            best_epoch=head.best_epoch,
            stop_reason=head.stop_reason,
        )
    return results, scores, frames
