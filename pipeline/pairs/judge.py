"""What a bundle says of two versions of a face, each alone, and the ratio that it was fitted to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.alignment.aligned_frames import AlignedFrames, FacePair
from data.errors import MismatchError
from models.bundle import Bundle
from models.explanation.score_interval import score_sequences
from models.pairs.model import PairModel, built_in
from pipeline.extraction.feature_spec import scoring_recipe
from pipeline.inference.provenance import provenance_of, warn_about
from pipeline.inference.weighing import Weighed, novelties, weigh
from pipeline.leakage import networks_trained_on
from pipeline.pairs.embed import Floats, embed


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What the bundle says of one face alone."""

    probability_fake: float  # calibrated
    weighed: Weighed


@dataclass(frozen=True, kw_only=True)
class Weighing:
    """What the bundle says of both faces."""

    sides: tuple[Scored, Scored]
    notes: tuple[str, ...]  # on the bundle


class PairJudge:
    """A bundle that judges pairs; use `load`."""

    def __init__(self, bundle: Bundle, model: PairModel, *, warning: str | None) -> None:
        self.bundle = bundle
        self.model = model
        notes = (warning or "", bundle.pixels_note)
        self.notes = tuple(note.removesuffix(".") for note in notes if note)
        self.frames, recipe = scoring_recipe(bundle.recipe)
        self.dtype = recipe.dtype
        self.encoder = bundle.encoder(recipe.precision)

    @classmethod
    def load(cls, folder: Path) -> PairJudge:
        """Loads a bundle, with its own pair model where it has one, else the built-in one.

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
        model = PairModel.load(folder) or built_in()
        return cls(bundle, model, warning=provenance_of(bundle).warning)

    def weigh(self, frames: AlignedFrames, pair: FacePair) -> Weighing:
        """Judges each face alone."""
        one, two = embed(frames, pair, self.frames, self.encoder, dtype=self.dtype)
        return Weighing(sides=(self._score(one), self._score(two)), notes=self.notes)

    def _score(self, features: Floats) -> Scored:
        """Judges one face alone, of embeddings (T, D)."""
        batch = features[None]
        raw = score_sequences(self.bundle.head, batch, np.ones(batch.shape[:2], bool))
        probability = float(self.bundle.head.calibration.apply(raw)[0])
        (novelty,) = novelties(self.bundle, features.mean(0, dtype=np.float64)[None])
        weighed = weigh(self.bundle.head, probability, novelty)
        return Scored(probability_fake=probability, weighed=weighed)

    def trained_on(self, sha256: str) -> tuple[str, ...]:
        """What was trained on this very file."""
        return tuple(f"the {one}" for one in networks_trained_on(self.bundle, sha256))
