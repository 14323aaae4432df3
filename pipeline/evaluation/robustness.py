"""`unmask robustness`: the same test videos, corrupted in many ways, and the AUC that is left.

Copies are made, read and deleted in the threads that read; their features stay in the store, so
that a second run makes and embeds nothing, and a killed one goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from data.datasets.digests import DigestCache
from data.datasets.manifest import Manifest, Video
from data.errors import DatasetError
from data.faces.crops import Frames, read_frames
from data.io.atomic_files import make_folder
from data.io.atomic_folders import check_replaceable, replace_folder
from data.io.output_paths import check_out_folder
from data.io.progress import log
from data.io.system_errors import writing
from data.video.corruptions import CorruptedCopy, Corruption, choose_corruptions, copy_of
from features.extraction.outdated import count_outdated, format_outdated
from features.sequences.dataset import Sequences, load_sequences
from features.store.feature_set import Features, publish
from features.store.key import sequence_key
from features.store.layout import STORE
from features.store.store import FeatureStore
from models.bundle import Bundle
from models.evaluation.evaluate import Evaluation, difference
from pipeline.config import Params, as_options
from pipeline.evaluation.corruption_results import (
    ORIGINAL,
    ROBUSTNESS,
    CorruptionResult,
    CorruptionResults,
)
from pipeline.evaluation.scoring import (
    are_rendered,
    check_split,
    describe_bootstrap,
    measure,
    told_ratios,
)
from pipeline.extraction.feature_spec import make_feature_spec
from pipeline.extraction.inputs import DIGESTS, make_jobs
from pipeline.extraction.local import extract_locally
from pipeline.leakage import refuse_seen, training_leaks
from pipeline.machine import cores, versions
from pipeline.shell_commands import command_line

Copies = Mapping[tuple[str, str], CorruptedCopy]
"""Name of a corruption and path of a video in the manifest -> its copy."""


def measure_robustness(
    bundle: Path,
    manifest: Path,
    out: Path,
    *,
    root: Path | None,
    split: str,
    corruptions: Sequence[str],
    store: Path,
    keep: Path | None,
    allow_seen: bool,
    params: Params,
    workers: int | None,
    write: Callable[[CorruptionResults, Path], None],
) -> CorruptionResults:
    """Corrupts, embeds and scores the videos of a split; their features go to `out`.

    Args:
        bundle: folder that `train` wrote.
        manifest: file that `index` wrote.
        out: folder of results.
        root: folder of the videos; the manifest's own by default.
        split: to evaluate on.
        corruptions: names, as `choose_corruptions` takes them.
        store: the feature store.
        keep: where to keep the copies; None deletes them.
        allow_seen: evaluate on people seen in training, too.
        params: of the bootstrap and the batches.
        workers: parallel decoders; the cores by default.
        write: puts the results, as files, into the new `out` before it takes its place.

    Raises:
        ConfigError: no such corruption or split.
        LeakError: a video or a group was seen in training, and `allow_seen` is false.
        DatasetError: no original can be evaluated.
        OutputError: the folder, or a copy, cannot be written.
    """
    check_split(split)
    chosen = choose_corruptions(corruptions)
    check_replaceable(out, marker=ROBUSTNESS)
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
    by_path = {video.path: video for video in videos}
    place = nullcontext(str(keep)) if keep else TemporaryDirectory(prefix="unmask-")
    with place as folder, FeatureStore(store, wanted.recipe, versions=versions()) as feature_store:
        copies: dict[tuple[str, str], CorruptedCopy] = {}
        corrupted = []
        for corruption in chosen:
            for job in jobs:
                video = by_path[job.name]
                copy = copy_of(
                    job.path, job.sha256, corruption, folder=Path(folder),
                    width=video.width, height=video.height, fps=video.fps,
                )  # fmt: skip
                copies[corruption.name, job.name] = copy
                name = f"{corruption.name}: {job.name}"
                corrupted.append(replace(job, path=copy.path, name=name, sha256=copy.sha256))
        by_file = {copy.path: copy for copy in copies.values()}

        def read(path: Path, **options: Any) -> Frames:
            if path not in by_file:
                return read_frames(path, **options)
            with by_file[path].made(keep=keep is not None) as file:
                return read_frames(file, **options)

        if keep is not None:
            with writing(keep):
                make_folder(keep)
        for line in format_outdated(count_outdated(jobs, feature_store), wanted.recipe):
            log.warning(line)
        summary = extract_locally(
            [*jobs, *corrupted], wanted, feature_store, params, workers or cores(), read=read
        )
        for failure in summary.failures:
            name, _, path = failure.path.partition(": ")
            if (name, path) not in copies:
                name, path = ORIGINAL.name, failure.path
            failed.append((name, replace(failure, path=path)))
        sha256s = [job.sha256 for job in (*jobs, *corrupted)]
        keys = {sequence_key(sha256, wanted.recipe) for sha256 in sha256s}
        shards = {s.path: s for key, s in feature_store.shards.items() if key in keys}
        with replace_folder(out, marker=ROBUSTNESS) as new:
            publish(
                new / "features", shards.values(), wanted.recipe, dim=wanted.fingerprint.dim,
                failures=summary.failures, provenance=wanted.fingerprint.provenance,
                sha256s=sha256s,
            )  # fmt: skip
            stored = Features(new / "features")
            results = CorruptionResults(
                steps=measure_corruptions(opened, stored, videos, chosen, copies, params),
                split=split,
                kind=opened.head.config.kind,
                failures=failed,
                seen=seen,
                training_leaks=training_leaks(opened),
                rendered=are_rendered(video.method for video in videos if video.label),
                embedded=summary.done,
                reused=summary.reused,
                facts={
                    "command": robustness_command(
                        bundle, manifest, root=root, split=split, rungs=corruptions, store=store,
                        allow_seen=allow_seen, params=params,
                    ),
                    "ffmpeg": versions()["ffmpeg"],
                    "bootstrap": describe_bootstrap(params),
                    "features": wanted.recipe.digest,
                    "backbone": f"{wanted.recipe.backbone} ({wanted.recipe.backbone_digest[:12]})",
                },
            )  # fmt: skip
            write(results, new)
    return results


def robustness_command(
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
    """The command that gives the same results again."""
    line = command_line(
        *("unmask", "robustness", bundle, manifest, *(() if root is None else ("--root", root))),
        *("--split", split, *(word for one in rungs for word in ("--rungs", one))),
        *(("--store", store) if store != STORE else ()),
        *(("--allow-seen",) if allow_seen else ()),
        *("-o", "ROBUSTNESS"),
    )
    return " ".join([line, *as_options(params, ("seed", "evaluate"))])


def measure_corruptions(
    bundle: Bundle,
    stored: Features,
    videos: Sequence[Video],
    corruptions: Sequence[Corruption],
    copies: Copies,
    params: Params,
) -> list[CorruptionResult]:
    """Measures the originals and every corruption, with drops on the videos that both have.

    Raises:
        DatasetError: the originals lack a class.
    """

    def score(sequences: Sequences) -> dict[str, float]:
        return dict(zip(sequences.paths, bundle.score(sequences), strict=True))

    def measured(sequences: Sequences, scores: Mapping[str, float]) -> Evaluation:
        values = np.asarray([scores[path] for path in sequences.paths])
        return measure(
            sequences,
            values,
            threshold=bundle.head.threshold,
            params=params,
            log10_lrs=told_ratios(bundle, bundle.head, sequences, values),
        )

    originals = load_sequences(stored, videos)
    scores = score(originals)
    steps = [
        CorruptionResult(
            corruption=ORIGINAL,
            evaluation=measured(originals, scores),
            drop=None,
            failed=len(videos) - len(originals),
        )
    ]
    for corruption in corruptions:
        copied = [
            replace(video, sha256=copies[corruption.name, video.path].sha256)
            for video in videos
            if (corruption.name, video.path) in copies
        ]
        sequences = load_sequences(stored, copied)
        evaluation = drop = None
        try:
            own = score(sequences) if len(sequences) else {}
            evaluation = measured(sequences, own)
            both = load_sequences(stored, [video for video in copied if video.path in scores])
            drop = difference(measured(both, scores), measured(both, own))
        except DatasetError:  # too few are left; `failed` says how many
            pass
        failed = len(videos) - len(sequences)
        steps.append(
            CorruptionResult(corruption=corruption, evaluation=evaluation, drop=drop, failed=failed)
        )
    return steps
