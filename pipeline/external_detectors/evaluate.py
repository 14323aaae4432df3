"""`unmask evaluate --scores FILE`: measures a detector that is not unmask's by its scores.

The same metrics, intervals, slices and page as of a bundle. What only a network can give is left
out: other views of its input, and whether a video is unlike its training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from data.datasets.manifest import Manifest, Video
from data.errors import DatasetError
from data.io.progress import log
from models.evaluation.evaluate import Evaluation, check_classes, evaluate
from models.evaluation.metrics import Probabilities
from models.training_summary import TrainingSummary
from pipeline.evaluation.baselines import kinds_of
from pipeline.evaluation.results import ModelResult, Prediction, Report
from pipeline.evaluation.scoring import are_rendered, check_split
from pipeline.external_detectors.baselines import measure_file_baselines
from pipeline.external_detectors.calibration import Meaning, Validation, find_meaning
from pipeline.external_detectors.errors import analyse_score_errors
from pipeline.external_detectors.missing import WORDS, extremes, filled
from pipeline.external_detectors.model_card import make_card
from pipeline.external_detectors.options import ScoreOptions
from pipeline.external_detectors.training_list import Training, check_training
from pipeline.score_files.read import read_scores
from pipeline.score_files.records import ExternalScores, VideoScores

if TYPE_CHECKING:
    from pipeline.config import Params

SCORE_NAMES = {"": "score", "taken from 1": "1 - score", "negated": "-score"}
"""How scores were turned around -> what they are called then."""
MOST_CELLS = 50_000_000
"""Of a table of frames' scores, videos times frames of the longest: 400 MB."""


def evaluate_scores(
    files: Sequence[Path],
    *,
    manifest: Path,
    options: ScoreOptions,
    features: Path | None = None,
    root: Path | None = None,
    split: str,
    allow_seen: bool,
    params: Params,
) -> Report:
    """Measures the scores of a split's videos.

    Args:
        files: CSV or JSON, together the scores of the split and, for threshold and calibration, of
            the validation split.
        manifest: with the labels.
        options: how the files are read and counted.
        features: a feature set of these videos, for the faces on the page.
        root: folder of the videos, for the same; the manifest's by default.
        split: that is measured.
        allow_seen: measure what is in the list of training videos, too.
        params: rules of calibration, rounds, confidence, seed.

    Raises:
        ConfigError: no such split.
        InputError: a file cannot be read, or a row of it is invalid.
        MismatchError: a row has another label than the manifest.
        LeakError: a video or a group was seen in training, and `allow_seen` is false.
        DatasetError: no video of the split has a score, or those of one class only.
    """
    check_split(split)
    rows = Manifest.read(manifest)
    if root is not None:
        rows = replace(rows, root=root)
    read = read_scores(
        files,
        rows.videos,
        columns=options.columns,
        higher=options.higher,
        aggregate=options.aggregate,
        match=options.match,
    )
    measured = [row for row, video in enumerate(rows.videos) if split in ("all", video.split)]
    videos = [rows.videos[row] for row in measured]
    chosen_by = [row for row, video in enumerate(rows.videos) if video.split == "val"]
    validation = (
        f"the {split} split is measured, which holds the validation videos"
        if split in ("val", "all")
        else _validation(rows.videos, chosen_by, read)
    )
    training = check_training(
        options.trained_on,
        rows.videos,
        videos,
        [] if isinstance(validation, str) else [rows.videos[row] for row in chosen_by],
        allow_seen=allow_seen,
    )
    scores = read.scores[measured]
    labels = np.asarray([video.label for video in videos], np.int64)
    there = ~np.isnan(scores)
    if not there.any():
        raise DatasetError(
            f"no video of the {split} split of {manifest} has a score; score them, or choose "
            "another --split"
        )
    check_classes(labels[there])
    meaning = find_meaning(
        validation,
        labels[there],
        scores[there],
        unit=read.unit,
        given=_turned(options.threshold, read.orientation),
        config=params.calibration,
        seed=params.seed,
    )
    external = _describe(files, options, read, meaning, training, there)
    kept = np.flatnonzero(there | (options.missing != "excluded"))
    result, predictions, measure = _measure(
        [videos[row] for row in kept],
        [measured[row] for row in kept],
        scores[kept],
        read,
        meaning,
        options,
        external.detector,
        params,
    )
    for line in external.warnings:
        log.debug(line)
    return Report(
        title=f"How far to trust {external.detector}",
        models={external.detector: result},
        gain=None,
        predictions=predictions,
        split=split,
        dataset=rows.counts(),
        failures=(),
        missing=[video.path for video, known in zip(videos, there, strict=True) if not known],
        model_card=make_card(
            external,
            read.facts,
            options,
            files=files,
            features=features,
            manifest=manifest,
            root=root,
            videos=videos,
            split=split,
            allow_seen=allow_seen,
            params=params,
        ),
        tested_on=TrainingSummary.of(videos[row] for row in kept),
        seen=f"Not a fair test: {training.seen}." if training.seen else "",
        training_leaks=training.leaks,
        rendered=are_rendered(videos[row].method for row in kept if videos[row].label),
        baselines=measure_file_baselines(
            rows, [videos[row] for row in kept], measure, result.evaluation
        ),
        misclassified=analyse_score_errors(
            rows,
            [videos[row] for row in kept],
            np.asarray([row.scores[external.detector] for row in predictions]),
            [read.frames.get(measured[row]) for row in kept],
            threshold=meaning.threshold,
            aggregate=options.aggregate,
            features=features,
        ),
        external=external,
    )


