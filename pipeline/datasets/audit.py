"""`unmask audit`: what could make an evaluation on a manifest look better than it is.

People, originals and near-duplicates in two splits, the balance of classes, how well the files'
metadata alone predict the label, and how well pixels outside the face do.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.datasets.manifest import LABEL_NAMES, SPLITS, Manifest, Video
from data.datasets.near_duplicates import near_duplicate_pairs, video_hashes
from data.errors import VideoError
from data.video.failures import reason_of
from models.evaluation.baselines import METADATA, metadata
from models.evaluation.bootstrap import group_weights, weighted_auc
from models.evaluation.evaluate import percentiles
from pipeline.datasets.outside_pixels import OutsidePixels, compare_outside

LEVEL = 0.95
"""Confidence of the intervals."""
STRONG_AUC = 0.6
"""Metadata, or pixels outside the face, that reach this AUC, with an interval above 0.5, are warned
of."""


@dataclass(frozen=True, kw_only=True)
class Audit:
    """All findings; the rows are plain, for JSON."""

    videos: int  # number of videos
    groups: int  # number of groups
    balance: list[dict[str, Any]]  # split, label, method, videos, groups
    # what is in two splits: what ("person", "original", "file", "near-duplicate"), name, splits,
    # and a path in each of the first two as a and b
    straddling: list[dict[str, Any]]
    # near-duplicates in different groups: paths a and b, share of bits that differs
    lookalikes: list[dict[str, Any]]
    unhashed: int  # number of videos that could not be read and compared
    metadata: list[dict[str, Any]]  # what, auc, low, high; empty where no folds can be made
    outside: OutsidePixels  # how well pixels outside the face tell fakes from their originals
    level: float  # confidence of these intervals
    warnings: list[str]  # what a reader must not miss, a line each


def audit(manifest: Manifest, *, hashes: bool = True, workers: int = 2) -> Audit:
    """Looks for what would flatter an evaluation.

    Args:
        manifest: its root is needed only where `hashes` is true.
        hashes: look for near-duplicates, and at pixels outside the face of fakes and their
            originals, which decodes a few frames of each video.
        workers: videos read at once.
    """
    videos = manifest.videos
    straddling = names_in_two_splits(videos)
    pairs: list[dict[str, Any]] = []
    unread: list[str] = []
    if hashes:
        reasons: dict[Path, VideoError] = {}
        files = [manifest.resolve(video) for video in videos]
        hashed = video_hashes(files, workers=workers, failed=reasons.__setitem__)
        unread = [
            f"{video.path}: {reason_of(reasons[file])}"
            for video, file in zip(videos, files, strict=True)
            if file in reasons
        ]
        for one, other, share in near_duplicate_pairs(hashed):
            a, b = videos[one], videos[other]
            if a.split != b.split and a.sha256 != b.sha256:
                straddling.append(_straddle("near-duplicate", a.path, [a, b]))
            if a.group != b.group:
                pairs.append({"a": a.path, "b": b.path, "differs": share})
    predictive = metadata_aucs(videos)
    outside = (
        compare_outside(manifest, workers=workers, level=LEVEL)
        if hashes
        else OutsidePixels(pairs=0, unread=(), aucs=())
    )
    return Audit(
        videos=len(videos),
        groups=len({video.group for video in videos}),
        balance=class_balance(videos),
        straddling=straddling,
        lookalikes=pairs,
        unhashed=len(unread),
        metadata=predictive,
        outside=outside,
        level=LEVEL,
        warnings=make_warnings(straddling, pairs, unread, predictive, outside),
    )


def names_in_two_splits(videos: Sequence[Video]) -> list[dict[str, Any]]:
    """People, originals and equal files in several splits."""
    held: defaultdict[tuple[str, str], list[Video]] = defaultdict(list)
    for video in videos:
        for name in {video.group, video.target, video.source} - {""}:
            held["person", name].append(video)
        for name in {video.original, video.path if video.label == 0 else ""} - {""}:
            held["original", name].append(video)
        held["file", video.sha256].append(video)
    return [
        _straddle(what, members[0].path if what == "file" else name, members)
        for (what, name), members in sorted(held.items())
        if len({video.split for video in members}) > 1
    ]


def _straddle(what: str, name: str, videos: Sequence[Video]) -> dict[str, Any]:
    """One finding, with a video of each of the first two splits."""
    by_split = {video.split: video.path for video in reversed(videos)}
    splits = sorted(by_split, key=SPLITS.index)
    a, b = (by_split[split] for split in splits[:2])
    return {"what": what, "name": name, "splits": splits, "a": a, "b": b}


def class_balance(videos: Sequence[Video]) -> list[dict[str, Any]]:
    """Videos and groups by split and method; real ones have the method "real"."""
    groups: defaultdict[tuple[int, int, str], list[str]] = defaultdict(list)
    for video in videos:
        groups[SPLITS.index(video.split), video.label, video.method].append(video.group)
    return [
        {"split": SPLITS[split], "label": LABEL_NAMES[label], "method": method,
         "videos": len(names), "groups": len(set(names))}
        for (split, label, method), names in sorted(groups.items())
    ]  # fmt: skip


def metadata_aucs(videos: Sequence[Video]) -> list[dict[str, Any]]:
    """AUC of metadata against the label, each group scored by a model that never saw it.

    Of single columns the AUC is of the raw value, in whichever direction it is above 0.5.
    """
    labels = np.asarray([video.label for video in videos])
    groups = np.asarray([video.group for video in videos])
    folds = min(5, len(set(groups)))
    if folds < 2 or len(set(labels.tolist())) < 2:
        return []
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    codecs = sorted({video.codec for video in videos})
    inputs = metadata(videos, codecs)  # (N, columns)
    weights = group_weights(labels, groups, rounds=500, seed=0)  # (rounds, N)

    def row(name: str, scores: NDArray[np.float64]) -> dict[str, Any]:
        low, high = np.percentile(weighted_auc(labels, scores, weights), percentiles(LEVEL))
        auc = float(roc_auc_score(labels, scores))
        return {"what": name, "auc": auc, "low": float(low), "high": float(high)}

    rows = []
    models = {
        "all, logistic regression": make_pipeline(StandardScaler(), LogisticRegression()),
        "all, random forest": RandomForestClassifier(100, min_samples_leaf=3, random_state=0),
    }
    cuts = GroupKFold(folds, shuffle=True, random_state=0)
    if all(
        len(set(labels[train].tolist())) == 2 for train, _ in cuts.split(inputs, labels, groups)
    ):
        for name, model in models.items():
            scores = cross_val_predict(
                model, inputs, labels, groups=groups, cv=cuts, method="predict_proba"
            )
            rows.append(row(name, scores[:, 1]))
    names = [*METADATA, *(f"codec {codec}" for codec in codecs)]
    for name, values in zip(names, inputs.T, strict=True):
        if len(np.unique(values)) > 1:
            upward = roc_auc_score(labels, values) >= 0.5
            rows.append(row(name, values if upward else -values))
    return rows


def make_warnings(
    straddling: Sequence[dict[str, Any]],
    pairs: Sequence[dict[str, Any]],
    unread: Sequence[str],
    metadata: Sequence[dict[str, Any]],
    outside: OutsidePixels,
) -> list[str]:
    """Warnings, a line each."""
    lines = []
    for what, count in sorted(Counter(row["what"] for row in straddling).items()):
        first = next(row for row in straddling if row["what"] == what)
        lines.append(
            f"{count} x {what} on two sides: {first['name']} is in {' and '.join(first['splits'])} "
            f"({first['a']}, {first['b']})"
        )
    if pairs:
        lines.append(
            f"{len(pairs)} pairs of near-duplicates are in different groups: {pairs[0]['a']}, "
            f"{pairs[0]['b']} for one; `unmask index --near-duplicates` joins them"
        )
    if unread:
        lines.append(f"{len(unread)} videos could not be read and compared; {unread[0]}, for one")
    strong = [row for row in metadata if row["auc"] >= STRONG_AUC and row["low"] > 0.5]
    if strong:
        best = max(strong, key=lambda row: row["auc"])
        lines.append(
            f"metadata predict the label: {best['what']} alone reach an AUC of {best['auc']:.3f} "
            f"({best['low']:.2f} to {best['high']:.2f}); a detector may learn the encoder"
        )
    strong = [row for row in outside.aucs if row["auc"] >= STRONG_AUC and row["low"] > 0.5]
    if strong:
        best = max(strong, key=lambda row: row["auc"])
        lines.append(
            f"pixels outside the face tell fakes from their originals: by {best['what']} with an "
            f"AUC of {best['auc']:.3f} ({best['low']:.2f} to {best['high']:.2f}); encode both alike"
        )
    return lines
