"""`unmask evaluate` and `unmask results`: scores of videos never seen, into a report.

The leak guard stands here: whatever trained the backbone or the head must not be evaluated on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import ConfigError, DatasetError, InputError, LeakError
from data.folders import check_replaceable
from data.manifest import SPLITS, Manifest, Video
from features.published import Features
from features.sequences import Sequences, load_sequences
from models.bundle import Bundle, BundledHead
from models.evaluate import Evaluation, difference, evaluate
from pipeline.config import Params
from pipeline.controls import kinds_of, run_controls, score_frames
from pipeline.report import render_page
from pipeline.results import (
    METRICS,
    ModelResult,
    Prediction,
    Report,
    is_model,
    read_metrics,
    table,
    write_report,
)

RENDERED = "rendered"
"""How the names of methods begin that are no deepfakes but made by code."""


def evaluate_bundle(
    bundle: Path,
    features: Path,
    out: Path,
    *,
    manifest: Path,
    split: str,
    allow_seen: bool,
    params: Params,
    quiet: bool,
) -> dict[str, Any]:
    """Measures a bundle and writes its report.

    Returns:
        What metrics.json holds.

    Raises:
        LeakError: a video or a group was seen in training, and `allow_seen` is false.
        MismatchError: the features are not the bundle's.
        DatasetError: nothing to evaluate, or one class only.
    """
    if split not in (*SPLITS, "all"):
        raise ConfigError(f"--split must be {', '.join(SPLITS)} or all, got {split!r}")
    opened = Bundle.load(bundle)
    stored = Features(features)
    opened.check_recipe(stored.recipe.to_json())
    rows = Manifest.read(manifest)
    videos = rows.split(split)
    seen = seen_before(opened, videos)
    if seen and not allow_seen:
        raise LeakError(
            f"{seen}; evaluate on videos of other people, or pass --allow-seen, which marks the "
            "report"
        )
    check_replaceable(out, marker=METRICS)
    sequences = load_sequences(stored, videos)
    if not len(sequences):
        raise DatasetError(f"{features} has no features of the {split} split of {manifest}")
    report = make_report(
        opened,
        sequences,
        [video for video in videos if video.sha256 in stored],
        split=split,
        params=params,
        seen=seen,
        dataset=rows.summary(),
        failures=failures_among(videos, stored),
        command=f"unmask evaluate {bundle} {features} --manifest {manifest} --split {split}",
    )
    write_report(report, out, render_page(report))
    if not quiet:
        print("\n".join(table({out.name: report.metrics})))
        print(f"report: {out / 'report.html'}")
    return report.metrics


def seen_before(bundle: Bundle, videos: Iterable[Video]) -> str:
    """What of these videos trained the head or the backbone, in words; empty if nothing did."""
    digests: set[str] = set()
    groups: set[str] = set()
    for trained_on in (bundle.trained_on, bundle.provenance.get("trained_on", {})):
        for part in trained_on.values():
            digests |= set(part.get("sha256s", ()))
            groups |= set(part.get("groups", ()))
    files = [video.path for video in videos if video.sha256 in digests]
    people = sorted({video.group for video in videos if video.group in groups})
    if files:
        return f"{len(files)} of these videos were seen in training, {files[0]} for one"
    if people:
        return f"{len(people)} of these groups were seen in training, {people[0]} for one"
    return ""


def failures_among(videos: Iterable[Video], features: Features) -> list[dict[str, str]]:
    """The rows of failures.csv that concern these videos."""
    wanted = {video.path for video in videos}
    return [row for row in features.failures() if row.get("path") in wanted]


def make_report(
    bundle: Bundle,
    sequences: Sequences,
    videos: Sequence[Video],
    *,
    split: str,
    params: Params,
    seen: str,
    dataset: Sequence[str],
    failures: Sequence[dict[str, str]],
    command: str,
) -> Report:
    """Scores the videos by the head, the baseline and the controls, all on the same draws.

    `videos` are the manifest's rows of the sequences, in their order.
    """
    heads = {bundle.head.config.kind: (bundle.head, False)}
    if bundle.baseline is not None:
        heads[bundle.baseline.config.kind] = (bundle.baseline, True)
    kinds = kinds_of(videos)
    results, scores, frames = {}, {}, {}

    def measure(values: NDArray[np.float64], threshold: float, **more: Any) -> Evaluation:
        """On the same draws of the same videos, whatever scored them."""
        return evaluate(
            sequences.labels,
            values,
            sequences.groups,
            sequences.methods,
            threshold=threshold,
            rounds=params.evaluate.rounds,
            confidence=params.evaluate.confidence,
            seed=params.seed,
            **more,
        )

    for name, (head, is_baseline) in heads.items():
        scores[name] = bundle.score(sequences, baseline=is_baseline)
        frames[name] = score_frames(bundle, sequences, baseline=is_baseline)
        results[name] = ModelResult(
            evaluation=measure(
                scores[name], head.threshold, kinds=kinds, frame_scores=frames[name]
            ),
            calibration=head.calibration,
            history=head.history,
            best_epoch=head.best_epoch,
            stop_reason=head.stop_reason,
        )
    evaluations = [result.evaluation for result in results.values()]
    predictions = [
        Prediction(
            path=sequences.paths[row],
            label=int(sequences.labels[row]),
            group=sequences.groups[row],
            method=sequences.methods[row],
            scores={name: float(values[row]) for name, values in scores.items()},
        )
        for row in range(len(sequences))
    ]
    return Report(
        title="How far to trust this detector",
        models=results,
        gain=difference(evaluations[0], evaluations[1]) if len(evaluations) == 2 else None,
        controls=run_controls(
            bundle,
            sequences,
            videos,
            next(iter(frames.values())),
            measure,
            evaluations[0],
            seed=params.seed,
        ),
        predictions=predictions,
        split=split,
        dataset=dataset,
        failures=failures,
        missing=[path for path in sequences.missing if path not in {r["path"] for r in failures}],
        cards=cards(bundle, params, command),
        seen=f"Not a fair test: {seen}." if seen else "",
        rendered=all(row.method.startswith(RENDERED) for row in predictions if row.label),
    )


def cards(bundle: Bundle, params: Params, command: str) -> dict[str, dict[str, str]]:
    """Facts about the features, the head, what it saw, and how to do it again."""
    recipe = dict(bundle.recipe)
    frames = recipe.pop("frames", {})
    tuned = bundle.provenance.get("trained_on", {})
    return {
        "Features": {
            **{str(key): str(value) for key, value in recipe.items()},
            **{f"frames.{key}": str(value) for key, value in frames.items()},
        },
        "Head": {
            "kind": bundle.head.config.kind,
            "units": str(bundle.head.config.units),
            "dropout": f"{bundle.head.config.dropout:g}",
            "threshold": f"{bundle.head.threshold:.6f}",
            **calibrated(bundle.head),
        },
        "Seen in training": {
            **{f"head, {name}": counted(part) for name, part in bundle.trained_on.items()},
            **{f"backbone, {name}": counted(part) for name, part in tuned.items()},
        },
        "Again": {
            "command": command,
            "bootstrap": f"{params.evaluate.rounds} draws of groups, seed {params.seed}",
            **(bundle.versions or {}),
        },
    }


def calibrated(head: BundledHead) -> dict[str, str]:
    """How scores become verdicts."""
    told = head.calibration
    facts = {"threshold chosen by": told.rule, "calibration": told.method}
    if told.method == "temperature":
        facts["temperature"] = f"{told.temperature:.3f}"
    if told.threshold_low is not None and told.threshold_high is not None:
        facts["threshold's interval"] = f"{told.threshold_low:.3f} to {told.threshold_high:.3f}"
    if told.unsure_low is not None and told.unsure_high is not None:
        facts["unsure"] = f"{told.unsure_low:.3f} to {told.unsure_high:.3f}"
    return facts


def counted(part: Mapping[str, Sequence[str]]) -> str:
    """How many videos and groups."""
    return f"{len(part.get('sha256s', ()))} videos of {len(part.get('groups', ()))} groups"


def show_results(reports: Path, *, as_json: bool) -> None:
    """Prints the metrics of several reports side by side, and where their pages are."""
    found = read_metrics(reports)
    if not found:
        raise InputError(f"{reports} holds no report; write one with `unmask evaluate`")
    if as_json:
        print(json.dumps(found, indent=2, sort_keys=True))
        return
    videos = [facts for metrics in found.values() for facts in metrics.values() if is_model(facts)]
    print(
        f"{videos[0]['videos']} videos of {videos[0]['groups']} groups, 95 % intervals in brackets"
    )
    print("\n".join(table(found)))
    for name in found:
        page = reports / name / "report.html"
        print(f"report: {page if page.exists() else reports / 'report.html'}")
