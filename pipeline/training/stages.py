"""One function per command and DVC stage: wiring only.

Each reads its inputs, calls the rooms below, writes its outputs and says in a few lines what came
out and what to do next. TensorFlow is imported inside the functions that need it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from data.datasets.digests import DigestCache
from data.datasets.index import index
from data.datasets.manifest import Manifest
from data.errors import (
    DatasetError,
    plain,
)
from data.io.atomic_folders import check_replaceable
from data.io.output_paths import check_out_folder, check_output
from data.pixels_version import PIXELS_VERSION
from data.video.reasons import reason_of
from features.sequences.dataset import Sequences, load_sequences
from features.store.feature_set import Features, write_failures
from features.store.sealing import check_store
from models.backbones.fingerprint import (
    BUNDLE_RECORD,
    RECORD,
)
from models.training_summary import TrainingSummary
from pipeline.config import Params, as_options
from pipeline.extraction.crops import stored_crops
from pipeline.extraction.extract import CARRIED, warn
from pipeline.extraction.jobs import DIGESTS, failure_row, make_jobs
from pipeline.leakage import marked, refuse_seen_validation, warnings_of
from pipeline.machine import cores, versions
from pipeline.shell_commands import command_line

if TYPE_CHECKING:
    from models.evaluation.baselines import Linear


def render_demo(folder: Path, *, params: Params, workers: int | None) -> None:
    """`unmask demo`: renders the demo data set."""
    from data.demo import write_demo

    summary = write_demo(folder, params.demo, workers=workers or cores(), progress=True)
    methods = ", ".join(f"{name} {count}" for name, count in sorted(summary.methods.items()))
    print(
        f"{folder}: {summary.videos} videos, {summary.rendered} rendered now, "
        f"{summary.size_bytes / 1e6:.1f} MB; rendered forgeries: {methods}"
    )
    print(f"next: {command_line('unmask', 'index', folder)}")


def index_videos(
    root: Path,
    out: Path | None,
    *,
    layout: str,
    params: Params,
    workers: int | None,
    compression: Sequence[str] = (),
    methods: Sequence[str] = (),
    near_duplicates: bool = False,
    group_by: str = "names",
) -> None:
    """`unmask index`: writes the manifest and, beside it, the failures."""
    if out is not None:
        check_manifest(out)
    digests = DigestCache(DIGESTS)
    result = index(
        root,
        layout=layout,
        split=params.index,
        workers=workers or cores() * 2,
        digests=digests,
        compression=compression,
        methods=methods,
        near_duplicates=near_duplicates,
        group_by=group_by,
        begin=None if out is not None else lambda folder: check_manifest(folder / "manifest.csv"),
    )
    folder = result.manifest.root
    out = out or folder / "manifest.csv"
    result.manifest.write(out)
    failures = [failure_row(one.path, one.error) for one in result.failures]
    write_failures(out.with_suffix(".failures.csv"), failures)
    print(f"labels from {result.source}")
    print("\n".join(result.manifest.summary()))
    passed = [f"{result.not_videos} files that are no videos"] if result.not_videos else []
    passed += [f"{len(result.unlabelled)} videos without a label"] if result.unlabelled else []
    if passed:
        print(f"passed over: {', '.join(passed)}")
    if result.missing:
        print(plain(f"missing: {result.missing}"))
    for one in result.failures[:10]:
        print(plain(f"failed: {one.path}: {one.error.failure}: {reason_of(one.error)}"))
    if len(result.failures) > 10:
        print(
            plain(f"failed: {len(result.failures)} in all, see {out.with_suffix('.failures.csv')}")
        )
    for warning in result.warnings:
        print(plain(f"warning: {warning}"))
    rooted = () if out.parent.resolve() == folder.resolve() else ("--root", folder)
    print(f"next: {command_line('unmask', 'extract', out, *rooted, '-o', 'embeddings')}")


def check_manifest(path: Path) -> None:
    """Refuses early a manifest, or the failures beside it, that cannot be written.

    Raises:
        OutputError: as it says.
    """
    check_output(path)
    check_output(path.with_suffix(".failures.csv"))  # "." and "/" have no name to change


def export_backbone(name: str, out: Path, *, params: Params) -> None:
    """`unmask backbone`: writes a backbone's weights to a folder."""
    check_replaceable(out, marker=RECORD)
    from models.backbones.registry import load_backbone, save_backbone

    backbone = load_backbone(name, size=params.frames.size, seed=params.seed)
    save_backbone(backbone, out)
    print(plain(f"{out}: {backbone.name}, D = {backbone.dim}, digest {backbone.digest[:12]}"))


