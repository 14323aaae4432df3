"""`unmask evaluate FEATURES --hold-out method`: how well would a head do on strangers' forgeries?

From cached features alone: heads are trained anew for each part of the people and of the forgery
methods that is held out, so the result is of the settings and the data, not of one bundle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from data.datasets.manifest import Manifest, Video
from data.errors import ConfigError, DatasetError, LeakError
from data.io.progress import log, progress
from features.store.feature_set import Features
from models.configs import HeadConfig
from models.evaluation.pairs import pair_rows
from models.hold_out.evaluate import (
    HeldOutScores,
    difference,
    evaluate_held_out,
)
from models.hold_out.plan import plan_hold_out
from pipeline.config import Params, as_options
from pipeline.evaluation.scoring import are_rendered, describe_bootstrap
from pipeline.hold_out.detectors import Said, compared_heads, say_all
from pipeline.hold_out.result import COMPARED, Detector, HoldOutReport
from pipeline.leakage import seen_among
from pipeline.shell_commands import command_line

FORGED = "forged-"
"""Prefix of the methods of `unmask forge`."""
BY = ("method",)
"""What can be held out."""


def evaluate_held_out_methods(
    features: Path, *, manifest: Path, by: str, allow_seen: bool, params: Params
) -> HoldOutReport:
    """Trains and tests heads on a feature set, whatever the splits of its manifest are.

    Self-made forgeries and their copies are learnt from and not tested where there are other fakes.

    Raises:
        ConfigError: `by` is unknown.
        DatasetError: too few people, methods or videos.
        LeakError: the backbone was trained on these people, and `allow_seen` is false.
    """
    if by not in BY:
        raise ConfigError(f"--hold-out must be {' or '.join(BY)}, got {by!r}")
    rows = Manifest.read(manifest)
    stored = Features(features)
    seen = refuse_tuned(stored, rows, allow_seen=allow_seen)
    test = tested_videos(rows.videos)
    report = hold_out(stored, rows.videos, test=test, params=params, seen=seen)
    words = ("--manifest", manifest, "--hold-out", by, *(("--allow-seen",) if allow_seen else ()))
    command = command_line("unmask", "evaluate", features, *words, "-o", "REPORT")
    sections = ("seed", "head", "train", "calibration", "evaluate", "hold_out")
    report.facts["command"] = " ".join([command, *as_options(params, sections)])
    return report


def hold_out(
    features: Features,
    videos: Sequence[Video],
    *,
    test: NDArray[np.bool_],
    params: Params,
    learn: NDArray[np.bool_] | None = None,
    seen: str = "",
    heads: Mapping[str, HeadConfig] | None = None,
) -> HoldOutReport:
    """As `evaluate_held_out_methods`, of any rows.

    Args:
        features: of the videos; those that it lacks are named in the report.
        videos: N rows.
        test: (N,) which are tested.
        params: all parameters.
        learn: (N,) which may be learnt from; None for all.
        seen: for the report.
        heads: to train and test, by name; None for `compared_heads` of the configured one.

    Raises:
        DatasetError: too few people, methods or videos.
    """
    there = np.asarray([video.sha256 in features for video in videos], bool)
    if not there.any():
        raise DatasetError(
            f"{features.folder} has no features of these videos; extract from this manifest"
        )
    missing = tuple(video.path for video, one in zip(videos, there, strict=True) if not one)
    kept = [video for video, one in zip(videos, there, strict=True) if one]
    test, learn = test[there], (there if learn is None else learn)[there]
    labels = np.asarray([video.label for video in kept], np.int64)
    groups = [video.group for video in kept]
    methods = [video.method for video in kept]
    folds = plan_hold_out(
        labels,
        groups,
        methods,
        learn=learn,
        test=test,
        person_folds=params.hold_out.person_folds,
        method_folds=params.hold_out.method_folds,
        seed=params.seed,
    )
    heads = compared_heads(params.head) if heads is None else heads
    said: list[dict[str, Said]] = [
        say_all(
            features,
            [kept[row] for row in fold.train],
            [kept[row] for row in fold.test],
            params=params,
            heads=heads,
        )
        for fold in progress(folds, desc="hold out", unit="fold")
    ]
    rows = np.unique(np.concatenate([fold.test for fold in folds]))
    tested = [kept[row] for row in rows]
    pairs = pair_rows(
        [video.path for video in tested], labels[rows], [video.original for video in tested]
    )
    stacked = {
        name: stack([one[name] for one in said], [fold.test for fold in folds], rows)
        for name in said[0]
    }
    found = {
        name: evaluate_held_out(
            labels[rows],
            np.asarray(groups)[rows],
            np.asarray(methods)[rows],
            pairs,
            one,
            rounds=params.evaluate.rounds,
            confidence=params.evaluate.confidence,
            seed=params.seed,
        )
        for name, one in stacked.items()
    }
    first = next(iter(found))
    aucs = {
        name: [
            float(roc_auc_score(labels[fold.test], one[name].scores))
            for fold, one in zip(folds, said, strict=True)
        ]
        for name in found
    }
    return HoldOutReport(
        detectors=tuple(
            Detector(
                name=name,
                evaluation=one,
                gain={
                    metric: difference(found[first], one, metric)
                    for metric in COMPARED
                    if name != first and metric in one.metrics
                },
                part_gains=tuple(
                    mine - its for mine, its in zip(aucs[first], aucs[name], strict=True)
                ),
            )
            for name, one in found.items()
        ),
        videos=tuple(tested),
        scores=np.nanmean(stacked[first].scores, axis=0),
        folds=tuple(folds),
        trained_only=int((learn & ~np.isin(np.arange(len(kept)), rows)).sum()),
        pairs=len(pairs),
        missing=missing,
        seen=seen,
        rendered=are_rendered(video.method for video in tested if video.label),
        facts={
            "bootstrap": describe_bootstrap(params),
            "folds": f"{len(folds)} parts of people and methods, seed {params.seed}",
        },
    )


def tested_videos(videos: Sequence[Video]) -> NDArray[np.bool_]:
    """Which are tested, (N,): none of `forge` where there are other fakes.

    A copy that `forge` made of a real video is known by the forgeries whose original it is.
    """
    made = np.asarray([video.method.startswith(FORGED) for video in videos], bool)
    fake = np.asarray([video.label == 1 for video in videos], bool)
    if not made.any() or not (fake & ~made).any():
        return np.ones(len(videos), bool)
    copies = {video.original for video in videos if video.method.startswith(FORGED)}
    others = {v.original for v, one in zip(videos, fake & ~made, strict=True) if one}
    copy = np.asarray([video.path in copies - others for video in videos], bool)
    return np.asarray(~(made | copy))


def refuse_tuned(features: Features, rows: Manifest, *, allow_seen: bool) -> str:
    """What of these videos trained the backbone, in words; empty if nothing.

    Raises:
        LeakError: there is something, and `allow_seen` is false.
    """
    parts = features.provenance.get("trained_on", {})
    seen = seen_among(rows.videos, parts.values())
    if not seen:
        return ""
    words = f"the backbone was fine-tuned on {len(seen.people)} of these groups"
    if not allow_seen:
        raise LeakError(
            f"{words}, {seen.people[0]} for one, so they cannot be held out; extract with a public "
            "backbone, or pass --allow-seen, which marks the report"
        )
    log.warning(words)
    return words


def stack(
    said: Sequence[Said], tests: Sequence[NDArray[np.int64]], rows: NDArray[np.int64]
) -> HeldOutScores:
    """What M detectors say, on one axis of videos.

    Args:
        said: M results.
        tests: rows that each tested, in its order.
        rows: (N,) all tested rows, ascending.
    """
    shape = (len(said), len(rows))
    scores, llrs = np.full(shape, np.nan), np.full(shape, np.nan)
    called, decided = np.zeros(shape, bool), np.zeros(shape, bool)
    for number, (one, test) in enumerate(zip(said, tests, strict=True)):
        at = np.searchsorted(rows, test)
        scores[number, at], llrs[number, at] = one.scores, one.llrs
        called[number, at], decided[number, at] = one.called_fake, one.decided
    return HeldOutScores(scores=scores, llrs=llrs, called_fake=called, decided=decided)
