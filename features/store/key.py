"""Keys of sequences: a digest of all that decides their bytes (video, frames, backbone)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal, get_args

from data.errors import ConfigError, StoreError

DType = Literal["float16", "float32", "uint8"]
Precision = Literal["float32", "bfloat16", "int8", "float16"]
"""Of the backbone's arithmetic."""

PRECISIONS: tuple[Precision, ...] = get_args(Precision)
MIXED = "mixed"
"""What JSON has in place of float16, so that the keys of earlier versions stay valid."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything but the video that decides what its features are.

    Raises:
        ConfigError: an unknown dtype or precision, or no version.
    """

    frames: dict[str, Any]  # plain JSON of `data.video.frames.FrameRecipe`
    face_detector: str | None  # digest of the face finder, or None where none is used
    backbone: str  # the backbone's name, for people; not part of the digest
    backbone_digest: str  # sha256 over its weights
    # Of the stored features; uint8 is for crops, whose backbone is the identity.
    dtype: DType = "float16"
    # Of the backbone's arithmetic: each rounds otherwise. A recipe without it is of float32.
    precision: Precision = "float32"
    # Of the code that made the crops; `data.pixels_version.PIXELS_VERSION` for new ones. A recipe
    # without it is of version 1.
    pixels_version: int = 1

    def __post_init__(self) -> None:
        if self.dtype not in ("float16", "float32", "uint8"):
            raise ConfigError(f"dtype must be float16, float32 or uint8, got {self.dtype!r}")
        if self.precision not in PRECISIONS:
            raise ConfigError(
                f"precision must be one of {', '.join(PRECISIONS)}, got {self.precision!r}"
            )
        if type(self.pixels_version) is not int or self.pixels_version < 1:
            raise ConfigError(f"pixels_version must be 1 or more, got {self.pixels_version!r}")

    def to_json(self) -> dict[str, Any]:
        """Plain values; float32 and pixels version 1 are left out, as in the first format."""
        facts = asdict(self)
        if self.pixels_version == 1:
            del facts["pixels_version"]
        if self.precision == "float32":
            del facts["precision"]
        elif self.precision == "float16":
            facts["precision"] = MIXED
        return facts

    @classmethod
    def from_json(cls, facts: Any) -> Recipe:
        """Reads what `to_json` gave.

        Raises:
            StoreError: it is something else.
        """
        try:
            recipe = cls(**{**facts, "precision": precision_of(facts)})
        except (TypeError, AttributeError, ConfigError) as error:
            raise StoreError(f"not a recipe of this version of unmask: {error}") from error
        texts = (recipe.backbone, recipe.backbone_digest, recipe.face_detector or "")
        if not isinstance(recipe.frames, dict) or not all(isinstance(one, str) for one in texts):
            raise StoreError("not a recipe of this version of unmask: a value is of another type")
        return recipe

    @cached_property
    def digest(self) -> str:
        """sha256 over everything but the backbone's name, hex."""
        facts = self.to_json()
        del facts["backbone"]
        return hashlib.sha256(canonical(facts).encode()).hexdigest()


def pixels_version_of(recipe: Mapping[str, Any]) -> int:
    """The pixels version of a recipe in plain JSON."""
    return int(recipe.get("pixels_version", 1))


def precision_of(recipe: Mapping[str, Any]) -> Precision:
    """The precision of a recipe in plain JSON."""
    found = recipe.get("precision", "float32")
    return "float16" if found == MIXED else found


def sequence_key(video_sha256: str, recipe: Recipe) -> str:
    """The key of one video's features under one recipe: sha256 over both digests, hex."""
    return hashlib.sha256(f"{video_sha256} {recipe.digest}".encode()).hexdigest()


def canonical(facts: Any) -> str:
    """Canonical JSON: keys sorted, no spaces, ASCII."""
    return json.dumps(facts, sort_keys=True, separators=(",", ":"), allow_nan=False)
