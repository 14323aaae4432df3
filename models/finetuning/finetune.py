"""Fine-tuning the backbone on face crops of the training split, in two phases.

First the frozen phase: a logistic regression on the frozen backbone's embeddings of clean and
augmented frames, trained to convergence, becomes the dense layer. Then the last residual blocks
learn, too, slowly: behind an untrained layer their first gradients would be noise and destroy what
was learnt on ImageNet. A killed run resumes after its last epoch, to the same result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data.errors import ConfigError
from data.io.atomic_folders import check_replaceable
from data.io.output_paths import check_output
from data.io.progress import log, progress
from models.backbones.network_digest import weights_digest
from models.backbones.registry import Backbone, save_backbone
from models.configs import FinetuneConfig
from models.early_stopping import EarlyStopping
from models.finetuning.checkpoint import (
    Checkpoint,
    checkpoint_path,
    load_checkpoint,
    remove_checkpoint,
    run_key,
    save_checkpoint,
)
from models.finetuning.clips import Clips, cached_clips
from models.finetuning.forging import Forger, with_forged_copies
from models.finetuning.network import FinetuneNet
from models.finetuning.precision import PRECISIONS, resolve_precision
from models.heads.split_checks import check_splits
from models.tf_runtime import seed_everything
from models.training_summary import TrainingSummary

if TYPE_CHECKING:
    from data.datasets.manifest import Video
    from data.faces.crops import Frames


@dataclass(frozen=True, kw_only=True)
class Finetuned:
    """A fine-tuned backbone and how it got there."""

    backbone: Backbone  # with the best epoch's weights, as written
    # a row per epoch: epoch, loss, auc, val_loss, val_auc. Epoch 0 is the frozen phase; loss and
    # auc are those of the training steps, augmented and weighted
    history: tuple[dict[str, float], ...]
    best_epoch: int  # the epoch whose weights it has; 0 means that fine-tuning did not help
    stop_reason: str  # one line for the reader
    failures: tuple[tuple[str, str], ...]  # path and reason of each video that could not be read


def finetune(
    train: Sequence[Video],
    val: Sequence[Video],
    *,
    read: Callable[[Video], Frames],
    backbone: Backbone,
    config: FinetuneConfig,
    out: Path,
    seed: int = 0,
    more_provenance: Mapping[str, str] | None = None,
    workers: int = 2,
    show: bool = True,
) -> Finetuned:
    """Fine-tunes a backbone and writes it to a folder that `load_backbone` reads.

    Args:
        train: videos to learn from.
        val: videos that decide when to stop.
        read: gives a video's face crops, of the backbone's size; called from several threads.
        backbone: where to start; its model is changed in place.
        config: how.
        out: folder to write; whole or not at all.
        seed: of order, frames and augmentation.
        more_provenance: further facts for the provenance of the weights.
        workers: videos that are read at once.
        show: progress bars.

    Raises:
        ConfigError: the backbone is a custom model, whose blocks are unknown, or quantized; or the
            machine does not compute in `config.precision`.
        DatasetError: a split lacks a class, or there are too few videos, or training diverged.
        OutputError: the folder cannot be written.
    """
    if backbone.architecture == "custom":
        raise ConfigError(
            f"{backbone.name} is a custom model; fine-tuning needs a ResNet50 or resnet50-thin"
        )
    if backbone.quantized is not None:
        raise ConfigError(
            f"{backbone.name} is quantized; fine-tune the backbone that it was made of, then "
            "quantize the result"
        )
    config, note = resolve_precision(config)
    if note:
        log.warning(note)
    check_replaceable(out, marker="backbone.json")
    kept = checkpoint_path(out)
    check_output(kept)
    cached = partial(
        cached_clips,
        read=read,
        frames=config.frames_per_video,
        size=backbone.size,
        beside=out.parent,
        workers=workers,
        show=show,
    )
    with ExitStack() as stack:
        train_clips = stack.enter_context(cached(train, name="read training"))
        val_clips = stack.enter_context(cached(val, name="read validation"))
        forger = Forger(train_clips, workers=workers) if config.forge else None
        if forger is not None and not train_clips.labels.any():
            forged = partial(with_forged_copies, beside=out.parent)
            train_clips, forger = stack.enter_context(forged(train_clips, forger, seed=seed))
            config = config.replace(forge=1.0)
            if not val_clips.labels.any():
                val_forger = Forger(val_clips, workers=workers)
                val_clips, _ = stack.enter_context(forged(val_clips, val_forger, seed=seed + 1))
        check_splits(train_clips.labels, val_clips.labels)
        seed_everything(seed)
        net = FinetuneNet(backbone, config)
        key_of = partial(
            run_key,
            seed=seed,
            backbone=backbone.digest,
            size=backbone.size,
            clips=(train_clips, val_clips),
        )
        key = key_of(config)
        if other := _other_precision(kept, config, key_of):
            log.warning(
                f"{kept} is of a run in {other}, this one computes in {config.precision} and "
                f"begins anew; to resume, stop it and set finetune.precision to {other}"
            )
        epochs = _Epochs(net, train_clips, val_clips, forger, config, seed)
        history, stopping = _run(epochs, kept, key, show=show)
        net.set_weights(stopping.best.weights)
    base = replace(backbone, model=None)
    model = net.backbone.model
    model.trainable = False
    tuned = replace(
        backbone,
        name=f"{base.name.removesuffix('-finetuned')}-finetuned",
        digest=weights_digest(backbone.architecture, model),
        provenance={
            "trained_on": _trained_on(base, train_clips, val_clips),
            "finetuning_precision": config.precision,
            "training": _training(base, {"train": (train, train_clips), "val": (val, val_clips)}),
            **(more_provenance or {}),
        },
    )
    result = Finetuned(
        backbone=tuned,
        history=tuple(history),
        best_epoch=stopping.best.epoch,
        stop_reason=stopping.reason(len(history) - 1),
        failures=train_clips.failures + val_clips.failures,
    )
    details = {
        "config": config.model_dump(),
        "seed": seed,
        "history": history,
        "best_epoch": result.best_epoch,
        "stop_reason": result.stop_reason,
    }
    save_backbone(tuned, out, base=base, finetuning=details)
    remove_checkpoint(kept)
    return result


@dataclass(frozen=True)
class _Epochs:
    """Both phases as epochs, of the same network and clips."""

    net: FinetuneNet
    train: Clips
    val: Clips
    forger: Forger | None
    config: FinetuneConfig
    seed: int

    def run(self, epoch: int) -> dict[str, float]:
        """One epoch's row of the history; 0 is the frozen phase.

        Its randomness depends on (seed, epoch) alone, not on the epochs before.
        """
        rng = np.random.default_rng((self.seed, epoch))
        if epoch == 0:
            return self.net.fit_head(self.train, self.val, rng, self.forger)
        row: dict[str, float] = {"epoch": epoch}
        row |= self.net.train_epoch(self.train, rng, epoch, self.forger)
        return row | self.net.validate(self.val, epoch)


def _run(
    epochs: _Epochs, kept: Path, key: str, *, show: bool
) -> tuple[list[dict[str, float]], EarlyStopping]:
    """Both phases, after the last epoch that a run with this key has finished."""
    net, config = epochs.net, epochs.config
    stopping = EarlyStopping(patience=config.patience)
    before = load_checkpoint(kept, key)
    earlier = before.history if before is not None else []
    if before is not None:
        net.set_state(before.state)
    history: list[dict[str, float]] = []
    with progress(total=config.epochs, desc="finetune", unit="epoch", show=show) as bar:
        for epoch in range(config.epochs + 1):
            known = before is not None and epoch < len(earlier)
            row = earlier[epoch] if known else epochs.run(epoch)
            history.append(row)
            bar.update(epoch > 0)
            bar.set_postfix_str(f"val AUC {row['val_auc']:.3f} loss {row['val_loss']:.3f}")
            # Of known epochs the checkpoint has the candidates' weights; others are candidates
            # only until the last known epoch.
            weights = partial(before.best.get, epoch, []) if known and before else net.get_weights
            done = stopping.update(epoch, row["val_auc"], row["val_loss"], weights)
            if not known:
                best = {one.epoch: one.weights for one in stopping.candidates}
                now = Checkpoint(history=history, state=net.get_state(), best=best)
                save_checkpoint(kept, key, now)
            if done:
                break
    return history, stopping


def _other_precision(
    kept: Path, config: FinetuneConfig, key_of: Callable[[FinetuneConfig], str]
) -> str | None:
    """The precision of a checkpoint of the same run but for that; None where there is none."""
    if not kept.is_file():
        return None
    others = [config.replace(precision=one) for one in PRECISIONS if one != config.precision]
    same = (one for one in others if load_checkpoint(kept, key_of(one)) is not None)
    return next((one.precision for one in same), None)


def _trained_on(base: Backbone, train: Clips, val: Clips) -> dict[str, dict[str, list[str]]]:
    """Digests and groups the weights were trained on, those of earlier fine-tunings included."""
    earlier = base.provenance.get("trained_on", {})
    seen = {}
    for name, clips in (("train", train), ("val", val)):
        before = earlier.get(name, {})
        seen[name] = {
            "sha256s": sorted({*clips.sha256s, *before.get("sha256s", [])}),
            "groups": sorted({*clips.groups, *before.get("groups", [])}),
        }
    return seen


def _training(
    base: Backbone, parts: dict[str, tuple[Sequence[Video], Clips]]
) -> list[dict[str, Any] | None]:
    """Summaries of the videos of each fine-tuning, oldest first; None where there is none.

    `parts` has the videos of each split of this one, and the clips of those that could be read.
    """
    earlier = base.provenance.get("training")
    if earlier is None:
        earlier = [None] if base.provenance else []
    now = {}
    for name, (videos, clips) in parts.items():
        read = set(clips.sha256s)
        now[name] = asdict(TrainingSummary.of(one for one in videos if one.sha256 in read))
    return [*earlier, now]
