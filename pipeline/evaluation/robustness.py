"""`unmask robustness`: the same test videos, degraded step by step; what is left of the AUC.

Copies are made, read and deleted in the threads that read; their features stay in the store, so
that a second run makes and embeds nothing, and a killed one goes on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from data.datasets.digests import DigestCache
from data.datasets.manifest import Manifest, Video
from data.errors import DatasetError, plain
from data.faces.crops import Frames, read_frames
from data.io.atomic_files import make_folder
from data.io.atomic_folders import check_replaceable, replace_folder
from data.io.output_paths import check_out_folder
from data.io.progress import log
from data.io.system_errors import writing
from data.video.corruptions import CorruptedCopy, Corruption, choose_corruptions, copy_of
from features.extraction.job import Job
from features.extraction.outdated import count_outdated, format_outdated
from features.sequences.dataset import Sequences, load_sequences
from features.store.feature_set import Features, publish
from features.store.key import sequence_key
from features.store.layout import STORE
from features.store.store import FeatureStore
from models.bundle import Bundle
from models.evaluation.evaluate import Evaluation, difference, evaluate, level_percent
from pipeline.config import Params, as_options
from pipeline.evaluation.corruption_results import (
    MARKER,
    ORIGINAL,
    Ladder,
    Step,
    told,
    write_ladder,
)
from pipeline.evaluation.evaluate import check_split
from pipeline.extraction.feature_spec import make_feature_spec
from pipeline.extraction.inputs import DIGESTS, make_jobs
from pipeline.extraction.local import extract_locally
from pipeline.leakage import marks_of, refuse_seen
from pipeline.machine import cores, versions
from pipeline.reporting.robustness_page import render_robustness
from pipeline.shell_commands import command_line


def measure_robustness(
    bundle: Path,
    manifest: Path,
    out: Path,
    *,
    root: Path | None,
    split: str,
    rungs: Sequence[str],
    store: Path,
    keep: Path | None,
    allow_seen: bool,
    params: Params,
    workers: int | None,
    as_json: bool,
) -> None:
    """Degrades, embeds and scores the videos of a split, and writes the folder of results.

    Raises:
        ConfigError: no such rung or split.
        LeakError: a video or a group was seen in training, and `allow_seen` is false.
        DatasetError: no original can be evaluated.
        OutputError: the folder, or a copy, cannot be written.
    """
    check_split(split)
    chosen = choose_corruptions(rungs)
    check_replaceable(out, marker=MARKER)
    check_out_folder(store)
    if keep is not None:
        check_out_folder(keep)
    opened = Bundle.load(bundle)
    rows = Manifest.read(manifest, root=root)
    videos = rows.split(split)
    seen = refuse_seen(opened, videos, allow_seen=allow_seen)
    wanted = make_feature_spec(params, None, bundle, cache=store.parent / "backbones.json")
    named = [(video.path, rows.resolve(video), video) for video in videos]
    jobs, failures = make_jobs(named, DigestCache(store.parent / DIGESTS.name))
    failed = [(ORIGINAL.name, failure) for failure in failures]
    place = nullcontext(str(keep)) if keep else TemporaryDirectory(prefix="unmask-")
    workers = workers or cores()
    with place as folder, FeatureStore(store, wanted.recipe, versions=versions()) as feature_store:
        known = {video.path: video for video in videos}
        copies = {
            (rung.name, job.name): _plan(job, known[job.name], rung, Path(folder))
            for rung in chosen
            for job in jobs
        }
        by_path = {copy.path: copy for copy in copies.values()}
        degraded = [
            replace(job, path=copies[rung.name, job.name].path, name=f"{rung.name}: {job.name}",
                    sha256=copies[rung.name, job.name].sha256)
            for rung in chosen
            for job in jobs
        ]  # fmt: skip

        def read(path: Path, **more: Any) -> Frames:
            copy = by_path.get(path)
            if copy is None:
                return read_frames(path, **more)
            with copy.made(keep=keep is not None) as file:
                return read_frames(file, **more)

        if keep is not None:
            with writing(keep):
                make_folder(keep)
        for line in format_outdated(count_outdated(jobs, feature_store), wanted.recipe):
            log.warning(line)
        summary = extract_locally(
            [*jobs, *degraded], wanted, feature_store, params, workers, read=read
        )
        for failure in summary.failures:
            name, _, path = failure.path.partition(": ")
            if (name, path) not in copies:
                name, path = ORIGINAL.name, failure.path
            failed.append((name, replace(failure, path=path)))
        sha256s = [job.sha256 for job in [*jobs, *degraded]]
        keys = {sequence_key(sha256, wanted.recipe) for sha256 in sha256s}
        shards = {s.path: s for key, s in feature_store.shards.items() if key in keys}
        with replace_folder(out, marker=MARKER) as new:
            publish(
                new / "features", shards.values(), wanted.recipe, dim=wanted.fingerprint.dim,
                failures=summary.failures, provenance=wanted.fingerprint.provenance,
                sha256s=sha256s,
            )  # fmt: skip
            stored = Features(new / "features")
            ladder = Ladder(
                steps=climb(opened, stored, videos, chosen, copies, params),
                split=split,
                kind=opened.head.config.kind,
                failures=failed,
                seen=seen,
                marks=marks_of(opened),
                rendered=all(v.method.startswith("rendered") for v in videos if v.label),
                facts={
                    "command": again(
                        bundle,
                        manifest,
                        root=root,
                        split=split,
                        rungs=rungs,
                        store=store,
                        allow_seen=allow_seen,
                        params=params,
                    ),
                    "ffmpeg": versions()["ffmpeg"],
                    "bootstrap": f"{level_percent(params.evaluate.confidence)} % intervals by "
                    f"{params.evaluate.rounds} draws of groups, seed {params.seed}",
                    "features": wanted.recipe.digest,
                    "backbone": f"{wanted.recipe.backbone} ({wanted.recipe.backbone_digest[:12]})",
                },
            )
            write_ladder(ladder, new, render_robustness(ladder))
    if as_json:
        print(json.dumps(ladder.to_json(), indent=2, sort_keys=True))
        return
    print(f"{summary.done} copies or videos embedded, {summary.reused} reused")
    print("\n".join(told(ladder)))
    print(plain(f"report: {out / 'report.html'}"))


def again(
    bundle: Path,
    manifest: Path,
    *,
    root: Path | None,
    split: str,
    rungs: Sequence[str],
    store: Path,
    allow_seen: bool,
    params: Params,
) -> str:
    """What to type for the same results."""
    line = command_line(
        *("unmask", "robustness", bundle, manifest, *(() if root is None else ("--root", root))),
        *("--split", split, *(word for one in rungs for word in ("--rungs", one))),
        *(("--store", store) if store != STORE else ()),
        *(("--allow-seen",) if allow_seen else ()),
        *("-o", "LADDER"),
    )
    return " ".join([line, *as_options(params, ("seed", "evaluate"))])


def _plan(job: Job, video: Video, rung: Corruption, folder: Path) -> CorruptedCopy:
    """The copy of one job on one rung."""
    return copy_of(
        job.path, job.sha256, rung, folder=folder,
        width=video.width, height=video.height, fps=video.fps,
    )  # fmt: skip


def climb(
    bundle: Bundle,
    stored: Features,
    videos: Sequence[Video],
    rungs: Sequence[Corruption],
    copies: dict[tuple[str, str], CorruptedCopy],
    params: Params,
) -> list[Step]:
    """Measures the originals and every rung, with drops on the videos that both have.

    Raises:
        DatasetError: the originals lack a class.
    """
    originals = load_sequences(stored, videos)
    scores = dict(zip(originals.paths, bundle.score(originals), strict=True))
    steps = [Step(rung=ORIGINAL, evaluation=_measure(bundle, originals, scores, params), drop=None,
                  failed=len(videos) - len(originals))]  # fmt: skip
    for rung in rungs:
        degraded = [
            replace(video, sha256=copies[rung.name, video.path].sha256)
            for video in videos
            if (rung.name, video.path) in copies
        ]
        held = load_sequences(stored, degraded)
        found = dict(zip(held.paths, bundle.score(held), strict=True)) if len(held) else {}
        evaluation = drop = None
        try:
            evaluation = _measure(bundle, held, found, params)
            both = _only(held, scores)
            drop = difference(
                _measure(bundle, both, scores, params), _measure(bundle, both, found, params)
            )
        except DatasetError:  # too few are left; the step says how many failed
            pass
        steps.append(
            Step(rung=rung, evaluation=evaluation, drop=drop, failed=len(videos) - len(held))
        )
    return steps


def _only(sequences: Sequences, scores: dict[str, float]) -> Sequences:
    """The videos that have a score, without their features."""
    keep = [row for row, path in enumerate(sequences.paths) if path in scores]
    return Sequences(
        features=sequences.features[:0],
        mask=sequences.mask[:0],
        labels=sequences.labels[keep],
        groups=tuple(sequences.groups[row] for row in keep),
        methods=tuple(sequences.methods[row] for row in keep),
        paths=tuple(sequences.paths[row] for row in keep),
        sha256s=tuple(sequences.sha256s[row] for row in keep),
    )


def _measure(
    bundle: Bundle, sequences: Sequences, scores: dict[str, float], params: Params
) -> Evaluation:
    """At the bundle's threshold, on draws that depend on the videos alone."""
    return evaluate(
        sequences.labels,
        np.asarray([scores[path] for path in sequences.paths]),
        sequences.groups,
        sequences.methods,
        threshold=bundle.head.threshold,
        rounds=params.evaluate.rounds,
        confidence=params.evaluate.confidence,
        seed=params.seed,
    )
