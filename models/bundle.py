"""The bundle: a folder with a trained head and everything needed to use it on a new video.

    head.safetensors       the LSTM head, normaliser inside; head.keras is the same for Keras
    baseline.safetensors   the mean-pool baseline trained on the same features, where there is one;
                           baseline.keras likewise
    novelty.npy            how training embeddings are distributed, where known
    bundle.json            recipe, backbone, thresholds, versions, what it was trained on
    history.csv            each epoch of the head's training, to plot
    validation.json        validation metrics of each head's best epoch, to choose by
    backbone/              the weights, unless the backbone is public: fine-tuned or your own
    README.md              the model card, as the Hugging Face Hub reads it

On one machine the same head gives the same bytes, so that DVC sees no change where there is none.
TensorFlow is imported where a backbone is loaded, a bundle is written, or one of an earlier version
is read, which has no `.safetensors`.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data.errors import ConfigError, InputError, MismatchError, StoreError
from data.io.atomic_files import write_plain
from data.io.atomic_folders import read_versioned_json, replace_folder, write_json
from data.io.reading import BAD_FACTS, file_sha256
from features.store.key import Precision
from models.applicability.novelty import FILE as NOVELTY
from models.applicability.novelty import Novelty
from models.applicability.one_image import NO_VERDICT, NOT_CALIBRATED, OneImage, image_judge
from models.backbones.fingerprint import PUBLIC, BackboneFingerprint, LazyEncoder
from models.backbones.network_cache import open_encoder
from models.configs import ExtractConfig, HeadConfig
from models.evaluation.baselines import Linear
from models.evaluation.calibration import Calibration
from models.evaluation.likelihood_ratio import LikelihoodRatio
from models.heads.files import load_head, save_head, write_history
from models.heads.inference import score
from models.heads.trained import Trained
from models.recipe_check import backbone_words, check_recipes, pixels_note
from models.records import BUNDLE_RECORD, FORMAT, VERSION, check_record
from models.training_summary import TrainingSummary

if TYPE_CHECKING:
    from features.sequences.dataset import Sequences
    from models.backbones.registry import Backbone

README = "README.md"


@dataclass(frozen=True, kw_only=True)
class BundledHead(Trained):
    """A trained head with its calibration and thresholds."""

    # at or above it a video is called fake; chosen on validation, on the calibrated scale
    threshold: float
    # makes the score a probability and a verdict
    calibration: Calibration = field(default_factory=Calibration)
    # of the same head given part of its input, each chosen on validation: "frames", "one frame",
    # "shuffled frames". Older bundles have none
    ablation_thresholds: dict[str, float] = field(default_factory=dict)
    # makes P(fake) a likelihood ratio; older bundles have none
    likelihood_ratio: LikelihoodRatio | None = None


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A head, its baseline, and the recipe of the features that they read."""

    head: BundledHead  # the head that gives verdicts
    baseline: BundledHead | None  # the mean-pool baseline, to compare with; or None
    # plain JSON of the features' recipe; holds "backbone" and "backbone_digest"
    recipe: dict[str, Any]
    dim: int  # D, length of one embedding
    # {"train": {"sha256s": […], "groups": […]}, "val": {…}}, for the leak guard
    trained_on: dict[str, Any]
    # of the backbone: what it was fine-tuned on. Empty for a public one
    provenance: dict[str, Any]
    # where the weights are: a public name, or a folder that `save_backbone` wrote
    backbone: str | Path
    # of unmask and its dependencies, when it was trained; filled by `save`
    versions: dict[str, str] | None = None
    # "metadata" and "logistic", fitted on the same videos; none in older bundles
    linear_baselines: dict[str, Linear] = field(default_factory=dict)
    command: str = ""  # that trained it, whole; "" where it is unknown
    # which validation people the backbone was trained on, in words, where that was allowed (`train
    # --allow-seen`); "" where it was on none
    seen_in_validation: str = ""
    # counts of the videos of each split; none in older bundles
    training: dict[str, TrainingSummary] = field(default_factory=dict)
    # of mean embeddings in training; None in older bundles
    novelty: Novelty | None = None
    # how single images are judged; None in older bundles, and where no part of it can
    one_image: OneImage | None = None

    def save(self, folder: Path, *, card: str = "") -> None:
        """Writes the bundle, whole or not at all; an older one is replaced.

        Args:
            folder: where to.
            card: text of README.md; "" writes none.

        Raises:
            MismatchError: `backbone` is not the one that made the features.
            OutputError: the folder cannot be written.
        """
        copied = None
        if str(self.backbone) not in PUBLIC:
            copied = self.load_backbone()
            # An exported public backbone is the public one, and needs no copy.
            if copied.name in PUBLIC and not copied.provenance:
                copied = None
        heads = {"head": self.head} | ({"baseline": self.baseline} if self.baseline else {})
        facts: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            "recipe": self.recipe,
            "dim": self.dim,
            "backbone": {
                "name": self.recipe["backbone"],
                "digest": self.recipe["backbone_digest"],
                "folder": "backbone" if copied else None,
            },
            "trained_on": self.trained_on,
            "provenance": self.provenance,
            "versions": self.versions or _versions(),
            "controls": {name: asdict(one) for name, one in self.linear_baselines.items()},
            "command": self.command,
            "training": {name: asdict(one) for name, one in self.training.items()},
        }
        if self.seen_in_validation:
            facts["seen_in_validation"] = self.seen_in_validation
        with replace_folder(folder, marker=BUNDLE_RECORD) as new:
            for name, head in heads.items():
                facts[name] = {
                    **save_head(head, new, name, dim=self.dim),
                    "config": head.config.model_dump(),
                    "threshold": head.threshold,
                    "history": list(head.history),
                    "best_epoch": head.best_epoch,
                    "stop_reason": head.stop_reason,
                    "calibration": asdict(head.calibration),
                    "control_thresholds": head.ablation_thresholds,
                }
                if head.likelihood_ratio is not None:
                    facts[name]["likelihood_ratio"] = head.likelihood_ratio.to_json()
            if self.one_image is not None:
                facts["one_image"] = self.one_image.to_json()
            if self.novelty is not None:
                write_plain(new / NOVELTY, self.novelty.content())
                digest = file_sha256(new / NOVELTY)
                facts["novelty"] = self.novelty.to_json() | {"sha256": digest}
            if copied:
                from models.backbones.registry import save_backbone

                save_backbone(copied, new / "backbone")
            write_json(new / BUNDLE_RECORD, facts)
            if card:
                write_plain(new / README, card)
            write_history(new, {head.config.kind: head for head in heads.values()})

    @classmethod
    def load(cls, folder: Path) -> Bundle:
        """Reads a bundle back.

        Raises:
            InputError: there is no bundle at that path.
            StoreError: it is damaged, foreign or of a later version.
        """
        facts = read_versioned_json(folder / BUNDLE_RECORD, FORMAT, VERSION)
        check_record(facts, folder / BUNDLE_RECORD)
        try:
            public = facts["backbone"]["folder"] is None
            heads = {
                name: _load_head(folder, name, facts[name], facts["dim"])
                for name in ("head", "baseline")
                if name in facts
            }
            return cls(
                head=heads["head"],
                baseline=heads.get("baseline"),
                recipe=facts["recipe"],
                dim=facts["dim"],
                trained_on=facts["trained_on"],
                provenance=facts["provenance"],
                backbone=facts["backbone"]["name"] if public else folder / "backbone",
                versions=facts["versions"],
                linear_baselines={
                    name: Linear.from_json(one) for name, one in facts.get("controls", {}).items()
                },
                command=str(facts.get("command", "")),
                seen_in_validation=str(facts.get("seen_in_validation", "")),
                training={
                    name: TrainingSummary.from_json(one)
                    for name, one in dict(facts.get("training", {})).items()
                },
                novelty=Novelty.load(folder, facts["novelty"], facts["dim"])
                if "novelty" in facts
                else None,
                one_image=OneImage.from_json(facts["one_image"]) if "one_image" in facts else None,
            )
        except (ConfigError, *BAD_FACTS) as error:
            raise StoreError(
                f"{folder / 'bundle.json'} is damaged ({error}); train the bundle anew"
            ) from error

    def score(self, sequences: Sequences, *, baseline: bool = False) -> NDArray[np.float64]:
        """Calibrated P(fake) of each video, (N,) float64; see `models.heads.inference.score`.

        The sequences must have the bundle's recipe: `check_recipe` first. `baseline` takes the
        place of the head.

        Raises:
            MismatchError: the embeddings have another length.
            InputError: the baseline is asked for and there is none.
        """
        if sequences.features.shape[-1] != self.dim:
            raise MismatchError(
                f"the bundle needs embeddings of length {self.dim}, "
                f"got {sequences.features.shape[-1]}; extract with the bundle's backbone"
            )
        head = self.baseline if baseline else self.head
        if head is None:
            raise InputError("this bundle has no baseline; train it anew")
        return head.calibration.apply(score(head.model, sequences))

    def for_one_image(self) -> Bundle | None:
        """This bundle as it judges one image; None where it cannot.

        See `models.applicability.one_image`.

        It has no likelihood ratios. Without a calibration for images its every verdict is UNSURE,
        and it does not know what is novel.
        """
        known = self.one_image
        judge = None if known is None else known.judge
        found = image_judge(self.head, self.baseline, judge=judge)
        if found is None:
            return None
        head = replace(found[1], likelihood_ratio=None, ablation_thresholds={})
        if known is None:
            low, high = NO_VERDICT
            never = replace(head.calibration, unsure_low=low, unsure_high=high)
            return replace(self, head=replace(head, calibration=never), novelty=None)
        novelty = None
        if self.novelty is not None and known.novelty_threshold is not None:
            novelty = replace(self.novelty, threshold=known.novelty_threshold)
        head = replace(head, calibration=known.calibration, threshold=known.threshold)
        return replace(self, head=head, novelty=novelty)

    @property
    def unsure_reason(self) -> str | None:
        """Why a bundle of `for_one_image` calls every image UNSURE; None where it does not."""
        calibration = self.head.calibration
        band = (calibration.unsure_low, calibration.unsure_high)
        return NOT_CALIBRATED if band == NO_VERDICT else None

    @property
    def pixels_note(self) -> str:
        """A warning where this unmask reads pixels in another way than in training, or ""."""
        return pixels_note(self.recipe)

    def check_recipe(self, recipe: Mapping[str, Any]) -> str:
        """As `models.recipe_check.check_recipes`, with this bundle's recipe."""
        return check_recipes(self.recipe, recipe)

    def encoder(self, precision: Precision) -> LazyEncoder:
        """The backbone as an encoder, which is loaded when it is needed.

        Without TensorFlow where the network is cached. Loading raises what `load_backbone` does;
        ConfigError where the precision is not one of this backbone, or of this machine; ToolError
        where the runtime is not installed, or cannot run it.
        """
        fingerprint = BackboneFingerprint(
            name=self.recipe["backbone"],
            digest=self.recipe["backbone_digest"],
            dim=self.dim,
            provenance=self.provenance,
        )
        batch_size = ExtractConfig().batch_size
        load = partial(
            open_encoder,
            self.backbone,
            digest=fingerprint.digest,
            size=self.recipe["frames"]["size"],
            load=self.load_backbone,
            precision=precision,
            batch_size=batch_size,
        )
        return LazyEncoder(fingerprint, batch_size=batch_size, load=load)

    def load_backbone(self) -> Backbone:
        """The backbone that makes the features which this bundle reads.

        Raises:
            MismatchError: what is found under its name has other weights.
            StoreError: the bundle's copy is damaged.
            ToolError: public weights are missing.
        """
        from models.backbones.registry import load_backbone

        size = self.recipe["frames"]["size"]
        try:
            found = load_backbone(self.backbone, size=size)
        except InputError as error:
            raise StoreError(f"the backbone of this bundle is missing: {error}") from error
        if found.digest != self.recipe["backbone_digest"]:
            raise MismatchError(
                f"the bundle was trained on features of {backbone_words(self.recipe)}, but "
                f"{self.backbone} holds {found.name} ({found.digest[:12]}); train the bundle anew"
            )
        return found


def _load_head(folder: Path, name: str, facts: Mapping[str, Any], dim: int) -> BundledHead:
    """One head's files with their entry of bundle.json."""
    calibration, ratio = facts.get("calibration"), facts.get("likelihood_ratio")
    return BundledHead(
        model=load_head(folder, name, facts, dim=dim),
        # bundles of earlier versions have neither, whatever the defaults are
        config=HeadConfig(**({"condition": {"kind": "none"}, "residual": False} | facts["config"])),
        threshold=float(facts["threshold"]),
        history=tuple(facts["history"]),
        best_epoch=facts["best_epoch"],
        stop_reason=facts["stop_reason"],
        calibration=Calibration.from_json(calibration) if calibration else Calibration(),
        ablation_thresholds={
            str(name): float(value) for name, value in facts.get("control_thresholds", {}).items()
        },
        likelihood_ratio=LikelihoodRatio.from_json(ratio) if ratio else None,
    )


def _versions() -> dict[str, str]:
    """Versions of unmask and of the packages that its numbers depend on."""
    versions = {"python": platform.python_version()}
    for package in ("unmask", "tensorflow", "keras", "numpy"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:  # run from a checkout
            versions[package] = "not installed"
    return versions
