"""Compares crops and embeddings of small videos with recorded ones.

The tolerances of `differences` allow for other processors and builds of ffmpeg, and are exceeded by
a shifted pixel, another filter or another preprocessing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.faces.crops import Frames, read_frames
from data.faces.tracker import FaceFinder
from data.pixels_version import PIXELS_VERSION
from data.video.frames import FrameRecipe
from features.store.key import Precision

FOLDER = Path(__file__).parent
CASES: dict[str, tuple[str, FrameRecipe]] = {
    "uniform": ("person.mp4", FrameRecipe(count=3, size=64, minimum_frames=2)),
    "runs": (
        "person.mp4",
        FrameRecipe(count=4, policy="clip", clip_length=2, size=48, max_side=160, minimum_frames=2),
    ),
    "turned": ("turned.mp4", FrameRecipe(count=2, size=48, margin=1.6, minimum_frames=2)),
    "square": (
        "long.mkv",
        FrameRecipe(crop="full", count=4, policy="clip", clip_length=2, size=48, minimum_frames=2),
    ),
}
"""Name -> video and how it is read; `long.mkv` is entered at its chosen frames."""
BACKBONES = ("resnet50-thin", "resnet50-random")
DRAWN = "8b" * 32
"""A digest for which every augmentation is drawn."""
EMBEDDED = "uniform"
"""Whose recorded crops are embedded: drift of crops does not hide drift of the backbone."""

GREY_LEVELS = 0.5
"""Mean absolute difference of crops of 0 to 255. One pixel off makes 2.5 or more, bilinear in
place of bicubic 0.7 or more."""
BOX_PIXELS = 0.3
"""Largest difference of a box's corner in the video's pixels."""
SECONDS = 1e-4
RELATIVE = 1e-3
"""Length of the difference of two embeddings over their own. TensorFlow and OpenVINO differ by
1e-6, a mean that is one grey level off by 1e-2."""

Golden = dict[str, NDArray[Any]]


def path_of(version: int = PIXELS_VERSION) -> Path:
    """Where the record of a version is."""
    return FOLDER / f"version-{version}.npz"


def load_golden(version: int = PIXELS_VERSION) -> Golden:
    """What was recorded for a version."""
    with np.load(path_of(version)) as file:
        return dict(file)


def make_crops(
    finder: FaceFinder | None = None, cases: Mapping[str, tuple[str, FrameRecipe]] = CASES
) -> Golden:
    """Reads every case: crops (T, S, S, 3) uint8, boxes (T, 4), timestamps (T,)."""
    finder = finder or FaceFinder()
    found: Golden = {}
    for name, (file, recipe) in cases.items():
        frames = read_frames(FOLDER / "videos" / file, recipe, faces=finder)
        found[f"{name} crops"] = frames.pixels
        found[f"{name} boxes"] = frames.boxes
        found[f"{name} seconds"] = frames.timestamps_seconds
    return found


def make_embeddings(crops: NDArray[np.uint8], *, precision: Precision = "float32") -> Golden:
    """Embeds crops (T, S, S, 3) by each backbone: (T, D) float32."""
    from models.backbones.encoder import make_encoder
    from models.backbones.registry import load_backbone

    return {
        f"{name} embeddings": make_encoder(
            load_backbone(name, size=crops.shape[1]),
            batch_size=len(crops),
            precision=precision,
        )(crops)
        for name in BACKBONES
    }


def make_view(golden: Golden) -> Golden:
    """One augmented view of the recorded crops, under the augmentation's own version."""
    from models.finetuning.views import VERSION, augment

    names = {"pixels": "crops", "boxes": "boxes", "timestamps_seconds": "seconds"}
    recorded = {one: golden[f"{EMBEDDED} {what}"] for one, what in names.items()}
    frames = Frames(**recorded, face_found=np.ones(len(recorded["pixels"]), bool))
    return {f"view of augmentation {VERSION} crops": augment(frames, DRAWN, 1).pixels}


def differences(made: Golden, golden: Golden) -> list[str]:
    """What differs by more than processors do, one line each.

    Args:
        made: crops or embeddings as this code makes them.
        golden: as recorded; what `made` does not have is not looked at.
    """
    found = []
    for name, one in made.items():
        other = golden.get(name)
        if other is None:
            found.append(f"{name}: not recorded")
            continue
        if one.shape != other.shape:
            found.append(f"{name}: shape {one.shape}, recorded {other.shape}")
            continue
        apart = np.abs(one.astype(np.float64) - other)
        if name.endswith("crops"):
            value, most = float(apart.mean(axis=(1, 2, 3)).max()), GREY_LEVELS
        elif name.endswith("embeddings"):
            lengths = np.linalg.norm(apart, axis=1) / np.linalg.norm(other, axis=1)
            value, most = float(lengths.max()), RELATIVE
        else:
            value, most = float(apart.max()), BOX_PIXELS if name.endswith("boxes") else SECONDS
        if value > most:
            found.append(f"{name}: {value:.3g} off, at most {most:g} is borne")
    return found
