"""`unmask train`: trains a head and its baselines on cached features and writes the bundle."""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data.datasets.manifest import Manifest
from data.errors import DatasetError
from data.io.atomic_folders import check_replaceable
from data.io.interrupts import interruptible_threads
from data.io.output_paths import check_out_folder
from data.io.progress import log
from data.pixels_version import PIXELS_VERSION
from features.sequences.dataset import Sequences
from features.store.feature_set import Features
from models.conditioning.cache import Conditioned
from models.configs import LSTMS, HeadKind
from models.records import BUNDLE_RECORD
from models.training_summary import TrainingSummary
from pipeline.config import Params, as_options
from pipeline.extraction.feature_spec import CARRIED
from pipeline.leakage import refuse_seen_validation
from pipeline.shell_commands import command_line
from pipeline.training.beside import fitted_beside, is_worth_a_process, load_splits

if TYPE_CHECKING:
    from models.bundle import BundledHead
    from models.heads.training import HeadTrainer


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """A bundle that was written."""

    out: Path  # its folder
    # the head, then its mean-pool baseline where the head is another
    heads: tuple[BundledHead, ...]
    missing: tuple[str, ...]  # training and validation videos without features
    next: str  # the command to go on with


def train_bundle(
    features: Path,
    out: Path,
    *,
    manifest: Path,
    params: Params,
    tensorboard: Path | None = None,
    allow_seen: bool = False,
    process: bool = False,
) -> TrainResult:
    """Trains the head and its baselines, calibrates them and writes the bundle.

    Args:
        features: the feature set that `extract` wrote.
        out: new, or a bundle to replace.
        manifest: its training split is learnt from, its validation split chooses.
        params: all parameters.
        tensorboard: folder for learning curves; None writes none.
        allow_seen: go on where the backbone was trained on validation people.
        process: fit what needs no TensorFlow in a process beside its import, which saves seconds.
            Not for a script without `if __name__ == "__main__":`, which that process would run.

    Raises:
        LeakError: the backbone was trained on validation people, and `allow_seen` is false.
        DatasetError: the features are of other videos, or cannot serve.
    """
    check_replaceable(out, marker=BUNDLE_RECORD)
    if tensorboard is not None:
        check_out_folder(tensorboard / out.name)
    opened, videos = Features(features), Manifest.read(manifest)
    seen = refuse_seen_validation(opened.provenance, videos, allow_seen=allow_seen)
    if opened.recipe.pixels_version < PIXELS_VERSION:
        log.warning(
            f"these features have pixels version {opened.recipe.pixels_version}, `unmask predict` "
            f"reads version {PIXELS_VERSION}; extract again to train on what it sees"
        )
    splits = load_splits(opened, videos)
    train, val = splits.train, splits.val
    if not len(train):
        raise DatasetError(
            f"{features} has no features of the training videos of {manifest}; "
            "extract from this manifest"
        )
    if train.views is not None:
        log.info(f"{opened.views.count} views of each training video, one drawn in each epoch")
    if train.viewless:
        log.warning(
            f"{train.viewless} training videos lack augmented views; extract again to make them"
        )
    conditions = params.head.condition
    share = params.calibration.novelty
    apart = process and is_worth_a_process()
    fits = fitted_beside(splits, config=conditions, novelty_share=share, process=apart)
    with interruptible_threads(1) as thread, fits as beside:
        from models.bundle import Bundle
        from models.heads.descent.shared import compile_ahead, precision_of  # loads TensorFlow
        from models.tf_runtime import limit_threads
        from pipeline.evaluation.baselines import with_ablation_thresholds

        if params.head.kind in LSTMS:  # what "auto" is here is recorded
            precise = params.train.replace(precision=precision_of(params.train))
            params = Params(**dict(params) | {"train": precise})
        if conditions.kind != "none" and params.head.has_epochs:
            # Alone, a step on 128 dimensions took 10.2 ms with one thread or two, which used 11 ms
            # and 16 of CPU time.
            with suppress(RuntimeError):  # this process has used TensorFlow before
                limit_threads(1)
            size = min(conditions.dimensions, opened.dim)
            compile_ahead(params.head, params.train, shape=(*train.mask.shape, size))
        conditioned = beside.conditioned()
        runs = None if tensorboard is None else tensorboard / out.name
        given: dict[str, Any] = {
            "params": params, "tensorboard": runs, "conditioned": conditioned
        }  # fmt: skip
        other: Future[BundledHead] | None = None
        if params.head.kind != "mean":
            built = make_trainer("mean", train, val, params=params, conditioned=conditioned)
            built.build()
            other = thread.submit(
                train_calibrated, "mean", train, val, **given, trainer=built, live=False
            )
        head = train_calibrated(params.head.kind, train, val, **given)
        baseline = None if other is None else other.result()
        baselines = beside.baselines()
        novelty = baselines.novelty
        bundle = Bundle(
            head=head,
            baseline=baseline,
            recipe=opened.recipe.to_json(),
            dim=opened.dim,
            trained_on={name: trained_on(part) for name, part in (("train", train), ("val", val))},
            provenance=opened.provenance,
            backbone=carried
            if (carried := features / CARRIED).is_dir()
            else opened.recipe.backbone,
            linear_baselines=baselines.linear,
            command=training_command(features, manifest, params, allow_seen=bool(seen)),
            seen_in_validation=seen,
            training={
                name: TrainingSummary.of(one for one in videos.videos if one.path in paths)
                for name, paths in (("train", {*train.paths}), ("val", {*val.paths}))
            },
            novelty=None if novelty is None else novelty.novelty,
        )
    from pipeline.bundle_card import bundle_card
    from pipeline.training.one_image import with_one_image

    bundle = with_ablation_thresholds(bundle, val, params.calibration, seed=params.seed)
    bundle = with_one_image(
        bundle,
        val,
        params.calibration,
        novelty_threshold=None if novelty is None else novelty.frame_threshold,
        refit=params.train.refit,
        seed=params.seed,
    )
    heads = tuple(one for one in (head, baseline) if one is not None)
    for one in heads:
        if (ratio := one.likelihood_ratio) is not None:
            log.info(
                f"{one.config.kind}: likelihood ratios fitted on {ratio.origin}: {ratio.in_words}"
            )
    bundle.save(out, card=bundle_card(bundle))
    following = ("--manifest", manifest, "-o", "report")
    return TrainResult(
        out=out,
        heads=heads,
        missing=(*train.missing, *val.missing),
        next=command_line("unmask", "evaluate", out, features, *following),
    )