def finetune_backbone(
    manifest: Path,
    out: Path,
    *,
    root: Path | None,
    backbone: str | None,
    params: Params,
    store: Path,
    workers: int | None,
    allow_seen: bool = False,
) -> None:
    """`unmask finetune`: fine-tunes the backbone on the training split's frames.

    Raises:
        LeakError: the backbone was trained on validation people, and `allow_seen` is false.
    """
    check_replaceable(out, marker=RECORD)
    check_store(store)
    from models.backbones.registry import load_backbone
    from models.finetuning.finetune import finetune

    opened = Manifest.read(manifest, root=root)
    network = load_backbone(
        backbone or params.backbone.name, size=params.frames.size, seed=params.seed
    )
    seen = refuse_seen_validation(
        network.provenance, opened, allow_seen=allow_seen, marks="weights"
    )
    for line in warnings_of(seen, network.provenance, opened):
        print(plain(f"warning: {line}"), file=sys.stderr)
    train, val = opened.split("train"), opened.split("val")
    workers = workers or cores()
    named = [(video.path, opened.resolve(video), video) for video in (*train, *val)]
    jobs, failures = make_jobs(named, DigestCache(store.parent / DIGESTS.name))
    with stored_crops(
        jobs, failures, params.frames, store=store, versions=versions(), workers=workers
    ) as read:
        result = finetune(
            train,
            val,
            read=read,
            backbone=network,
            config=params.finetune,
            out=out,
            seed=params.seed,
            marks=marked(network.provenance, seen),
            workers=workers,
            summarize=lambda videos: TrainingSummary.of(videos).to_json(),
        )
    first, best = result.history[0], result.history[result.best_epoch]
    print(
        f"{out}: {result.backbone.name}, digest {result.backbone.digest[:12]}; validation AUC of "
        f"frames' mean {first['val_auc']:.3f} frozen, {best['val_auc']:.3f} at epoch "
        f"{result.best_epoch}; {result.stop_reason}"
    )
    for path, reason in result.failures[:10]:
        print(plain(f"failed: {path}: {reason}"))
    rooted = () if root is None else ("--root", root)
    of = ("--backbone", out, "-o", "embeddings")
    print(f"next: {command_line('unmask', 'extract', manifest, *rooted, *of)}")


