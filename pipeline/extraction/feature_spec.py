"""Which features a run makes: frames, recipe and backbone, by the parameters or by a bundle.

Both engines of `extract` start from a `FeatureSpec`, and so does `robustness`. TensorFlow is
imported inside the functions that need it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import MismatchError
from data.faces.tracker import FaceFinder
from data.io.progress import log
from data.pixels_version import PIXELS_VERSION
from data.video.frames import FrameRecipe
from features.store.key import Recipe
from features.store.views import Views
from models.backbones.fingerprint import (
    BackboneFingerprint,
    cache_fingerprint,
    copy_backbone,
    find_fingerprint,
)
from models.backbones.precision import choose_precision
from models.finetuning.views import make_views

if TYPE_CHECKING:
    from models.backbones.registry import Backbone
    from pipeline.config import Params

CARRIED = "backbone"
"""Folder of weights inside a folder of features."""


@dataclass(frozen=True, kw_only=True)
class FeatureSpec:
    """The features to make; the backbone is loaded only where a video needs it."""

    frames: FrameRecipe  # which frames, which crop
    recipe: Recipe  # of the features
    fingerprint: BackboneFingerprint  # of the backbone
    load: Callable[[], Backbone]  # loads the backbone; takes seconds
    views: Views = field(default_factory=Views)  # of each training video

    @property
    def attach(self) -> Callable[[Path], None] | None:
        """Writes the weights into a new folder of features; None for a public backbone.

        So that `train` can make a bundle of this folder alone, on any machine.
        """
        if self.fingerprint.is_public:
            return None
        return lambda folder: self.write_weights(folder / CARRIED)

    def write_weights(self, folder: Path) -> None:
        """Writes the backbone to a new folder; if it came from a folder, its files are copied."""
        if self.fingerprint.folder is not None:
            copy_backbone(self.fingerprint.folder, folder)
            return
        from models.backbones.registry import save_backbone

        save_backbone(self.load(), folder)


def make_feature_spec(
    params: Params, backbone: str | None, bundle: Path | None, *, cache: Path
) -> FeatureSpec:
    """The features that a bundle needs, or those of the parameters.

    Args:
        params: of the run.
        backbone: name or path; None takes the parameters'.
        bundle: whose frames and backbone to take, or None.
        cache: file of the fingerprints of named backbones, which then need not be loaded.
    """
    if bundle is not None:
        from models.bundle import Bundle

        opened = Bundle.load(bundle)
        if opened.pixels_note:
            log.warning(opened.pixels_note)
        network = opened.load_backbone()
        frames, recipe = bundle_recipe(opened.recipe)
        fingerprint = network.fingerprint(opened.backbone)
        return FeatureSpec(
            frames=frames, recipe=recipe, fingerprint=fingerprint, load=lambda: network
        )
    frames, name = params.frames, backbone or params.backbone.name
    known = find_fingerprint(name, size=frames.size, seed=params.seed, cache=cache)
    load: Callable[[], Backbone] = partial(_load_backbone, name, params)
    if known is None:
        network = load()
        known = network.fingerprint(name)
        cache_fingerprint(known, name, size=frames.size, seed=params.seed, cache=cache)
        load = lambda: network  # noqa: E731
    recipe = Recipe(
        frames=frames.to_json(),
        face_detector=FaceFinder().digest if frames.crop == "face" else None,
        backbone=known.name,
        backbone_digest=known.digest,
        dtype=params.extract.dtype,
        precision=choose_precision(params.extract.precision, known, runtime=params.extract.runtime),
        pixels_version=PIXELS_VERSION,
    )
    views = make_views(frames.views)
    return FeatureSpec(frames=frames, recipe=recipe, fingerprint=known, load=load, views=views)


def _load_backbone(name: str, params: Params) -> Backbone:
    from models.backbones.registry import load_backbone

    return load_backbone(name, size=params.frames.size, seed=params.seed)


def scoring_recipe(facts: dict[str, Any]) -> tuple[FrameRecipe, Recipe]:
    """As `bundle_recipe`, for features that are scored at once.

    float16 needs a GPU, which a machine that judges videos need not have: they are float32 then.
    """
    frames, recipe = bundle_recipe(facts)
    if recipe.precision == "float16":
        recipe = replace(recipe, precision="float32")
    return frames, recipe


def bundle_recipe(facts: dict[str, Any]) -> tuple[FrameRecipe, Recipe]:
    """The frames that a bundle's recipe needs, and that of the features that this unmask makes.

    The latter has this unmask's pixels version, and with it its face detector, whatever the bundle
    was trained on; `Bundle.pixels_note` says where the versions differ.

    Raises:
        MismatchError: another face detector in the same pixels version.
        StoreError: the recipe is damaged, or of another version.
    """
    recipe = Recipe.from_json(facts)
    detector = FaceFinder().digest if recipe.face_detector else None
    same_pixels = recipe.pixels_version == PIXELS_VERSION
    if same_pixels and recipe.face_detector and recipe.face_detector != detector:
        raise MismatchError(
            f"the bundle was trained on faces found by detector {recipe.face_detector[:12]}, "
            f"this unmask has {str(detector)[:12]}; train the bundle anew"
        )
    frames = FrameRecipe.from_json(recipe.frames)
    made = replace(recipe, face_detector=detector, pixels_version=PIXELS_VERSION)
    return frames, replace(made, frames=frames.to_json())