def make_trainer(
    kind: HeadKind,
    train: Sequences,
    val: Sequences,
    *,
    params: Params,
    conditioned: Conditioned | None,
    refit: bool = True,
) -> HeadTrainer:
    """The trainer of a head of this kind; without `refit` it does not learn from validation."""
    from models.heads.training import HeadTrainer

    return HeadTrainer(
        train,
        val,
        head=params.head.replace(kind=kind),
        config=params.train.replace(refit=params.train.refit and refit),
        seed=params.seed,
        conditioned=conditioned,
    )


def train_calibrated(
    kind: HeadKind,
    train: Sequences,
    val: Sequences,
    *,
    params: Params,
    tensorboard: Path | None,
    conditioned: Conditioned | None = None,
    trainer: HeadTrainer | None = None,
    live: bool | None = None,
) -> BundledHead:
    """Trains a head of this kind, calibrates it and chooses its threshold.

    Its likelihood ratio is fitted on held-out people and methods of both splits: those of a linear
    model's own cross-validation, or of further heads. Calibration and threshold are chosen on
    validation; on those held-out videos where the head learnt from validation (`train.refit`).

    Args:
        kind: of the head.
        train: the training videos.
        val: the validation videos.
        params: all parameters.
        tensorboard: folder for learning curves; None writes none.
        conditioned: both splits as the head conditions them; None where it does not.
        trainer: as `make_trainer` gives it; None makes one.
        live: log a table of the epochs; None where stderr is a terminal.
    """
    from models.bundle import BundledHead
    from models.evaluation.calibration import calibrate
    from models.heads.inference import score
    from models.heads.log import TrainingLog
    from models.heads.out_of_fold import fit_head_ratio, held_out_scores

    def new_log() -> TrainingLog:
        return TrainingLog(kind, live=live, tensorboard=tensorboard)

    given: dict[str, Any] = {"params": params, "conditioned": conditioned}
    trainer = trainer or make_trainer(kind, train, val, **given)
    trained = trainer.fit(new_log())
    held = held_out_scores(trainer, trained, folds=params.calibration.folds)
    refit = params.train.refit and trained.config.has_linear_model
    if refit and held is None:
        log.warning("validation is not learnt from, since nobody is held out to calibrate on")
        refit, trainer = False, make_trainer(kind, train, val, **given, refit=False)
        trained = trainer.fit(new_log())
    if refit and held is not None:
        labels, scores, groups = held.labels, held.scores, held.groups
    else:
        labels, groups = val.labels.astype(np.int64), val.groups
        scores = score(trained.model, val)
    calibration, threshold = calibrate(labels, scores, groups, params.calibration, seed=params.seed)
    ratio = fit_head_ratio(held, calibration=calibration, seed=params.seed)
    return BundledHead(
        **vars(trained),
        threshold=threshold,
        calibration=calibration if ratio is None else calibration.widened(*ratio.unsure, threshold),
        likelihood_ratio=ratio,
    )


def training_command(
    features: Path, manifest: Path, params: Params, *, allow_seen: bool = False
) -> str:
    """The command that trains the same bundle, with BUNDLE for its folder."""
    allowed = ("--allow-seen",) if allow_seen else ()
    words = ("train", features, "--manifest", manifest, "-o", "BUNDLE", *allowed)
    line = command_line("unmask", *words)
    return " ".join([line, *as_options(params, ("seed", "head", "train", "calibration"))])


def trained_on(sequences: Sequences) -> dict[str, list[str]]:
    """Digests and groups of these videos, for the leak guard."""
    return {
        "sha256s": sorted(set(sequences.sha256s)),
        "groups": sorted(set(sequences.groups)),
    }