def train_bundle(
    features: Path,
    out: Path,
    *,
    manifest: Path,
    params: Params,
    tensorboard: Path | None = None,
    allow_seen: bool = False,
) -> None:
    """`unmask train`: trains the head and its baseline on cached features.

    Raises:
        LeakError: the backbone was trained on validation people, and `allow_seen` is false.
    """
    check_replaceable(out, marker=BUNDLE_RECORD)
    if tensorboard is not None:
        check_out_folder(tensorboard / out.name)
    opened = Features(features)
    videos = Manifest.read(manifest)
    seen = refuse_seen_validation(opened.provenance, videos, allow_seen=allow_seen)
    for line in warnings_of(seen, opened.provenance, videos):
        print(plain(f"warning: {line}"), file=sys.stderr)
    if opened.recipe.pixels_version < PIXELS_VERSION:
        warn(
            f"these features have pixels version {opened.recipe.pixels_version}, `unmask predict` "
            f"reads version {PIXELS_VERSION}; extract again to train on what it sees"
        )
    train = load_sequences(opened, videos.split("train"), views=True)
    val = load_sequences(opened, videos.split("val"))
    if not len(train):
        raise DatasetError(
            f"{features} has no features of the training videos of {manifest}; "
            "extract from this manifest"
        )
    from models.bundle import Bundle, BundledHead
    from models.evaluation.calibration import calibrate
    from models.heads.log import TrainingLog
    from models.heads.training import score, train_head
    from pipeline.evaluation.baselines import with_ablation_thresholds

    if train.views is not None:
        print(f"{opened.views.count} views of each training video, one drawn in each epoch")
    if train.viewless:
        print(f"{train.viewless} training videos lack augmented views; extract again to make them")
    runs = None if tensorboard is None else tensorboard / out.name
    heads = {}
    baseline = params.head.replace(kind="mean")
    for name, head in {"head": params.head, "baseline": baseline}.items():
        if name == "baseline" and params.head.kind == "mean":
            continue
        log = TrainingLog(head.kind, tensorboard=runs)
        trained = train_head(train, val, head=head, config=params.train, seed=params.seed, log=log)
        calibration, threshold = calibrate(
            val.labels, score(trained.model, val), val.groups, params.calibration, seed=params.seed
        )
        heads[name] = BundledHead.of(trained, threshold=threshold, calibration=calibration)
        best = trained.history[trained.best_epoch - 1]
        print(
            f"{head.kind}: {len(trained.history)} epochs; {trained.stop_reason}, "
            f"loss {best['val_loss']:.4f}"
        )
    bundle = Bundle(
        head=heads["head"],
        baseline=heads.get("baseline"),
        recipe=opened.recipe.to_json(),
        dim=opened.dim,
        trained_on={name: who(part) for name, part in (("train", train), ("val", val))},
        provenance=opened.provenance,
        backbone=carried if (carried := features / CARRIED).is_dir() else opened.recipe.backbone,
        linear_baselines=fit_controls(train, val, videos),
        command=training_command(features, manifest, params, allow_seen=bool(seen)),
        seen_in_validation=seen,
        training={
            name: TrainingSummary.of(one for one in videos.videos if one.path in paths)
            for name, paths in (("train", {*train.paths}), ("val", {*val.paths}))
        },
    )
    with_ablation_thresholds(bundle, val, params.calibration, seed=params.seed).save(out)
    for path in (*train.missing, *val.missing)[:10]:
        print(plain(f"left out, no features: {path}"))
    of = ("--manifest", manifest, "-o", "report")
    print(f"next: {command_line('unmask', 'evaluate', out, features, *of)}")


def training_command(
    features: Path, manifest: Path, params: Params, *, allow_seen: bool = False
) -> str:
    """What to type for the same bundle; where it lies is no part of it."""
    marked = ("--allow-seen",) if allow_seen else ()
    words = ("train", features, "--manifest", manifest, "-o", "BUNDLE", *marked)
    line = command_line("unmask", *words)
    return " ".join([line, *as_options(params, ("seed", "head", "train", "calibration"))])


def fit_controls(train: Sequences, val: Sequences, manifest: Manifest) -> dict[str, Linear]:
    """Fits the linear controls on the videos that the head was trained on."""
    from models.evaluation.baselines import fit_linear, metadata, pooled

    known = {video.path: video for video in manifest.videos}
    files = [[known[path] for path in part.paths] for part in (train, val)]
    codecs = tuple(sorted({video.codec for video in files[0]}))
    inputs = {
        "metadata": [metadata(part, codecs) for part in files],
        "logistic": [pooled(part.features, part.mask) for part in (train, val)],
    }
    return {
        name: fit_linear(
            fit, train.labels, check, val.labels, codecs=codecs if name == "metadata" else ()
        )
        for name, (fit, check) in inputs.items()
    }


def who(sequences: Sequences) -> dict[str, list[str]]:
    """Digests and groups of these videos, for the leak guard."""
    return {
        "sha256s": sorted(set(sequences.sha256s)),
        "groups": sorted(set(sequences.groups)),
    }
