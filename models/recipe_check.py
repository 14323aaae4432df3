"""Whether features fit a bundle: the same backbone, precision, frames and pixels version.

Recipes are compared as plain JSON, as bundles and feature sets have them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from data.errors import MismatchError
from data.pixels_version import PIXELS_VERSION
from data.video.frames import RETIRED
from features.store.key import pixels_version_of, precision_of

IGNORED = ("backbone", "pixels_version", *(f"frames.{key}" for key in RETIRED))
"""A backbone is identified by its digest; the pixels version has rules of its own."""
BY_VERSION = "face_detector"
"""A pixels version has its own face detector, so that this says nothing more where versions differ.
Whether faces are looked for at all is in `frames.crop`."""


def check_recipes(bundle: Mapping[str, Any], features: Mapping[str, Any]) -> str:
    """Refuses features of another backbone, other frames or an earlier pixels version.

    Features of a later pixels version are what `predict` makes now, so a bundle may be evaluated on
    them; no new video has an earlier one.

    Args:
        bundle: recipe of the features that it was trained on.
        features: their recipe.

    Returns:
        A warning about their pixels version; "" where it is the bundle's.

    Raises:
        MismatchError: they are not for this bundle; what differs is named.
    """
    remedy = "extract the videos with `unmask extract --bundle BUNDLE`, or train a new bundle"
    if bundle["backbone_digest"] != features.get("backbone_digest"):
        raise MismatchError(
            f"the bundle was trained on features of {backbone_words(bundle)}, these are of "
            f"{backbone_words(features)}; {remedy}"
        )
    mine, other = _flat(bundle), _flat(features)
    mine["precision"], other["precision"] = precision_of(bundle), precision_of(features)
    trained, made = pixels_version_of(bundle), pixels_version_of(features)
    ignored = IGNORED if trained == made else (*IGNORED, BY_VERSION)
    differ = sorted(
        key
        for key in mine.keys() | other.keys()
        if mine.get(key) != other.get(key) and key not in ignored
    )
    if differ:
        difference = ", ".join(
            f"{key} (bundle {mine.get(key)}, features {other.get(key)})" for key in differ
        )
        raise MismatchError(
            f"the bundle and the features come from different recipes: {difference}; {remedy}"
        )
    if made < trained:
        remedy = "extract again" if trained <= PIXELS_VERSION else "use a later unmask"
        raise MismatchError(
            f"the bundle was trained on pixels version {trained}, these features are of the "
            f"earlier version {made}; {remedy}"
        )
    if made == trained:
        return ""
    return (
        f"the bundle was trained on pixels version {trained}, these features are of version "
        f"{made}, as a video that is given to `unmask predict` has now; train it anew"
    )


def pixels_note(bundle: Mapping[str, Any]) -> str:
    """The warning where this unmask has another pixels version than a bundle's recipe, or ""."""
    trained = pixels_version_of(bundle)
    if trained == PIXELS_VERSION:
        return ""
    remedy = "extract again and train it anew"
    if trained > PIXELS_VERSION:
        remedy = "use the unmask that trained it"
    return (
        f"the bundle was trained on pixels version {trained}, this unmask reads version "
        f"{PIXELS_VERSION}; its scores may not be those that were measured: {remedy}"
    )


def backbone_words(recipe: Mapping[str, Any]) -> str:
    """A backbone's name and the start of its digest."""
    digest = str(recipe.get("backbone_digest"))
    return f"{recipe.get('backbone')} ({digest[:12]})"


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
