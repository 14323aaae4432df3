"""`unmask audit`: what could make a manifest's evaluation look better than it is.

People, originals and near-duplicates on two sides, the balance of classes, and how well the label
can be told from the files' metadata alone.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from data.datasets.manifest import SPLITS, Manifest, Video
from data.datasets.near_duplicates import alike, fingerprints
from data.errors import LeakError, VideoError, plain
from data.io.atomic_files import write_text
from data.io.output_paths import check_output
from data.video.reasons import reason_of
from models.evaluation.baselines import METADATA, metadata
from models.evaluation.bootstrap import group_weights, weighted_auc
from models.evaluation.evaluate import level_percent, percentiles
from pipeline.evaluation.audit_result import Audit
from pipeline.reporting.audit_page import render_audit

LEVEL = 0.95
"""Of the intervals."""
GIVEAWAY = 0.6
"""Metadata that reach this AUC, with an interval above 0.5, are warned of."""


def audit_manifest(
    path: Path,
    *,
    root: Path | None,
    out: Path | None,
    hashes: bool,
    strict: bool,
    workers: int,
    as_json: bool,
) -> None:
    """Prints the findings and writes the page.

    Raises:
        LeakError: something straddles the splits, and `strict` is true.
        OutputError: the page cannot be written.
    """
    if out is not None:
        check_output(out)
    found = audit(Manifest.read(path, root=root), hashes=hashes, workers=workers)
    if out is not None:
        write_text(out, render_audit(found, str(path)))
    if as_json:
        print(json.dumps(found.__dict__, indent=2, sort_keys=True))
    else:
        for line in told(found):
            print(plain(line))
        if out is not None:
            print(plain(f"page: {out}"))
    if strict and found.straddling:
        raise LeakError(
            f"{len(found.straddling)} people, originals or videos of {path} are in two splits; "
            "index anew with groups that name them"
        )


def audit(manifest: Manifest, *, hashes: bool = True, workers: int = 2) -> Audit:
    """Looks for whatever would flatter an evaluation.

    Args:
        manifest: with its root, where pictures are to be compared.
        hashes: look for near-duplicates, which decodes a few frames of each video.
        workers: videos read at once.
    """
    videos = manifest.videos
    straddling = names_on_two_sides(videos)
    pairs: list[dict[str, Any]] = []
    unread: list[str] = []
    reasons: dict[Path, VideoError] = {}
    if hashes:
        files = [manifest.resolve(video) for video in videos]
        taken = fingerprints(files, workers=workers, failed=reasons.__setitem__)
        unread = [
            f"{video.path}: {reason_of(reasons[file])}"
            for video, file, one in zip(videos, files, taken, strict=True)
            if one is None
        ]
        for one, other, share in alike(taken):
            a, b = videos[one], videos[other]
            if a.split != b.split and a.sha256 != b.sha256:
                straddling.append(_straddle("near-duplicate", a.path, [a, b]))
            if a.group != b.group:
                pairs.append({"a": a.path, "b": b.path, "differs": share})
    told_by = metadata_tells(videos)
    return Audit(
        videos=len(videos),
        groups=len({video.group for video in videos}),
        balance=balance(videos),
        straddling=straddling,
        lookalikes=pairs,
        unhashed=len(unread),
        metadata=told_by,
        level=LEVEL,
        warnings=warn(straddling, pairs, unread, told_by),
    )


def names_on_two_sides(videos: Sequence[Video]) -> list[dict[str, Any]]:
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
    paths = [by_split[split] for split in splits]
    return {"what": what, "name": name, "splits": splits, "a": paths[0], "b": paths[1]}


def balance(videos: Sequence[Video]) -> list[dict[str, Any]]:
    """Videos and groups by split and method; real ones are the method "real"."""
    counts = Counter((video.split, video.label, video.method) for video in videos)
    rows = []
    for split, label, method in sorted(counts, key=lambda key: (SPLITS.index(key[0]), *key[1:])):
        groups = {v.group for v in videos if (v.split, v.label, v.method) == (split, label, method)}
        count = counts[split, label, method]
        rows.append({"split": split, "label": ("real", "fake")[label], "method": method,
                     "videos": count, "groups": len(groups)})  # fmt: skip
    return rows


def metadata_tells(videos: Sequence[Video]) -> list[dict[str, Any]]:
    """AUC of metadata against the label, each group scored by a model that never saw it.

    Of single columns the AUC is of the raw value, whichever way it points.
    """
    labels = np.asarray([video.label for video in videos])
    groups = np.asarray([video.group for video in videos])
    folds = min(5, len(set(groups)))
    if folds < 2 or len(set(labels.tolist())) < 2:
        return []
    codecs = sorted({video.codec for video in videos})
    inputs = metadata(videos, codecs)
    weights = group_weights(labels, groups, rounds=500, seed=0)
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
            )[:, 1]
            rows.append(_auc(name, labels, scores, weights))
    names = [*METADATA, *(f"codec {codec}" for codec in codecs)]
    for column, name in enumerate(names):
        values = inputs[:, column]
        if len(np.unique(values)) > 1:
            upward = roc_auc_score(labels, values) >= 0.5
            rows.append(_auc(name, labels, values if upward else -values, weights))
    return rows


def _auc(
    name: str, labels: NDArray[np.int64], scores: NDArray[np.float64], weights: NDArray[np.float64]
) -> dict[str, Any]:
    """An AUC with its interval by groups."""
    low, high = np.percentile(weighted_auc(labels, scores, weights), percentiles(LEVEL))
    auc = float(roc_auc_score(labels, scores))
    return {"what": name, "auc": auc, "low": float(low), "high": float(high)}


def warn(
    straddling: Sequence[dict[str, Any]],
    pairs: Sequence[dict[str, Any]],
    unread: Sequence[str],
    metadata: Sequence[dict[str, Any]],
) -> list[str]:
    """What a reader must not miss, a line each."""
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
    strong = [row for row in metadata if row["auc"] >= GIVEAWAY and row["low"] > 0.5]
    if strong:
        best = max(strong, key=lambda row: row["auc"])
        lines.append(
            f"metadata tell the label: {best['what']} alone reach an AUC of {best['auc']:.3f} "
            f"({best['low']:.2f} to {best['high']:.2f}); a detector may learn the encoder"
        )
    return lines


def told(found: Audit) -> list[str]:
    """The findings as lines of text."""
    lines = [f"{found.videos} videos in {found.groups} groups", ""]
    lines.append(f"{'split':<7}{'label':<6}{'method':<24}{'videos':>7}{'groups':>8}")
    lines += [
        f"{row['split']:<7}{row['label']:<6}{row['method']:<24}{row['videos']:>7}{row['groups']:>8}"
        for row in found.balance
    ]
    level = f"{level_percent(LEVEL)} % interval by groups"
    lines += ["", f"what metadata tell about the label (AUC, {level})"]
    lines += [
        f"  {row['what']:<26}{row['auc']:.3f} ({row['low']:.2f} to {row['high']:.2f})"
        for row in found.metadata
    ]
    lines.append("")
    lines += [f"warning: {line}" for line in found.warnings]
    return lines if found.warnings else [*lines, "nothing straddles the splits"]