def _validation(videos: Sequence[Video], chosen_by: Sequence[int], read: VideoScores) -> Validation:
    """The validation videos that have a score."""
    rows = [row for row in chosen_by if not np.isnan(read.scores[row])]
    return Validation(
        labels=np.asarray([videos[row].label for row in rows], np.int64),
        scores=read.scores[rows],
        groups=tuple(videos[row].group for row in rows),
        methods=tuple(videos[row].method for row in rows),
        frames=[read.frames.get(row, np.empty(0)) for row in rows],
    )


def _turned(threshold: float | None, orientation: str) -> float | None:
    """A threshold of the files on the scale on which higher is fake."""
    if threshold is None or not orientation:
        return threshold
    return 1 - threshold if orientation == "taken from 1" else -threshold


def _measure(
    videos: Sequence[Video],
    rows: Sequence[int],
    scores: NDArray[np.float64],
    read: VideoScores,
    meaning: Meaning,
    options: ScoreOptions,
    name: str,
    params: Params,
) -> tuple[ModelResult, list[Prediction], partial[Evaluation]]:
    """Metrics and predictions of the videos that count, and how others are measured on them.

    `rows` are those of the manifest, `scores` (N,) have NaN where there is none.
    """
    labels = np.asarray([video.label for video in videos], np.int64)
    lacking = np.isnan(scores)
    low, high = extremes(scores[~lacking], meaning.threshold, unit=read.unit)
    counted = filled(scores, labels, options.missing, low, high)
    p_fake: NDArray[np.float64] | None = None
    log10_lrs = None
    if meaning.to_probability is not None:
        p_fake = meaning.to_probability(counted)
        if options.missing == "chance":  # such a video tells nothing
            p_fake = np.where(lacking, 0.5, p_fake)
        if meaning.likelihood_ratio is not None:
            log10_lrs = meaning.likelihood_ratio.told(p_fake)
            if options.missing == "chance":
                log10_lrs = np.where(lacking, 0.0, log10_lrs)
    measure = partial(
        evaluate,
        labels,
        groups=tuple(video.group for video in videos),
        methods=tuple(video.method for video in videos),
        rounds=params.evaluate.rounds,
        confidence=params.evaluate.confidence,
        seed=params.seed,
    )
    probabilities: Probabilities = "none" if p_fake is None else p_fake
    evaluation = measure(
        counted,
        threshold=meaning.threshold,
        kinds=kinds_of(videos),
        frame_scores=_frame_table(read, rows),
        frame_threshold=meaning.frame_threshold,
        log10_lrs=log10_lrs,
        probabilities=probabilities,
    )
    result = ModelResult(
        evaluation=evaluation,
        history=(),
        best_epoch=0,
        stop_reason="",
        likelihood_ratio=meaning.likelihood_ratio,
        score_name=SCORE_NAMES[read.orientation],
        unit=read.unit and 0 <= meaning.threshold <= 1,
    )
    predictions = [
        Prediction(
            path=video.path,
            label=video.label,
            group=video.group,
            method=video.method,
            scores={name: float(counted[row])},
            log10_lrs={} if log10_lrs is None else {name: float(log10_lrs[row])},
            p_fake={} if p_fake is None else {name: float(p_fake[row])},
        )
        for row, video in enumerate(videos)
    ]
    return result, predictions, measure


def _frame_table(read: VideoScores, rows: Sequence[int]) -> NDArray[np.float64] | None:
    """Scores of frames, (N, T), NaN where there is none; None where they would take too much."""
    longest = max((len(read.frames[row]) for row in rows if row in read.frames), default=0)
    if not longest:
        return None
    if longest * len(rows) > MOST_CELLS:
        log.warning(f"single frames are not measured: a video has {longest} of them")
        return None
    table = np.full((len(rows), longest), np.nan)
    for row, one in zip(table, rows, strict=True):
        frames = read.frames.get(one, ())
        row[: len(frames)] = frames
    known = ~np.isnan(table)
    return table if known.any() else None


def _describe(
    files: Sequence[Path],
    options: ScoreOptions,
    read: VideoScores,
    meaning: Meaning,
    training: Training,
    there: NDArray[np.bool_],
) -> ExternalScores:
    """What the report says of the detector."""
    warnings = []
    if options.trained_on is None:
        warnings.append(training.words)
    if meaning.optimistic:
        warnings.append(
            f"the threshold is that {meaning.threshold_rule}, so what is measured at it is "
            "optimistic; score the validation split, too, or pass --threshold"
        )
    if read.unmatched:
        warnings.append(
            f"{read.unmatched} of {read.rows} rows name no video of the manifest, "
            f"{read.unmatched_example[:200]!r} for one"
        )
    lengths = sorted({len(one) for one in read.frames.values()})
    counts = " to ".join(str(one) for one in dict.fromkeys(lengths[:1] + lengths[-1:]))
    aggregation = f"the {options.aggregate} of {counts} scores of a video" if lengths else ""
    return ExternalScores(
        detector=options.name_of(files[0]),
        files=tuple(path.name for path in files),
        kinds=tuple(read.kinds),
        higher=options.higher,
        orientation=read.orientation,
        aggregation=aggregation,
        scored=int(there.sum()),
        expected=len(there),
        missing=options.missing,
        missing_words=WORDS[options.missing] if not there.all() else "",
        threshold_rule=meaning.threshold_rule,
        optimistic=meaning.optimistic,
        probabilities=meaning.probabilities,
        trained_on=training.words,
        warnings=tuple(warnings),
    )
