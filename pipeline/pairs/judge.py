"""Which of two versions of a face is forged: what a bundle says of each, and of the pair."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.alignment.aligned_frames import AlignedFrames, FacePair
from data.alignment.traces import TRACES
from data.errors import MismatchError
from models.bundle import Bundle
from models.explanation.score_interval import score_sequences
from models.pairs.model import PairModel
from pipeline.extraction.feature_spec import scoring_recipe
from pipeline.inference.provenance import provenance_of, warn_about
from pipeline.inference.weighing import Weighed, novelties, weigh
from pipeline.leakage import networks_trained_on
from pipeline.pairs.describe import Described, describe

UNFITTED = (
    "This bundle was not fitted to pairs, so there is no likelihood ratio of the pair; "
    "`unmask fit-pairs` fits it."
)


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What the bundle says of one face alone."""

    probability_fake: float  # calibrated
    weighed: Weighed


@dataclass(frozen=True, kw_only=True)
class Weighing:
    """What the bundle says of a pair."""

    sides: tuple[Scored, Scored]
    # log10 LR, "the first is forged" against "the second is", and its interval's ends; None where
    # the bundle was not fitted to pairs
    log10_lr: tuple[float, float, float] | None
    origin: str  # what the ratio was measured on, or why there is none; a sentence
    notes: tuple[str, ...]


class PairJudge:
    """A bundle that judges pairs; use `load`."""

    def __init__(self, bundle: Bundle, model: PairModel | None, *, warning: str | None) -> None:
        self.bundle = bundle
        self.model = model
        notes = (warning or "", bundle.pixels_note)
        self.notes = tuple(note.removesuffix(".") for note in notes if note)
        self.frames, recipe = scoring_recipe(bundle.recipe)
        self.dtype = recipe.dtype
        self.encoder = bundle.encoder(recipe.precision)

    @classmethod
    def load(cls, folder: Path) -> PairJudge:
        """Loads a bundle, and its pair model where it has one.

        Raises:
            InputError: there is no bundle.
            StoreError: it is damaged.
            MismatchError: it does not read face crops.
        """
        bundle = Bundle.load(folder)
        warn_about(bundle)
        return cls.of(bundle, folder)

    @classmethod
    def of(cls, bundle: Bundle, folder: Path) -> PairJudge:
        """The same of a bundle that was loaded from a folder; errors as `load`."""
        if bundle.recipe["frames"].get("crop", "face") != "face":
            raise MismatchError(
                f"{folder} reads whole pictures, and pairs are compared face by face; "
                "give a bundle trained with frames.crop=face"
            )
        digest = str(bundle.recipe["backbone_digest"])
        model = PairModel.load(folder, traces=TRACES, backbone_digest=digest)
        return cls(bundle, model, warning=provenance_of(bundle).warning)

    def describe(self, frames: AlignedFrames, pair: FacePair) -> tuple[Described, Described]:
        """Both faces as vectors."""
        return describe(frames, pair, self.frames, self.encoder, dtype=self.dtype)

    def weigh(self, frames: AlignedFrames, pair: FacePair) -> Weighing:
        """Judges each face alone, and the pair."""
        one, two = self.describe(frames, pair)
        ratio, origin = None, UNFITTED
        if self.model is not None:
            ratio = self.model.log10_lr(self.model.score(one.vector, two.vector))
            origin = self.model.origin
        return Weighing(
            sides=(self._score(one), self._score(two)),
            log10_lr=ratio,
            origin=origin,
            notes=self.notes,
        )

    def _score(self, one: Described) -> Scored:
        """Judges one face alone."""
        features = one.features[None]
        raw = score_sequences(self.bundle.head, features, np.ones(features.shape[:2], bool))
        probability = float(self.bundle.head.calibration.apply(raw)[0])
        (novelty,) = novelties(self.bundle, one.features.mean(0, dtype=np.float64)[None])
        weighed = weigh(self.bundle.head, probability, novelty)
        return Scored(probability_fake=probability, weighed=weighed)

    def trained_on(self, sha256: str) -> tuple[str, ...]:
        """What was trained on this very file."""
        known = [f"the {one}" for one in networks_trained_on(self.bundle, sha256)]
        if self.model is not None and sha256 in self.model.sha256s:
            known.append("the comparison of pairs")
        return tuple(known)
