"""`unmask evaluate` and `unmask results`: scores of videos never seen, into a report."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.datasets.manifest import SPLITS, Manifest, Video
from data.errors import (
    ConfigError,
    DatasetError,
    InputError,
    OutputError,
    StoreError,
    plain,
)
from data.io.atomic_folders import check_replaceable
from features.sequences.dataset import Sequences, load_sequences
from features.store.feature_set import Features
from models.bundle import Bundle
from models.evaluation.evaluate import Evaluation, difference, evaluate
from pipeline.config import Params
from pipeline.evaluation.baselines import FRAMES, kinds_of, run_controls, score_frames
from pipeline.evaluation.error_analysis import look_into
from pipeline.evaluation.held_out import write_result
from pipeline.evaluation.model_card import cards
from pipeline.evaluation.results import (
    METRICS,
    ModelResult,
    Prediction,
    Report,
    headings,
    is_model,
    read_metrics,
    table,
    write_report,
)
from pipeline.extraction.extract import warn
from pipeline.leakage import MARK, marks_of, refuse_seen
from pipeline.reporting.report import render_page

RENDERED = "rendered"
"""How the names of methods begin that are no deepfakes but made by code."""


def evaluate_any(
    sources: Sequence[Path],
    out: Path,
    *,
    manifest: Path | None,
    on: Sequence[str],
    root: Path | None,
    split: str,
    allow_seen: bool,
    params: Params,
    quiet: bool,
) -> dict[str, Any]:
    """A report on one bundle, or with `on` a matrix of bundles and data sets.

    Returns:
        What metrics.json or matrix.json holds.

    Raises:
        ConfigError: the arguments do not belong together.
    """
    check_split(split)
    if on:
        from pipeline.evaluation.matrix import evaluate_matrix

        if manifest is not None or root is not None:
            raise ConfigError(
                "--on names features and manifest together, and looks at no video: "
                "leave --manifest and --root out"
            )
        return evaluate_matrix(
            sources, out, on=on, split=split, allow_seen=allow_seen, params=params, quiet=quiet
        )
    if manifest is None or len(sources) != 2:
        raise ConfigError(
            "evaluate takes BUNDLE FEATURES --manifest FILE, or BUNDLE... --on FEATURES:MANIFEST"
        )
    bundle, features = sources
    return evaluate_bundle(
        bundle, features, out, manifest=manifest, root=root, split=split, allow_seen=allow_seen,
        params=params, quiet=quiet,
    )  # fmt: skip


def check_split(split: str) -> None:
    """Refuses what is no split.

    Raises:
        ConfigError: it is none.
    """
    if split not in (*SPLITS, "all"):
        raise ConfigError(f"--split must be {', '.join(SPLITS)} or all, got {split!r}")


def evaluate_bundle(
    bundle: Path,
    features: Path,
    out: Path,
    *,
    manifest: Path,
    root: Path | None = None,
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
    check_replaceable(out, marker=METRICS)
    opened = Bundle.load(bundle)
    stored = Features(features)
    warn(opened.check_recipe(stored.recipe.to_json()))
    rows = Manifest.read(manifest)
    if root is not None:  # a folder that is not there costs the page its faces, no more
        rows = replace(rows, root=root)
    videos = rows.split(split)
    seen = refuse_seen(opened, videos, allow_seen=allow_seen)
    sequences = load_sequences(stored, videos)
    if not len(sequences):
        raise DatasetError(f"{features} has no features of the {split} split of {manifest}")
    report = make_report(
        opened,
        stored,
        sequences,
        rows,
        split=split,
        params=params,
        seen=seen,
        failures=failures_among(videos, stored),
        facts=cards(
            bundle,
            features,
            manifest,
            opened,
            stored,
            rows,
            split,
            params,
            root=root,
            allow_seen=allow_seen,
        ),
    )
    write_report(report, out, render_page(report))
    if not report.seen:
        keep_result(bundle, report, rows)
    if not quiet:
        print("\n".join(table({out.name: report.metrics})))
        for mark in report.marks:
            print(plain(f"warning: {mark}"))
        if faceless := sum(bool(one.reason) for one in report.mistakes):
            print(f"no faces of {faceless} mistakes: the videos are not below --root, or fail")
        print(plain(f"report: {out / 'report.html'}"))
    return report.metrics


def keep_result(bundle: Path, report: Report, rows: Manifest) -> None:
    """Keeps a fair result beside the bundle, whose verdicts name it; a report can do without."""
    scored = {one.path for one in report.predictions}
    evaluation = next(iter(report.models.values())).evaluation
    try:
        write_result(
            bundle, evaluation, [one for one in rows.videos if one.path in scored],
            split=report.split,
        )  # fmt: skip
    except OutputError as error:
        told = f"the verdicts of {bundle} will not name this result: {error}"
        print(plain(told), file=sys.stderr)


def failures_among(videos: Iterable[Video], features: Features) -> list[dict[str, str]]:
    """The rows of failures.csv that concern these videos."""
    wanted = {video.path for video in videos}
    return [row for row in features.failures() if row.get("path") in wanted]


def make_report(
    bundle: Bundle,
    stored: Features,
    sequences: Sequences,
    manifest: Manifest,
    *,
    split: str,
    params: Params,
    seen: str,
    failures: Sequence[dict[str, str]],
    facts: dict[str, dict[str, str]],
) -> Report:
    """Scores the videos by the head, the baseline and the controls, all on the same draws.

    `sequences` are of the videos of the manifest's split that have features, in its order.
    """
    videos = [video for video in manifest.split(split) if video.sha256 in stored]
    heads = {str(bundle.head.config.kind): (bundle.head, False)}
    if bundle.baseline is not None:
        heads[bundle.baseline.config.kind] = (bundle.baseline, True)
    kinds = kinds_of(videos)
    results, scores, frames = {}, {}, {}

    def measure(values: NDArray[np.float64], threshold: float | None, **more: Any) -> Evaluation:
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
                scores[name],
                head.threshold,
                kinds=kinds,
                frame_scores=frames[name],
                frame_threshold=head.ablation_thresholds.get(FRAMES),
            ),
            calibration=head.calibration,
            history=head.history,
            best_epoch=head.best_epoch,
            stop_reason=head.stop_reason,
        )
    evaluations = [result.evaluation for result in results.values()]
    first = next(iter(results))
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
            frames[first],
            measure,
            evaluations[0],
            seed=params.seed,
        ),
        predictions=predictions,
        split=split,
        dataset=manifest.summary(),
        failures=failures,
        missing=[path for path in sequences.missing if path not in {r["path"] for r in failures}],
        cards=facts,
        seen=f"Not a fair test: {seen}." if seen else "",
        marks=marks_of(bundle),
        rendered=all(row.method.startswith(RENDERED) for row in predictions if row.label),
        mistakes=look_into(
            bundle, stored, manifest, sequences, videos, scores[first], frames[first]
        ),
    )


def show_results(reports: Path, *, as_json: bool) -> None:
    """Prints the metrics of several reports side by side, and where their pages are."""
    found = read_metrics(reports)
    if not found:
        raise InputError(f"{reports} holds no report; write one with `unmask evaluate`")
    if as_json:
        print(json.dumps(found, indent=2, sort_keys=True))
        return
    if not any(is_model(facts) for metrics in found.values() for facts in metrics.values()):
        raise StoreError(f"the reports in {reports} measure no model; evaluate again")
    print("\n".join([*(plain(line) for line in headings(found)), *table(found)]))
    for name, metrics in found.items():
        for key in ("seen_in_training", MARK):
            if metrics.get(key):
                print(plain(f"warning: {name}: {metrics[key]}"))
    for name in found:
        page = reports / name / "report.html"
        print(f"report: {page if page.exists() else reports / 'report.html'}")
