"""`unmask finetune`: fine-tunes a backbone on face crops of the training split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from data.datasets.digests import DigestCache
from data.datasets.manifest import Manifest
from data.io.atomic_folders import check_replaceable
from data.io.output_paths import check_out_folder
from models.backbones.fingerprint import RECORD
from pipeline.config import Params
from pipeline.extraction.crop_cache import cached_crops
from pipeline.extraction.inputs import DIGESTS, make_jobs
from pipeline.leakage import record_seen, refuse_seen_validation
from pipeline.machine import cores, versions
from pipeline.shell_commands import command_line


@dataclass(frozen=True, kw_only=True)
class FinetunedBackbone:
    """A fine-tuned backbone that was written."""

    out: Path  # its folder
    name: str  # of the backbone
    digest: str  # sha256 of its weights and preprocessing, hex
    frozen_auc: float  # validation AUC of the videos' mean frame scores, before fine-tuning
    best_auc: float  # the same after the best epoch
    best_epoch: int  # whose weights were kept; 0 is the frozen phase
    stop_reason: str  # why training ended, in one line
    failures: tuple[tuple[str, str], ...]  # path and reason of each video that could not be read
    next: str  # the command to go on with


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
) -> FinetunedBackbone:
    """Fine-tunes the backbone's last blocks and writes it to the folder `out`.

    Args:
        manifest: its training split is learnt from, its validation split chooses the epoch.
        out: new, or a backbone's folder to replace.
        root: folder of the videos; None for the manifest's own.
        backbone: name or path of the backbone to start from; None for backbone.name.
        params: all parameters.
        store: where the videos' face crops are kept.
        workers: parallel decoders; None for the number of cores.
        allow_seen: go on where the backbone was trained on validation people.

    Raises:
        LeakError: the backbone was trained on validation people, and `allow_seen` is false.
    """
    check_replaceable(out, marker=RECORD)
    check_out_folder(store)
    from models.backbones.registry import load_backbone
    from models.finetuning.finetune import finetune

    opened = Manifest.read(manifest, root=root)
    network = load_backbone(
        backbone or params.backbone.name, size=params.frames.size, seed=params.seed
    )
    seen = refuse_seen_validation(
        network.provenance, opened, allow_seen=allow_seen, result="weights"
    )
    train, val = opened.split("train"), opened.split("val")
    workers = workers or cores()
    named = [(video.path, opened.resolve(video), video) for video in (*train, *val)]
    jobs, failures = make_jobs(named, DigestCache(store.parent / DIGESTS.name))
    with cached_crops(
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
            more_provenance=record_seen(network.provenance, seen),
            workers=workers,
        )
    rooted = () if root is None else ("--root", root)
    following = ("--backbone", out, "-o", "embeddings")
    return FinetunedBackbone(
        out=out,
        name=result.backbone.name,
        digest=result.backbone.digest,
        frozen_auc=result.history[0]["val_auc"],
        best_auc=result.history[result.best_epoch]["val_auc"],
        best_epoch=result.best_epoch,
        stop_reason=result.stop_reason,
        failures=tuple(result.failures),
        next=command_line("unmask", "extract", manifest, *rooted, *following),
    )
